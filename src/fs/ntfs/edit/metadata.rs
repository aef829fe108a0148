//! Times and security descriptors of what exists.

use super::super::attribute::AttributeKind;
use super::super::standard_information::file_time;
use super::Editor;
use super::file::EditedFile;
use super::information::Time;
use super::names::unsuitable;
use crate::bytes::text;
use crate::error::{Refusal, Result};
use crate::fs::{MetadataChange, NTFS_ACL_NAME, NodeId};

/// What every node of an NTFS volume shows as its mode, owner and group.
const SHOWN_MODE: u32 = 0o777;

impl Editor<'_> {
    /// Changes times. Mode, owner and group do not exist and must stay as they are shown.
    ///
    /// # Errors
    /// `Refused`, and as in [`super`].
    pub(super) fn set_metadata(&mut self, node: NodeId, change: &MetadataChange) -> Result<()> {
        let mut file = self.editable(node)?;
        let refused = change.mode.is_some_and(|mode| mode != SHOWN_MODE)
            || change.uid.is_some_and(|uid| uid != 0)
            || change.gid.is_some_and(|gid| gid != 0);
        if refused {
            return Err(unsuitable(
                &file,
                "is on NTFS, which has no mode, owner and group of Unix",
            ));
        }
        if let Some(accessed) = change.accessed {
            file.set_time(Time::Accessed, file_time(accessed))?;
        }
        if let Some(modified) = change.modified {
            file.set_time(Time::Modified, file_time(modified))?;
        }
        self.store_metadata(file)
    }

    /// Sets the security descriptor.
    ///
    /// # Errors
    /// `Refused` for any other extended attribute or its removal, and as in [`super`].
    pub(super) fn set_xattr(
        &mut self,
        node: NodeId,
        name: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let (NTFS_ACL_NAME, Some(descriptor)) = (name, value) else {
            let feature = format!("the extended attribute {} on NTFS", text::escape(name));
            return Err(Refusal::NotWritable { feature }.into());
        };
        let mut file = self.editable(node)?;
        let plain = self.volume.load_file(file.number())?;
        if self.volume.security_descriptor(&plain)?.as_deref() == Some(descriptor) {
            return Ok(());
        }
        let kind = AttributeKind::SECURITY_DESCRIPTOR;
        if let Some(id) = self.volume.find_descriptor(descriptor)? {
            file.set_security_id(self, id)?;
            file.remove_stream(self, kind, &[])?;
        } else {
            file.put_value(self, kind, &[], descriptor)?;
            file.set_security_id(self, 0)?;
        }
        self.store_metadata(file)
    }

    fn store_metadata(&mut self, mut file: EditedFile) -> Result<()> {
        file.set_time(Time::Changed, self.now())?;
        file.store(self)?;
        self.refresh_names(&file)
    }
}
