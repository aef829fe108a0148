//! EC2Launch v2: the marker `.run-once` goes, and the configuration must ask for a password (WIN-40, WIN-46).

use super::{Reset, files};
use crate::action::FileChange;
use crate::error::{Error, Refusal, Result};
use crate::fs::NodeKind;
use crate::fs::path::{GuestPath, find};
use crate::guest::windows::AgentKind;
use crate::guest::windows::format::agent_config::{AdminAccount, AgentConfig, PasswordSource};
use crate::guest::windows::format::refused;
use crate::login::Finding;

/// The marker that the agent has run (WIN-39).
const MARKER: &str = "/ProgramData/Amazon/EC2Launch/state/.run-once";
const CONFIG: &str = "/ProgramData/Amazon/EC2Launch/config/agent-config.yml";

/// Tasks that change more than the account, and what they do (WIN-50, WIN-123).
const SIDE_EFFECTS: [(&str, &str); 5] = [
    ("extendRootPartition", "the root partition is extended to the size of the volume"),
    ("startSsm", "the SSM agent is started"),
    ("setHostName", "the computer is renamed and restarted"),
    ("initializeVolume", "volumes without a file system are initialized"),
    ("executeScript", "its scripts run"),
];

pub(super) fn plan(reset: &mut Reset<'_>) -> Result<()> {
    let file = files::read(reset.fs, CONFIG)?;
    let shown = file.path.to_string();
    let config = AgentConfig::parse(&file.content).map_err(|defect| refused(&shown, &defect))?;
    if config.has_sysprep() {
        let reason = format!("{shown} has a task `sysprep`, which would generalize the system");
        return Err(unusable(&reason, "WIN-28"));
    }
    tell(reset, &config, &shown);
    let account = the_account(&config, &shown)?;
    tell_about_account(reset, account, &shown);
    if let Some(password) = &reset.request.password {
        let checked = password.check_complexity(&reset.account);
        checked.map_err(|weakness| Error::usage(format!("the password: {weakness}")))?;
        let changes = config.use_password(password).map_err(|defect| refused(&shown, &defect))?;
        reset.tells_clear_text(&shown);
        reset.is_experimental("a password of your own in agent-config.yml");
        reset.change(&file, &changes, "setAdminAccount: type static, with the given password")?;
    } else if !matches!(account.source, PasswordSource::Random | PasswordSource::Missing) {
        let changes = config.use_random_password().map_err(|defect| refused(&shown, &defect))?;
        reset.is_experimental("another password type in agent-config.yml");
        reset.change(&file, &changes, "setAdminAccount: password type random")?;
    }
    reset.path = Some(file.path.clone());
    remove_marker(reset)
}

/// Plans the deletion of the marker, and nothing else in its directory (WIN-40).
fn remove_marker(reset: &mut Reset<'_>) -> Result<()> {
    let Some(found) = find(reset.fs, &GuestPath::new(MARKER))? else {
        let message =
            "the marker is absent already, so the agent runs its once tasks at the next boot";
        reset.findings.push(Finding::info(("agent-state", "WIN-40"), MARKER, message));
        return Ok(());
    };
    let kind = reset.fs.metadata(found.node)?.kind;
    if kind != NodeKind::File {
        return Err(refused(MARKER, &format!("is a {kind}")));
    }
    let path = found.real_path;
    reset.path = Some(path.clone());
    let detail = "the agent runs its once tasks again".to_owned();
    reset.changes.push(FileChange::Remove { path, detail });
    Ok(())
}

/// The one task that sets the password (WIN-44, WIN-47).
fn the_account<'a>(config: &'a AgentConfig, shown: &str) -> Result<&'a AdminAccount> {
    match config.admin_accounts.as_slice() {
        [account] if account.stage.eq_ignore_ascii_case("preReady") => Ok(account),
        [account] => {
            let stage = crate::bytes::text::escape_limited(account.stage.as_bytes(), 64);
            let line = account.line;
            let reason = format!(
                "{shown}:{line}: setAdminAccount is in the stage {stage}, and runs in preReady only"
            );
            Err(unusable(&reason, "WIN-44"))
        }
        [] => Err(unusable(&format!("{shown} has no task setAdminAccount"), "WIN-47")),
        several => {
            let count = several.len();
            Err(unusable(&format!("{shown} has {count} tasks setAdminAccount"), "WIN-47"))
        }
    }
}

fn tell_about_account(reset: &mut Reset<'_>, account: &AdminAccount, shown: &str) {
    let subject = format!("{shown}:{}", account.line);
    if account.source == PasswordSource::Missing && reset.request.password.is_none() {
        let message = "setAdminAccount does not say which password: what the agent does then is not \
                       known";
        reset.warn(("agent-config", "WIN-47"), &subject, message);
    }
    if account.source == PasswordSource::Other(String::new()) {
        return;
    }
    if let Some(name) = &account.name {
        let name = crate::bytes::text::escape_limited(name.as_bytes(), 64);
        let message = format!("the account is called {name} here; the agent stops at a wrong name");
        reset.warn(("account", "WIN-49"), &subject, message);
    }
    if account.source == PasswordSource::Static && account.has_data {
        let message = "a password in clear text is in the file, and is not used any more";
        reset.warn(("clear-text", "WIN-45"), subject, message);
    }
}

/// What else runs again (WIN-50, WIN-123).
fn tell(reset: &mut Reset<'_>, config: &AgentConfig, shown: &str) {
    let message = "every task and script of the agent that is meant to run once runs again, and so do \
                   user data that are not marked to run at every boot";
    reset.warn(("once-tasks", "WIN-50"), AgentKind::LaunchV2.name(), message);
    let mut names: Vec<&str> = config.tasks_to_run_again().map(|task| task.name.as_str()).collect();
    names.dedup();
    let names: Vec<String> = names
        .into_iter()
        .map(|name| crate::bytes::text::escape_limited(name.as_bytes(), 64))
        .collect();
    let message = format!("run again, or may: {}", names.join(", "));
    reset.findings.push(Finding::info(("once-tasks", "WIN-50"), shown, message));
    for (name, effect) in SIDE_EFFECTS {
        if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            let message = format!("{name}: {effect}");
            reset.warn(("side-effect", "WIN-123"), shown, message);
        }
    }
    if config.has_tabs {
        let message = "tabs indent a line, which a strict reader of YAML refuses; left as it is";
        reset.warn(("agent-config", "WIN-49"), shown, message);
    }
    let message =
        "event 3050 of the log \"Amazon EC2Launch\" is the proof that the password was set";
    reset.findings.push(Finding::info(
        ("after-boot", "WIN-51"),
        AgentKind::LaunchV2.name(),
        message,
    ));
}

fn unusable(reason: &str, rule: &str) -> Error {
    let agent = AgentKind::LaunchV2.name().to_owned();
    Refusal::AgentUnusable { agent, reason: format!("{reason} ({rule})") }.into()
}
