//! The fallbacks F1 and F2 on trees in memory.

use super::tests::{assert_secret_stays, changed, refusal, reset, rules, text_at, with_password};
use super::{Method, ResetRequest, plan};
use crate::action::FileChange;
use crate::fs::memory::MemoryTree;
use crate::fs::{FileSystem as _, NTFS_ACL_NAME};
use crate::guest::windows::format::Password;
use crate::guest::windows::hive_path;
use crate::guest::windows::registry::Registry;
use crate::guest::windows::security::who_else_may_change;
use crate::guest::windows::testing::Server;
use crate::hive::testing::hive_build::TestKey;
use crate::login::Severity;

const POLICY: &str = "/Windows/System32/GroupPolicy";
const SCRIPT: &str =
    "/Windows/System32/GroupPolicy/Machine/Scripts/Startup/regain-password-reset.cmd";
const SETUP_SCRIPT: &str = "/Windows/System32/regain-password-reset.cmd";

fn startup() -> ResetRequest {
    with_password(Method::StartupScript)
}

/// Who besides the system and the administrators may change a new node: what it was given says so.
fn others(tree: &MemoryTree, path: &str) -> Vec<String> {
    let descriptor = tree.xattr(tree.node_at(path).unwrap(), NTFS_ACL_NAME).unwrap().unwrap();
    who_else_may_change(&descriptor, &[]).unwrap()
}

#[test]
fn a_start_up_script_is_made_where_there_is_no_policy_win_113_win_115_win_116_win_117() {
    let mut tree = Server::new().tree();
    let planned = reset(&mut tree, &startup()).unwrap();
    let expected = [
        ("create_directory", POLICY.to_owned()),
        ("create_directory", format!("{POLICY}/Machine")),
        ("create_directory", format!("{POLICY}/Machine/Scripts")),
        ("create_directory", format!("{POLICY}/Machine/Scripts/Startup")),
        ("create_file", SCRIPT.to_owned()),
        ("create_file", format!("{POLICY}/Machine/Scripts/scripts.ini")),
        ("create_file", format!("{POLICY}/gpt.ini")),
    ];
    assert_eq!(changed(&planned), expected, "gpt.ini comes last");
    for (_, path) in expected {
        assert_eq!(others(&tree, &path), [""; 0], "{path}");
    }
    assert!(text_at(&tree, &format!("{POLICY}/gpt.ini")).contains("Version=1"));
    assert_eq!(planned.users[0].name, b"Admin");
    let warned = rules(&planned, Severity::Warn);
    assert!(warned.contains(&"WIN-123"), "{warned:?}");
    assert!(!warned.contains(&"WIN-127") && !warned.contains(&"WIN-122"), "{warned:?}");
    assert_secret_stays(&planned);
}

/// Documented by Microsoft: the policy counts for members of a domain, and outside it is ignored.
#[test]
fn local_policy_that_is_turned_off_is_respected_where_windows_does_win_115() {
    let policies = |value| TestKey::new("System").dword("DisableLGPOProcessing", value);
    let server = |value| Server::new().software_key(r"Policies\Microsoft\Windows", policies(value));
    let member = |server: Server| {
        let parameters = TestKey::new("Parameters").text("Domain", "corp.example");
        server.system_key(r"ControlSet001\Services\Tcpip", parameters)
    };
    let (status, message) = refusal(&member(server(1)), &startup());
    assert_eq!(status, 4, "{message}");
    assert!(message.contains("DisableLGPOProcessing"), "{message}");
    for (server, is_told) in [(server(1), true), (server(0), false), (member(server(0)), false)] {
        let planned = plan(&server.tree(), &startup()).unwrap();
        assert_eq!(rules(&planned, Severity::Warn).contains(&"WIN-115"), is_told);
    }
    plan(&member(server(1)).tree(), &with_password(Method::Setup)).unwrap();
}

#[test]
fn a_policy_that_is_there_is_extended_win_116_win_117() {
    let gpt = "[General]\r\ngPCMachineExtensionNames=[{35378EAC-683F-11D2-A89A-00C04FBBCFA2}{D02B1F72-3407-\
               48AE-BA88-E8213C6761F1}]\r\nVersion=65539\r\n";
    let scripts = "[Startup]\r\n0CmdLine=other.cmd\r\n0Parameters=\r\n";
    let server = Server::new()
        .file(&format!("{POLICY}/gpt.ini"), gpt)
        .file(&format!("{POLICY}/Machine/Scripts/scripts.ini"), scripts)
        .file(&format!("{POLICY}/Machine/Scripts/Startup/other.cmd"), "rem\r\n");
    let mut tree = server.tree();
    let planned = reset(&mut tree, &startup()).unwrap();
    let actions: Vec<&str> = changed(&planned).iter().map(|(action, _)| *action).collect();
    assert_eq!(actions, ["create_file", "replace", "replace"]);
    let after = text_at(&tree, &format!("{POLICY}/gpt.ini"));
    assert!(after.contains("Version=65540"), "the low half is raised: {after}");
    assert!(after.contains("{35378EAC-") && after.contains("{42B5FAAE-"), "{after}");
    let after = text_at(&tree, &format!("{POLICY}/Machine/Scripts/scripts.ini"));
    assert!(after.contains("0CmdLine=other.cmd") && after.contains("1CmdLine=regain"), "{after}");
}

#[test]
fn another_password_before_the_boot_renews_the_script_only() {
    let mut tree = Server::new().tree();
    reset(&mut tree, &startup()).unwrap();
    let password = Some(Password::new("Other-Horse-8").unwrap());
    let planned = reset(&mut tree, &ResetRequest { password, ..startup() }).unwrap();
    assert_eq!(changed(&planned), [("replace", SCRIPT.to_owned())]);
    // The entry of an earlier run without its script cannot be completed.
    let node = tree.node_at(&format!("{POLICY}/Machine/Scripts/Startup")).unwrap();
    crate::fs::FileEdit::remove(&mut tree, node, b"regain-password-reset.cmd").unwrap();
    assert_eq!(plan(&tree, &startup()).unwrap_err().exit_status(), 4);
}

#[test]
fn versions_without_a_proof_are_named_win_127() {
    for (build, is_experimental) in [("17763", false), ("20348", true), ("26100", true), ("", true)]
    {
        let version = TestKey::new("CurrentVersion").text("CurrentBuild", build);
        let mut server = Server::new();
        server.software.subkeys.clear();
        let server = server.software_key(r"Microsoft\Windows NT", version);
        let planned = plan(&server.tree(), &startup()).unwrap();
        assert_eq!(
            rules(&planned, Severity::Warn).contains(&"WIN-127"),
            is_experimental,
            "{build}"
        );
    }
}

#[test]
fn accounts_and_passwords_that_cannot_be_are_refused() {
    let server = Server::new();
    let request = |user: Option<&str>, password: &str| ResetRequest {
        user: user.map(str::to_owned),
        password: Some(Password::new(password).unwrap()),
        ..startup()
    };
    for (user, password, status) in [
        (None, "nothing", 2),
        (Some("alice"), "Alice-Passw0rd", 2),
        (Some("nobody"), "Correct-Horse-7", 3),
    ] {
        assert_eq!(refusal(&server, &request(user, password)).0, status, "{user:?} {password}");
    }
    let planned = plan(&server.tree(), &request(Some("ALICE"), "Correct-Horse-7")).unwrap();
    assert_eq!(planned.users[0].name, b"alice");
    assert!(rules(&planned, Severity::Warn).contains(&"WIN-118"), "becomes an administrator");
}

#[test]
fn the_command_of_setup_is_set_beside_its_script_win_119() {
    let mut tree = Server::new().tree();
    let request = with_password(Method::Setup);
    let planned = reset(&mut tree, &request).unwrap();
    let changed = changed(&planned);
    assert_eq!(changed[0], ("create_file", SETUP_SCRIPT.to_owned()), "the script comes first");
    assert!(changed[1..].iter().all(|(_, path)| *path == hive_path("SYSTEM").to_string()));
    assert_eq!(others(&tree, SETUP_SCRIPT), [""; 0]);
    let hive = Registry::open(&tree, &hive_path("SYSTEM")).unwrap();
    assert_eq!(hive.dword("Setup", "SetupType").unwrap(), Some(2));
    let command = hive.string("Setup", "CmdLine").unwrap().unwrap();
    assert!(command.ends_with("regain-password-reset.cmd"), "{command}");
    drop(hive);
    let warned = rules(&planned, Severity::Warn);
    assert!(warned.contains(&"WIN-127") && warned.contains(&"WIN-119"), "{warned:?}");
    assert_secret_stays(&planned);
    let password = Some(Password::new("Other-Horse-8").unwrap());
    let again = reset(&mut tree, &ResetRequest { password, ..request }).unwrap();
    let actions: Vec<&str> = again.changes.iter().map(FileChange::action_name).collect();
    assert_eq!(actions, ["remove", "create_file"], "the values stay");
}

#[test]
fn a_setup_under_way_is_left_alone_win_119() {
    for (name, value) in [("SetupType", 1), ("SystemSetupInProgress", 1), ("OOBEInProgress", 1)] {
        let setup = TestKey::new("Setup").dword(name, value).text("CmdLine", "");
        let server = Server::new().system_key("", setup);
        assert_eq!(refusal(&server, &with_password(Method::Setup)).0, 4, "{name}");
    }
    let setup = TestKey::new("Setup").dword("SetupType", 0).text("CmdLine", "oobe.exe");
    assert_eq!(refusal(&Server::new().system_key("", setup), &with_password(Method::Setup)).0, 4);
}
