//! Extents one after the other.

use super::super::block_map::medium::MappedMedium;
use super::sparse::SparseMap;
use crate::bytes::arith::{self, len_u64};
use crate::disk::medium::{HostMedium, Medium};
use crate::disk::{Disk, check_range};
use crate::error::{Refusal, Result};
use std::ops::Range;
use std::sync::Arc;

/// One extent for reading.
#[derive(Debug)]
pub(super) struct ReadPiece {
    pub(super) len_bytes: u64,
    pub(super) part: ReadPart,
}

/// Where its bytes are.
#[derive(Debug)]
pub(super) enum ReadPart {
    Zeros,
    Disk { disk: Arc<dyn Disk>, start_bytes: u64 },
}

/// One extent for writing.
#[derive(Debug)]
pub(super) struct WritePiece {
    pub(super) len_bytes: u64,
    pub(super) is_writable: bool,
    pub(super) part: WritePart,
}

/// Where its bytes are.
#[derive(Debug)]
pub(super) enum WritePart {
    Zeros,
    Flat { host: Box<dyn HostMedium>, start_bytes: u64 },
    Sparse(Box<MappedMedium<SparseMap>>),
}

/// The pieces with where each starts, ascending.
#[derive(Debug)]
struct Pieces<P> {
    pieces: Vec<(u64, P)>,
    len_bytes: u64,
}

/// A part of a range that lies in one piece.
struct Part {
    /// Which piece.
    index: usize,
    /// Where in the piece it starts, in bytes.
    inside_bytes: u64,
    /// Which bytes of the range it is.
    of_range: Range<usize>,
}

impl<P> Pieces<P> {
    fn new(pieces: Vec<P>, len_of: impl Fn(&P) -> u64) -> Result<Self> {
        let mut len_bytes = 0;
        let mut placed = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let len = len_of(&piece);
            placed.push((len_bytes, piece));
            len_bytes = arith::add(len_bytes, len)?;
        }
        Ok(Self { pieces: placed, len_bytes })
    }

    /// Where `len` bytes from `offset_bytes` are, in order.
    fn parts(&self, offset_bytes: u64, len: usize) -> Result<Vec<Part>> {
        check_range(self.len_bytes, offset_bytes, len)?;
        let mut parts = Vec::new();
        let after = self.pieces.partition_point(|(start, _)| *start <= offset_bytes);
        let mut index = after.saturating_sub(1);
        let mut done = 0usize;
        while done < len {
            let at = arith::add(offset_bytes, len_u64(done))?;
            let Some((start, _)) = self.pieces.get(index) else { break };
            let next = index.saturating_add(1);
            let end = self.pieces.get(next).map_or(self.len_bytes, |(start, _)| *start);
            let room = usize::try_from(arith::sub(end, at)?).unwrap_or(usize::MAX);
            let part_end = done.saturating_add(room.min(len.saturating_sub(done)));
            let inside_bytes = arith::sub(at, *start)?;
            parts.push(Part { index, inside_bytes, of_range: done..part_end });
            (done, index) = (part_end, next);
        }
        Ok(parts)
    }

    /// Fills `buffer` part by part, with what `read` gives from an offset in a piece.
    fn read(
        &self,
        offset_bytes: u64,
        buffer: &mut [u8],
        read: impl Fn(&P, u64, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        for part in self.parts(offset_bytes, buffer.len())? {
            let piece = self.pieces.get(part.index).map(|(_, piece)| piece);
            let bytes = buffer.get_mut(part.of_range);
            if let (Some(piece), Some(bytes)) = (piece, bytes) {
                read(piece, part.inside_bytes, bytes)?;
            }
        }
        Ok(())
    }
}

/// The disk of the guest in a VMDK.
#[derive(Debug)]
pub(super) struct VmdkDisk(Pieces<ReadPiece>);

impl VmdkDisk {
    pub(super) fn new(pieces: Vec<ReadPiece>) -> Result<Self> {
        Ok(Self(Pieces::new(pieces, |piece| piece.len_bytes)?))
    }
}

impl Disk for VmdkDisk {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read(offset_bytes, buffer, |piece, inside, bytes| match &piece.part {
            ReadPart::Disk { disk, start_bytes } => {
                disk.read_at(arith::add(*start_bytes, inside)?, bytes)
            }
            ReadPart::Zeros => {
                bytes.fill(0);
                Ok(())
            }
        })
    }
}

/// The disk of the guest in a VMDK that is open for writing.
#[derive(Debug)]
pub(super) struct VmdkMedium(Pieces<WritePiece>);

impl VmdkMedium {
    pub(super) fn new(pieces: Vec<WritePiece>) -> Result<Self> {
        Ok(Self(Pieces::new(pieces, |piece| piece.len_bytes)?))
    }

    fn for_each_medium(
        &mut self,
        work: &mut dyn FnMut(&mut dyn Medium) -> Result<()>,
    ) -> Result<()> {
        self.0.pieces.iter_mut().try_for_each(|(_, piece)| match &mut piece.part {
            WritePart::Zeros => Ok(()),
            WritePart::Flat { host, .. } => work(&mut **host),
            WritePart::Sparse(medium) => work(&mut **medium),
        })
    }
}

fn check_writable(piece: &WritePiece) -> Result<()> {
    if piece.is_writable {
        return Ok(());
    }
    let what =
        "an extent of the VMDK that its descriptor gives as read-only or as nothing but zeros";
    Err(Refusal::ContainerNotWritable { what: what.to_owned() }.into())
}

impl Medium for VmdkMedium {
    fn len_bytes(&self) -> u64 {
        self.0.len_bytes
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read(offset_bytes, buffer, |piece, inside, bytes| match &piece.part {
            WritePart::Flat { host, start_bytes } => {
                host.read_at(arith::add(*start_bytes, inside)?, bytes)
            }
            WritePart::Sparse(medium) => medium.read_at(inside, bytes),
            WritePart::Zeros => {
                bytes.fill(0);
                Ok(())
            }
        })
    }

    fn write_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        for part in self.0.parts(offset_bytes, bytes.len())? {
            let bytes = bytes.get(part.of_range).unwrap_or_default();
            let Some((_, piece)) = self.0.pieces.get_mut(part.index) else { continue };
            check_writable(piece)?;
            match &mut piece.part {
                WritePart::Zeros => {}
                WritePart::Flat { host, start_bytes } => {
                    host.write_at(arith::add(*start_bytes, part.inside_bytes)?, bytes)?;
                }
                WritePart::Sparse(medium) => medium.write_at(part.inside_bytes, bytes)?,
            }
        }
        Ok(())
    }

    fn can_write(&self, ranges: &[Range<u64>]) -> Result<()> {
        for (start, piece) in &self.0.pieces {
            let end = arith::add(*start, piece.len_bytes)?;
            let shifted = |at: u64| at.clamp(*start, end).saturating_sub(*start);
            let inside = ranges.iter().map(|range| shifted(range.start)..shifted(range.end));
            let inside: Vec<_> = inside.filter(|range| !range.is_empty()).collect();
            if inside.is_empty() {
                continue;
            }
            check_writable(piece)?;
            if let WritePart::Sparse(medium) = &piece.part {
                medium.can_write(&inside)?;
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.for_each_medium(&mut |medium| medium.sync())
    }

    fn drop_cache(&mut self) -> Result<()> {
        self.for_each_medium(&mut |medium| medium.drop_cache())
    }
}
