//! What is on the disk, whatever was edited.

use super::{Tree, is_same_name, node_kind, timestamp};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, Refusal, Result};
use crate::fs::path::GuestPath;
use crate::fs::{Metadata, NTFS_ACL_NAME, NodeFlags, NodeId, Xattr};
use crate::image::directory::handle::Handle;
use crate::image::directory::stat::{Kind, Stat};

/// Bound on the target of a symbolic link in bytes.
const LINK_BYTES_MAX: u64 = 4096;

/// What every object on NTFS may be used for, as our own NTFS reader has it.
const NTFS_MODE: u32 = 0o777;

impl Tree {
    /// The node on the disk with `name` in `directory`, whatever was edited, and the name as it is stored.
    pub(super) fn lookup_on_disk(
        &self,
        directory: NodeId,
        name: &[u8],
    ) -> Result<Option<(Vec<u8>, NodeId)>> {
        if self.layer.is_new(directory) {
            return Ok(None);
        }
        let handle = self.handle(directory)?;
        let below = || GuestPath::new(self.path_bytes(directory)).join(name).to_string();
        if let Some(child) = self.directory.child(&handle, name).context(below)? {
            return Ok(Some((name.to_vec(), self.nodes.intern(directory, name, child)?)));
        }
        if !self.is_ntfs() || handle.stat.kind != Kind::Directory {
            return Ok(None);
        }
        let mut stored = None;
        self.directory.names(&handle, &mut |other| {
            if is_same_name(other, name) {
                stored = Some(other.to_vec());
            }
            Ok(stored.is_none())
        })?;
        let Some(stored) = stored else { return Ok(None) };
        let Some(child) = self.directory.child(&handle, &stored).context(below)? else {
            return Ok(None);
        };
        let node = self.nodes.intern(directory, &stored, child)?;
        Ok(Some((stored, node)))
    }

    pub(super) fn metadata_on_disk(&self, node: NodeId) -> Result<Metadata> {
        let stat = self.handle(node)?.stat_now().context(|| self.path(node))?;
        Ok(self.metadata_of(&stat))
    }

    pub(super) fn metadata_of(&self, stat: &Stat) -> Metadata {
        let is_ntfs = self.is_ntfs();
        Metadata {
            kind: node_kind(stat.kind),
            mode: if is_ntfs { NTFS_MODE } else { stat.mode },
            uid: if is_ntfs { 0 } else { stat.uid },
            gid: if is_ntfs { 0 } else { stat.gid },
            size_bytes: stat.size_bytes,
            link_count: stat.link_count,
            accessed: timestamp(stat.accessed),
            modified: timestamp(stat.modified),
            changed: timestamp(stat.changed),
            flags: NodeFlags {
                is_immutable: stat.is_immutable,
                is_append_only: stat.is_append_only,
                is_encrypted: stat.is_encrypted,
                is_casefolded: false,
                is_verity: stat.is_verity,
            },
        }
    }

    /// The content on the disk.
    pub(super) fn read_on_disk(
        &self,
        node: NodeId,
        offset_bytes: u64,
        len: usize,
    ) -> Result<Vec<u8>> {
        let handle = self.handle(node)?;
        if handle.stat.kind != Kind::File {
            let reason = format!("is a {}, not a regular file", node_kind(handle.stat.kind));
            return Err(Refusal::UnsuitableFile { path: self.path(node), reason }.into());
        }
        self.check_entered(&handle, node)?;
        let read = || {
            self.nodes.check_unchanged(node, &handle.stat_now()?)?;
            handle.read_at(offset_bytes, len)
        };
        read().context(|| self.path(node))
    }

    /// Where a symbolic link leads.
    pub(super) fn link_on_disk(&self, node: NodeId) -> Result<Vec<u8>> {
        let handle = self.handle(node)?;
        if handle.stat.kind != Kind::Symlink {
            let reason = format!("is a {}, not a symbolic link", node_kind(handle.stat.kind));
            return Err(Refusal::UnsuitableFile { path: self.path(node), reason }.into());
        }
        let target = handle.link_target().context(|| self.path(node))?;
        let len_bytes = len_u64(target.len());
        if len_bytes > LINK_BYTES_MAX {
            let what = "length of a symbolic link in bytes";
            return Err(Error::limit(what, LINK_BYTES_MAX, len_bytes));
        }
        // ntfs-3g gives the targets of junctions as paths of the host.
        Ok(if self.is_ntfs() { self.directory.inside(target) } else { target })
    }

    /// Refuses files on mounts that are not entered.
    pub(super) fn check_entered(&self, handle: &Handle, node: NodeId) -> Result<()> {
        let Some(reason) = handle.standing.reason() else { return Ok(()) };
        let (path, reason) = (self.path(node), format!("is on {reason}: not entered"));
        Err(Refusal::UnsuitableFile { path, reason }.into())
    }

    pub(super) fn xattrs_on_disk(&self, node: NodeId) -> Result<Vec<Xattr>> {
        let handle = self.handle(node)?;
        let mut xattrs = Vec::new();
        let mut collect = || -> Result<()> {
            for name in handle.xattr_names()? {
                if !(self.is_ntfs() && name.starts_with(b"system.")) {
                    let value = handle.xattr(&name)?;
                    xattrs.extend(value.map(|value| Xattr { name, value }));
                }
            }
            Ok(())
        };
        collect().context(|| self.path(node))?;
        Ok(xattrs)
    }

    pub(super) fn xattr_on_disk(&self, node: NodeId, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let name = match self.directory.ntfs_acl_name() {
            Some(host_name) if name == NTFS_ACL_NAME => host_name.as_bytes(),
            // ntfs-3g has lists of Unix too, made from the descriptor.
            Some(_) if name.starts_with(b"system.") => return Ok(None),
            _ => name,
        };
        self.handle(node)?.xattr(name).context(|| self.path(node))
    }
}
