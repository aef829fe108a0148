//! The place where the two ways of the data meet: a disk under a layer of changed sectors.
//!
//! File-system code reads through an [`Overlay`] and writes into it, and believes that it edits a disk.
//! A failed edit needs no rollback code: the overlay is dropped, or taken back to a [`Savepoint`]. A finished
//! one is turned into a patch from [`Overlay::changes`].

use super::{COMPLETING_LABEL, Disk, DiskEdit, SECTOR_BYTES, check_range};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::{Error, Result};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bound on the memory of one overlay, in sectors: 512 MiB, far above any journal that has to be replayed.
pub const OVERLAY_SECTORS_MAX: usize = 1024 * 1024;

/// Longest run of [`Overlay::changes`]. So short that the memory of sectors that were given back is used
/// again for it.
pub const RUN_BYTES_MAX: usize = 64 * 1024;

type Sector = [u8; SECTOR_BYTES];

/// A changed sector: its bytes after the edit, and what it holds.
#[derive(Debug, Clone)]
struct Changed {
    after: Sector,
    labels: Vec<Arc<str>>,
}

/// The changed sectors by index. A savepoint shares them until one is written again.
type Sectors = BTreeMap<u64, Arc<Changed>>;

/// A disk with changes laid over it.
#[derive(Debug)]
pub struct Overlay {
    base: Arc<dyn Disk>,
    sectors: Mutex<Sectors>,
    /// True if whole sectors are taken as changes without a look at the disk below.
    is_recording: bool,
}

/// What [`Overlay::drain_to`] has written.
#[derive(Debug, PartialEq, Eq)]
pub struct Drained {
    /// The ranges, ascending, whole sectors.
    ranges: Vec<Range<u64>>,
    /// SHA-256 of their bytes.
    digest: [u8; 32],
}

impl Drained {
    /// True if `disk` still holds what was written to it.
    ///
    /// # Errors
    /// As [`Disk::read_at`].
    pub fn is_on(&self, disk: &dyn Disk) -> Result<bool> {
        let mut hash = Sha256::new();
        let mut buffer = vec![0; RUN_BYTES_MAX];
        for range in &self.ranges {
            let mut at = range.start;
            while at < range.end {
                let len = arith::sub(range.end, at)?.min(len_u64(RUN_BYTES_MAX));
                let piece = field::slice_mut(&mut buffer, 0, arith::to(len)?)?;
                disk.read_at(at, piece)?;
                hash.update(&*piece);
                at = arith::add(at, len)?;
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        Ok(digest == self.digest)
    }
}

/// One changed run of sectors, as [`Overlay::changes`] gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Start on the disk, a multiple of [`SECTOR_BYTES`].
    pub offset_bytes: u64,
    /// The bytes of the disk below, a multiple of [`SECTOR_BYTES`] long (but for the end of an odd disk).
    pub before: Vec<u8>,
    /// The bytes of the overlay, as long as `before`.
    pub after: Vec<u8>,
    /// The structures that lie in the run, in order of first write, each once.
    pub labels: Vec<String>,
}

/// A remembered state of an overlay.
#[derive(Debug)]
pub struct Savepoint(Sectors);

impl Overlay {
    /// Lays an empty overlay over `base`.
    pub fn new(base: Arc<dyn Disk>) -> Self {
        Self { base, sectors: Mutex::new(BTreeMap::new()), is_recording: false }
    }

    /// Lays an empty overlay over `base` for sectors that are known to differ from it: whole ones are taken, and
    /// given back when they are read, without reading `base`.
    pub fn recording(base: Arc<dyn Disk>) -> Self {
        Self { is_recording: true, ..Self::new(base) }
    }

    /// Remembers the present state.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.lock().clone())
    }

    /// Drops every write since `savepoint` was taken.
    pub fn roll_back(&self, savepoint: Savepoint) {
        *self.lock() = savepoint.0;
    }

    /// The runs that differ from the disk below, ascending, each at most [`RUN_BYTES_MAX`] long. They touch
    /// only where one is full, or at the sectors of a [`COMPLETING_LABEL`].
    ///
    /// A sector that was written with the bytes it already had is not a change.
    ///
    /// # Errors
    /// As [`Disk::read_at`] of the disk below.
    pub fn changes(&self) -> Result<Vec<Change>> {
        let sectors = self.lock().clone();
        self.collect(sectors)
    }

    /// As [`Overlay::changes`], but leaves the overlay empty. Each sector is given back once it is copied, so
    /// that a large edit is not in memory three times; that needs every savepoint to be gone.
    ///
    /// # Errors
    /// As [`Overlay::changes`]; the overlay is empty all the same.
    pub fn take_changes(&self) -> Result<Vec<Change>> {
        let sectors = std::mem::take(&mut *self.lock());
        self.collect(sectors)
    }

    /// From the last sector to the first, as they can be taken out of the map.
    fn collect(&self, mut sectors: Sectors) -> Result<Vec<Change>> {
        let mut changes: Vec<Change> = Vec::new();
        while let Some((index, changed)) = sectors.pop_last() {
            let offset_bytes = arith::mul(index, len_u64(SECTOR_BYTES))?;
            let before = self.base.read_vec(offset_bytes, self.sector_len(offset_bytes)?)?;
            let after = field::slice(&changed.after, 0, before.len())?;
            if before != after {
                let end = arith::add(offset_bytes, len_u64(after.len()))?;
                let is_completing = changed.is_completing();
                if !changes.last().is_some_and(|run| may_grow(run, end, is_completing)) {
                    let (before, after) = (Vec::new(), Vec::new());
                    changes.push(Change { offset_bytes, before, after, labels: Vec::new() });
                }
                if let Some(run) = changes.last_mut() {
                    add_in_front(run, offset_bytes, (&before, after), &changed.labels);
                }
            }
        }
        for change in &mut changes {
            put_in_order(&mut change.before);
            put_in_order(&mut change.after);
        }
        changes.reverse();
        Ok(changes)
    }

    /// The ranges that were written and may differ from the disk below, ascending, whole sectors.
    pub fn written(&self) -> Vec<Range<u64>> {
        let sector_bytes = len_u64(SECTOR_BYTES);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for &index in self.lock().keys() {
            // The index came from an offset on the disk.
            let start = index.saturating_mul(sector_bytes);
            let end = start.saturating_add(sector_bytes);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }

    /// Writes everything that differs from the disk below to `target`, which must be as that disk.
    ///
    /// # Errors
    /// As [`Overlay::changes`] and [`DiskEdit::write_at`].
    pub fn write_to(&self, target: &dyn DiskEdit) -> Result<()> {
        let sectors = self.lock().clone();
        for (index, changed) in sectors {
            let offset_bytes = arith::mul(index, len_u64(SECTOR_BYTES))?;
            let after = field::slice(&changed.after, 0, self.sector_len(offset_bytes)?)?;
            target.write_at(offset_bytes, after, &changed.labels.join(", "))?;
        }
        Ok(())
    }

    /// Moves everything that was written to `target`, which must be as the disk below, with each label. The
    /// overlay is empty then; sectors are given back as they go, so that a large edit is not in memory twice.
    ///
    /// # Errors
    /// As [`DiskEdit::write_at`]; the overlay is empty all the same.
    pub fn drain_to(&self, target: &dyn DiskEdit) -> Result<Drained> {
        let mut sectors = std::mem::take(&mut *self.lock());
        let mut hash = Sha256::new();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        while let Some((index, first)) = sectors.pop_first() {
            let start = arith::mul(index, len_u64(SECTOR_BYTES))?;
            let mut bytes = field::slice(&first.after, 0, self.sector_len(start)?)?.to_vec();
            let mut end = arith::add(start, len_u64(bytes.len()))?;
            while bytes.len() < RUN_BYTES_MAX
                && let Some(next) = sectors.first_entry()
                && arith::mul(*next.key(), len_u64(SECTOR_BYTES))? == end
                && next.get().labels == first.labels
            {
                let len = self.sector_len(end)?;
                bytes.extend_from_slice(field::slice(&next.remove().after, 0, len)?);
                end = arith::add(end, len_u64(len))?;
            }
            for label in &first.labels {
                target.write_at(start, &bytes, label)?;
            }
            hash.update(&bytes);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        Ok(Drained { ranges, digest: hash.finalize().into() })
    }

    /// True if every sector from `first` to before `last` was written.
    fn covers(&self, first: u64, last: u64) -> bool {
        let count = self.lock().range(first..last).count();
        len_u64(count) == last.saturating_sub(first)
    }

    fn lock(&self) -> MutexGuard<'_, Sectors> {
        self.sectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Length of the sector at `offset_bytes`: full, but for the end of a disk of odd length.
    fn sector_len(&self, offset_bytes: u64) -> Result<usize> {
        let left = arith::sub(self.base.len_bytes(), offset_bytes)?;
        Ok(arith::to(left.min(len_u64(SECTOR_BYTES)))?)
    }

    fn load_sector(&self, index: u64) -> Result<Changed> {
        let offset_bytes = arith::mul(index, len_u64(SECTOR_BYTES))?;
        let mut after = [0; SECTOR_BYTES];
        let len = self.sector_len(offset_bytes)?;
        self.base.read_at(offset_bytes, field::slice_mut(&mut after, 0, len)?)?;
        Ok(Changed { after, labels: Vec::new() })
    }
}

impl Changed {
    fn is_completing(&self) -> bool {
        self.labels.iter().any(|label| **label == *COMPLETING_LABEL)
    }

    fn put(&mut self, from: usize, part: &[u8], label: &Arc<str>) -> Result<()> {
        field::put(&mut self.after, from, part)?;
        if !self.labels.contains(label) {
            // Most sectors hold one structure, and a replay brings many sectors.
            self.labels.reserve_exact(1);
            self.labels.push(label.clone());
        }
        Ok(())
    }
}

/// True if a sector that ends at `end` can be put in front of `run`.
fn may_grow(run: &Change, end: u64, is_completing: bool) -> bool {
    run.offset_bytes == end
        && run.after.len() < RUN_BYTES_MAX
        && run.labels.iter().any(|label| label == COMPLETING_LABEL) == is_completing
}

/// Adds a sector to the run that starts behind it. The bytes of a run are its sectors in descending order
/// until [`put_in_order`].
fn add_in_front(
    run: &mut Change,
    offset_bytes: u64,
    (before, after): (&[u8], &[u8]),
    labels: &[Arc<str>],
) {
    run.offset_bytes = offset_bytes;
    run.before.extend_from_slice(before);
    run.after.extend_from_slice(after);
    if !labels.iter().map(|label| &**label).eq(run.labels.iter().map(String::as_str)) {
        run.labels.retain(|known| !labels.iter().any(|label| **label == **known));
        run.labels.splice(..0, labels.iter().map(ToString::to_string));
    }
}

/// Turns sectors in descending order into ascending order; the last one may be short.
fn put_in_order(bytes: &mut [u8]) {
    bytes.reverse();
    for sector in bytes.chunks_mut(SECTOR_BYTES) {
        sector.reverse();
    }
}

/// The sectors that a range touches: (sector index, start inside the sector, start inside the range, length).
fn sectors_of(offset_bytes: u64, len: usize) -> Result<Vec<(u64, usize, usize, usize)>> {
    let sector_bytes = len_u64(SECTOR_BYTES);
    let mut parts = Vec::new();
    let mut done = 0usize;
    while done < len {
        let position = arith::add(offset_bytes, len_u64(done))?;
        let from: usize = arith::to(arith::rem(position, sector_bytes)?)?;
        let part = SECTOR_BYTES.saturating_sub(from).min(len.saturating_sub(done));
        parts.push((arith::div(position, sector_bytes)?, from, done, part));
        done = done.saturating_add(part);
    }
    Ok(parts)
}

impl Disk for Overlay {
    fn len_bytes(&self) -> u64 {
        self.base.len_bytes()
    }

    fn sector_size_bytes(&self) -> u32 {
        self.base.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let first = arith::div(offset_bytes, len_u64(SECTOR_BYTES))?;
        let end = arith::add(offset_bytes, len_u64(buffer.len()))?;
        let last = arith::div_ceil(end, len_u64(SECTOR_BYTES))?;
        if !(self.is_recording && self.covers(first, last)) {
            self.base.read_at(offset_bytes, buffer)?;
        }
        let sectors = self.lock();
        for (&index, changed) in sectors.range(first..last) {
            let sector_start = arith::mul(index, len_u64(SECTOR_BYTES))?;
            let from = offset_bytes.max(sector_start);
            let to = end.min(arith::add(sector_start, len_u64(SECTOR_BYTES))?);
            let len = arith::to(arith::sub(to, from)?)?;
            let source =
                field::slice(&changed.after, arith::to(arith::sub(from, sector_start)?)?, len)?;
            field::put(buffer, arith::to(arith::sub(from, offset_bytes)?)?, source)?;
        }
        Ok(())
    }
}

impl DiskEdit for Overlay {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        let label: Arc<str> = what.into();
        let mut sectors = self.lock();
        for (index, from, start, len) in sectors_of(offset_bytes, bytes.len())? {
            let part = field::slice(bytes, start, len)?;
            match sectors.entry(index) {
                Entry::Occupied(mut entry) => {
                    let is_new = field::slice(&entry.get().after, from, len)? != part;
                    if is_new || self.is_recording {
                        Arc::make_mut(entry.get_mut()).put(from, part, &label)?;
                    }
                }
                Entry::Vacant(entry) if self.is_recording && len == SECTOR_BYTES => {
                    let mut changed = Changed { after: [0; SECTOR_BYTES], labels: Vec::new() };
                    changed.put(from, part, &label)?;
                    entry.insert(Arc::new(changed));
                }
                Entry::Vacant(entry) => {
                    let mut changed = self.load_sector(index)?;
                    if field::slice(&changed.after, from, len)? != part {
                        changed.put(from, part, &label)?;
                        entry.insert(Arc::new(changed));
                    }
                }
            }
        }
        if sectors.len() > OVERLAY_SECTORS_MAX {
            let (limit, actual) = (len_u64(OVERLAY_SECTORS_MAX), len_u64(sectors.len()));
            return Err(Error::limit("number of changed sectors", limit, actual));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;
    use proptest::prelude::*;

    fn overlay(bytes: Vec<u8>) -> Overlay {
        Overlay::new(Arc::new(MemoryDisk::new(bytes)))
    }

    #[test]
    fn writing_the_same_bytes_is_no_change() {
        let overlay = overlay(vec![7; 2048]);
        overlay.write_at(100, &[7; 600], "same").unwrap();
        assert_eq!(overlay.changes().unwrap(), []);
    }

    #[test]
    fn neighbouring_sectors_form_one_run_with_each_label_once() {
        let overlay = overlay(vec![0; 4096]);
        overlay.write_at(510, &[1; 4], "inode 12").unwrap();
        overlay.write_at(1024, &[2; 2], "inode 12").unwrap();
        overlay.write_at(3000, &[3], "superblock").unwrap();
        let changes = overlay.changes().unwrap();
        let shape: Vec<_> = changes.iter().map(|c| (c.offset_bytes, c.after.len())).collect();
        assert_eq!(shape, [(0, 1536), (2560, 512)]);
        assert_eq!(changes[0].labels, ["inode 12"]);
        overlay.write_at(0, &[4], "inode 9").unwrap();
        overlay.write_at(1500, &[4], "inode 7").unwrap();
        let changes = overlay.take_changes().unwrap();
        assert_eq!(changes[0].labels, ["inode 12", "inode 9", "inode 7"]);
        assert_eq!(changes[0].after[510..514], [1; 4]);
        assert_eq!(overlay.changes().unwrap(), []);
    }

    #[test]
    fn an_overlay_can_be_brought_down_to_the_next() {
        let below = Arc::new(overlay(vec![0; 4096]));
        let above = Overlay::new(below.clone());
        above.write_at(510, &[1; 4], "inode 12").unwrap();
        above.write_at(514, &[2], "inode 13").unwrap();
        above.write_at(3000, &[3], "superblock").unwrap();
        assert_eq!(above.written(), [0..1024, 2560..3072]);
        above.write_to(below.as_ref()).unwrap();
        assert_eq!(below.read_vec(0, 4096).unwrap(), above.read_vec(0, 4096).unwrap());
        assert_eq!(below.changes().unwrap()[0].labels, ["inode 12", "inode 12, inode 13"]);
    }

    #[test]
    fn a_drained_overlay_is_empty_and_its_bytes_are_known_again() {
        let base = || Arc::new(MemoryDisk::new(vec![0; 4200]));
        let below = Overlay::recording(base());
        let above = Overlay::new(base());
        above.write_at(510, &[1; 4], "inode 12").unwrap();
        above.write_at(514, &[2], "inode 13").unwrap();
        above.write_at(1024, &[2], "inode 13").unwrap();
        above.write_at(4100, &[3; 100], "superblock").unwrap();
        let (changes, content) = (above.changes().unwrap(), above.read_vec(0, 4200).unwrap());
        let drained = above.drain_to(&below).unwrap();
        assert_eq!(drained.ranges, [0..1536, 4096..4200]);
        assert_eq!(above.written(), []);
        assert_eq!(below.read_vec(0, 4200).unwrap(), content);
        assert_eq!(below.changes().unwrap(), changes, "the same runs with the same labels");
        assert!(drained.is_on(&below).unwrap());
        below.write_at(4199, &[4], "another volume").unwrap();
        assert!(!drained.is_on(&below).unwrap());
    }

    /// Neither taking whole sectors nor giving them back reads the disk below.
    #[test]
    fn a_recording_overlay_reads_nothing_below() {
        #[derive(Debug)]
        struct Unreadable;
        impl Disk for Unreadable {
            fn len_bytes(&self) -> u64 {
                4096
            }
            fn sector_size_bytes(&self) -> u32 {
                512
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> Result<()> {
                Err(std::io::Error::other("read").into())
            }
        }
        let overlay = Overlay::recording(Arc::new(Unreadable));
        overlay.write_at(512, &[7; 1024], "test").unwrap();
        assert_eq!(overlay.read_vec(600, 900).unwrap(), [7; 900]);
        assert!(overlay.read_vec(600, 1000).is_err());
        assert!(overlay.write_at(0, &[7; 100], "test").is_err());
    }

    #[test]
    fn a_disk_of_odd_length_keeps_its_length() {
        let overlay = overlay(vec![0; 700]);
        overlay.write_at(699, &[1], "end").unwrap();
        assert_eq!(overlay.changes().unwrap()[0].after.len(), 188);
        assert!(overlay.write_at(699, &[1, 2], "end").is_err());
    }

    proptest! {
        /// Against a plain vector, under writes, reads and roll-backs.
        #[test]
        fn behaves_like_a_vector(
            steps in prop::collection::vec((0usize..3000, prop::collection::vec(any::<u8>(), 0..1200), any::<bool>()), 1..30)
        ) {
            let base: Vec<u8> = (0..3000u32).map(|i| (i % 241) as u8).collect();
            let overlay = overlay(base.clone());
            let mut model = base.clone();
            for (offset, bytes, rolls_back) in steps {
                let savepoint = overlay.savepoint();
                let end = offset + bytes.len();
                let result = overlay.write_at(offset as u64, &bytes, "x");
                prop_assert_eq!(result.is_ok(), end <= 3000);
                if rolls_back {
                    overlay.roll_back(savepoint);
                } else if end <= 3000 {
                    model[offset..end].copy_from_slice(&bytes);
                }
                prop_assert_eq!(overlay.read_vec(0, 3000).unwrap(), model.clone());
            }
            let mut patched = base;
            for change in overlay.changes().unwrap() {
                let at = change.offset_bytes as usize;
                prop_assert_eq!(&patched[at..at + change.before.len()], &change.before[..]);
                patched[at..at + change.after.len()].copy_from_slice(&change.after);
            }
            prop_assert_eq!(patched, model);
        }
    }
}
