//! Whether what an edit of an XFS volume changed are structures of that edit, as the outside tools and the blocks
//! themselves say.

use super::{sparse, structures, xfs_tools};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// The unit that is looked at.
const SECTOR: u64 = 512;

/// The magic numbers of blocks of the trees of an allocation group and of forks, with checksums.
const TREES: [&[u8; 4]; 7] = [b"AB3B", b"AB3C", b"IAB3", b"FIB3", b"RMB3", b"R3FC", b"BMA3"];

/// Where a block of a tree in an allocation group or of a fork has its own address, in units of 512 bytes.
const SHORT_ADDRESS_OFFSET: usize = 16;
const LONG_ADDRESS_OFFSET: usize = 24;

/// Where an inode has its own number, and its mode.
const INODE_NUMBER_OFFSET: usize = 152;
const INODE_MODE_OFFSET: usize = 2;

/// Where everything lies on a volume.
#[derive(Debug)]
struct Geometry {
    block_bytes: u64,
    sector_bytes: u64,
    inode_bytes: u64,
    group_blocks: u64,
    /// The bytes of the log.
    log: Range<u64>,
}

impl Geometry {
    fn read(image: &Path) -> Self {
        let text = xfs_tools::db(image, &["sb 0", "p"]);
        let number = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.unwrap().parse().unwrap()
        };
        let block_bytes = number("blocksize");
        let group_blocks = number("agblocks");
        let start = number("logstart");
        let shift = number("agblklog");
        let in_group = start & ((1 << shift) - 1);
        let log_start = ((start >> shift) * group_blocks + in_group) * block_bytes;
        Self {
            block_bytes,
            sector_bytes: number("sectsize"),
            inode_bytes: number("inodesize"),
            group_blocks,
            log: log_start..log_start + number("logblocks") * block_bytes,
        }
    }

    /// True for the superblock and the headers of an allocation group, but no copy of the superblock.
    fn is_header(&self, offset: u64) -> bool {
        let group_bytes = self.group_blocks * self.block_bytes;
        let (group, inside) = (offset / group_bytes, offset % group_bytes);
        let first = if group == 0 { 0 } else { self.sector_bytes };
        (first..4 * self.sector_bytes).contains(&inside)
    }

    fn is_tree(&self, volume: &[u8], offset: u64) -> bool {
        let start = offset - offset % self.block_bytes;
        let block = &volume[start as usize..][..self.block_bytes as usize];
        let Some(magic) = TREES.iter().find(|magic| block.starts_with(magic.as_slice())) else {
            return false;
        };
        let at = if *magic == b"BMA3" { LONG_ADDRESS_OFFSET } else { SHORT_ADDRESS_OFFSET };
        be_u64(block, at) == start / SECTOR
    }

    /// The inode at `offset` says that it is one of `planned`, or that it is free.
    fn is_inode(&self, volume: &[u8], offset: u64, planned: &BTreeSet<u64>) -> bool {
        let start = offset - offset % self.inode_bytes;
        let inode = &volume[start as usize..][..self.inode_bytes as usize];
        let is_free = inode[INODE_MODE_OFFSET..INODE_MODE_OFFSET + 2] == [0, 0];
        let number = be_u64(inode, INODE_NUMBER_OFFSET);
        inode.starts_with(b"IN") && (is_free || planned.contains(&number))
    }

    /// The blocks of both forks of an inode.
    fn blocks_of(&self, image: &Path, inode: u64) -> Vec<Range<u64>> {
        let select = format!("inode {inode}");
        let text = xfs_tools::db(image, &[&select, "bmap -d", "bmap -a"]);
        // data offset 0 startblock 12 (0/12) count 1 flag 0
        let extents = text.lines().filter_map(|line| {
            let (_, rest) = line.split_once('(')?;
            let (place, rest) = rest.split_once(')')?;
            let (group, block) = place.split_once('/')?;
            let count: u64 = rest.split_whitespace().nth(1)?.parse().ok()?;
            let group: u64 = group.parse().ok()?;
            let block: u64 = block.parse().ok()?;
            let start = (group * self.group_blocks + block) * self.block_bytes;
            Some(start..start + count * self.block_bytes)
        });
        extents.collect()
    }
}

fn be_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Fails unless every byte in which `image` differs from `original` lies in a structure of an edit of the inodes
/// `planned` and in a run of `patch` (the document of `show`).
pub(crate) fn assert_declared(
    original: &Path,
    image: &Path,
    planned: &BTreeSet<u64>,
    log_is_written: bool,
    patch: &Value,
) {
    let geometry = Geometry::read(image);
    let (before, after) = (sparse::read(original), sparse::read(image));
    let mut blocks: Vec<Range<u64>> = Vec::new();
    for inode in planned {
        blocks.extend(geometry.blocks_of(image, *inode));
    }
    let runs = patch["result"]["runs"].as_array().unwrap();
    for offset in structures::differing_bytes(original, image) {
        let is_structure = geometry.is_header(offset)
            || (log_is_written && geometry.log.contains(&offset))
            || [&before, &after].iter().any(|volume| geometry.is_tree(volume, offset))
            || geometry.is_inode(&after, offset, planned)
            || blocks.iter().any(|range| range.contains(&offset));
        assert!(is_structure, "byte {offset:#x} changed: {patch:#}");
        let run = runs.iter().find(|run| span(run).contains(&offset));
        let run = run.unwrap_or_else(|| panic!("byte {offset:#x} is in no run: {patch:#}"));
        assert!(!run["labels"].as_array().unwrap().is_empty(), "no label: {run}");
    }
    for run in runs {
        let labels = run["labels"].as_array().unwrap();
        let numbers = labels.iter().filter_map(|label| {
            let number = label.as_str().unwrap().strip_prefix("inode ")?;
            number.parse::<u64>().ok()
        });
        for number in numbers {
            assert!(planned.contains(&number), "inode {number} is not part of the plan");
        }
    }
}

fn span(run: &Value) -> Range<u64> {
    let start = run["offset_bytes"].as_u64().unwrap();
    start..start + run["size_bytes"].as_u64().unwrap()
}
