//! Damaged volumes: no panic, an end, and a bound on what is read.
//!
//! `REGAIN_DAMAGE_ROUNDS` makes more of them.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::Ntfs;
use super::testing::{CLOCK, Image};
use super::verify::verify;
use crate::disk::overlay::Overlay;
use crate::disk::{Disk, check_range};
use crate::error::{Error, Result};
use crate::fs::path::GuestPath;
use crate::fs::verify::{Expectation, Expected, Owner};
use crate::fs::{FileSystem, NTFS_ACL_NAME, NodeId, NodeKind};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Damaged volumes of each kind in a usual run.
const ROUNDS: u64 = 8;
/// Bytes that everything together may read of a volume of 8 MiB.
const READ_BYTES_MAX: u64 = 512 << 20;
const BLOCK_BYTES: usize = 1024;

/// A volume with changed bytes over it, which counts what is read.
#[derive(Debug)]
struct Damaged {
    good: Arc<Vec<u8>>,
    changes: Vec<(usize, u8)>,
    read_bytes: AtomicU64,
}

impl Disk for Damaged {
    fn len_bytes(&self) -> u64 {
        self.good.len() as u64
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let start = usize::try_from(offset_bytes).unwrap();
        buffer.copy_from_slice(&self.good[start..start + buffer.len()]);
        for (at, byte) in &self.changes {
            if (start..start + buffer.len()).contains(at) {
                buffer[at - start] = *byte;
            }
        }
        let read = self.read_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        if read > READ_BYTES_MAX {
            return Err(Error::limit("bytes read", READ_BYTES_MAX, read));
        }
        Ok(())
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap() % below
    }
}

fn good(options: &[&str]) -> Vec<u8> {
    let image = Image::make(8, options);
    image.mounted("efs_raw,compression", |root| {
        let directory = root.join("many");
        std::fs::create_dir(&directory).unwrap();
        for number in 0..60 {
            let name = format!("a name that is rather long {number}");
            std::fs::write(directory.join(name), [1; 30]).unwrap();
        }
        std::fs::write(root.join("large"), "some text ".repeat(10_000)).unwrap();
        for number in 0..30 {
            let name = root.join(format!("another name that is rather long {number}"));
            std::fs::hard_link(root.join("large"), name).unwrap();
        }
    });
    image.bytes()
}

/// Everything that can be asked. Says how many nodes there were.
fn walk(fs: &Ntfs) -> usize {
    let _ = fs.check_writable();
    let mut pending = vec![fs.root()];
    let mut seen: BTreeSet<NodeId> = BTreeSet::new();
    while let Some(node) = pending.pop() {
        if !seen.insert(node) || seen.len() > 500 {
            continue;
        }
        let _ = fs.xattr(node, NTFS_ACL_NAME);
        let Ok(metadata) = fs.metadata(node) else { continue };
        match metadata.kind {
            NodeKind::Directory => {
                let _ = fs.lookup(node, b"A NAME THAT IS RATHER LONG 33");
                let _ = fs.read_dir(node, &mut |entry| {
                    pending.push(entry.node);
                    Ok(ControlFlow::Continue(()))
                });
            }
            NodeKind::Symlink => drop(fs.read_link(node)),
            _ => drop(fs.read(node, 1 << 20)),
        }
    }
    seen.len()
}

/// All structures are damaged in turn; what remains is read, and asked for by the other reader as well.
#[test]
fn damage_never_ends_in_a_panic_or_without_end() {
    let rounds = std::env::var("REGAIN_DAMAGE_ROUNDS").map_or(ROUNDS, |n| n.parse().unwrap());
    for options in [&["-c", "4096"][..], &["-c", "512"], &["-s", "4096"], &["-C", "-c", "1024"]] {
        let good = Arc::new(good(options));
        let blocks: Vec<usize> = good
            .chunks(BLOCK_BYTES)
            .enumerate()
            // Neither free space, nor the empty log, nor the table of capitals, which is half the volume.
            .filter(|(_, block)| {
                block.starts_with(b"FILE")
                    || block.starts_with(b"INDX")
                    || block.starts_with(b"\xeb\x52")
            })
            .map(|(index, _)| index)
            .collect();
        assert!(blocks.len() > 60, "{options:?}");
        let everything = 0..good.len() as u64;
        let (mut opened, mut confirmed) = (0u64, 0u64);
        for round in 0..rounds {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round + 1));
            let count = 1 + random.next(4);
            let changes = (0..count).map(|_| {
                let block = blocks[random.next(blocks.len())];
                // Most of a record is empty.
                let part = [40, 200, 500][random.next(3)];
                let offset = random.next(part);
                (block * BLOCK_BYTES + offset, random.next(256) as u8)
            });
            let changes = changes.collect();
            let disk = Arc::new(Damaged { good: good.clone(), changes, read_bytes: 0.into() });
            let overlay = Arc::new(Overlay::new(disk.clone()));
            if let Ok(fs) = Ntfs::open(overlay.clone(), CLOCK) {
                opened += 1;
                assert!(walk(&fs) > 0);
            }
            let owner = Owner { uid: 0, gid: 0, mode: 0o777 };
            let content = "some text ".repeat(10_000).into_bytes();
            let state = Expected::File { content, owner };
            let many = GuestPath::new("/many/a name that is rather long 7");
            let small = Expected::File { content: vec![1; 30], owner };
            let expectations = [
                Expectation { path: GuestPath::new("/large"), state },
                Expectation { path: many, state: small },
            ];
            let all = std::slice::from_ref(&everything);
            confirmed += u64::from(
                Ntfs::open(overlay, CLOCK)
                    .is_ok_and(|own| verify(&own, all, &expectations).is_ok()),
            );
            let read = disk.read_bytes.load(Ordering::Relaxed);
            assert!(read < READ_BYTES_MAX, "{options:?}, round {round}: {read} bytes");
        }
        assert!(opened > rounds / 2, "{options:?}: {opened} of {rounds} were opened");
        // What is not damaged, or only where nobody looks, is still confirmed.
        assert!(confirmed > 0 && confirmed < rounds, "{options:?}: {confirmed} of {rounds}");
    }
}
