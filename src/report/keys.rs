//! Result of `key list`.

use super::Text;
use serde::Serialize;

/// Every authorized key of a system.
#[derive(Debug, Clone, Default, Serialize)]
pub struct KeyList {
    /// The keys, by user, file and line.
    pub keys: Vec<Key>,
    /// What could not be read as a key, as text.
    pub warnings: Vec<String>,
    /// The same and what else lets keys in, or puts them back at boot.
    pub findings: Vec<super::change::Finding>,
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
    /// `MD5:aa:bb:...` as old releases of ssh-keygen print it.
    pub md5: String,
    /// True if it lets in certificates that it has signed, and not itself.
    pub is_authority: bool,
    /// False if the server passes over this line, whatever the client.
    pub counts: bool,
    /// Why it does not count, or on what that depends.
    pub reason: Option<String>,
    /// Comment.
    pub comment: Text,
    /// Options in front of the key.
    pub options: Text,
}
