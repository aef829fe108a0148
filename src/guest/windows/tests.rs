//! Systems on trees in memory.

use super::testing::Server;
use super::*;
use crate::fs::memory::MemoryTree;
use crate::guest::windows::users::{administrators, profiles};
use crate::hive::testing::hive_build::TestKey;

fn look(server: &Server) -> System {
    let system = detect(&server.tree()).unwrap().unwrap();
    assert_eq!(system.warnings, [""; 0]);
    system
}

#[test]
fn a_system_volume_holds_three_hives_win_10_win_11() {
    let mut tree = MemoryTree::new().into_ntfs();
    for hive in ["SYSTEM", "Software", "sam"] {
        assert!(detect(&tree).unwrap().is_none(), "before {hive}");
        tree.file(&format!("/WINDOWS/SYSTEM32/Config/{hive}"), 0, 0o777, b"");
    }
    // The hives are empty: still Windows, but nothing is known of it.
    let system = detect(&tree).unwrap().unwrap();
    assert_eq!((system.full_name().as_str(), system.warnings.len()), ("Windows", 3));
    let mut recovery = MemoryTree::new().into_ntfs();
    recovery.file("/Recovery/WindowsRE/Winre.wim", 0, 0o777, b"");
    assert!(detect(&recovery).unwrap().is_none());
}

#[test]
fn the_registry_says_what_it_is_win_12_win_13() {
    let system = look(&Server::new());
    assert_eq!(system.full_name(), "Windows Server 2019 Datacenter");
    assert_eq!(system.version.number(), "10.0.17763.5458");
    assert_eq!(system.version.server_name(), Some("2019"));
    assert_eq!(system.host_name.as_deref(), Some(b"EC2AMAZ-TEST".as_slice()));
    assert_eq!(system.control_set.as_ref().unwrap().key(), "ControlSet001");
    assert_eq!(system.administrator().unwrap().name, "Admin");
    assert!(!system.is_in_setup() && system.domain_controller.is_none());
    assert_eq!(system.users.len(), 4);
}

#[test]
fn the_control_set_is_the_one_of_the_next_boot_win_13() {
    let mut server = Server::new();
    let product = TestKey::new("ProductOptions").text("ProductType", "ServerNT");
    server = server.system_key(r"ControlSet002\Control", product);
    for (number, key) in
        [(1, Some("ControlSet001")), (2, Some("ControlSet002")), (3, None), (1000, None)]
    {
        let select = TestKey::new("Select").dword("Current", number);
        let server = server.clone().system_key("", select);
        let system = detect(&server.tree()).unwrap().unwrap();
        assert_eq!(system.control_set.as_ref().map(ControlSet::key), key, "{number}");
        assert_eq!(system.warnings.is_empty(), key.is_some());
    }
}

#[test]
fn a_domain_controller_is_told_by_its_type_or_its_database_win_15() {
    let product = TestKey::new("ProductOptions").text("ProductType", "LanmanNT");
    let by_type = Server::new().system_key(r"ControlSet001\Control", product);
    assert_eq!(look(&by_type).domain_controller, Some("ProductType is LanmanNT"));
    let by_file = Server::new().file("/Windows/NTDS/ntds.dit", b"x");
    assert!(look(&by_file).domain_controller.unwrap().contains("ntds.dit"));
}

#[test]
fn agents_are_told_by_files_and_service_win_6_win_36_win_54_win_79() {
    use AgentKind::{Config, LaunchV1, LaunchV2};
    let server =
        |kinds: &[AgentKind]| kinds.iter().fold(Server::new(), |server, &kind| server.agent(kind));
    let complete = |server: &Server| -> Vec<AgentKind> {
        let agents = look(server).agents;
        agents.iter().filter(|agent| agent.is_complete()).map(|agent| agent.kind).collect()
    };
    for (kinds, expected) in [
        (vec![], vec![]),
        (vec![LaunchV2], vec![LaunchV2]),
        (vec![LaunchV1], vec![LaunchV1]),
        (vec![Config], vec![Config]),
        (vec![Config, LaunchV1], vec![LaunchV1, Config]),
        // Version 1 stays behind when version 2 takes over (WIN-54).
        (vec![LaunchV1, LaunchV2, Config], vec![LaunchV2, Config]),
    ] {
        assert_eq!(complete(&server(&kinds)), expected, "{kinds:?}");
    }
    // Directories that a migration leaves behind are no agent.
    let settings = "/ProgramData/Amazon/EC2Launch/config/agent-config.yml";
    assert_eq!(look(&Server::new().file(settings, b"")).agents, []);
    for kind in AgentKind::ALL {
        let whole = server(&[kind]);
        for (path, _) in whole.files.clone() {
            let cut = look(&whole.clone().without(&path));
            let agent = cut.agent(kind);
            let is_needed = agent.is_none_or(|agent| !agent.is_complete());
            let may_miss = path.contains("/state/") || path.ends_with("LaunchConfig.json");
            assert_eq!(is_needed, !may_miss, "{path}");
        }
    }
    assert!(look(&server(&[LaunchV2]).service("Amazon EC2Launch", 4)).agents[0].is_disabled());
}

#[test]
fn services_beside_the_agents_are_found() {
    let system = look(&Server::new());
    assert_eq!((system.ssm, system.open_ssh), (None, None));
    let system = look(&Server::new().service("AmazonSSMAgent", 2));
    assert_eq!(system.ssm.unwrap().start, Start::Automatic);
    for (start, reason) in [(2, None), (3, Some("manual")), (4, Some("disabled"))] {
        let open_ssh = look(&Server::new().open_ssh(start)).open_ssh.unwrap();
        let found = open_ssh.reason_against();
        assert_eq!(found.is_some(), reason.is_some());
        assert!(found.unwrap_or_default().contains(reason.unwrap_or_default()));
    }
    let no_program = look(&Server::new().service("sshd", 2)).open_ssh.unwrap();
    assert!(no_program.reason_against().unwrap().contains("sshd.exe"));
    let no_service = Server::new().file("/Windows/System32/OpenSSH/sshd.exe", b"MZ");
    assert!(look(&no_service).open_ssh.unwrap().reason_against().unwrap().contains("service"));
}

#[test]
fn the_state_of_setup_is_a_value_or_a_file_win_14() {
    let mut server = Server::new();
    server.software.subkeys.clear();
    assert_eq!(look(&server).image_state, None);
    let ini = "[State]\r\nImageState=IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE\r\n";
    let system = look(&server.file("/Windows/Setup/State/State.ini", ini));
    assert!(system.is_in_setup());
}

#[test]
fn administrators_and_profiles_are_read() {
    let tree = Server::new().tree();
    let sam = Registry::open(&tree, &hive_path("SAM")).unwrap();
    let members = administrators(&sam).unwrap().unwrap();
    let rids: Vec<u32> = members.iter().filter_map(security::Sid::rid).collect();
    assert_eq!(rids, [500, 1001]);
    let software = Registry::open(&tree, &hive_path("SOFTWARE")).unwrap();
    let paths: Vec<String> =
        profiles(&software).unwrap().iter().map(|profile| profile.path.to_string()).collect();
    assert_eq!(paths, ["/Users/alice", "/Users/bob", "/Users/Administrator"]);
}
