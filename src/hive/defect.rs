//! What can be wrong with a hive or its logs.

use super::units::CellOffset;
use crate::error::{Corrupt, Error};

/// The defects of hives and hive logs, each with the numbers that show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Defect {
    /// A structure does not start with its signature.
    #[error("signature {found:02x?} instead of {expected:?}")]
    Signature {
        /// The signature of the structure.
        expected: &'static str,
        /// The bytes found.
        found: [u8; 4],
    },
    /// The file type of the base block is not that of a primary file.
    #[error("file type {0} instead of 0")]
    FileType(u32),
    /// The file format of the base block is not "direct memory load".
    #[error("file format {0} instead of 1")]
    FileFormat(u32),
    /// The size of the bins data is 0 or no multiple of 4096.
    #[error("bins data of {0} bytes")]
    BinsSize(u32),
    /// The bins data end behind the end of the file.
    #[error("bins data end at byte {end_bytes}, the file at {file_bytes}")]
    BinsOutsideFile {
        /// End of the bins data in the file.
        end_bytes: u64,
        /// Length of the file.
        file_bytes: u64,
    },
    /// A bin does not name its own place.
    #[error("bin says that it lies at {found:#x}")]
    BinOffset {
        /// What its header says.
        found: u32,
    },
    /// The size of a bin is no multiple of 4096, 0, or leads behind the bins data.
    #[error("bin of {0} bytes")]
    BinSize(u32),
    /// A pointer leads behind the end of the bins data, or to no multiple of 8.
    #[error("pointer to {offset:#x} in bins data of {bins_bytes} bytes")]
    CellOffset {
        /// The pointer.
        offset: u32,
        /// Size of the bins data.
        bins_bytes: u32,
    },
    /// A pointer leads to a cell that is free.
    #[error("cell is free, size {0}")]
    CellFree(i32),
    /// The size of a cell is no multiple of 8, 0, or leads behind its bin.
    #[error("cell of size {0}")]
    CellSize(i32),
    /// A structure needs more bytes than its cell has.
    #[error("needs {needed} bytes, its cell has {available}")]
    CellShort {
        /// Bytes needed.
        needed: u64,
        /// Bytes of the cell without its size field.
        available: u64,
    },
    /// A list of subkeys has a signature that is none of lf, lh, li, ri.
    #[error("subkey list with signature {0:02x?}")]
    ListSignature([u8; 2]),
    /// An index root points to an index root.
    #[error("index root below an index root")]
    ListNested,
    /// The lists of subkeys do not have as many elements as the key node says.
    #[error("{found} subkeys in its lists, {expected} by its key node")]
    SubkeyCount {
        /// Number in the key node.
        expected: u32,
        /// Number in the lists.
        found: u64,
    },
    /// A subkey names another key as its parent.
    #[error("parent is {found:#x} instead of {expected:#x}")]
    Parent {
        /// The key whose list has the subkey.
        expected: u32,
        /// The parent field of the subkey.
        found: u32,
    },
    /// An inline value claims more than 4 bytes.
    #[error("{0} bytes inline")]
    InlineSize(u32),
    /// A big data record does not have the segments that the size of the value asks for.
    #[error("{found} segments for {expected}")]
    SegmentCount {
        /// Segments needed.
        expected: u64,
        /// Segments in the record.
        found: u16,
    },
    /// A UTF-16 name has an odd number of bytes.
    #[error("UTF-16 name of {0} bytes")]
    NameLength(u16),
    /// A page of a log entry does not lie in the bins data of the entry, or at no multiple of 512.
    #[error("page of {size} bytes at {offset:#x} in bins data of {bins_bytes} bytes")]
    LogPage {
        /// Place of the page in the bins data.
        offset: u32,
        /// Its size.
        size: u32,
        /// Size of the bins data by the entry.
        bins_bytes: u32,
    },
    /// The pages of a log entry end behind the entry.
    #[error("{pages} pages of {page_bytes} bytes in an entry of {entry_bytes} bytes")]
    LogPages {
        /// Number of pages.
        pages: u32,
        /// Their bytes in all.
        page_bytes: u64,
        /// Size of the entry.
        entry_bytes: u32,
    },
    /// A log of the old format ends before its pages do.
    #[error("{pages} pages with {page_bytes} bytes in a log of {log_bytes} bytes")]
    LogShort {
        /// Number of pages.
        pages: u64,
        /// Their bytes, or those of the bitmap.
        page_bytes: u64,
        /// Length of the log.
        log_bytes: u64,
    },
    /// The bins data grow by a log that does not have the new pages.
    #[error("page {0} of the grown bins data is in no log")]
    PageMissing(u32),
    /// A sequence number is so high that none above it is left.
    #[error("sequence number {0:#x} leaves none above it")]
    SequenceExhausted(u32),
    /// No cell of its bin starts where one is used.
    #[error("no cell of its bin starts here")]
    NoCell,
    /// The number of values is a handle.
    #[error("number of values is a predefined handle")]
    PredefinedHandle,
    /// A count would fall below 0 or above its field.
    #[error("count {0}")]
    Count(u32),
}

/// Damage to `structure` in the cell at `at`.
pub(super) fn corrupt(structure: &'static str, at: CellOffset, defect: Defect) -> Error {
    Corrupt::new(structure, defect).at(at.file_offset_bytes()).of(at.to_string()).into()
}
