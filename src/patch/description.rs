//! The part of a patch that is for people: what it is for, who made it, and which files it edits.
//!
//! Stored as JSON (RFC 8259), so that it can grow: a reader ignores fields it does not know and fills in the
//! optional ones that are missing. A field that is listed here is never removed and never changes its meaning.
//! Every text is free of control characters once it is part of a [`Patch`](super::Patch); a path that is not
//! UTF-8 is stored as [`escape`](crate::bytes::text::escape) gives it.

use crate::bytes::text;
use serde::{Deserialize, Serialize};

/// What a patch is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Version of the program that made the patch.
    pub regain_version: String,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The command that made it, as in "key add".
    pub command: String,
    /// What it was made for.
    pub identity: TargetIdentity,
    /// The files that it edits.
    #[serde(default)]
    pub files: Vec<FileNote>,
}

/// What identifies a target, besides the bytes before the edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetIdentity {
    /// Size of the disk in bytes.
    pub size_bytes: u64,
    /// Size of a logical sector in bytes.
    pub sector_size_bytes: u32,
    /// Disk GUID of the partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_guid: Option<String>,
    /// The edited file systems.
    #[serde(default)]
    pub volumes: Vec<VolumeIdentity>,
}

/// What identifies an edited file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeIdentity {
    /// The volume as the command line names it, as in "1".
    pub id: String,
    /// Where it starts on the disk.
    pub offset_bytes: u64,
    /// Its type, as in "ext4".
    pub file_system: String,
    /// Its UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// One edited file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNote {
    /// [`VolumeIdentity::id`] of the volume that holds it.
    pub volume: String,
    /// Guest path, escaped.
    pub path: String,
    /// What is done to it, as in "append".
    pub action: String,
    /// Details for people.
    #[serde(default)]
    pub detail: String,
}

impl Description {
    /// The same description with every text made safe for a terminal.
    pub(super) fn cleaned(self) -> Self {
        let Self { regain_version, created, command, identity, files } = self;
        Self {
            regain_version: clean(&regain_version),
            created: clean(&created),
            command: clean(&command),
            identity: identity.cleaned(),
            files: files.into_iter().map(FileNote::cleaned).collect(),
        }
    }
}

impl TargetIdentity {
    fn cleaned(mut self) -> Self {
        self.table_guid = self.table_guid.as_deref().map(clean);
        for volume in &mut self.volumes {
            volume.id = clean(&volume.id);
            volume.file_system = clean(&volume.file_system);
            volume.uuid = volume.uuid.as_deref().map(clean);
        }
        self
    }
}

impl FileNote {
    fn cleaned(self) -> Self {
        let Self { volume, path, action, detail } = self;
        Self {
            volume: clean(&volume),
            path: clean(&path),
            action: clean(&action),
            detail: clean(&detail),
        }
    }
}

/// Escapes like [`text::escape`], but leaves backslashes alone: the text may have been escaped before, and
/// cleaning twice must change nothing.
pub(super) fn clean(shown: &str) -> String {
    let parts: Vec<String> = shown.split('\\').map(|part| text::escape(part.as_bytes())).collect();
    parts.join("\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_escapes_once() {
        for (raw, expected) in [
            ("key add", "key add"),
            ("a\\x5cb", "a\\x5cb"),
            ("\u{1b}[2J\n", "\\x1b[2J\\x0a"),
            ("\\\u{202e}", "\\\\u{202e}"),
        ] {
            assert_eq!(clean(raw), expected);
            assert_eq!(clean(&clean(raw)), expected);
        }
    }
}
