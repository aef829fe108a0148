//! Result of `inspect`.

use super::Text;
use super::keys::Key;
use serde::Serialize;

/// Everything that was found on a target.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The container.
    pub image: Image,
    /// Every disk with its path, if several were given; the first one is that of `image`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Its partitions, or the one file system without a table.
    pub volumes: Vec<Volume>,
    /// The operating systems on them.
    pub systems: Vec<System>,
    /// What is odd but does no harm, as in "the backup GPT is not at the end of the disk".
    pub warnings: Vec<String>,
    /// Bytes read from the host for all this.
    pub io: super::change::Io,
}

/// One of several disks.
#[derive(Debug, Clone, Serialize)]
pub struct Disk {
    /// As it was given.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub image: Image,
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
    /// What `--volume` takes: the partition number, or `0` for a disk without a table, with the number of the disk in
    /// front on further disks (`2:1`); `GROUP/NAME` of a logical volume; `md:NAME` of a mirror; `luks:ID`.
    pub id: String,
    /// `partition`, `logical_volume`, `raid`, `unlocked` (LUKS).
    pub source: &'static str,
    /// The volumes that it lies on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<String>,
    /// Number of the disk from 1, if there are several and it lies on one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<usize>,
    /// Start on the disk; none if its bytes do not follow each other on one.
    pub offset_bytes: Option<u64>,
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
    /// The subvolume of that volume which is its root, if its root is not that of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subvolume: Option<Text>,
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
    /// What is mounted in it, where its directories are spread over several volumes or subvolumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// cloud-init, where it is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
    /// What there is to know of a Windows system only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
}

/// A directory on which something is mounted.
#[derive(Debug, Clone, Serialize)]
pub struct Mount {
    /// Where.
    pub path: Text,
    /// The volume that is mounted; none if it is not at hand.
    pub volume_id: Option<String>,
    /// The directory of that volume, if it is not its root: a subvolume, or what a bind mount shows.
    pub directory: Option<Text>,
    /// Why it is not at hand.
    pub reason: Option<String>,
}

/// What there is to know of a Windows system.
#[derive(Debug, Clone, Serialize)]
pub struct Windows {
    /// As in "ServerDatacenter".
    pub edition: Option<String>,
    /// `Server`, `Server Core`, `Client`.
    pub installation_type: Option<String>,
    /// As in 17763.
    pub build: Option<u32>,
    /// The update, as in 5458.
    pub update: Option<u32>,
    /// As in "1809".
    pub release: Option<String>,
    /// As in "IMAGE_STATE_COMPLETE".
    pub setup_state: Option<String>,
    /// True if its accounts are those of a domain, and cannot be reset here.
    pub domain_controller: bool,
    /// The domain that it is probably a member of.
    pub domain: Option<String>,
    /// The agents that can reset a password.
    pub agents: Vec<WindowsAgent>,
    /// When the service of the SSM agent starts.
    pub ssm_agent_start: Option<&'static str>,
    /// The OpenSSH server.
    pub open_ssh: Option<OpenSsh>,
    /// What the logs of the agents say of the last password.
    pub last_password_event: Option<PasswordEvent>,
    /// The instance that the logs name last.
    pub instance_id: Option<String>,
    /// The image that the logs say it was made from.
    pub image_name: Option<String>,
    /// The version of that image.
    pub image_version: Option<String>,
}

/// An agent that can reset a password.
#[derive(Debug, Clone, Serialize)]
pub struct WindowsAgent {
    /// What `--agent` takes.
    pub name: &'static str,
    /// As in "EC2Launch v2".
    pub title: &'static str,
    /// Its version, if something on the volume says it.
    pub version: Option<String>,
    /// `complete`, `incomplete`, `disabled`.
    pub state: &'static str,
    /// What it lacks.
    pub missing: Vec<String>,
    /// When its service starts: `automatic`, `manual`, `disabled`, ...; none for a scheduled task.
    pub service_start: Option<&'static str>,
}

/// The OpenSSH server of Windows.
#[derive(Debug, Clone, Serialize)]
pub struct OpenSsh {
    /// The program.
    pub program: Option<&'static str>,
    /// When its service starts.
    pub service_start: Option<&'static str>,
    /// True if somebody could log in through it after the next boot.
    pub usable: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// What a log says of a password.
#[derive(Debug, Clone, Serialize)]
pub struct PasswordEvent {
    /// The log on the volume.
    pub path: Text,
    /// `sent` to the console, encrypted, or `failed`.
    pub outcome: &'static str,
    /// When, as the log says it.
    pub time: Option<String>,
    /// The account, if it was sent.
    pub account: Option<Text>,
    /// The line of a failure.
    pub message: Option<Text>,
}

/// One user.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// Name.
    pub name: Text,
    /// User id; none on Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The last number of the SID of a Windows account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rid: Option<u32>,
    /// Home directory; none on Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<Text>,
    /// Login shell; none on Windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Text>,
    /// True for the one user that a command takes without `--user`.
    pub is_default: bool,
    /// The user's authorized keys.
    pub keys: Vec<Key>,
}

/// One way back in.
#[derive(Debug, Clone, Serialize)]
pub struct AccessRoute {
    /// A word for programs, as in `key-add`, `ssm-agent`, `serial-console`.
    pub id: &'static str,
    /// The command without its arguments, as in "key add", or the name of an agent.
    pub route: String,
    /// True if it would be tried; false if it would be refused.
    pub available: bool,
    /// `ready`; `needs_step`: the next command makes it ready; `off`: it does not run, or is refused.
    pub state: &'static str,
    /// Why it would be refused, or what it needs.
    pub reason: Option<String>,
    /// What was found; the same as `reason` where there is one.
    pub detail: Option<String>,
    /// The command to type; empty if there is none.
    pub command: String,
    /// The next command for this way, whosever it is.
    pub next_command: String,
}

impl AccessRoute {
    /// A way that is open or not.
    pub fn new(
        id: &'static str,
        route: &str,
        available: bool,
        reason: Option<String>,
        command: String,
    ) -> Self {
        let state = if available { "ready" } else { "off" };
        Self {
            id,
            route: route.to_owned(),
            available,
            state,
            detail: reason.clone(),
            reason,
            next_command: command.clone(),
            command,
        }
    }
}

/// What cloud-init did on the volume, and will do.
#[derive(Debug, Clone, Serialize)]
pub struct CloudInit {
    /// True if it runs at boot.
    pub enabled: bool,
    /// Why not.
    pub reason: Option<String>,
    /// The instance that it saw last.
    pub instance_id: Option<Text>,
    /// The source of the last boot, as in `DataSourceEc2Local`.
    pub last_source: Option<String>,
    /// The sources that its configuration allows; none if it does not say.
    pub sources: Option<Vec<String>>,
    /// What it did once and never does again on this volume.
    pub once: Vec<String>,
    /// What it does in an instance with another id.
    pub on_a_new_instance: Vec<&'static str>,
}
