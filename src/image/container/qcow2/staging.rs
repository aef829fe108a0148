//! Where a write goes: in place, or to new clusters and new entries of the tables, which are staged.

use super::defect::Defect;
use super::refcounts::needs_check;
use super::table::{COPIED, Mapping, Place, decode_l1, decode_l2};
use super::writer::Qcow2Medium;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::Disk as _;
use crate::disk::medium::{HostMedium as _, Medium as _};
use crate::error::{Corrupt, Result};

/// The entries that lead to a cluster of the guest.
pub(super) struct Path {
    /// Where the L1 entry is, and the table it leads to.
    l1_at: u64,
    table: Option<Place>,
    /// Byte offset of the L2 entry in its table.
    within_table: u64,
    mapping: Mapping,
}

impl Qcow2Medium {
    /// Writes `bytes` into the cluster of the guest at `guest`, from its byte `within`.
    pub(super) fn write_part(&mut self, guest: u64, within: u64, bytes: &[u8]) -> Result<()> {
        let start = arith::to(within)?;
        if let Some(staged) = self.staged.guest_data_mut(guest, self.data.is_some()) {
            return Ok(field::put(staged, start, bytes)?);
        }
        let path = self.path(guest)?;
        if let Some(offset) = self.place_to_write(guest, &path)? {
            let file = self.data.as_mut().unwrap_or(&mut self.image);
            let at = arith::add(offset, within)?;
            let end = arith::add(at, len_u64(bytes.len()))?;
            if end > file.len_bytes() {
                file.set_len(end)?;
            }
            return file.write_at(at, bytes);
        }
        self.stage(guest, &path, start, bytes)
    }

    pub(super) fn path(&self, guest: u64) -> Result<Path> {
        let span = self.header.l2_span_bytes()?;
        let l1_at = arith::add(self.header.l1_offset, arith::mul(arith::div(guest, span)?, 8)?)?;
        let table = decode_l1(self.entry(l1_at)?, &self.header)?;
        let index = arith::div(arith::rem(guest, span)?, self.header.cluster_bytes())?;
        let within_table = arith::mul(index, 8)?;
        let entry = match table {
            Some(table) => self.entry(arith::add(table.offset, within_table)?)?,
            None => 0,
        };
        let mapping = decode_l2(entry, &self.header)?;
        Ok(Path { l1_at, table, within_table, mapping })
    }

    /// Where the data of the guest can be written in place.
    pub(super) fn place_to_write(&self, guest: u64, path: &Path) -> Result<Option<u64>> {
        let is_table_ours = path.table.is_some_and(|table| table.is_copied);
        let place = match path.mapping {
            Mapping::Data(place) if is_table_ours && place.is_copied => place,
            _ => return Ok(None),
        };
        let overlap = || Corrupt::new("qcow2 L2 table", Defect::Overlap { offset: place.offset });
        if self.data.is_some() {
            // In a data file everything is where the guest has it.
            return if place.offset == guest { Ok(Some(guest)) } else { Err(overlap().into()) };
        }
        if self.structures.contains(place.offset) {
            return Err(overlap().into());
        }
        self.check_single(place.offset)?;
        Ok(Some(place.offset))
    }

    /// Makes sure that the cluster at `offset` has one reference, as the entry that leads to it says.
    fn check_single(&self, offset: u64) -> Result<()> {
        let cluster = arith::div(offset, self.header.cluster_bytes())?;
        let is_new = self.staged.clusters.contains_key(&offset);
        match self.refcounts.count(&self.image, &self.staged, cluster)? {
            _ if is_new => Ok(()),
            1 => Ok(()),
            count => Err(needs_check(offset, count)),
        }
    }

    /// Gives the cluster of the guest a new place, with its old content and `bytes` in it.
    fn stage(&mut self, guest: u64, path: &Path, start: usize, bytes: &[u8]) -> Result<()> {
        let cluster_bytes = self.header.cluster_bytes();
        let mut content = vec![0; arith::to(cluster_bytes)?];
        let present = arith::sub(self.header.size_bytes, guest)?.min(cluster_bytes);
        let old = field::slice_mut(&mut content, 0, arith::to(present)?)?;
        self.reader().read_at(guest, old)?;
        field::put(&mut content, start, bytes)?;
        let place = self.reserve(guest, path)?;
        let staged =
            if self.data.is_some() { &mut self.staged.data } else { &mut self.staged.clusters };
        staged.insert(place, content);
        self.staged_bytes = arith::add(self.staged_bytes, cluster_bytes)?;
        Ok(())
    }

    /// Takes a new place for the cluster of the guest, enters it into the tables, and gives the old one up.
    pub(super) fn reserve(&mut self, guest: u64, path: &Path) -> Result<u64> {
        let table = self.writable_table(path)?;
        let place = if self.data.is_some() {
            guest
        } else {
            self.refcounts.take(&self.image, &mut self.staged, &mut self.structures)?
        };
        self.staged.guest.insert(guest, place);
        self.put_entry(arith::add(table, path.within_table)?, place | COPIED)?;
        self.release(&path.mapping)?;
        Ok(place)
    }

    /// The L2 table of `path`, made or copied if it is not ours alone.
    fn writable_table(&mut self, path: &Path) -> Result<u64> {
        let cluster_bytes = self.header.cluster_bytes();
        let mut content = vec![0; arith::to(cluster_bytes)?];
        if let Some(table) = path.table {
            if table.is_copied {
                self.check_single(table.offset)?;
                return Ok(table.offset);
            }
            let present = arith::sub(self.image.len_bytes(), table.offset)?.min(cluster_bytes);
            let old = field::slice_mut(&mut content, 0, arith::to(present)?)?;
            self.image.read_at(table.offset, old)?;
            let cluster = arith::div(table.offset, cluster_bytes)?;
            self.refcounts.release(&self.image, &mut self.staged, cluster)?;
        }
        let place = self.refcounts.take(&self.image, &mut self.staged, &mut self.structures)?;
        self.staged.clusters.insert(place, content);
        self.structures.insert(place);
        self.staged_bytes = arith::add(self.staged_bytes, cluster_bytes)?;
        self.put_entry(path.l1_at, place | COPIED)?;
        Ok(place)
    }

    /// Drops the references of what a cluster of the guest was before.
    fn release(&mut self, mapping: &Mapping) -> Result<()> {
        if self.data.is_some() {
            return Ok(());
        }
        let cluster_bytes = self.header.cluster_bytes();
        let clusters = match mapping {
            Mapping::Unallocated | Mapping::Zero(None) => return Ok(()),
            Mapping::Data(Place { offset, .. }) | Mapping::Zero(Some(offset)) => {
                let cluster = arith::div(*offset, cluster_bytes)?;
                cluster..=cluster
            }
            Mapping::Compressed(clusters) => clusters.clone(),
        };
        for cluster in clusters {
            self.refcounts.release(&self.image, &mut self.staged, cluster)?;
        }
        Ok(())
    }

    /// The table entry at `offset` as it will be.
    fn entry(&self, offset: u64) -> Result<u64> {
        if let Some(&entry) = self.staged.pointers.get(&offset) {
            return Ok(entry);
        }
        let within = arith::rem(offset, self.header.cluster_bytes())?;
        if let Some(table) = self.staged.clusters.get(&arith::sub(offset, within)?) {
            return Ok(field::be_u64(table, arith::to(within)?)?);
        }
        let mut bytes = [0; 8];
        // A table at the end of the file may be cut off; its entries are then zero.
        if arith::add(offset, 8)? <= self.image.len_bytes() {
            self.image.read_at(offset, &mut bytes)?;
        }
        Ok(u64::from_be_bytes(bytes))
    }

    fn put_entry(&mut self, offset: u64, entry: u64) -> Result<()> {
        let within = arith::rem(offset, self.header.cluster_bytes())?;
        match self.staged.clusters.get_mut(&arith::sub(offset, within)?) {
            Some(table) => field::put(table, arith::to(within)?, &entry.to_be_bytes())?,
            None => {
                self.staged.pointers.insert(offset, entry);
            }
        }
        Ok(())
    }
}
