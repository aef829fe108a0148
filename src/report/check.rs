//! Result of `key check`.

use super::Text;
use super::change::{Finding, Io};
use serde::Serialize;

/// What sshd on the volume says to the keys of a user.
#[derive(Debug, Clone, Serialize)]
pub struct KeyCheck {
    /// `accepted`, `refused` or `unknown`: the answer to every key that was named; without any, whether some key
    /// lets the user in.
    pub verdict: &'static str,
    /// Who wants to log in.
    pub user: Text,
    /// The date that decided about expiry, as in "2026-01-02" (UTC).
    pub date: String,
    /// Every reason, the worst first, each once.
    pub findings: Vec<Finding>,
    /// The keys, each with its own answer.
    pub keys: Vec<CheckedKey>,
    /// What also decides, and is not on the volume.
    pub not_seen: Vec<&'static str>,
    /// Bytes read from the host.
    pub io: Io,
}

/// One key and the answer to it.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedKey {
    /// `accepted`, `refused` or `unknown`.
    pub verdict: &'static str,
    /// `SHA256:...` as ssh-keygen prints it.
    pub fingerprint: String,
    /// As in "ssh-ed25519".
    #[serde(rename = "type")]
    pub key_type: String,
    /// Size of the key.
    pub bits: Option<u32>,
    /// Comment.
    pub comment: Text,
    /// The file with the key; none if no file that sshd reads has it.
    pub path: Option<Text>,
    /// Line in the file, from 1: the one that decides, where one does.
    pub line: Option<u64>,
    /// What is said of this key and not of all keys.
    pub findings: Vec<Finding>,
}
