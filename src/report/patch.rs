//! Results of `show`, `apply` and `undo`.

use super::change::Io;
use serde::Serialize;

/// What a patch says about itself.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// The patch file.
    pub path: String,
    /// The version of regain that made it.
    pub made_by: String,
    /// When, in UTC.
    pub created: String,
    /// The command that made it.
    pub command: String,
    /// The target it belongs to.
    pub identity: Identity,
    /// The files it changes.
    pub files: Vec<File>,
    /// Bytes that differ.
    pub bytes_changed: u64,
    /// Bytes that are written: whole sectors.
    pub bytes_written: u64,
    /// The byte ranges.
    pub runs: Vec<Run>,
    /// The files and directories, if it is for a directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
}

/// One file that a patch changes.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// The volume that holds it.
    pub volume_id: String,
    /// Path in the system, mount points included; what is not printable in it is escaped.
    pub path: String,
    /// As in [`FileChange`](super::change::FileChange).
    pub action: String,
    /// For people.
    pub detail: String,
}

/// What a patch knows of its target.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    /// Size of the disk.
    pub size_bytes: u64,
    /// GUID of the partition table.
    pub table_guid: Option<String>,
    /// The edited file systems.
    pub volumes: Vec<VolumeIdentity>,
    /// The disks in their order, if there are several; their joined size is `size_bytes`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskIdentity>,
    /// The directory, if it is for one: then there are no disk and no volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectoryIdentity>,
}

/// What a patch knows of the directory that it is for.
#[derive(Debug, Clone, Serialize)]
pub struct DirectoryIdentity {
    /// Type of its file system.
    pub file_system: String,
    /// UUID of its file system, if it was known.
    pub uuid: Option<String>,
    /// The machine-id of the system in it.
    pub machine_id: Option<String>,
}

/// One file or directory that a patch changes.
#[derive(Debug, Clone, Serialize)]
pub struct Object {
    /// Path in the directory; what is not printable in it is escaped.
    pub path: String,
    /// `create`, `replace`, `remove`, `set_metadata`, `overwrite` or `set_time`.
    pub change: &'static str,
    /// Bytes of content that differ.
    pub bytes_differing: u64,
    /// What is there before, in words.
    pub before: Option<String>,
    /// What is there after.
    pub after: Option<String>,
}

/// One of several disks that a patch is for.
#[derive(Debug, Clone, Serialize)]
pub struct DiskIdentity {
    /// The disk as it was given when the patch was made.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// GUID of its partition table.
    pub table_guid: Option<String>,
}

/// An edited file system.
#[derive(Debug, Clone, Serialize)]
pub struct VolumeIdentity {
    /// The volume as `inspect` names it.
    pub id: String,
    /// Start on the disk.
    pub offset_bytes: u64,
    /// Its type.
    pub file_system: String,
    /// Its UUID.
    pub uuid: Option<String>,
}

/// One byte range.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Number of the disk from 1, if the patch is for several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<usize>,
    /// Start on the disk.
    pub offset_bytes: u64,
    /// Length.
    pub size_bytes: u64,
    /// Bytes in it that really differ.
    pub bytes_differing: u64,
    /// The structures in it, as in "inode 131".
    pub labels: Vec<String>,
}

/// What `apply` or `undo` did.
#[derive(Debug, Clone, Serialize)]
pub struct Applied {
    /// True if bytes were written.
    pub changed: bool,
    /// State of the target before: `unapplied`, `partial`, `applied`.
    pub state_before: &'static str,
    /// State of the target now.
    pub state_after: &'static str,
    /// The bytes of the patch.
    pub patch: super::change::Patch,
    /// Where the undo record is.
    pub undo_file: Option<String>,
    /// What takes the change back.
    pub undo_command: Option<String>,
    /// What was read and written.
    pub io: Io,
}
