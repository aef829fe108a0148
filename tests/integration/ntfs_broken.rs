//! The table of broken NTFS volumes, `fixtures/broken/ntfs.tsv`: an edit of what is broken is refused with an orderly
//! reason, or makes nothing worse where the defect is none for it.

use crate::support::ntfs_bench::{CLOCK, split};
use crate::support::ntfs_check::surgeon::{Good, Surgeon};
use crate::support::{ntfs_check, ntfs_image};
use regain::disk::Disk as _;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::error::{Error, ErrorKind, Result};
use regain::fs::ntfs::Ntfs;
use regain::fs::path::{GuestPath, find};
use regain::fs::{FileEdit as _, FileSystem as _, NewNode, NodeId};
use std::collections::BTreeSet;
use std::sync::Arc;

const TABLE: &str = include_str!("../../fixtures/broken/ntfs.tsv");

/// Defects that the edit beside them need not see: another reader does, and the edit leaves them as they are.
const HARMLESS: [&str; 4] = ["mirror", "mft-bitmap", "cluster-bitmap", "vcn-end"];

/// One line of the table.
#[derive(Debug)]
struct Mutation<'a> {
    name: &'a str,
    place: Vec<&'a str>,
    offset: usize,
    bytes: &'a str,
    edit: &'a str,
}

fn mutations() -> Vec<Mutation<'static>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, place, offset, bytes, edit, _] = columns[..] else { panic!("{line}") };
        let offset = usize::from_str_radix(offset.trim_start_matches("0x"), 16).unwrap();
        Mutation { name, place: place.split(' ').collect(), offset, bytes, edit }
    };
    lines.map(parse).collect()
}

fn number(text: &str) -> u64 {
    let digits = text.strip_prefix("0x");
    digits.map_or_else(|| text.parse().unwrap(), |it| u64::from_str_radix(it, 16).unwrap())
}

fn spoil(it: &mut Surgeon<'_>, mutation: &Mutation<'_>) {
    let at = mutation.offset;
    let of = |it: &Surgeon<'_>, path: &str| it.find(path);
    let bytes: Vec<u8> = if mutation.bytes == "SELF" {
        // A reference to the record itself, or the number of the block.
        let number = of(it, mutation.place[1]);
        (number | 1 << 48).to_le_bytes().to_vec()
    } else {
        let byte = |at| u8::from_str_radix(&mutation.bytes[at..at + 2], 16).unwrap();
        (0..mutation.bytes.len()).step_by(2).map(byte).collect()
    };
    let put = |into: &mut Vec<u8>, start: usize| {
        into[start..start + bytes.len()].copy_from_slice(&bytes);
    };
    match mutation.place[..] {
        ["boot"] => put(&mut it.bytes, at),
        ["record", path] => {
            let record = of(it, path);
            it.record(record, |record| put(record, at));
        }
        ["attribute", path, kind] => {
            let record = of(it, path);
            let start = it.attribute(record, number(kind) as u32, "").start;
            it.record(record, |record| put(record, start + at));
        }
        ["attribute-of", record, kind] => {
            let record = number(record);
            let start = it.attribute(record, number(kind) as u32, "").start;
            it.record(record, |record| put(record, start + at));
        }
        ["value", path, kind] => {
            let record = of(it, path);
            let name = if kind == "0x30" { "" } else { "$I30" };
            let start = it.value(record, number(kind) as u32, name);
            it.record(record, |record| put(record, start + at));
        }
        ["value-of", record, kind] => {
            let record = number(record);
            let start = it.value(record, number(kind) as u32, "");
            it.record(record, |record| put(record, start + at));
        }
        ["block", path, index] => {
            let record = of(it, path);
            it.index_block(record, number(index), |block| put(block, at));
        }
        ["child", path] => child_of_itself(it, path),
        ["list", path, entry] => {
            let record = of(it, path);
            // The first entries have no names, and so 32 bytes.
            let start = it.place(record, 0x20, "", 32 * number(entry));
            put(&mut it.bytes, start + at);
        }
        ["stream", record, kind] => {
            let start = it.place(number(record), number(kind) as u32, "", at as u64);
            put(&mut it.bytes, start);
        }
        _ => panic!("{mutation:?}"),
    }
}

/// Makes the first child of the block with children that block itself.
fn child_of_itself(it: &mut Surgeon<'_>, path: &str) {
    let record = it.find(path);
    for index in 0..it.index_blocks(record) {
        it.index_block(record, index, |block| {
            if block[36] == 1 {
                let first = 24 + usize::from(block[24]);
                let child = first + usize::from(block[first + 8]) - 8;
                block.copy_within(16..24, child);
            }
        });
    }
}

fn edit(fs: &mut Ntfs, what: &str) -> Result<()> {
    let (verb, path) = what.split_once(' ').unwrap();
    let node = |fs: &Ntfs, path: &str| -> Result<NodeId> {
        let found = find(fs, &GuestPath::new(path))?;
        Ok(found.ok_or_else(|| Error::not_found(path))?.node)
    };
    match verb {
        "append" => fs.append(node(fs, path)?, b"more"),
        "replace" => fs.replace(node(fs, path)?, &vec![7; 30_000]),
        "create" => {
            let directory = node(fs, path)?;
            fs.create_file(directory, b"a-new-name", &NewNode::default(), b"new").map(drop)
        }
        "remove" => {
            let (parent, name) = split(path);
            let directory = node(fs, parent)?;
            fs.remove(directory, name.as_bytes())
        }
        _ => panic!("{what}"),
    }
}

#[test]
fn every_defect_is_refused() {
    let bytes = ntfs_image::bytes("c4k");
    let good = Good::read(&bytes);
    let mut wrong = Vec::new();
    for mutation in mutations() {
        let name = mutation.name;
        let mut surgeon = good.spoil();
        spoil(&mut surgeon, &mutation);
        if surgeon.bytes == *bytes {
            wrong.push(format!("{name}: nothing was changed"));
        }
        let damaged = surgeon.bytes;
        let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(damaged.clone()))));
        let made = Ntfs::open(overlay.clone(), CLOCK).and_then(|mut fs| {
            fs.check_writable()?;
            edit(&mut fs, mutation.edit)?;
            fs.finish()
        });
        if let Err(error) = made {
            let is_orderly = matches!(
                error.kind(),
                ErrorKind::Refused(_)
                    | ErrorKind::Corrupt(_)
                    | ErrorKind::NotFound(_)
                    | ErrorKind::Unsupported(_)
            );
            println!("{name}: {error}");
            if !is_orderly {
                wrong.push(format!("{name}: {error}"));
            }
            continue;
        }
        println!("{name}: edited");
        let before: BTreeSet<_> = ntfs_check::check_bytes(&damaged).into_iter().collect();
        let after = ntfs_check::check_bytes(&overlay.read_vec(0, damaged.len()).unwrap());
        let new: Vec<_> = after.iter().filter(|it| !before.contains(*it)).collect();
        if !new.is_empty() || !HARMLESS.contains(&name) {
            wrong.push(format!("{name}: edited, beside {before:#?}: {new:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each line is a defect that the checker knows.
#[test]
fn every_defect_is_one() {
    let bytes = ntfs_image::bytes("c4k");
    let good = Good::read(&bytes);
    let mut unseen = Vec::new();
    for mutation in mutations() {
        let mut surgeon = good.spoil();
        spoil(&mut surgeon, &mutation);
        let found = ntfs_check::check_bytes(&surgeon.bytes);
        if found.is_empty() && !IS_VALID.contains(&mutation.name) {
            unseen.push(mutation.name);
        }
    }
    assert!(unseen.is_empty(), "{unseen:?}");
}

/// What is no defect, but nothing to edit.
const IS_VALID: [&str; 1] = ["encrypted"];
