//! Windows guests: is this a system volume, and what is on it (windows-reset.md, sections 2 to 9)?
//!
//! Names are matched as the volume matches them, without case (WIN-11). Not handled: several installations on
//! one volume, such as `\Windows.old`.

pub mod agents;
pub mod control_set;
pub mod format;
pub mod history;
pub mod open_ssh;
pub mod registry;
pub mod security;
#[cfg(test)]
pub(crate) mod testing;
pub mod users;
pub mod version;

pub use agents::{Agent, AgentKind, Service};
pub use control_set::{ControlSet, Start};
pub use history::History;
pub use open_ssh::OpenSsh;
pub use users::User;
pub use version::Version;

use crate::bytes::text::escape;
use crate::error::Result;
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{FileSystem, NodeKind};
use registry::{CONFIG, Registry};

/// Bound on a state file that is read as a whole, in bytes.
const STATE_BYTES_MAX: u64 = 64 * 1024;

/// A Windows system volume.
#[derive(Debug, Clone, Default)]
pub struct System {
    /// Which Windows it is.
    pub version: Version,
    /// The control set of the next boot; `None` if the SYSTEM hive cannot be read.
    pub control_set: Option<ControlSet>,
    /// The computer name, as UTF-8.
    pub host_name: Option<Vec<u8>>,
    /// Architecture by the name that `uname -m` prints.
    pub arch: Option<&'static str>,
    /// The DNS domain that it is probably a member of.
    pub domain: Option<String>,
    /// What says that it is a domain controller (WIN-15).
    pub domain_controller: Option<&'static str>,
    /// True if a policy says that local group policy is not applied; members of a domain obey it (WIN-115).
    pub local_policy_is_off: bool,
    /// State of Windows Setup, as in `IMAGE_STATE_COMPLETE` (WIN-14).
    pub image_state: Option<String>,
    /// The agents that can reset a password, in the order of detection.
    pub agents: Vec<Agent>,
    /// The service of the SSM agent.
    pub ssm: Option<Service>,
    /// The OpenSSH server.
    pub open_ssh: Option<OpenSsh>,
    /// Local accounts, by RID.
    pub users: Vec<User>,
    /// What could not be read or was odd, escaped.
    pub warnings: Vec<String>,
}

impl System {
    /// The name for people, as in `Windows Server 2019 Datacenter`.
    pub fn full_name(&self) -> String {
        self.version.full_name()
    }

    /// The built-in administrator, whatever it is called (WIN-63).
    pub fn administrator(&self) -> Option<&User> {
        self.users.iter().find(|user| user.rid == users::ADMINISTRATOR_RID)
    }

    /// The agent of `kind`, if something of it is there.
    pub fn agent(&self, kind: AgentKind) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.kind == kind)
    }

    /// True if Windows Setup is not finished, so that its own steps come before any agent (WIN-14).
    pub fn is_in_setup(&self) -> bool {
        self.image_state.as_deref().is_some_and(|state| state != "IMAGE_STATE_COMPLETE")
    }
}

/// Looks at a Windows system volume; `None` if `fs` is none (WIN-10).
///
/// What cannot be read of the registry is a warning: the files alone say that it is Windows, and an edit reads
/// again what it needs.
///
/// # Errors
/// That of the file system if damage hides whether it is one.
pub fn detect(fs: &dyn FileSystem) -> Result<Option<System>> {
    for hive in ["SYSTEM", "SOFTWARE", "SAM"] {
        let Some(found) = find(fs, &hive_path(hive))? else {
            return Ok(None);
        };
        if fs.metadata(found.node)?.kind != NodeKind::File {
            return Ok(None);
        }
    }
    let mut system = System::default();
    let look: [(&str, Look); 3] =
        [("SYSTEM", look_at_system), ("SOFTWARE", look_at_software), ("SAM", look_at_sam)];
    for (name, look) in look {
        let found =
            Registry::open(fs, &hive_path(name)).and_then(|hive| look(&mut system, fs, &hive));
        if let Err(error) = found {
            system.warnings.push(format!("not read: {error}"));
        }
    }
    if exists(fs, "/Windows/NTDS/ntds.dit")? {
        system.domain_controller.get_or_insert("/Windows/NTDS/ntds.dit is there");
    }
    Ok(Some(system))
}

type Look = fn(&mut System, &dyn FileSystem, &Registry<'_>) -> Result<()>;

fn look_at_system(system: &mut System, fs: &dyn FileSystem, hive: &Registry<'_>) -> Result<()> {
    let set = ControlSet::read(hive)?;
    system.host_name = set.computer_name(hive)?.map(String::into_bytes);
    system.arch = set.arch(hive)?;
    system.domain = set.domain(hive)?;
    if set.product_type(hive)?.is_some_and(|name| name.eq_ignore_ascii_case("LanmanNT")) {
        system.domain_controller = Some("ProductType is LanmanNT");
    }
    system.agents = agents::find(fs, hive, &set)?;
    system.ssm = agents::ssm(hive, &set)?;
    system.open_ssh = OpenSsh::find(fs, hive, &set)?;
    system.control_set = Some(set);
    Ok(())
}

fn look_at_software(system: &mut System, fs: &dyn FileSystem, hive: &Registry<'_>) -> Result<()> {
    system.version = Version::read(hive)?;
    let policies = r"Policies\Microsoft\Windows\System";
    let is_off = hive.dword(policies, "DisableLGPOProcessing")?;
    system.local_policy_is_off = is_off.is_some_and(|value| value != 0);
    let key = r"Microsoft\Windows\CurrentVersion\Setup\State";
    system.image_state = hive.string(key, "ImageState")?;
    if system.image_state.is_none() {
        system.image_state = image_state_of_file(fs)?;
    }
    Ok(())
}

fn look_at_sam(system: &mut System, _: &dyn FileSystem, hive: &Registry<'_>) -> Result<()> {
    system.users = users::read(hive)?;
    Ok(())
}

/// `ImageState` of the file that some images have in place of the value (WIN-14).
fn image_state_of_file(fs: &dyn FileSystem) -> Result<Option<String>> {
    let path = GuestPath::new("/Windows/Setup/State/State.ini");
    let Some(content) = read_file(fs, &path, STATE_BYTES_MAX)? else { return Ok(None) };
    let Ok(text) = format::Text::decode(&content) else { return Ok(None) };
    let mut lines = text.as_str().lines();
    let state = lines.find_map(|line| line.trim().strip_prefix("ImageState="));
    Ok(state.map(|state| escape(state.trim().as_bytes())))
}

/// The path of a hive in the directory of the system's hives.
pub fn hive_path(name: &str) -> GuestPath {
    GuestPath::new(format!("{CONFIG}/{name}"))
}

/// True if something is at `path`.
///
/// # Errors
/// As the file system.
pub fn exists(fs: &dyn FileSystem, path: &str) -> Result<bool> {
    Ok(find(fs, &GuestPath::new(path))?.is_some())
}

#[cfg(test)]
mod tests;
