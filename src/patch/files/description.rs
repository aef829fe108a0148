//! The part of a patch of a directory that is for people, and what identifies the directory.
//!
//! JSON with the rules of [`description`](crate::patch::description): fields are added, never removed.

use crate::error::Result;
use crate::patch::FileNote;
use crate::patch::description::{clean, compare};
use serde::{Deserialize, Serialize};

/// What a patch of a directory is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesDescription {
    /// Version of the program that made the patch.
    pub regain_version: String,
    /// When it was made, RFC 3339 in UTC.
    pub created: String,
    /// The command that made it, as in "key add".
    pub command: String,
    /// What it was made for.
    pub directory: DirectoryIdentity,
    /// The files that it edits.
    #[serde(default)]
    pub files: Vec<FileNote>,
}

/// What identifies a directory, besides what is in it before the edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryIdentity {
    /// Type of the file system, as in "ext4".
    pub file_system: String,
    /// Its UUID, where the host knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// What `/etc/machine-id` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
}

impl FilesDescription {
    /// The same description with every text made safe for a terminal.
    pub(super) fn cleaned(self) -> Self {
        let Self { regain_version, created, command, directory, files } = self;
        let DirectoryIdentity { file_system, uuid, machine_id } = directory;
        Self {
            regain_version: clean(&regain_version),
            created: clean(&created),
            command: clean(&command),
            directory: DirectoryIdentity {
                file_system: clean(&file_system),
                uuid: uuid.as_deref().map(clean),
                machine_id: machine_id.as_deref().map(clean),
            },
            files: files.into_iter().map(FileNote::cleaned).collect(),
        }
    }
}

impl DirectoryIdentity {
    /// Compares with what was found. What is not known on either side is not compared; the type of the file system is no
    /// part of it, because a tree may be copied to another one.
    ///
    /// # Errors
    /// `Mismatch`, naming the first difference.
    pub fn check(&self, found: &Self) -> Result<()> {
        compare("machine-id", self.machine_id.clone(), found.machine_id.clone())?;
        compare("UUID of the file system", self.uuid.clone(), found.uuid.clone())
    }
}
