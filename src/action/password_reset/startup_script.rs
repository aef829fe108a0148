//! Fallback F1: a start-up script of the local group policy sets a password that the caller gives (WIN-115 to
//! WIN-118).

use super::{Reset, files};
use crate::action::FileChange;
use crate::error::{Error, Refusal, Result};
use crate::fs::path::{GuestPath, find};
use crate::guest::windows::format::Password;
use crate::guest::windows::format::group_policy::{
    self, GPT_INI, GroupPolicyDefect, PolicyFiles, SCRIPTS_INI, STARTUP_DIRECTORY, StartupPlan,
};
use crate::guest::windows::format::refused;
use crate::guest::windows::format::startup_script::{
    self, AccountChange, Cleanup, LOG_FILE, SCRIPT_NAME,
};
use crate::guest::windows::security::{NodeUse, READ_AND_EXECUTE, Sid, new_node};
use crate::guest::windows::users::ADMINISTRATOR_RID;
use crate::login::Finding;

/// First build for which nobody has proven it: Windows Server 2022 (WIN-127).
const UNPROVEN_BUILD: u32 = 20348;
/// The line between the parts of a script.
const DIVIDER: &str = "?";

pub(super) fn plan(reset: &mut Reset<'_>) -> Result<()> {
    check_local_policy(reset)?;
    let name = choose_account(reset)?;
    let account = account_change(&name)?;
    let password = password_for(reset, &name)?.clone();
    tell(reset);
    if reset.system.version.build.is_none_or(|build| build >= UNPROVEN_BUILD) {
        reset.is_experimental("a start-up script on this version of Windows");
    }
    let (gpt, scripts) = (read_policy(reset, GPT_INI)?, read_policy(reset, SCRIPTS_INI)?);
    let policy = PolicyFiles {
        gpt_ini: gpt.as_ref().map(|file| file.content.as_slice()),
        scripts_ini: scripts.as_ref().map(|file| file.content.as_slice()),
    };
    let path = GuestPath::new(STARTUP_DIRECTORY).join(SCRIPT_NAME);
    reset.path = Some(path.clone());
    reset.tells_clear_text(&path.to_string());
    match group_policy::plan(&account, &password, policy) {
        Ok(planned) => write(reset, planned, gpt.as_ref(), scripts.as_ref()),
        Err(GroupPolicyDefect::AlreadyThere) => renew(reset, &path, &account, &password),
        Err(defect) => Err(refused(SCRIPTS_INI, &defect)),
    }
}

/// Refuses where Windows would not look at the script. Documented by Microsoft for the policy "Turn off Local Group
/// Policy Objects processing": only members of a domain obey it.
fn check_local_policy(reset: &mut Reset<'_>) -> Result<()> {
    if !reset.system.local_policy_is_off {
        return Ok(());
    }
    if reset.system.domain.is_some() {
        let reason = "a policy (DisableLGPOProcessing) turns local group policy off, which members of a \
                      domain obey";
        let agent = "a start-up script of the local group policy".to_owned();
        return Err(Refusal::AgentUnusable { agent, reason: reason.to_owned() }.into());
    }
    let message = "a policy (DisableLGPOProcessing) turns local group policy off; Windows ignores it \
                   outside a domain, and no domain is configured here";
    reset.warn(("local-policy", "WIN-115"), "SOFTWARE".to_owned(), message);
    Ok(())
}

/// The account of the caller, which must exist, or the built-in administrator.
pub(super) fn choose_account(reset: &mut Reset<'_>) -> Result<String> {
    let Some(wanted) = &reset.request.user else {
        if reset.system.administrator().is_none() {
            let message = "the accounts cannot be read, so this name of the built-in administrator is \
                           assumed; --user names another one";
            reset.warn(("account", "WIN-63"), reset.account.clone(), message);
        }
        return Ok(reset.account.clone());
    };
    let lower = wanted.to_lowercase();
    let known = reset.system.users.iter().find(|user| user.name.to_lowercase() == lower);
    if known.is_none() && !reset.system.users.is_empty() {
        let shown = crate::bytes::text::escape_limited(wanted.as_bytes(), 64);
        return Err(Error::not_found(format!("no local account {shown}")));
    }
    if known.is_none_or(|user| user.rid != ADMINISTRATOR_RID) {
        let message = "becomes a member of the local administrators";
        let subject = crate::bytes::text::escape_limited(wanted.as_bytes(), 64);
        reset.warn(("account", "WIN-118"), subject, message);
    }
    let name = known.map_or_else(|| wanted.clone(), |user| user.name.clone());
    reset.account.clone_from(&name);
    Ok(name)
}

/// What the script does to the account.
pub(super) fn account_change(name: &str) -> Result<AccountChange<'_>> {
    AccountChange::new(name, false, true).map_err(|defect| Error::usage(defect.to_string()))
}

/// The password of the caller, if Windows would take it.
pub(super) fn password_for<'a>(reset: &Reset<'a>, name: &str) -> Result<&'a Password> {
    let password = reset.request.password.as_ref();
    let password = password.ok_or_else(|| Error::usage("no password was given"))?;
    let checked = password.check_complexity(name);
    checked.map_err(|weakness| Error::usage(format!("the password: {weakness}")))?;
    Ok(password)
}

fn read_policy(reset: &Reset<'_>, path: &str) -> Result<Option<files::ReadFile>> {
    match find(reset.fs, &GuestPath::new(path))? {
        Some(_) => files::read(reset.fs, path).map(Some),
        None => Ok(None),
    }
}

/// Plans the script first and `gpt.ini` last: it is what makes Windows look.
fn write(
    reset: &mut Reset<'_>,
    planned: StartupPlan,
    gpt: Option<&files::ReadFile>,
    scripts: Option<&files::ReadFile>,
) -> Result<()> {
    make_directories(reset)?;
    let StartupPlan { gpt_ini, scripts_ini, script_name, script } = planned;
    let path = GuestPath::new(STARTUP_DIRECTORY).join(script_name);
    let detail = "sets the password, takes back all of this, and deletes itself";
    reset.write_secret(&path, script.to_vec(), detail)?;
    for (path, old, content, detail) in [
        (SCRIPTS_INI, scripts, scripts_ini, "names the start-up script"),
        (GPT_INI, gpt, gpt_ini, "extension for scripts, raised version"),
    ] {
        let detail = detail.to_owned();
        reset.changes.push(if let Some(file) = old {
            FileChange::Replace { path: file.path.clone(), content, detail }
        } else {
            let path = GuestPath::new(path);
            let reader = (Sid::authenticated_users(), READ_AND_EXECUTE);
            let new = new_node(NodeUse::File, &[reader])?;
            FileChange::CreateFile { path, new, content, detail }
        });
    }
    Ok(())
}

/// Plans what is missing of the directories of the policy. Nobody but administrators may write there, or
/// anybody could put a script beside ours (WIN-113).
fn make_directories(reset: &mut Reset<'_>) -> Result<()> {
    let mut missing = Vec::new();
    let mut path = GuestPath::new(STARTUP_DIRECTORY);
    while find(reset.fs, &path)?.is_none() {
        missing.push(path.clone());
        path = path.parent().unwrap_or_else(GuestPath::root);
    }
    for path in missing.into_iter().rev() {
        let reader = (Sid::authenticated_users(), READ_AND_EXECUTE);
        let new = new_node(NodeUse::Directory, &[reader])?;
        let detail = "only administrators may write in it".to_owned();
        reset.changes.push(FileChange::CreateDirectory { path, new, detail });
    }
    Ok(())
}

/// A script of an earlier run is there and has not run: its account and password become those of this run.
fn renew(
    reset: &mut Reset<'_>,
    path: &GuestPath,
    account: &AccountChange<'_>,
    password: &Password,
) -> Result<()> {
    if find(reset.fs, path)?.is_none() {
        let reason = format!("names the start-up script, but {path} is missing");
        return Err(Refusal::UnsuitableFile { path: SCRIPTS_INI.to_owned(), reason }.into());
    }
    let file = files::read(reset.fs, &path.to_string())?;
    let wanted = startup_script::encode(account, password, &Cleanup::Files(&[]));
    let renewed = with_data_of(&file.content, &wanted);
    let renewed =
        renewed.ok_or_else(|| refused(&path.to_string(), &"is not a script of regain"))?;
    if renewed == file.content {
        let message = "a start-up script for this account and password is there already";
        reset.findings.push(Finding::info(("agent-state", "WIN-118"), path, message));
        return Ok(());
    }
    let detail = "another account or password in the script".to_owned();
    let path = file.path;
    reset.changes.push(FileChange::Replace { path, content: renewed, detail });
    Ok(())
}

/// `old` with the account and password of `wanted`; what it takes back stays. `None` if it is no such script.
fn with_data_of(old: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let (old, wanted) = (std::str::from_utf8(old).ok()?, std::str::from_utf8(wanted).ok()?);
    let divider = format!("{DIVIDER}\r\n");
    let (head, data) = old.rsplit_once(&divider)?;
    let (_, own) = wanted.rsplit_once(&divider)?;
    let is_kept = |line: &&str| ["path", "after", "before"].iter().any(|key| line.starts_with(key));
    let kept = data.split_inclusive('\n').filter(is_kept);
    let renewed = [head, &divider, own].into_iter().chain(kept);
    Some(renewed.collect::<String>().into_bytes())
}

/// What the user must know before (WIN-118, WIN-123).
fn tell(reset: &mut Reset<'_>) {
    let name = crate::bytes::text::escape_limited(reset.account.as_bytes(), 64);
    let message = "the account is enabled, and its password is set by a start-up script, which runs \
                   as the system";
    reset.findings.push(Finding::info(("account", "WIN-118"), &name, message));
    let message = "says afterwards how it went, without the password";
    reset.findings.push(Finding::info(("after-boot", "WIN-118"), LOG_FILE, message));
    let message = "what is encrypted for the account (EFS, stored credentials) is lost with the old \
                   password";
    reset.warn(("side-effect", "WIN-120"), name, message);
    let message = "when the script runs after a slow start is not known: wait some minutes";
    reset.note(("after-boot", "WIN-131"), message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_keeps_what_it_takes_back() {
        let account = AccountChange::new("a", false, true).unwrap();
        let script = |password: &str, cleanup: &Cleanup<'_>| {
            startup_script::encode(&account, &Password::new(password).unwrap(), cleanup).to_vec()
        };
        let restored = [startup_script::RestoredFile {
            path: "GroupPolicy\\gpt.ini",
            before: Some(b"x"),
            after: b"y",
        }];
        let old = script("Old-Passw0rd", &Cleanup::Files(&restored));
        let wanted = script("New-Passw0rd", &Cleanup::Files(&[]));
        let expected = script("New-Passw0rd", &Cleanup::Files(&restored));
        assert_eq!(with_data_of(&old, &wanted), Some(expected.clone()));
        assert_eq!(with_data_of(&expected, &wanted), Some(expected));
        assert_eq!(with_data_of(b"@echo off\r\n", &wanted), None);
    }
}
