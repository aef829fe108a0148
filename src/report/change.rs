//! Result of the commands that edit: `key add`, `password reset`, and what they share with `apply` and `undo`.

use super::Text;
use serde::Serialize;
use std::fmt;

/// What an editing command did, or would do.
#[derive(Clone, Serialize)]
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
    /// What the rules say about the result, and what the user must know.
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
    /// The password made by `--generate`, once: it is stored nowhere but on the target and in its patches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated_password: Option<String>,
    /// What was read and written.
    pub io: Io,
}

/// Without the password, which belongs into no log.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("changed", &self.changed)
            .field("users", &self.users)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

/// One user of a change.
#[derive(Debug, Clone, Serialize)]
pub struct ChangedUser {
    /// Name.
    pub name: Text,
    /// `changes`, `already_present`, `unchanged` or `refused`.
    pub outcome: &'static str,
    /// Why nothing helps this user, if so.
    pub reason: Option<String>,
    /// What sshd says to the added keys on the edited volume: `accepted`, `refused` (with `--force`) or `unknown`.
    pub verdict: Option<&'static str>,
    /// The file that holds the keys, or that arranges the reset.
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

/// One statement of the rules, of logins or of Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// As in "LOGIN-12" or "WIN-36".
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
    /// True if the answer of sshd depends on this, and it is not on the volume.
    pub undecided: bool,
}

/// The changed bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Patch {
    /// Bytes that differ.
    pub bytes_changed: u64,
    /// Connected runs of them; in a directory, the files and directories that change.
    pub runs: u64,
    /// What `runs` counts, for people.
    #[serde(skip)]
    pub unit: &'static str,
    /// The patch file of `--patch-out`.
    pub path: Option<String>,
    /// What writes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply_command: Option<String>,
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
