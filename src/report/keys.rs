//! Result of `key list`.

use super::Text;
use serde::Serialize;

/// Every authorized key of a system.
#[derive(Debug, Clone, Serialize)]
pub struct KeyList {
    /// The keys, by user, file and line.
    pub keys: Vec<Key>,
    /// What could not be read as a key, and other things worth knowing.
    pub warnings: Vec<String>,
    /// Bytes read from the host.
    pub io: super::change::Io,
}

/// One line of an authorized_keys file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Whose login it allows.
    pub user: Text,
    /// The file on the volume.
    pub path: Text,
    /// Line in the file, from 1.
    pub line: u64,
    /// As in "ssh-ed25519".
    #[serde(rename = "type")]
    pub key_type: String,
    /// Size of the key.
    pub bits: Option<u32>,
    /// `SHA256:...` as ssh-keygen prints it.
    pub fingerprint: String,
    /// Comment.
    pub comment: Text,
    /// Options in front of the key.
    pub options: Text,
}
