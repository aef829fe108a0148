//! Where the extended attributes of an inode are: behind its fixed part, and in its attribute block.

use super::inode::{GOOD_OLD_BYTES, Inode, InodeDefect, flag};
use super::units::{FsBlock, InodeNumber};
use super::volume::Volume;
use super::xattr::{self, Attribute, Value, XattrBlock, XattrDefect};
use crate::bytes::arith::to;
use crate::error::{Corrupt, Result};
use crate::fs::Xattr;

/// Longest value in an inode of its own, in bytes: as much as Linux gives out.
const VALUE_BYTES_MAX: u32 = 65536;

impl Inode {
    /// Where the attributes behind the fixed part start. An inode without further fields has none.
    pub(super) fn attributes_at(&self) -> Option<usize> {
        let extra = usize::from(self.extra_size());
        (self.bytes().len() > GOOD_OLD_BYTES && extra != 0)
            .then(|| GOOD_OLD_BYTES.saturating_add(extra))
    }

    /// The attributes behind the fixed part.
    pub(super) fn attributes_inside(&self) -> Result<Vec<Attribute>> {
        let Some(start) = self.attributes_at() else { return Ok(Vec::new()) };
        let region = self.bytes().get(start..).unwrap_or_default();
        Ok(xattr::parse_region(region).map_err(|defect| self.attributes_corrupt(defect))?)
    }

    fn attributes_corrupt(&self, defect: XattrDefect) -> Corrupt {
        Corrupt::new("extended attributes", defect).of(self.number.to_string())
    }

    /// The value of `system.data`, which holds the rest of inline content.
    pub(super) fn inline_rest(&self) -> Result<Vec<u8>> {
        let found = self.attributes_inside()?.into_iter().find(Attribute::is_inline_data);
        Ok(match found.map(|attribute| attribute.value) {
            Some(Value::Inside(value)) => value,
            _ => Vec::new(),
        })
    }
}

impl Volume {
    /// The attribute block of an inode.
    pub(super) fn read_attribute_block(
        &self,
        inode: &Inode,
    ) -> Result<Option<(FsBlock, XattrBlock)>> {
        let Some(number) = inode.attribute_block() else { return Ok(None) };
        let bytes = self.read_block(number)?;
        let seed = self.superblock().checksum_seed;
        let block = xattr::parse_block(&bytes, number.0, seed)
            .map_err(|defect| inode.attributes_corrupt(defect))?;
        Ok(Some((number, block)))
    }

    /// All attributes with a name, and their values.
    pub(crate) fn read_xattrs(&self, inode: &Inode) -> Result<Vec<Xattr>> {
        let mut attributes = inode.attributes_inside()?;
        if let Some((_, block)) = self.read_attribute_block(inode)? {
            attributes.extend(block.attributes);
        }
        let seed = self.superblock().checksum_seed.unwrap_or(!0);
        xattr::values(&attributes, seed, &mut |number, len| self.read_value(number, len))
    }

    /// The content of an inode that is the value of an attribute.
    fn read_value(&self, number: u32, len: u32) -> Result<Vec<u8>> {
        if len > VALUE_BYTES_MAX {
            let what = "size of an extended attribute in bytes";
            return Err(crate::error::Error::limit(what, VALUE_BYTES_MAX.into(), len.into()));
        }
        let inode = self.read_inode(InodeNumber(number))?;
        let is_value = inode.has_flag(flag::EA_INODE) && inode.size_bytes() == u64::from(len);
        if !is_value {
            return Err(inode.corrupt(InodeDefect::NotAValue));
        }
        self.read_content(&inode, 0, to(len)?)
    }
}
