//! Tree blocks into bytes.

use super::{HEADER_BYTES, ITEM_BYTES, Node, POINTER_BYTES};
use crate::bytes::arith::{OutOfRange, to};
use crate::bytes::field::{self, put_le_u32, put_le_u64};
use crate::error::Result;
use crate::fs::btrfs::checksum::FIELD_BYTES;
use crate::fs::btrfs::key::KEY_BYTES;
use crate::fs::btrfs::superblock::Superblock;

impl Node {
    /// Brings the block into `bytes`, which has the size of a tree block, with its checksum.
    ///
    /// # Errors
    /// `Corrupt` if it does not fit.
    pub(crate) fn encode(&self, superblock: &Superblock, bytes: &mut [u8]) -> Result<()> {
        bytes.fill(0);
        field::put(bytes, FIELD_BYTES, &superblock.metadata_uuid.0)?;
        put_le_u64(bytes, 48, self.bytenr)?;
        put_le_u64(bytes, 56, self.flags)?;
        field::put(bytes, 64, &self.chunk_tree_uuid)?;
        put_le_u64(bytes, 80, self.generation)?;
        put_le_u64(bytes, 88, self.owner)?;
        put_le_u32(bytes, 96, to(self.len())?)?;
        field::put(bytes, 100, &[self.level])?;
        let (mut at, mut data_end) = (HEADER_BYTES, bytes.len().saturating_sub(HEADER_BYTES));
        for item in self.items() {
            data_end = data_end.checked_sub(item.data.len()).ok_or(OutOfRange)?;
            field::put(bytes, at, &item.key.to_bytes())?;
            put_le_u32(bytes, at.saturating_add(KEY_BYTES), to(data_end)?)?;
            put_le_u32(bytes, at.saturating_add(21), to(item.data.len())?)?;
            field::put(bytes, data_end.saturating_add(HEADER_BYTES), &item.data)?;
            at = at.saturating_add(ITEM_BYTES);
        }
        if self.level == 0 && at > data_end.saturating_add(HEADER_BYTES) {
            return Err(OutOfRange.into());
        }
        for pointer in self.pointers() {
            field::put(bytes, at, &pointer.key.to_bytes())?;
            put_le_u64(bytes, at.saturating_add(KEY_BYTES), pointer.bytenr)?;
            put_le_u64(bytes, at.saturating_add(25), pointer.generation)?;
            at = at.saturating_add(POINTER_BYTES);
        }
        let checksum = superblock.checksum.of(bytes.get(FIELD_BYTES..).unwrap_or_default());
        Ok(field::put(bytes, 0, &checksum)?)
    }
}
