//! Result of the commands that edit: `key add`, and what they share with `apply` and `undo`.

use super::Text;
use serde::Serialize;

/// What an editing command did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// True if bytes of the target were changed, or would be.
    pub changed: bool,
    /// True if nothing was written because of `--dry-run`.
    pub dry_run: bool,
    /// The volume that was edited.
    pub volume_id: String,
    /// The users whose access changes.
    pub users: Vec<ChangedUser>,
    /// The files.
    pub changes: Vec<FileChange>,
    /// What the login rules say about the result.
    pub findings: Vec<Finding>,
    /// What the user should know about the file system, as in "the end of the journal is damaged".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The reader that checked the edited file system before a byte was written: `ext4-view`, or `own reader`
    /// where that one does not know a feature of the volume.
    pub verified_by: Option<String>,
    /// The bytes; none if nothing changes.
    pub patch: Option<Patch>,
    /// Where the undo record is.
    pub undo_file: Option<String>,
    /// What takes the change back.
    pub undo_command: Option<String>,
    /// The key pair made by `--generate-key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_key: Option<GeneratedKey>,
    /// What was read and written.
    pub io: Io,
}

/// One user of a change.
#[derive(Debug, Clone, Serialize)]
pub struct ChangedUser {
    /// Name.
    pub name: Text,
    /// `changes`, `already_present` or `refused`.
    pub outcome: &'static str,
    /// Why sshd would not accept the key, if so.
    pub reason: Option<String>,
    /// The file that holds the keys.
    pub path: Text,
}

/// One edited file or directory.
#[derive(Debug, Clone, Serialize)]
pub struct FileChange {
    /// Path on the volume.
    pub path: Text,
    /// `create_directory`, `create_file`, `append`, `replace`, `set_metadata`, ...
    pub action: String,
    /// What exactly, for people.
    pub detail: String,
}

/// One statement of the login rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// As in "LOGIN-12".
    pub rule: String,
    /// The name of the check, as in "strict-mode".
    pub check: &'static str,
    /// `block`, `warn`, `info`.
    pub severity: &'static str,
    /// What it is about: a path or a user.
    pub subject: String,
    /// What is so.
    pub message: String,
    /// What would help.
    pub fix: Option<String>,
}

/// The changed bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Patch {
    /// Bytes that differ.
    pub bytes_changed: u64,
    /// Connected runs of them.
    pub runs: u64,
    /// The patch file of `--patch-out`.
    pub path: Option<String>,
}

/// A new key pair.
#[derive(Debug, Clone, Serialize)]
pub struct GeneratedKey {
    /// The file with the private key.
    pub path: String,
    /// As in "ssh-ed25519".
    #[serde(rename = "type")]
    pub key_type: String,
    /// `SHA256:...`.
    pub fingerprint: String,
    /// The public half as an OpenSSH line.
    pub public_key: String,
}

/// Bytes that crossed the border to the host.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Io {
    /// Read from the target.
    pub bytes_read: u64,
    /// Written to the target.
    pub bytes_written: u64,
}
