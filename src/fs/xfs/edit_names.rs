//! Creating and removing files and directories.

use super::attribute::edit::Change;
use super::attribute::parent::ParentPointer;
use super::directory::{self, NewEntry};
use super::edit::check_editable;
use super::feature::incompat;
use super::fork_blocks;
use super::inode::{ForkFormat, ForkKind, Inode, Time, flag};
use super::quota::Charge;
use super::units::InodeNumber;
use super::volume::Volume;
use super::{Xfs, unsuitable};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, Refusal, Result};
use crate::fs::{NewNode, NodeId, NodeKind, acl, entry_name};

/// Most names of an inode that XFS counts.
const LINKS_MAX: u32 = i32::MAX.unsigned_abs();

impl Xfs {
    /// The inode of a directory whose names may be edited.
    fn editable_directory(&self, node: NodeId) -> Result<Inode> {
        let inode = self.editable(node)?;
        inode.kind()?.check(NodeKind::Directory, inode.number)?;
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
        if self.volume.find_name(&parent, name)?.is_some() {
            return Err(entry_name::exists(name));
        }
        if parent.has_flag(flag::RTINHERIT) && kind == NodeKind::File {
            let feature = format!("the realtime device (files made in {})", parent.number);
            return Err(Refusal::NotWritable { feature }.into());
        }
        let parent_before = Charge::of(&parent);
        let mut inode = self.volume.allocate_inode(parent.number, kind)?;
        inode.set_permissions(new.mode)?;
        inode.set_uid(new.uid)?;
        inode.set_gid(new.gid)?;
        if kind == NodeKind::Directory {
            self.volume.put_empty_directory(&mut inode, parent.number)?;
            add_link(&mut parent)?;
        }
        let changes = self.first_attributes(&parent, name, new, kind)?;
        if !changes.is_empty() {
            self.volume.change_attributes(&mut inode, &changes)?;
        }
        if kind == NodeKind::File {
            self.put_content(&mut inode, content)?;
        }
        let number = inode.number;
        self.volume.insert_name(&mut parent, &NewEntry::new(name, number, kind))?;
        self.store_changed(inode, None, true)?;
        self.store_changed(parent, Some(parent_before), true)?;
        Ok(NodeId(number.0))
    }

    /// The attributes that a new node starts with: its own, inherited lists, and where its name is.
    fn first_attributes(
        &self,
        parent: &Inode,
        name: &[u8],
        new: &NewNode,
        kind: NodeKind,
    ) -> Result<Vec<Change>> {
        let inherited = match self.volume.xattr(parent, acl::DEFAULT_NAME)? {
            Some(default) => {
                acl::inherited(&default, kind, new.mode).context(|| parent.number.to_string())?
            }
            None => Vec::new(),
        };
        let mut changes = Vec::new();
        changes.extend(self.volume.parent_pointer(parent, name).map(Change::Set));
        for xattr in acl::join(&new.xattrs, inherited) {
            changes.push(Change::xattr(&xattr.name, Some(&xattr.value))?);
        }
        Ok(changes)
    }

    /// Removes a name, and the inode with its last one.
    pub(super) fn remove_name(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let mut parent = self.editable_directory(directory)?;
        let Some(entry) = self.volume.find_name(&parent, name)? else {
            return Err(entry_name::missing(name));
        };
        let mut inode = self.volume.load_inode(entry.inode)?;
        match inode.kind()? {
            NodeKind::File | NodeKind::Symlink => check_editable(&inode)?,
            kind => return Err(unsuitable(&inode, format!("is a {kind}, and cannot be removed"))),
        }
        self.volume.check_claim(&inode)?;
        let (parent_before, before) = (Charge::of(&parent), Charge::of(&inode));
        let removed = self.volume.take_name(&mut parent, name)?;
        let links = inode.link_count().saturating_sub(1);
        inode.set_link_count(links)?;
        if links == 0 {
            self.volume.delete(&mut inode)?;
            self.volume.recharge(Some(before), None)?;
        } else {
            let pointer = self.volume.parent_pointer(&parent, &removed.name);
            if let Some(pointer) = pointer {
                self.volume.change_attributes(&mut inode, &[Change::Remove(pointer)])?;
            }
            self.store_changed(inode, Some(before), false)?;
        }
        self.store_changed(parent, Some(parent_before), true)
    }
}

impl Volume {
    /// The attribute that says that `parent` has `name`, where the volume has such attributes.
    fn parent_pointer(&self, parent: &Inode, name: &[u8]) -> Option<super::attribute::Attribute> {
        self.superblock().features.has_incompat(incompat::PARENT).then(|| {
            let (inode, generation) = (parent.number, parent.generation());
            ParentPointer { inode, generation, name: name.to_vec() }.to_attribute()
        })
    }

    fn put_empty_directory(&self, inode: &mut Inode, parent: InodeNumber) -> Result<()> {
        let format = fork_blocks::format(self, inode, ForkKind::Data)?;
        let bytes = directory::empty_short(&format, parent)?;
        inode.set_format(ForkKind::Data, ForkFormat::Local)?;
        inode.put_fork(ForkKind::Data, &bytes)?;
        inode.set_size_bytes(len_u64(bytes.len()))
    }

    /// Gives back an inode without names, and everything it holds.
    fn delete(&mut self, inode: &mut Inode) -> Result<()> {
        self.free_fork(inode, ForkKind::Data)?;
        if inode.has_attribute_fork() {
            self.free_fork(inode, ForkKind::Attribute)?;
        }
        inode.set_size_bytes(0)?;
        inode.set_time(Time::Change, self.clock())?;
        self.free_inode(inode)
    }

    /// Deletes a file that was still open when the machine crashed, as the kernel does after its replay.
    ///
    /// # Errors
    /// `Corrupt`; `Refused` if the inode is not what an unlinked list may hold.
    pub(super) fn finish_deleted(&mut self, number: InodeNumber) -> Result<()> {
        let mut inode = self.load_inode(number)?;
        check_editable(&inode)?;
        if inode.link_count() != 0 {
            let detail = format!("{number} has names, but is on a list of deleted files");
            return Err(Refusal::NeedsCheck { detail }.into());
        }
        let before = Charge::of(&inode);
        self.remove_unlinked(&mut inode)?;
        self.delete(&mut inode)?;
        self.recharge(Some(before), None)
    }
}

/// Counts one more subdirectory.
fn add_link(parent: &mut Inode) -> Result<()> {
    let links = parent.link_count();
    if links >= LINKS_MAX {
        let what = format!("number of subdirectories of {}", parent.number);
        let actual = u64::from(links).saturating_add(1);
        return Err(Error::limit(what, LINKS_MAX.into(), actual));
    }
    parent.set_link_count(links.saturating_add(1))
}
