//! Windows system volumes in memory, for the tests of this module and of the actions.

use super::security::Sid;
use super::{AgentKind, hive_path};
use crate::fs::memory::MemoryTree;
use crate::hive::testing::hive_build::{HiveShape, TestKey, build};

pub(crate) const TASK_ID: &str = "{7B1A9C52-4E0D-4F3A-9C4B-2D6E8F102132}";
pub(crate) const MACHINE: &str = "S-1-5-21-1-2-3";
const TASK: &str = "Amazon Ec2 Launch - Instance Initialization";
const CACHE: &str = r"Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache";

pub(crate) const AGENT_CONFIG: &str = "version: 1.1\nconfig:\n  - stage: preReady\n    tasks:\n      - \
    task: setAdminAccount\n        inputs:\n          password:\n            type: random\n  - stage: \
    postReady\n    tasks:\n      - task: startSsm\n";
pub(crate) const LAUNCH_CONFIG: &str = r#"{
    "setComputerName": false,
    "setWallpaper": true,
    "addDnsSuffixList": true,
    "extendBootVolumeSize": true,
    "handleUserData": true,
    "adminPasswordType": "DoNothing",
    "adminPassword": ""
}
"#;
pub(crate) const CONFIG_XML: &str = "<?xml version=\"1.0\"?>\r\n<Ec2ConfigurationSettings><Plugins><Plugin>\
    <Name>Ec2SetPassword</Name><State>Disabled</State></Plugin></Plugins></Ec2ConfigurationSettings>\r\n";

/// What a volume is to hold. Everything can be changed before [`Server::tree`].
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) software: TestKey,
    pub(crate) system: TestKey,
    pub(crate) sam: TestKey,
    pub(crate) shape: HiveShape,
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Server {
    /// A Windows Server 2019 without an agent.
    pub(crate) fn new() -> Self {
        let version = TestKey::new("CurrentVersion")
            .text("ProductName", "Windows Server 2019 Datacenter")
            .text("EditionID", "ServerDatacenter")
            .text("InstallationType", "Server")
            .text("CurrentBuild", "17763")
            .dword("CurrentMajorVersionNumber", 10)
            .dword("CurrentMinorVersionNumber", 0)
            .dword("UBR", 5458);
        let state = TestKey::new("State").text("ImageState", "IMAGE_STATE_COMPLETE");
        let profile = |name: &str| format!(r"C:\Users\{name}");
        let software = TestKey::new("ROOT")
            .at(r"Microsoft\Windows NT", version)
            .at(r"Microsoft\Windows\CurrentVersion\Setup", state);
        let profiles = r"Microsoft\Windows NT\CurrentVersion\ProfileList";
        let software = [(500, "Administrator"), (1001, "alice"), (1002, "bob")].into_iter().fold(
            software,
            |software, (rid, name)| {
                let key = TestKey::new(&format!("{MACHINE}-{rid}"));
                software.at(profiles, key.text("ProfileImagePath", &profile(name)))
            },
        );
        let control = r"ControlSet001\Control";
        let name = TestKey::new("ComputerName").text("ComputerName", "EC2AMAZ-TEST");
        let system = TestKey::new("ROOT")
            .subkey(TestKey::new("Select").dword("Current", 1))
            .subkey(TestKey::new("Setup").dword("SetupType", 0).text("CmdLine", ""))
            .at(&format!(r"{control}\ComputerName"), name)
            .at(control, TestKey::new("ProductOptions").text("ProductType", "ServerNT"));
        let names = r"SAM\Domains\Account\Users\Names";
        let sam = [(500, "Admin"), (501, "Guest"), (1001, "alice"), (1002, "bob")]
            .into_iter()
            .fold(TestKey::new("ROOT"), |sam, (rid, name)| {
                sam.at(names, TestKey::new(name).value("", rid, &[]))
            });
        let sam = sam.at(
            r"SAM\Domains\Builtin\Aliases",
            TestKey::new("00000220").value("C", 3, &alias(&[500, 1001])),
        );
        Self { software, system, sam, shape: HiveShape::default(), files: Vec::new() }
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    pub(crate) fn without(mut self, path: &str) -> Self {
        let before = self.files.len();
        self.files.retain(|(known, _)| known != path);
        assert_eq!(self.files.len() + 1, before, "{path}");
        self
    }

    pub(crate) fn service(self, name: &str, start: u32) -> Self {
        let key = TestKey::new(name).dword("Start", start).dword("Type", 16);
        self.system_key(r"ControlSet001\Services", key)
    }

    /// Puts a key below `path` of the SYSTEM hive, in the place of one of its name.
    pub(crate) fn system_key(mut self, path: &str, key: TestKey) -> Self {
        remove(&mut self.system, &format!("{path}\\{}", key.name));
        self.system = self.system.at(path, key);
        self
    }

    /// Puts a key below `path` of the SOFTWARE hive, in the place of one of its name.
    pub(crate) fn software_key(mut self, path: &str, key: TestKey) -> Self {
        remove(&mut self.software, &format!("{path}\\{}", key.name));
        self.software = self.software.at(path, key);
        self
    }

    /// An agent after its first boot.
    pub(crate) fn agent(self, kind: AgentKind) -> Self {
        let directory = kind.directory();
        match kind {
            AgentKind::LaunchV2 => self
                .file("/Program Files/Amazon/EC2Launch/EC2Launch.exe", b"MZ")
                .file(&format!("{directory}/config/agent-config.yml"), AGENT_CONFIG)
                .file(&format!("{directory}/state/.run-once"), b"")
                .file(&format!("{directory}/state/previous-state.json"), b"{}")
                .service("Amazon EC2Launch", 2),
            AgentKind::LaunchV1 => self
                .file(
                    &format!("{directory}/Module/Ec2Launch.psd1"),
                    b"@{ ModuleVersion = '1.3.2' }",
                )
                .file(&format!("{directory}/Scripts/InitializeInstance.ps1"), b"#")
                .file(&format!("{directory}/Config/LaunchConfig.json"), LAUNCH_CONFIG)
                .task(&triggers(0x0300_2140), &actions(r"C:\x\InitializeInstance.ps1")),
            AgentKind::Config => self
                .file(&format!("{directory}/Ec2Config.exe"), b"MZ")
                .file(&format!("{directory}/Settings/config.xml"), CONFIG_XML)
                .service("Ec2Config", 2),
        }
    }

    /// The scheduled task of EC2Launch v1.
    pub(crate) fn task(self, triggers: &[u8], actions: &[u8]) -> Self {
        let task = TestKey::new(TASK_ID)
            .text("Path", &format!("\\{TASK}"))
            .value("Triggers", 3, triggers)
            .value("Actions", 3, actions);
        self.software_key(&format!(r"{CACHE}\Tree"), TestKey::new(TASK).text("Id", TASK_ID))
            .software_key(&format!(r"{CACHE}\Tasks"), task)
            .software_key(&format!(r"{CACHE}\Boot"), TestKey::new(TASK_ID))
    }

    /// Removes a key of the SOFTWARE hive.
    pub(crate) fn without_software_key(mut self, path: &str) -> Self {
        assert!(remove(&mut self.software, path), "{path}");
        self
    }

    /// An OpenSSH server whose service has this start type.
    pub(crate) fn open_ssh(self, start: u32) -> Self {
        self.file("/Windows/System32/OpenSSH/sshd.exe", b"MZ").service("sshd", start)
    }

    /// The volume.
    pub(crate) fn tree(&self) -> MemoryTree {
        let mut tree = MemoryTree::new().into_ntfs();
        let hives = [("SYSTEM", &self.system), ("SOFTWARE", &self.software), ("SAM", &self.sam)];
        for (name, root) in hives {
            let path = hive_path(name).to_string();
            tree.file(&path, 0, 0o777, &build(root, &self.shape).bytes);
        }
        for (path, content) in &self.files {
            tree.file(path, 0, 0o777, content);
        }
        tree
    }
}

/// True if there was a key at `path`; it is gone then.
fn remove(root: &mut TestKey, path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('\\').filter(|part| !part.is_empty()).collect();
    let last = parts.pop().unwrap();
    let mut key = root;
    for part in parts {
        let Some(at) = key.subkeys.iter().position(|key| key.name == part) else { return false };
        key = &mut key.subkeys[at];
    }
    let before = key.subkeys.len();
    key.subkeys.retain(|key| key.name != last);
    key.subkeys.len() < before
}

/// The value `C` of the group of administrators.
fn alias(rids: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0; 0x34];
    bytes[0x30..0x34].copy_from_slice(&(rids.len() as u32).to_le_bytes());
    for rid in rids {
        bytes.extend([1, 5, 0, 0, 0, 0, 0, 5]);
        bytes.extend([21, 1, 2, 3, *rid].into_iter().flat_map(u32::to_le_bytes));
    }
    bytes
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(8), 0x48);
    bytes
}

fn au(value: u32) -> Vec<u8> {
    padded(value.to_le_bytes().to_vec())
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [(bytes.len() as u32).to_le_bytes().to_vec(), bytes.to_vec()].concat()
}

fn aligned(bytes: &[u8]) -> Vec<u8> {
    [au(bytes.len() as u32), padded(bytes.to_vec())].concat()
}

/// The value `Triggers` of a task with one boot trigger (tables WIN-T4 and WIN-71).
pub(crate) fn triggers(flags: u32) -> Vec<u8> {
    let byte = |value: u8| padded(vec![value]);
    let time = [byte(0), vec![0; 8]].concat();
    let system = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
    assert_eq!(Sid::read(&system, 0).unwrap(), Sid::system());
    let head = [byte(0x17), time.clone(), time.clone(), au(flags), au(0x1234)].concat();
    let names = [aligned(&utf16("Author")), aligned(&[]), byte(0), byte(0), au(5)].concat();
    let user = [aligned(&system), aligned(&[]), aligned(&[0; 0x2c])].concat();
    let trigger = [au(0xffff), time.clone(), time, vec![0; 24], byte(1), vec![0; 8]].concat();
    [head, names, user, trigger, padded(vec![0; 4])].concat()
}

/// The value `Actions` of a task that runs one program (WIN-73).
pub(crate) fn actions(arguments: &str) -> Vec<u8> {
    let text = |text: &str| counted(&utf16(text));
    let head = [3u16.to_le_bytes().to_vec(), text("Author"), 0x6666u16.to_le_bytes().to_vec()];
    let action = [text(""), text("cmd.exe"), text(arguments), text(""), vec![0, 0]];
    [head.concat(), action.concat()].concat()
}
