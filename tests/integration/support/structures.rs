//! Where the structures of a volume lie, as the outside tools say, and which bytes two images differ in.

use super::{oracle, sparse, tools, tree};
use std::ops::Range;
use std::path::Path;

/// The bytes of `image` that an edit of these inodes may change: superblock, group descriptors, bitmaps, and
/// the inodes with all their blocks.
pub(crate) fn of_edit(image: &Path, offset_bytes: u64, inodes: &[u64]) -> Vec<Range<u64>> {
    let target = oracle::at(image, offset_bytes);
    let text = tools::succeed("dumpe2fs", &[&target]);
    let block_bytes = header(&text, "Block size:");
    let inode_bytes = header(&text, "Inode size:");
    let blocks = |first: u64, last: u64| {
        offset_bytes + first * block_bytes..offset_bytes + (last + 1) * block_bytes
    };
    let mut allowed = Vec::new();
    allowed.push(offset_bytes + 1024..offset_bytes + 2048);
    allowed.extend(descriptors(&text).map(|(first, last)| blocks(first, last)));
    for name in ["Block bitmap at ", "Inode bitmap at "] {
        for (_, rest) in text.lines().filter_map(|line| line.split_once(name)) {
            let block = leading_number(rest);
            allowed.push(blocks(block, block));
        }
    }
    let commands = |name: &str| -> Vec<String> {
        inodes.iter().map(|inode| format!("{name} <{inode}>")).collect()
    };
    for answer in tree::debugfs(&target, &commands("imap")) {
        let start = offset_bytes + inode_location(&answer, block_bytes);
        allowed.push(start..start + inode_bytes);
    }
    for answer in tree::debugfs(&target, &commands("blocks")) {
        for block in answer.split_whitespace().filter_map(|word| word.parse().ok()) {
            allowed.push(blocks(block, block));
        }
    }
    for answer in tree::debugfs(&target, &commands("stat")) {
        let acl = answer.lines().find_map(|line| line.strip_prefix("File ACL: ")).unwrap();
        let block = leading_number(acl);
        if block != 0 {
            allowed.push(blocks(block, block));
        }
    }
    allowed
}

/// Where inode `number` lies in `image`.
pub(crate) fn inode_offset(image: &Path, offset_bytes: u64, number: u64) -> u64 {
    let target = oracle::at(image, offset_bytes);
    let text = tools::succeed("dumpe2fs", &["-h", &target]);
    let answers = tree::debugfs(&target, &[format!("imap <{number}>")]);
    offset_bytes + inode_location(&answers[0], header(&text, "Block size:"))
}

/// The offsets of the bytes in which two images of equal length differ.
pub(crate) fn differing_bytes(before: &Path, after: &Path) -> Vec<u64> {
    let stored = sparse::stored_blocks(before, after);
    let (before, after) = (sparse::read(before), sparse::read(after));
    assert_eq!(before.len(), after.len());
    let mut offsets = Vec::new();
    for start in stored.into_iter().map(|block| block * sparse::BLOCK) {
        let range = start..before.len().min(start + sparse::BLOCK);
        let (old, new) = (&before[range.clone()], &after[range.clone()]);
        if old != new {
            let differing = range.filter(|at| before[*at] != after[*at]);
            offsets.extend(differing.map(|at| at as u64));
        }
    }
    offsets
}

/// The primary group descriptors; with meta_bg each copy has its own line.
fn descriptors(text: &str) -> impl Iterator<Item = (u64, u64)> {
    let is_meta_bg =
        text.lines().any(|l| l.starts_with("Filesystem features:") && l.contains("meta_bg"));
    let lines = text.lines().filter_map(|line| {
        let rest =
            line.split_once("Group descriptor at ").or(line.split_once("Group descriptors at "));
        rest.map(|(_, range)| range)
    });
    let count = if is_meta_bg { usize::MAX } else { 1 };
    lines.take(count).map(|range| {
        let last = range.split_once('-').map_or(range, |(_, last)| last);
        (leading_number(range), leading_number(last))
    })
}

/// "located at block 34, offset 0x0b00" in bytes.
fn inode_location(answer: &str, block_bytes: u64) -> u64 {
    let (_, rest) = answer.split_once("located at block ").unwrap();
    let (_, offset) = rest.split_once("offset 0x").unwrap();
    leading_number(rest) * block_bytes + u64::from_str_radix(offset.trim(), 16).unwrap()
}

fn header(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap().trim().parse().unwrap()
}

fn leading_number(text: &str) -> u64 {
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
