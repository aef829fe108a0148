//! Fallback F2: a command that Windows runs before the logon screen, by `SYSTEM\Setup` (WIN-119).
//!
//! Source: WIN-119 (field reports; Microsoft's deployment tools set the same values). **Experimental**
//! (WIN-127), and only on demand. The script resets both values before anything else, or it would run
//! at every boot.

use super::startup_script::{self, AccountChange, Cleanup};
use super::{Password, startup_script::SCRIPT_NAME};
use std::fmt;
use zeroize::Zeroizing;

/// The key, from the root of the SYSTEM hive.
pub const SETUP_KEY: &str = "Setup";
/// The directory of the script, from the root of the volume: only administrators can write there.
pub const SCRIPT_DIRECTORY: &str = "/Windows/System32";
/// The value `CmdLine`. `cmd.exe` expands the variable, so the letter of the drive does not matter.
pub const COMMAND_LINE: &str = "cmd.exe /c %SystemRoot%\\System32\\regain-password-reset.cmd";

/// Run the command, then show the logon screen.
const RUN_THEN_LOGON: u32 = 2;

/// The present values of the key; `None` if a value does not exist.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetupState<'a> {
    /// `SetupType`.
    pub setup_type: Option<u32>,
    /// `CmdLine`.
    pub command_line: Option<&'a str>,
    /// `SystemSetupInProgress`.
    pub system_setup_in_progress: Option<u32>,
    /// `OOBEInProgress`.
    pub oobe_in_progress: Option<u32>,
}

/// A value to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupValue {
    /// Its name in [`SETUP_KEY`].
    pub name: &'static str,
    /// Its data.
    pub data: SetupData,
}

/// Data of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetupData {
    /// REG_DWORD.
    Dword(u32),
    /// REG_SZ.
    Text(&'static str),
}

/// What has to be set and written. Write the script first.
pub struct SetupPlan {
    /// The values.
    pub values: [SetupValue; 2],
    /// Name of the script in [`SCRIPT_DIRECTORY`].
    pub script_name: &'static str,
    /// Content of the script. It holds the password.
    pub script: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for SetupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetupPlan").field("values", &self.values).finish_non_exhaustive()
    }
}

/// Why the key is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupKeyDefect {
    /// Windows Setup has not finished.
    #[error("Windows Setup is under way ({name} is {value})")]
    UnderWay {
        /// The value that says so.
        name: &'static str,
        /// Its data.
        value: u32,
    },
    /// Another command waits.
    #[error("SYSTEM\\Setup has a command line already")]
    CommandLine,
}

/// Works out what makes Windows set `password` at the next start.
///
/// # Errors
/// [`SetupKeyDefect`] if the key is in use.
pub fn plan(
    account: &AccountChange<'_>,
    password: &Password,
    state: &SetupState<'_>,
) -> Result<SetupPlan, SetupKeyDefect> {
    for (name, value) in [
        ("SystemSetupInProgress", state.system_setup_in_progress),
        ("OOBEInProgress", state.oobe_in_progress),
        ("SetupType", state.setup_type),
    ] {
        if let Some(value) = value.filter(|value| *value != 0) {
            return Err(SetupKeyDefect::UnderWay { name, value });
        }
    }
    if state.command_line.is_some_and(|line| !line.trim_matches(['\0', ' ']).is_empty()) {
        return Err(SetupKeyDefect::CommandLine);
    }
    Ok(SetupPlan {
        values: [
            SetupValue { name: "CmdLine", data: SetupData::Text(COMMAND_LINE) },
            SetupValue { name: "SetupType", data: SetupData::Dword(RUN_THEN_LOGON) },
        ],
        script_name: SCRIPT_NAME,
        script: startup_script::encode(account, password, &Cleanup::SetupKey),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(state: SetupState<'_>) -> Result<SetupPlan, SetupKeyDefect> {
        let account = AccountChange::new("Administrator", false, false).unwrap();
        plan(&account, &Password::new("Passw0rd!").unwrap(), &state)
    }

    #[test]
    fn the_values_are_those_of_win_119() {
        let idle = SetupState {
            setup_type: Some(0),
            command_line: Some(""),
            system_setup_in_progress: Some(0),
            oobe_in_progress: None,
        };
        for state in [idle, SetupState::default()] {
            let plan = planned(state).unwrap();
            let [command, kind] = &plan.values;
            assert_eq!((command.name, &command.data), ("CmdLine", &SetupData::Text(COMMAND_LINE)));
            assert_eq!((kind.name, &kind.data), ("SetupType", &SetupData::Dword(2)));
            assert!(COMMAND_LINE.ends_with(&format!("\\System32\\{}", plan.script_name)));
            assert!(plan.script.starts_with(b"@\"%SystemRoot%\\System32\\reg.exe\" add "));
            assert!(!format!("{plan:?}").contains("Passw0rd"));
        }
    }

    #[test]
    fn a_key_in_use_is_left_alone() {
        let none = SetupState::default();
        let under_way = |name, value| Some(SetupKeyDefect::UnderWay { name, value });
        for (state, expected) in [
            (SetupState { setup_type: Some(2), ..none }, under_way("SetupType", 2)),
            (SetupState { oobe_in_progress: Some(1), ..none }, under_way("OOBEInProgress", 1)),
            (
                SetupState { system_setup_in_progress: Some(1), ..none },
                under_way("SystemSetupInProgress", 1),
            ),
            (
                SetupState { command_line: Some("oobe.exe"), ..none },
                Some(SetupKeyDefect::CommandLine),
            ),
            (SetupState { command_line: Some("\0"), ..none }, None),
        ] {
            assert_eq!(planned(state).err(), expected);
        }
    }
}
