//! `$Secure`: descriptors, the two indexes of them, and who refers to them.
//!
//! Format: libyal, "New Technologies File System (NTFS)", section "Access control".

use super::attribute::{DATA, SECURITY_DESCRIPTOR, STANDARD_INFORMATION};
use super::bytes::{slice, u16_at, u32_at, u64_at};
use super::file::{File, Stream};
use super::index;
use super::upcase::UpCase;
use super::volume::{Found, Volume};
use std::collections::BTreeSet;

const SECURE: u64 = 9;
/// Each block of the stream is followed by its copy.
const BLOCK: usize = 0x4_0000;
const HEADER: usize = 20;

/// One descriptor: hash, number, offset, length with header; as in the header and in both indexes.
type Place = (u32, u32, u64, u32);

fn place(bytes: &[u8]) -> Option<Place> {
    Some((u32_at(bytes, 0)?, u32_at(bytes, 4)?, u64_at(bytes, 8)?, u32_at(bytes, 16)?))
}

/// Checks `$Secure`, and every reference to it.
pub(super) fn check(
    files: &[File],
    volume: &Volume<'_>,
    upcase: &UpCase,
    findings: &mut Vec<String>,
) {
    let Some(secure) = files.iter().find(|file| file.number == SECURE) else {
        return findings.push("$Secure: not there".to_owned());
    };
    let stream = secure.stream(DATA, "$SDS").ok_or("no $SDS".to_owned());
    let stream = match stream.and_then(|stream| stream.read(volume)) {
        Ok(stream) => stream,
        Err(error) => return findings.push(format!("$Secure: {error}")),
    };
    let stored = match descriptors(&stream) {
        Ok(stored) => stored,
        Err(error) => return findings.push(format!("$Secure: {error}")),
    };
    let mut by_number = BTreeSet::new();
    for entry in index::read(secure, "$SII", volume, upcase, findings) {
        let found = place(&entry.data);
        if found.map(|place| place.1) != u32_at(&entry.key, 0) {
            findings.push(format!("$Secure: $SII: {:x?} is not {found:?}", entry.key));
        }
        by_number.extend(found);
    }
    let mut by_hash = BTreeSet::new();
    for entry in index::read(secure, "$SDH", volume, upcase, findings) {
        let found = place(&entry.data);
        if found.map(|place| (place.0, place.1)) != u32_at(&entry.key, 0).zip(u32_at(&entry.key, 4))
        {
            findings.push(format!("$Secure: $SDH: {:x?} is not {found:?}", entry.key));
        }
        by_hash.extend(found);
    }
    for (name, indexed) in [("$SII", &by_number), ("$SDH", &by_hash)] {
        let missing = stored.difference(indexed);
        findings.extend(missing.map(|it| format!("$Secure: {it:x?} is not in {name}")));
        let dangling = indexed.difference(&stored);
        findings.extend(dangling.map(|it| format!("$Secure: {it:x?} of {name} is not stored")));
    }
    let numbers: BTreeSet<u32> = stored.iter().map(|place| place.1).collect();
    if numbers.len() != stored.len() {
        findings.push("$Secure: a number twice".to_owned());
    }
    for file in files {
        check_reference(file, &numbers, volume, findings);
    }
}

/// Every descriptor of the stream; each is compared with its copy.
fn descriptors(stream: &[u8]) -> Found<BTreeSet<Place>> {
    let mut found = BTreeSet::new();
    let mut block = 0;
    while block < stream.len() {
        let end = stream.len().min(block + BLOCK);
        let mut at = block;
        while let Some(header) = slice(stream, at, HEADER).and_then(place).filter(|_| at < end) {
            let (hash, _, offset, len) = header;
            if (hash, len) == (0, 0) {
                break;
            }
            let len = len as usize;
            let entry = slice(stream, at, len).filter(|_| len > HEADER && at + len <= end);
            let entry = entry.ok_or_else(|| format!("a descriptor of {len} bytes at {at:#x}"))?;
            if offset != at as u64 {
                return Err(format!("a descriptor at {at:#x} says {offset:#x}"));
            }
            if hash_of(&entry[HEADER..]) != hash {
                return Err(format!("the hash of the descriptor at {at:#x}"));
            }
            check_descriptor(&entry[HEADER..]).map_err(|error| format!("{at:#x}: {error}"))?;
            if slice(stream, at + BLOCK, len) != Some(entry) {
                return Err(format!("the copy of the descriptor at {at:#x}"));
            }
            found.insert(header);
            at = (at + len).div_ceil(16) * 16;
        }
        block += 2 * BLOCK;
    }
    Ok(found)
}

/// The sum of all words, turned by three bits before each.
fn hash_of(descriptor: &[u8]) -> u32 {
    let words = descriptor.chunks_exact(4);
    words.fold(0u32, |hash, word| {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash.rotate_left(3).wrapping_add(word)
    })
}

/// A self-relative descriptor: revision 1, and its parts inside.
fn check_descriptor(bytes: &[u8]) -> Found<()> {
    let revision = *bytes.first().unwrap_or(&0);
    let control = u16_at(bytes, 2).unwrap_or(0);
    let inside = [4, 8, 12, 16].iter().all(|at| {
        let offset = u32_at(bytes, *at).unwrap_or(u32::MAX) as usize;
        offset == 0 || (offset >= 20 && slice(bytes, offset, 8).is_some())
    });
    let is_good = revision == 1 && control & 0x8000 != 0 && inside;
    if is_good { Ok(()) } else { Err("a descriptor that makes no sense".to_owned()) }
}

/// The number in `$STANDARD_INFORMATION` is one that there is, or the file has a descriptor of its own.
fn check_reference(
    file: &File,
    numbers: &BTreeSet<u32>,
    volume: &Volume<'_>,
    findings: &mut Vec<String>,
) {
    let own = file.stream(SECURITY_DESCRIPTOR, "");
    if let Some(own) = own {
        let checked = own.read(volume).and_then(|bytes| check_descriptor(&bytes));
        if let Err(error) = checked {
            findings.push(format!("record {}: {error}", file.number));
        }
    }
    let information = file.stream(STANDARD_INFORMATION, "").and_then(Stream::resident);
    let number = information.and_then(|information| u32_at(information, 52)).unwrap_or(0);
    let is_good = if number == 0 { own.is_some() } else { numbers.contains(&number) };
    // mkntfs and ntfs-3g leave some of the system files without.
    let is_system = number == 0 && file.number < 24;
    if !is_good && !is_system {
        findings.push(format!("record {}: no security descriptor {number}", file.number));
    }
}
