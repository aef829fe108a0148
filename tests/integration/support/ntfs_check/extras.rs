//! The indexes below `$Extend`: object ids and reparse points.
//!
//! Format: libyal, "New Technologies File System (NTFS)", sections "$ObjID:$O" and "The reparse point".

use super::attribute::{OBJECT_ID, REPARSE_POINT};
use super::bytes::{slice, u32_at, u64_at};
use super::file::{File, Stream};
use super::index;
use super::record::Reference;
use super::upcase::UpCase;
use super::volume::Volume;
use std::collections::BTreeSet;

/// The `$Extend` directory.
const EXTEND: u64 = 11;

fn below_extend<'a>(files: &'a [File], name: &str) -> Option<&'a File> {
    files.iter().find(|file| {
        file.names
            .iter()
            .any(|it| it.parent.record == EXTEND && it.name.iter().copied().eq(name.encode_utf16()))
    })
}

/// Compares both indexes with the attributes of all files, in both directions.
pub(super) fn check(
    files: &[File],
    volume: &Volume<'_>,
    upcase: &UpCase,
    findings: &mut Vec<String>,
) {
    let mut ids = BTreeSet::new();
    let mut points = BTreeSet::new();
    for file in files {
        if let Some(id) = file.stream(OBJECT_ID, "").and_then(Stream::resident) {
            ids.insert((slice(id, 0, 16).unwrap_or(&[]).to_vec(), file.reference));
        }
        if let Some(point) = file.stream(REPARSE_POINT, "") {
            let bytes = point.read(volume).unwrap_or_default();
            points.insert((u32_at(&bytes, 0).unwrap_or(0), file.reference));
        }
    }
    if let Some(holder) = below_extend(files, "$ObjId") {
        let entries = index::read(holder, "$O", volume, upcase, findings);
        let indexed = entries.iter().map(|entry| {
            let reference = Reference::new(u64_at(&entry.data, 0).unwrap_or(0));
            (entry.key.clone(), reference)
        });
        compare(&ids, &indexed.collect(), "$ObjId", findings);
    } else if !ids.is_empty() {
        findings.push("$ObjId: not there".to_owned());
    }
    if let Some(holder) = below_extend(files, "$Quota") {
        // Owners and their quotas: the form, as nothing else is known of them here.
        index::read(holder, "$O", volume, upcase, findings);
        index::read(holder, "$Q", volume, upcase, findings);
    }
    if let Some(holder) = below_extend(files, "$Reparse") {
        let entries = index::read(holder, "$R", volume, upcase, findings);
        let indexed = entries.iter().map(|entry| {
            let reference = Reference::new(u64_at(&entry.key, 4).unwrap_or(0));
            (u32_at(&entry.key, 0).unwrap_or(0), reference)
        });
        compare(&points, &indexed.collect(), "$Reparse", findings);
    } else if !points.is_empty() {
        findings.push("$Reparse: not there".to_owned());
    }
}

fn compare<K: Ord + std::fmt::Debug>(
    real: &BTreeSet<(K, Reference)>,
    indexed: &BTreeSet<(K, Reference)>,
    what: &str,
    findings: &mut Vec<String>,
) {
    let missing = real.difference(indexed);
    findings.extend(missing.map(|(key, it)| format!("{what}: {key:x?} of {it} is missing")));
    let dangling = indexed.difference(real);
    findings.extend(dangling.map(|(key, it)| format!("{what}: {key:x?} of {it} is nobody's")));
}
