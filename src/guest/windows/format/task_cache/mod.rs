//! The scheduled task of EC2Launch v1 in the registry, and the one bit that makes it run again.
//!
//! The service loads tasks from `TaskCache` in the SOFTWARE hive (WIN-77). WIN-74 sets the bit
//! "enabled" of the flags in the value `Triggers`, all or nothing: every requirement is checked here,
//! each with a reason of its own, and any that fails means another way (WIN-75). XML file, Hash,
//! CRC-32, DynamicInfo and Index stay alone (WIN-76). Experimental (WIN-127).
//!
//! Not handled: triggers other than a boot trigger, which the requirements exclude.

mod actions;
mod reader;
mod triggers;

pub use actions::{Action, Actions, parse as parse_actions};
pub use triggers::{TaskFlags, TaskUser, Trigger, Triggers, parse as parse_triggers};

use super::ByteChange;
use crate::bytes::field::Short;

/// Name of the task, directly under `Tree` (WIN-59).
pub const TASK_NAME: &str = "Amazon Ec2 Launch - Instance Initialization";
/// The value `Path` that the task must have (WIN-74).
pub const TASK_PATH: &str = "\\Amazon Ec2 Launch - Instance Initialization";
/// Key in the SOFTWARE hive that holds `Tree`, `Tasks` and `Boot` (WIN-68).
pub const TASK_CACHE_KEY: &str = "Microsoft\\Windows NT\\CurrentVersion\\Schedule\\TaskCache";
/// Bound on the values `Triggers` and `Actions`, in bytes. Those of the task have a few hundred.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Where the flags stand in the value `Triggers` (table WIN-T4).
pub const FLAGS_OFFSET_BYTES: u64 = 0x28;

/// The script that the task must run (WIN-73).
const SCRIPT: &str = "InitializeInstance.ps1";
/// The argument of a task that is enabled for every boot (WIN-57).
const KEEP_SCHEDULE: &str = "-KeepSchedule";

/// What the registry holds about the task; `None` is "no such key or value".
#[derive(Debug, Clone, Copy, Default)]
pub struct TaskEntry<'a> {
    /// `Tree\<TASK_NAME>`, value `Id`.
    pub id: Option<&'a str>,
    /// `Tasks\<Id>`, value `Path`.
    pub path: Option<&'a str>,
    /// `Tasks\<Id>`, value `Triggers`.
    pub triggers: Option<&'a [u8]>,
    /// `Tasks\<Id>`, value `Actions`.
    pub actions: Option<&'a [u8]>,
    /// True if the key `Boot\<Id>` exists.
    pub has_boot_key: bool,
}

/// What WIN-74 comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPlan {
    /// The change of the value `Triggers`, four bytes at [`FLAGS_OFFSET_BYTES`]; `None` if the task
    /// is enabled already.
    pub change: Option<ByteChange>,
    /// True if the task is meant to run at every boot (WIN-58).
    pub keeps_schedule: bool,
    /// Flags that are not as the agent sets them (WIN-72).
    pub warnings: Vec<TaskWarning>,
}

/// Something about the task that is not as the agent makes it, but does not stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskWarning {
    /// A flag that the agent sets is clear.
    #[error("the task has lost its setting \"{name}\"")]
    FlagClear {
        /// The flag.
        name: &'static str,
    },
    /// A flag that the agent clears is set.
    #[error("the task has the unexpected setting \"{name}\"")]
    FlagSet {
        /// The flag.
        name: &'static str,
    },
    /// The task names no account.
    #[error("the task does not say that it runs as the system account")]
    NoUser,
}

/// A requirement of WIN-74 that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskDefect {
    /// Step 1.
    #[error("the task \"{TASK_NAME}\" is not registered")]
    NotRegistered,
    /// Step 2: the value is missing or different.
    #[error("the task's path is not \"{TASK_PATH}\"")]
    Path,
    /// A value is missing.
    #[error("the task has no value {name}")]
    NoValue {
        /// The value.
        name: &'static str,
    },
    /// A value is larger than the bound.
    #[error("the value {name} has {actual_bytes} bytes, more than the limit of {VALUE_BYTES_MAX}")]
    TooLarge {
        /// The value.
        name: &'static str,
        /// Its size.
        actual_bytes: usize,
    },
    /// A value ends inside one of its fields.
    #[error("the value {name}: {short}")]
    Short {
        /// The value.
        name: &'static str,
        /// Where it ends.
        short: Short,
    },
    /// A version that is not known.
    #[error("the value {name} has the unknown version {version:#x}")]
    Version {
        /// The value.
        name: &'static str,
        /// The version.
        version: u16,
    },
    /// A pad that must be 48 48 48 48 holds something else (table WIN-T4).
    #[error("the value Triggers has unexpected bytes at {offset_bytes:#x}")]
    Pad {
        /// Where the pad starts.
        offset_bytes: usize,
    },
    /// A field has a value that it cannot have.
    #[error("the value {name} at {offset_bytes:#x}: bad {field}")]
    Field {
        /// The value.
        name: &'static str,
        /// Where the field starts.
        offset_bytes: usize,
        /// The field.
        field: &'static str,
    },
    /// Step 4: no trigger.
    #[error("the task has no trigger")]
    NoTrigger,
    /// Step 4: the trigger is of another kind.
    #[error("the task starts by {kind}, not at boot")]
    TriggerKind {
        /// The kind.
        kind: &'static str,
    },
    /// Step 4: more than one trigger, or bytes behind the only one.
    #[error("the task has more than its boot trigger")]
    MoreThanOneTrigger,
    /// Step 4.
    #[error("the boot trigger of the task is disabled")]
    TriggerDisabled,
    /// The task runs as another account.
    #[error("the task does not run as the system account")]
    User,
    /// Step 5: no action, or several.
    #[error("the task has {count} actions, not one")]
    ActionCount {
        /// How many.
        count: usize,
    },
    /// Step 5: the action starts no program.
    #[error("the action of the task has the kind {magic:#06x}, which starts no program")]
    ActionKind {
        /// Its magic.
        magic: u16,
    },
    /// Step 5: the actions belong to another principal.
    #[error("the actions of the task belong to another principal")]
    Context,
    /// Step 5: it runs something else.
    #[error("the task does not run {SCRIPT}")]
    Script,
    /// Step 6.
    #[error("the task is not in the list of those that run at boot")]
    NoBootKey,
}

/// Checks all requirements of WIN-74 and works out the change.
///
/// # Errors
/// [`TaskDefect`], the first requirement that does not hold, in the order of the rule.
pub fn plan(entry: &TaskEntry<'_>) -> Result<TaskPlan, TaskDefect> {
    if entry.id.is_none() {
        return Err(TaskDefect::NotRegistered);
    }
    if !entry.path.is_some_and(|path| path.eq_ignore_ascii_case(TASK_PATH)) {
        return Err(TaskDefect::Path);
    }
    let blob = entry.triggers.ok_or(TaskDefect::NoValue { name: "Triggers" })?;
    let triggers = triggers::parse(blob)?;
    match triggers.triggers.as_slice() {
        [] => return Err(TaskDefect::NoTrigger),
        [trigger] if trigger.is_enabled => {}
        [_] => return Err(TaskDefect::TriggerDisabled),
        _ => return Err(TaskDefect::MoreThanOneTrigger),
    }
    let mut warnings = triggers.flags.warnings();
    match triggers.user {
        TaskUser::System => {}
        TaskUser::NotGiven => warnings.push(TaskWarning::NoUser),
        TaskUser::Other => return Err(TaskDefect::User),
    }
    let blob_of_actions = entry.actions.ok_or(TaskDefect::NoValue { name: "Actions" })?;
    let arguments = script_arguments(blob_of_actions, triggers.principal_id.as_deref())?;
    if !entry.has_boot_key {
        return Err(TaskDefect::NoBootKey);
    }
    let flags = triggers.flags;
    let change = (!flags.is_enabled()).then(|| ByteChange {
        offset_bytes: FLAGS_OFFSET_BYTES,
        old: flags.0.to_le_bytes().to_vec(),
        new: flags.enabled().0.to_le_bytes().to_vec(),
    });
    Ok(TaskPlan { change, keeps_schedule: contains(&arguments, KEEP_SCHEDULE), warnings })
}

/// Step 5: the arguments of the only action, which runs the script.
fn script_arguments(blob: &[u8], principal_id: Option<&str>) -> Result<String, TaskDefect> {
    let Actions { context, mut actions } = actions::parse(blob)?;
    if principal_id.is_some_and(|principal| principal != context) {
        return Err(TaskDefect::Context);
    }
    let count = actions.len();
    match (actions.pop(), count) {
        (Some(action), 1) if contains(&action.arguments, SCRIPT) => Ok(action.arguments),
        (Some(_), 1) => Err(TaskDefect::Script),
        _ => Err(TaskDefect::ActionCount { count }),
    }
}

/// True if `text` holds the ASCII text `part`, whatever the case.
fn contains(text: &str, part: &str) -> bool {
    text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
