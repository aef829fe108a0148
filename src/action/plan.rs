//! What an action wants to change, before anything is changed.

use crate::error::{Error, Refusal};
use crate::fs::path::GuestPath;
use crate::fs::{MetadataChange, NewNode};
use crate::login::Finding;

/// One edit of one file. Paths are real paths: links are resolved, parents exist or are made by an earlier change
/// of the same plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// Bytes at the end of a file.
    Append {
        /// The file.
        path: GuestPath,
        /// What is appended.
        bytes: Vec<u8>,
        /// For people.
        detail: String,
    },
    /// A new content for a file; the node stays.
    Replace {
        /// The file.
        path: GuestPath,
        /// The whole new content.
        content: Vec<u8>,
        /// For people.
        detail: String,
    },
    /// Other bytes at a place inside a file, which keeps its size: what a large file needs.
    Overwrite {
        /// The file.
        path: GuestPath,
        /// Where, in bytes from its start.
        offset_bytes: u64,
        /// The bytes afterwards.
        bytes: Vec<u8>,
        /// For people.
        detail: String,
    },
    /// A new file.
    CreateFile {
        /// The file.
        path: GuestPath,
        /// Owner, mode and labels.
        new: NewNode,
        /// Its content.
        content: Vec<u8>,
        /// For people.
        detail: String,
    },
    /// A new directory.
    CreateDirectory {
        /// The directory.
        path: GuestPath,
        /// Owner, mode and labels.
        new: NewNode,
        /// For people.
        detail: String,
    },
    /// Another owner or mode.
    SetMetadata {
        /// The node.
        path: GuestPath,
        /// What changes.
        change: MetadataChange,
        /// For people.
        detail: String,
    },
    /// Another extended attribute.
    SetXattr {
        /// The node.
        path: GuestPath,
        /// Full name of the attribute.
        name: Vec<u8>,
        /// Its value; `None` removes it.
        value: Option<Vec<u8>>,
        /// For people.
        detail: String,
    },
    /// A file less.
    Remove {
        /// The file.
        path: GuestPath,
        /// For people.
        detail: String,
    },
}

impl FileChange {
    /// The node that changes.
    pub fn path(&self) -> &GuestPath {
        match self {
            Self::Append { path, .. }
            | Self::Replace { path, .. }
            | Self::Overwrite { path, .. }
            | Self::CreateFile { path, .. }
            | Self::CreateDirectory { path, .. }
            | Self::SetMetadata { path, .. }
            | Self::SetXattr { path, .. }
            | Self::Remove { path, .. } => path,
        }
    }

    /// What changes, for people; already escaped.
    pub fn detail(&self) -> &str {
        match self {
            Self::Append { detail, .. }
            | Self::Replace { detail, .. }
            | Self::Overwrite { detail, .. }
            | Self::CreateFile { detail, .. }
            | Self::CreateDirectory { detail, .. }
            | Self::SetMetadata { detail, .. }
            | Self::SetXattr { detail, .. }
            | Self::Remove { detail, .. } => detail,
        }
    }

    /// The word for the JSON field `action`.
    pub fn action_name(&self) -> &'static str {
        match self {
            Self::Append { .. } => "append",
            Self::Replace { .. } => "replace",
            Self::Overwrite { .. } => "overwrite",
            Self::CreateFile { .. } => "create_file",
            Self::CreateDirectory { .. } => "create_directory",
            Self::SetMetadata { .. } => "set_metadata",
            Self::SetXattr { .. } => "set_xattr",
            Self::Remove { .. } => "remove",
        }
    }
}

/// What comes out for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At least one file changes for this user.
    Changes,
    /// Every key is there already, and nothing needs to change.
    AlreadyPresent,
    /// There is nothing to do for this user.
    Unchanged,
    /// sshd would not accept a key, so nothing changes for this user.
    Refused,
    /// The user would be left without a working key, so that one stays.
    LastKey,
}

impl Outcome {
    /// The word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::AlreadyPresent => "already_present",
            Self::Unchanged => "unchanged",
            Self::Refused | Self::LastKey => "refused",
        }
    }
}

/// The part of a plan that concerns one user (LOGIN-137: each user is a result of its own).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPlan {
    /// Name as in passwd, unescaped.
    pub name: Vec<u8>,
    /// The key file that is edited or already holds the keys, if there is one.
    pub path: Option<GuestPath>,
    /// What comes out.
    pub outcome: Outcome,
    /// The first blocking reason, if there is one; with `force` there can be one although files
    /// change.
    pub reason: Option<String>,
}

/// Everything an action wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// One result for each user.
    pub users: Vec<UserPlan>,
    /// The edits, in the order in which they must be made.
    pub changes: Vec<FileChange>,
    /// Everything that was found, each once.
    pub findings: Vec<Finding>,
}

impl Plan {
    /// True if something would change.
    pub fn changes_something(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The error of the command, if sshd would not accept the key of some user although nobody
    /// forced it.
    ///
    /// The changes of the other users stand, and are made; the exit status still says that one was refused
    /// (LOGIN-137).
    pub fn refusal(&self) -> Option<Error> {
        let is_refused =
            |user: &&UserPlan| matches!(user.outcome, Outcome::Refused | Outcome::LastKey);
        let refused = self.users.iter().find(is_refused)?;
        let reason = refused.reason.clone().unwrap_or_else(|| "no reason is known".to_owned());
        let user = crate::bytes::text::escape(&refused.name);
        Some(match refused.outcome {
            Outcome::LastKey => Refusal::LastKey { user, reason }.into(),
            _ => Refusal::WouldNotAccept { user, reason }.into(),
        })
    }
}
