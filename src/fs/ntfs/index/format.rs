//! The index root, and how index blocks are counted.
//!
//! Sources: linux-ntfs documentation, "$INDEX_ROOT", and libyal libfsntfs, "New Technologies File System
//! (NTFS)", section "The index root".

use super::collation::Collation;
use super::defect::IndexDefect;
use super::host::IndexBlock;
use super::node::{NODE_HEADER_LEN, Node};
use crate::bytes::arith::{div, mul, rem, to};
use crate::bytes::field;
use crate::fs::ntfs::units::Vcn;

/// Bytes of the header of an index root, in front of the node header.
pub(super) const ROOT_HEADER_LEN: usize = 16;
/// Sizes of index blocks that exist: powers of two.
const BLOCK_SIZES_BYTES: std::ops::RangeInclusive<u32> = 512..=65536;
/// What a VCN counts where an index block is smaller than a cluster.
const SMALL_VCN_BYTES: u32 = 512;

/// The sizes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexFormat {
    block_size_bytes: u32,
    vcn_bytes: u32,
}

impl IndexFormat {
    /// The format of blocks of `block_size_bytes` on a volume with clusters of `cluster_size_bytes`.
    ///
    /// # Errors
    /// [`IndexDefect::BlockSize`].
    pub(crate) fn new(block_size_bytes: u32, cluster_size_bytes: u32) -> Result<Self, IndexDefect> {
        let is_valid = block_size_bytes.is_power_of_two()
            && BLOCK_SIZES_BYTES.contains(&block_size_bytes)
            && cluster_size_bytes.is_power_of_two();
        if !is_valid {
            return Err(IndexDefect::BlockSize {
                block: block_size_bytes,
                cluster: cluster_size_bytes,
            });
        }
        let is_small = block_size_bytes < cluster_size_bytes;
        let vcn_bytes = if is_small { SMALL_VCN_BYTES } else { cluster_size_bytes };
        Ok(Self { block_size_bytes, vcn_bytes })
    }

    /// Bytes of an index block.
    pub(crate) fn block_len(self) -> usize {
        to(self.block_size_bytes).unwrap_or(usize::MAX)
    }

    fn vcns_per_block(self) -> Result<u64, IndexDefect> {
        Ok(div(self.block_size_bytes.into(), self.vcn_bytes.into())?.max(1))
    }

    /// The block that `vcn` stands for.
    ///
    /// # Errors
    /// [`IndexDefect::Vcn`] if no block starts there.
    pub(crate) fn block(self, vcn: Vcn) -> Result<IndexBlock, IndexDefect> {
        let step = self.vcns_per_block()?;
        // A VCN is signed on disk.
        if vcn.0 > u64::MAX >> 1 || rem(vcn.0, step)? != 0 {
            return Err(IndexDefect::Vcn(vcn.0));
        }
        Ok(IndexBlock(div(vcn.0, step)?))
    }

    /// The VCN that stands for `block`.
    ///
    /// # Errors
    /// [`IndexDefect::OutOfRange`].
    pub(crate) fn vcn(self, block: IndexBlock) -> Result<Vcn, IndexDefect> {
        Ok(Vcn(mul(block.0, self.vcns_per_block()?)?))
    }
}

/// The value of `$INDEX_ROOT`.
///
/// | offset | size | field                         | ours       | valid when                                 |
/// |-------:|-----:|-------------------------------|------------|--------------------------------------------|
/// |    0x0 |    4 | type of the indexed attribute | attribute  | 0x30 in a directory, 0 in other indexes     |
/// |    0x4 |    4 | collation rule                | rule       | see [`Collation`]                           |
/// |    0x8 |    4 | bytes per index block         | block_size | power of two, 512 to 65536                  |
/// |    0xc |    1 | VCNs per index block          | (kept)     | ignored, as it says the same in other words |
/// |    0xd |    3 | padding                       | (kept)     | ignored                                     |
/// |   0x10 |      | node header and entries       | node       | see [`Node`]                                |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexRoot {
    header: [u8; ROOT_HEADER_LEN],
    /// The type of the attribute that is indexed; 0 if there is none.
    pub(crate) attribute_type: u32,
    /// The collation rule.
    pub(crate) rule: u32,
    /// Bytes of an index block.
    pub(crate) block_size_bytes: u32,
    /// The top of the tree.
    pub(crate) node: Node,
}

impl IndexRoot {
    /// Reads the value of `$INDEX_ROOT`.
    ///
    /// # Errors
    /// The defect.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, IndexDefect> {
        let header = field::array(value, 0)?;
        Ok(Self {
            header,
            attribute_type: field::le_u32(&header, 0x0)?,
            rule: field::le_u32(&header, 0x4)?,
            block_size_bytes: field::le_u32(&header, 0x8)?,
            node: Node::parse(value.get(ROOT_HEADER_LEN..).unwrap_or_default())?,
        })
    }

    /// The root of an index without entries.
    ///
    /// # Errors
    /// [`IndexDefect::BlockSize`].
    pub(crate) fn empty(
        collation: &Collation<'_>,
        block_size_bytes: u32,
        cluster_size_bytes: u32,
    ) -> Result<Self, IndexDefect> {
        let format = IndexFormat::new(block_size_bytes, cluster_size_bytes)?;
        let (attribute_type, rule) = (collation.attribute_type(), collation.rule());
        let mut header = [0; ROOT_HEADER_LEN];
        field::put_le_u32(&mut header, 0x0, attribute_type)?;
        field::put_le_u32(&mut header, 0x4, rule)?;
        field::put_le_u32(&mut header, 0x8, block_size_bytes)?;
        field::put(&mut header, 0xc, &[to(format.vcns_per_block()?)?])?;
        Ok(Self { header, attribute_type, rule, block_size_bytes, node: Node::default() })
    }

    /// The value to store.
    ///
    /// # Errors
    /// None in practice: lengths of entries that leave their types.
    pub(crate) fn store(&self) -> Result<Vec<u8>, IndexDefect> {
        let total = NODE_HEADER_LEN.saturating_add(self.node.stored_len());
        let mut value = self.header.to_vec();
        let mut node_header = [0; NODE_HEADER_LEN];
        self.node.store_header(&mut node_header, NODE_HEADER_LEN, total)?;
        value.extend_from_slice(&node_header);
        value.extend_from_slice(&self.node.store()?);
        Ok(value)
    }
}
