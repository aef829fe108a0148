//! Creating and removing files and directories.

use super::attributes_edit::check_no_value_inodes;
use super::bitmap::needs_check;
use super::directory::{self, DirectoryBlocks as _};
use super::directory_blocks::{InodeBlocks, format, read_inline};
use super::edit::check_editable;
use super::feature::ro_compat;
use super::inode::{GOOD_OLD_BYTES, Inode, KNOWN_EXTRA_BYTES, Time, flag};
use super::quota_files::Charge;
use super::units::InodeNumber;
use super::{Ext, unsuitable};
use crate::bytes::arith::to;
use crate::bytes::checksum::crc32c_raw;
use crate::error::{Context as _, Error, Result};
use crate::fs::{FileSystem as _, NewNode, NodeId, NodeKind, acl, entry_name};

/// Most names of a directory, which are its subdirectories; the documentation of `dir_nlink` gives it.
const LINKS_MAX: u16 = 64999;

impl Ext {
    /// The inode of a directory whose names may be edited.
    fn editable_directory(&mut self, node: NodeId) -> Result<Inode> {
        self.check_writable()?;
        let mut inode = self.directory(node)?;
        check_editable(&inode)?;
        self.claim(&mut inode)?;
        self.volume.check_before_edit(&inode)?;
        Ok(inode)
    }

    /// Creates a file or directory. Mode and group are exactly those of `new`: unlike the kernel, a set-group-ID
    /// directory gives its group and its bit to nothing that is made in it.
    pub(super) fn create(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        kind: NodeKind,
        content: &[u8],
    ) -> Result<NodeId> {
        let mut parent = self.editable_directory(directory)?;
        if self.volume.find_entry(&parent, name)?.is_some() {
            return Err(entry_name::exists(name));
        }
        let inherited = match self.xattr(directory, acl::DEFAULT_NAME)? {
            Some(default) => {
                acl::inherited(&default, kind, new.mode).context(|| parent.number.to_string())?
            }
            None => Vec::new(),
        };
        let is_directory = kind == NodeKind::Directory;
        if is_directory {
            self.volume.check_link_count(&parent)?;
        }
        let parent_before = Charge::of(&parent)?;
        let number = self.volume.allocate_inode(parent.number, is_directory)?;
        let mut inode = self.new_inode(number, &parent, new, is_directory)?;
        for xattr in &acl::join(&new.xattrs, inherited) {
            self.volume.change_xattr(&mut inode, &xattr.name, Some(&xattr.value))?;
        }
        if is_directory {
            let format = format(&self.volume, &inode);
            let block = directory::first_block(&format, number.0, parent.number.0)?;
            InodeBlocks::edit(&mut self.volume, &mut inode)?.append(&block)?;
            self.add_subdirectory(&mut parent)?;
        } else {
            self.put_content(&mut inode, content)?;
        }
        self.volume.store_inode(&mut inode)?;
        self.volume.recharge(None, Some(Charge::of(&inode)?))?;
        self.insert_name(&mut parent, name, number, kind)?;
        self.finish_directory(parent, parent_before)?;
        Ok(NodeId(u64::from(number.0)))
    }

    /// A new inode without content.
    fn new_inode(
        &self,
        number: InodeNumber,
        parent: &Inode,
        new: &NewNode,
        is_directory: bool,
    ) -> Result<Inode> {
        let superblock = self.volume.superblock();
        let size = usize::from(superblock.inode_size_bytes);
        let mut inode = Inode::new(number, vec![0; size], superblock);
        if size > GOOD_OLD_BYTES {
            let room: u16 = to(size.saturating_sub(GOOD_OLD_BYTES))?;
            let wanted = superblock.want_extra_isize;
            let is_sound = wanted <= room && wanted.is_multiple_of(4) && wanted != 0;
            inode.set_extra_size(if is_sound { wanted } else { KNOWN_EXTRA_BYTES.min(room) })?;
        }
        let kind = if is_directory { NodeKind::Directory } else { NodeKind::File };
        inode.set_raw_mode(kind.mode_bits())?;
        inode.set_permissions(new.mode)?;
        inode.set_uid(new.uid)?;
        inode.set_gid(new.gid)?;
        inode.set_link_count(if is_directory { 2 } else { 1 })?;
        for which in [Time::Access, Time::Change, Time::Modify, Time::Create] {
            inode.set_time(which, self.clock)?;
        }
        // Different for every inode and every edit, without chance: file handles of NFS need that.
        let seed = crc32c_raw(number.0, &superblock.uuid.0);
        let seed = crc32c_raw(seed, &self.clock.seconds.to_le_bytes());
        inode.set_generation(crc32c_raw(seed, &self.clock.nanoseconds.to_le_bytes()))?;
        let mut flags = parent.flags() & flag::INHERITED;
        if !is_directory {
            flags &= !flag::ONLY_DIRECTORY;
        }
        inode.set_flags(flags)?;
        if parent.has_flag(flag::PROJINHERIT) {
            inode.set_project(parent.project())?;
        }
        self.volume.put_empty_map(&mut inode)?;
        Ok(inode)
    }

    /// Counts one more subdirectory. A directory with too many counts 1 from then on, by `dir_nlink`.
    pub(super) fn add_subdirectory(&self, parent: &mut Inode) -> Result<()> {
        let links = parent.link_count();
        let features = self.volume.superblock().features;
        let may_overflow =
            features.has_ro_compat(ro_compat::DIR_NLINK) && parent.has_flag(flag::INDEX);
        if links == 1 && may_overflow {
            return Ok(());
        }
        if links < LINKS_MAX {
            return parent.set_link_count(links.saturating_add(1));
        }
        if may_overflow {
            return parent.set_link_count(1);
        }
        let what = format!("number of subdirectories of {}", parent.number);
        Err(Error::limit(what, LINKS_MAX.into(), u64::from(links).saturating_add(1)))
    }

    fn insert_name(
        &mut self,
        parent: &mut Inode,
        name: &[u8],
        number: InodeNumber,
        kind: NodeKind,
    ) -> Result<()> {
        if parent.has_flag(flag::INLINE_DATA) {
            let format = format(&self.volume, parent);
            let mut inline = read_inline(parent)?;
            if inline.insert(&format, name, number.0, kind)? {
                parent.put_inline_parts(&inline.i_block, &inline.rest)?;
                return Ok(());
            }
            let block = inline.to_block(&format)?;
            self.volume.leave_inline(parent)?;
            parent.set_size_bytes(0)?;
            InodeBlocks::edit(&mut self.volume, parent)?.append(&block)?;
        }
        let mut blocks = InodeBlocks::edit(&mut self.volume, parent)?;
        directory::insert(&mut blocks, name, number.0, kind)
    }

    fn take_name(&mut self, parent: &mut Inode, name: &[u8]) -> Result<()> {
        if !parent.has_flag(flag::INLINE_DATA) {
            let mut blocks = InodeBlocks::edit(&mut self.volume, parent)?;
            directory::remove(&mut blocks, name)?;
            return Ok(());
        }
        let format = format(&self.volume, parent);
        let mut inline = read_inline(parent)?;
        inline.remove(&format, name)?;
        parent.put_inline_parts(&inline.i_block, &inline.rest)?;
        Ok(())
    }

    /// Stores a directory whose names changed.
    fn finish_directory(&mut self, mut parent: Inode, before: Charge) -> Result<()> {
        parent.set_time(Time::Change, self.clock)?;
        parent.set_time(Time::Modify, self.clock)?;
        self.volume.store_inode(&mut parent)?;
        self.volume.recharge(Some(before), Some(Charge::of(&parent)?))
    }

    /// Removes a name, and the inode with its last one.
    pub(super) fn remove_name(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let mut parent = self.editable_directory(directory)?;
        let Some(number) = self.volume.find_entry(&parent, name)? else {
            return Err(entry_name::missing(name));
        };
        let mut inode = self.volume.read_inode(InodeNumber(number))?;
        match inode.kind()? {
            NodeKind::File | NodeKind::Symlink => check_editable(&inode)?,
            kind => return Err(unsuitable(&inode, format!("is a {kind}, and cannot be removed"))),
        }
        self.claim(&mut inode)?;
        let parent_before = Charge::of(&parent)?;
        self.take_name(&mut parent, name)?;
        self.finish_directory(parent, parent_before)?;
        inode.set_time(Time::Change, self.clock)?;
        match inode.link_count() {
            0 => Err(needs_check(format!("{} has a name, but counts none", inode.number))),
            1 => self.delete(inode),
            links => {
                inode.set_link_count(links.saturating_sub(1))?;
                self.volume.store_inode(&mut inode)
            }
        }
    }

    /// Gives back an inode without names, and everything it holds.
    fn delete(&mut self, mut inode: Inode) -> Result<()> {
        let before = Charge::of(&inode)?;
        check_no_value_inodes(&inode, &inode.attributes_inside()?)?;
        let is_in_inode = inode.has_flag(flag::INLINE_DATA)
            || (inode.kind()? == NodeKind::Symlink && self.volume.is_fast_link(&inode)?);
        if !is_in_inode {
            let what = format!("data of {}", inode.number);
            // Cutting at 0 leaves no partial block to be cleared.
            self.volume.cut_content(&mut inode, 0, &what)?;
        }
        self.volume.release_attribute_block(&mut inode)?;
        inode.set_size_bytes(0)?;
        inode.set_link_count(0)?;
        inode.set_deleted(self.clock)?;
        self.volume.store_inode(&mut inode)?;
        self.volume.free_inode(inode.number)?;
        self.volume.recharge(Some(before), None)
    }
}
