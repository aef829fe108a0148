//! A logical volume as a disk.

use super::mapping::{Mapping, Piece};
use crate::bytes::arith::{OutOfRange, add, len_u64, to};
use crate::disk::{Disk, DiskEdit, check_range};
use crate::error::{Error, Result};
use std::sync::Arc;

/// A logical volume over the disks of its physical volumes.
///
/// A read or a write is cut where a segment or a stripe ends. Nothing of LVM's own changes when the content of a
/// logical volume does.
#[derive(Debug, Clone)]
pub struct LogicalDisk {
    mapping: Mapping,
    disks: Vec<Arc<dyn DiskEdit>>,
}

impl LogicalDisk {
    /// Lays `mapping` over `disks`: those of its [`members`](Mapping::members), in that order.
    ///
    /// # Errors
    /// `Usage` if there are more or fewer disks than members.
    pub fn new(mapping: Mapping, disks: Vec<Arc<dyn DiskEdit>>) -> Result<Self> {
        if mapping.members.len() != disks.len() {
            let (wanted, given) = (mapping.members.len(), disks.len());
            let what = format!("a logical volume on {wanted} physical volumes, and {given} disks");
            return Err(Error::usage(what));
        }
        Ok(Self { mapping, disks })
    }

    fn disk(&self, piece: Piece) -> Result<&Arc<dyn DiskEdit>> {
        self.disks.get(piece.member).ok_or_else(|| OutOfRange.into())
    }
}

impl Disk for LogicalDisk {
    fn len_bytes(&self) -> u64 {
        self.mapping.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        // What stands on two kinds of disks has the larger sectors.
        self.disks.iter().map(|disk| disk.sector_size_bytes()).max().unwrap_or(512)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let (mut at, mut rest) = (offset_bytes, buffer);
        while !rest.is_empty() {
            let piece = self.mapping.piece(at, len_u64(rest.len()))?;
            let (head, tail) = rest.split_at_mut(to(piece.len_bytes)?);
            self.disk(piece)?.read_at(piece.offset_bytes, head)?;
            at = add(at, piece.len_bytes)?;
            rest = tail;
        }
        Ok(())
    }
}

impl DiskEdit for LogicalDisk {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, bytes.len())?;
        let (mut at, mut rest) = (offset_bytes, bytes);
        while !rest.is_empty() {
            let piece = self.mapping.piece(at, len_u64(rest.len()))?;
            let (head, tail) = rest.split_at(to(piece.len_bytes)?);
            self.disk(piece)?.write_at(piece.offset_bytes, head, what)?;
            at = add(at, piece.len_bytes)?;
            rest = tail;
        }
        Ok(())
    }
}
