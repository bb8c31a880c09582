//! A file of the log that does not grow for ever: `access.log` is the one that is written, and
//! `access.log.1` the one before it, up to a number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file that is put aside when it is full. What is written at once is never torn apart.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
    /// How many files there are at the most, this one among them.
    files: u32,
}

impl RotatingFile {
    /// Opens the file, which may be there, and writes behind what it holds. What a process that was
    /// killed has left of a line is ended.
    pub(super) fn open(path: PathBuf, max_bytes: u64, files: u32) -> io::Result<Self> {
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        let mut opened = Self { path, file, bytes, max_bytes, files };
        if !opened.ends_whole()? {
            opened.write_all(b"\n")?;
        }
        Ok(opened)
    }

    fn ends_whole(&self) -> io::Result<bool> {
        use std::os::unix::fs::FileExt;
        let Some(last) = self.bytes.checked_sub(1) else { return Ok(true) };
        let mut byte = [0];
        File::open(&self.path)?.read_exact_at(&mut byte, last)?;
        Ok(byte == *b"\n")
    }

    /// Where the file goes that is the `number`th before the one that is written.
    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Puts the file aside, and begins anew.
    fn rotate(&mut self) -> io::Result<()> {
        // With fewer files than before, those beyond stay until somebody removes them.
        for number in (1..self.files.saturating_sub(1)).rev() {
            moved(&self.aside(number), &self.aside(number + 1))?;
        }
        if self.files > 1 {
            moved(&self.path, &self.aside(1))?;
        } else {
            self.file.set_len(0)?;
        }
        self.file = append_to(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}

impl Write for RotatingFile {
    /// Writes all of it or nothing: half a line would make one with the next.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(lines) {
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += lines.len() as u64;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn open(folder: &TempDir, files: u32) -> RotatingFile {
        RotatingFile::open(folder.path().join("a.log"), 100, files).unwrap()
    }

    fn content(folder: &TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join(name)).unwrap()
    }

    #[test]
    fn a_log_holds_the_newest_lines_and_never_more_than_its_files_may() {
        let folder = TempDir::new().unwrap();
        let mut log = open(&folder, 3);
        for n in 0..50 {
            log.write_all(format!("line {n:04}\n").as_bytes()).unwrap();
        }
        assert_eq!(names(&folder), ["a.log", "a.log.1", "a.log.2"]);
        let all = ["a.log.2", "a.log.1", "a.log"].map(|name| content(&folder, name));
        assert!(all.iter().all(|file| file.len() <= 100 && file.ends_with('\n')));
        let lines: Vec<_> = all.iter().flat_map(|file| file.lines()).collect();
        let newest: Vec<_> = (20..50).map(|n| format!("line {n:04}")).collect();
        assert_eq!(lines, newest);
    }

    #[test]
    fn one_file_begins_anew() {
        let folder = TempDir::new().unwrap();
        let mut log = open(&folder, 1);
        for n in 0..11 {
            log.write_all(format!("line {n:04}\n").as_bytes()).unwrap();
        }
        assert_eq!(
            (names(&folder), content(&folder, "a.log")),
            (vec!["a.log".into()], "line 0010\n".into())
        );
    }

    #[test]
    fn a_start_goes_on_behind_what_is_there_and_ends_a_torn_line() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("a.log"), "one\n{\"torn").unwrap();
        open(&folder, 2).write_all(b"two\n").unwrap();
        open(&folder, 2).write_all(b"three\n").unwrap();
        assert_eq!(content(&folder, "a.log"), "one\n{\"torn\ntwo\nthree\n");
    }

    #[test]
    fn what_is_larger_than_a_file_has_one_of_its_own() {
        let folder = TempDir::new().unwrap();
        let mut log = open(&folder, 3);
        let long = "x".repeat(300) + "\n";
        for line in ["one\n", &*long, "two\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let all = ["a.log.2", "a.log.1", "a.log"].map(|name| content(&folder, name));
        assert_eq!(all, ["one\n", &*long, "two\n"]);
    }
}
