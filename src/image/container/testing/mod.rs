//! What the tests of the containers share: images made by qemu-img, host files, power cuts and damage.
//!
//! Programs: qemu-img and qemu-io (Debian package qemu-utils). A missing one fails the test.

mod damage;
mod host;
mod made;
mod power_cut;

pub(crate) use damage::{read_some, survives_damage, write_some};
pub(crate) use host::{FailingHost, MemoryFiles, MemoryHost, write_files};
pub(crate) use made::{Made, qemu_reads, run};
pub(crate) use power_cut::{Judged, survives_power_cuts};

use crate::disk::medium::Medium;
use crate::disk::{Disk, SECTOR_BYTES};
use crate::error::Result;

/// Random numbers that are the same in every run.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

/// A disk of random, empty, text and partly empty stretches of 64 KiB.
pub(crate) fn mixed_disk(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut disk = vec![0; len];
    for cluster in disk.chunks_mut(64 * 1024) {
        match rng.below(5) {
            0 => cluster.copy_from_slice(&rng.bytes(cluster.len())),
            1 => cluster
                .iter_mut()
                .zip(b"ssh-ed25519 AAAA ".iter().cycle())
                .for_each(|(a, b)| *a = *b),
            2 => cluster[512..1024].fill(7),
            _ => {}
        }
    }
    disk
}

/// Writes of whole sectors, 512 bytes to 150 KiB long.
pub(crate) fn random_writes(disk_len: usize, count: usize, seed: u64) -> Vec<(u64, Vec<u8>)> {
    let mut rng = Rng::new(seed);
    let sectors = (disk_len / SECTOR_BYTES) as u64;
    (0..count)
        .map(|_| {
            let start = rng.below(sectors);
            let len = (1 + rng.below(300)).min(sectors - start) as usize * SECTOR_BYTES;
            let bytes = if rng.below(8) == 0 { vec![0; len] } else { rng.bytes(len) };
            (start * SECTOR_BYTES as u64, bytes)
        })
        .collect()
}

/// Reads everything in pieces of odd sizes.
pub(crate) fn read_all(disk: &dyn Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.len_bytes() as usize];
    let sizes = [512, 4096, 65536 + 512, 1 << 20, 1536, 7, 200_001];
    let mut rest = bytes.as_mut_slice();
    let mut offset = 0;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (head, tail) = rest.split_at_mut((*size).min(rest.len()));
        disk.read_at(offset, head).unwrap();
        offset += head.len() as u64;
        rest = tail;
    }
    bytes
}

/// Reads everything of a medium.
pub(crate) fn read_medium(medium: &dyn Medium) -> Vec<u8> {
    let mut bytes = vec![0; medium.len_bytes() as usize];
    for (index, chunk) in bytes.chunks_mut(100_000).enumerate() {
        medium.read_at(index as u64 * 100_000, chunk).unwrap();
    }
    bytes
}

/// Makes the same writes to `medium` and to `raw`.
pub(crate) fn write_both(medium: &mut dyn Medium, raw: &mut [u8], writes: &[(u64, Vec<u8>)]) {
    for (index, (at, bytes)) in writes.iter().enumerate() {
        medium.write_at(*at, bytes).unwrap();
        raw[*at as usize..*at as usize + bytes.len()].copy_from_slice(bytes);
        if index % 7 == 0 {
            medium.sync().unwrap();
        }
    }
    medium.sync().unwrap();
}

/// Whether one range can be written.
pub(crate) fn can_write(medium: &dyn Medium, start: u64, end: u64) -> Result<()> {
    medium.can_write(std::slice::from_ref(&(start..end)))
}
