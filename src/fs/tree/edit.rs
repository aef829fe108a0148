//! The edits, made in memory.

use super::layer::{Draft, Edited};
use super::{Tree, node_kind, time};
use crate::bytes::arith::{self, len_u64};
use crate::error::{Context as _, Error, Refusal, Result};
use crate::fs::{
    FILE_BYTES_MAX, FileEdit, FileSystem, Metadata, MetadataChange, NTFS_ACL_NAME, NewNode, NodeId,
    NodeKind, Xattr, acl, entry_name,
};
use crate::image::directory::handle::Handle;
use crate::image::directory::record::{Content, Side};
use crate::image::directory::stat::Kind;

/// Size in bytes above which a file is not replaced as a whole to append to it.
const WHOLE_BYTES_MAX: u64 = 1024 * 1024;

/// Longest name of an entry on NTFS, in bytes: 255 units of UTF-16.
const NTFS_NAME_BYTES_MAX: usize = 765;

impl Tree {
    fn unsuitable(&self, node: NodeId, reason: impl Into<String>) -> Error {
        Refusal::UnsuitableFile { path: self.path(node), reason: reason.into() }.into()
    }

    /// Refuses what must stay as it is, whatever the edit.
    fn check_editable(&self, node: NodeId, handle: &Handle) -> Result<()> {
        let path = || self.path(node);
        self.check_entered(handle, node)?;
        self.directory.check_mounted_writable(handle, path)?;
        let stat = &handle.stat;
        if stat.is_immutable {
            return Err(Refusal::ProtectedFile { path: path(), flag: "immutable" }.into());
        }
        if stat.is_append_only {
            return Err(Refusal::ProtectedFile { path: path(), flag: "append-only" }.into());
        }
        if stat.is_verity {
            return Err(self.unsuitable(node, "is protected by fs-verity"));
        }
        if stat.is_encrypted {
            // Without its key there are no names, with it a copy belongs to another policy.
            return Err(Refusal::Encrypted { what: path() }.into());
        }
        // On NTFS the 8.3 name counts, and every name is on this volume: what it is changed by is changed in place.
        if stat.kind != Kind::Directory && stat.link_count > 1 && !self.is_ntfs() {
            let names = stat.link_count;
            let reason = format!(
                "has {names} names, and the others may lie outside the target: give it a content of its own \
                 first (cp -a FILE COPY && mv COPY FILE)"
            );
            return Err(self.unsuitable(node, reason));
        }
        Ok(())
    }

    /// Refuses a directory in which no name may come or go.
    fn check_directory(&self, directory: NodeId) -> Result<()> {
        self.directory.check_writable()?;
        if self.metadata(directory)?.kind != NodeKind::Directory {
            return Err(self.unsuitable(directory, "is not a directory"));
        }
        if self.layer.is_new(directory) {
            return Ok(());
        }
        let handle = self.handle(directory)?;
        self.check_editable(directory, &handle)?;
        handle.check_writable().context(|| format!("writing into {}", self.path(directory)))
    }

    /// The draft of an object on the disk, begun if this is its first edit.
    fn draft(&mut self, node: NodeId) -> Result<&mut Draft> {
        if self.layer.draft(node).is_none() {
            let draft = self.new_draft(node)?;
            self.layer.begin(node, draft);
        }
        self.layer.draft_mut(node).ok_or_else(|| Error::not_found("the edited file"))
    }

    fn new_draft(&self, node: NodeId) -> Result<Draft> {
        self.directory.check_writable()?;
        let handle = self.handle(node)?;
        if !matches!(handle.stat.kind, Kind::File | Kind::Directory) {
            return Err(self.unsuitable(node, format!("is a {}", node_kind(handle.stat.kind))));
        }
        self.check_editable(node, &handle)?;
        let stat = handle.stat_now()?;
        if stat.kind == Kind::File {
            self.nodes.check_unchanged(node, &stat).context(|| self.path(node))?;
        }
        let metadata = self.metadata_of(&stat);
        let xattrs = self.xattrs_on_disk(node)?;
        let before = Some(side(&metadata, &xattrs, Content::Same));
        Ok(Draft { metadata, xattrs, content: Edited::Same, before, place: None })
    }

    /// The draft of a file whose content may be changed.
    fn file_draft(&mut self, node: NodeId) -> Result<&mut Draft> {
        let kind = self.metadata(node)?.kind;
        if kind != NodeKind::File {
            return Err(self.unsuitable(node, format!("is a {kind}, not a regular file")));
        }
        if !self.layer.is_new(node) && !self.is_ntfs() {
            // It is replaced by name.
            let (directory, _) =
                self.nodes.place(node).ok_or_else(|| Error::not_found("its directory"))?;
            self.check_directory(directory)?;
        }
        self.draft(node)
    }

    fn touch(&mut self, node: NodeId, has_new_content: bool) -> Result<()> {
        let clock = self.clock;
        let draft = self.draft(node)?;
        draft.metadata.changed = clock;
        if has_new_content {
            draft.metadata.modified = clock;
        }
        Ok(())
    }

    /// Writes into a file piece by piece.
    fn write_pieces(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let mut draft = self.file_draft(node)?.clone();
        let base = |offset_bytes, len| match draft.before {
            Some(_) => self.read_on_disk(node, offset_bytes, len),
            None => Ok(Vec::new()),
        };
        let mut edited = draft.clone();
        edited.write_at(offset_bytes, bytes, &base)?;
        draft = edited;
        *self.draft(node)? = draft;
        self.touch(node, true)
    }

    fn create(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: Option<&[u8]>,
    ) -> Result<NodeId> {
        self.check_name(name)?;
        self.check_directory(directory)?;
        if self.find(directory, name)?.is_some() {
            return Err(entry_name::exists(name));
        }
        let kind = if content.is_some() { NodeKind::File } else { NodeKind::Directory };
        let list = self.xattr(directory, acl::DEFAULT_NAME)?;
        let inherited = list.map(|list| acl::inherited(&list, kind, new.mode)).transpose()?;
        let size_bytes = len_u64(content.unwrap_or_default().len());
        let mut draft = Draft {
            metadata: new.metadata(kind, size_bytes, self.clock),
            xattrs: acl::join(&new.xattrs, inherited.unwrap_or_default()),
            content: content.map_or(Edited::Same, |content| Edited::Whole(content.to_vec())),
            before: None,
            place: Some((directory, name.to_vec())),
        };
        if self.is_ntfs() && draft.xattrs.iter().all(|xattr| xattr.name != NTFS_ACL_NAME) {
            // The drivers would make a descriptor out of a mode: who may use the directory may use what is in it.
            let value = self.xattr(directory, NTFS_ACL_NAME)?;
            draft.xattrs.extend(value.map(|value| Xattr { name: NTFS_ACL_NAME.to_vec(), value }));
        }
        let node = self.nodes.fresh();
        self.layer.begin(node, draft);
        self.layer.names.insert((directory, name.to_vec()), Some(node));
        Ok(node)
    }

    /// Takes the security descriptor of a file on the disk into what is known of it before the edit.
    fn note_descriptor(&mut self, node: NodeId) -> Result<()> {
        let Some(value) = self.xattr(node, NTFS_ACL_NAME)? else {
            return Err(self.unsuitable(node, "has no security descriptor"));
        };
        let before = &mut self.draft(node)?.before;
        let known = before.as_mut().map(|before| &mut before.xattrs);
        if let Some(known) =
            known.filter(|known| known.iter().all(|(name, _)| name != NTFS_ACL_NAME))
        {
            known.push((NTFS_ACL_NAME.to_vec(), value));
            known.sort();
        }
        Ok(())
    }

    fn check_name(&self, name: &[u8]) -> Result<()> {
        if self.is_ntfs() && name.len() > 255 && name.len() <= NTFS_NAME_BYTES_MAX {
            return Ok(());
        }
        entry_name::check(name)
    }
}

/// One side of an edit of an object.
pub(super) fn side(metadata: &Metadata, xattrs: &[Xattr], content: Content) -> Side {
    let mut xattrs: Vec<(Vec<u8>, Vec<u8>)> =
        xattrs.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone())).collect();
    xattrs.sort();
    let kind = match metadata.kind {
        NodeKind::Directory => Kind::Directory,
        NodeKind::Symlink => Kind::Symlink,
        _ => Kind::File,
    };
    let Metadata { mode, uid, gid, modified, .. } = *metadata;
    Side { kind, mode, uid, gid, modified: time(modified), xattrs, content }
}

impl FileEdit for Tree {
    fn as_file_system(&self) -> &dyn FileSystem {
        self
    }

    fn append(&mut self, node: NodeId, bytes: &[u8]) -> Result<()> {
        let size_bytes = self.metadata(node)?.size_bytes;
        let is_in_pieces =
            matches!(self.layer.draft(node), Some(Draft { content: Edited::Units(_), .. }));
        if is_in_pieces || size_bytes > WHOLE_BYTES_MAX {
            return self.write_pieces(node, size_bytes, bytes);
        }
        let mut content = self.read(node, WHOLE_BYTES_MAX)?;
        content.extend_from_slice(bytes);
        self.replace(node, &content)
    }

    fn replace(&mut self, node: NodeId, content: &[u8]) -> Result<()> {
        let size_bytes = self.metadata(node)?.size_bytes;
        if size_bytes > FILE_BYTES_MAX {
            let what = format!("size of {} in bytes", self.path(node));
            return Err(Error::limit(what, FILE_BYTES_MAX, size_bytes));
        }
        let draft = self.file_draft(node)?;
        draft.content = Edited::Whole(content.to_vec());
        draft.metadata.size_bytes = len_u64(content.len());
        self.touch(node, true)
    }

    fn overwrite(&mut self, node: NodeId, offset_bytes: u64, bytes: &[u8]) -> Result<()> {
        let size_bytes = self.metadata(node)?.size_bytes;
        if arith::add(offset_bytes, len_u64(bytes.len()))? > size_bytes {
            return Err(self.unsuitable(node, "ends before the bytes that were to be overwritten"));
        }
        self.write_pieces(node, offset_bytes, bytes)
    }

    fn create_file(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: &[u8],
    ) -> Result<NodeId> {
        self.create(directory, name, new, Some(content))
    }

    fn create_directory(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
    ) -> Result<NodeId> {
        self.create(directory, name, new, None)
    }

    fn remove(&mut self, directory: NodeId, name: &[u8]) -> Result<()> {
        self.check_directory(directory)?;
        let found = self.find(directory, name)?;
        let (name, node) = found.ok_or_else(|| entry_name::missing(name))?;
        let kind = self.metadata(node)?.kind;
        if !matches!(kind, NodeKind::File | NodeKind::Symlink) {
            return Err(self.unsuitable(node, format!("is a {kind}, and cannot be removed")));
        }
        if self.layer.is_new(node) {
            self.layer.forget(node);
            if self.lookup_on_disk(directory, &name)?.is_none() {
                self.layer.names.remove(&(directory, name));
                return Ok(());
            }
        } else {
            let handle = self.handle(node)?;
            self.check_editable(node, &handle)?;
            self.layer.forget(node);
        }
        self.layer.names.insert((directory, name), None);
        Ok(())
    }

    fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        let is_ntfs = self.is_ntfs();
        let found = self.metadata(node)?;
        let MetadataChange { mode, uid, gid, accessed, modified } = *change;
        let is_other = |new: Option<u32>, old| new.is_some_and(|new| new != old);
        if is_ntfs
            && (is_other(mode, found.mode) || is_other(uid, found.uid) || is_other(gid, found.gid))
        {
            let reason = "is on NTFS, which has no mode, owner and group of Unix";
            return Err(self.unsuitable(node, reason));
        }
        let draft = self.draft(node)?;
        let metadata = &mut draft.metadata;
        metadata.uid = uid.unwrap_or(metadata.uid);
        metadata.gid = gid.unwrap_or(metadata.gid);
        metadata.accessed = accessed.unwrap_or(metadata.accessed);
        metadata.modified = modified.unwrap_or(metadata.modified);
        if let Some(mode) = mode {
            metadata.mode = mode;
            let is_list = |xattr: &Xattr| xattr.name == acl::ACCESS_NAME;
            if let Some(at) = draft.xattrs.iter().position(is_list) {
                let list = draft.xattrs.remove(at);
                let value = acl::with_mode(&list.value, mode)?;
                draft.xattrs.extend(value.map(|value| Xattr { value, ..list }));
            }
        }
        self.touch(node, false)
    }

    fn set_xattr(&mut self, node: NodeId, name: &[u8], value: Option<&[u8]>) -> Result<()> {
        // NTFS has a descriptor on every file, and nothing else; other file systems have everything else.
        let is_descriptor = name == NTFS_ACL_NAME && value.is_some();
        if self.is_ntfs() != is_descriptor {
            let name = crate::bytes::text::escape(name);
            let feature =
                format!("the attribute {name} on a mounted {}", self.identity().type_name);
            return Err(Refusal::NotWritable { feature }.into());
        }
        if is_descriptor {
            self.note_descriptor(node)?;
        }
        let draft = self.draft(node)?;
        draft.xattrs.retain(|xattr| xattr.name != name);
        let set = value.map(|value| Xattr { name: name.to_vec(), value: value.to_vec() });
        draft.xattrs.extend(set);
        self.touch(node, false)
    }
}
