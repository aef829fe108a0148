//! EC2Launch v1: its scheduled task enabled, and its configuration asking for a password (WIN-65, WIN-74).

use super::{Reset, files};
use crate::error::{Error, Refusal, Result};
use crate::fs::path::{GuestPath, find};
use crate::guest::windows::format::launch_config::{LaunchConfig, LaunchPasswordSource};
use crate::guest::windows::format::refused;
use crate::guest::windows::format::task_cache::{
    self, FLAGS_OFFSET_BYTES, TASK_CACHE_KEY, TASK_NAME, TaskEntry, TaskPlan,
};
use crate::guest::windows::registry::Registry;
use crate::guest::windows::{AgentKind, hive_path};
use crate::login::Finding;

const CONFIG: &str = "/ProgramData/Amazon/EC2-Windows/Launch/Config/LaunchConfig.json";

pub(super) fn plan(reset: &mut Reset<'_>) -> Result<()> {
    // The task first: if it cannot be used, nothing is (WIN-75).
    let fs = reset.fs;
    let mut software = Registry::open(fs, &hive_path("SOFTWARE"))?;
    let task = task_plan(&software)?;
    tell(reset);
    configure(reset)?;
    for warning in &task.warnings {
        let message = warning.to_string();
        reset.warn(("task", "WIN-72"), TASK_NAME, message);
    }
    if task.keeps_schedule {
        let message = "the task runs at every boot; the agent sets the password type back after it";
        reset.findings.push(Finding::info(("task", "WIN-58"), TASK_NAME, message));
    }
    if task.change.is_none() {
        let message = "the task is enabled already";
        reset.findings.push(Finding::info(("agent-state", "WIN-74"), TASK_NAME, message));
        return Ok(());
    }
    enable_task(reset, &mut software, &task)
}

/// Checks every requirement of WIN-74.
fn task_plan(software: &Registry<'_>) -> Result<TaskPlan> {
    let id = software.string(&format!("{TASK_CACHE_KEY}\\Tree\\{TASK_NAME}"), "Id")?;
    let task = format!("{TASK_CACHE_KEY}\\Tasks\\{}", id.as_deref().unwrap_or_default());
    let value = |name| match &id {
        Some(_) => software.data(&task, name),
        None => Ok(None),
    };
    let (triggers, actions) = (value("Triggers")?, value("Actions")?);
    let path = value("Path")?.and_then(|data| data.as_text());
    let boot = format!("{TASK_CACHE_KEY}\\Boot\\{}", id.as_deref().unwrap_or_default());
    let entry = TaskEntry {
        id: id.as_deref(),
        path: path.as_deref(),
        triggers: triggers.as_ref().map(|data| data.bytes.as_slice()),
        actions: actions.as_ref().map(|data| data.bytes.as_slice()),
        has_boot_key: id.is_some() && software.has_key(&boot)?,
    };
    task_cache::plan(&entry).map_err(|defect| {
        let agent = AgentKind::LaunchV1.name().to_owned();
        Refusal::AgentUnusable { agent, reason: format!("{defect} (WIN-75)") }.into()
    })
}

/// Sets the one bit (WIN-74, step 7).
fn enable_task(reset: &mut Reset<'_>, software: &mut Registry<'_>, task: &TaskPlan) -> Result<()> {
    let Some(change) = &task.change else { return Ok(()) };
    let lost = || Error::not_found(format!("the value Triggers of the task {TASK_NAME}"));
    let id = software.string(&format!("{TASK_CACHE_KEY}\\Tree\\{TASK_NAME}"), "Id")?;
    let key = format!("{TASK_CACHE_KEY}\\Tasks\\{}", id.ok_or_else(lost)?);
    let hive = software.hive_mut();
    let key = hive.key(&key)?.ok_or_else(lost)?;
    let value = hive.value(&key, "Triggers")?.ok_or_else(lost)?;
    let offset = crate::bytes::arith::to(FLAGS_OFFSET_BYTES)?;
    hive.overwrite_data(&value, offset, &change.new)?;
    reset.is_experimental("enabling the scheduled task in the registry");
    reset.change_hive(software, "scheduled task of EC2Launch enabled")?;
    reset.path.get_or_insert_with(|| software.path().clone());
    Ok(())
}

/// Makes `LaunchConfig.json` ask for a password (WIN-65); without the file the agent's defaults do (WIN-62).
fn configure(reset: &mut Reset<'_>) -> Result<()> {
    if find(reset.fs, &GuestPath::new(CONFIG))?.is_none() {
        if reset.request.password.is_some() {
            return Err(refused(CONFIG, &"is missing, so there is no place for a password"));
        }
        let message = "the file is missing: the agent makes a random password and runs user data";
        reset.warn(("launch-config", "WIN-62"), CONFIG, message);
        return Ok(());
    }
    let file = files::read(reset.fs, CONFIG)?;
    let shown = file.path.to_string();
    let config = LaunchConfig::parse(&file.content).map_err(|defect| refused(&shown, &defect))?;
    if config.is_ignored() {
        let message =
            "the agent ignores the file as it is, makes a random password and runs user data";
        reset.warn(("launch-config", "WIN-62"), &shown, message);
    }
    if config.handles_user_data || config.is_ignored() {
        reset.warn(("user-data", "WIN-67"), &shown, "handleUserData: user data run again");
    }
    if config.renames_computer {
        let message = "setComputerName: the computer is renamed and restarted";
        reset.warn(("rename", "WIN-67"), &shown, message);
    }
    reset.path = Some(file.path.clone());
    if let Some(password) = &reset.request.password {
        let changes = config.use_password(password).map_err(|defect| refused(&shown, &defect))?;
        reset.tells_clear_text(&shown);
        reset.is_experimental("a password of your own in LaunchConfig.json");
        return reset.change(
            &file,
            &changes,
            "adminPasswordType: Specify, with the given password",
        );
    }
    if config.source == LaunchPasswordSource::Random {
        return Ok(());
    }
    let changes = config.use_random_password().map_err(|defect| refused(&shown, &defect))?;
    reset.change(&file, &changes, "adminPasswordType: Random")
}

/// What else the run of the agent does (WIN-60, WIN-63).
fn tell(reset: &mut Reset<'_>) {
    let name = AgentKind::LaunchV1.name();
    for (id, message) in [
        (("side-effect", "WIN-60"), "the boot volume is extended to the size of the disk"),
        (("side-effect", "WIN-60"), "the SSM agent is set to start automatically"),
        (("account", "WIN-63"), "an Administrator account that is disabled is enabled again"),
    ] {
        reset.findings.push(Finding::info(id, name, message));
    }
}
