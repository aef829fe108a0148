//! The AG inode block (AGI): roots of the inode trees, how many inodes there are, and the lists of inodes
//! that have no name any more but were still open.

use super::{Expected, HeaderDefect, TreeRoot, seal_and_write, with_header};
use crate::bytes::field::{be_u32, put_be_u32};
use crate::error::Result;
use crate::fs::xfs::feature::ro_compat;
use crate::fs::xfs::units::{AgInode, AgNumber, NULL_AG_INODE};
use crate::fs::xfs::volume::{AgSector, Volume};

const MAGIC: u32 = 0x5841_4749;
const NAME: &str = "AGI";

/// Lists of unlinked inodes in an AGI.
pub(crate) const UNLINKED_BUCKETS: usize = 64;

const COUNT_AT: usize = 16;
const ROOT_AT: usize = 20;
const LEVEL_AT: usize = 24;
const FREE_COUNT_AT: usize = 28;
const NEW_INODE_AT: usize = 32;
const UNLINKED_AT: usize = 40;
const UUID_AT: usize = 296;
const CRC_AT: usize = 312;
const FREE_ROOT_AT: usize = 328;
const FREE_LEVEL_AT: usize = 332;
const TREE_BLOCKS_AT: usize = 336;
const FREE_TREE_BLOCKS_AT: usize = 340;

/// One AGI.
///
/// Big-endian; fields from offset 296 on only exist with checksums (version 5).
///
/// | offset | size | spec | here | valid when |
/// |-------:|-----:|------|------|------------|
/// | 0 | 4 | agi_magicnum | (checked) | `XAGI` |
/// | 4 | 4 | agi_versionnum | (checked) | 1 |
/// | 8 | 4 | agi_seqno | ag | the number of its AG |
/// | 12 | 4 | agi_length | (checked) | length of the AG in blocks |
/// | 16 | 4 | agi_count | inode_count | what fits the AG |
/// | 20, 24 | 4+4 | agi_root, agi_level | inodes | inside the AG |
/// | 28 | 4 | agi_freecount | free_inode_count | not above agi_count |
/// | 32 | 4 | agi_newino | new_inode | an inode of the AG, or none |
/// | 36 | 4 | agi_dirino | (kept) | unused |
/// | 40 | 64 * 4 | agi_unlinked | unlinked | inodes of the AG, or none |
/// | 296 | 16 | agi_uuid | (checked) | the metadata UUID |
/// | 312 | 4 | agi_crc | (checked) | CRC-32C, little-endian |
/// | 320 | 8 | agi_lsn | (kept) | any |
/// | 328, 332 | 4+4 | agi_free_root, agi_free_level | free_inodes | inside the AG, with `finobt` |
/// | 336 | 4 | agi_iblocks | inode_tree_blocks | not above the length, with `inobtcount` |
/// | 340 | 4 | agi_fblocks | free_inode_tree_blocks | not above the length, with `inobtcount` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agi {
    pub(crate) ag: AgNumber,
    /// Inodes in chunks, used or free.
    pub(crate) inode_count: u32,
    pub(crate) inodes: TreeRoot,
    pub(crate) free_inode_count: u32,
    /// The chunk that was made last.
    pub(crate) new_inode: Option<AgInode>,
    /// Heads of the lists of unlinked inodes; always [`UNLINKED_BUCKETS`] of them.
    pub(crate) unlinked: Vec<Option<AgInode>>,
    /// With `finobt`.
    pub(crate) free_inodes: Option<TreeRoot>,
    /// With `inobtcount`.
    pub(crate) inode_tree_blocks: Option<u32>,
    /// With `inobtcount` and `finobt`.
    pub(crate) free_inode_tree_blocks: Option<u32>,
    bytes: Vec<u8>,
}

impl Agi {
    /// Reads and checks the AGI of `ag`.
    pub(crate) fn load(volume: &Volume, ag: AgNumber) -> Result<Self> {
        with_header(volume, ag, AgSector::Agi, NAME, Self::parse)
    }

    /// Writes the AGI with a new checksum.
    pub(crate) fn store(&self, volume: &Volume) -> Result<()> {
        seal_and_write(volume, self.ag, AgSector::Agi, NAME, self.encode()?, CRC_AT)
    }

    pub(super) fn parse(bytes: Vec<u8>, expected: &Expected) -> Result<Self, HeaderDefect> {
        expected.check_start(&bytes, MAGIC)?;
        expected.check_seal(&bytes, UUID_AT, CRC_AT)?;
        let limit = expected.inode_limit();
        let (count, free) = (be_u32(&bytes, COUNT_AT)?, be_u32(&bytes, FREE_COUNT_AT)?);
        for (what, count, limit) in [("inodes", count, limit), ("free inodes", free, count)] {
            if count > limit {
                return Err(HeaderDefect::Count { what, count, limit });
            }
        }
        let inode = |what, at| match AgInode(be_u32(&bytes, at)?) {
            NULL_AG_INODE => Ok(None),
            inode if inode.0 < limit => Ok(Some(inode)),
            inode => Err(HeaderDefect::Inode { what, inode: inode.0 }),
        };
        let mut unlinked = Vec::with_capacity(UNLINKED_BUCKETS);
        for bucket in 0..UNLINKED_BUCKETS {
            unlinked.push(inode("the head of an unlinked list", bucket_at(bucket))?);
        }
        let has_counts = expected.features.has_ro_compat(ro_compat::INOBTCOUNT);
        let has_free_tree = expected.features.has_ro_compat(ro_compat::FINOBT);
        let count_of = |what, at| expected.check_count(what, be_u32(&bytes, at)?);
        let root = |what, root_at, level_at| {
            expected.root(what, be_u32(&bytes, root_at)?, be_u32(&bytes, level_at)?)
        };
        Ok(Self {
            ag: expected.ag,
            inode_count: count,
            inodes: root("the inode tree", ROOT_AT, LEVEL_AT)?,
            free_inode_count: free,
            new_inode: inode("the newest chunk", NEW_INODE_AT)?,
            unlinked,
            free_inodes: has_free_tree
                .then(|| root("the free inode tree", FREE_ROOT_AT, FREE_LEVEL_AT))
                .transpose()?,
            inode_tree_blocks: has_counts
                .then(|| count_of("inode tree blocks", TREE_BLOCKS_AT))
                .transpose()?,
            free_inode_tree_blocks: (has_counts && has_free_tree)
                .then(|| count_of("free inode tree blocks", FREE_TREE_BLOCKS_AT))
                .transpose()?,
            bytes,
        })
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = self.bytes.clone();
        let mut put = |at, value| put_be_u32(&mut bytes, at, value);
        let number = |inode: Option<AgInode>| inode.unwrap_or(NULL_AG_INODE).0;
        put(COUNT_AT, self.inode_count)?;
        put(ROOT_AT, self.inodes.block.0)?;
        put(LEVEL_AT, self.inodes.levels)?;
        put(FREE_COUNT_AT, self.free_inode_count)?;
        put(NEW_INODE_AT, number(self.new_inode))?;
        for (bucket, head) in self.unlinked.iter().enumerate().take(UNLINKED_BUCKETS) {
            put(bucket_at(bucket), number(*head))?;
        }
        if let Some(root) = self.free_inodes {
            put(FREE_ROOT_AT, root.block.0)?;
            put(FREE_LEVEL_AT, root.levels)?;
        }
        if let Some(blocks) = self.inode_tree_blocks {
            put(TREE_BLOCKS_AT, blocks)?;
        }
        if let Some(blocks) = self.free_inode_tree_blocks {
            put(FREE_TREE_BLOCKS_AT, blocks)?;
        }
        Ok(bytes)
    }
}

fn bucket_at(bucket: usize) -> usize {
    UNLINKED_AT.saturating_add(bucket.saturating_mul(4))
}
