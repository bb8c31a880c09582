//! A journal that holds so many records which are not stored yet.
//!
//! **append**: a group of 64 records is written, and the checkpoint, which is not in the figure,
//! follows, so that the number of those that are held stays. **open**: what a start does, which
//! reads all of them, without any that are stored in their segments; per record. Nothing waits for
//! the disk.

use std::path::Path;
use std::time::{Duration, Instant};

use banter::buffer::SyncMode;
use banter::buffer::bench::{BareJournal, Group};
use criterion::{BenchmarkId, Criterion, Throughput};

use crate::support::{folder, sends};

/// Records of a group when the journal is filled.
const FILLING: usize = 1_000;

/// Records of a group that is measured.
const GROUP: usize = 64;

pub(crate) fn measure(criterion: &mut Criterion, sizes: &[usize]) {
    for size in sizes {
        let folder = folder();
        fill(folder.path(), *size);
        open(criterion, *size, folder.path());
        append(criterion, *size, folder.path());
    }
}

fn fill(folder: &Path, size: usize) {
    let mut journal = BareJournal::open(folder, SyncMode::Os).unwrap();
    let group = Group::of(&sends(FILLING.min(size))).unwrap();
    for _ in 0..size.div_ceil(FILLING) {
        journal.append(&group).unwrap();
    }
}

fn open(criterion: &mut Criterion, size: usize, folder: &Path) {
    let mut group = criterion.benchmark_group("growth/journal");
    group.throughput(Throughput::Elements(size as u64));
    group.bench_function(BenchmarkId::new("open", size), |bencher| {
        bencher.iter(|| {
            let journal = BareJournal::open(folder, SyncMode::Os).unwrap();
            assert_eq!(journal.found(), size);
            journal
        });
    });
}

fn append(criterion: &mut Criterion, size: usize, folder: &Path) {
    let mut journal = BareJournal::open(folder, SyncMode::Os).unwrap();
    let group = Group::of(&sends(GROUP)).unwrap();
    criterion.benchmark_group("growth/journal").bench_function(
        BenchmarkId::new("append", size),
        |bencher| {
            bencher.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let start = Instant::now();
                    journal.append(&group).unwrap();
                    time += start.elapsed();
                    journal.keep(size).unwrap();
                }
                time
            });
        },
    );
}
