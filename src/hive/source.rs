//! Where the bytes of a hive or a log come from.

use crate::bytes::arith::{self, len_u64};
use crate::bytes::field;
use crate::error::Result;

/// A file that can be read anywhere. A SOFTWARE hive has 100 MB: nothing reads a file as a whole.
pub trait Source {
    /// Length of the file in bytes.
    fn len_bytes(&self) -> u64;

    /// `len` bytes from `offset_bytes`. The callers in this module ask for at most 64 KiB, and only for what
    /// lies inside [`Source::len_bytes`].
    ///
    /// # Errors
    /// What reading the file gives; a range that ends behind the file is an error.
    fn read_at(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>>;
}

/// A [`Source`] in memory.
#[derive(Debug, Clone, Default)]
pub struct MemorySource(Vec<u8>);

impl MemorySource {
    /// A file of `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Source for MemorySource {
    fn len_bytes(&self) -> u64 {
        len_u64(self.0.len())
    }

    fn read_at(&self, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        Ok(field::slice(&self.0, arith::to(offset_bytes)?, len)?.to_vec())
    }
}
