//! What the patch layer costs: encoding, decoding, and applying to memory, for the usual small
//! patch and for a large one (a replayed journal).
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use regain::bytes::field;
use regain::disk::medium::Medium;
use regain::disk::overlay::Change;
use regain::error::Result;
use regain::patch::{Description, DurableUndo, Patch, TargetIdentity, apply, decode, encode, undo};
use std::hint::black_box;
use std::ops::Range;

/// A medium in memory without any bookkeeping.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl Medium for Memory {
    fn len_bytes(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset_bytes).unwrap();
        buffer.copy_from_slice(field::slice(&self.0, start, buffer.len())?);
        Ok(())
    }

    fn can_write(&self, _ranges: &[Range<u64>]) -> Result<()> {
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        Ok(field::put(&mut self.0, usize::try_from(offset_bytes).unwrap(), bytes)?)
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn drop_cache(&mut self) -> Result<()> {
        Ok(())
    }
}

/// `count` runs of `len` bytes, one run apart, on a zeroed disk.
fn patch(count: usize, len: usize) -> (Patch, Memory) {
    let size_bytes = count * len * 2;
    let change = |index: usize| Change {
        offset_bytes: u64::try_from(index * len * 2).unwrap(),
        before: vec![0; len],
        after: vec![1; len],
        labels: vec!["inode 12".into()],
    };
    let identity = TargetIdentity {
        size_bytes: u64::try_from(size_bytes).unwrap(),
        sector_size_bytes: 512,
        table_guid: None,
        volumes: Vec::new(),
        parts: Vec::new(),
    };
    let description = Description {
        regain_version: "0.1.0".into(),
        created: "2026-11-21T12:00:00Z".into(),
        command: "key add".into(),
        identity,
        files: Vec::new(),
    };
    let changes = (0..count).map(change).collect();
    (Patch::new(description, changes).unwrap(), Memory(vec![0; size_bytes]))
}

fn patches(criterion: &mut Criterion) {
    for (name, count, len) in [("8 x 512 B", 8, 512), ("4096 x 4 KiB", 4096, 4096)] {
        let (patch, mut medium) = patch(count, len);
        let bytes = encode(&patch).unwrap();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(patch.len_bytes()));
        group.bench_function("encode", |bench| bench.iter(|| encode(black_box(&patch)).unwrap()));
        group.bench_function("decode", |bench| bench.iter(|| decode(black_box(&bytes)).unwrap()));
        let undo_record = DurableUndo::waived();
        group.bench_function("apply and undo", |bench| {
            bench.iter(|| {
                apply(&patch, &mut medium, &undo_record, &mut |_, _| ()).unwrap();
                undo(&patch, &mut medium, &mut |_, _| ()).unwrap()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, patches);
criterion_main!(benches);
