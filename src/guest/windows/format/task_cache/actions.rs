//! The value `Actions` of a task.

use super::TaskDefect;
use super::reader::Reader;

/// The action that starts a program (WIN-73).
const EXECUTE: u16 = 0x6666;
/// Bound on the actions of a task; Windows allows 32.
const ACTIONS_MAX: usize = 32;

/// The value `Actions`, if every action starts a program.
///
/// Format: WIN-73 (winreg-tasks, actions.ksy), little-endian: version u2 (2, or 3 with flags),
/// context bstr, then the actions to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions {
    /// The principal that the actions belong to.
    pub context: String,
    /// The actions in order.
    pub actions: Vec<Action>,
}

/// An action that starts a program: magic u2 (0x6666), then bstr id, command, arguments, working
/// directory, and in version 3 flags u2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The program.
    pub command: String,
    /// Its arguments.
    pub arguments: String,
}

/// Parses the value to its end.
///
/// # Errors
/// [`TaskDefect`] if it is damaged, or holds something that the task of the agent does not have.
pub fn parse(blob: &[u8]) -> Result<Actions, TaskDefect> {
    let mut reader = Reader::new("Actions", blob)?;
    let version = reader.u16()?;
    if !matches!(version, 2 | 3) {
        return Err(TaskDefect::Version { name: "Actions", version });
    }
    let context = reader.text("context")?;
    let mut actions = Vec::new();
    while !reader.is_at_end() {
        if actions.len() >= ACTIONS_MAX {
            return Err(TaskDefect::ActionCount { count: actions.len().saturating_add(1) });
        }
        let magic = reader.u16()?;
        if magic != EXECUTE {
            return Err(TaskDefect::ActionKind { magic });
        }
        reader.text("action id")?;
        let command = reader.text("command")?;
        let arguments = reader.text("arguments")?;
        reader.text("working directory")?;
        if version >= 3 {
            reader.u16()?;
        }
        actions.push(Action { command, arguments });
    }
    Ok(Actions { context, actions })
}
