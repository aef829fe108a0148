//! Editing: every change goes to the member that holds the node, if that member can be edited.

use super::{Inside, Member, Mounted};
use crate::bytes::text::escape_limited;
use crate::error::{Context as _, Error, Refusal, Result};
use crate::fs::{FileEdit, FileSystem, MetadataChange, NewNode, NodeId};

impl Mounted {
    /// Lets `edit` change the member that holds `node`, which counts as edited from then on.
    fn change<T>(
        &mut self,
        node: NodeId,
        edit: impl FnOnce(&mut Member, NodeId) -> Result<T>,
    ) -> Result<T> {
        let Inside { member: index, node } = self.ids.inside(node)?;
        let member = self
            .members
            .get_mut(index)
            .ok_or_else(|| Error::not_found("no such part of the tree"))?;
        let run = || {
            if !member.is_edited {
                member.part.fs.check_writable()?;
                member.is_edited = true;
            }
            edit(member, node)
        };
        let done = run();
        if index == 0 { done } else { done.context(|| self.name_of(index)) }
    }

    fn name_of(&self, index: usize) -> String {
        self.member(index).map(|member| member.part.name.clone()).unwrap_or_default()
    }

    fn made(&self, directory: NodeId, node: NodeId) -> Result<NodeId> {
        let Inside { member, .. } = self.ids.inside(directory)?;
        self.outside(Inside { member, node })
    }
}

impl FileEdit for Mounted {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        self.change(node, |member, node| member.part.fs.append(node, bytes))
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        self.change(node, |member, node| member.part.fs.replace(node, content))
    }

    fn overwrite(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        self.change(node, |member, node| member.part.fs.overwrite(node, offset_bytes, bytes))
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        let made = self.change(directory, |member, directory| {
            member.part.fs.create_file(directory, name, new, content)
        })?;
        self.made(directory, made)
    }

    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        let made = self.change(directory, |member, directory| {
            member.part.fs.create_directory(directory, name, new)
        })?;
        self.made(directory, made)
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        let Inside { member, node } = self.ids.inside(directory)?;
        if let Some(child) = self.member(member)?.part.fs.lookup(node, name)?
            && self.over.contains_key(&Inside { member, node: child })
        {
            let (path, reason) = (escape_limited(name, 255), "is a mount point".to_owned());
            return Err(Refusal::UnsuitableFile { path, reason }.into());
        }
        self.change(directory, |member, directory| member.part.fs.remove(directory, name))
    }

    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        self.change(node, |member, node| member.part.fs.set_metadata(node, change))
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.change(node, |member, node| member.part.fs.set_xattr(node, name, value))
    }

    /// Finishes every file system that was edited, once.
    fn finish(&mut self) -> Result<()> {
        for index in 0..self.members.len() {
            let (before, rest) = self.members.split_at_mut(index);
            let Some(member) = rest.first_mut().filter(|member| member.is_edited) else { continue };
            let is_done =
                |other: &Member| other.is_edited && other.part.fs.is_same(&member.part.fs);
            if !before.iter().any(is_done) {
                let done = member.part.fs.finish();
                if index == 0 { done } else { done.context(|| member.part.name.clone()) }?;
            }
        }
        Ok(())
    }
}
