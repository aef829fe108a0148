//! The OpenSSH server of Windows (table WIN-T6, its last row).
//!
//! Its defaults are Microsoft's: `Match Group administrators` with one key file for all administrators, and
//! `.ssh/authorized_keys` below the profile for everybody else ("OpenSSH Server configuration for Windows
//! Server and Windows", sections "AuthorizedKeysFile" and "Match").

use super::control_set::{ControlSet, Start};
use super::exists;
use super::registry::Registry;
use crate::error::Result;
use crate::fs::FileSystem;

/// The service.
pub const SERVICE: &str = "sshd";
/// Its settings and keys: `__PROGRAMDATA__/ssh`.
pub const DIRECTORY: &str = "/ProgramData/ssh";
/// Where its configuration is.
pub const CONFIG: &str = "/ProgramData/ssh/sshd_config";

const PROGRAMS: [&str; 2] =
    ["/Windows/System32/OpenSSH/sshd.exe", "/Program Files/OpenSSH/sshd.exe"];

/// What is there of the OpenSSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSsh {
    /// The path of `sshd.exe`, if it is in one of its usual places.
    pub program: Option<&'static str>,
    /// When the service starts; `None` without the service.
    pub start: Option<Start>,
    /// True if there is an `sshd_config`; the server makes one at its first start.
    pub has_config: bool,
}

impl OpenSsh {
    /// Looks for it; `None` if nothing is there.
    ///
    /// # Errors
    /// As the file system and the hive.
    pub fn find(
        fs: &dyn FileSystem,
        system: &Registry<'_>,
        set: &ControlSet,
    ) -> Result<Option<Self>> {
        let mut program = None;
        for path in PROGRAMS {
            if program.is_none() && exists(fs, path)? {
                program = Some(path);
            }
        }
        let start = set.start(system, SERVICE)?;
        if program.is_none() && start.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { program, start, has_config: exists(fs, CONFIG)? }))
    }

    /// Why nobody can log in through it after the next boot; `None` if nothing is known against it.
    pub fn reason_against(&self) -> Option<String> {
        match (self.program, self.start) {
            (None, _) => Some("sshd.exe is missing".to_owned()),
            (_, None) => Some("the service sshd is missing".to_owned()),
            (_, Some(Start::Disabled)) => Some("the service sshd is disabled".to_owned()),
            (_, Some(Start::Manual)) => {
                Some("the service sshd is not started at boot (its start is manual)".to_owned())
            }
            _ => None,
        }
    }
}
