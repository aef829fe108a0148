//! What must agree on a volume after an edit, where the edit wrote: records, bitmaps, indexes, the mirror.
//!
//! Shares no code with the editors but the parsers. The cost follows the edit: records that were written, the files
//! they belong to, and the directories and files that are expected.
//!
//! * every record in what was written parses, with its attributes, and its bit in the bitmap of the MFT says whether
//!   it is in use;
//! * `$MFTMirr` is what the MFT begins with;
//! * each cluster of a file that was edited is marked in `$Bitmap`, and belongs to no other file that was;
//! * directories that were edited are sorted, their blocks are marked, and their entries lead to records that are in
//!   use, have the right sequence number, and know the directory by that name.

use super::Ntfs;
use super::attribute::{AttributeKind, INDEX_NAME};
use super::bitmap;
use super::file::File;
use super::file_name::NameSpace;
use super::index::{Collation, check};
use super::index_view::IndexView;
use super::stream::Stream;
use super::units::{Lcn, MftRecordNumber};
use crate::bytes::arith::{add, div, len_u64, mul, rem, sub, to};
use crate::error::{Context as _, Corrupt, Error, Result};
use crate::fs::path::find;
use crate::fs::verify::Expectation;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

/// Bound on the records that are looked at.
const RECORDS_MAX: usize = 65536;
/// Bound on the entries of a directory that are followed; the order of a larger one is checked all the same.
const ENTRIES_MAX: u64 = 20_000;
/// Bytes of a bitmap that are read at once: 8 Mi bits.
const BITMAP_BYTES_MAX: u64 = 1 << 20;

/// What does not agree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Disagreement {
    #[error("is in use: {is_in_use}, but its bit in the bitmap of the MFT says {bit}")]
    RecordBit { is_in_use: bool, bit: bool },
    #[error("differs from its copy in $MFTMirr")]
    Mirror,
    #[error("{clusters} clusters from {start} belong to it and to {other} as well")]
    SharedClusters { start: Lcn, clusters: u64, other: String },
    #[error("{clusters} clusters from {start} belong to it, but are not all marked in $Bitmap")]
    FreeClusters { start: Lcn, clusters: u64 },
    #[error("entry {name} leads to {target}, which {problem}")]
    Entry { name: String, target: MftRecordNumber, problem: &'static str },
    #[error("has {count} names, but {links} links")]
    Links { count: usize, links: u16 },
    #[error("bitmap ends before bit {0}")]
    ShortBitmap(u64),
}

/// Checks everything above. Says what could not be looked at, if anything.
///
/// # Errors
/// `Corrupt` with the first disagreement; those of reading.
pub(super) fn cross_check(
    fs: &Ntfs,
    written: &[Range<u64>],
    expectations: &[Expectation],
) -> Result<Option<String>> {
    let mut check = CrossCheck { fs, files: BTreeSet::new(), owners: BTreeMap::new() };
    check.mirror()?;
    let is_complete = check.records(written)?;
    for Expectation { path, .. } in expectations {
        let parent = path.parent().unwrap_or_else(|| path.clone());
        for path in [path, &parent] {
            if let Some(found) = find(fs, path)? {
                check.files.insert(MftRecordNumber(found.node.0));
            }
        }
    }
    let mut skipped = (!is_complete).then(|| "not all written records were looked at".to_owned());
    for number in check.files.clone() {
        let file = fs.volume.load_file(number)?;
        check.clusters(&file).context(|| number.to_string())?;
        check_links(&file).context(|| number.to_string())?;
        if file.is_directory() && !check.directory(&file).context(|| number.to_string())? {
            skipped = Some(format!("the entries of {number} are too many to follow"));
        }
    }
    Ok(skipped)
}

struct CrossCheck<'a> {
    fs: &'a Ntfs,
    /// Base records of the files that were edited, or are expected.
    files: BTreeSet<MftRecordNumber>,
    /// Clusters by their first one: their number, and who has them.
    owners: BTreeMap<u64, (u64, String)>,
}

impl CrossCheck<'_> {
    fn mirror(&self) -> Result<()> {
        let volume = &self.fs.volume;
        let len = to(mul(volume.mft().mirrored(), volume.geometry().record_size())?)?;
        let records = volume.mft().stream().read(volume, 0, len)?;
        let copies = volume.mft().mirror().read(volume, 0, len)?;
        if records == copies {
            return Ok(());
        }
        let record_len = volume.geometry().record_len()?;
        let pairs = records.chunks(record_len).zip(copies.chunks(record_len));
        let number = len_u64(pairs.take_while(|(record, copy)| record == copy).count());
        Err(corrupt(MftRecordNumber(number), Disagreement::Mirror))
    }

    /// Checks the records that were written, and remembers their files. Says false if they are too many.
    fn records(&mut self, written: &[Range<u64>]) -> Result<bool> {
        let (numbers, is_complete) = self.written_records(written)?;
        let bits = self.stream(MftRecordNumber::MFT, AttributeKind::BITMAP)?;
        for number in numbers {
            let volume = &self.fs.volume;
            // Records that were never used need not be records.
            let bit = self.bits(&bits, number.0, 1)?;
            let is_blank = !bit && self.is_blank(number)?;
            if is_blank {
                continue;
            }
            let record = volume.read_record(number)?;
            let is_in_use = record.is_in_use();
            if is_in_use != bit {
                return Err(corrupt(number, Disagreement::RecordBit { is_in_use, bit }));
            }
            super::file::attributes(&record)?;
            if is_in_use {
                self.files.insert(record.base().map_or(number, |base| base.record));
            }
        }
        Ok(is_complete)
    }

    /// True if a record holds nothing, as the MFT is grown by some drivers.
    fn is_blank(&self, number: MftRecordNumber) -> Result<bool> {
        let volume = &self.fs.volume;
        let len = volume.geometry().record_len()?;
        let start = mul(number.0, len_u64(len))?;
        let bytes = volume.mft().stream().read(volume, start, len)?;
        Ok(bytes.iter().all(|byte| *byte == 0))
    }

    /// The records that lie in `written`, and whether these are all.
    fn written_records(&self, written: &[Range<u64>]) -> Result<(BTreeSet<MftRecordNumber>, bool)> {
        let volume = &self.fs.volume;
        let geometry = volume.geometry();
        let mut numbers = BTreeSet::new();
        let runs =
            volume.mft().stream().runs().map(|runs| runs.runs().to_vec()).unwrap_or_default();
        for run in runs {
            let Some(lcn) = run.lcn else { continue };
            let start = lcn.to_byte_offset(geometry)?;
            let end = add(start, mul(run.clusters, geometry.cluster_size())?)?;
            let value_start = run.vcn.to_byte_offset(geometry)?;
            for range in written.iter().filter(|range| range.start < end && start < range.end) {
                let from = add(value_start, sub(range.start.max(start), start)?)?;
                let last = add(value_start, sub(range.end.min(end), start)?.saturating_sub(1))?;
                let first = div(from, geometry.record_size())?;
                let behind = div(last, geometry.record_size())?.saturating_add(1);
                for number in first..behind.min(volume.mft().records()) {
                    if numbers.len() >= RECORDS_MAX {
                        return Ok((numbers, false));
                    }
                    numbers.insert(MftRecordNumber(number));
                }
            }
        }
        Ok((numbers, true))
    }

    /// The value of an unnamed attribute of a metadata file.
    fn stream(&self, number: MftRecordNumber, kind: AttributeKind) -> Result<Stream> {
        let volume = &self.fs.volume;
        let found = volume.load_file(number)?.stream(volume, kind, &[])?;
        found.ok_or_else(|| {
            Corrupt::new("MFT record", format!("has no {kind}")).of(number.to_string()).into()
        })
    }

    /// True if `count` bits from `first` are set.
    fn bits(&self, stream: &Stream, first: u64, count: u64) -> Result<bool> {
        let end = add(first, count)?;
        let mut at = first;
        // Every round takes at least one bit.
        while at < end {
            let byte = div(at, 8)?;
            let skipped = rem(at, 8)?;
            let count = sub(end, at)?.min(sub(mul(BITMAP_BYTES_MAX, 8)?, skipped)?);
            let len = add(skipped, count)?.div_ceil(8);
            let bytes = stream.read(&self.fs.volume, byte, to(len)?)?;
            if len_u64(bytes.len()) < len {
                return Err(corrupt(stream.owner, Disagreement::ShortBitmap(at)));
            }
            if bitmap::check(&bytes, skipped..add(skipped, count)?, true).is_err() {
                return Ok(false);
            }
            at = add(at, count)?;
        }
        Ok(true)
    }

    /// Checks that the clusters of `file` are marked, and that no other file that was seen has them.
    fn clusters(&mut self, file: &File) -> Result<()> {
        let bitmap = self.stream(MftRecordNumber::BITMAP, AttributeKind::DATA)?;
        for (kind, name) in attribute_names(file)? {
            let parts = file.parts(kind, &name)?;
            if parts.iter().all(|part| part.resident().is_some()) {
                continue;
            }
            let geometry = self.fs.volume.geometry();
            let Some(stream) = Stream::from_parts(file.number(), &parts, geometry)? else {
                continue;
            };
            let owner = format!("{} ({kind})", file.number());
            for run in stream.runs().map_or(&[][..], |runs| runs.runs()) {
                let Some(start) = run.lcn else { continue };
                self.own(start, run.clusters, &owner)
                    .map_err(|defect| corrupt(file.number(), defect))?;
                if !self.bits(&bitmap, start.0, run.clusters)? {
                    let clusters = run.clusters;
                    return Err(corrupt(
                        file.number(),
                        Disagreement::FreeClusters { start, clusters },
                    ));
                }
            }
        }
        Ok(())
    }

    fn own(&mut self, start: Lcn, clusters: u64, owner: &str) -> Result<(), Disagreement> {
        let end = start.0.saturating_add(clusters);
        let before = self.owners.range(..end).next_back();
        if let Some((first, (count, other))) = before
            && first.saturating_add(*count) > start.0
        {
            let other = other.clone();
            return Err(Disagreement::SharedClusters { start, clusters, other });
        }
        self.owners.insert(start.0, (clusters, owner.to_owned()));
        Ok(())
    }

    /// Checks a directory. Says false if its entries are too many to follow.
    fn directory(&self, file: &File) -> Result<bool> {
        let volume = &self.fs.volume;
        let view = IndexView::open(volume, file, &INDEX_NAME)?;
        let collation = Collation::FileName(volume.up_case());
        let summary = check(&view, volume.geometry().cluster_size_bytes, collation)?;
        if summary.entries > ENTRIES_MAX {
            return Ok(false);
        }
        self.fs.with_index(file, |index| {
            index.visit(&mut |entry| {
                let name = entry.file_name()?;
                let target = entry.file();
                let defect = |problem| {
                    let name = crate::bytes::text::escape(&super::name::to_wtf8(&name.name));
                    let target = target.record;
                    corrupt(file.number(), Disagreement::Entry { name, target, problem })
                };
                let record = volume.read_record(target.record)?;
                if !record.is_in_use() || !target.matches(record.header.sequence) {
                    return Err(defect("belongs to another file, or to none"));
                }
                if name.parent.record != file.number() {
                    return Err(defect("should lie in another directory"));
                }
                let is_edited = self.files.contains(&target.record);
                let knows_name = || -> Result<bool> {
                    let names = volume.load_file(target.record)?.names()?;
                    Ok(names
                        .iter()
                        .any(|own| own.parent.record == file.number() && own.name == name.name))
                };
                // Names of type DOS may have been taken away by a tool that left the entry of the long name.
                if is_edited && name.name_space != NameSpace::Dos && !knows_name()? {
                    return Err(defect("does not have that name"));
                }
                Ok(ControlFlow::Continue(()))
            })
        })?;
        Ok(true)
    }
}

fn check_links(file: &File) -> Result<()> {
    let count = file.names()?.len();
    let links = file.base.header.link_count;
    if count == usize::from(links) {
        return Ok(());
    }
    Err(corrupt(file.number(), Disagreement::Links { count, links }))
}

/// The attributes of a file by type and name, each once. Names are counted elsewhere.
fn attribute_names(file: &File) -> Result<BTreeSet<(AttributeKind, Vec<u16>)>> {
    let mut found = BTreeSet::new();
    let records = std::iter::once(&file.base).chain(file.extensions.values());
    for record in records {
        for attribute in super::file::attributes(record)? {
            if !matches!(attribute.kind, AttributeKind::FILE_NAME | AttributeKind::ATTRIBUTE_LIST) {
                found.insert((attribute.kind, attribute.name));
            }
        }
    }
    Ok(found)
}

fn corrupt(number: MftRecordNumber, defect: Disagreement) -> Error {
    Corrupt::new("cross check", defect).of(number.to_string()).into()
}
