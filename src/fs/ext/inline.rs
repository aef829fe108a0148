//! Content that lies in the inode: the first 60 bytes in `i_block`, the rest in the attribute `system.data`.
//!
//! Format: kernel documentation, "ext4 Data Structures and Algorithms", section "Inline Data".

use super::inode::{I_BLOCK_BYTES, Inode, InodeDefect};
use crate::bytes::arith::{len_u64, to};
use crate::error::Result;

impl Inode {
    /// The content of an inline file, as long as the inode says.
    pub(crate) fn read_inline(&self) -> Result<Vec<u8>> {
        let size = self.size_bytes();
        let rest = self.inline_rest()?;
        if size > len_u64(I_BLOCK_BYTES).saturating_add(len_u64(rest.len())) {
            return Err(self.corrupt(InodeDefect::Size(size)));
        }
        let mut content = self.i_block()?.to_vec();
        content.extend_from_slice(&rest);
        content.truncate(to(size)?);
        Ok(content)
    }
}
