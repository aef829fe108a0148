//! The value of an attribute, wherever it lies: in a record, in clusters, compressed, with holes.
//!
//! Sources: libyal libfsntfs, "New Technologies File System (NTFS)", sections "Non-resident MFT attribute", "Data
//! runs" and "Compression". A stream is put together from the parts that the records of a file hold (see
//! [`super::file`]); here it is read, and written in place.

use super::attribute::{Attribute, AttributeKind, Body, Sizes, flag};
use super::compress;
use super::run_list::{RunDefect, RunList};
use super::units::{Geometry, MftRecordNumber, Vcn};
use super::volume::Volume;
use crate::bytes::arith::{add, len_u64, mul, pow2, sub, to};
use crate::bytes::field;
use crate::disk::Disk;
use crate::error::{Corrupt, Error, Refusal, Result};

/// Longest read in one call, in bytes.
pub(crate) const READ_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Clusters that are compressed together where the attribute does not say it, as an exponent of two.
const UNIT_LOG2_DEFAULT: u8 = 4;
/// Largest compression unit in bytes: NTFS compresses only with clusters of up to 4 KiB, 16 at once.
const UNIT_BYTES_MAX: u64 = 64 * 1024;

/// What can be wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamDefect {
    #[error("{0}: the first part is missing")]
    FirstPart(AttributeKind),
    #[error("{0}: resident, but in several parts")]
    ResidentParts(AttributeKind),
    #[error("{kind}: {size} bytes do not fit {clusters} clusters")]
    Size { kind: AttributeKind, size: u64, clusters: u64 },
    #[error("{kind}: compression unit of {clusters} clusters is too large")]
    Unit { kind: AttributeKind, clusters: u64 },
    #[error("{kind}: compression unit at cluster {vcn} has data behind a hole")]
    UnitHole { kind: AttributeKind, vcn: u64 },
    #[error("{kind}: compression unit at cluster {vcn}: {defect}")]
    Compressed { kind: AttributeKind, vcn: u64, defect: compress::CompressDefect },
    #[error("{kind}: bytes at {offset_bytes:#x} have no cluster")]
    NoCluster { kind: AttributeKind, offset_bytes: u64 },
    #[error(transparent)]
    Run(#[from] RunDefect),
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    /// The base record of its file.
    pub(crate) owner: MftRecordNumber,
    /// Type of the attribute.
    pub(crate) kind: AttributeKind,
    /// Flags of the attribute.
    pub(crate) flags: u16,
    /// Where the value is.
    pub(crate) place: Place,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a record: the value itself.
    Resident(Vec<u8>),
    /// In clusters.
    Clusters {
        /// All of them, holes included.
        runs: RunList,
        /// Sizes in bytes.
        sizes: Sizes,
        /// Clusters that are compressed together, as an exponent of two; 0 without compression.
        compression_unit_log2: u8,
    },
}

impl Stream {
    /// Puts a stream together from its parts, which are in the order of their first VCN.
    ///
    /// # Errors
    /// `Corrupt` if the parts do not fit together or leave the volume.
    pub(crate) fn from_parts(
        owner: MftRecordNumber,
        parts: &[Attribute<'_>],
        geometry: &Geometry,
    ) -> Result<Option<Self>> {
        let Some((first, rest)) = parts.split_first() else { return Ok(None) };
        let place = join(first, rest, geometry).map_err(|defect| corrupt(owner, defect))?;
        Ok(Some(Self { owner, kind: first.kind, flags: first.flags, place }))
    }

    /// Size of the value in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        match &self.place {
            Place::Resident(value) => len_u64(value.len()),
            Place::Clusters { sizes, .. } => sizes.value,
        }
    }

    /// Bytes that were ever written; the value is zero behind them.
    pub(crate) fn initialised_bytes(&self) -> u64 {
        match &self.place {
            Place::Resident(value) => len_u64(value.len()),
            Place::Clusters { sizes, .. } => sizes.initialised,
        }
    }

    /// The clusters, if there are any.
    pub(crate) fn runs(&self) -> Option<&RunList> {
        match &self.place {
            Place::Resident(_) => None,
            Place::Clusters { runs, .. } => Some(runs),
        }
    }

    /// True if the value is compressed by any method.
    pub(crate) fn is_compressed(&self) -> bool {
        // The flag of a resident value says what would happen if it grew (libfsntfs, "Resident MFT attribute").
        self.runs().is_some() && self.flags & flag::COMPRESSION_MASK != 0
    }

    /// True if the value is cipher text.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.flags & flag::ENCRYPTED != 0
    }

    /// Refuses to read what is not there as plain bytes.
    fn check_readable(&self) -> Result<()> {
        if self.is_encrypted() {
            return Err(Refusal::Encrypted { what: self.owner.to_string() }.into());
        }
        let method = self.flags & flag::COMPRESSION_MASK;
        if self.is_compressed() && method != 1 {
            let feature = format!("compression method {method} ({})", self.owner);
            return Err(Refusal::NotWritable { feature }.into());
        }
        Ok(())
    }

    /// Reads up to `len` bytes from `offset_bytes`, less only at the end of the value or of [`READ_BYTES_MAX`].
    ///
    /// # Errors
    /// * `Corrupt` - runs lead nowhere, or compressed data make no sense.
    /// * `Refused` - the value is encrypted, or compressed in an unknown way.
    pub(crate) fn read(&self, volume: &Volume, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        self.read_from(volume.disk().as_ref(), volume.geometry(), offset_bytes, len)
    }

    /// The whole value.
    ///
    /// # Errors
    /// `Limit` if it is longer than `limit_bytes`; those of [`Stream::read`].
    pub(crate) fn read_all(&self, volume: &Volume, limit_bytes: u64) -> Result<Vec<u8>> {
        let size_bytes = self.size_bytes();
        if size_bytes > limit_bytes {
            let what = format!("size of {} of {} in bytes", self.kind, self.owner);
            return Err(Error::limit(what, limit_bytes, size_bytes));
        }
        self.read(volume, 0, to(size_bytes)?)
    }

    /// [`Stream::read`] while there is no volume yet.
    pub(super) fn read_from(
        &self,
        disk: &dyn Disk,
        geometry: &Geometry,
        offset_bytes: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        self.check_readable()?;
        let left = self.size_bytes().saturating_sub(offset_bytes);
        let len: usize = to(left.min(len_u64(len.min(READ_BYTES_MAX))))?;
        match &self.place {
            Place::Resident(value) => {
                Ok(field::slice(value, to(offset_bytes.min(len_u64(value.len())))?, len)?.to_vec())
            }
            Place::Clusters { runs, sizes, compression_unit_log2 } => {
                let mut bytes = vec![0; len];
                let written: usize =
                    to(sizes.initialised.saturating_sub(offset_bytes).min(len_u64(len)))?;
                let head = field::slice_mut(&mut bytes, 0, written)?;
                if self.is_compressed() {
                    let unit_log2 = match *compression_unit_log2 {
                        0 => UNIT_LOG2_DEFAULT,
                        log2 => log2,
                    };
                    let units = Units { stream: self, runs, disk, geometry, unit_log2 };
                    units.read(offset_bytes, head)?;
                } else {
                    self.visit_pieces(runs, geometry, offset_bytes, head.len(), |piece| {
                        let target = field::slice_mut(head, piece.at, piece.len)?;
                        match piece.disk_offset {
                            Some(disk_offset) => disk.read_at(disk_offset, target),
                            None => Ok(()),
                        }
                    })?;
                }
                Ok(bytes)
            }
        }
    }

    /// Writes `bytes` over the value from `offset_bytes`. All of them must have been written before: holes, bytes
    /// behind the initialised size, compressed and resident values are refused. `what` names the structure.
    ///
    /// # Errors
    /// * `Refused` - see above.
    /// * `Corrupt` - runs lead nowhere.
    pub(crate) fn overwrite(
        &self,
        volume: &Volume,
        offset_bytes: u64,
        bytes: &[u8],
        what: &str,
    ) -> Result<()> {
        self.check_readable()?;
        let end = add(offset_bytes, len_u64(bytes.len()))?;
        let refused = |why: &str| -> Error {
            let feature = format!("{} in {why} ({})", self.kind, self.owner);
            Refusal::NotWritable { feature }.into()
        };
        let Place::Clusters { runs, sizes, .. } = &self.place else {
            return Err(refused("the record itself"));
        };
        if self.is_compressed() {
            return Err(refused("compressed clusters"));
        }
        if end > sizes.initialised {
            return Err(refused("clusters that were never written"));
        }
        self.visit_pieces(runs, volume.geometry(), offset_bytes, bytes.len(), |piece| {
            let source = field::slice(bytes, piece.at, piece.len)?;
            match piece.disk_offset {
                Some(disk_offset) => volume.disk().write_at(disk_offset, source, what),
                None => Err(refused("a hole")),
            }
        })
    }

    /// Where `len` bytes from `offset_bytes` lie on the disk, piece by piece.
    fn visit_pieces(
        &self,
        runs: &RunList,
        geometry: &Geometry,
        offset_bytes: u64,
        len: usize,
        mut visit: impl FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let mut at = 0usize;
        // Every round takes at least one byte of `len`.
        while at < len {
            let position = add(offset_bytes, len_u64(at))?;
            let vcn = Vcn::of_byte(position, geometry)?;
            let Some(run) = runs.find(vcn) else {
                let defect = StreamDefect::NoCluster { kind: self.kind, offset_bytes: position };
                return Err(corrupt(self.owner, defect).into());
            };
            let inside = sub(position, vcn.to_byte_offset(geometry)?)?;
            let run_bytes = mul(run.clusters, geometry.cluster_size())?;
            let left = len_u64(len.saturating_sub(at));
            let piece_len: usize = to(sub(run_bytes, inside)?.min(left))?;
            let disk_offset = match run.lcn {
                Some(lcn) => Some(add(lcn.to_byte_offset(geometry)?, inside)?),
                None => None,
            };
            visit(Piece { at, len: piece_len, disk_offset })?;
            at = at.saturating_add(piece_len);
        }
        Ok(())
    }
}

/// Bytes of a stream that lie together.
struct Piece {
    /// Where they start in what was asked for.
    at: usize,
    len: usize,
    /// Where they lie; `None` in a hole.
    disk_offset: Option<u64>,
}

/// The compression units of a stream.
struct Units<'a> {
    stream: &'a Stream,
    runs: &'a RunList,
    disk: &'a dyn Disk,
    geometry: &'a Geometry,
    unit_log2: u8,
}

impl Units<'_> {
    fn read(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<()> {
        let kind = self.stream.kind;
        let clusters = pow2(u32::from(self.unit_log2))?;
        let unit_bytes = clusters.saturating_mul(self.geometry.cluster_size());
        if unit_bytes > UNIT_BYTES_MAX {
            return Err(self.corrupt(StreamDefect::Unit { kind, clusters }));
        }
        let mut at = 0usize;
        // Every round takes at least one byte of `buffer`.
        while at < buffer.len() {
            let position = add(offset_bytes, len_u64(at))?;
            let inside = crate::bytes::arith::rem(position, unit_bytes)?;
            let unit = self.unit(sub(position, inside)?, clusters, to(unit_bytes)?)?;
            let left = unit.len().saturating_sub(to(inside)?);
            let len = left.min(buffer.len().saturating_sub(at));
            field::put(buffer, at, field::slice(&unit, to(inside)?, len)?)?;
            at = at.saturating_add(len);
        }
        Ok(())
    }

    /// The plain bytes of the unit at `start_bytes`. Clusters in front of the first hole hold data: as they are if
    /// there is no hole, nothing if there is nothing but a hole, else compressed.
    fn unit(&self, start_bytes: u64, clusters: u64, unit_len: usize) -> Result<Vec<u8>> {
        let kind = self.stream.kind;
        let vcn = Vcn::of_byte(start_bytes, self.geometry)?;
        let mut stored = Vec::new();
        let mut done = 0u64;
        let mut has_hole = false;
        // Every round takes at least one cluster of the unit, which is small.
        while done < clusters {
            // The runs may end inside the last unit.
            let Some(run) = self.runs.find(vcn.plus(done)?) else {
                has_hole = true;
                break;
            };
            let count = run.clusters.min(sub(clusters, done)?);
            match run.lcn {
                None => has_hole = true,
                Some(_) if has_hole => {
                    return Err(self.corrupt(StreamDefect::UnitHole { kind, vcn: vcn.0 }));
                }
                Some(lcn) => {
                    let len = to(mul(count, self.geometry.cluster_size())?)?;
                    stored.extend(self.disk.read_vec(lcn.to_byte_offset(self.geometry)?, len)?);
                }
            }
            done = add(done, count)?;
        }
        if stored.is_empty() {
            return Ok(vec![0; unit_len]);
        }
        if !has_hole {
            return Ok(stored);
        }
        compress::decompress(&stored, unit_len)
            .map_err(|defect| self.corrupt(StreamDefect::Compressed { kind, vcn: vcn.0, defect }))
    }

    fn corrupt(&self, defect: StreamDefect) -> Error {
        corrupt(self.stream.owner, defect).into()
    }
}

fn corrupt(owner: MftRecordNumber, defect: StreamDefect) -> Corrupt {
    Corrupt::new("attribute", defect).of(owner.to_string())
}

fn join(
    first: &Attribute<'_>,
    rest: &[Attribute<'_>],
    geometry: &Geometry,
) -> Result<Place, StreamDefect> {
    let kind = first.kind;
    let non_resident = match first.body {
        Body::Resident(resident) if rest.is_empty() => {
            return Ok(Place::Resident(resident.value.to_vec()));
        }
        Body::Resident(_) => return Err(StreamDefect::ResidentParts(kind)),
        Body::NonResident(non_resident) => non_resident,
    };
    if non_resident.first != Vcn(0) {
        return Err(StreamDefect::FirstPart(kind));
    }
    let mut runs = RunList::decode(non_resident.runs, non_resident.first)?;
    runs.check_coverage(non_resident.last)?;
    for part in rest {
        let Some(part) = part.non_resident() else {
            return Err(StreamDefect::ResidentParts(kind));
        };
        let next = RunList::decode(part.runs, part.first)?;
        next.check_coverage(part.last)?;
        runs.join(&next)?;
    }
    runs.check_inside(geometry.total_clusters)?;
    let sizes = non_resident.sizes;
    let clusters = runs.clusters();
    if sizes.value > clusters.saturating_mul(geometry.cluster_size()) {
        return Err(StreamDefect::Size { kind, size: sizes.value, clusters });
    }
    let compression_unit_log2 = non_resident.compression_unit_log2;
    Ok(Place::Clusters { runs, sizes, compression_unit_log2 })
}
