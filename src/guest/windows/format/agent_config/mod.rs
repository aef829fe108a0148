//! `agent-config.yml` of EC2Launch v2: what will run, how the password is set, and the edits of it.
//!
//! Format: YAML 1.2.2 or JSON; keys by WIN-43 and WIN-44. Edits change bytes in place (WIN-46,
//! WIN-49), in block form, flow form and JSON, and are verified by parsing again: every event of the
//! document but the meant ones must be the same. Refused by name: anchors and aliases, tags, several
//! documents, duplicate keys on the way to the password. A line that is indented with tabs, which
//! YAML forbids and AWS's own sample has, is read with each tab as one space.
//!
//! Experimental: both type edits and the caller's password (WIN-127).

mod document;
mod edit;

use super::{Text, TextDefect};
use document::{DEPTH_MAX, Document, EVENTS_MAX};
use std::fmt;

/// Bound on the tasks that are looked at.
const TASKS_MAX: usize = 1000;

/// A parsed `agent-config.yml`.
pub struct AgentConfig {
    /// Block or flow YAML, or JSON.
    pub is_json: bool,
    /// `version`, as it is written.
    pub version: Option<String>,
    /// True if tabs indent a line, which makes the file invalid for a strict parser.
    pub has_tabs: bool,
    /// All tasks in order.
    pub tasks: Vec<Task>,
    /// The tasks that set the password, in order. Normally one.
    pub admin_accounts: Vec<AdminAccount>,
    text: Text,
    document: Document,
}

impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("is_json", &self.is_json)
            .field("version", &self.version)
            .field("tasks", &self.tasks)
            .field("admin_accounts", &self.admin_accounts)
            .finish_non_exhaustive()
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The stage that it belongs to, as in `preReady`.
    pub stage: String,
    /// Its name, as in `setAdminAccount`.
    pub name: String,
    /// When it runs.
    pub frequency: Frequency,
}

/// When a task runs (AWS agent guide, "EC2Launch v2 task definitions").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frequency {
    /// Once after an image was made: the deletion of the marker makes it run again.
    Once,
    /// At every boot.
    Always,
    /// The file does not say, and neither do we know.
    Unknown,
}

/// A task `setAdminAccount` (WIN-44).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminAccount {
    /// Line of the task in the file, from 1.
    pub line: usize,
    /// The stage; the agent knows the task in `preReady` only.
    pub stage: String,
    /// `inputs.name`, if given.
    pub name: Option<String>,
    /// `inputs.password.type`.
    pub source: PasswordSource,
    /// True if `inputs.password.data` is there.
    pub has_data: bool,
    place: Place,
}

/// Indexes of the events that an edit needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Place {
    /// The mapping `inputs.password`.
    password: Option<usize>,
    /// Key and value `type`.
    kind: Option<(usize, usize)>,
    /// Value of `data`.
    data: Option<usize>,
}

/// Where the password comes from (WIN-44, WIN-45).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The agent makes one.
    Random,
    /// From `data`.
    Static,
    /// From unattend.xml, so there is none after the first start.
    DoNothing,
    /// A word that is not documented.
    Other(String),
    /// The file does not say (WIN-47): what the agent does is not known.
    Missing,
}

/// Why `agent-config.yml` cannot be read or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgentConfigDefect {
    /// No text.
    #[error(transparent)]
    Text(#[from] TextDefect),
    /// No YAML and no JSON.
    #[error("line {line}: {reason}")]
    Yaml {
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// Nothing but comments.
    #[error("it is empty")]
    Empty,
    /// More than one document.
    #[error("it has more than one document")]
    SeveralDocuments,
    /// More events than the bound.
    #[error("it has more than {EVENTS_MAX} keys and values")]
    TooManyEvents,
    /// More tasks than the bound.
    #[error("it has more than {TASKS_MAX} tasks")]
    TooManyTasks,
    /// Deeper than the bound.
    #[error("line {line}: nested deeper than {DEPTH_MAX}")]
    TooDeep {
        /// Line, from 1.
        line: usize,
    },
    /// An anchor or an alias.
    #[error("line {line}: anchors and aliases are not supported")]
    Anchor {
        /// Line, from 1.
        line: usize,
    },
    /// A tag, which changes how a value is read.
    #[error("line {line}: tags are not supported")]
    Tag {
        /// Line, from 1.
        line: usize,
    },
    /// A key that counts stands twice in its mapping.
    #[error("line {line}: the key {name} is there twice")]
    DuplicateKey {
        /// Line of the second, from 1.
        line: usize,
        /// The key.
        name: &'static str,
    },
    /// No list of stages.
    #[error("it has no stages under \"config\"")]
    NoStages,
    /// No task sets the password.
    #[error("it has no task setAdminAccount")]
    NoAdminAccount,
    /// Several do.
    #[error("it has {count} tasks setAdminAccount")]
    SeveralAdminAccounts {
        /// How many.
        count: usize,
    },
    /// The task does not say where the password comes from (WIN-47).
    #[error("line {line}: the task setAdminAccount has no password type")]
    NoPasswordType {
        /// Line of the task, from 1.
        line: usize,
    },
    /// The type is not one of the three documented words.
    #[error("line {line}: the password type is unknown")]
    UnknownType {
        /// Line of the type, from 1.
        line: usize,
    },
    /// Something is written in a way that is not edited.
    #[error("line {line}: {what} is written in an unusual way")]
    UnusualForm {
        /// Line, from 1.
        line: usize,
        /// What, as in "the password type".
        what: &'static str,
    },
    /// A character that YAML and JSON cannot write in the same way.
    #[error("the password has a character above U+FFFF")]
    PasswordCharacter,
    /// The changed file says something else than was meant: an error of ours.
    #[error("the changed file does not read as intended")]
    NotVerified,
}

impl AgentConfig {
    /// Parses a file.
    ///
    /// # Errors
    /// [`AgentConfigDefect`] if it is damaged or uses what is not supported.
    pub fn parse(bytes: &[u8]) -> Result<Self, AgentConfigDefect> {
        let text = Text::decode(bytes)?;
        let document = Document::parse(&text)?;
        let is_json = text.as_str().trim_start().starts_with(['{', '[']);
        let version = document.value(&text, Some(0), "version")?;
        let version = version.and_then(|index| document.scalar(index)).map(str::to_owned);
        let has_tabs = document.has_tabs;
        let (tasks, admin_accounts) = (Vec::new(), Vec::new());
        let mut config = Self { is_json, version, has_tabs, tasks, admin_accounts, text, document };
        config.read_stages()?;
        Ok(config)
    }

    /// True if a task `sysprep` would run (WIN-28).
    pub fn has_sysprep(&self) -> bool {
        self.tasks.iter().any(|task| task.name.eq_ignore_ascii_case("sysprep"))
    }

    /// Tasks that the deletion of the marker makes run again, or may make run again (WIN-50).
    pub fn tasks_to_run_again(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.frequency != Frequency::Always)
    }

    fn read_stages(&mut self) -> Result<(), AgentConfigDefect> {
        let (text, document) = (&self.text, &self.document);
        let stages = document.value(text, Some(0), "config")?.ok_or(AgentConfigDefect::NoStages)?;
        for stage in document.list(stages) {
            let name = document.value(text, Some(stage), "stage")?;
            let name = name.and_then(|name| document.scalar(name)).unwrap_or_default();
            let Some(tasks) = document.value(text, Some(stage), "tasks")? else { continue };
            for task in document.list(tasks) {
                if self.tasks.len() >= TASKS_MAX {
                    return Err(AgentConfigDefect::TooManyTasks);
                }
                let task_name = document.value(text, Some(task), "task")?;
                let Some(task_name) = task_name.and_then(|index| document.scalar(index)) else {
                    continue;
                };
                if task_name.eq_ignore_ascii_case("setAdminAccount") {
                    self.admin_accounts.push(admin_account(text, document, task, name)?);
                }
                let frequency = frequency(text, document, task, task_name)?;
                let (stage, name) = (name.to_owned(), task_name.to_owned());
                self.tasks.push(Task { stage, name, frequency });
            }
        }
        Ok(())
    }
}

fn admin_account(
    text: &Text,
    document: &Document,
    task: usize,
    stage: &str,
) -> Result<AdminAccount, AgentConfigDefect> {
    let inputs = document.value(text, Some(task), "inputs")?;
    let name = document.value(text, inputs, "name")?;
    let password = document.value(text, inputs, "password")?;
    let kind = match password {
        Some(password) => document.entry(text, password, "type")?,
        None => None,
    };
    let data = document.value(text, password, "data")?;
    let written = kind.and_then(|(_, value)| document.scalar(value));
    let source = match written.map(|word| (word, word.to_ascii_lowercase())) {
        Some((_, lower)) if lower == "random" => PasswordSource::Random,
        Some((_, lower)) if lower == "static" => PasswordSource::Static,
        Some((_, lower)) if lower == "donothing" => PasswordSource::DoNothing,
        Some((word, _)) if !word.is_empty() => PasswordSource::Other(word.to_owned()),
        _ => PasswordSource::Missing,
    };
    Ok(AdminAccount {
        line: text.line(document.start(task)),
        stage: stage.to_owned(),
        name: name.and_then(|name| document.scalar(name)).map(str::to_owned),
        source,
        has_data: data.is_some(),
        place: Place { password, kind, data },
    })
}

/// When a task runs: as it says, else as the agent's documentation says of its name.
fn frequency(
    text: &Text,
    document: &Document,
    task: usize,
    name: &str,
) -> Result<Frequency, AgentConfigDefect> {
    let mut said = document.value(text, Some(task), "frequency")?.into_iter().collect::<Vec<_>>();
    let inputs = document.value(text, Some(task), "inputs")?;
    for input in inputs.map(|inputs| document.list(inputs)).unwrap_or_default() {
        said.extend(document.value(text, Some(input), "frequency")?);
    }
    let says = |word: &str| {
        said.iter().any(|&index| {
            document.scalar(index).is_some_and(|said| said.eq_ignore_ascii_case(word))
        })
    };
    Ok(match name.to_ascii_lowercase().as_str() {
        _ if says("once") => Frequency::Once,
        _ if says("always") => Frequency::Always,
        "activatewindows"
        | "enableopenssh"
        | "extendrootpartition"
        | "setadminaccount"
        | "sysprep" => Frequency::Once,
        "enablejumboframes" | "initializevolume" | "optimizeena" | "setdnssuffix"
        | "sethostname" | "setwallpaper" => Frequency::Always,
        // startSsm runs always by the guide, but is among those that WIN-50 announces.
        _ => Frequency::Unknown,
    })
}

#[cfg(test)]
mod tests;
