//! Writing the guest's disk.
//!
//! A cluster that belongs to the active disk alone is written in place: each sector is old or new, and nothing else
//! changes. Any other (not there yet, of the backing file, zeros, compressed, shared with a snapshot) gets a new
//! cluster with its whole content. New clusters are staged in memory and committed in the order of [`super::commit`]
//! by [`Medium::sync`], or earlier if they become too many.

use super::bitmaps;
use super::chain::Layer;
use super::commit::commit;
use super::defect::Defect;
use super::header::Header;
use super::reader::Qcow2Disk;
use super::refcounts::{Refcounts, needs_check};
use super::staged::Staged;
use super::structures::Structures;
use super::table::{COPIED, Mapping, Place, decode_l1, decode_l2};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::medium::{HostMedium as _, Medium};
use crate::disk::{Disk, check_range};
use crate::error::{Corrupt, Error, Result};
use crate::image::container::files::{MediumDisk, SharedMedium};
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// Bound on the staged bytes before they are committed.
const STAGED_BYTES_MAX: u64 = 16 << 20;

/// Where a header of version 3 has its autoclear features.
const HEADER_AUTOCLEAR: u64 = 88;

/// A qcow2 image that is open for writing: the disk that the guest sees.
#[derive(Debug)]
pub(super) struct Qcow2Medium {
    image: SharedMedium,
    data: Option<SharedMedium>,
    backing: Option<Arc<dyn Disk>>,
    header: Header,
    refcounts: Refcounts,
    structures: Structures,
    staged: Staged,
    /// Bytes that are staged, about.
    staged_bytes: u64,
    /// True once [`Self::begin`] is done.
    is_begun: bool,
    /// True after a failed commit: what is in the files is then not what is staged.
    is_failed: bool,
    /// Reads the files as they are; made again after each commit.
    reader: RefCell<Option<Arc<Qcow2Disk>>>,
}

/// The entries that lead to a cluster of the guest.
struct Path {
    /// Where the L1 entry is, and the table it leads to.
    l1_at: u64,
    table: Option<Place>,
    /// Byte offset of the L2 entry in its table.
    within_table: u64,
    mapping: Mapping,
}

impl Qcow2Medium {
    /// Takes over the image of `layer` in `image`, with its external `data` file.
    ///
    /// # Errors
    /// `Corrupt`; `Io`.
    pub(super) fn new(
        layer: Layer,
        image: SharedMedium,
        data: Option<SharedMedium>,
    ) -> Result<Self> {
        let refcounts = Refcounts::new(&layer.header, &image)?;
        let structures = Structures::find(&layer.header, &image)?;
        Ok(Self {
            image,
            data,
            backing: layer.backing,
            header: layer.header,
            refcounts,
            structures,
            staged: Staged::default(),
            staged_bytes: 0,
            is_begun: false,
            is_failed: false,
            reader: RefCell::new(None),
        })
    }

    /// The disk as it is in the files.
    fn reader(&self) -> Arc<Qcow2Disk> {
        let make = || {
            let disk =
                |file: &SharedMedium| -> Arc<dyn Disk> { Arc::new(MediumDisk(file.clone())) };
            let (image, data) = (disk(&self.image), self.data.as_ref().map(disk));
            Arc::new(Qcow2Disk::new(self.header.clone(), image, data, self.backing.clone()))
        };
        self.reader.borrow_mut().get_or_insert_with(make).clone()
    }

    /// Ends what does not survive a write, before the first one: bitmaps, and features that we do not know.
    fn begin(&mut self) -> Result<()> {
        if self.is_failed {
            return Err(io::Error::other("an earlier write to this image failed").into());
        }
        if self.is_begun {
            return Ok(());
        }
        let lasting = self.header.lasting_autoclear();
        if let Some(directory) = self.header.valid_bitmaps() {
            bitmaps::invalidate(directory, &mut self.image)?;
            self.image.sync()?;
        }
        if self.header.autoclear != lasting {
            self.image.write_at(HEADER_AUTOCLEAR, &lasting.to_be_bytes())?;
            self.image.sync()?;
        }
        self.is_begun = true;
        Ok(())
    }

    /// Writes `bytes` into the cluster of the guest at `guest`, from its byte `within`.
    fn write_part(&mut self, guest: u64, within: u64, bytes: &[u8]) -> Result<()> {
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

    fn path(&self, guest: u64) -> Result<Path> {
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
    fn place_to_write(&self, guest: u64, path: &Path) -> Result<Option<u64>> {
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
        let table = self.writable_table(path)?;
        let place = if self.data.is_some() {
            self.staged.data.insert(guest, content);
            guest
        } else {
            let place = self.refcounts.take(&self.image, &mut self.staged, &mut self.structures)?;
            self.staged.clusters.insert(place, content);
            place
        };
        self.staged.guest.insert(guest, place);
        self.staged_bytes = arith::add(self.staged_bytes, cluster_bytes)?;
        self.put_entry(arith::add(table, path.within_table)?, place | COPIED)?;
        self.release(&path.mapping)
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

    /// Brings what is staged into the files.
    fn commit(&mut self) -> Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        self.is_failed = true;
        let order = self.header.refcount_order;
        commit(&self.staged, &self.refcounts, order, &mut self.image, self.data.as_mut())?;
        self.staged = Staged::default();
        self.staged_bytes = 0;
        self.forget();
        self.is_failed = false;
        Ok(())
    }

    /// Forgets what was read from the files.
    fn forget(&self) {
        self.reader.replace(None);
        self.refcounts.forget();
    }

    /// Splits a range at the borders of clusters: cluster, first byte in it, first byte of the range, length.
    fn parts(&self, offset_bytes: u64, len: usize) -> Result<Vec<(u64, u64, usize, usize)>> {
        let cluster_bytes = self.header.cluster_bytes();
        let mut parts = Vec::new();
        let mut done = 0usize;
        while done < len {
            let at = arith::add(offset_bytes, len_u64(done))?;
            let within = arith::rem(at, cluster_bytes)?;
            let room: usize = arith::to(arith::sub(cluster_bytes, within)?)?;
            let part = room.min(len.saturating_sub(done));
            parts.push((arith::sub(at, within)?, within, done, part));
            done = done.saturating_add(part);
        }
        Ok(parts)
    }
}

impl Medium for Qcow2Medium {
    fn len_bytes(&self) -> u64 {
        self.header.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.reader().read_at(offset_bytes, buffer)?;
        if self.staged.is_empty() {
            return Ok(());
        }
        for (guest, within, start, len) in self.parts(offset_bytes, buffer.len())? {
            if let Some(staged) = self.staged.guest_data(guest, self.data.is_some()) {
                field::put(buffer, start, field::slice(staged, arith::to(within)?, len)?)?;
            }
        }
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        self.begin()?;
        for (guest, within, start, len) in self.parts(offset_bytes, bytes.len())? {
            let written = field::slice(bytes, start, len)
                .map_err(Error::from)
                .and_then(|part| self.write_part(guest, within, part));
            if written.is_err() {
                // Half of a cluster may be staged.
                self.is_failed = true;
            }
            written?;
            if self.staged_bytes > STAGED_BYTES_MAX {
                self.commit()?;
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        if self.is_failed {
            return Err(io::Error::other("an earlier write to this image failed").into());
        }
        self.commit()?;
        if let Some(data) = &mut self.data {
            data.sync()?;
        }
        self.image.sync()
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.forget();
        if let Some(data) = &mut self.data {
            data.drop_cache()?;
        }
        self.image.drop_cache()
    }
}
