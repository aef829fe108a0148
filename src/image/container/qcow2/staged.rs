//! What a writer is about to change in an image: everything that is not yet in its files.

use super::table;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::SECTOR_BYTES;
use crate::disk::medium::Medium;
use crate::error::Result;
use std::collections::BTreeMap;

/// Changes that become part of the image together, in the order of [`super::commit`].
#[derive(Debug, Default, Clone)]
pub(super) struct Staged {
    /// New clusters of the image file by their offset: data, L2 tables, refcount blocks, a refcount table.
    pub(super) clusters: BTreeMap<u64, Vec<u8>>,
    /// New clusters of the external data file by their offset.
    pub(super) data: BTreeMap<u64, Vec<u8>>,
    /// Where the new data of a cluster of the guest are: offset on its disk, offset in `clusters` or `data`.
    pub(super) guest: BTreeMap<u64, u64>,
    /// Entries of tables that are in the file, by their offset.
    pub(super) pointers: BTreeMap<u64, u64>,
    /// Clusters that are used now, and had the reference count 0; those of new refcount blocks not included.
    pub(super) taken: Vec<u64>,
    /// How many references to a cluster go away.
    pub(super) released: BTreeMap<u64, u64>,
    /// Entries of the refcount table that is in the file, by their offset.
    pub(super) block_entries: BTreeMap<u64, u64>,
    /// True if the refcount table itself is new.
    pub(super) has_new_table: bool,
}

impl Staged {
    /// True if there is nothing to commit.
    pub(super) fn is_empty(&self) -> bool {
        self.guest.is_empty() && self.clusters.is_empty()
    }

    /// The new data of the cluster of the guest at `guest`.
    pub(super) fn guest_data(&self, guest: u64, is_external: bool) -> Option<&Vec<u8>> {
        let place = self.guest.get(&guest)?;
        if is_external { self.data.get(place) } else { self.clusters.get(place) }
    }

    /// As [`Staged::guest_data`], to change them.
    pub(super) fn guest_data_mut(&mut self, guest: u64, is_external: bool) -> Option<&mut Vec<u8>> {
        let place = self.guest.get(&guest)?;
        if is_external { self.data.get_mut(place) } else { self.clusters.get_mut(place) }
    }
}

/// Sectors of a file that are read, changed and written as a whole: each of them arrives or does not.
#[derive(Debug, Default)]
pub(super) struct SectorEdits(BTreeMap<u64, Vec<u8>>);

impl SectorEdits {
    /// Stores a table entry.
    pub(super) fn put_entry(&mut self, file: &dyn Medium, offset: u64, value: u64) -> Result<()> {
        let (sector, within) = self.sector(file, offset)?;
        field::put(sector, within, &value.to_be_bytes())?;
        Ok(())
    }

    /// Changes the reference count with `index` in the block at `block_offset`.
    pub(super) fn change_refcount(
        &mut self,
        file: &dyn Medium,
        block_offset: u64,
        index: u64,
        order: u32,
        change: impl FnOnce(u64) -> Result<u64>,
    ) -> Result<()> {
        let per_sector = refcounts_per_sector(order)?;
        let sectors = arith::mul(arith::div(index, per_sector)?, len_u64(SECTOR_BYTES))?;
        let (sector, _) = self.sector(file, arith::add(block_offset, sectors)?)?;
        let index = arith::rem(index, per_sector)?;
        let value = change(table::refcount(sector, index, order)?)?;
        table::put_refcount(sector, index, order, value)
    }

    /// Writes the sectors in ascending order.
    pub(super) fn write(&self, file: &mut dyn Medium) -> Result<()> {
        self.0.iter().try_for_each(|(&offset, sector)| file.write_at(offset, sector))
    }

    /// The sector with `offset`, and where in it that is. The last one of a file may be short.
    fn sector(&mut self, file: &dyn Medium, offset: u64) -> Result<(&mut Vec<u8>, usize)> {
        let within = arith::rem(offset, len_u64(SECTOR_BYTES))?;
        let start = arith::sub(offset, within)?;
        let sector = match self.0.entry(start) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let len = arith::sub(file.len_bytes(), start)?.min(len_u64(SECTOR_BYTES));
                let mut sector = vec![0; arith::to(len)?];
                file.read_at(start, &mut sector)?;
                entry.insert(sector)
            }
        };
        Ok((sector, arith::to(within)?))
    }
}

/// How many reference counts of `1 << order` bits a sector holds.
pub(super) fn refcounts_per_sector(order: u32) -> Result<u64> {
    Ok(arith::div(arith::mul(len_u64(SECTOR_BYTES), 8)?, arith::pow2(order)?)?)
}
