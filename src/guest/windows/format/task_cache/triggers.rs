//! The value `Triggers` of a task.

use super::reader::Reader;
use super::{TaskDefect, TaskWarning};

/// S-1-5-18, the system account, as a binary SID (MS-DTYP, section 2.4.2.2).
const SYSTEM_SID: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// Sizes that the optional settings can have (table WIN-T4).
const SETTINGS_BYTES: [usize; 4] = [0, 0x2c, 0x38, 0x58];
/// The trigger that starts a task at boot (WIN-71).
const BOOT_TRIGGER: u32 = 0xffff;

/// The value `Triggers`.
///
/// Format: table WIN-T4 (winreg-tasks, triggers.ksy), all numbers little-endian.
///
/// | offset | size | spec                  | ours           | valid when                          |
/// |-------:|-----:|-----------------------|----------------|-------------------------------------|
/// |   0x00 |    8 | version               | `version`      | 0x15, 0x16 or 0x17                  |
/// |   0x08 |   16 | earliest start        | (skipped)      | any                                 |
/// |   0x18 |   16 | latest end            | (skipped)      | any                                 |
/// |   0x28 |    4 | flags                 | `flags`        | any                                 |
/// |   0x2c |    4 | pad                   | (checked)      | 48 48 48 48                         |
/// |   0x30 |    4 | CRC-32 of the XML     | `xml_crc32`    | any                                 |
/// |   0x34 |    4 | pad                   | (checked)      | 48 48 48 48                         |
/// |   0x38 |  var | principal id          | `principal_id` | from version 0x16                   |
/// |   next |  var | display name          | (skipped)      | from version 0x17                   |
/// |   next |  var | user info             | `user`         | its two switches are 0 or 1         |
/// |   next |  var | optional settings     | (skipped)      | 0, 0x2c, 0x38 or 0x58 bytes         |
/// |   next |  var | triggers, to the end  | `triggers`     | boot triggers only                  |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggers {
    /// Version of the layout.
    pub version: u8,
    /// Settings of the task, among them whether it is enabled.
    pub flags: TaskFlags,
    /// CRC-32 of the task's XML file.
    pub xml_crc32: u32,
    /// Whom the actions belong to.
    pub principal_id: Option<String>,
    /// The account.
    pub user: TaskUser,
    /// The triggers, all of them boot triggers.
    pub triggers: Vec<Trigger>,
}

/// A boot trigger.
///
/// Format: WIN-71 (winreg-tasks), 0x58 bytes with an empty id.
///
/// | offset | size | spec                                                   | ours         |
/// |-------:|-----:|--------------------------------------------------------|--------------|
/// |   0x00 |    8 | magic, 0xFFFF                                          | (checked)    |
/// |   0x08 |   32 | start and end                                          | (skipped)    |
/// |   0x28 |   24 | delay, timeout, interval, two durations, stop at end   | (skipped)    |
/// |   0x40 |    8 | enabled                                                | `is_enabled` |
/// |   0x48 |    8 | unknown                                                | (skipped)    |
/// |   0x50 |  var | trigger id, from version 0x16                          | (skipped)    |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trigger {
    /// True if it counts.
    pub is_enabled: bool,
}

/// The account that a task runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskUser {
    /// S-1-5-18.
    System,
    /// Another account.
    Other,
    /// The value does not say.
    NotGiven,
}

/// Flags of a task (WIN-72).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskFlags(pub u32);

impl TaskFlags {
    /// The task runs when it is triggered.
    pub const ENABLED: u32 = 0x0040_0000;
    /// Flags that the agent sets (WIN-59).
    const EXPECTED_SET: [(u32, &'static str); 2] =
        [(0x40, "start when available"), (0x0100_0000, "highest run level")];
    /// Flags that the agent clears (WIN-59).
    const EXPECTED_CLEAR: [(u32, &'static str); 2] =
        [(0x20, "stop on batteries"), (0x4000_0000, "allow hard terminate")];

    /// True if the task is enabled.
    pub fn is_enabled(self) -> bool {
        self.has(Self::ENABLED)
    }

    /// The same flags for an enabled task.
    #[must_use]
    pub fn enabled(self) -> Self {
        Self(self.0 | Self::ENABLED)
    }

    fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// Flags that are not as the agent sets them.
    pub(super) fn warnings(self) -> Vec<TaskWarning> {
        let clear = Self::EXPECTED_SET.into_iter().filter(|(flag, _)| !self.has(*flag));
        let set = Self::EXPECTED_CLEAR.into_iter().filter(|(flag, _)| self.has(*flag));
        let clear = clear.map(|(_, name)| TaskWarning::FlagClear { name });
        clear.chain(set.map(|(_, name)| TaskWarning::FlagSet { name })).collect()
    }
}

/// Parses the value to its end.
///
/// # Errors
/// [`TaskDefect`] if it is damaged, or holds something that the task of the agent does not have.
pub fn parse(blob: &[u8]) -> Result<Triggers, TaskDefect> {
    let mut reader = Reader::new("Triggers", blob)?;
    let version = reader.aligned_u8()?;
    if !(0x15..=0x17).contains(&version) {
        return Err(TaskDefect::Version { name: "Triggers", version: version.into() });
    }
    reader.bytes(32)?;
    let flags = TaskFlags(reader.strictly_aligned_u32()?);
    let xml_crc32 = reader.strictly_aligned_u32()?;
    let principal_id =
        if version >= 0x16 { Some(reader.aligned_text("principal id")?) } else { None };
    if version >= 0x17 {
        reader.aligned_text("display name")?;
    }
    let user = user(&mut reader)?;
    settings(&mut reader)?;
    let mut triggers = Vec::new();
    while !reader.is_at_end() {
        // Two are too many already.
        if triggers.len() > 1 {
            return Err(TaskDefect::MoreThanOneTrigger);
        }
        triggers.push(trigger(&mut reader, version)?);
    }
    Ok(Triggers { version, flags, xml_crc32, principal_id, user, triggers })
}

fn user(reader: &mut Reader<'_>) -> Result<TaskUser, TaskDefect> {
    if reader.aligned_bool("switch that leaves out the user")? {
        return Ok(TaskUser::NotGiven);
    }
    let mut user = TaskUser::NotGiven;
    if !reader.aligned_bool("switch that leaves out the SID")? {
        reader.aligned_u32()?;
        let is_system = reader.aligned_buffer()? == SYSTEM_SID;
        user = if is_system { TaskUser::System } else { TaskUser::Other };
    }
    let name = reader.aligned_text("user name")?;
    // A name without a SID can be any account.
    let is_only_named = user == TaskUser::NotGiven && !name.is_empty();
    Ok(if is_only_named { TaskUser::Other } else { user })
}

fn settings(reader: &mut Reader<'_>) -> Result<(), TaskDefect> {
    let start = reader.at();
    let size_bytes = usize::try_from(reader.aligned_u32()?).unwrap_or(usize::MAX);
    if !SETTINGS_BYTES.contains(&size_bytes) {
        return Err(reader.bad(start, "size of the optional settings"));
    }
    reader.bytes(size_bytes)?;
    reader.align()
}

fn trigger(reader: &mut Reader<'_>, version: u8) -> Result<Trigger, TaskDefect> {
    let start = reader.at();
    let kind = match reader.aligned_u32()? {
        BOOT_TRIGGER => None,
        0x6666 => Some("a system notification"),
        0x7777 => Some("a change of session"),
        0x8888 => Some("its registration"),
        0xaaaa => Some("logon"),
        0xcccc => Some("an event"),
        0xdddd => Some("time"),
        0xeeee => Some("idleness"),
        _ => return Err(reader.bad(start, "kind of trigger")),
    };
    if let Some(kind) = kind {
        return Err(TaskDefect::TriggerKind { kind });
    }
    reader.bytes(56)?;
    let is_enabled = reader.aligned_bool("switch of the trigger")?;
    reader.bytes(8)?;
    if version >= 0x16 {
        reader.text("trigger id")?;
        reader.align()?;
    }
    Ok(Trigger { is_enabled })
}
