//! Where the blocks of a tree live: the interface between the engine and allocation group or inode.

use super::kind::RecordDefect;
use crate::bytes::arith::{pow2, to};
use crate::error::Result;
use crate::fs::xfs::feature::incompat;
use crate::fs::xfs::superblock::Superblock;
use crate::fs::xfs::units::{AgNumber, InodeNumber};

/// A block of a tree: an AG block in trees of the short form, a file-system block in the long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pointer(pub(crate) u64);

/// Where a tree starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Root {
    /// In a block, as AGF and AGI say.
    Block {
        /// The block.
        pointer: Pointer,
        /// The number of levels: 1 if the root is a leaf.
        levels: u32,
    },
    /// In the fork of an inode: all bytes of the fork, `xfs_bmdr_block` at the start.
    Inode(Vec<u8>),
}

/// What records of a tree may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// Blocks and inodes of one allocation group.
    AllocationGroup {
        /// Its length.
        blocks: u32,
        /// Inodes in one block.
        inodes_per_block: u32,
        /// True if inode chunks may have holes, which changes the record.
        has_sparse_inodes: bool,
    },
    /// Blocks of the volume: the allocation group above the block in it.
    Volume {
        /// Number of allocation groups.
        group_count: u32,
        /// Length of all but the last.
        group_blocks: u32,
        /// Length of the last.
        last_group_blocks: u32,
        /// Bits of the block in its group (`sb_agblklog`).
        group_block_bits: u32,
    },
    /// Blocks of the realtime device.
    Realtime {
        /// Their number.
        blocks: u64,
    },
}

impl Bounds {
    /// Of the extents of a fork, in an extent list or a block map.
    ///
    /// # Errors
    /// `Corrupt` if the superblock has no allocation group.
    pub(crate) fn of_fork(superblock: &Superblock, is_realtime: bool) -> Result<Self> {
        if is_realtime {
            return Ok(Self::Realtime { blocks: superblock.realtime_blocks });
        }
        let last = AgNumber(superblock.ag_count.saturating_sub(1));
        Ok(Self::Volume {
            group_count: superblock.ag_count,
            group_blocks: superblock.ag_blocks,
            last_group_blocks: superblock.ag_length(last)?,
            group_block_bits: superblock.ag_block_log.into(),
        })
    }

    /// Judges `count` blocks from `start`.
    ///
    /// # Errors
    /// `Empty`, `Outside`.
    pub(crate) fn check_run(&self, start: u64, count: u64) -> Result<(), RecordDefect> {
        if count == 0 {
            return Err(RecordDefect::Empty);
        }
        let (first, limit) = match *self {
            Self::AllocationGroup { blocks, .. } => (start, u64::from(blocks)),
            Self::Realtime { blocks } => (start, blocks),
            Self::Volume { group_count, group_blocks, last_group_blocks, group_block_bits } => {
                let group = start.checked_shr(group_block_bits).unwrap_or(0);
                let in_group = start ^ group.checked_shl(group_block_bits).unwrap_or(0);
                let last = u64::from(group_count).saturating_sub(1);
                let limit = match group {
                    _ if group > last => 0,
                    _ if group == last => last_group_blocks,
                    _ => group_blocks,
                };
                (in_group, u64::from(limit))
            }
        };
        if first >= limit || count > limit.saturating_sub(first) {
            return Err(RecordDefect::Outside { start, count });
        }
        Ok(())
    }
}

/// The facts about a tree that do not change while it is edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Size of a block.
    pub(crate) block_size_bytes: u32,
    /// Who owns the blocks: number of the allocation group, or inode number.
    pub(crate) owner: u64,
    /// The metadata UUID; `None` on volumes without checksums (v4).
    pub(crate) uuid: Option<[u8; 16]>,
    /// What records may refer to.
    pub(crate) bounds: Bounds,
}

impl Shape {
    /// Of the trees of an allocation group.
    ///
    /// # Errors
    /// `Corrupt` if there is no such group.
    pub(crate) fn of_group(superblock: &Superblock, ag: AgNumber) -> Result<Self> {
        let bounds = Bounds::AllocationGroup {
            blocks: superblock.ag_length(ag)?,
            inodes_per_block: to(pow2(superblock.inodes_per_block_log.into())?)?,
            has_sparse_inodes: superblock.features.has_incompat(incompat::SPARSE_INODES),
        };
        Ok(Self::of(superblock, ag.0.into(), bounds))
    }

    /// Of the block map of a fork; the data fork of a realtime file has blocks of the realtime device.
    ///
    /// # Errors
    /// `Corrupt` if the superblock has no allocation group.
    pub(crate) fn of_fork(
        superblock: &Superblock,
        inode: InodeNumber,
        is_realtime: bool,
    ) -> Result<Self> {
        let bounds = Bounds::of_fork(superblock, is_realtime)?;
        Ok(Self::of(superblock, inode.0, bounds))
    }

    fn of(superblock: &Superblock, owner: u64, bounds: Bounds) -> Self {
        let uuid = superblock.has_crc().then_some(superblock.meta_uuid.0);
        Self { block_size_bytes: superblock.block_size_bytes, owner, uuid, bounds }
    }
}

/// Blocks and root of one tree, for reading.
pub(crate) trait NodeSource {
    /// The facts about the tree.
    fn shape(&self) -> Shape;

    /// Where the tree starts now.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn root(&self) -> Result<Root>;

    /// The address of a block in units of 512 bytes, as block headers give it.
    ///
    /// # Errors
    /// `Corrupt` if `at` is not a block of the allocation group or volume.
    fn daddr(&self, at: Pointer) -> Result<u64>;

    /// The bytes of a block.
    ///
    /// # Errors
    /// `Corrupt` if `at` is not a block of the allocation group or volume; `Io`.
    fn read(&self, at: Pointer) -> Result<Vec<u8>>;
}

/// Blocks and root of one tree, for editing.
///
/// # Contract of an edit
///
/// The engine holds nothing that a store could make stale:
///
/// * **`allocate` is called first**, as often as the edit will need blocks, before a single block of the tree
///   is changed. The engine then reads the root and the path again. An implementation may therefore change
///   anything in `allocate`, even records of this very tree; should the edit need more blocks afterwards,
///   it is asked again (a named number of times). If `allocate` fails, the tree is as it was before.
/// * **`free` is called last**, when all blocks and the root have been written and the tree is complete without
///   the freed blocks. Again anything may be changed; the engine reads nothing after it.
/// * Between the two there are only `read`, `write`, `root` and `set_root`; none of these may change the tree
///   in another way. `set_root` changes nothing but the root: counters of blocks are kept in `allocate`
///   and `free`.
pub(crate) trait NodeStore: NodeSource {
    /// Records a new start of the tree; the kind of root never changes.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn set_root(&mut self, root: Root) -> Result<()>;

    /// Stores the bytes of a block, already sealed.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()>;

    /// Takes a block for the tree, best near `near`. See the contract above.
    ///
    /// # Errors
    /// `Refused` if there is none; `Corrupt`, `Io`.
    fn allocate(&mut self, near: Pointer) -> Result<Pointer>;

    /// Gives back a block of the tree. See the contract above.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    fn free(&mut self, at: Pointer) -> Result<()>;
}

impl<S: NodeSource + ?Sized> NodeSource for &mut S {
    fn shape(&self) -> Shape {
        (**self).shape()
    }
    fn root(&self) -> Result<Root> {
        (**self).root()
    }
    fn daddr(&self, at: Pointer) -> Result<u64> {
        (**self).daddr(at)
    }
    fn read(&self, at: Pointer) -> Result<Vec<u8>> {
        (**self).read(at)
    }
}

impl<S: NodeStore + ?Sized> NodeStore for &mut S {
    fn set_root(&mut self, root: Root) -> Result<()> {
        (**self).set_root(root)
    }
    fn write(&mut self, at: Pointer, bytes: &[u8]) -> Result<()> {
        (**self).write(at, bytes)
    }
    fn allocate(&mut self, near: Pointer) -> Result<Pointer> {
        (**self).allocate(near)
    }
    fn free(&mut self, at: Pointer) -> Result<()> {
        (**self).free(at)
    }
}
