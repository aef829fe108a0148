//! A file: its base record with the records that it has besides, as whole streams.
//!
//! Format: libyal, "New Technologies File System (NTFS)", sections "The attribute list attribute" and "Attribute
//! chains".

use super::attribute::{
    ATTRIBUTE_LIST, Attribute, BITMAP, DATA, FILE_NAME, INDEX_ALLOCATION, INDEX_ROOT,
    IS_COMPRESSED, IS_SPARSE, NonResident, Place, Run, STANDARD_INFORMATION,
};
use super::bytes::{u16_at, u32_at, u64_at, utf16_at};
use super::mft::{Mft, read_runs};
use super::names::FileName;
use super::record::{IS_DIRECTORY, Record, Reference};
use super::upcase::UpCase;
use super::volume::{Found, Volume};

/// The record of the clusters that are broken: its stream is one hole without the flag for it.
const BAD_CLUSTERS: u64 = 8;

/// A whole stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) kind: u32,
    pub(super) name: Vec<u16>,
    pub(super) flags: u16,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Resident(Vec<u8>),
    Runs { runs: Vec<Run>, allocated: u64, data: u64, initialised: u64, compressed: Option<u64> },
}

impl Stream {
    /// The bytes of the stream.
    pub(super) fn data_bytes(&self) -> u64 {
        match &self.content {
            Content::Resident(bytes) => bytes.len() as u64,
            Content::Runs { data, .. } => *data,
        }
    }

    /// The bytes it takes, as a directory tells them.
    pub(super) fn allocated_bytes(&self) -> u64 {
        match &self.content {
            Content::Resident(bytes) => bytes.len().div_ceil(8) as u64 * 8,
            Content::Runs { allocated, compressed, .. } => compressed.unwrap_or(*allocated),
        }
    }

    pub(super) fn resident(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Resident(bytes) => Some(bytes),
            Content::Runs { .. } => None,
        }
    }

    pub(super) fn runs(&self) -> &[Run] {
        match &self.content {
            Content::Resident(_) => &[],
            Content::Runs { runs, .. } => runs,
        }
    }

    /// The content, with zeros behind what is initialised.
    pub(super) fn read(&self, volume: &Volume<'_>) -> Found<Vec<u8>> {
        match &self.content {
            Content::Resident(bytes) => Ok(bytes.clone()),
            Content::Runs { runs, data, initialised, .. } => {
                let mut bytes = read_runs(volume, runs, *data)?;
                let valid = (*initialised as usize).min(bytes.len());
                bytes[valid..].fill(0);
                Ok(bytes)
            }
        }
    }

    /// Type and name, for findings.
    pub(super) fn shown(&self) -> String {
        shown(self.kind, &self.name)
    }
}

fn shown(kind: u32, name: &[u16]) -> String {
    format!("attribute {kind:#x} {:?}", String::from_utf16_lossy(name))
}

/// A base record with everything it has.
#[derive(Debug)]
pub(super) struct File {
    pub(super) number: u64,
    pub(super) reference: Reference,
    pub(super) flags: u16,
    pub(super) links: u16,
    pub(super) streams: Vec<Stream>,
    pub(super) names: Vec<FileName>,
}

/// One line of an attribute list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListEntry {
    pub(super) kind: u32,
    pub(super) name: Vec<u16>,
    pub(super) lowest_vcn: u64,
    pub(super) reference: Reference,
    pub(super) id: u16,
}

/// Reads an attribute list.
pub(super) fn parse_list(bytes: &[u8]) -> Found<Vec<ListEntry>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let short = || format!("attribute list: no entry at {at}");
        let len = usize::from(u16_at(bytes, at + 4).ok_or_else(short)?);
        let entry = super::bytes::slice(bytes, at, len).ok_or_else(short)?;
        let name_len = usize::from(*entry.get(6).ok_or_else(short)?);
        let name_at = usize::from(*entry.get(7).ok_or_else(short)?);
        if len % 8 != 0 || (name_len > 0 && name_at < 26) || len < 32 {
            return Err(format!("attribute list: an entry of {len} bytes at {at}"));
        }
        entries.push(ListEntry {
            kind: u32_at(entry, 0).ok_or_else(short)?,
            name: utf16_at(entry, name_at, name_len).ok_or_else(short)?,
            lowest_vcn: u64_at(entry, 8).ok_or_else(short)?,
            reference: Reference::new(u64_at(entry, 16).ok_or_else(short)?),
            id: u16_at(entry, 24).ok_or_else(short)?,
        });
        at += len;
    }
    Ok(entries)
}

type Part<'a> = (&'a Record, &'a Attribute);

fn lowest(attribute: &Attribute) -> u64 {
    match &attribute.place {
        Place::Resident { .. } => 0,
        Place::Runs(runs) => runs.lowest_vcn,
    }
}

impl File {
    /// Puts together the file of the base record `base`.
    pub(super) fn new(
        mft: &Mft,
        base: &Record,
        volume: &Volume<'_>,
        findings: &mut Vec<String>,
    ) -> Self {
        let mut notes = Vec::new();
        let more = mft.extensions.get(&base.number).map_or(&[][..], Vec::as_slice);
        let records = std::iter::once(base).chain(more.iter().map(|number| &mft.records[number]));
        let mut parts: Vec<Part<'_>> = records
            .flat_map(|record| record.attributes.iter().map(move |it| (record, it)))
            .collect();
        let has_list = base.attributes.iter().any(|it| it.kind == ATTRIBUTE_LIST);
        if !has_list && !more.is_empty() {
            notes.push("more records, but no attribute list".to_owned());
        }
        let mut file = Self {
            number: base.number,
            reference: base.reference(),
            flags: base.flags,
            links: base.links,
            streams: Vec::new(),
            names: Vec::new(),
        };
        for (record, name) in parts.iter().filter(|(_, it)| it.kind == FILE_NAME) {
            match record.value(name).and_then(FileName::parse) {
                Some(name) => file.names.push(name),
                None => notes.push("a name that cannot be read".to_owned()),
            }
            if !matches!(name.place, Place::Resident { is_indexed: true, .. }) {
                notes.push("a name that is not marked as indexed".to_owned());
            }
        }
        let all: Vec<Part<'_>> = parts.clone();
        parts.retain(|(_, it)| it.kind != FILE_NAME);
        parts.sort_by(|(_, a), (_, b)| {
            (a.kind, &a.name, lowest(a)).cmp(&(b.kind, &b.name, lowest(b)))
        });
        let same = |a: &Part<'_>, b: &Part<'_>| a.1.kind == b.1.kind && a.1.name == b.1.name;
        for group in parts.chunk_by(same) {
            let (kind, name) = (group[0].1.kind, &group[0].1.name);
            match stream(base.number, group, volume, &mut notes) {
                Ok(stream) => file.streams.push(stream),
                Err(error) => notes.push(format!("{}: {error}", shown(kind, name))),
            }
        }
        if let Some(list) = file.stream(ATTRIBUTE_LIST, "") {
            let listed = list.read(volume).and_then(|bytes| parse_list(&bytes));
            match listed {
                Ok(listed) => compare_list(&listed, &all, &mut notes),
                Err(error) => notes.push(error),
            }
        }
        findings.extend(notes.iter().map(|note| format!("record {}: {note}", base.number)));
        file
    }

    /// A stream by type and name.
    pub(super) fn stream(&self, kind: u32, name: &str) -> Option<&Stream> {
        let is_it = |stream: &&Stream| {
            stream.kind == kind && stream.name.iter().copied().eq(name.encode_utf16())
        };
        self.streams.iter().find(is_it)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.flags & IS_DIRECTORY != 0
    }

    /// What has to be there, and counts that have to be right.
    pub(super) fn check(&self, findings: &mut Vec<String>) {
        let mut note = |is_good: bool, what: &str| {
            if !is_good {
                findings.push(format!("record {}: {what}", self.number));
            }
        };
        let information = self.stream(STANDARD_INFORMATION, "").and_then(Stream::resident);
        let len = information.map(<[u8]>::len);
        note(matches!(len, Some(48 | 72)), &format!("$STANDARD_INFORMATION of {len:?} bytes"));
        let has_index = self.stream(INDEX_ROOT, "$I30").is_some();
        note(self.is_directory() == has_index, "directory and index do not agree");
        let names = self.names.len();
        note(usize::from(self.links) == names, &format!("{} links, {names} names", self.links));
        // The records 12 to 15 are reserved and have no names.
        note(names > 0 || (12..24).contains(&self.number), "no name");
        if self.is_directory() {
            let long = self.names.iter().filter(|name| !name.is_dos()).count();
            note(long == 1, "a directory with several names");
            note(self.stream(DATA, "").is_none(), "a directory with content");
        } else if self.number > 8 || self.number < 5 {
            let is_view = self.streams.iter().any(|stream| stream.kind == INDEX_ROOT);
            note(is_view || self.stream(DATA, "").is_some(), "no content");
        }
        for stream in &self.streams {
            let has = |kind: u32| {
                self.streams.iter().any(|other| other.kind == kind && other.name == stream.name)
            };
            if stream.kind == INDEX_ALLOCATION {
                note(has(INDEX_ROOT) && has(BITMAP), "an index without root or bitmap");
            }
        }
        for name in &self.names {
            let is_right = name.is_directory() == self.is_directory();
            note(is_right || self.number < 24, "a name of another kind");
        }
    }

    /// The attributes of a record in order: by type, then by name.
    pub(super) fn check_order(record: &Record, upcase: &UpCase, findings: &mut Vec<String>) {
        for pair in record.attributes.windows(2) {
            let (a, b) = (&pair[0], &pair[1]);
            let order = a.kind.cmp(&b.kind).then_with(|| upcase.compare(&a.name, &b.name));
            let is_next_name = a.kind == FILE_NAME && b.kind == FILE_NAME;
            if order.is_gt() || (order.is_eq() && !is_next_name) {
                let what = shown(b.kind, &b.name);
                findings.push(format!("record {}: {what} is out of order", record.number));
            }
        }
    }
}

fn compare_list(listed: &[ListEntry], parts: &[Part<'_>], notes: &mut Vec<String>) {
    let key = |entry: &ListEntry| (entry.kind, entry.name.clone(), entry.lowest_vcn);
    // Names are compared as they are; Windows and ntfs-3g have no others than upper case ones of their own.
    if !listed.is_sorted_by_key(|entry| entry.kind) {
        notes.push("attribute list: not in order".to_owned());
    }
    let parts = parts.iter().filter(|(_, it)| it.kind != ATTRIBUTE_LIST);
    let mut found: Vec<ListEntry> = parts
        .map(|(record, it)| ListEntry {
            kind: it.kind,
            name: it.name.clone(),
            lowest_vcn: lowest(it),
            reference: record.reference(),
            id: it.id,
        })
        .collect();
    found.sort();
    let mut listed = listed.to_vec();
    let of_same = |a: &ListEntry, b: &ListEntry| a.kind == b.kind && a.name == b.name;
    for group in listed.chunk_by(of_same) {
        if group[0].kind != FILE_NAME && !group.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]))
        {
            notes.push(format!("attribute list: {:#x} is not in order", group[0].kind));
        }
    }
    listed.sort();
    let show = |entry: &ListEntry| {
        let (what, id) = (shown(entry.kind, &entry.name), entry.id);
        format!("{what} from VCN {} in {}, id {id}", entry.lowest_vcn, entry.reference)
    };
    let missing = listed.iter().filter(|entry| found.binary_search(entry).is_err());
    notes.extend(missing.map(|entry| format!("attribute list: nowhere is {}", show(entry))));
    let unlisted = found.iter().filter(|entry| listed.binary_search(entry).is_err());
    notes.extend(unlisted.map(|entry| format!("attribute list: without {}", show(entry))));
    if listed.windows(2).any(|pair| pair[0] == pair[1]) {
        notes.push("attribute list: an entry twice".to_owned());
    }
}

fn stream(
    number: u64,
    group: &[Part<'_>],
    volume: &Volume<'_>,
    notes: &mut Vec<String>,
) -> Found<Stream> {
    let (record, first) = group[0];
    let (kind, name, flags) = (first.kind, first.name.clone(), first.flags);
    let head = match &first.place {
        Place::Resident { .. } => {
            let value = record.value(first).unwrap_or(&[]).to_vec();
            return if group.len() == 1 {
                Ok(Stream { kind, name, flags, content: Content::Resident(value) })
            } else {
                Err("there twice".to_owned())
            };
        }
        Place::Runs(head) => head,
    };
    let mut runs = Vec::new();
    let mut next_vcn = 0;
    for (_, part) in group {
        let Place::Runs(part) = &part.place else { return Err("resident and not".to_owned()) };
        if part.lowest_vcn != next_vcn {
            return Err(format!("VCN {next_vcn} is missing or there twice"));
        }
        next_vcn += part.vcn_count();
        runs.extend_from_slice(&part.runs);
    }
    for note in size_findings(number, head, flags, &runs, volume.geometry.cluster_bytes) {
        notes.push(format!("{}: {note}", shown(kind, &name)));
    }
    let NonResident { allocated, data, initialised, compressed, .. } = *head;
    let content = Content::Runs { runs, allocated, data, initialised, compressed };
    Ok(Stream { kind, name, flags, content })
}

/// What is wrong with the sizes in the header of a stream.
fn size_findings(
    number: u64,
    head: &NonResident,
    flags: u16,
    runs: &[Run],
    cluster: u64,
) -> Vec<String> {
    let mut notes = Vec::new();
    let count = |wanted: fn(&&Run) -> bool| -> u64 {
        runs.iter().filter(wanted).map(|run| run.count).sum::<u64>().saturating_mul(cluster)
    };
    let (all, real) = (count(|_| true), count(|run| run.lcn.is_some()));
    let (allocated, data, initialised) = (head.allocated, head.data, head.initialised);
    let may_have_holes = flags & (IS_COMPRESSED | IS_SPARSE) != 0;
    if allocated != all {
        notes.push(format!("{allocated} bytes allocated, {all} in runs"));
    }
    if data > allocated {
        notes.push(format!("{data} bytes, {allocated} allocated"));
    }
    if initialised > data {
        notes.push(format!("{initialised} bytes initialised, {data} in all"));
    }
    if head.compressed.is_some_and(|compressed| compressed != real) {
        notes.push(format!("{:?} bytes in clusters, {real} in runs", head.compressed));
    }
    if real != all && !may_have_holes && number != BAD_CLUSTERS {
        notes.push("holes, but not sparse".to_owned());
    }
    let is_unit = if flags & IS_COMPRESSED != 0 {
        head.unit == 4
    } else if flags & IS_SPARSE != 0 {
        head.unit == 4 || head.unit == 0
    } else {
        head.unit == 0
    };
    if !is_unit {
        notes.push(format!("compression unit {}, flags {flags:#x}", head.unit));
    }
    notes
}
