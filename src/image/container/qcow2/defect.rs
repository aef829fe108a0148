//! What can be wrong with a qcow2 image.

/// A defect of a qcow2 image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Defect {
    /// The file ends inside the header.
    #[error("the file has only {file_bytes} bytes")]
    Cut { file_bytes: u64 },
    /// It does not start with the magic.
    #[error("it does not start with QFI\\xfb")]
    NoMagic,
    /// A cluster size that qemu does not know.
    #[error("cluster_bits is {bits}, not 9 to 21")]
    ClusterBits { bits: u32 },
    /// A refcount wider than 64 bits.
    #[error("refcount_order is {order}, not 0 to 6")]
    RefcountOrder { order: u32 },
    /// A header that is too short, too long, or of an odd length.
    #[error("header_length is {bytes}")]
    HeaderLength { bytes: u64 },
    /// A table of the header that is not where a table can be.
    #[error(
        "the {table} of {bytes} bytes at {offset:#x} is not inside the file of {file_bytes} bytes"
    )]
    Table { table: &'static str, offset: u64, bytes: u64, file_bytes: u64 },
    /// A disk larger than its table.
    #[error("the disk has {size_bytes} bytes, but the L1 table maps only {covered_bytes}")]
    Size { size_bytes: u64, covered_bytes: u64 },
    /// A name that is not in the first cluster.
    #[error("a file name of {bytes} bytes at {offset:#x} is not in the first cluster")]
    NamePlace { offset: u64, bytes: u64 },
    /// An external data file without a name.
    #[error("it has an external data file, but no name of it")]
    NoDataFileName,
    /// A directory of bitmaps whose entries do not fit.
    #[error("its entries do not fit into it")]
    Bitmaps,
    /// A compressed cluster that does not unpack.
    #[error("only {written} bytes can be unpacked")]
    Compressed { written: u64 },
    /// A table or cluster that is not in the file.
    #[error("a cluster at {offset:#x} is behind the end of the file of {file_bytes} bytes")]
    Behind { offset: u64, file_bytes: u64 },
    /// An entry that leads to no possible cluster.
    #[error("the entry {entry:#x} leads to no cluster of the file")]
    Entry { entry: u64 },
    /// Data of the guest in the place of a structure.
    #[error("guest data at {offset:#x} lie on a structure of the image")]
    Overlap { offset: u64 },
    /// Two entries of the L1 table with one L2 table.
    #[error("two L1 entries lead to the L2 table at {offset:#x}")]
    SharedTable { offset: u64 },
    /// A reference count that contradicts the entry.
    #[error("the cluster at {offset:#x} has the reference count {count}")]
    Refcount { offset: u64, count: u64 },
}
