//! A disk for tests, in memory. It behaves as badly as a real one may:
//!
//! - What was not synced may be lost in a crash: any sectors of what was written, the file's
//!   length, and names made, changed or removed in the folder; each by itself.
//! - A write that fails, or is under way in a crash, may have left any part of itself.
//! - A sync that fails loses what it should have brought to the disk, and the disk does not say so
//!   again: readers see the data until the crash, and the next sync succeeds.
//! - The disk may be full.
//!
//! It does not change what was synced, and does not mix up files. A file that was renamed has one
//! of its two names after a crash, or both: that much every file system with a journal promises.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::fs::{DiskFile, Fs};

/// What a disk writes as a whole or not at all.
const SECTOR: usize = 16;

/// A disk; clones are the same one.
#[derive(Debug, Clone)]
pub(in crate::buffer) struct SimFs(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: SmallRng,
    files: BTreeMap<u64, SimFile>,
    /// What programs see, and what a crash leaves for certain.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    next_file: u64,
    capacity: usize,
    calls: u64,
    /// The call that fails, and how.
    fault: Option<(u64, Fault)>,
    /// Nothing works any more: the machine is down.
    is_down: bool,
}

#[derive(Debug, Clone, Default)]
struct SimFile {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync; those lost by a failed one are in none.
    dirty: BTreeSet<usize>,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::buffer) enum Fault {
    /// It says that the device has failed.
    Fails,
    /// The machine goes down in the middle of it.
    Crash,
}

impl SimFs {
    pub(in crate::buffer) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: SmallRng::seed_from_u64(seed),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            next_file: 0,
            capacity: usize::MAX,
            calls: 0,
            fault: None,
            is_down: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test fails in here")
    }

    /// How many calls there were that change something or wait for the disk.
    pub(in crate::buffer) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Makes the `n`-th call from now on go wrong, from 0.
    pub(in crate::buffer) fn break_call(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.calls + n, fault));
    }

    /// No call goes wrong any more.
    pub(in crate::buffer) fn mend_disk(&self) {
        self.state().fault = None;
    }

    /// How many bytes fit on the disk.
    pub(in crate::buffer) fn set_capacity(&self, bytes: usize) {
        self.state().capacity = bytes;
    }

    /// Bytes on the disk.
    pub(in crate::buffer) fn used(&self) -> usize {
        self.state().used()
    }

    pub(in crate::buffer) fn is_down(&self) -> bool {
        self.state().is_down
    }

    /// The machine goes down, if it is not already, and comes back with what the disk has.
    pub(in crate::buffer) fn reboot(&self) {
        let state = &mut *self.state();
        let names = std::mem::take(&mut state.names);
        let mut after = BTreeMap::new();
        let all: BTreeSet<_> = names.keys().chain(state.durable_names.keys()).cloned().collect();
        for name in all {
            let seen = names.get(&name).copied();
            let durable = state.durable_names.get(&name).copied();
            let survivor = if state.random.random() { seen } else { durable };
            if let Some(file) = survivor {
                after.insert(name, file);
            }
        }
        for (name, file) in &state.durable_names {
            let was_renamed = names.values().any(|seen| seen == file);
            if was_renamed && !after.values().any(|kept| kept == file) {
                after.insert(name.clone(), *file);
            }
        }
        for file in state.files.values_mut() {
            file.crash(&mut state.random);
        }
        state.files.retain(|id, _| after.values().any(|used| used == id));
        state.names = after.clone();
        state.durable_names = after;
        state.fault = None;
        state.is_down = false;
    }

    /// Changes a file behind the program's back, in memory and on the disk.
    pub(in crate::buffer) fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state();
        let id = state.names[name];
        let file = state.files.get_mut(&id).expect("a name has a file");
        change(&mut file.bytes);
        file.durable = file.bytes.clone();
    }

    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.begin_call()? { Err(failure()) } else { Ok(state) }
    }
}

fn failure() -> io::Error {
    io::Error::other("the simulated disk fails")
}

impl State {
    /// Counts a call; whether it is to fail half-way. A machine that is down answers nothing.
    fn begin_call(&mut self) -> io::Result<bool> {
        if self.is_down {
            return Err(failure());
        }
        let fault = self.fault.filter(|(at, _)| *at == self.calls).map(|(_, fault)| fault);
        self.calls += 1;
        self.is_down = fault == Some(Fault::Crash);
        Ok(fault.is_some())
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[id].bytes.len()).sum()
    }
}

impl SimFile {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn set_len(&mut self, length: usize) {
        let changed =
            self.bytes.len().min(length) / SECTOR..self.bytes.len().max(length).div_ceil(SECTOR);
        self.bytes.resize(length, 0);
        self.dirty.extend(changed);
    }

    fn sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        self.durable.resize(self.bytes.len(), 0);
        for sector in dirty {
            self.keep(sector);
        }
    }

    /// Brings a sector as it is now to the disk.
    fn keep(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.bytes.len());
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }

    fn crash(&mut self, random: &mut SmallRng) {
        // Nothing was written and the length may be either: then it is the shorter of the two for
        // certain that has content.
        if random.random() {
            self.durable.resize(self.bytes.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if random.random() {
                self.keep(sector);
            }
        }
        self.bytes = self.durable.clone();
    }
}

impl Fs for SimFs {
    fn path(&self) -> &Path {
        Path::new("simulated")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.call()?;
        // What was set aside is in a folder of its own.
        Ok(state.names.keys().filter(|name| !name.contains('/')).cloned().collect())
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.call()?;
        let id = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let bytes = &state.files[id].bytes;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.clone())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.call()?;
        let id = state.next_file;
        state.next_file += 1;
        state.files.insert(id, SimFile::default());
        state.names.insert(name.to_owned(), id);
        Ok(Box::new(OpenFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = *self.call()?.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call()?;
        let id = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call()?.names.remove(name).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.call()?;
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn set_aside(&self, name: &str, folder: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let fails = state.begin_call()?;
        if fails && state.random.random() {
            return Err(failure());
        }
        let to = format!("{folder}/{to}");
        if state.names.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.clone(), id);
        state.durable_names.remove(name);
        state.durable_names.insert(to, id);
        if fails { Err(failure()) } else { Ok(()) }
    }
}

struct OpenFile {
    disk: SimFs,
    id: u64,
}

impl OpenFile {
    fn change<T>(
        &self,
        change: impl FnOnce(&mut State, u64, bool) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.disk.state();
        let fails = state.begin_call()?;
        change(&mut state, self.id, fails)
    }
}

impl DiskFile for OpenFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(|state, id, fails| {
            let room = state.capacity.saturating_sub(state.used());
            let offset = offset as usize;
            let file = state.files.get_mut(&id).expect("an open file is there");
            let more = (offset + bytes.len()).saturating_sub(file.bytes.len());
            let fitting = bytes.len() - more.saturating_sub(room);
            let written = if fails { state.random.random_range(0..=fitting) } else { fitting };
            file.write(&bytes[..written], offset);
            match () {
                () if fails => Err(failure()),
                () if written < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
                () => Ok(()),
            }
        })
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.change(|state, id, fails| {
            let file = state.files.get_mut(&id).expect("an open file is there");
            if fails {
                return Err(failure());
            }
            file.set_len(len as usize);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.change(|state, id, fails| {
            let crashed = state.is_down;
            let file = state.files.get_mut(&id).expect("an open file is there");
            match (fails, crashed) {
                (false, _) => {
                    file.sync();
                    Ok(())
                }
                // What the crash leaves of it is decided at the reboot.
                (true, true) => Err(failure()),
                (true, false) => {
                    let lost = std::mem::take(&mut file.dirty);
                    for sector in lost {
                        if state.random.random() {
                            file.keep(sector);
                        }
                    }
                    Err(failure())
                }
            }
        })
    }
}
