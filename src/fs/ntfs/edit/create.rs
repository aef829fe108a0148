//! New files and directories.
//!
//! WIN-112, WIN-113. A new node gets a name that Windows can open, the archive bit if it is a file, and the security
//! descriptor of a sibling of the same kind, of its directory, or the one that the caller gives. A name that is no
//! 8.3 name has type POSIX, as those of both Linux drivers: ntfs-3g cannot remove one of type WIN32 without a twin.

use super::super::attribute::edit::{NewAttribute, NewBody};
use super::super::attribute::{AttributeKind, INDEX_NAME};
use super::super::file_name::{FileName, NameSpace};
use super::super::index::{Collation, IndexRoot};
use super::super::record::flag;
use super::super::standard_information::file_flag;
use super::Editor;
use super::file::EditedFile;
use super::information::new_information;
use super::names::{is_short_name, new_name};
use super::store::needs_check;
use crate::error::{Corrupt, Refusal, Result};
use crate::fs::{NTFS_ACL_NAME, NewNode, NodeId, entry_name};
use std::ops::ControlFlow;

/// Entries of a directory that are looked at for a sibling of the same kind.
const SIBLINGS_MAX: usize = 64;

/// How a new node gets its security descriptor.
enum Security {
    /// By its number in `$Secure`.
    Shared(u32),
    /// In its own record.
    Own(Vec<u8>),
}

impl Editor<'_> {
    /// Creates a file with `content`, or a directory without.
    ///
    /// # Errors
    /// `Refused` if the name exists or is none, and as in [`super`].
    pub(super) fn create(
        &mut self,
        directory: NodeId,
        name: &[u8],
        new: &NewNode,
        content: Option<&[u8]>,
    ) -> Result<NodeId> {
        let units = new_name(name)?;
        let mut parent = self.editable_directory(directory)?;
        if self.index_find_name(&mut parent, &units)?.is_some() {
            return Err(entry_name::exists(name));
        }
        let security = self.security_of(&mut parent, new, content.is_none())?;
        let mut record = self.allocate_record()?;
        record.header.flags = flag::IN_USE | if content.is_none() { flag::DIRECTORY } else { 0 };
        record.header.link_count = 1;
        let reference = record.reference();
        let mut file = EditedFile::new(record, self.volume);

        let flags = if content.is_some() { file_flag::ARCHIVE } else { 0 };
        let security_id = if let Security::Shared(id) = &security { *id } else { 0 };
        let information = new_information(self.now(), flags, security_id)?;
        file.put_resident(self, AttributeKind::STANDARD_INFORMATION, &[], &information)?;
        let space = if is_short_name(&units) { NameSpace::Win32AndDos } else { NameSpace::Posix };
        let mut file_name = FileName {
            parent: parent.base()?.reference(),
            created: 0,
            modified: 0,
            changed: 0,
            accessed: 0,
            allocated_bytes: 0,
            size_bytes: 0,
            flags: 0,
            extended: 0,
            name_space: space,
            name: units,
        };
        // The name comes first, as labels show it; its sizes follow when the content has its place.
        let part_value = file_name.encode()?;
        let body = NewBody::Resident { value: part_value, is_indexed: true };
        let kind = AttributeKind::FILE_NAME;
        file.place(self, &NewAttribute { kind, name: Vec::new(), flags: 0, body })?;
        if let Security::Own(descriptor) = &security {
            file.put_value(self, AttributeKind::SECURITY_DESCRIPTOR, &[], descriptor)?;
        }
        match content {
            Some(content) => {
                file.put_resident(self, AttributeKind::DATA, &[], &[])?;
                self.put_content(&mut file, content)?;
            }
            None => self.put_empty_index(&mut file)?,
        }
        file.copy_to_name(&mut file_name)?;
        let key = file_name.encode()?;
        file.put_resident(self, kind, &[], &key)?;
        file.store(self)?;

        if !self.index_insert(&mut parent, reference, &key)? {
            return Err(entry_name::exists(name));
        }
        self.touch_directory(&mut parent)?;
        parent.store(self)?;
        Ok(NodeId(reference.record.0))
    }

    fn put_empty_index(&mut self, file: &mut EditedFile) -> Result<()> {
        let geometry = file.geometry;
        let up_case = self.volume.up_case();
        let root = IndexRoot::empty(
            &Collation::FileName(up_case),
            geometry.index_record_size_bytes,
            geometry.cluster_size_bytes,
        );
        let value = root.and_then(|root| root.store());
        let value = value.map_err(|defect| Corrupt::new("boot sector", defect))?;
        file.put_resident(self, AttributeKind::INDEX_ROOT, &INDEX_NAME, &value)
    }

    fn security_of(
        &mut self,
        parent: &mut EditedFile,
        new: &NewNode,
        is_directory: bool,
    ) -> Result<Security> {
        if let Some(other) = new.xattrs.iter().find(|xattr| xattr.name != NTFS_ACL_NAME) {
            let feature = format!(
                "the extended attribute {} on NTFS",
                crate::bytes::text::escape(&other.name)
            );
            return Err(Refusal::NotWritable { feature }.into());
        }
        if let Some(acl) = new.xattrs.first() {
            return Ok(match self.volume.find_descriptor(&acl.value)? {
                Some(id) => Security::Shared(id),
                None => Security::Own(acl.value.clone()),
            });
        }
        if let Some(id) = self.sibling_security(parent, is_directory)? {
            return Ok(Security::Shared(id));
        }
        match parent.information()?.security_id {
            Some(id) => Ok(Security::Shared(id)),
            None => self.own_descriptor(parent).map(Security::Own),
        }
    }

    /// The descriptor that a file keeps in its own record.
    fn own_descriptor(&self, file: &EditedFile) -> Result<Vec<u8>> {
        let plain = self.volume.load_file(file.number())?;
        let missing = || needs_check(format!("{} has no security descriptor", file.label()));
        self.volume.security_descriptor(&plain)?.ok_or_else(missing)
    }

    /// The number of the descriptor of the first entry of the same kind that has one.
    fn sibling_security(&mut self, parent: &EditedFile, is_directory: bool) -> Result<Option<u32>> {
        let mut siblings = Vec::new();
        self.index_visit(parent, &mut |entry| {
            let name = entry.file_name()?;
            let is_same_kind = (name.flags & file_flag::DIRECTORY != 0) == is_directory;
            if is_same_kind && !entry.file().record.is_metadata() {
                siblings.push(entry.file());
            }
            let is_enough = siblings.len() >= SIBLINGS_MAX;
            Ok(if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        for sibling in siblings {
            let file = EditedFile::load_reference(self.volume, sibling)?;
            let id = file.information()?.security_id;
            if id.is_some() {
                return Ok(id);
            }
        }
        Ok(None)
    }
}
