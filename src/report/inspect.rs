//! Result of `inspect`.

use super::Text;
use super::keys::Key;
use serde::Serialize;

/// Everything that was found on a target.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The container.
    pub image: Image,
    /// Its partitions, or the one file system without a table.
    pub volumes: Vec<Volume>,
    /// The operating systems on them.
    pub systems: Vec<System>,
    /// What is odd but does no harm, as in "the backup GPT is not at the end of the disk".
    pub warnings: Vec<String>,
    /// Bytes read from the host for all this.
    pub io: super::change::Io,
}

/// The container of a disk.
#[derive(Debug, Clone, Serialize)]
pub struct Image {
    /// `raw`.
    pub format: String,
    /// Size of the disk.
    pub size_bytes: u64,
    /// Size of a logical sector.
    pub sector_size_bytes: u32,
    /// `gpt`, `mbr` or `none`.
    pub partition_table: &'static str,
    /// GUID of the disk, if the table has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_guid: Option<String>,
}

/// One volume.
#[derive(Debug, Clone, Serialize)]
pub struct Volume {
    /// What `--volume` takes: the partition number, or `0` for a disk without a table.
    pub id: String,
    /// Start on the disk.
    pub offset_bytes: u64,
    /// Size.
    pub size_bytes: u64,
    /// What the table says it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub partition_type: String,
    /// Its name in the table.
    #[serde(skip_serializing_if = "Text::is_empty")]
    pub partition_name: Text,
    /// `ext4`, `xfs`, `ntfs`, `btrfs`, `vfat`, `lvm2`, `luks`, `swap`, ...; none if not recognised.
    pub file_system: Option<String>,
    /// Label of the file system.
    pub label: Option<Text>,
    /// UUID of the file system as its own tools print it.
    pub uuid: Option<String>,
    /// `clean`, `journal_dirty`, `hibernated`, `encrypted`, `errors`; none if not known.
    pub health: Option<&'static str>,
    /// True if regain can edit it.
    pub writable: bool,
    /// Why not, if it is not writable.
    pub reason: Option<String>,
}

/// One operating system.
#[derive(Debug, Clone, Serialize)]
pub struct System {
    /// The volume that holds its root.
    pub volume_id: String,
    /// `linux`, `windows`, `freebsd`.
    pub family: &'static str,
    /// As in "Debian GNU/Linux".
    pub name: Text,
    /// As in "13 (trixie)".
    pub version: Text,
    /// As in "x86_64"; none if not known.
    pub arch: Option<String>,
    /// Host name, if it has one.
    pub host_name: Option<Text>,
    /// Its users who could be meant, and those with keys.
    pub users: Vec<User>,
    /// Agents and services that can change access, as in "cloud-init".
    pub agents: Vec<String>,
    /// Every way back in that regain knows for this system.
    pub access_routes: Vec<AccessRoute>,
}

/// One user.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// Name.
    pub name: Text,
    /// User id.
    pub uid: u32,
    /// Home directory.
    pub home: Text,
    /// Login shell.
    pub shell: Text,
    /// True for the one user that `key add` takes without `--user`.
    pub is_default: bool,
    /// The user's authorized keys.
    pub keys: Vec<Key>,
}

/// One way back in.
#[derive(Debug, Clone, Serialize)]
pub struct AccessRoute {
    /// The command without its arguments, as in "key add".
    pub route: String,
    /// True if it would be tried; false if it would be refused.
    pub available: bool,
    /// Why it would be refused, or what it needs.
    pub reason: Option<String>,
    /// The command to type; empty if it is not one of ours.
    pub command: String,
}
