//! The clear text of an encrypted segment as a disk.

use super::Segment;
use super::xts::Xts;
use crate::bytes::arith::{self, add, len_u64, rem, sub, to};
use crate::bytes::field;
use crate::disk::{Disk, DiskEdit, check_range};
use crate::error::{Corrupt, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// Bound on the bytes that are encrypted or decrypted at once; a multiple of every sector size.
const CHUNK_BYTES: usize = 64 * 1024;

/// The clear text over the disk with the cipher text.
///
/// A write of a part of an encrypted sector reads that, changes it, and writes it whole.
#[derive(Debug)]
pub(super) struct DecryptedDisk {
    disk: Arc<dyn DiskEdit>,
    cipher: Xts,
    segment: Segment,
    sector_bytes: usize,
    len_bytes: u64,
    /// Held while a sector is read, changed and written.
    writing: Mutex<()>,
}

/// The encrypted segment does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not lie on the disk of {0} bytes, or has no whole number of sectors")]
struct BadSegment(u64);

impl DecryptedDisk {
    pub(super) fn new(disk: Arc<dyn DiskEdit>, cipher: Xts, segment: Segment) -> Result<Self> {
        let disk_bytes = disk.len_bytes();
        let bad =
            || Corrupt::new("encrypted segment", BadSegment(disk_bytes)).at(segment.offset_bytes);
        let rest = disk_bytes.checked_sub(segment.offset_bytes).ok_or_else(bad)?;
        let len_bytes = match segment.size_bytes {
            Some(size) => size,
            None => sub(rest, rem(rest, segment.sector_bytes)?)?,
        };
        if len_bytes > rest || len_bytes == 0 || rem(len_bytes, segment.sector_bytes)? != 0 {
            return Err(bad().into());
        }
        let sector_bytes = to(segment.sector_bytes)?;
        Ok(Self { disk, cipher, segment, sector_bytes, len_bytes, writing: Mutex::new(()) })
    }

    /// The number of the sector at `offset_bytes`, in units of 512 bytes.
    fn number(&self, offset_bytes: u64) -> u64 {
        // The vector is a 64-bit number, which wraps by its definition.
        self.segment.iv_tweak.wrapping_add(offset_bytes / 512)
    }

    /// Fills `sectors`, which start at `offset_bytes` on a boundary and are whole.
    fn read_sectors(&self, offset_bytes: u64, sectors: &mut [u8]) -> Result<()> {
        self.disk.read_at(add(self.segment.offset_bytes, offset_bytes)?, sectors)?;
        self.cipher.decrypt(sectors, self.sector_bytes, self.number(offset_bytes));
        Ok(())
    }

    /// Cuts `len` bytes from `offset_bytes` into pieces that lie in one chunk.
    fn pieces(&self, offset_bytes: u64, len: usize) -> Result<Vec<Piece>> {
        let sector = self.segment.sector_bytes;
        let end = add(offset_bytes, len_u64(len))?;
        let (mut pieces, mut at) = (Vec::new(), offset_bytes);
        while at < end {
            let start = sub(at, rem(at, sector)?)?;
            let chunk_end = add(start, len_u64(CHUNK_BYTES))?.min(arith::round_up(end, sector)?);
            let piece_end = chunk_end.min(end);
            pieces.push(Piece {
                start_bytes: start,
                chunk_bytes: to(sub(chunk_end, start)?)?,
                skip: to(sub(at, start)?)?,
                len: to(sub(piece_end, at)?)?,
            });
            at = piece_end;
        }
        Ok(pieces)
    }
}

/// Whole sectors, and the part of them that is meant.
struct Piece {
    /// Where the sectors start, in clear text.
    start_bytes: u64,
    /// Length of the sectors.
    chunk_bytes: usize,
    /// Bytes of the first sector before the part.
    skip: usize,
    /// Bytes of the part.
    len: usize,
}

impl Disk for DecryptedDisk {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        let own = u32::try_from(self.segment.sector_bytes).unwrap_or(u32::MAX);
        self.disk.sector_size_bytes().max(own)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, buffer.len())?;
        let mut rest = buffer;
        for piece in self.pieces(offset_bytes, rest.len())? {
            let (part, tail) = rest.split_at_mut(piece.len.min(rest.len()));
            rest = tail;
            if piece.skip == 0 && piece.len == piece.chunk_bytes {
                self.read_sectors(piece.start_bytes, part)?;
            } else {
                let mut sectors = vec![0; piece.chunk_bytes];
                self.read_sectors(piece.start_bytes, &mut sectors)?;
                part.copy_from_slice(field::slice(&sectors, piece.skip, piece.len)?);
            }
        }
        Ok(())
    }
}

impl DiskEdit for DecryptedDisk {
    fn write_at(&self, offset_bytes: u64, bytes: &[u8], what: &str) -> Result<()> {
        check_range(self.len_bytes, offset_bytes, bytes.len())?;
        let _held = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes;
        for piece in self.pieces(offset_bytes, rest.len())? {
            let (part, tail) = rest.split_at(piece.len.min(rest.len()));
            rest = tail;
            let mut sectors = vec![0; piece.chunk_bytes];
            if piece.len != piece.chunk_bytes {
                self.read_sectors(piece.start_bytes, &mut sectors)?;
            }
            field::put(&mut sectors, piece.skip, part)?;
            self.cipher.encrypt(&mut sectors, self.sector_bytes, self.number(piece.start_bytes));
            let at = add(self.segment.offset_bytes, piece.start_bytes)?;
            self.disk.write_at(at, &sectors, what)?;
        }
        Ok(())
    }
}
