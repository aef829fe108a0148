//! A strict checker of NTFS volumes: the second reading of the format, which shares nothing with the first.
//!
//! No free program checks a whole NTFS volume (`ntfsresize -i` compares `$Bitmap` with the runs, `ntfsfix -n` looks
//! at little more than the boot sector), so this one does: every record and its fix-ups, attributes and run lists,
//! owners of clusters, every index, names against entries in both directions, link counts, the mirror, `$Secure`,
//! object ids and reparse points. It holds for volumes that mkntfs and ntfs-3g made.
//!
//! Format: libyal, "New Technologies File System (NTFS)", and the facts of the project's own specification of
//! Windows volumes, section 10.

mod attribute;
mod bytes;
mod extras;
mod file;
mod index;
mod mft;
mod names;
mod record;
mod secure;
mod show;
mod space;
pub(crate) mod surgeon;
mod upcase;
mod volume;

pub(crate) use show::{Listing, content, tree};

use attribute::{DATA, INDEX_ALLOCATION, INDEX_ROOT, VOLUME_INFORMATION};
use file::{File, Stream};
use mft::Mft;
use names::Directories;
use std::collections::BTreeMap;
use std::path::Path;
use upcase::UpCase;
use volume::{Found, Volume};

/// Checks the volume that starts `offset` bytes into `image`; nothing is said about a good one.
pub(crate) fn check(image: &Path, offset: usize) -> Vec<String> {
    let bytes = super::sparse::read(image);
    check_bytes(&bytes[offset..])
}

/// Checks a volume in memory.
pub(crate) fn check_bytes(bytes: &[u8]) -> Vec<String> {
    check_and_list(bytes).0
}

/// Checks a volume in memory, and lists it if it can be read at all.
pub(crate) fn check_and_list(bytes: &[u8]) -> (Vec<String>, Option<Listing>) {
    let mut findings = Vec::new();
    let mut listing = None;
    let checked = Whole::read(bytes, &mut findings).and_then(|whole| {
        whole.check(&mut findings)?;
        listing = findings.is_empty().then(|| show::list(&whole));
        Ok(())
    });
    findings.extend(checked.err());
    (findings, listing)
}

/// Whether a record says that it is in use, and its sequence number; none behind the end of the MFT.
pub(crate) fn record_state(bytes: &[u8], number: u64) -> Option<(bool, u16)> {
    let whole = Whole::read(bytes, &mut Vec::new()).unwrap();
    let len = whole.mft.record_bytes;
    let raw = bytes::slice(&whole.mft.bytes, number as usize * len, len)?;
    Some((record::says_in_use(raw), bytes::u16_at(raw, 16)?))
}

/// What a byte of a volume belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A record of the MFT, or its copy in the mirror, by number.
    Record(u64),
    /// A stream that is not the MFT itself, by record and type.
    Stream(u64, u32),
}

/// Who owns what on a volume.
#[derive(Debug)]
pub(crate) struct Owners {
    owned: Vec<space::Owned>,
    cluster_bytes: u64,
    record_bytes: u64,
    extensions: BTreeMap<u64, u64>,
}

impl Owners {
    /// Reads a good volume.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let whole = Whole::read(bytes, &mut Vec::new()).unwrap();
        let pairs = whole.mft.extensions.iter();
        let extensions = pairs.flat_map(|(base, those)| those.iter().map(|it| (*it, *base)));
        Self {
            owned: space::owned(&whole.files),
            cluster_bytes: whole.volume.geometry.cluster_bytes,
            record_bytes: whole.volume.geometry.record_bytes as u64,
            extensions: extensions.collect(),
        }
    }

    /// Whose a byte is; none in free space.
    pub(crate) fn of(&self, offset: u64) -> Option<Owner> {
        let cluster = offset / self.cluster_bytes;
        let after = self.owned.partition_point(|run| run.lcn <= cluster);
        let run = self.owned[..after].last().filter(|run| cluster < run.lcn + run.count)?;
        let inside =
            (run.vcn + cluster - run.lcn) * self.cluster_bytes + offset % self.cluster_bytes;
        Some(match (run.record, run.kind) {
            (0 | 1, DATA) => Owner::Record(inside / self.record_bytes),
            (record, kind) => Owner::Stream(record, kind),
        })
    }

    /// The base record of a record that has one.
    pub(crate) fn base(&self, record: u64) -> u64 {
        self.extensions.get(&record).copied().unwrap_or(record)
    }
}

/// A volume with all its files.
#[derive(Debug)]
struct Whole<'a> {
    volume: Volume<'a>,
    mft: Mft,
    files: Vec<File>,
}

impl<'a> Whole<'a> {
    fn read(bytes: &'a [u8], findings: &mut Vec<String>) -> Found<Self> {
        let volume = Volume::open(bytes, findings)?;
        let mft = Mft::read(&volume, findings)?;
        let bases = mft.records.values().filter(|record| record.base.is_none());
        let files: Vec<File> = bases.map(|base| File::new(&mft, base, &volume, findings)).collect();
        Ok(Self { volume, mft, files })
    }

    fn check(&self, findings: &mut Vec<String>) -> Found<()> {
        let (volume, files) = (&self.volume, &self.files);
        let upcase = self.system(10, "$UpCase")?.stream(DATA, "").ok_or("$UpCase: no content")?;
        let upcase = UpCase::new(upcase.read(volume)?)?;
        for number in 0..12 {
            self.system(number, &format!("system file {number}"))?;
        }
        self.mft.check_bitmap(self.system(0, "$MFT")?, volume, findings);
        if let Err(error) = self.mft.check_mirror(files, volume) {
            findings.push(error);
        }
        for record in self.mft.records.values() {
            File::check_order(record, &upcase, findings);
        }
        let mut directories = Directories::new();
        for file in files {
            file.check(findings);
            if file.is_directory() && file.stream(INDEX_ROOT, "$I30").is_some() {
                let entries = index::read(file, "$I30", volume, &upcase, findings);
                directories.insert(file.number, names::entries(&entries));
            }
        }
        names::check(files, &directories, &upcase, findings);
        space::check(files, volume, findings);
        secure::check(files, volume, &upcase, findings);
        extras::check(files, volume, &upcase, findings);
        self.check_volume()
    }

    fn system(&self, number: u64, what: &str) -> Found<&File> {
        let found = self.files.iter().find(|file| file.number == number);
        found.ok_or_else(|| format!("{what}: not there"))
    }

    /// Version 3.1, and no flag set.
    fn check_volume(&self) -> Found<()> {
        let information = self.system(3, "$Volume")?.stream(VOLUME_INFORMATION, "");
        let information = information.and_then(Stream::resident).unwrap_or(&[]);
        match information.get(8..12) {
            Some([3, 1, 0, 0]) => Ok(()),
            other => Err(format!("$Volume: version and flags {other:x?}")),
        }
    }
}
