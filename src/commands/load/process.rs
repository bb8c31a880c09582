//! What processes take, as Linux tells it in `/proc`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Ticks of a second in `/proc/<pid>/stat`: `USER_HZ`, which is part of what Linux promises to
/// programs on every machine that this is built for.
const TICKS: f64 = 100.0;

/// A process under observation.
#[derive(Debug)]
pub(super) struct Process {
    folder: PathBuf,
}

impl Process {
    /// # Errors
    /// There is no such process, or no `/proc`.
    pub(super) fn open(pid: u32) -> anyhow::Result<Self> {
        anyhow::ensure!(
            Path::new("/proc/self/stat").exists(),
            "--pid needs /proc, which only Linux has; without --pid the rest is measured"
        );
        let process = Self { folder: PathBuf::from(format!("/proc/{pid}")) };
        process.cpu_seconds().with_context(|| format!("--pid {pid}: there is no such process"))?;
        Ok(process)
    }

    /// CPU time so far, of all threads, in user and kernel; `None` when the process has ended.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(&fs::read_to_string(self.folder.join("stat")).ok()?)
    }

    /// Resident memory; `None` when the process has ended.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        resident_bytes(&fs::read_to_string(self.folder.join("status")).ok()?)
    }
}

/// CPU time of this process so far, where the system tells it.
pub(super) fn own_cpu_seconds() -> Option<f64> {
    cpu_seconds(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// `utime` and `stime` (fields 14 and 15 of proc_pid_stat(5)). The second field is a name in
/// parentheses that may hold anything, so that what follows the last one counts.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS)
}

/// `VmRSS` of proc_pid_status(5); a process that is ending has none.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 2021 0 0 0 150 25 7 8 20 0 9 0 100 1 2\n";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        for broken in ["", "42 (a) S 1 2", "42 (a) S 1 42 42 0 -1 4194560 2021 0 0 0 x 25 7"] {
            assert_eq!(cpu_seconds(broken), None, "{broken}");
        }
    }

    #[test]
    fn memory_is_what_is_resident() {
        let status = "Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  812 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(812 * 1024));
        for broken in ["", "VmRSS:\t812 MB", "VmRSS:\tx kB", "VmRSS:\t99999999999999999999 kB"] {
            assert_eq!(resident_bytes(broken), None, "{broken}");
        }
    }

    #[test]
    fn this_process_takes_something() {
        let me = Process::open(std::process::id()).unwrap();
        assert!(me.memory_bytes().unwrap() > 100_000);
        assert!(me.cpu_seconds() <= own_cpu_seconds());
        let nobody = Process::open(u32::MAX).unwrap_err().to_string();
        assert!(nobody.contains("no such process"), "{nobody}");
    }
}
