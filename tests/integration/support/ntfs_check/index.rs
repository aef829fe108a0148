//! The form of an index: a tree of nodes with entries in order.
//!
//! Format: libyal, "New Technologies File System (NTFS)", section "The index".

use super::attribute::{BITMAP, INDEX_ALLOCATION, INDEX_ROOT};
use super::bytes::{align8, bit, slice, u16_at, u32_at, u64_at};
use super::file::File;
use super::names::FileName;
use super::upcase::UpCase;
use super::volume::{Found, Volume, fix_up};
use std::cmp::Ordering;

const DEPTH_MAX: usize = 16;
const HAS_CHILD: u16 = 1;
const IS_END: u16 = 2;

/// Entries of a file by name, numbers, or hash and number.
const BY_NAME: u32 = 1;
const BY_NUMBER: u32 = 0x10;
const BY_SID: u32 = 0x11;
const BY_HASH: u32 = 0x12;
const BY_NUMBERS: u32 = 0x13;

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    /// Of a directory: which file.
    pub(super) reference: u64,
    pub(super) key: Vec<u8>,
    /// Of a view.
    pub(super) data: Vec<u8>,
}

/// An index that is walked.
#[derive(Debug)]
struct Walk<'a> {
    blocks: Vec<u8>,
    block_bytes: usize,
    vcn_bytes: usize,
    visited: Vec<bool>,
    collation: u32,
    upcase: &'a UpCase,
    entries: Vec<Entry>,
    notes: Vec<String>,
    leaf_depths: Vec<usize>,
}

/// All entries of the index `name` of `file`, in order.
pub(super) fn read(
    file: &File,
    name: &str,
    volume: &Volume<'_>,
    upcase: &UpCase,
    findings: &mut Vec<String>,
) -> Vec<Entry> {
    let what = format!("record {}, index {name}", file.number);
    match walk(file, name, volume, upcase) {
        Ok(walk) => {
            findings.extend(walk.notes.iter().map(|note| format!("{what}: {note}")));
            walk.entries
        }
        Err(error) => {
            findings.push(format!("{what}: {error}"));
            Vec::new()
        }
    }
}

fn walk<'a>(file: &File, name: &str, volume: &Volume<'_>, upcase: &'a UpCase) -> Found<Walk<'a>> {
    let root = file.stream(INDEX_ROOT, name).ok_or("no root")?;
    let root = root.resident().ok_or("a root outside its record")?;
    let word = |at: usize| u32_at(root, at).ok_or("a short root");
    let (indexed, collation) = (word(0)?, word(4)?);
    let block_bytes = word(8)? as usize;
    let clusters = *root.get(12).ok_or("a short root")?;
    let known = [BY_NAME, BY_NUMBER, BY_SID, BY_HASH, BY_NUMBERS];
    let expected_kind = if name == "$I30" { 0x30 } else { 0 };
    let is_name = name == "$I30";
    if indexed != expected_kind || !known.contains(&collation) || is_name != (collation == BY_NAME)
    {
        return Err(format!("type {indexed:#x} by rule {collation:#x}"));
    }
    if block_bytes != volume.geometry.index_bytes {
        return Err(format!("blocks of {block_bytes} bytes"));
    }
    let cluster = volume.geometry.cluster_bytes as usize;
    // Blocks smaller than a cluster are counted in units of 512 bytes.
    let vcn_bytes = if cluster <= block_bytes { cluster } else { 512 };
    let blocks = match file.stream(INDEX_ALLOCATION, name) {
        None => Vec::new(),
        Some(blocks) => blocks.read(volume)?,
    };
    let bitmap = match file.stream(BITMAP, name) {
        None => Vec::new(),
        Some(bitmap) => bitmap.read(volume)?,
    };
    let count = blocks.len() / block_bytes;
    let mut walk = Walk {
        blocks,
        block_bytes,
        vcn_bytes,
        visited: vec![false; count],
        collation,
        upcase,
        entries: Vec::new(),
        notes: Vec::new(),
        leaf_depths: Vec::new(),
    };
    if usize::from(clusters) != block_bytes / vcn_bytes {
        walk.notes.push(format!("{clusters} clusters in a block of {block_bytes} bytes"));
    }
    if !walk.blocks.len().is_multiple_of(block_bytes) {
        walk.notes.push(format!("{} bytes of blocks", walk.blocks.len()));
    }
    walk.node(&root[16..], None, 0)?;
    walk.check_bitmap(&bitmap);
    let (least, most) = (walk.leaf_depths.iter().min(), walk.leaf_depths.iter().max());
    if least != most {
        walk.notes.push(format!("leaves at depths {least:?} to {most:?}"));
    }
    Ok(walk)
}

impl Walk<'_> {
    fn check_bitmap(&mut self, bitmap: &[u8]) {
        let count = self.visited.len();
        if bitmap.len() * 8 < count || !bitmap.len().is_multiple_of(8) {
            self.notes.push(format!("a bitmap of {} bytes, {count} blocks", bitmap.len()));
        }
        for index in 0..count.max(bitmap.len() * 8) {
            let is_visited = self.visited.get(index).is_some_and(|visited| *visited);
            match (is_visited, bit(bitmap, index)) {
                (true, false) => self.notes.push(format!("block {index} is free in the bitmap")),
                (false, true) if index < count => {
                    self.notes.push(format!("block {index} is taken, but in no tree"));
                }
                (false, true) => self.notes.push(format!("bit {index} is behind the blocks")),
                _ => {}
            }
        }
    }

    /// A node from its header on; `place` is where its entries may start at the least, none for the root.
    fn node(&mut self, bytes: &[u8], place: Option<usize>, depth: usize) -> Found<()> {
        if depth > DEPTH_MAX {
            return Err("too deep".to_owned());
        }
        let word = |at: usize| u32_at(bytes, at).map(|word| word as usize).ok_or("a short node");
        let (start, used, room, flags) = (word(0)?, word(4)?, word(8)?, word(12)?);
        let is_right_room = match place {
            // The root has exactly the room that it uses.
            None => room == used && room == bytes.len(),
            Some(_) => room == bytes.len(),
        };
        let is_right =
            start % 8 == 0 && start >= place.unwrap_or(16) && used <= room && start < used;
        if !is_right || !is_right_room || flags > 1 || used % 8 != 0 {
            return Err(format!(
                "a node from {start} to {used} of {room} bytes, {} there, flags {flags}",
                bytes.len()
            ));
        }
        let is_branch = flags == 1;
        let mut at = start;
        let mut count = 0;
        loop {
            let entry = Raw::parse(&bytes[..used], at, is_branch, self.collation == BY_NAME)?;
            if let Some(vcn) = entry.child {
                self.child(vcn, depth)?;
            }
            at += entry.len;
            let Some(value) = entry.value else { break };
            self.push(value);
            count += 1;
        }
        if at != used {
            return Err(format!("the last entry ends at {at}, the node at {used}"));
        }
        if !is_branch {
            self.leaf_depths.push(depth);
        }
        if count == 0 && place.is_some() && !is_branch {
            self.notes.push("an empty leaf".to_owned());
        }
        Ok(())
    }

    fn child(&mut self, vcn: u64, depth: usize) -> Found<()> {
        let block = self.block_bytes;
        let at = usize::try_from(vcn).ok().and_then(|vcn| vcn.checked_mul(self.vcn_bytes));
        let at = at.filter(|at| at % block == 0 && at / block < self.visited.len());
        let at = at.ok_or_else(|| format!("no block at VCN {vcn}"))?;
        if std::mem::replace(&mut self.visited[at / block], true) {
            return Err(format!("the block at VCN {vcn} twice"));
        }
        let fixed = fix_up(&self.blocks[at..at + block], *b"INDX");
        let bytes = fixed.map_err(|error| format!("block at VCN {vcn}: {error}"))?;
        if u64_at(&bytes, 16) != Some(vcn) {
            let said = u64_at(&bytes, 16);
            self.notes.push(format!("the block at VCN {vcn} says that it is {said:?}"));
        }
        let fix_ups_end = usize::from(u16_at(&bytes, 4).unwrap_or(0))
            + 2 * usize::from(u16_at(&bytes, 6).unwrap_or(0));
        let least = fix_ups_end.saturating_sub(24).max(16);
        let inside = self.node(&bytes[24..], Some(least), depth + 1);
        inside.map_err(|error| format!("block at VCN {vcn}: {error}"))
    }

    fn push(&mut self, entry: Entry) {
        if let Some(last) = self.entries.last() {
            let order = self.compare(&last.key, &entry.key);
            if order != Some(Ordering::Less) {
                let [a, b] = [&last.key, &entry.key].map(|key| self.shown(key));
                let order = order.map_or("cannot be compared", |order| match order {
                    Ordering::Equal => "is there twice",
                    _ => "is out of order",
                });
                self.notes.push(format!("{b} behind {a} {order}"));
            }
        }
        self.entries.push(entry);
    }

    fn shown(&self, key: &[u8]) -> String {
        let name = FileName::parse(key).filter(|_| self.collation == BY_NAME);
        name.map_or_else(|| format!("{key:x?}"), |name| name.shown())
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        let numbers = |key: &[u8]| -> Vec<u32> {
            (0..key.len() / 4).filter_map(|index| u32_at(key, index * 4)).collect()
        };
        match self.collation {
            BY_NAME => {
                let (a, b) = (FileName::parse(a)?, FileName::parse(b)?);
                Some(self.upcase.compare_full(&a.name, &b.name))
            }
            // In which order is not known.
            BY_SID => Some(if a == b { Ordering::Equal } else { Ordering::Less }),
            _ => Some(numbers(a).cmp(&numbers(b))),
        }
    }
}

/// One entry as it lies in a node.
struct Raw {
    len: usize,
    child: Option<u64>,
    /// None for the end.
    value: Option<Entry>,
}

impl Raw {
    fn parse(node: &[u8], at: usize, is_branch: bool, is_name: bool) -> Found<Self> {
        let short = || format!("no entry at {at}");
        let len = usize::from(u16_at(node, at + 8).ok_or_else(short)?);
        let key_len = usize::from(u16_at(node, at + 10).ok_or_else(short)?);
        let flags = u16_at(node, at + 12).ok_or_else(short)?;
        let bytes = slice(node, at, len).ok_or_else(short)?;
        let child_len = if is_branch { 8 } else { 0 };
        if len < 16 + child_len
            || len % 8 != 0
            || (flags & HAS_CHILD != 0) != is_branch
            || flags > 3
        {
            return Err(format!("an entry of {len} bytes with flags {flags} at {at}"));
        }
        let child = if is_branch { u64_at(bytes, len - 8) } else { None };
        if flags & IS_END != 0 {
            let is_good = len == 16 + child_len && key_len == 0;
            let value = None;
            return if is_good { Ok(Self { len, child, value }) } else { Err(short()) };
        }
        let key = slice(bytes, 16, key_len).ok_or_else(short)?.to_vec();
        let (reference, data, end) = if is_name {
            (u64_at(bytes, 0).ok_or_else(short)?, Vec::new(), 16 + key_len)
        } else {
            let data_at = usize::from(u16_at(bytes, 0).ok_or_else(short)?);
            let data_len = usize::from(u16_at(bytes, 2).ok_or_else(short)?);
            let data = slice(bytes, data_at, data_len).ok_or_else(short)?.to_vec();
            (0, data, (16 + key_len).max(data_at + data_len))
        };
        let is_good = align8(end) + child_len == len && (!is_name || is_good_name(&key));
        if !is_good {
            return Err(format!("an entry of {len} bytes, used {end}, at {at}"));
        }
        Ok(Self { len, child, value: Some(Entry { reference, key, data }) })
    }
}

fn is_good_name(key: &[u8]) -> bool {
    FileName::parse(key).is_some()
}
