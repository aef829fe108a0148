//! Reading: every answer is that of the member that holds the node.

use super::{Inside, Member, Mounted};
use crate::error::{Context as _, Error, Result};
use crate::fs::{
    DirectoryEntry, FileSystem, Health, Identity, Metadata, MountPoint, NodeId, Subvolume, Xattr,
};
use std::ops::ControlFlow;

impl Mounted {
    /// Asks the member that holds `node`; errors name its volume, unless it is the root.
    fn ask<T>(
        &self,
        node: NodeId,
        question: impl FnOnce(&Member, NodeId) -> Result<T>,
    ) -> Result<T> {
        let Inside { member: index, node } = self.ids.inside(node)?;
        let member = self.member(index)?;
        let answer = question(member, node);
        if index == 0 { answer } else { answer.context(|| member.part.name.clone()) }
    }

    fn root_member(&self) -> Option<&Member> {
        self.members.first()
    }

    /// The number of a node that a member found below a directory.
    fn child(&self, directory: NodeId, node: NodeId) -> Result<NodeId> {
        let Inside { member, .. } = self.ids.inside(directory)?;
        self.outside(self.cross(Inside { member, node })?)
    }
}

impl FileSystem for Mounted {
    /// That of the root.
    fn identity(&self) -> Identity {
        self.root_member().map_or_else(
            || Identity { type_name: "", uuid: String::new(), label: Vec::new() },
            |member| member.part.fs.identity(),
        )
    }

    /// That of the root.
    fn health(&self) -> Health {
        self.root_member().map_or(Health::Errors, |member| member.part.fs.health())
    }

    /// Those of the root.
    fn warnings(&self) -> &[String] {
        self.root_member().map_or(&[], |member| member.part.fs.warnings())
    }

    /// The reason of the root, if no member can be edited. Each edit asks its own member.
    fn check_writable(&self) -> Result<()> {
        let is_writable = |member: &Member| member.part.fs.check_writable().is_ok();
        if self.members.iter().any(is_writable) {
            return Ok(());
        }
        let root = self.root_member().ok_or_else(|| Error::not_found("root directory"))?;
        root.part.fs.check_writable()
    }

    fn root(&self) -> NodeId {
        let root = || {
            let member = self.member(0)?;
            self.outside(self.cross(Inside { member: 0, node: member.root })?)
        };
        root().unwrap_or(NodeId(0))
    }

    fn subvolumes(&self) -> Result<Vec<Subvolume>> {
        Ok(Vec::new())
    }

    fn mount_points(&self) -> &[MountPoint] {
        &self.points
    }

    fn lookup(&self, directory: NodeId, name: &[u8]) -> Result<Option<NodeId>> {
        let found = self.ask(directory, |member, node| member.part.fs.lookup(node, name))?;
        found.map(|node| self.child(directory, node)).transpose()
    }

    fn read_dir(
        &self,
        directory: NodeId,
        visit: &mut dyn FnMut(DirectoryEntry) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.ask(directory, |member, node| {
            member.part.fs.read_dir(node, &mut |entry| {
                let node = self.child(directory, entry.node)?;
                visit(DirectoryEntry { node, ..entry })
            })
        })
    }

    fn metadata(&self, node: NodeId) -> Result<Metadata> {
        self.ask(node, |member, node| member.part.fs.metadata(node))
    }

    fn read_at(&self, node: NodeId, offset_bytes: u64, len: usize) -> Result<Vec<u8>> {
        self.ask(node, |member, node| member.part.fs.read_at(node, offset_bytes, len))
    }

    fn read_link(&self, node: NodeId) -> Result<Vec<u8>> {
        self.ask(node, |member, node| member.part.fs.read_link(node))
    }

    fn xattrs(&self, node: NodeId) -> Result<Vec<Xattr>> {
        self.ask(node, |member, node| member.part.fs.xattrs(node))
    }

    fn xattr(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        self.ask(node, |member, node| member.part.fs.xattr(node, name))
    }

    fn read(&self, node: NodeId, limit_bytes: u64) -> Result<Vec<u8>> {
        self.ask(node, |member, node| member.part.fs.read(node, limit_bytes))
    }
}
