//! The checksum tree: of data that is written, of data that is given up.
//!
//! Format: Btrfs documentation, "On-disk format", section "Checksum item". An item with the key (2^64 - 10, 128, address)
//! holds the checksums of consecutive units of data from the address on. Items never overlap, but need not be joined.

use super::super::key::{Key, item, object};
use super::super::node::room_bytes;
use super::super::volume::Volume;
use crate::bytes::arith::{add, div, len_u64, mul, sub, to};
use crate::error::{Corrupt, Result};
use std::ops::ControlFlow;

/// Longest item that is written, in bytes; readers have a bound of their own.
const ITEM_BYTES_MAX: usize = 2048;

/// What can be wrong with the checksum tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Defect {
    /// Not a number of whole checksums.
    #[error("the item at {0} has {1} bytes")]
    Size(u64, u64),
}

impl Volume {
    /// Writes `bytes`, whole units, to all copies of newly allocated data, with their checksums unless `is_unchecked`.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if there is no room for new blocks.
    pub(crate) fn write_data(
        &mut self,
        bytenr: u64,
        bytes: &[u8],
        is_unchecked: bool,
        what: &str,
    ) -> Result<()> {
        for physical in self.chunks().copies(bytenr, len_u64(bytes.len()))? {
            self.disk().write_at(physical, bytes, what)?;
        }
        if is_unchecked {
            return Ok(());
        }
        let unit: usize = to(self.superblock().sector_bytes)?;
        let checksum = self.superblock().checksum;
        let mut sums = Vec::new();
        for bytes in bytes.chunks(unit) {
            sums.extend(checksum.of(bytes).iter().take(checksum.size_bytes()));
        }
        self.insert_checksums(bytenr, &sums)
    }

    /// Records the checksums of data from an address on, where there are none.
    ///
    /// # Errors
    /// As [`Volume::write_data`].
    pub(crate) fn insert_checksums(&mut self, bytenr: u64, sums: &[u8]) -> Result<()> {
        let unit = u64::from(self.superblock().sector_bytes);
        let size = self.superblock().checksum.size_bytes();
        let room = room_bytes(self.superblock().node_bytes) / 4;
        let units_per_item = ITEM_BYTES_MAX.min(room).checked_div(size).unwrap_or(1).max(1);
        let mut at = bytenr;
        for part in sums.chunks(size.saturating_mul(units_per_item)) {
            self.insert(object::CSUM_TREE, checksum_key(at), part.to_vec())?;
            let units = div(len_u64(part.len()), len_u64(size))?;
            at = add(at, mul(units, unit)?)?;
        }
        Ok(())
    }

    /// Removes the checksums of a range. Data need not have any.
    ///
    /// # Errors
    /// As [`Volume::write_data`].
    pub(crate) fn delete_checksums(&mut self, bytenr: u64, bytes: u64) -> Result<()> {
        let end = add(bytenr, bytes)?;
        let root = self.root(object::CSUM_TREE)?;
        let mut found: Vec<(Key, Vec<u8>)> = Vec::new();
        let before = self.last_up_to(&root, checksum_key(bytenr))?;
        let first = before.map_or(checksum_key(bytenr), |(key, _)| key);
        let last = checksum_key(sub(end, 1)?);
        self.for_each(&root, first.max(checksum_key(0)), last, &mut |key, data| {
            found.push((key, data.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        for (key, data) in found {
            self.cut_checksums(key, &data, (bytenr, end))?;
        }
        Ok(())
    }

    /// Takes what lies from `from` to `end` out of one item.
    fn cut_checksums(&mut self, key: Key, data: &[u8], (from, end): (u64, u64)) -> Result<()> {
        let unit = u64::from(self.superblock().sector_bytes);
        let size = len_u64(self.superblock().checksum.size_bytes());
        let len = len_u64(data.len());
        if len == 0 || !len.is_multiple_of(size) {
            let defect = Defect::Size(key.offset, len);
            return Err(Corrupt::new("checksum tree", defect).into());
        }
        let item_end = add(key.offset, mul(div(len, size)?, unit)?)?;
        if item_end <= from || key.offset >= end {
            return Ok(());
        }
        let bytes_to =
            |at: u64| -> Result<usize> { Ok(to(mul(div(sub(at, key.offset)?, unit)?, size)?)?) };
        let head = data.get(..bytes_to(from.max(key.offset))?).unwrap_or_default().to_vec();
        let tail = data.get(bytes_to(end.min(item_end))?..).unwrap_or_default().to_vec();
        if head.is_empty() {
            self.delete(object::CSUM_TREE, key)?;
        } else {
            self.replace(object::CSUM_TREE, key, head)?;
        }
        if !tail.is_empty() {
            self.insert(object::CSUM_TREE, checksum_key(end), tail)?;
        }
        Ok(())
    }
}

/// The key of checksums from an address on.
fn checksum_key(bytenr: u64) -> Key {
    Key::new(object::EXTENT_CSUM, item::EXTENT_CSUM, bytenr)
}
