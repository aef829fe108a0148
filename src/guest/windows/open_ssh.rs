//! The OpenSSH server of Windows (table WIN-T6, its last row).
//!
//! Documents: Microsoft, "OpenSSH Server configuration for Windows Server and Windows", sections
//! "AuthorizedKeysFile" and "Match"; sshd_config(5). By default there is one `Match Group administrators` with
//! one key file for all administrators, and `.ssh/authorized_keys` below the profile for everybody else. Not
//! evaluated, but seen and named: other Match blocks, and includes.

use super::control_set::{ControlSet, Start};
use super::format::Text;
use super::registry::Registry;
use super::users::on_system_drive;
use super::{exists, format};
use crate::error::Result;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, read_file};

/// The service.
pub const SERVICE: &str = "sshd";
/// Its settings and keys: `__PROGRAMDATA__/ssh`.
pub const DIRECTORY: &str = "/ProgramData/ssh";
/// Where its configuration is.
pub const CONFIG: &str = "/ProgramData/ssh/sshd_config";

/// Where a key of an administrator stands, unless the configuration says otherwise.
const ADMINISTRATORS_FILE: &str = "__PROGRAMDATA__/ssh/administrators_authorized_keys";
/// Where a key of anybody else stands, unless the configuration says otherwise.
const PERSONAL_FILE: &str = ".ssh/authorized_keys";

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

/// What `sshd_config` says about key files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySettings {
    /// `AuthorizedKeysFile` for members of the administrators, unresolved.
    pub administrators_file: String,
    /// `AuthorizedKeysFile` for everybody else, unresolved.
    pub personal_file: String,
    /// True unless `PubkeyAuthentication no` stands outside a block.
    pub allows_keys: bool,
    /// Lines that decide more than is evaluated here: other Match blocks, and includes.
    pub unknown_lines: Vec<u64>,
    /// Lines that let in or keep out users or groups.
    pub access_lines: Vec<u64>,
}

impl Default for KeySettings {
    /// The configuration that the server makes at its first start.
    fn default() -> Self {
        Self {
            administrators_file: ADMINISTRATORS_FILE.to_owned(),
            personal_file: PERSONAL_FILE.to_owned(),
            allows_keys: true,
            unknown_lines: Vec::new(),
            access_lines: Vec::new(),
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Global,
    Administrators,
    Other,
}

impl KeySettings {
    /// Reads the configuration; without a file, that of the first start.
    ///
    /// # Errors
    /// `Refused` if it is no text; as the file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        let path = GuestPath::new(CONFIG);
        let Some(content) = read_file(fs, &path, format::CONFIG_BYTES_MAX)? else {
            return Ok(Self::default());
        };
        let text = Text::decode(&content).map_err(|defect| format::refused(CONFIG, &defect))?;
        Ok(Self::parse(text.as_str()))
    }

    /// Evaluates the text of a configuration: the first value of a keyword counts.
    fn parse(text: &str) -> Self {
        let (mut global, mut administrators) = (None, None);
        let mut settings = Self::default();
        let mut pubkey = None;
        let mut block = Block::Global;
        for (line, number) in text.lines().zip(1u64..) {
            let Some((keyword, value)) = directive(line) else { continue };
            match (keyword.as_str(), block) {
                ("match", _) => {
                    let value = value.to_ascii_lowercase();
                    block = match value.split_whitespace().collect::<Vec<_>>().as_slice() {
                        ["group", "administrators"] => Block::Administrators,
                        ["all"] => Block::Global,
                        _ => Block::Other,
                    };
                    settings.unknown_lines.extend((block == Block::Other).then_some(number));
                }
                ("include", _) => settings.unknown_lines.push(number),
                ("authorizedkeysfile", Block::Global) => _ = global.get_or_insert(value),
                ("authorizedkeysfile", Block::Administrators) => {
                    _ = administrators.get_or_insert(value);
                }
                ("pubkeyauthentication", Block::Global) => _ = pubkey.get_or_insert(value),
                ("allowusers" | "denyusers" | "allowgroups" | "denygroups", _) => {
                    settings.access_lines.push(number);
                }
                _ => {}
            }
        }
        settings.personal_file = global.unwrap_or_else(|| PERSONAL_FILE.to_owned());
        settings.administrators_file =
            administrators.unwrap_or_else(|| settings.personal_file.clone());
        settings.allows_keys = pubkey.is_none_or(|value| !value.eq_ignore_ascii_case("no"));
        settings
    }
}

/// Keyword in lower case and value of a line; `None` for comments and empty lines.
fn directive(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, value) = line.split_at(end);
    let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    Some((keyword.to_ascii_lowercase(), value.trim().to_owned()))
}

/// The file that the first word of an `AuthorizedKeysFile` means, on this volume; `None` if it is another
/// place or cannot be told.
pub fn key_file(value: &str, profile: Option<&GuestPath>) -> Option<GuestPath> {
    let first = match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => value.split_whitespace().next()?,
    };
    let first = first.replace('\\', "/");
    let lower = first.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("__programdata__/") {
        let start = first.len().checked_sub(rest.len())?;
        return Some(GuestPath::new("/ProgramData").join(first.get(start..)?));
    }
    let below_profile = match first.strip_prefix("%h/") {
        Some(rest) => rest,
        None if first.contains(['%', ':']) || first.starts_with('/') => {
            return on_system_drive(&first).filter(|_| !first.contains('%'));
        }
        None if lower == "none" => return None,
        None => &first,
    };
    Some(profile?.join(below_profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "#Port 22\r\nAuthorizedKeysFile\t.ssh/authorized_keys\r\n\r\nMatch Group \
        administrators\r\n       AuthorizedKeysFile __PROGRAMDATA__/ssh/administrators_authorized_keys\r\n";

    #[test]
    fn the_configuration_of_the_first_start_is_the_default() {
        assert_eq!(KeySettings::parse(DEFAULT), KeySettings::default());
    }

    #[test]
    fn what_decides_is_seen() {
        let parse = KeySettings::parse;
        assert_eq!(parse("").administrators_file, ".ssh/authorized_keys", "no block, no own file");
        let settings =
            parse("authorizedkeysfile=a b\nAuthorizedKeysFile c\nPubkeyAuthentication no\n");
        assert_eq!(settings.personal_file, "a b");
        assert!(!settings.allows_keys);
        let settings = parse(&format!("{DEFAULT}Match User alice\nAuthorizedKeysFile x\n"));
        assert_eq!(settings.unknown_lines, [6]);
        assert_eq!(settings.personal_file, ".ssh/authorized_keys");
        let settings = parse("Include other\nDenyGroups x\nMatch all\nAuthorizedKeysFile y\n");
        assert_eq!((settings.unknown_lines, settings.access_lines), (vec![1], vec![2]));
        assert_eq!(settings.personal_file, "y");
    }

    #[test]
    fn key_files_are_on_this_volume_or_unknown() {
        let profile = GuestPath::new("/Users/x");
        for (value, expected) in [
            ("__PROGRAMDATA__/ssh/a", Some("/ProgramData/ssh/a")),
            ("__programdata__\\ssh\\a other", Some("/ProgramData/ssh/a")),
            (".ssh/authorized_keys", Some("/Users/x/.ssh/authorized_keys")),
            ("%h/.ssh/a", Some("/Users/x/.ssh/a")),
            ("\"C:/keys of all/k\"", Some("/keys of all/k")),
            ("c:\\keys\\k", Some("/keys/k")),
            ("D:/k", None),
            ("/etc/k", None),
            ("C:/keys/%u", None),
            ("%u/k", None),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(key_file(value, Some(&profile)), expected.map(GuestPath::new), "{value}");
        }
        assert_eq!(key_file(".ssh/a", None), None);
    }
}
