//! Whose superblock the one at the end of a disk is.

use super::Superblock;
use crate::bytes::arith::add;
use crate::disk::{Disk, check_range};
use crate::error::{ErrorKind, Result};
use std::ops::Range;

/// True if all of `disk` is a member of an array, and not only one of its `partitions`.
///
/// The partition table of a mirror whose superblock stands at the end (0.90 and 1.0) shows on each of its members, too:
/// to edit one of them alone would part the copies. The same superblock may be that of the last partition, if that ends
/// with the disk: then it is found in there as well, with data that fit into the partition.
///
/// # Errors
/// `Io`.
pub fn is_whole_member(disk: &dyn Disk, partitions: &[Range<u64>]) -> Result<bool> {
    let superblock = match Superblock::read(disk) {
        Ok(Some(superblock)) => superblock,
        // Of which version it is a member is for the user to say; that it is one is sure.
        Err(error) if matches!(error.kind(), ErrorKind::Ambiguous { .. }) => return Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => return Err(error),
        Ok(None) | Err(_) => return Ok(false),
    };
    // The other versions put the data behind the superblock, so that the table is none of the array.
    if !matches!(superblock.version, "0.90" | "1.0") {
        return Ok(false);
    }
    for range in partitions {
        match Superblock::read(&Part { disk, range: range.clone() }) {
            Ok(Some(other)) if other == superblock => return Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(true)
}

/// Some bytes of a disk, to be read.
#[derive(Debug)]
struct Part<'a> {
    disk: &'a dyn Disk,
    range: Range<u64>,
}

impl Disk for Part<'_> {
    fn len_bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn sector_size_bytes(&self) -> u32 {
        self.disk.sector_size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        self.disk.read_at(add(self.range.start, offset_bytes)?, buffer)
    }
}
