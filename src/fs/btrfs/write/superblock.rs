//! The superblock behind a transaction.
//!
//! Each of its four backups (at 0xb2b, 168 bytes) names the trees of one transaction; the one behind that of the last
//! transaction is the next to be written.
//!
//! | offset | size | field                | | offset | size | field                  |
//! |-------:|-----:|----------------------|-|-------:|-----:|------------------------|
//! |      0 |    8 | tree_root            | |     96 |    8 | total_bytes            |
//! |      8 |    8 | its generation       | |    104 |    8 | bytes_used             |
//! |     16 |   16 | chunk_root, as above | |    112 |    8 | num_devices            |
//! |     32 |   16 | extent_root          | |    152 |    1 | level of tree_root     |
//! |     48 |   16 | fs_root              | |    153 |    1 | level of chunk_root    |
//! |     64 |   16 | dev_root             | |    154 |    4 | of the others, in order |
//! |     80 |   16 | csum_root            | |        |      |                        |

use super::super::checksum::FIELD_BYTES;
use super::super::key::object;
use super::super::superblock::Superblock;
use super::super::tree::TreeRoot;
use super::super::volume::Volume;
use crate::bytes::field::{le_u64, put, put_le_u64};
use crate::disk::COMPLETING_LABEL;
use crate::error::Result;

const BACKUPS_AT: usize = 0xb2b;
const BACKUP_BYTES: usize = 168;
const BACKUPS: usize = 4;
const UUID_TREE_GENERATION: usize = 0x233;
const CACHE_GENERATION: usize = 0x22b;

/// The trees of a backup, in order.
const BACKED_UP: [u64; 6] = [
    object::ROOT_TREE,
    object::CHUNK_TREE,
    object::EXTENT_TREE,
    object::FS_TREE,
    object::DEV_TREE,
    object::CSUM_TREE,
];

impl Volume {
    /// The superblock of the transaction: its 4096 bytes, without place and checksum.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn next_superblock(&self, generation: u64, bytes_used: u64) -> Result<Vec<u8>> {
        let old = self.superblock();
        let root = self.root(object::ROOT_TREE)?;
        let mut raw = old.raw.clone();
        put_le_u64(&mut raw, 0x48, generation)?;
        put_le_u64(&mut raw, 0x50, root.bytenr)?;
        put(&mut raw, 0xc6, &[root.level])?;
        put_le_u64(&mut raw, 0x78, bytes_used)?;
        // The log, if there was one, is part of the transaction.
        put_le_u64(&mut raw, 0x60, 0)?;
        put(&mut raw, 0xc8, &[0])?;
        if le_u64(&raw, UUID_TREE_GENERATION)? == old.generation {
            put_le_u64(&mut raw, UUID_TREE_GENERATION, generation)?;
        }
        // The free space cache of version 1 is used only while both are equal.
        if le_u64(&raw, CACHE_GENERATION)? == generation {
            put_le_u64(&mut raw, CACHE_GENERATION, 0)?;
        }
        let slot = next_backup(old)?;
        let at = BACKUPS_AT.saturating_add(slot.saturating_mul(BACKUP_BYTES));
        put(&mut raw, at, &self.backup(bytes_used)?)?;
        Ok(raw)
    }

    fn backup(&self, bytes_used: u64) -> Result<Vec<u8>> {
        let superblock = self.superblock();
        let mut backup = vec![0; BACKUP_BYTES];
        for (index, tree) in BACKED_UP.into_iter().enumerate() {
            let TreeRoot { bytenr, generation, level, .. } = self.root(tree)?;
            let at = index.saturating_mul(16);
            put_le_u64(&mut backup, at, bytenr)?;
            put_le_u64(&mut backup, at.saturating_add(8), generation)?;
            put(&mut backup, 152usize.saturating_add(index), &[level])?;
        }
        put_le_u64(&mut backup, 96, superblock.total_bytes)?;
        put_le_u64(&mut backup, 104, bytes_used)?;
        put_le_u64(&mut backup, 112, superblock.device_count)?;
        Ok(backup)
    }

    /// Writes a superblock to all its places, and takes it as that of the volume.
    ///
    /// # Errors
    /// `Corrupt` if it makes no sense.
    pub(super) fn write_superblocks(&mut self, mut raw: Vec<u8>) -> Result<Superblock> {
        let places: Vec<u64> = self.superblock().copies(self.disk().len_bytes()).collect();
        let checksum = self.superblock().checksum;
        let mut written = None;
        for place in places {
            put_le_u64(&mut raw, 0x30, place)?;
            let sum = checksum.of(raw.get(FIELD_BYTES..).unwrap_or_default());
            put(&mut raw, 0, &sum)?;
            self.disk().write_at(place, &raw, COMPLETING_LABEL)?;
            if written.is_none() {
                written = Some(Superblock::parse(raw.clone(), place)?);
            }
        }
        written.ok_or_else(|| crate::bytes::arith::OutOfRange.into())
    }
}

fn next_backup(superblock: &Superblock) -> Result<usize> {
    for slot in 0..BACKUPS {
        let at = BACKUPS_AT.saturating_add(slot.saturating_mul(BACKUP_BYTES)).saturating_add(8);
        if le_u64(&superblock.raw, at)? == superblock.generation {
            let next = slot.saturating_add(1);
            return Ok(if next == BACKUPS { 0 } else { next });
        }
    }
    Ok(0)
}
