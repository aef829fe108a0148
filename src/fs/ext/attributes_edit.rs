//! Storing extended attributes: behind the fixed part of the inode while they fit, else in the attribute
//! block, which is unshared first. Inline content is stored here too: it is an attribute.

use super::bitmap::needs_check;
use super::inode::{I_BLOCK_BYTES, Inode, flag};
use super::units::FsBlock;
use super::volume::Volume;
use super::xattr::{self, Attribute, Value, XattrBlock};
use crate::bytes::arith::len_u64;
use crate::bytes::field;
use crate::error::{Refusal, Result};

impl Inode {
    /// Stores `attributes` behind the fixed part; false if they do not fit.
    fn put_attributes_inside(&mut self, attributes: &[Attribute]) -> Result<bool> {
        let Some(start) = self.attributes_at() else { return Ok(attributes.is_empty()) };
        let len = self.bytes().len().saturating_sub(start);
        let Some(region) = xattr::encode_region(attributes, len) else { return Ok(false) };
        field::put(self.bytes_mut(), start, &region)?;
        Ok(true)
    }

    /// Stores content in the inode; false if it does not fit. The size is the caller's.
    pub(super) fn put_inline(&mut self, content: &[u8]) -> Result<bool> {
        let (head, rest) = content.split_at(content.len().min(I_BLOCK_BYTES));
        let mut i_block = [0; I_BLOCK_BYTES];
        field::put(&mut i_block, 0, head)?;
        self.put_inline_parts(&i_block, rest)
    }

    /// Stores both parts of inline content; false if they do not fit.
    pub(super) fn put_inline_parts(&mut self, i_block: &[u8], rest: &[u8]) -> Result<bool> {
        let mut attributes = self.attributes_inside()?;
        let value = Value::Inside(rest.to_vec());
        match attributes.iter_mut().find(|attribute| attribute.is_inline_data()) {
            Some(attribute) => attribute.value = value,
            None => attributes.extend(Attribute::new(b"system.data", rest)),
        }
        if !self.put_attributes_inside(&attributes)? {
            return Ok(false);
        }
        field::put(self.i_block_mut()?, 0, i_block)?;
        Ok(true)
    }

    /// Removes the part of inline content that is an attribute.
    fn drop_inline_rest(&mut self) -> Result<()> {
        let mut attributes = self.attributes_inside()?;
        attributes.retain(|attribute| !attribute.is_inline_data());
        self.put_attributes_inside(&attributes)?;
        Ok(())
    }
}

impl Volume {
    /// Sets or removes an attribute; the inode is changed, but not stored. False if nothing changes.
    ///
    /// # Errors
    /// `Refused` if there is no room or the name cannot be; `Corrupt`.
    pub(crate) fn change_xattr(
        &mut self,
        inode: &mut Inode,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<bool> {
        let mut inside = inode.attributes_inside()?;
        let block = self.read_attribute_block(inode)?;
        let mut outside = block.as_ref().map(|(_, b)| b.attributes.clone()).unwrap_or_default();
        let is_outside = outside.iter().any(|attribute| attribute.is_named(name));
        if !is_outside {
            let is_changed = xattr::set(&mut inside, name, value)?;
            if !is_changed || inode.put_attributes_inside(&inside)? {
                return Ok(is_changed);
            }
            // It does not fit there: make room in the inode, and take the block.
            xattr::set(&mut inside, name, None)?;
            inode.put_attributes_inside(&inside)?;
        }
        if !xattr::set(&mut outside, name, value)? {
            return Ok(false);
        }
        self.store_attribute_block(inode, block.as_ref(), outside)?;
        Ok(true)
    }

    fn store_attribute_block(
        &mut self,
        inode: &mut Inode,
        old: Option<&(FsBlock, XattrBlock)>,
        attributes: Vec<Attribute>,
    ) -> Result<()> {
        let reusable = match old {
            Some((number, block)) if block.reference_count == 1 => Some(*number),
            _ => None,
        };
        if attributes.is_empty() {
            return self.release_attribute_block(inode);
        }
        let number = if let Some(number) = reusable {
            number
        } else {
            self.release_attribute_block(inode)?;
            let (group, _) = self.superblock().inode_place(inode.number)?;
            let goal = self.superblock().first_block(group)?;
            let (number, _) = self.allocate_clusters(goal, 1)?;
            inode.add_blocks(u64::from(self.superblock().cluster_blocks))?;
            inode.set_attribute_block(Some(number))?;
            let known = self.superblock().features;
            if !known.has_compat(super::feature::compat::EXT_ATTR) {
                self.update_superblock(super::superblock::Superblock::set_has_ext_attr)?;
            }
            number
        };
        let block = XattrBlock { reference_count: 1, attributes };
        self.write_attribute_block(inode, number, &block)
    }

    pub(super) fn write_attribute_block(
        &self,
        inode: &Inode,
        number: FsBlock,
        block: &XattrBlock,
    ) -> Result<()> {
        let (len, seed) = (self.superblock().block_len()?, self.superblock().checksum_seed);
        let Some(bytes) = xattr::encode_block(block, len, number.0, seed) else {
            let what = format!("bytes for the extended attributes of {}", inode.number);
            let needed = xattr::block_len_of(&block.attributes);
            return Err(Refusal::NoSpace { what, needed, available: len_u64(len) }.into());
        };
        self.write_block(number, 0, &bytes, &format!("attribute block of {}", inode.number))
    }

    /// Gives up the attribute block, which other inodes may share.
    ///
    /// # Errors
    /// `Refused` if a value lies in an inode of its own, whose references would have to be counted.
    pub(crate) fn release_attribute_block(&mut self, inode: &mut Inode) -> Result<()> {
        let Some((number, mut block)) = self.read_attribute_block(inode)? else { return Ok(()) };
        check_no_value_inodes(inode, &block.attributes)?;
        if block.reference_count > 1 {
            block.reference_count = block.reference_count.saturating_sub(1);
            self.write_attribute_block(inode, number, &block)?;
        } else {
            let (start, count) = self.clusters_of(number, 1)?;
            if start != number {
                return Err(needs_check(format!("attribute block of {}", inode.number)));
            }
            self.free_clusters(start, count)?;
        }
        inode.sub_blocks(u64::from(self.superblock().cluster_blocks))?;
        inode.set_attribute_block(None)
    }

    /// Takes an inline file out of its inode: its content must be written again.
    pub(crate) fn leave_inline(&self, inode: &mut Inode) -> Result<()> {
        debug_assert!(inode.has_flag(flag::INLINE_DATA));
        inode.drop_inline_rest()?;
        self.put_empty_map(inode)
    }

    /// The number of bytes that inline content could have at most: for tests of the callers.
    pub(crate) fn inline_limit(&self) -> u64 {
        len_u64(I_BLOCK_BYTES).saturating_add(u64::from(self.superblock().inode_size_bytes))
    }
}

/// Refuses attributes whose values lie in inodes of their own.
pub(super) fn check_no_value_inodes(inode: &Inode, attributes: &[Attribute]) -> Result<()> {
    if attributes.iter().any(|attribute| matches!(attribute.value, Value::InInode { .. })) {
        let feature =
            format!("attribute values in inodes of their own (ea_inode, {})", inode.number);
        return Err(Refusal::NotWritable { feature }.into());
    }
    Ok(())
}
