//! Names: each has its entry in its directory, each entry its name.
//!
//! Format: libyal, "New Technologies File System (NTFS)", section "The file name attribute".

use super::attribute::DATA;
use super::bytes::{u32_at, u64_at, utf16_at};
use super::file::File;
use super::index::Entry;
use super::record::Reference;
use super::upcase::UpCase;
use std::collections::{BTreeMap, BTreeSet};

const ROOT: u64 = 5;
const POSIX: u8 = 0;
const WINDOWS: u8 = 1;
const DOS: u8 = 2;
const HAS_INDEX: u32 = 0x1000_0000;

/// A name of a file, as an attribute or as the key of an entry.
#[derive(Debug, Clone)]
pub(super) struct FileName {
    pub(super) parent: Reference,
    pub(super) namespace: u8,
    pub(super) name: Vec<u16>,
    allocated: u64,
    data: u64,
    flags: u32,
}

impl FileName {
    /// Reads the value of an attribute, or a key.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let len = usize::from(*bytes.get(64)?);
        let name = utf16_at(bytes, 66, len)?;
        let is_good = len > 0 && bytes.len() == 66 + 2 * len && bytes[65] <= 3;
        let is_name = name.iter().all(|unit| *unit != 0 && *unit != u16::from(b'/'));
        (is_good && is_name).then_some(Self {
            parent: Reference::new(u64_at(bytes, 0)?),
            namespace: bytes[65],
            name,
            allocated: u64_at(bytes, 40)?,
            data: u64_at(bytes, 48)?,
            flags: u32_at(bytes, 56)?,
        })
    }

    pub(super) fn is_dos(&self) -> bool {
        self.namespace == DOS
    }

    pub(super) fn is_directory(&self) -> bool {
        self.flags & HAS_INDEX != 0
    }

    pub(super) fn shown(&self) -> String {
        format!("{:?}", String::from_utf16_lossy(&self.name))
    }
}

/// A directory with its entries.
pub(super) type Directories = BTreeMap<u64, Vec<(Reference, FileName)>>;

/// The entries of a directory, with their names.
pub(super) fn entries(entries: &[Entry]) -> Vec<(Reference, FileName)> {
    let parsed = entries
        .iter()
        .filter_map(|entry| Some((Reference::new(entry.reference), FileName::parse(&entry.key)?)));
    parsed.collect()
}

type Link<'a> = (Reference, Reference, u8, &'a [u16]);

fn link(child: Reference, name: &FileName) -> Link<'_> {
    (name.parent, child, name.namespace, &name.name)
}

/// Compares names and entries in both directions, and everything about pairs and parents.
pub(super) fn check(
    files: &[File],
    directories: &Directories,
    upcase: &UpCase,
    findings: &mut Vec<String>,
) {
    let all = files.iter().flat_map(|file| file.names.iter().map(move |name| (file, name)));
    let mut links: Vec<Link<'_>> = all.map(|(file, name)| link(file.reference, name)).collect();
    links.sort();
    if let Some(twice) = links.windows(2).find(|pair| pair[0] == pair[1]) {
        findings.push(format!("record {}: a name twice", twice[0].1));
    }
    let mut indexed = Vec::with_capacity(links.len());
    let by_number: BTreeMap<u64, &File> = files.iter().map(|file| (file.number, file)).collect();
    for (directory, entries) in directories {
        let own = by_number.get(directory).map(|file| file.reference);
        for (child, name) in entries {
            if Some(name.parent) != own {
                let (parent, shown) = (name.parent, name.shown());
                findings.push(format!("directory {directory}: {shown} says it is in {parent}"));
            }
            if let Some(file) = by_number.get(&child.record) {
                compare_copy(*directory, file, name, findings);
            }
            indexed.push(link(*child, name));
        }
        check_case(*directory, entries, upcase, findings);
    }
    indexed.sort();
    let show = |(parent, child, _, name): &Link<'_>| {
        format!("{:?} of {child} in {parent}", String::from_utf16_lossy(name))
    };
    let lost = links.iter().filter(|link| indexed.binary_search(link).is_err());
    findings.extend(lost.map(|link| format!("name without entry: {}", show(link))));
    let dangling = indexed.iter().filter(|link| links.binary_search(link).is_err());
    findings.extend(dangling.map(|link| format!("entry without name: {}", show(link))));
    check_pairs(files, findings);
    check_reachable(files, directories, findings);
}

/// Names of a directory that differ only in case are all of the kind that may.
fn check_case(
    directory: u64,
    entries: &[(Reference, FileName)],
    upcase: &UpCase,
    findings: &mut Vec<String>,
) {
    for pair in entries.windows(2) {
        let (a, b) = (&pair[0].1, &pair[1].1);
        let is_posix = a.namespace == POSIX && b.namespace == POSIX;
        if !is_posix && upcase.compare(&a.name, &b.name).is_eq() {
            let (a, b) = (a.shown(), b.shown());
            findings.push(format!("directory {directory}: {a} and {b} are the same"));
        }
    }
}

/// Sizes in the copy that a directory has. Windows may leave old ones for the other names of a file; ntfs-3g does not.
fn compare_copy(directory: u64, file: &File, copy: &FileName, findings: &mut Vec<String>) {
    if file.is_directory() || file.number < 24 {
        return;
    }
    let (number, shown) = (file.number, copy.shown());
    if let Some(data) = file.stream(DATA, "") {
        let (size, allocated) = (data.data_bytes(), data.allocated_bytes());
        if (copy.data, copy.allocated) != (size, allocated) {
            findings.push(format!(
                "directory {directory}: {shown} of {number} has {size} bytes in {allocated}, listed {} in {}",
                copy.data, copy.allocated
            ));
        }
    }
}

/// A short name has one long name in the same directory, and a file has one short name at most.
fn check_pairs(files: &[File], findings: &mut Vec<String>) {
    for file in files {
        let short: Vec<&FileName> = file.names.iter().filter(|name| name.is_dos()).collect();
        if short.len() > 1 {
            findings.push(format!("record {}: several short names", file.number));
        }
        for name in short {
            let is_long =
                |other: &&FileName| other.namespace == WINDOWS && other.parent == name.parent;
            let count = file.names.iter().filter(is_long).count();
            if count != 1 {
                let shown = name.shown();
                findings.push(format!("record {}: {count} long names of {shown}", file.number));
            }
            if !is_short(&name.name) {
                let shown = name.shown();
                findings.push(format!("record {}: {shown} is no short name", file.number));
            }
        }
    }
}

/// Eight and three characters, none of them a small letter.
fn is_short(name: &[u16]) -> bool {
    let text = String::from_utf16_lossy(name);
    let (base, extension) = text.split_once('.').unwrap_or((&text, ""));
    let is_good = |part: &str, len: usize| {
        let is_allowed =
            |c: char| c > ' ' && !c.is_ascii_lowercase() && !"\"*+,/:;<=>?\\[]|.".contains(c);
        part.chars().count() <= len && part.chars().all(is_allowed)
    };
    !base.is_empty() && is_good(base, 8) && is_good(extension, 3)
}

/// Every file with a name hangs below the root.
fn check_reachable(files: &[File], directories: &Directories, findings: &mut Vec<String>) {
    let mut reached = BTreeSet::from([ROOT]);
    let mut waiting = vec![ROOT];
    while let Some(directory) = waiting.pop() {
        for (child, _) in directories.get(&directory).map_or(&[][..], Vec::as_slice) {
            if reached.insert(child.record) && directories.contains_key(&child.record) {
                waiting.push(child.record);
            }
        }
    }
    let lost =
        files.iter().filter(|file| !file.names.is_empty() && !reached.contains(&file.number));
    findings.extend(lost.map(|file| format!("record {}: not below the root", file.number)));
}
