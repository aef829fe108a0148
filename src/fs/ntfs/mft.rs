//! The MFT: records by number, read and written through the clusters of `$MFT` itself.
//!
//! Sources: libyal libfsntfs, "New Technologies File System (NTFS)", section "The Master File Table (MFT)";
//! linux-ntfs documentation, "$MFT" and "$MFTMirr". The boot sector says where record 0 is, and record 0 where
//! all are. If its runs do not fit it, an attribute list names the records with the further ones; each of these
//! lies in a part of the MFT that is known by then.

use super::attribute::AttributeKind;
use super::boot::BootSector;
use super::file::{attributes, check_extension, read_list};
use super::record::Record;
use super::run_list::RunDefect;
use super::stream::{Place, Stream};
use super::units::{Geometry, Lcn, MftRecordNumber, Vcn};
use super::volume::Volume;
use crate::bytes::arith::{div, len_u64, mul};
use crate::disk::Disk;
use crate::error::{Corrupt, Result};

/// Bound on the parts of the MFT in as many records.
const PARTS_MAX: usize = 4096;
/// Bound on the records that `$MFTMirr` copies: as many as fit the largest cluster.
const MIRROR_RECORDS_MAX: u64 = 2048;

/// What can be wrong with the MFT.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MftDefect {
    #[error("has no content")]
    NoData,
    #[error("lies in its own records")]
    Resident,
    #[error("does not start at cluster {0}, as the boot sector says")]
    Start(u64),
    #[error("has holes, or is compressed or encrypted")]
    Kind,
    #[error("has a part in more than {PARTS_MAX} records")]
    TooManyParts,
    #[error("has no part from cluster {0} on, which its attribute list names")]
    NoPart(u64),
    #[error("has {0} records")]
    Records(u64),
    #[error("record {record} does not exist: the MFT has {records}")]
    Outside { record: u64, records: u64 },
    #[error(transparent)]
    Run(#[from] RunDefect),
}

/// Where the records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mft {
    /// All records.
    stream: Stream,
    /// The copy of the first ones.
    mirror: Stream,
    /// Records that were ever written.
    records: u64,
    /// Records that have a copy.
    mirrored: u64,
}

impl Mft {
    /// Reads where all records are.
    ///
    /// # Errors
    /// `Corrupt` if record 0 or 1 makes no sense.
    pub(super) fn open(disk: &dyn Disk, boot: &BootSector) -> Result<Self> {
        let geometry = &boot.geometry;
        let len = geometry.record_len()?;
        let first = disk.read_vec(boot.mft.to_byte_offset(geometry)?, len)?;
        let base = parse(MftRecordNumber::MFT, first)?;
        let mut stream = first_part(&base, geometry)?;
        check_start(&stream, boot.mft)?;
        if let Some(list) = read_list(&base, disk, geometry)? {
            let further = list.iter().filter(|entry| {
                entry.kind == AttributeKind::DATA && entry.name.is_empty() && entry.first != Vcn(0)
            });
            for (count, entry) in further.enumerate() {
                if count >= PARTS_MAX {
                    return Err(corrupt(MftDefect::TooManyParts));
                }
                let number = entry.record.record;
                let record = if number == MftRecordNumber::MFT {
                    base.clone()
                } else {
                    let record = read(&stream, disk, geometry, number)?;
                    check_extension(&record, entry.record, base.reference())?;
                    record
                };
                join(&mut stream, &record, entry.first, geometry)?;
            }
        }
        let records = div(stream.initialised_bytes(), geometry.record_size())?;
        check_kind(&stream)?;
        if records <= MftRecordNumber::UP_CASE.0 {
            return Err(corrupt(MftDefect::Records(records)));
        }
        let mirror_record = read(&stream, disk, geometry, MftRecordNumber::MFT_MIRROR)?;
        let mirror = first_part(&mirror_record, geometry)?;
        check_start(&mirror, boot.mft_mirror)?;
        let copies = div(mirror.initialised_bytes(), geometry.record_size())?;
        Ok(Self { stream, mirror, records, mirrored: copies.min(MIRROR_RECORDS_MAX) })
    }

    /// All records, as the content of `$MFT`.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The copy of the first records, as the content of `$MFTMirr`.
    pub(crate) fn mirror(&self) -> &Stream {
        &self.mirror
    }

    /// Number of records.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Number of records that have a copy in `$MFTMirr`.
    pub(crate) fn mirrored(&self) -> u64 {
        self.mirrored
    }

    /// Checks that there is such a record.
    ///
    /// # Errors
    /// `Corrupt` if there is not.
    pub(crate) fn check(&self, number: MftRecordNumber) -> Result<()> {
        if number.0 < self.records {
            return Ok(());
        }
        Err(corrupt(MftDefect::Outside { record: number.0, records: self.records }))
    }
}

impl Volume {
    /// Reads a record, in use or not, and checks its fix-ups.
    ///
    /// # Errors
    /// `Corrupt` if it does not exist or is damaged.
    pub(crate) fn read_record(&self, number: MftRecordNumber) -> Result<Record> {
        self.mft().check(number)?;
        read(self.mft().stream(), self.disk().as_ref(), self.geometry(), number)
    }

    /// Stores a record, and its copy in `$MFTMirr` if it has one (WIN-105).
    ///
    /// # Errors
    /// `Corrupt` if it does not exist, or its place makes no sense.
    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        self.mft().check(record.number)?;
        let bytes = record.encode().map_err(|defect| Record::corrupt(record.number, defect))?;
        let offset_bytes = mul(record.number.0, self.geometry().record_size())?;
        let what = record.number.to_string();
        self.mft().stream().overwrite(self, offset_bytes, &bytes, &what)?;
        if record.number.0 < self.mft().mirrored() {
            let what = format!("{what} in $MFTMirr");
            self.mft().mirror().overwrite(self, offset_bytes, &bytes, &what)?;
        }
        Ok(())
    }
}

fn read(
    stream: &Stream,
    disk: &dyn Disk,
    geometry: &Geometry,
    number: MftRecordNumber,
) -> Result<Record> {
    let len = geometry.record_len()?;
    let bytes = stream.read_from(disk, geometry, mul(number.0, len_u64(len))?, len)?;
    parse(number, bytes)
}

fn parse(number: MftRecordNumber, bytes: Vec<u8>) -> Result<Record> {
    Ok(Record::parse(number, bytes).map_err(|defect| Record::corrupt(number, defect))?)
}

/// The part of the content that `record` itself holds.
fn first_part(record: &Record, geometry: &Geometry) -> Result<Stream> {
    let parts = attributes(record)?;
    let part = parts.into_iter().find(|part| part.is(AttributeKind::DATA, &[]));
    let Some(part) = part else { return Err(corrupt(MftDefect::NoData)) };
    let Some(non_resident) = part.non_resident() else { return Err(corrupt(MftDefect::Resident)) };
    let runs = super::run_list::RunList::decode(non_resident.runs, non_resident.first)
        .and_then(|runs| runs.check_coverage(non_resident.last).map(|()| runs))
        .and_then(|runs| runs.check_inside(geometry.total_clusters).map(|()| runs))
        .map_err(|defect| corrupt(defect.into()))?;
    let place = Place::Clusters { runs, sizes: non_resident.sizes, compression_unit_log2: 0 };
    Ok(Stream { owner: record.number, kind: part.kind, flags: part.flags, place })
}

/// Adds the part from `first` on, which `record` holds.
fn join(stream: &mut Stream, record: &Record, first: Vcn, geometry: &Geometry) -> Result<()> {
    let part = attributes(record)?.into_iter().find_map(|part| {
        let non_resident = part.non_resident()?;
        (part.is(AttributeKind::DATA, &[]) && non_resident.first == first).then_some(non_resident)
    });
    let Some(part) = part else { return Err(corrupt(MftDefect::NoPart(first.0))) };
    let Place::Clusters { runs, .. } = &mut stream.place else { return Ok(()) };
    let mut add = || {
        let next = super::run_list::RunList::decode(part.runs, part.first)?;
        next.check_coverage(part.last)?;
        next.check_inside(geometry.total_clusters)?;
        runs.join(&next)
    };
    add().map_err(|defect| corrupt(defect.into()))
}

fn check_start(stream: &Stream, start: Lcn) -> Result<()> {
    let first = stream.runs().and_then(|runs| runs.runs().first().copied());
    if first.is_some_and(|run| run.vcn == Vcn(0) && run.lcn == Some(start)) {
        return Ok(());
    }
    Err(corrupt(MftDefect::Start(start.0)))
}

/// Records that are not simply there cannot be told from broken ones.
fn check_kind(stream: &Stream) -> Result<()> {
    let has_holes = stream.runs().is_none_or(super::run_list::RunList::has_holes);
    if has_holes || stream.is_compressed() || stream.is_encrypted() {
        return Err(corrupt(MftDefect::Kind));
    }
    Ok(())
}

fn corrupt(defect: MftDefect) -> crate::error::Error {
    Corrupt::new("$MFT", defect).into()
}
