//! Reading the guest's disk.
//!
//! Each layer of a chain of overlays is a [`Qcow2Disk`] of its own; its base is any disk.

use super::defect::Defect;
use super::header::Header;
use super::table::{Mapping, Place, decode_compressed, decode_l1, decode_l2};
use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::disk::{Disk, check_range};
use crate::error::{Corrupt, Error, Result};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tables are read in pieces of this many bytes: what 32 MiB of a usual disk need.
const PIECE_BYTES: u64 = 4096;

/// Bound on the pieces that are kept: 1 MiB.
const PIECES_MAX: usize = 256;

/// Bounds on the unpacked clusters that are kept, in bytes and in number.
const UNPACKED_BYTES_MAX: u64 = 4 << 20;
const UNPACKED_MAX: u64 = 64;

/// The disk that a qcow2 image holds.
pub(super) struct Qcow2Disk {
    header: Header,
    image: Arc<dyn Disk>,
    data: Option<Arc<dyn Disk>>,
    backing: Option<Arc<dyn Disk>>,
    recent: Mutex<Recent>,
}

/// What was read and may be needed again.
#[derive(Default)]
struct Recent {
    /// Pieces of tables by their offset.
    pieces: HashMap<u64, Vec<u8>>,
    /// Compressed clusters that were unpacked, the oldest first: their entries, their content.
    clusters: VecDeque<(u64, Vec<u8>)>,
}

impl Qcow2Disk {
    /// Reads `image`, whose header was checked. `data` is its external data file.
    pub(super) fn new(
        header: Header,
        image: Arc<dyn Disk>,
        data: Option<Arc<dyn Disk>>,
        backing: Option<Arc<dyn Disk>>,
    ) -> Self {
        Self { header, image, data, backing, recent: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table entry at `offset`.
    fn entry(&self, offset: u64) -> Result<u64> {
        let within = arith::rem(offset, PIECE_BYTES)?;
        let start = arith::sub(offset, within)?;
        let mut recent = self.lock();
        if recent.pieces.len() >= PIECES_MAX && !recent.pieces.contains_key(&start) {
            recent.pieces.clear();
        }
        let piece = match recent.pieces.entry(start) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let mut piece = vec![0; arith::to(PIECE_BYTES)?];
                read_to_end(self.image.as_ref(), start, &mut piece)?;
                entry.insert(piece)
            }
        };
        Ok(field::be_u64(piece, arith::to(within)?)?)
    }

    /// The L2 entry of the cluster of the guest at `guest`.
    fn l2_entry(&self, guest: u64) -> Result<u64> {
        let span = self.header.l2_span_bytes()?;
        let l1_at = arith::add(self.header.l1_offset, arith::mul(arith::div(guest, span)?, 8)?)?;
        let Some(table) = decode_l1(self.entry(l1_at)?, &self.header)? else { return Ok(0) };
        check_inside(self.image.as_ref(), table.offset)?;
        let index = arith::div(arith::rem(guest, span)?, self.header.cluster_bytes())?;
        self.entry(arith::add(table.offset, arith::mul(index, 8)?)?)
    }

    /// Reads from the cluster of the guest at `guest`, from its byte `within`.
    fn read_part(&self, guest: u64, within: u64, buffer: &mut [u8]) -> Result<()> {
        let entry = self.l2_entry(guest)?;
        match decode_l2(entry, &self.header)? {
            Mapping::Unallocated => self.read_backing(arith::add(guest, within)?, buffer),
            Mapping::Zero(_) => {
                buffer.fill(0);
                Ok(())
            }
            Mapping::Data(Place { offset, .. }) => {
                let file = self.data.as_ref().unwrap_or(&self.image);
                check_inside(file.as_ref(), offset)?;
                read_to_end(file.as_ref(), arith::add(offset, within)?, buffer)
            }
            Mapping::Compressed(_) => self.read_compressed(entry, within, buffer),
        }
    }

    /// What the base has there. It may be shorter than the overlay; the rest is zero.
    fn read_backing(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if let Some(backing) = &self.backing {
            return read_to_end(backing.as_ref(), offset, buffer);
        }
        buffer.fill(0);
        Ok(())
    }

    fn read_compressed(&self, entry: u64, within: u64, buffer: &mut [u8]) -> Result<()> {
        let mut recent = self.lock();
        if !recent.clusters.iter().any(|(known, _)| *known == entry) {
            let fitting = arith::div(UNPACKED_BYTES_MAX, self.header.cluster_bytes())?;
            let limit: usize = arith::to(fitting.clamp(1, UNPACKED_MAX))?;
            while recent.clusters.len() >= limit {
                recent.clusters.pop_front();
            }
            recent.clusters.push_back((entry, self.unpack(entry)?));
        }
        let found = recent.clusters.iter().find(|(known, _)| *known == entry);
        let content = found.map(|(_, content)| content.as_slice()).unwrap_or_default();
        buffer.copy_from_slice(field::slice(content, arith::to(within)?, buffer.len())?);
        Ok(())
    }

    /// Unpacks a cluster: a bare deflate stream (RFC 1951), which may be followed by others.
    fn unpack(&self, entry: u64) -> Result<Vec<u8>> {
        let (offset, len) = decode_compressed(entry, &self.header)?;
        check_inside(self.image.as_ref(), offset)?;
        let mut packed = vec![0; arith::to(len)?];
        read_to_end(self.image.as_ref(), offset, &mut packed)?;
        let mut content = vec![0; arith::to(self.header.cluster_bytes())?];
        let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let mut inflater = DecompressorOxide::new();
        let (status, _, written) = decompress(&mut inflater, &packed, &mut content, 0, flags);
        let is_whole = matches!(status, TINFLStatus::Done | TINFLStatus::HasMoreOutput);
        if !is_whole || written != content.len() {
            let defect = Defect::Compressed { written: len_u64(written) };
            return Err(Corrupt::new("compressed qcow2 cluster", defect).at(offset).into());
        }
        Ok(content)
    }
}

/// Makes sure that a cluster at least starts inside `file`.
fn check_inside(file: &dyn Disk, offset: u64) -> Result<()> {
    if offset < file.len_bytes() {
        return Ok(());
    }
    let defect = Defect::Behind { offset, file_bytes: file.len_bytes() };
    Err(Error::from(Corrupt::new("qcow2 table", defect)))
}

/// Fills `buffer`; what is behind the end of `disk` is zero.
fn read_to_end(disk: &dyn Disk, offset: u64, buffer: &mut [u8]) -> Result<()> {
    let rest = disk.len_bytes().saturating_sub(offset);
    let present = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
    let (inside, behind) = buffer.split_at_mut(present);
    behind.fill(0);
    if inside.is_empty() { Ok(()) } else { disk.read_at(offset, inside) }
}

impl fmt::Debug for Qcow2Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qcow2Disk").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Disk for Qcow2Disk {
    fn len_bytes(&self) -> u64 {
        self.header.size_bytes
    }

    fn sector_size_bytes(&self) -> u32 {
        512
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        check_range(self.len_bytes(), offset_bytes, buffer.len())?;
        let cluster_bytes = self.header.cluster_bytes();
        let mut at = offset_bytes;
        let mut rest = buffer;
        while !rest.is_empty() {
            let within = arith::rem(at, cluster_bytes)?;
            let room: usize = arith::to(arith::sub(cluster_bytes, within)?)?;
            let (part, tail) = rest.split_at_mut(room.min(rest.len()));
            self.read_part(arith::sub(at, within)?, within, part)?;
            at = arith::add(at, len_u64(part.len()))?;
            rest = tail;
        }
        Ok(())
    }
}
