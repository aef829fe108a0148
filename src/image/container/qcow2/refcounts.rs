//! Reference counts and free clusters.
//!
//! The refcount table has 8-byte entries with the offsets of refcount blocks; each block is one cluster of counts. New
//! clusters are taken behind the end of the file, where nothing is; on a device, which cannot grow, the first
//! free ones. A cluster that is released is not taken again before the release is in the file.

use super::defect::Defect;
use super::header::{Header, REFTABLE_BYTES_MAX};
use super::staged::{Staged, refcounts_per_sector};
use super::structures::Structures;
use super::table::{self, impossible};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::SECTOR_BYTES;
use crate::disk::medium::{HostMedium as _, Medium as _};
use crate::error::{Corrupt, Error, Refusal, Result};
use crate::image::container::files::SharedMedium;
use std::cell::RefCell;

/// Bound on the clusters that are looked at to find free ones.
const SCAN_CLUSTERS_MAX: u64 = 1 << 26;

/// Host offsets have 56 bits.
const FILE_BYTES_MAX: u64 = 1 << 56;

/// The reference counts of an image.
#[derive(Debug, Clone)]
pub(super) struct Refcounts {
    cluster_bytes: u64,
    order: u32,
    /// Counts in one block.
    per_block: u64,
    /// The refcount table; in the file, or among the staged clusters.
    pub(super) table_offset: u64,
    pub(super) table_clusters: u64,
    /// Where the next free cluster is looked for.
    cursor: u64,
    scanned: u64,
    /// The sector of counts that was read last.
    recent: RefCell<Option<(u64, Vec<u8>)>>,
}

impl Refcounts {
    /// The counts of the image with `header` in `file`.
    pub(super) fn new(header: &Header, file: &SharedMedium) -> Result<Self> {
        let cluster_bytes = header.cluster_bytes();
        let bits = arith::mul(cluster_bytes, 8)?;
        let end = arith::div_ceil(file.len_bytes(), cluster_bytes)?;
        Ok(Self {
            cluster_bytes,
            order: header.refcount_order,
            per_block: arith::div(bits, arith::pow2(header.refcount_order)?)?,
            table_offset: header.reftable_offset,
            table_clusters: header.reftable_clusters,
            cursor: if file.can_grow() { end } else { 0 },
            scanned: 0,
            recent: RefCell::new(None),
        })
    }

    /// Forgets what was read.
    pub(super) fn forget(&self) {
        self.recent.replace(None);
    }

    /// Block and index in it of the count of `cluster`; no block means that the count is 0.
    pub(super) fn place(
        &self,
        file: &SharedMedium,
        staged: &Staged,
        cluster: u64,
    ) -> Result<(Option<u64>, u64)> {
        let block = self.block(file, staged, arith::div(cluster, self.per_block)?)?;
        Ok((block, arith::rem(cluster, self.per_block)?))
    }

    /// The reference count of `cluster` before what is staged, but for clusters that are taken.
    pub(super) fn count(&self, file: &SharedMedium, staged: &Staged, cluster: u64) -> Result<u64> {
        let (block, index) = self.place(file, staged, cluster)?;
        let Some(block) = block else { return Ok(0) };
        if let Some(bytes) = staged.clusters.get(&block) {
            return table::refcount(bytes, index, self.order);
        }
        let per_sector = refcounts_per_sector(self.order)?;
        let sectors = arith::mul(arith::div(index, per_sector)?, len_u64(SECTOR_BYTES))?;
        let offset = arith::add(block, sectors)?;
        let index = arith::rem(index, per_sector)?;
        let mut recent = self.recent.borrow_mut();
        if let Some((known, sector)) = recent.as_ref()
            && *known == offset
        {
            return table::refcount(sector, index, self.order);
        }
        let mut sector = vec![0; SECTOR_BYTES];
        file.read_at(offset, &mut sector)?;
        let count = table::refcount(&sector, index, self.order)?;
        *recent = Some((offset, sector));
        Ok(count)
    }

    /// Takes a free cluster, and gives its offset.
    ///
    /// # Errors
    /// `Refused` if the device is full; `Corrupt`, `Limit`, `Io`.
    pub(super) fn take(
        &mut self,
        file: &SharedMedium,
        staged: &mut Staged,
        structures: &mut Structures,
    ) -> Result<u64> {
        let cluster = self.next_free(file, staged, structures)?;
        self.reference(file, staged, structures, cluster)?;
        Ok(arith::mul(cluster, self.cluster_bytes)?)
    }

    /// Notes that one reference to the cluster at `offset` goes away.
    pub(super) fn release(
        &self,
        file: &SharedMedium,
        staged: &mut Staged,
        cluster: u64,
    ) -> Result<()> {
        let count = self.count(file, staged, cluster)?;
        let released = staged.released.entry(cluster).or_default();
        *released = arith::add(*released, 1)?;
        if *released > count {
            let offset = arith::mul(cluster, self.cluster_bytes)?;
            return Err(needs_check(offset, count));
        }
        Ok(())
    }

    /// The next cluster without a reference, not taken yet.
    fn next_free(
        &mut self,
        file: &SharedMedium,
        staged: &Staged,
        structures: &Structures,
    ) -> Result<u64> {
        loop {
            let cluster = self.cursor;
            self.cursor = arith::add(cluster, 1)?;
            self.scanned = arith::add(self.scanned, 1)?;
            if self.scanned > SCAN_CLUSTERS_MAX {
                let what = "number of used clusters before a free one";
                return Err(Error::limit(what, SCAN_CLUSTERS_MAX, self.scanned));
            }
            let offset = arith::mul(cluster, self.cluster_bytes)?;
            let end = arith::add(offset, self.cluster_bytes)?;
            if end > FILE_BYTES_MAX || (!file.can_grow() && end > file.len_bytes()) {
                let what = format!("clusters of {} bytes in the image", self.cluster_bytes);
                return Err(Refusal::NoSpace { what, needed: 1, available: 0 }.into());
            }
            if self.count(file, staged, cluster)? != 0 {
                continue;
            }
            if structures.contains(offset) {
                return Err(needs_check(offset, 0));
            }
            return Ok(cluster);
        }
    }

    /// Gives `cluster`, which was free, its first reference.
    fn reference(
        &mut self,
        file: &SharedMedium,
        staged: &mut Staged,
        structures: &mut Structures,
        cluster: u64,
    ) -> Result<()> {
        self.ensure_block(file, staged, structures, arith::div(cluster, self.per_block)?)?;
        let (block, index) = self.place(file, staged, cluster)?;
        match block.and_then(|block| staged.clusters.get_mut(&block)) {
            Some(bytes) => table::put_refcount(bytes, index, self.order, 1)?,
            None => staged.taken.push(cluster),
        }
        Ok(())
    }

    /// Makes sure that there is a refcount block with `index`. It may be the one that counts itself.
    fn ensure_block(
        &mut self,
        file: &SharedMedium,
        staged: &mut Staged,
        structures: &mut Structures,
        index: u64,
    ) -> Result<()> {
        if self.block(file, staged, index)?.is_some() {
            return Ok(());
        }
        let entries = arith::div(arith::mul(self.table_clusters, self.cluster_bytes)?, 8)?;
        if index >= entries {
            self.grow_table(file, staged, structures, index)?;
        }
        if self.block(file, staged, index)?.is_some() {
            return Ok(());
        }
        let cluster = self.next_free(file, staged, structures)?;
        let offset = arith::mul(cluster, self.cluster_bytes)?;
        staged.clusters.insert(offset, vec![0; arith::to(self.cluster_bytes)?]);
        structures.insert(offset);
        let at = arith::add(self.table_offset, arith::mul(index, 8)?)?;
        self.put_block_entry(staged, at, offset)?;
        // Its own count may need yet another block, which then counts itself: clusters are taken in ascending order.
        self.reference(file, staged, structures, cluster)
    }

    /// Moves the refcount table to where it has room for an entry with `index`, and for many more.
    fn grow_table(
        &mut self,
        file: &SharedMedium,
        staged: &mut Staged,
        structures: &mut Structures,
        index: u64,
    ) -> Result<()> {
        let old_bytes = arith::mul(self.table_clusters, self.cluster_bytes)?;
        // Twice the need covers the blocks that count the new table itself.
        let needed = arith::mul(arith::mul(arith::add(index, 1)?, 8)?, 2)?;
        let new_bytes = arith::round_up(needed, self.cluster_bytes)?;
        if new_bytes > REFTABLE_BYTES_MAX {
            let what = "size of the refcount table in bytes";
            return Err(Error::limit(what, REFTABLE_BYTES_MAX, new_bytes));
        }
        let clusters = arith::div(new_bytes, self.cluster_bytes)?;
        let mut content = self.table_bytes(file, staged, old_bytes)?;
        content.resize(arith::to(new_bytes)?, 0);
        let first = self.next_free_run(file, staged, structures, clusters)?;
        let (old_offset, old_clusters) = (self.table_offset, self.table_clusters);
        self.table_offset = arith::mul(first, self.cluster_bytes)?;
        self.table_clusters = clusters;
        staged.has_new_table = true;
        // They are part of the new table now.
        staged.block_entries.clear();
        let mut offset = self.table_offset;
        for cluster in content.chunks(arith::to(self.cluster_bytes)?) {
            staged.clusters.insert(offset, cluster.to_vec());
            structures.insert(offset);
            offset = arith::add(offset, self.cluster_bytes)?;
        }
        for added in 0..clusters {
            self.reference(file, staged, structures, arith::add(first, added)?)?;
        }
        let old_first = arith::div(old_offset, self.cluster_bytes)?;
        for removed in 0..old_clusters {
            self.release(file, staged, arith::add(old_first, removed)?)?;
        }
        Ok(())
    }

    /// The first of `clusters` free ones in a row.
    fn next_free_run(
        &mut self,
        file: &SharedMedium,
        staged: &Staged,
        structures: &Structures,
        clusters: u64,
    ) -> Result<u64> {
        let mut first = self.next_free(file, staged, structures)?;
        let mut found = 1;
        while found < clusters {
            let next = self.next_free(file, staged, structures)?;
            if next == arith::add(first, found)? {
                found = arith::add(found, 1)?;
            } else {
                (first, found) = (next, 1);
            }
        }
        Ok(first)
    }

    /// The entries of the refcount table, staged ones included.
    fn table_bytes(&self, file: &SharedMedium, staged: &Staged, len: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; arith::to(len)?];
        file.read_at(self.table_offset, &mut bytes)?;
        for (&at, value) in &staged.block_entries {
            let within = arith::to(arith::sub(at, self.table_offset)?)?;
            field::put(&mut bytes, within, &value.to_be_bytes())?;
        }
        Ok(bytes)
    }

    /// The offset of the refcount block with `index`.
    fn block(&self, file: &SharedMedium, staged: &Staged, index: u64) -> Result<Option<u64>> {
        let at = arith::mul(index, 8)?;
        if at >= arith::mul(self.table_clusters, self.cluster_bytes)? {
            return Ok(None);
        }
        let at = arith::add(self.table_offset, at)?;
        let within = arith::rem(at, self.cluster_bytes)?;
        let entry = if let Some(bytes) = staged.clusters.get(&arith::sub(at, within)?) {
            field::be_u64(bytes, arith::to(within)?)?
        } else if let Some(&entry) = staged.block_entries.get(&at) {
            entry
        } else {
            let mut bytes = [0; 8];
            file.read_at(at, &mut bytes)?;
            u64::from_be_bytes(bytes)
        };
        let is_inside = entry < file.len_bytes() || staged.clusters.contains_key(&entry);
        if arith::rem(entry, self.cluster_bytes)? != 0 || !is_inside {
            return Err(impossible(entry));
        }
        Ok((entry != 0).then_some(entry))
    }

    fn put_block_entry(&self, staged: &mut Staged, at: u64, offset: u64) -> Result<()> {
        let within = arith::rem(at, self.cluster_bytes)?;
        match staged.clusters.get_mut(&arith::sub(at, within)?) {
            Some(bytes) => field::put(bytes, arith::to(within)?, &offset.to_be_bytes())?,
            None => {
                staged.block_entries.insert(at, offset);
            }
        }
        Ok(())
    }
}

/// The refusal of an image whose counts contradict its tables.
pub(super) fn needs_check(offset: u64, count: u64) -> Error {
    let defect = Corrupt::new("qcow2 image", Defect::Refcount { offset, count });
    Refusal::ContainerNeedsCheck { what: format!("{defect}, which contradicts its tables") }.into()
}
