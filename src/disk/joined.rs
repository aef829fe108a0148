//! Several disks as one address space: each starts at the first multiple of [`JOINT_BYTES`] behind the one before.
//!
//! What lies between the end of a disk and the next multiple is in no disk: it can be neither read nor written, and
//! nothing reaches from one disk into the next.

use super::medium::Medium;
use super::{Disk, OutsideDisk};
use crate::bytes::arith::{self, len_u64};
use crate::error::{Corrupt, Result};
use std::ops::Range;
use std::sync::Arc;

/// Where a disk may start, in bytes: no device has larger sectors.
pub const JOINT_BYTES: u64 = 4096;

/// Where disks of these lengths lie when they are joined, in bytes.
///
/// # Errors
/// `Corrupt` if the sum does not fit a number.
pub fn ranges(lens_bytes: impl IntoIterator<Item = u64>) -> Result<Vec<Range<u64>>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for len_bytes in lens_bytes {
        let start = arith::round_up(ranges.last().map_or(0, |last| last.end), JOINT_BYTES)?;
        ranges.push(start..arith::add(start, len_bytes)?);
    }
    Ok(ranges)
}

/// Length of joined disks that lie at `ranges`: up to the end of the last one.
pub fn len_bytes(ranges: &[Range<u64>]) -> u64 {
    ranges.last().map_or(0, |last| last.end)
}

/// The number of the range that holds `len` bytes from `offset_bytes`, and the offset inside it.
fn locate(ranges: &[Range<u64>], offset_bytes: u64, len: usize) -> Result<(usize, u64)> {
    let number = ranges.partition_point(|range| range.end <= offset_bytes);
    let end = arith::add(offset_bytes, len_u64(len))?;
    match ranges.get(number) {
        Some(range) if range.start <= offset_bytes && end <= range.end => {
            Ok((number, arith::sub(offset_bytes, range.start)?))
        }
        _ => {
            let outside =
                OutsideDisk { offset_bytes, len: len_u64(len), disk_bytes: len_bytes(ranges) };
            Err(Corrupt::new("joined disks", outside).into())
        }
    }
}

fn missing() -> crate::error::Error {
    crate::error::Error::not_found("no such disk among the joined ones")
}

/// Several disks, to be read.
#[derive(Debug)]
pub struct JoinedDisk {
    disks: Vec<Arc<dyn Disk>>,
    ranges: Vec<Range<u64>>,
}

impl JoinedDisk {
    /// Joins `disks` in their order.
    ///
    /// # Errors
    /// As [`ranges`].
    pub fn new(disks: Vec<Arc<dyn Disk>>) -> Result<Self> {
        let ranges = ranges(disks.iter().map(|disk| disk.len_bytes()))?;
        Ok(Self { disks, ranges })
    }
}

impl Disk for JoinedDisk {
    fn len_bytes(&self) -> u64 {
        len_bytes(&self.ranges)
    }

    fn sector_size_bytes(&self) -> u32 {
        self.disks.iter().map(|disk| disk.sector_size_bytes()).max().unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let (number, offset_bytes) = locate(&self.ranges, offset_bytes, buffer.len())?;
        self.disks.get(number).ok_or_else(missing)?.read_at(offset_bytes, buffer)
    }
}

/// Several media, each held by whoever opened it.
#[derive(Debug)]
pub struct JoinedMedium<'a> {
    media: Vec<Box<dyn Medium + 'a>>,
    ranges: Vec<Range<u64>>,
}

impl<'a> JoinedMedium<'a> {
    /// Joins `media` in their order.
    ///
    /// # Errors
    /// As [`ranges`].
    pub fn new(media: Vec<Box<dyn Medium + 'a>>) -> Result<Self> {
        let ranges = ranges(media.iter().map(|medium| medium.len_bytes()))?;
        Ok(Self { media, ranges })
    }
}

impl Medium for JoinedMedium<'_> {
    fn len_bytes(&self) -> u64 {
        len_bytes(&self.ranges)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let (number, offset_bytes) = locate(&self.ranges, offset_bytes, buffer.len())?;
        self.media.get(number).ok_or_else(missing)?.read_at(offset_bytes, buffer)
    }

    fn can_write(&self, asked: &[Range<u64>]) -> Result<()> {
        for (medium, place) in self.media.iter().zip(&self.ranges) {
            let shifted = |at: u64| at.clamp(place.start, place.end).saturating_sub(place.start);
            let inside = asked.iter().map(|range| shifted(range.start)..shifted(range.end));
            let inside: Vec<_> = inside.filter(|range| !range.is_empty()).collect();
            if !inside.is_empty() {
                medium.can_write(&inside)?;
            }
        }
        Ok(())
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let (number, offset_bytes) = locate(&self.ranges, offset_bytes, bytes.len())?;
        self.media.get_mut(number).ok_or_else(missing)?.write_at(offset_bytes, bytes)
    }

    /// Every medium is synced, also when one fails: what can be made durable is.
    fn sync(&mut self) -> Result<()> {
        self.media.iter_mut().map(|medium| medium.sync()).fold(Ok(()), Result::and)
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.media.iter_mut().map(|medium| medium.drop_cache()).fold(Ok(()), Result::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::fault::{Failure, Fault, FaultMedium, Operation};
    use crate::disk::memory::MemoryDisk;

    #[test]
    fn disks_start_at_joints_and_nothing_reaches_across() {
        assert_eq!(ranges([4096, 1, 8192]).unwrap(), [0..4096, 4096..4097, 8192..16384]);
        assert!(ranges([u64::MAX, 1]).is_err());
        let disks = [4000usize, 600].map(|len| {
            let bytes = (0..len).map(|at| (at % 250) as u8).collect();
            Arc::new(MemoryDisk::new(bytes)) as Arc<dyn Disk>
        });
        let joined = JoinedDisk::new(disks.to_vec()).unwrap();
        assert_eq!(joined.len_bytes(), 4696);
        assert_eq!(joined.read_vec(3999, 1).unwrap(), [(3999 % 250) as u8]);
        assert_eq!(joined.read_vec(4096 + 599, 1).unwrap(), [(599 % 250) as u8]);
        for (offset, len) in [(3999, 2), (4000, 1), (4095, 2), (4096 + 599, 2)] {
            assert!(joined.read_vec(offset, len).is_err(), "{offset}");
        }
    }

    #[test]
    fn media_are_written_and_synced_each() {
        let medium = |fault| FaultMedium::new(vec![0; 1024]).with_fault(fault);
        let never = Fault { at: 99, failure: Failure::Once };
        let fails_at_sync = Fault { at: 0, failure: Failure::Once };
        let (mut first, mut second) = (medium(fails_at_sync), medium(never));
        {
            let mut joined =
                JoinedMedium::new(vec![Box::new(&mut first), Box::new(&mut second)]).unwrap();
            joined.write_at(4096 + 512, &[7; 512]).unwrap();
            assert!(joined.write_at(512, &[7; 1024]).is_err());
            assert!(joined.sync().is_err(), "the first one failed");
            let mut bytes = [0; 2];
            joined.read_at(4096 + 511, &mut bytes).unwrap();
            assert_eq!(bytes, [0, 7]);
        }
        assert_eq!(second.durable()[512..], [7; 512], "the second one is durable all the same");
        assert_eq!(first.operations(), [Operation::Sync]);
    }

    /// A medium that cannot take its second sector.
    #[derive(Debug)]
    struct Full(FaultMedium);

    impl Medium for Full {
        fn len_bytes(&self) -> u64 {
            self.0.len_bytes()
        }

        fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
            self.0.read_at(offset_bytes, buffer)
        }

        fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
            let is_full = ranges.iter().any(|range| range.start < 1024 && range.end > 512);
            if is_full { Err(missing()) } else { Ok(()) }
        }

        fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
            self.0.write_at(offset_bytes, bytes)
        }

        fn sync(&mut self) -> Result<()> {
            self.0.sync()
        }

        fn drop_cache(&mut self) -> Result<()> {
            self.0.drop_cache()
        }
    }

    #[test]
    fn each_medium_is_asked_in_its_own_numbers() {
        let full = || Full(FaultMedium::new(vec![0; 1024]));
        let joined = JoinedMedium::new(vec![Box::new(full()), Box::new(full())]).unwrap();
        for (range, can) in
            [(0..512, true), (0..513, false), (4096..4608, true), (4608..4700, false)]
        {
            assert_eq!(joined.can_write(std::slice::from_ref(&range)).is_ok(), can, "{range:?}");
        }
    }
}
