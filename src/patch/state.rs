//! Where a target stands between the two sides of a patch.
//!
//! Compared sector by sector, because an interrupted run leaves whole sectors of either side
//! (see the assumptions in [`format`](super::format)).

use super::{Patch, Run};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::medium::Medium;
use crate::disk::{Disk, SECTOR_BYTES};
use crate::error::{Error, Result};

/// How much is read, compared and written at once, in bytes: whole sectors.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every sector is as before the edit.
    Unapplied,
    /// Every sector is as after the edit. A patch that changes nothing is always applied.
    Applied,
    /// A mix of both: an interrupted run, which apply finishes and undo takes back.
    Partial {
        /// Sectors that are as before the edit.
        sectors_before: u64,
        /// Sectors that are as after the edit.
        sectors_after: u64,
    },
    /// Some sector is neither: another disk, or changed since. Apply and undo refuse it.
    Foreign {
        /// Start of the first such sector.
        offset_bytes: u64,
    },
}

/// Which side of the patch the target is taken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the bytes after the edit.
    Apply,
    /// To the bytes before the edit.
    Undo,
}

impl Direction {
    /// The bytes that the target shall hold.
    pub(super) fn wanted(self, run: &Run) -> &[u8] {
        match self {
            Self::Apply => &run.after,
            Self::Undo => &run.before,
        }
    }
}

/// Consecutive sectors of one run that do not hold the wanted bytes yet; at most [`CHUNK_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// Index of the run in the patch.
    pub(super) run_index: usize,
    /// Start inside the run, in bytes.
    pub(super) start: usize,
    /// Length in bytes.
    pub(super) len: usize,
}

/// What a look at every run of the target has found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    sectors_before: u64,
    sectors_after: u64,
    /// Start of the first sector that belongs to neither side; nothing behind it was looked at.
    foreign_offset_bytes: Option<u64>,
    /// What has to be written, ascending.
    pub(super) ranges: Vec<Range>,
    /// Bytes read from the target.
    pub(super) bytes_read: u64,
}

/// Reads a target at an offset in bytes.
pub(super) type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> Result<()> + 'a;

/// Compares `disk` with both sides of `patch`.
///
/// # Errors
/// * `Mismatch` - the disk does not have the size that the patch was made for.
/// * `Io` - it cannot be read.
pub fn state(patch: &Patch, disk: &dyn Disk) -> Result<State> {
    check_size(patch, disk.len_bytes())?;
    let read_at = |offset_bytes, buffer: &mut [u8]| disk.read_at(offset_bytes, buffer);
    Ok(survey(patch, Direction::Apply, &read_at)?.state())
}

/// Compares `medium` with both sides of `patch`.
///
/// # Errors
/// As [`state`].
pub fn state_of_medium(patch: &Patch, medium: &dyn Medium) -> Result<State> {
    check_size(patch, medium.len_bytes())?;
    let read_at = |offset_bytes, buffer: &mut [u8]| medium.read_at(offset_bytes, buffer);
    Ok(survey(patch, Direction::Apply, &read_at)?.state())
}

/// Compares the size of a target with the one that `patch` was made for.
pub(super) fn check_size(patch: &Patch, len_bytes: u64) -> Result<()> {
    let expected = patch.description().identity.size_bytes;
    if expected != len_bytes {
        return Err(Error::mismatch(format!(
            "the patch was made for a disk of {expected} bytes, this one has {len_bytes}"
        )));
    }
    Ok(())
}

/// Compares a target with both sides of `patch`, and lists what `direction` has to write.
pub(super) fn survey(patch: &Patch, direction: Direction, read_at: &ReadAt<'_>) -> Result<Survey> {
    let mut survey = Survey::default();
    let longest = patch.runs().iter().map(|run| run.after.len()).max().unwrap_or(0);
    let mut buffer = vec![0; longest.min(CHUNK_BYTES)];
    for (run_index, run) in patch.runs().iter().enumerate() {
        let mut start = 0;
        while start < run.after.len() && survey.foreign_offset_bytes.is_none() {
            let len = run.after.len().saturating_sub(start).min(CHUNK_BYTES);
            let chunk = field::slice_mut(&mut buffer, 0, len)?;
            read_at(arith::add(run.offset_bytes, len_u64(start))?, chunk)?;
            survey.bytes_read = arith::add(survey.bytes_read, len_u64(len))?;
            survey.compare(direction, run, Range { run_index, start, len }, chunk)?;
            start = start.saturating_add(len);
        }
    }
    Ok(survey)
}

impl Survey {
    /// The state of the target.
    pub(super) fn state(&self) -> State {
        match (self.foreign_offset_bytes, self.sectors_before, self.sectors_after) {
            (Some(offset_bytes), _, _) => State::Foreign { offset_bytes },
            (None, 0, _) => State::Applied,
            (None, _, 0) => State::Unapplied,
            (None, sectors_before, sectors_after) => {
                State::Partial { sectors_before, sectors_after }
            }
        }
    }

    /// Where the target first differs from what was wanted.
    pub(super) fn first_difference(&self, patch: &Patch) -> Option<u64> {
        let range = self.ranges.first();
        let run = range.and_then(|range| patch.runs().get(range.run_index));
        let offset =
            |run: &Run, range: &Range| run.offset_bytes.saturating_add(len_u64(range.start));
        run.zip(range).map(|(run, range)| offset(run, range)).or(self.foreign_offset_bytes)
    }

    /// Compares the bytes `found` at `range`, sector by sector, until a foreign one.
    fn compare(
        &mut self,
        direction: Direction,
        run: &Run,
        range: Range,
        found: &[u8],
    ) -> Result<()> {
        let before = field::slice(&run.before, range.start, range.len)?.chunks(SECTOR_BYTES);
        let after = field::slice(&run.after, range.start, range.len)?.chunks(SECTOR_BYTES);
        let sides = before.zip(after);
        let mut start = range.start;
        for (found, (before, after)) in found.chunks(SECTOR_BYTES).zip(sides) {
            let is_done = match direction {
                Direction::Apply => found == after,
                Direction::Undo => found == before,
            };
            if found != before && found != after {
                self.foreign_offset_bytes = Some(arith::add(run.offset_bytes, len_u64(start))?);
                return Ok(());
            }
            if before != after {
                let is_after = found == after;
                self.sectors_before = self.sectors_before.saturating_add(u64::from(!is_after));
                self.sectors_after = self.sectors_after.saturating_add(u64::from(is_after));
            }
            if !is_done {
                self.add_sector(Range { run_index: range.run_index, start, len: found.len() });
            }
            start = start.saturating_add(found.len());
        }
        Ok(())
    }

    /// Adds a sector that has to be written, to the last range if it follows directly.
    fn add_sector(&mut self, sector: Range) {
        if let Some(last) = self.ranges.last_mut() {
            let follows = last.run_index == sector.run_index
                && last.start.saturating_add(last.len) == sector.start;
            let len = last.len.saturating_add(sector.len);
            if follows && len <= CHUNK_BYTES {
                last.len = len;
                return;
            }
        }
        self.ranges.push(sector);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fault::FaultMedium;
    use crate::disk::memory::MemoryDisk;
    use crate::error::ErrorKind;
    use crate::patch::tests::{change, description};

    /// Sectors 1 and 2 change, sector 3 stays, sector 4 (188 bytes) changes.
    fn patch() -> Patch {
        let before = [vec![0; 1024], vec![9; 512], vec![0; 188]].concat();
        let after = [vec![1; 1024], vec![9; 512], vec![1; 188]].concat();
        Patch::new(description(2236), vec![change(512, &before, &after)]).unwrap()
    }

    fn image(sectors: [u8; 4]) -> Vec<u8> {
        let [one, two, three, four] = sectors;
        [vec![7; 512], vec![one; 512], vec![two; 512], vec![three; 512], vec![four; 188]].concat()
    }

    #[test]
    fn each_sector_is_on_one_side_or_foreign() {
        let partial =
            |sectors_before, sectors_after| State::Partial { sectors_before, sectors_after };
        for (sectors, expected) in [
            ([0, 0, 9, 0], State::Unapplied),
            ([1, 1, 9, 1], State::Applied),
            ([1, 0, 9, 0], partial(2, 1)),
            ([0, 1, 9, 1], partial(1, 2)),
            ([2, 0, 9, 0], State::Foreign { offset_bytes: 512 }),
            ([1, 0, 8, 5], State::Foreign { offset_bytes: 1536 }),
            ([1, 0, 9, 5], State::Foreign { offset_bytes: 2048 }),
        ] {
            let disk = MemoryDisk::new(image(sectors));
            assert_eq!(state(&patch(), &disk).unwrap(), expected, "{sectors:?}");
            let medium = FaultMedium::new(image(sectors));
            assert_eq!(state_of_medium(&patch(), &medium).unwrap(), expected, "{sectors:?}");
        }
    }

    #[test]
    fn one_foreign_byte_is_enough() {
        for offset in 512..2236 {
            let mut bytes = image([0, 1, 9, 0]);
            bytes[offset] ^= 0x80;
            let offset_bytes = offset as u64 / 512 * 512;
            let found = state(&patch(), &MemoryDisk::new(bytes)).unwrap();
            assert_eq!(found, State::Foreign { offset_bytes });
        }
    }

    #[test]
    fn a_patch_without_changes_is_applied() {
        let empty = Patch::new(description(512), Vec::new()).unwrap();
        let same = Patch::new(description(512), vec![change(0, &[3; 512], &[3; 512])]).unwrap();
        let disk = MemoryDisk::new(vec![3; 512]);
        assert_eq!(state(&empty, &disk).unwrap(), State::Applied);
        assert_eq!(state(&same, &disk).unwrap(), State::Applied);
    }

    #[test]
    fn another_size_is_another_disk() {
        let error = state(&patch(), &MemoryDisk::new(vec![0; 2235])).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Mismatch(_)), "{error}");
    }

    #[test]
    fn ranges_are_what_is_missing_in_each_direction() {
        let bytes = image([0, 1, 9, 1]);
        let disk = MemoryDisk::new(bytes);
        let read_at = |offset_bytes, buffer: &mut [u8]| disk.read_at(offset_bytes, buffer);
        let range = |start, len| Range { run_index: 0, start, len };
        let found = survey(&patch(), Direction::Apply, &read_at).unwrap();
        assert_eq!(found.ranges, [range(0, 512)]);
        let found = survey(&patch(), Direction::Undo, &read_at).unwrap();
        assert_eq!(found.ranges, [range(512, 512), range(1536, 188)]);
    }

    #[test]
    fn long_runs_are_read_and_written_in_chunks() {
        let len = CHUNK_BYTES * 2 + 512;
        let long = change(0, &vec![0; len], &vec![1; len]);
        let patch = Patch::new(description(len as u64), vec![long]).unwrap();
        let disk = MemoryDisk::new(vec![0; len]);
        let read_at = |offset_bytes, buffer: &mut [u8]| {
            assert!(buffer.len() <= CHUNK_BYTES);
            disk.read_at(offset_bytes, buffer)
        };
        let found = survey(&patch, Direction::Apply, &read_at).unwrap();
        let lens: Vec<_> = found.ranges.iter().map(|range| range.len).collect();
        assert_eq!(lens, [CHUNK_BYTES, CHUNK_BYTES, 512]);
    }
}
