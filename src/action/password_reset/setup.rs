//! Fallback F2: the command that Windows Setup would run sets a password that the caller gives (WIN-119).
//! Experimental, and never chosen by itself.

use super::startup_script::{account_change, choose_account, password_for};
use super::{Reset, files};
use crate::action::FileChange;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::guest::windows::format::refused;
use crate::guest::windows::format::setup_key::{
    self, COMMAND_LINE, SCRIPT_DIRECTORY, SETUP_KEY, SetupData, SetupPlan, SetupState,
};
use crate::guest::windows::hive_path;
use crate::guest::windows::registry::Registry;
use crate::hive::Data;
use crate::login::Finding;

/// `SetupType` of a command that runs before the logon screen.
const RUN_THEN_LOGON: u32 = 2;

pub(super) fn plan(reset: &mut Reset<'_>) -> Result<()> {
    let name = choose_account(reset)?;
    let account = account_change(&name)?;
    let password = password_for(reset, &name)?.clone();
    let fs = reset.fs;
    let mut system = Registry::open(fs, &hive_path("SYSTEM"))?;
    let command_line = system.string(SETUP_KEY, "CmdLine")?;
    let setup_type = system.dword(SETUP_KEY, "SetupType")?;
    let is_ours =
        setup_type == Some(RUN_THEN_LOGON) && command_line.as_deref() == Some(COMMAND_LINE);
    let state = SetupState {
        setup_type: setup_type.filter(|_| !is_ours),
        command_line: command_line.as_deref().filter(|_| !is_ours),
        system_setup_in_progress: system.dword(SETUP_KEY, "SystemSetupInProgress")?,
        oobe_in_progress: system.dword(SETUP_KEY, "OOBEInProgress")?,
    };
    let shown = format!("{}: {SETUP_KEY}", system.path());
    let planned = setup_key::plan(&account, &password, &state);
    let SetupPlan { values, script_name, script } =
        planned.map_err(|defect| refused(&shown, &defect))?;
    reset.is_experimental("the command of Windows Setup");
    let message = "the script sets the values back before anything else; if it cannot run, the command \
                   stays and is tried at every boot";
    reset.warn(("setup-command", "WIN-119"), shown, message);
    let path = GuestPath::new(SCRIPT_DIRECTORY).join(script_name);
    reset.tells_clear_text(&path.to_string());
    reset.path = Some(path.clone());
    let detail = "sets the password, takes back the command, and deletes itself";
    reset.write_secret(&path, script.to_vec(), detail)?;
    if is_ours {
        return Ok(());
    }
    let hive = system.hive_mut();
    let key = hive.key(SETUP_KEY)?.ok_or_else(|| Error::not_found("the key SYSTEM\\Setup"))?;
    for value in &values {
        let data = match value.data {
            SetupData::Dword(number) => Data::dword(number),
            SetupData::Text(text) => Data::text(text),
        };
        hive.set_value(&key, value.name, &data, None)?;
    }
    reset.change_hive(&system, "SYSTEM\\Setup: SetupType and CmdLine")
}

impl Reset<'_> {
    /// Plans a script that holds a password, for administrators and the system only; nothing if it is there.
    pub(super) fn write_secret(
        &mut self,
        path: &GuestPath,
        content: Vec<u8>,
        detail: &str,
    ) -> Result<()> {
        use crate::guest::windows::security::{NodeUse, new_node};
        let detail = detail.to_owned();
        if find(self.fs, path)?.is_some() {
            let file = files::read(self.fs, &path.to_string())?;
            if file.content == content {
                let message = "the script for this account and password is there already";
                self.findings.push(Finding::info(("agent-state", "WIN-118"), path, message));
                return Ok(());
            }
            // Anew, since who may read an old one is not known.
            let gone = "made anew for administrators only".to_owned();
            self.changes.push(FileChange::Remove { path: file.path.clone(), detail: gone });
        }
        let (path, new) = (path.clone(), new_node(NodeUse::File, &[])?);
        self.changes.push(FileChange::CreateFile { path, new, content, detail });
        Ok(())
    }
}
