//! What can be wrong with an index, and how it is reported.

use super::host::IndexBlock;
use crate::bytes::arith::OutOfRange;
use crate::bytes::field::Short;
use crate::error::{Corrupt, Error};
use crate::fs::ntfs::file_name::FileNameDefect;
use crate::fs::ntfs::fix_up::FixUpDefect;

/// What is wrong with an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexDefect {
    /// A structure is cut off.
    #[error(transparent)]
    Short(#[from] Short),
    /// A number leaves its type.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The block was not written as a whole, or has no room for its update sequence.
    #[error(transparent)]
    FixUp(#[from] FixUpDefect),
    /// A key is no file name.
    #[error(transparent)]
    FileName(#[from] FileNameDefect),
    /// No index block at all.
    #[error("signature {0:02x?} instead of \"INDX\"")]
    Signature([u8; 4]),
    /// The block belongs elsewhere.
    #[error("says that its VCN is {stored}, which should be {actual}")]
    OwnVcn {
        /// The VCN in its header.
        stored: u64,
        /// The VCN that leads to it.
        actual: u64,
    },
    /// A size of index blocks that does not exist.
    #[error("index blocks of {block} bytes in clusters of {cluster}")]
    BlockSize {
        /// Bytes of an index block.
        block: u32,
        /// Bytes of a cluster.
        cluster: u32,
    },
    /// The index is sorted in another way than the caller knows.
    #[error(
        "collation rule {found:#x} over attribute type {attribute:#x}, expected rule {expected:#x}"
    )]
    Rule {
        /// The rule of the index root.
        found: u32,
        /// Its attribute type.
        attribute: u32,
        /// The rule of the caller.
        expected: u32,
    },
    /// The header of a node contradicts itself or the size of its block.
    #[error(
        "entries from {first:#x} to {total:#x}, space to {allocated:#x} of {available:#x} bytes"
    )]
    NodeHeader {
        /// Offset of the first entry, from the node header.
        first: u32,
        /// End of the entries.
        total: u32,
        /// End of the space for entries.
        allocated: u32,
        /// Bytes there are from the node header on.
        available: usize,
    },
    /// Entries would be lost behind the end.
    #[error("the end at {at:#x} is not the last of {used:#x} used bytes")]
    BehindEnd {
        /// Offset of the end entry, from the node header.
        at: usize,
        /// End of the entries.
        used: usize,
    },
    /// An entry leaves its node or is shorter than its own parts.
    #[error("entry at {at:#x} has {length} bytes, a key of {key} and flags {flags:#x}")]
    Entry {
        /// Offset of the entry, from the node header.
        at: usize,
        /// Its length.
        length: u16,
        /// The length of its key.
        key: u16,
        /// Its flags.
        flags: u16,
    },
    /// The node ends without an end entry.
    #[error("no end entry")]
    NoEnd,
    /// Some entries of a node have sub-nodes and others do not, or the header of the node disagrees.
    #[error("some entries have sub-nodes and others have none")]
    MixedSubNodes,
    /// A VCN at which no index block starts.
    #[error("VCN {0:#x} is not the start of an index block")]
    Vcn(u64),
    /// Keys are not in ascending order.
    #[error("keys are not in order")]
    Order,
    /// A node holds a key that belongs into another one.
    #[error("key outside the range that the parent node gives")]
    Separator,
    /// More levels than any index has.
    #[error("more than {0} levels")]
    Depth(usize),
    /// Two ways lead to the same block: the tree is none.
    #[error("index block {0} is reached twice")]
    Visited(u64),
    /// The bitmap of the index says that the block is not used.
    #[error("index block {0} is used but marked as free")]
    Free(u64),
    /// Entries so long that a full node cannot be split.
    #[error("entries too long to split the node between them")]
    EntriesTooLong,
    /// Leaves without entries, again and again.
    #[error("more than {0} leaves without entries")]
    NoEntries(usize),
}

/// The error for a defect of an index block.
pub(super) fn in_block(block: IndexBlock, defect: impl Into<IndexDefect>) -> Error {
    Corrupt::new("index block", defect.into()).of(format!("index block {}", block.0)).into()
}

/// The error for a defect of the index root.
pub(super) fn in_root(defect: impl Into<IndexDefect>) -> Error {
    Corrupt::new("index root", defect.into()).into()
}

/// The error for a defect inside an entry, seen when its parts are used.
pub(super) fn in_entry(defect: impl Into<IndexDefect>) -> Error {
    Corrupt::new("index entry", defect.into()).into()
}
