//! Plans on trees in memory: each agent, each requirement, and a second run that changes nothing.

use super::{Method, ResetRequest, plan};
use crate::action::edit::{expectations, run};
use crate::action::{FileChange, Outcome, Plan};
use crate::error::{ErrorKind, Refusal, Result};
use crate::fs::FileSystem;
use crate::fs::memory::MemoryTree;
use crate::fs::path::{GuestPath, find};
use crate::guest::windows::format::Password;
use crate::guest::windows::registry::Registry;
use crate::guest::windows::testing::{
    AGENT_CONFIG, CONFIG_XML, LAUNCH_CONFIG, Server, TASK_ID, actions, triggers,
};
use crate::guest::windows::{AgentKind, hive_path};
use crate::hive::testing::hive_build::TestKey;
use crate::login::Severity;

const MARKER: &str = "/ProgramData/Amazon/EC2Launch/state/.run-once";
const V2_CONFIG: &str = "/ProgramData/Amazon/EC2Launch/config/agent-config.yml";
const V1_CONFIG: &str = "/ProgramData/Amazon/EC2-Windows/Launch/Config/LaunchConfig.json";
const XML: &str = "/Program Files/Amazon/Ec2ConfigService/Settings/config.xml";
const CACHE: &str = r"Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache";
const TASK: &str = "Amazon Ec2 Launch - Instance Initialization";

/// Plans, edits, checks what was promised, and plans again: the second time nothing may change.
pub(super) fn reset(tree: &mut MemoryTree, request: &ResetRequest) -> Result<Plan> {
    let planned = plan(tree, request)?;
    let promised = expectations(&planned, tree)?;
    run(&planned, tree)?;
    for expected in promised {
        let found = find(tree, &expected.path)?;
        assert_eq!(found.is_some(), expected.node.is_some(), "{:?}", expected.path);
        if let (Some(found), Some(node)) = (found, expected.node) {
            let content = node.content.unwrap_or_default();
            let is_file = !content.is_empty();
            assert!(!is_file || tree.read(found.node, 1 << 24)? == content, "{:?}", expected.path);
            for (offset_bytes, bytes) in node.pieces {
                let found = tree.read_at(found.node, offset_bytes, bytes.len())?;
                // A later piece may lie over an earlier one.
                assert_eq!(found.len(), bytes.len());
            }
        }
    }
    let again = plan(tree, request)?;
    assert_eq!(again.changes, [], "a second run");
    assert!(again.users.iter().all(|user| user.outcome == Outcome::AlreadyPresent));
    Ok(planned)
}

fn automatic(server: &Server) -> (MemoryTree, Result<Plan>) {
    let mut tree = server.tree();
    let planned = reset(&mut tree, &ResetRequest::default());
    (tree, planned)
}

pub(super) fn changed(plan: &Plan) -> Vec<(&'static str, String)> {
    plan.changes.iter().map(|change| (change.action_name(), change.path().to_string())).collect()
}

pub(super) fn rules(plan: &Plan, severity: Severity) -> Vec<&'static str> {
    let found = plan.findings.iter().filter(|finding| finding.severity == severity);
    found.map(|finding| finding.rule).collect()
}

pub(super) fn refusal(server: &Server, request: &ResetRequest) -> (u8, String) {
    let tree = server.tree();
    let error = plan(&tree, request).unwrap_err();
    (error.exit_status(), error.to_string())
}

pub(super) fn text_at<'a>(tree: &'a MemoryTree, path: &str) -> &'a str {
    std::str::from_utf8(tree.content_at(path).unwrap()).unwrap()
}

fn flags(tree: &MemoryTree) -> u32 {
    let hive = Registry::open(tree, &hive_path("SOFTWARE")).unwrap();
    let data = hive.data(&format!(r"{CACHE}\Tasks\{TASK_ID}"), "Triggers").unwrap().unwrap();
    u32::from_le_bytes(data.bytes[0x28..0x2c].try_into().unwrap())
}

#[test]
fn v2_loses_its_marker_and_nothing_else_win_39_win_40() {
    let (tree, planned) = automatic(&Server::new().agent(AgentKind::LaunchV2));
    let planned = planned.unwrap();
    assert_eq!(changed(&planned), [("remove", MARKER.to_owned())]);
    assert_eq!(planned.users[0].name, b"Admin");
    assert!(tree.node_at("/ProgramData/Amazon/EC2Launch/state/previous-state.json").is_some());
    assert_eq!(text_at(&tree, V2_CONFIG), AGENT_CONFIG);
    let warned = rules(&planned, Severity::Warn);
    for rule in ["WIN-122", "WIN-50", "WIN-123"] {
        assert!(warned.contains(&rule), "{rule}: {warned:?}");
    }
    assert!(!warned.contains(&"WIN-127"), "the vendor describes this edit");
    for rule in ["WIN-7", "WIN-51", "WIN-114", "WIN-124", "WIN-125"] {
        assert!(rules(&planned, Severity::Info).contains(&rule), "{rule}");
    }
}

#[test]
fn v2_types_that_give_no_password_become_random_in_place_win_45_win_46_win_t3() {
    for (old, expected) in [
        ("type: random", None),
        ("type: static", Some("type: random")),
        ("type: doNothing", Some("type: random   ")),
    ] {
        let config = AGENT_CONFIG.replace("type: random", old);
        let server = Server::new().agent(AgentKind::LaunchV2).file(V2_CONFIG, &config);
        let (tree, planned) = automatic(&server);
        let planned = planned.unwrap();
        let changed = changed(&planned);
        let after = text_at(&tree, V2_CONFIG);
        assert_eq!(after.len(), config.len());
        assert_eq!(after, config.replace(old, expected.unwrap_or(old)));
        assert_eq!(changed.len(), if expected.is_some() { 2 } else { 1 }, "{old}");
        assert!(changed.iter().all(|(action, _)| matches!(*action, "overwrite" | "remove")));
        let is_experimental = rules(&planned, Severity::Warn).contains(&"WIN-127");
        assert_eq!(is_experimental, expected.is_some(), "{old}");
    }
}

#[test]
fn v2_configurations_that_cannot_work_are_refused_win_28_win_44_win_47() {
    let with = |config: &str| Server::new().agent(AgentKind::LaunchV2).file(V2_CONFIG, config);
    for (config, rule) in [
        (format!("{AGENT_CONFIG}      - task: sysprep\n"), "WIN-28"),
        (AGENT_CONFIG.replace("setAdminAccount", "setWallpaper"), "WIN-47"),
        (AGENT_CONFIG.replace("preReady", "boot"), "WIN-44"),
    ] {
        let (status, message) = refusal(&with(&config), &ResetRequest::default());
        assert_eq!(status, 4);
        assert!(message.contains(rule), "{rule}: {message}");
    }
    for config in ["", "config: [", "\0\0\0", "- a\n", "config: &a []\n"] {
        let (status, message) = refusal(&with(config), &ResetRequest::default());
        assert_eq!(status, 4, "{message}");
        assert!(message.contains("agent-config.yml"), "{message}");
    }
    // Without inputs it is left as it is, with a warning.
    let lines = AGENT_CONFIG
        .lines()
        .filter(|line| !["inputs:", "password:", "type:"].iter().any(|word| line.contains(word)));
    let config: Vec<&str> = lines.collect();
    let (_, planned) = automatic(&with(&format!("{}\n", config.join("\n"))));
    assert!(rules(&planned.unwrap(), Severity::Warn).contains(&"WIN-47"));
}

#[test]
fn v1_gets_one_bit_and_a_random_type_win_65_win_74() {
    let (tree, planned) = automatic(&Server::new().agent(AgentKind::LaunchV1));
    let planned = planned.unwrap();
    let software = hive_path("SOFTWARE").to_string();
    let expected = [
        ("overwrite", V1_CONFIG.to_owned()),
        ("overwrite", software.clone()),
        ("overwrite", software.clone()),
    ];
    assert_eq!(changed(&planned), expected);
    let FileChange::Overwrite { offset_bytes, bytes, .. } = planned.changes.last().unwrap() else {
        panic!("{planned:?}");
    };
    assert_eq!((*offset_bytes, bytes.len()), (0, 512), "the base block comes last (WIN-96)");
    assert_eq!(flags(&tree), 0x0340_2140);
    assert_eq!(
        text_at(&tree, V1_CONFIG),
        LAUNCH_CONFIG.replace(r#""DoNothing""#, r#""Random"   "#)
    );
    let warned = rules(&planned, Severity::Warn);
    for rule in ["WIN-122", "WIN-127", "WIN-67"] {
        assert!(warned.contains(&rule), "{rule}: {warned:?}");
    }
}

#[test]
fn v1_parts_that_are_done_stay_win_56_win_58_win_62() {
    let server = Server::new().agent(AgentKind::LaunchV1);
    let random = LAUNCH_CONFIG.replace("DoNothing", "random");
    let enabled = triggers(0x0340_2140);
    let every_boot = actions(r"C:\x\InitializeInstance.ps1 -KeepSchedule");
    for (name, server, count) in [
        ("random", server.clone().file(V1_CONFIG, &random), 2),
        ("no file", server.clone().without(V1_CONFIG), 2),
        ("every boot", server.clone().task(&enabled, &every_boot), 1),
        ("all", server.clone().file(V1_CONFIG, &random).task(&enabled, &every_boot), 0),
    ] {
        let (_, planned) = automatic(&server);
        assert_eq!(planned.unwrap().changes.len(), count, "{name}");
    }
}

#[test]
fn v1_without_a_usable_task_is_refused_win_74_win_75() {
    let server = Server::new().agent(AgentKind::LaunchV1);
    let script = actions(r"C:\x\InitializeInstance.ps1");
    let tasks = format!(r"{CACHE}\Tasks");
    let wrong_path = TestKey::new(TASK_ID).text("Path", "\\Other");
    let no_trigger = TestKey::new(TASK_ID).text("Path", &format!("\\{TASK}"));
    for (name, server) in [
        ("tree", server.clone().without_software_key(&format!(r"{CACHE}\Tree\{TASK}"))),
        ("task", server.clone().without_software_key(&format!(r"{tasks}\{TASK_ID}"))),
        ("boot", server.clone().without_software_key(&format!(r"{CACHE}\Boot\{TASK_ID}"))),
        ("path", server.clone().software_key(&tasks, wrong_path)),
        ("value", server.clone().software_key(&tasks, no_trigger)),
        ("script", server.clone().task(&triggers(0x0300_2140), &actions("other.ps1"))),
        ("short", server.clone().task(&triggers(0)[..0x60], &script)),
        ("version", server.clone().task(&[&[0x14], &triggers(0)[1..]].concat(), &script)),
    ] {
        let (status, message) = refusal(&server, &ResetRequest::default());
        assert_eq!(status, 4, "{name}: {message}");
        assert!(message.contains("WIN-75"), "{name}: {message}");
    }
}

#[test]
fn ec2config_gets_its_plug_in_win_82_win_84() {
    let (tree, planned) = automatic(&Server::new().agent(AgentKind::Config));
    let planned = planned.unwrap();
    assert_eq!(changed(&planned), [("overwrite", XML.to_owned())]);
    let expected = CONFIG_XML.replace("<State>Disabled</State>", "<State>Enabled</State> ");
    assert_eq!(text_at(&tree, XML), expected);
    assert!(!rules(&planned, Severity::Warn).contains(&"WIN-127"), "the vendor describes it");
    let others = "<Plugin><Name>Ec2SetComputerName</Name><State>Enabled</State></Plugin><Plugin>\
        <Name>Ec2HandleUserData</Name><State>Enabled</State></Plugin></Plugins>";
    let config = CONFIG_XML.replace("</Plugins>", others);
    let (_, planned) = automatic(&Server::new().agent(AgentKind::Config).file(XML, config));
    let warned = rules(&planned.unwrap(), Severity::Warn);
    assert_eq!(warned.iter().filter(|rule| **rule == "WIN-84").count(), 2, "{warned:?}");
}

#[test]
fn the_first_whole_agent_is_taken_unless_one_is_named_win_6() {
    let server = Server::new().agent(AgentKind::LaunchV1).agent(AgentKind::Config);
    let (_, planned) = automatic(&server);
    let planned = planned.unwrap();
    assert_eq!(planned.changes[0].path(), &GuestPath::new(V1_CONFIG));
    assert!(rules(&planned, Severity::Info).contains(&"WIN-6"), "the other one is named");
    let request = ResetRequest { agent: Some(AgentKind::Config), ..ResetRequest::default() };
    let planned = reset(&mut server.tree(), &request).unwrap();
    assert_eq!(changed(&planned), [("overwrite", XML.to_owned())]);
    let request = ResetRequest { agent: Some(AgentKind::LaunchV2), ..ResetRequest::default() };
    let (status, message) = refusal(&server, &request);
    assert_eq!(status, 4);
    assert!(message.contains("EC2Launch v2 is not installed"), "{message}");
    let (_, message) = refusal(&Server::new(), &ResetRequest::default());
    assert!(message.contains("nothing is there of EC2Launch v2"), "{message}");
    let leftover = server.agent(AgentKind::LaunchV2);
    let request = ResetRequest { agent: Some(AgentKind::LaunchV1), ..ResetRequest::default() };
    let (_, message) = refusal(&leftover, &request);
    assert!(message.contains("EC2Launch v2 is installed"), "{message}");
}

#[test]
fn a_disabled_service_is_refused_or_enabled_win_37() {
    for (kind, service) in
        [(AgentKind::LaunchV2, "Amazon EC2Launch"), (AgentKind::Config, "Ec2Config")]
    {
        let server = Server::new().agent(kind).service(service, 4);
        let error = plan(&server.tree(), &ResetRequest::default()).unwrap_err();
        let ErrorKind::Refused(Refusal::ServiceDisabled { service: named }) = error.kind() else {
            panic!("{error}");
        };
        assert_eq!(named, service);
        let request = ResetRequest { enable_service: true, ..ResetRequest::default() };
        let mut tree = server.tree();
        let planned = reset(&mut tree, &request).unwrap();
        assert!(rules(&planned, Severity::Warn).contains(&"WIN-37"));
        let hive = Registry::open(&tree, &hive_path("SYSTEM")).unwrap();
        let key = format!(r"ControlSet001\Services\{service}");
        assert_eq!(hive.dword(&key, "Start").unwrap(), Some(2));
        assert_eq!(tree.content_at(&hive_path("SYSTEM").to_string()).unwrap().len(), {
            let before = server.tree();
            before.content_at(&hive_path("SYSTEM").to_string()).unwrap().len()
        });
    }
}

#[test]
fn domain_controllers_are_refused_whatever_is_asked_win_15_win_26() {
    let server = Server::new().agent(AgentKind::LaunchV2).file("/Windows/NTDS/ntds.dit", b"x");
    for request in [
        ResetRequest::default(),
        ResetRequest { agent: Some(AgentKind::LaunchV2), ..ResetRequest::default() },
        with_password(Method::StartupScript),
        with_password(Method::Setup),
    ] {
        let (status, message) = refusal(&server, &request);
        assert_eq!(status, 4);
        assert!(message.contains("domain controller"), "{message}");
    }
}

#[test]
fn without_the_system_hive_nothing_is_known_and_nothing_done() {
    let server = Server::new().agent(AgentKind::LaunchV2);
    let mut tree = server.tree();
    let path = hive_path("SYSTEM").to_string();
    let mut hive = tree.content_at(&path).unwrap().to_vec();
    hive[0] = b'x';
    tree.file(&path, 0, 0o777, &hive);
    for request in [ResetRequest::default(), with_password(Method::StartupScript)] {
        let error = plan(&tree, &request).unwrap_err();
        assert_eq!(error.kind_name(), "corrupt", "{error}");
        assert!(error.to_string().contains("SYSTEM"), "{error}");
    }
    // Without the accounts only their names are missing.
    let mut tree = server.tree();
    tree.file(&hive_path("SAM").to_string(), 0, 0o777, b"x");
    let planned = plan(&tree, &with_password(Method::StartupScript)).unwrap();
    assert_eq!(planned.users[0].name, b"Administrator");
    assert!(rules(&planned, Severity::Warn).contains(&"WIN-63"));
}

#[test]
fn members_of_a_domain_and_unfinished_setups_are_warned_of_win_14_win_126() {
    let parameters = TestKey::new("Parameters").text("Domain", "corp.example");
    let state = TestKey::new("State").text("ImageState", "IMAGE_STATE_UNDEPLOYABLE");
    let server = Server::new()
        .agent(AgentKind::LaunchV2)
        .system_key(r"ControlSet001\Services\Tcpip", parameters)
        .software_key(r"Microsoft\Windows\CurrentVersion\Setup", state);
    let (_, planned) = automatic(&server);
    let warned = rules(&planned.unwrap(), Severity::Warn);
    assert!(warned.contains(&"WIN-126") && warned.contains(&"WIN-14"), "{warned:?}");
}

#[test]
fn a_hive_that_may_have_transactions_is_edited_and_told_of_win_25() {
    for (flags, is_told) in [(0, false), (1, true)] {
        let mut server = Server::new().agent(AgentKind::LaunchV1);
        server.shape.flags = flags;
        let planned = plan(&server.tree(), &ResetRequest::default()).unwrap();
        assert!(!planned.changes.is_empty());
        assert_eq!(rules(&planned, Severity::Info).contains(&"WIN-25"), is_told, "{flags}");
    }
}

#[test]
fn a_password_of_the_caller_goes_where_an_agent_takes_one_win_48_win_66() {
    for (kind, path) in [(AgentKind::LaunchV2, V2_CONFIG), (AgentKind::LaunchV1, V1_CONFIG)] {
        let server = Server::new().agent(kind);
        let request = with_password(Method::Agent);
        let mut tree = server.tree();
        let planned = reset(&mut tree, &request).unwrap();
        assert!(text_at(&tree, path).contains("Correct-Horse-7"), "{kind:?}");
        let warned = rules(&planned, Severity::Warn);
        for rule in ["WIN-123", "WIN-127"] {
            assert!(warned.contains(&rule), "{kind:?}: {warned:?}");
        }
        assert!(!warned.contains(&"WIN-122"), "no key pair is needed");
        assert_secret_stays(&planned);
    }
    let server = Server::new().agent(AgentKind::Config);
    assert_eq!(refusal(&server, &with_password(Method::Agent)).0, 2);
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    let server = Server::new().agent(AgentKind::LaunchV2);
    let user = Some("alice".to_owned());
    for request in [
        ResetRequest { user: user.clone(), ..ResetRequest::default() },
        ResetRequest { method: Method::StartupScript, ..ResetRequest::default() },
        ResetRequest { method: Method::Setup, user, ..ResetRequest::default() },
        ResetRequest { agent: Some(AgentKind::LaunchV2), ..with_password(Method::StartupScript) },
    ] {
        let (status, message) = refusal(&server, &request);
        assert_eq!(status, 2, "{message}");
    }
}

pub(super) fn with_password(method: Method) -> ResetRequest {
    let password = Some(Password::new("Correct-Horse-7").unwrap());
    ResetRequest { method, password, ..ResetRequest::default() }
}

/// Nothing that is printed or kept beside the bytes may hold the password.
pub(super) fn assert_secret_stays(plan: &Plan) {
    let shown = format!("{:?} {:?}", plan.findings, plan.users);
    assert!(!shown.contains("Correct-Horse"), "{shown}");
    for change in &plan.changes {
        assert!(!change.detail().contains("Correct-Horse"), "{}", change.detail());
    }
}
