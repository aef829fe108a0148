//! Blobs are built here from table WIN-T4 and WIN-71 to WIN-73 (WIN-130).

use super::super::change::apply;
use super::*;
use proptest::prelude::*;

const SYSTEM: &[u8] = &[1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// As the agent registers the task, then disabled: WIN-59, WIN-72.
const FLAGS: u32 = 0x0300_2140;
const COMMAND: &str = "C:\\Windows\\System32\\cmd.exe";
const ARGUMENTS: &str = "/C %SystemRoot%\\System32\\WindowsPowerShell\\v1.0\\powershell.exe -File \
                         \"C:\\ProgramData\\Amazon\\EC2-Windows\\Launch\\Scripts\\InitializeInstance.ps1\"";

/// A value under construction; the fill byte of pads is a parameter.
struct Blob {
    bytes: Vec<u8>,
    pad: u8,
}

impl Blob {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }
    fn align(mut self) -> Self {
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(self.pad);
        }
        self
    }
    fn au1(self, value: u8) -> Self {
        self.raw(&[value]).align()
    }
    fn au4(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes()).align()
    }
    fn abuf(self, bytes: &[u8]) -> Self {
        self.au4(bytes.len() as u32).raw(bytes).align()
    }
    fn abstr(self, text: &str) -> Self {
        self.abuf(&utf16(text))
    }
    fn bstr(self, text: &str) -> Self {
        let bytes = utf16(text);
        self.raw(&(bytes.len() as u32).to_le_bytes()).raw(&bytes)
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[derive(Clone)]
struct Task {
    version: u8,
    flags: u32,
    pad: u8,
    sid: Option<Vec<u8>>,
    user_name: &'static str,
    settings_bytes: usize,
    triggers: Vec<(u32, u8)>,
    trigger_id: &'static str,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            version: 0x17,
            flags: FLAGS,
            pad: 0x48,
            sid: Some(SYSTEM.to_vec()),
            user_name: "",
            settings_bytes: 0x2c,
            triggers: vec![(0xffff, 1)],
            trigger_id: "",
        }
    }
}

impl Task {
    fn triggers(&self) -> Vec<u8> {
        // The two pads that must be 0x48, whatever the others hold.
        let strict = |blob: Blob, value: u32| blob.raw(&value.to_le_bytes()).raw(&[0x48; 4]);
        let mut blob = Blob { bytes: Vec::new(), pad: self.pad }.au1(self.version);
        blob = blob.raw(&[1; 32]);
        blob = strict(blob, self.flags);
        blob = strict(blob, 0x1234_5678);
        if self.version >= 0x16 {
            blob = blob.abstr("Author");
        }
        if self.version >= 0x17 {
            blob = blob.abstr("");
        }
        blob = match &self.sid {
            None if self.user_name.is_empty() => blob.au1(1),
            None => blob.au1(0).au1(1).abstr(self.user_name),
            Some(sid) => blob.au1(0).au1(0).au4(5).abuf(sid).abstr(self.user_name),
        };
        blob = blob.au4(self.settings_bytes as u32).raw(&vec![7; self.settings_bytes]).align();
        for (magic, enabled) in &self.triggers {
            let start = blob.bytes.len();
            blob = blob.au4(*magic).raw(&[0; 56]);
            assert_eq!(blob.bytes.len() - start, 0x40, "WIN-71");
            blob = blob.au1(*enabled).raw(&[9; 8]);
            if self.version >= 0x16 {
                blob = blob.bstr(self.trigger_id).align();
            }
            if self.trigger_id.is_empty() && self.version >= 0x16 {
                assert_eq!(blob.bytes.len() - start, 0x58, "WIN-71");
            }
        }
        blob.bytes
    }
}

fn actions(version: u16, context: &str, list: &[(u16, &str)]) -> Vec<u8> {
    let mut blob = Blob { bytes: version.to_le_bytes().to_vec(), pad: 0 }.bstr(context);
    for (magic, arguments) in list {
        blob = blob.raw(&magic.to_le_bytes()).bstr("").bstr(COMMAND).bstr(arguments).bstr("");
        if version >= 3 {
            blob = blob.raw(&[0, 0]);
        }
    }
    blob.bytes
}

fn good_actions() -> Vec<u8> {
    actions(3, "Author", &[(0x6666, ARGUMENTS)])
}

fn entry<'a>(triggers: &'a [u8], actions: &'a [u8]) -> TaskEntry<'a> {
    TaskEntry {
        id: Some("{01234567-89AB-CDEF-0123-456789ABCDEF}"),
        path: Some(TASK_PATH),
        triggers: Some(triggers),
        actions: Some(actions),
        has_boot_key: true,
    }
}

#[test]
fn the_one_bit_is_set_in_every_layout() {
    // WIN-74 step 7, WIN-70: pads may hold garbage.
    let actions = good_actions();
    for version in [0x15, 0x16, 0x17] {
        for pad in [0x48, 0, 0xee] {
            for settings_bytes in [0, 0x2c, 0x38, 0x58] {
                for trigger_id in ["", "boot", "five5"] {
                    let task = Task { version, pad, settings_bytes, trigger_id, ..Task::default() };
                    let blob = task.triggers();
                    let plan = plan(&entry(&blob, &actions)).unwrap();
                    assert_eq!((plan.keeps_schedule, plan.warnings), (false, vec![]));
                    let change = plan.change.unwrap();
                    assert_eq!((change.offset_bytes, change.old.len()), (0x28, 4));
                    let changed = apply(&blob, &[change]).unwrap();
                    let enabled = Task { flags: FLAGS | 0x40_0000, ..task };
                    assert_eq!(changed, enabled.triggers());
                    let again = super::plan(&entry(&changed, &actions)).unwrap();
                    assert_eq!(again.change, None, "already enabled");
                }
            }
        }
    }
}

#[test]
fn every_requirement_of_the_triggers_has_its_reason() {
    // WIN-74 steps 3 and 4.
    let other_sid = [1, 1, 0, 0, 0, 0, 0, 5, 19, 0, 0, 0].to_vec();
    let default = Task::default;
    let kind = |kind| TaskDefect::TriggerKind { kind };
    for (task, expected) in [
        (
            Task { version: 0x14, ..default() },
            TaskDefect::Version { name: "Triggers", version: 0x14 },
        ),
        (
            Task { version: 0x18, ..default() },
            TaskDefect::Version { name: "Triggers", version: 0x18 },
        ),
        (Task { sid: Some(other_sid), ..default() }, TaskDefect::User),
        (Task { sid: None, user_name: "x", ..default() }, TaskDefect::User),
        (Task { triggers: vec![], ..default() }, TaskDefect::NoTrigger),
        (Task { triggers: vec![(0xaaaa, 1)], ..default() }, kind("logon")),
        (Task { triggers: vec![(0xdddd, 1)], ..default() }, kind("time")),
        (Task { triggers: vec![(0xffff, 1), (0xcccc, 1)], ..default() }, kind("an event")),
        (Task { triggers: vec![(0xffff, 0)], ..default() }, TaskDefect::TriggerDisabled),
        (Task { triggers: vec![(0xffff, 1); 2], ..default() }, TaskDefect::MoreThanOneTrigger),
        (Task { triggers: vec![(0xffff, 1); 90], ..default() }, TaskDefect::MoreThanOneTrigger),
    ] {
        let blob = task.triggers();
        assert_eq!(plan(&entry(&blob, &good_actions())), Err(expected));
    }
    let bad = |offset_bytes, field| TaskDefect::Field { name: "Triggers", offset_bytes, field };
    for (offset, byte, expected) in [
        (0x2c, 0, TaskDefect::Pad { offset_bytes: 0x2c }),
        (0x37, 0x49, TaskDefect::Pad { offset_bytes: 0x34 }),
        (0x38, 11, bad(0x38, "principal id")),
        (0x58, 2, bad(0x58, "switch that leaves out the user")),
        (0x60, 2, bad(0x60, "switch that leaves out the SID")),
        (0x90, 0x2d, bad(0x90, "size of the optional settings")),
        (0xc8, 0xfe, bad(0xc8, "kind of trigger")),
        (0x108, 2, bad(0x108, "switch of the trigger")),
    ] {
        let mut blob = default().triggers();
        blob[offset] = byte;
        assert_eq!(plan(&entry(&blob, &good_actions())), Err(expected), "{offset:#x}");
    }
}

#[test]
fn every_requirement_of_the_actions_has_its_reason() {
    // WIN-73, WIN-74 step 5.
    let one = [(0x6666, ARGUMENTS)];
    let two = [one[0], (0x6666, "x")];
    let many = [one[0]; 40];
    for (blob, expected) in [
        (actions(4, "Author", &one), TaskDefect::Version { name: "Actions", version: 4 }),
        (actions(3, "Other", &one), TaskDefect::Context),
        (actions(3, "Author", &[]), TaskDefect::ActionCount { count: 0 }),
        (actions(3, "Author", &two), TaskDefect::ActionCount { count: 2 }),
        (actions(3, "Author", &many), TaskDefect::ActionCount { count: 33 }),
        (actions(3, "Author", &[(0x7777, "")]), TaskDefect::ActionKind { magic: 0x7777 }),
        (actions(3, "Author", &[(0x6666, "-File x.ps1")]), TaskDefect::Script),
    ] {
        assert_eq!(plan(&entry(&Task::default().triggers(), &blob)), Err(expected));
    }
    let triggers = Task::default().triggers();
    let lower = ARGUMENTS.to_lowercase();
    assert!(plan(&entry(&triggers, &actions(2, "Author", &[(0x6666, &lower)]))).is_ok());
    // WIN-57, WIN-58.
    let kept = format!("{ARGUMENTS} -KeepSchedule");
    let plan = plan(&entry(&triggers, &actions(3, "Author", &[(0x6666, &kept)]))).unwrap();
    assert!(plan.keeps_schedule);
}

#[test]
fn every_requirement_of_the_keys_has_its_reason() {
    // WIN-74 steps 1, 2 and 6.
    let (triggers, actions) = (Task::default().triggers(), good_actions());
    let good = entry(&triggers, &actions);
    for (entry, expected) in [
        (TaskEntry::default(), TaskDefect::NotRegistered),
        (TaskEntry { id: None, ..good }, TaskDefect::NotRegistered),
        (TaskEntry { path: None, ..good }, TaskDefect::Path),
        (TaskEntry { path: Some("\\Folder\\x"), ..good }, TaskDefect::Path),
        (TaskEntry { triggers: None, ..good }, TaskDefect::NoValue { name: "Triggers" }),
        (TaskEntry { actions: None, ..good }, TaskDefect::NoValue { name: "Actions" }),
        (TaskEntry { has_boot_key: false, ..good }, TaskDefect::NoBootKey),
    ] {
        assert_eq!(plan(&entry), Err(expected));
    }
}

#[test]
fn unexpected_settings_are_warnings() {
    // WIN-72.
    let warnings = |task: Task| {
        let blob = task.triggers();
        plan(&entry(&blob, &good_actions())).unwrap().warnings
    };
    let set = |name| TaskWarning::FlagSet { name };
    let clear = |name| TaskWarning::FlagClear { name };
    for (flags, expected) in [
        (FLAGS, vec![]),
        (FLAGS | 0x20, vec![set("stop on batteries")]),
        (FLAGS | 0x4000_0000, vec![set("allow hard terminate")]),
        (0, vec![clear("start when available"), clear("highest run level")]),
    ] {
        assert_eq!(warnings(Task { flags, ..Task::default() }), expected, "{flags:#x}");
    }
    assert_eq!(warnings(Task { sid: None, ..Task::default() }), [TaskWarning::NoUser]);
}

#[test]
fn every_cut_is_refused() {
    let (triggers, actions) = (Task::default().triggers(), good_actions());
    for cut in 0..triggers.len() {
        assert!(plan(&entry(&triggers[..cut], &actions)).is_err(), "{cut}");
    }
    for cut in 0..actions.len() {
        assert!(plan(&entry(&triggers, &actions[..cut])).is_err(), "{cut}");
    }
    let longer = [triggers.as_slice(), &[0]].concat();
    assert!(plan(&entry(&longer, &actions)).is_err());
    let huge = vec![0; VALUE_BYTES_MAX + 1];
    let defect = plan(&entry(&huge, &actions)).unwrap_err();
    assert!(matches!(defect, TaskDefect::TooLarge { name: "Triggers", .. }));
}

proptest! {
    #[test]
    fn damage_never_moves_the_change(at in 0usize..512, bytes in any::<[u8; 4]>()) {
        let (mut triggers, mut actions) = (Task::default().triggers(), good_actions());
        let place = triggers.iter_mut().chain(&mut actions).skip(at);
        place.zip(bytes).for_each(|(place, byte)| *place = byte);
        if let Ok(plan) = plan(&entry(&triggers, &actions)) {
            let changed = plan.change.map_or(triggers.clone(), |change| apply(&triggers, &[change]).unwrap());
            let different: Vec<usize> =
                (0..changed.len()).filter(|&at| changed[at] != triggers[at]).collect();
            prop_assert!(different.is_empty() || different == [0x2a]);
            prop_assert!(changed[0x2a] & 0x40 != 0);
        }
    }
}
