//! Writing the guest's disk.
//!
//! A cluster that belongs to the active disk alone is written in place: each sector is old or new, and nothing else
//! changes. Any other (not there yet, of the backing file, zeros, compressed, shared with a snapshot) gets a new
//! cluster with its whole content. New clusters are staged in memory (see [`super::staging`]) and committed in the
//! order of [`super::commit`] by [`Medium::sync`], or earlier if they become too many.

use super::bitmaps;
use super::chain::Layer;
use super::commit::commit;
use super::header::Header;
use super::reader::Qcow2Disk;
use super::refcounts::Refcounts;
use super::staged::Staged;
use super::structures::Structures;
use super::trial;
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::medium::Medium;
use crate::disk::{Disk, check_range};
use crate::error::{Error, Result};
use crate::image::container::files::{MediumDisk, SharedMedium};
use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bound on the staged bytes before they are committed.
const STAGED_BYTES_MAX: u64 = 16 << 20;

/// Where a header of version 3 has its autoclear features.
const HEADER_AUTOCLEAR: u64 = 88;

/// A qcow2 image that is open for writing: the disk that the guest sees.
#[derive(Debug)]
pub(super) struct Qcow2Medium {
    pub(super) image: SharedMedium,
    pub(super) data: Option<SharedMedium>,
    backing: Option<Arc<dyn Disk>>,
    pub(super) header: Header,
    pub(super) refcounts: Refcounts,
    pub(super) structures: Structures,
    pub(super) staged: Staged,
    /// Bytes that are staged, about.
    pub(super) staged_bytes: u64,
    /// True once [`Self::begin`] is done.
    is_begun: bool,
    /// True after a failed commit: what is in the files is then not what is staged.
    is_failed: bool,
    /// Reads the files as they are; made again after each commit.
    reader: RefCell<Option<Arc<Qcow2Disk>>>,
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

    /// The same image with what is staged, to see what further writes would come to.
    pub(super) fn copy(&self) -> Self {
        Self {
            image: self.image.clone(),
            data: self.data.clone(),
            backing: self.backing.clone(),
            header: self.header.clone(),
            refcounts: self.refcounts.clone(),
            structures: self.structures.clone(),
            staged: self.staged.clone(),
            staged_bytes: self.staged_bytes,
            is_begun: self.is_begun,
            is_failed: self.is_failed,
            reader: RefCell::new(None),
        }
    }

    /// The disk as it is in the files.
    pub(super) fn reader(&self) -> Arc<Qcow2Disk> {
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

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        trial::check(self, ranges)
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
