//! The AG free space block (AGF): roots of the free-space trees, of the reverse map and of the reference
//! counts, the bounds of the free list, and how much of the AG is free.

use super::{Expected, HeaderDefect, TreeRoot, seal_and_write, with_header};
use crate::bytes::field::{be_u32, put_be_u32};
use crate::error::Result;
use crate::fs::xfs::feature::ro_compat;
use crate::fs::xfs::units::AgNumber;
use crate::fs::xfs::volume::{AgSector, Volume};

const MAGIC: u32 = 0x5841_4746;
const NAME: &str = "AGF";

const BNO_ROOT_AT: usize = 16;
const CNT_ROOT_AT: usize = 20;
const RMAP_ROOT_AT: usize = 24;
const BNO_LEVEL_AT: usize = 28;
const CNT_LEVEL_AT: usize = 32;
const RMAP_LEVEL_AT: usize = 36;
const LIST_FIRST_AT: usize = 40;
const LIST_LAST_AT: usize = 44;
const LIST_COUNT_AT: usize = 48;
const FREE_BLOCKS_AT: usize = 52;
const LONGEST_AT: usize = 56;
const BTREE_BLOCKS_AT: usize = 60;
const UUID_AT: usize = 64;
const RMAP_BLOCKS_AT: usize = 80;
const REFCOUNT_BLOCKS_AT: usize = 84;
const REFCOUNT_ROOT_AT: usize = 88;
const REFCOUNT_LEVEL_AT: usize = 92;
const CRC_AT: usize = 216;

/// The part of the AGFL that is in use: indices into its ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeList {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) count: u32,
}

/// One AGF.
///
/// Big-endian; fields from offset 64 on only exist with checksums (version 5).
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0 | 4 | agf_magicnum | (checked) | `XAGF` |
/// | 4 | 4 | agf_versionnum | (checked) | 1 |
/// | 8 | 4 | agf_seqno | ag | the number of its AG |
/// | 12 | 4 | agf_length | (checked) | length of the AG in blocks |
/// | 16, 28 | 4+4 | agf_roots\[0\], agf_levels\[0\] | by_block | inside the AG |
/// | 20, 32 | 4+4 | agf_roots\[1\], agf_levels\[1\] | by_size | inside the AG |
/// | 24, 36 | 4+4 | agf_roots\[2\], agf_levels\[2\] | reverse_map | inside the AG, with `rmapbt` |
/// | 40 | 12 | agf_flfirst, agf_fllast, agf_flcount | free_list | a part of the ring |
/// | 52 | 4 | agf_freeblks | free_blocks | not above the length |
/// | 56 | 4 | agf_longest | longest_blocks | not above agf_freeblks |
/// | 60 | 4 | agf_btreeblks | tree_blocks | not above the length |
/// | 64 | 16 | agf_uuid | (checked) | the metadata UUID |
/// | 80 | 4 | agf_rmap_blocks | reverse_map_blocks | not above the length |
/// | 84 | 4 | agf_refcount_blocks | reference_count_blocks | not above the length |
/// | 88, 92 | 4+4 | agf_refcount_root, _level | reference_counts | inside the AG, with `reflink` |
/// | 208 | 8 | agf_lsn | (kept) | any |
/// | 216 | 4 | agf_crc | (checked) | CRC-32C, little-endian |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agf {
    pub(crate) ag: AgNumber,
    pub(crate) by_block: TreeRoot,
    pub(crate) by_size: TreeRoot,
    pub(crate) reverse_map: Option<TreeRoot>,
    pub(crate) reference_counts: Option<TreeRoot>,
    pub(crate) free_list: FreeList,
    /// Blocks in the free-space trees.
    pub(crate) free_blocks: u32,
    /// Length of the longest free extent.
    pub(crate) longest_blocks: u32,
    /// Blocks of the free-space trees and of the reverse map, without their first roots.
    pub(crate) tree_blocks: u32,
    pub(crate) reverse_map_blocks: u32,
    pub(crate) reference_count_blocks: u32,
    bytes: Vec<u8>,
}

impl Agf {
    /// Reads and checks the AGF of `ag`.
    pub(crate) fn load(volume: &Volume, ag: AgNumber) -> Result<Self> {
        with_header(volume, ag, AgSector::Agf, NAME, Self::parse)
    }

    /// Writes the AGF with a new checksum.
    pub(crate) fn store(&self, volume: &Volume) -> Result<()> {
        seal_and_write(volume, self.ag, AgSector::Agf, NAME, self.encode()?, CRC_AT)
    }

    pub(super) fn parse(bytes: Vec<u8>, expected: &Expected) -> Result<Self, HeaderDefect> {
        expected.check_start(&bytes, MAGIC)?;
        expected.check_seal(&bytes, UUID_AT, CRC_AT)?;
        let root = |what, root_at, level_at| {
            expected.root(what, be_u32(&bytes, root_at)?, be_u32(&bytes, level_at)?)
        };
        let count = |what, at| expected.check_count(what, be_u32(&bytes, at)?);
        let (free_blocks, longest_blocks) = (
            count("free blocks", FREE_BLOCKS_AT)?,
            count("blocks of the longest free extent", LONGEST_AT)?,
        );
        if longest_blocks > free_blocks {
            let what = "blocks of the longest free extent";
            return Err(HeaderDefect::Count { what, count: longest_blocks, limit: free_blocks });
        }
        let has_rmap = expected.features.has_ro_compat(ro_compat::RMAPBT);
        let has_refcount = expected.features.has_ro_compat(ro_compat::REFLINK);
        let agf = Self {
            ag: expected.ag,
            by_block: root("the tree of free space by block", BNO_ROOT_AT, BNO_LEVEL_AT)?,
            by_size: root("the tree of free space by size", CNT_ROOT_AT, CNT_LEVEL_AT)?,
            reverse_map: has_rmap
                .then(|| root("the reverse map", RMAP_ROOT_AT, RMAP_LEVEL_AT))
                .transpose()?,
            reference_counts: has_refcount
                .then(|| root("the reference counts", REFCOUNT_ROOT_AT, REFCOUNT_LEVEL_AT))
                .transpose()?,
            free_list: FreeList {
                first: be_u32(&bytes, LIST_FIRST_AT)?,
                last: be_u32(&bytes, LIST_LAST_AT)?,
                count: be_u32(&bytes, LIST_COUNT_AT)?,
            },
            free_blocks,
            longest_blocks,
            tree_blocks: count("tree blocks", BTREE_BLOCKS_AT)?,
            reverse_map_blocks: if has_rmap {
                count("reverse map blocks", RMAP_BLOCKS_AT)?
            } else {
                0
            },
            reference_count_blocks: if has_refcount {
                count("reference count blocks", REFCOUNT_BLOCKS_AT)?
            } else {
                0
            },
            bytes,
        };
        super::agfl::check_bounds(agf.free_list, super::agfl::ring_size(expected))?;
        Ok(agf)
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        let mut put = |at, value| put_be_u32(&mut bytes, at, value);
        put(BNO_ROOT_AT, self.by_block.block.0)?;
        put(BNO_LEVEL_AT, self.by_block.levels)?;
        put(CNT_ROOT_AT, self.by_size.block.0)?;
        put(CNT_LEVEL_AT, self.by_size.levels)?;
        put(LIST_FIRST_AT, self.free_list.first)?;
        put(LIST_LAST_AT, self.free_list.last)?;
        put(LIST_COUNT_AT, self.free_list.count)?;
        put(FREE_BLOCKS_AT, self.free_blocks)?;
        put(LONGEST_AT, self.longest_blocks)?;
        put(BTREE_BLOCKS_AT, self.tree_blocks)?;
        if let Some(root) = self.reverse_map {
            put(RMAP_ROOT_AT, root.block.0)?;
            put(RMAP_LEVEL_AT, root.levels)?;
            put(RMAP_BLOCKS_AT, self.reverse_map_blocks)?;
        }
        if let Some(root) = self.reference_counts {
            put(REFCOUNT_ROOT_AT, root.block.0)?;
            put(REFCOUNT_LEVEL_AT, root.levels)?;
            put(REFCOUNT_BLOCKS_AT, self.reference_count_blocks)?;
        }
        Ok(bytes)
    }
}
