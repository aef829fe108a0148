//! Checksums of data: what is read from an extent is compared with the checksum tree, sector by sector, and where one
//! copy is wrong, the next is taken.
//!
//! Format: btrfs documentation, "On-disk Format", item EXTENT_CSUM: the item (EXTENT_CSUM, EXTENT_CSUM, logical address)
//! holds the checksums of the sectors from that address on, one after the other.

use super::key::{Key, item, object};
use super::view::View;
use crate::bytes::arith::{add, div, len_u64, mul, sub, to};
use crate::error::{Corrupt, Result};

/// Most copies of data that a volume has.
const COPIES_MAX: usize = 4;

/// What is wrong with data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DataDefect {
    /// No copy agrees with its checksum.
    #[error("wrong checksum in every copy")]
    Checksum,
    /// There is no checksum, and there should be one.
    #[error("no checksum")]
    NoChecksum,
}

impl View {
    /// Reads whole sectors of data, each of which must agree with its checksum.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn read_checked(&self, logical: u64, len: usize) -> Result<Vec<u8>> {
        let volume = self.volume();
        let sector_bytes: usize = to(volume.superblock().sector_bytes)?;
        let mut buffer = vec![0; len];
        volume.read_logical(logical, &mut buffer)?;
        let checksums = self.checksums(logical, len)?;
        let width = volume.superblock().checksum.size_bytes();
        let mut at = logical;
        for (sector, expected) in buffer.chunks_mut(sector_bytes).zip(checksums.chunks(width)) {
            if !self.agrees(sector, expected) {
                self.read_other_copy(at, sector, expected)?;
            }
            at = add(at, len_u64(sector_bytes))?;
        }
        Ok(buffer)
    }

    fn agrees(&self, sector: &[u8], expected: &[u8]) -> bool {
        let computed = self.volume().superblock().checksum.of(sector);
        cfg!(fuzzing) || computed.starts_with(expected)
    }

    fn read_other_copy(&self, logical: u64, sector: &mut [u8], expected: &[u8]) -> Result<()> {
        for copy in 1..COPIES_MAX {
            if !self.volume().read_copy(logical, copy, sector)? {
                break;
            }
            if self.agrees(sector, expected) {
                return Ok(());
            }
        }
        Err(Corrupt::new("data", DataDefect::Checksum).at(logical).into())
    }

    /// The checksums of whole sectors, one after the other.
    fn checksums(&self, logical: u64, len: usize) -> Result<Vec<u8>> {
        let superblock = self.volume().superblock();
        let sector_bytes = u64::from(superblock.sector_bytes);
        let width = superblock.checksum.size_bytes();
        let end = add(logical, len_u64(len))?;
        let mut found = Vec::new();
        let mut at = logical;
        while at < end {
            let left = to(div(sub(end, at)?, sector_bytes)?)?;
            let run = self.checksums_from(at, left, width)?;
            let count = div(len_u64(run.len()), len_u64(width))?;
            if count == 0 {
                return Err(Corrupt::new("data", DataDefect::NoChecksum).at(at).into());
            }
            found.extend(run);
            at = add(at, mul(count, sector_bytes)?)?;
        }
        Ok(found)
    }

    /// The checksums of at most `count` sectors from one item: that of the log first.
    fn checksums_from(&self, logical: u64, count: usize, width: usize) -> Result<Vec<u8>> {
        if let Some((start, data)) = self.log_checksums(logical) {
            let part = self.part(logical, start, data, width)?;
            if !part.is_empty() {
                return Ok(first(part, count, width).to_vec());
            }
        }
        let volume = self.volume();
        let root = volume.root(object::CSUM_TREE)?;
        let key = Key::new(object::EXTENT_CSUM, item::EXTENT_CSUM, logical);
        let found = volume.last_up_to(&root, key)?;
        let Some((key, data)) = found.filter(|(found, _)| found.kind == item::EXTENT_CSUM) else {
            return Ok(Vec::new());
        };
        let part = self.part(logical, key.offset, &data, width)?;
        Ok(first(part, count, width).to_vec())
    }

    /// What of the checksums `data` of the sectors from `start` on is of those from `logical` on.
    fn part<'a>(&self, logical: u64, start: u64, data: &'a [u8], width: usize) -> Result<&'a [u8]> {
        let sector_bytes = u64::from(self.volume().superblock().sector_bytes);
        let skipped = div(sub(logical, start)?, sector_bytes)?;
        let skipped = mul(skipped, len_u64(width))?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let whole = data.len().saturating_sub(data.len().checked_rem(width).unwrap_or(0));
        Ok(data.get(skipped..whole).unwrap_or_default())
    }

    /// Loads the checksums that stand in a log tree.
    ///
    /// # Errors
    /// `Corrupt`; `Limit` if there are too many.
    pub(crate) fn load_log_checksums(&mut self, log: &super::tree::TreeRoot) -> Result<()> {
        let from = Key::new(object::EXTENT_CSUM, item::EXTENT_CSUM, 0);
        let to = Key::new(object::EXTENT_CSUM, item::EXTENT_CSUM, u64::MAX);
        let mut next = Some(from);
        while let Some(from) = next.take() {
            let found = self.volume().first_from(log, from)?;
            let Some((key, data)) = found.filter(|(key, _)| *key <= to) else { break };
            self.add_checksums(key.offset, &data)?;
            next = key.offset.checked_add(1).map(|offset| Key::new(key.objectid, key.kind, offset));
        }
        Ok(())
    }
}

fn first(data: &[u8], count: usize, width: usize) -> &[u8] {
    data.get(..count.saturating_mul(width)).unwrap_or(data)
}
