//! An index of a file, for reading: the root in its record, the blocks in clusters.

use super::attribute::AttributeKind;
use super::bitmap;
use super::file::File;
use super::index::{IndexBlock, IndexSource};
use super::stream::Stream;
use super::volume::Volume;
use crate::bytes::arith::{div, len_u64, mul, rem};
use crate::bytes::field::le_u32;
use crate::error::{Corrupt, Result};

/// Longest value of an `$INDEX_ROOT`: it lies in a record.
const ROOT_BYTES_MAX: u64 = 4096;
/// Where the root says how long a block is.
const BLOCK_SIZE_AT: usize = 8;

/// One index of one file.
#[derive(Debug)]
pub(crate) struct IndexView<'a> {
    volume: &'a Volume,
    root: Vec<u8>,
    blocks: Option<Stream>,
    /// The bitmap of the blocks.
    bits: Option<Stream>,
    block_bytes: u64,
}

impl<'a> IndexView<'a> {
    /// The index `name` of `file`.
    ///
    /// # Errors
    /// `Corrupt` if there is none, or it does not fit together.
    pub(crate) fn open(volume: &'a Volume, file: &File, name: &[u16]) -> Result<Self> {
        let Some(root) = file.stream(volume, AttributeKind::INDEX_ROOT, name)? else {
            let object = file.number().to_string();
            return Err(Corrupt::new("index", "has no $INDEX_ROOT").of(object).into());
        };
        let root = root.read_all(volume, ROOT_BYTES_MAX)?;
        let blocks = file.stream(volume, AttributeKind::INDEX_ALLOCATION, name)?;
        let bits = file.stream(volume, AttributeKind::BITMAP, name)?;
        let block_bytes = u64::from(le_u32(&root, BLOCK_SIZE_AT)?);
        Ok(Self { volume, root, blocks, bits, block_bytes })
    }
}

impl IndexSource for IndexView<'_> {
    fn root_value(&self) -> Result<Vec<u8>> {
        Ok(self.root.clone())
    }

    fn read_block(&self, block: IndexBlock, len: usize) -> Result<Vec<u8>> {
        let Some(blocks) = &self.blocks else {
            return Err(Corrupt::new("index", "has no $INDEX_ALLOCATION").into());
        };
        let bytes = blocks.read(self.volume, mul(block.0, len_u64(len))?, len)?;
        if bytes.len() == len {
            return Ok(bytes);
        }
        let object = blocks.owner.to_string();
        Err(Corrupt::new("index", format!("ends before block {}", block.0)).of(object).into())
    }

    fn block_count(&self) -> Result<u64> {
        match &self.blocks {
            Some(blocks) => Ok(div(blocks.size_bytes(), self.block_bytes)?),
            None => Ok(0),
        }
    }

    fn is_allocated(&self, block: IndexBlock) -> Result<bool> {
        let Some(bits) = &self.bits else { return Ok(false) };
        let byte = bits.read(self.volume, div(block.0, 8)?, 1)?;
        Ok(bitmap::is_set(&byte, rem(block.0, 8)?).unwrap_or(false))
    }
}
