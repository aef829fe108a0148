//! Fallback F1: a start-up script through the local group policy (WIN-115 to WIN-118).
//!
//! Formats: `gpt.ini` and `scripts.ini` by MS-GPOL, sections 2.2.4 and 3.3.5.4, MS-GPSCR, section
//! 2.2.2, and WIN-116, WIN-117. What is there is kept: other extensions, other scripts, encoding and
//! line ends. A file that is not there is made new, in ASCII with CRLF.
//!
//! Experimental on Server 2022 and 2025 (WIN-127). Not known from these files: whether a policy of
//! the domain turns off local policies.

mod extension_names;
mod ini;

use super::startup_script::{self, AccountChange, Cleanup, RestoredFile, SCRIPT_NAME};
use super::{Password, TextDefect};
use extension_names::{SCRIPTS_EXTENSION, SCRIPTS_TOOL, with_scripts};
use ini::{INI_BYTES_MAX, Ini};
use std::fmt;
use zeroize::Zeroizing;

/// `gpt.ini`, from the root of the volume.
pub const GPT_INI: &str = "/Windows/System32/GroupPolicy/gpt.ini";
/// `scripts.ini`, from the root of the volume.
pub const SCRIPTS_INI: &str = "/Windows/System32/GroupPolicy/Machine/Scripts/scripts.ini";
/// The directory of start-up scripts, from the root of the volume.
pub const STARTUP_DIRECTORY: &str = "/Windows/System32/GroupPolicy/Machine/Scripts/Startup";

const GENERAL: &str = "General";
const EXTENSION_NAMES: &str = "gPCMachineExtensionNames";
const VERSION: &str = "Version";
const STARTUP: &str = "Startup";
/// Bound on the scripts of a policy.
const SCRIPTS_MAX: usize = 1000;

/// The policy files of a volume; `None` if a file does not exist.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicyFiles<'a> {
    /// Content of [`GPT_INI`].
    pub gpt_ini: Option<&'a [u8]>,
    /// Content of [`SCRIPTS_INI`].
    pub scripts_ini: Option<&'a [u8]>,
}

/// What the files become. Write the script first, and `gpt.ini` last: it is what makes Windows look.
pub struct StartupPlan {
    /// New content of [`GPT_INI`].
    pub gpt_ini: Vec<u8>,
    /// New content of [`SCRIPTS_INI`].
    pub scripts_ini: Vec<u8>,
    /// Name of the script in [`STARTUP_DIRECTORY`].
    pub script_name: &'static str,
    /// Content of the script. It holds the password.
    pub script: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for StartupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartupPlan")
            .field("gpt_ini", &String::from_utf8_lossy(&self.gpt_ini))
            .field("scripts_ini", &String::from_utf8_lossy(&self.scripts_ini))
            .finish_non_exhaustive()
    }
}

/// Why the local group policy cannot be extended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupPolicyDefect {
    /// No text.
    #[error(transparent)]
    Text(#[from] TextDefect),
    /// Larger than the bound.
    #[error("{actual_bytes} bytes are more than the limit of {INI_BYTES_MAX} for a policy file")]
    TooLarge {
        /// The size in bytes.
        actual_bytes: usize,
    },
    /// The list of extensions is malformed.
    #[error("gpt.ini: {EXTENSION_NAMES} is not a list of GUIDs")]
    ExtensionNames,
    /// The version is no number.
    #[error("gpt.ini: {VERSION} is not a number")]
    Version,
    /// A start-up script of ours is there already.
    #[error("scripts.ini has the start-up script {SCRIPT_NAME} already")]
    AlreadyThere,
    /// The start-up scripts are not numbered without a gap; a new one would revive the later ones.
    #[error("scripts.ini: the start-up scripts have no number {index}, but later ones")]
    Gap {
        /// The first number that is missing.
        index: usize,
    },
    /// More scripts than the bound.
    #[error("scripts.ini has more than {SCRIPTS_MAX} start-up scripts")]
    TooManyScripts,
    /// The changed file says something else than was meant: an error of ours.
    #[error("the changed policy file does not read as intended")]
    NotVerified,
}

/// Works out the files that make Windows set `password` at the next start.
///
/// # Errors
/// [`GroupPolicyDefect`] if a file is damaged or unusual.
pub fn plan(
    account: &AccountChange<'_>,
    password: &Password,
    files: PolicyFiles<'_>,
) -> Result<StartupPlan, GroupPolicyDefect> {
    let scripts_ini = scripts_ini(files.scripts_ini)?;
    let gpt_ini = gpt_ini(files.gpt_ini)?;
    let restored = [
        RestoredFile {
            path: "GroupPolicy\\gpt.ini",
            before: files.gpt_ini,
            after: gpt_ini.as_slice(),
        },
        RestoredFile {
            path: "GroupPolicy\\Machine\\Scripts\\scripts.ini",
            before: files.scripts_ini,
            after: scripts_ini.as_slice(),
        },
    ];
    let script = startup_script::encode(account, password, &Cleanup::Files(&restored));
    Ok(StartupPlan { gpt_ini, scripts_ini, script_name: SCRIPT_NAME, script })
}

/// `gpt.ini` with the extension for scripts and a raised version (WIN-116).
fn gpt_ini(old: Option<&[u8]>) -> Result<Vec<u8>, GroupPolicyDefect> {
    let Some(old) = old else {
        let names = format!("[{SCRIPTS_EXTENSION}{SCRIPTS_TOOL}]");
        let values =
            [("gPCFunctionalityVersion", "2"), (EXTENSION_NAMES, names.as_str()), (VERSION, "1")];
        return Ok(ini::new_file(GENERAL, &values));
    };
    let ini = Ini::parse(old)?;
    let names = with_scripts(ini.value(GENERAL, EXTENSION_NAMES).unwrap_or_default())?;
    let version = match ini.value(GENERAL, VERSION) {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| GroupPolicyDefect::Version)?,
    };
    let version = raised(version).to_string();
    ini.with(GENERAL, &[(EXTENSION_NAMES, &names), (VERSION, &version)])
}

/// The version with its machine half, the low 16 bits, raised by one. It must not become 0, which
/// stands for a policy without settings, and must not reach the half of the user.
fn raised(version: u32) -> u32 {
    let machine = crate::bytes::field::low_u16(version);
    let raised = machine.checked_add(1).unwrap_or(1);
    (version & 0xffff_0000) | u32::from(raised)
}

/// `scripts.ini` with the script behind the others (WIN-117).
fn scripts_ini(old: Option<&[u8]>) -> Result<Vec<u8>, GroupPolicyDefect> {
    let Some(old) = old else {
        return Ok(ini::new_file(STARTUP, &[("0CmdLine", SCRIPT_NAME), ("0Parameters", "")]));
    };
    let ini = Ini::parse(old)?;
    let mut commands = Vec::new();
    for (key, value) in ini.entries(STARTUP) {
        let digits = key.trim_end_matches(|character: char| !character.is_ascii_digit());
        let is_command =
            key.get(digits.len()..).is_some_and(|rest| rest.eq_ignore_ascii_case("CmdLine"));
        let Ok(index) = digits.parse::<usize>() else { continue };
        if !is_command {
            continue;
        }
        if value.to_ascii_lowercase().ends_with(SCRIPT_NAME) {
            return Err(GroupPolicyDefect::AlreadyThere);
        }
        commands.push(index);
    }
    commands.sort_unstable();
    commands.dedup();
    if commands.len() > SCRIPTS_MAX {
        return Err(GroupPolicyDefect::TooManyScripts);
    }
    let index = commands.len();
    if let Some((_, gap)) = commands.iter().zip(0usize..).find(|(found, index)| *found != index) {
        return Err(GroupPolicyDefect::Gap { index: gap });
    }
    let (command, parameters) = (format!("{index}CmdLine"), format!("{index}Parameters"));
    ini.with(STARTUP, &[(&command, SCRIPT_NAME), (&parameters, "")])
}

#[cfg(test)]
mod tests;
