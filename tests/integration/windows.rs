//! Fake Windows root disks, one per generation of agents: what is said of them, and the password reset by each
//! agent, judged by the strict checker, ntfs-3g and hivex.

use crate::support::windows_disk::{ALL, CONFIG, NONE, V1, V2, WindowsDisk, differences};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

const MARKER: &str = "/ProgramData/Amazon/EC2Launch/state/.run-once";
const SOFTWARE: &str = "/Windows/System32/config/SOFTWARE";
const XML: &str = "/Program Files/Amazon/Ec2ConfigService/Settings/config.xml";
const TASK: &str = r"cd \Microsoft\Windows NT\CurrentVersion\Schedule\TaskCache\Tasks\{7B1A9C52-4E0D-4F3A-9C4B-2D6E8F102132}
lsval";
/// What stands in the logs of the fixtures in place of an encrypted password.
const SECRET: &str = "U0VDUkVU";

#[test]
fn the_fixtures_are_clean() {
    for name in ALL {
        WindowsDisk::new(name).assert_clean(name);
    }
}

#[test]
fn inspect_says_what_each_disk_holds() {
    for (name, system, version, agents, title) in [
        (
            V2,
            "Windows Server 2022 Datacenter",
            "10.0.20348.2340",
            json!(["ec2launch-v2", "amazon-ssm-agent"]),
            "EC2Launch v2",
        ),
        (
            V1,
            "Windows Server 2019 Datacenter",
            "10.0.17763.5458",
            json!(["ec2launch-v1", "amazon-ssm-agent"]),
            "EC2Launch v1",
        ),
        (CONFIG, "Windows Server 2012 R2 Standard", "6.3.9600", json!(["ec2config"]), "EC2Config"),
        (NONE, "Windows Server 2025 Datacenter", "10.0.26100.1742", json!([]), ""),
    ] {
        let disk = WindowsDisk::new(name);
        let result = disk.run("inspect win.img --json").success()["result"].take();
        let systems = result["systems"].as_array().unwrap();
        assert_eq!(systems.len(), 1, "{name}");
        let found = &systems[0];
        assert_eq!((&found["family"], &found["name"]), (&json!("windows"), &json!(system)));
        assert_eq!((&found["version"], &found["agents"]), (&json!(version), &agents), "{name}");
        assert_eq!(found["host_name"], "EC2AMAZ-FIXTURE");
        assert_eq!(found["arch"], "x86_64");
        assert_eq!(
            found["users"][0],
            json!({"name": "Administrator", "rid": 500, "is_default": true, "keys": []})
        );
        assert_eq!(result["warnings"], json!([]), "{name}");
        let route = &found["access_routes"][0];
        assert_eq!(route["command"], "regain password reset win.img");
        assert_eq!(route["available"], name != NONE, "{name}");
        assert_eq!(found["access_routes"][1]["available"], true, "a start-up script always works");
        let text = disk.run("inspect win.img");
        assert!(text.stdout.contains(system) && text.stdout.contains(title), "{}", text.stdout);
        assert!(!text.stdout.contains(SECRET) && !found.to_string().contains(SECRET));
        assert_eq!(disk.digest_now(), disk.digest(), "inspect writes nothing");
    }
}

#[test]
fn inspect_tells_what_the_logs_and_services_say_win_8() {
    let windows = |name| {
        let document = WindowsDisk::new(name).run("inspect win.img --json").success();
        document["result"]["systems"][0]["windows"].clone()
    };
    let found = windows(V2);
    assert_eq!(found["agents"][0]["version"], "2.0.1702");
    assert_eq!(found["agents"][0]["service_start"], "automatic");
    assert_eq!(found["open_ssh"]["usable"], true);
    assert_eq!(found["ssm_agent_start"], "automatic");
    assert_eq!(found["instance_id"], "i-0123456789abcdef0");
    assert_eq!(found["last_password_event"]["outcome"], "sent");
    assert_eq!(found["last_password_event"]["account"], "Administrator");
    let found = windows(V1);
    assert_eq!(found["agents"][0]["version"], "1.3.2004256");
    assert_eq!(found["image_name"], "Windows_Server-2019-English-Full-Base");
    assert_eq!((&found["build"], &found["edition"]), (&json!(17763), &json!("ServerDatacenter")));
    let found = windows(CONFIG);
    assert_eq!(found["last_password_event"]["outcome"], "failed");
    assert_eq!(found["open_ssh"], Value::Null);
}

/// Resets by the agent that is installed, and gives what changed in the tree.
fn reset(disk: &WindowsDisk) -> (Value, BTreeMap<String, &'static str>) {
    let before = disk.tree();
    let document = disk.run("password reset win.img --yes --json --undo-file undo").success();
    let result = document["result"].clone();
    assert_eq!(result["changed"], true, "{result}");
    assert_eq!(result["users"][0]["name"], "Administrator");
    assert_eq!(result["verified_by"], "ntfs");
    disk.assert_clean("after the reset");
    (result, differences(&before, &disk.tree()))
}

/// A second run changes nothing, and undo gives the first byte back.
fn assert_once_and_undone(disk: &WindowsDisk) {
    let reset = disk.digest_now();
    let again = disk.run("password reset win.img --yes --json").success();
    assert_eq!(again["result"]["changed"], false, "{again}");
    assert_eq!(again["result"]["changes"], json!([]));
    assert_eq!(again["result"]["users"][0]["outcome"], "already_present");
    assert_eq!(disk.digest_now(), reset);
    disk.run("undo undo win.img --yes --json").success();
    assert_eq!(disk.digest_now(), disk.digest());
}

fn rules(result: &Value, severity: &str) -> Vec<String> {
    let findings = result["findings"].as_array().unwrap().iter();
    let found = findings.filter(|finding| finding["severity"] == severity);
    found.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn v2_loses_its_marker_with_both_names_win_40_win_108() {
    let disk = WindowsDisk::new(V2);
    assert!(disk.tree().0[MARKER]["short"].contains("RUN-ON~1"), "the fixture has the twin");
    let (result, differences) = reset(&disk);
    assert_eq!(differences.get(MARKER), Some(&"removed"), "{differences:?}");
    assert_eq!(differences.len(), 1, "{differences:?}");
    assert_eq!(result["changes"][0]["action"], "remove");
    assert!(result["patch"]["bytes_changed"].as_u64().unwrap() < 16 * 1024, "{result}");
    let warned = rules(&result, "warn");
    for rule in ["WIN-122", "WIN-50", "WIN-123"] {
        assert!(warned.iter().any(|found| found == rule), "{rule}: {warned:?}");
    }
    assert_once_and_undone(&disk);
    assert_eq!(disk.cat(MARKER.trim_start_matches('/')), b"");
}

#[test]
fn v1_gets_its_task_enabled_win_74() {
    let disk = WindowsDisk::new(V1);
    let before = disk.hive("SOFTWARE", TASK);
    let (result, differences) = reset(&disk);
    assert_eq!(differences, BTreeMap::from([(SOFTWARE.to_owned(), "changed")]));
    let after = disk.hive("SOFTWARE", TASK);
    // The flags at 0x28: 0x03002140 becomes 0x03402140, little-endian, and nothing else.
    assert!(before.contains("40,21,00,03"), "{before}");
    assert_eq!(after, before.replace("40,21,00,03", "40,21,40,03"));
    assert!(rules(&result, "warn").iter().any(|rule| rule == "WIN-127"), "experimental");
    assert_once_and_undone(&disk);
}

#[test]
fn ec2config_gets_its_plug_in_enabled_win_82() {
    let disk = WindowsDisk::new(CONFIG);
    let path = XML.trim_start_matches('/');
    let before = disk.text(path);
    let (_, differences) = reset(&disk);
    assert_eq!(differences, BTreeMap::from([(XML.to_owned(), "changed")]));
    let expected = before.replacen("<State>Disabled</State>", "<State>Enabled</State> ", 1);
    assert_eq!(disk.text(path), expected);
    assert_once_and_undone(&disk);
}

#[test]
fn a_dry_run_and_a_patch_leave_the_disk_alone() {
    for name in [V2, V1, CONFIG] {
        let disk = WindowsDisk::new(name);
        let planned = disk.run("password reset win.img --dry-run --json").success();
        assert_eq!(planned["result"]["changed"], true, "{name}");
        assert_eq!(planned["result"]["dry_run"], true);
        disk.run("password reset win.img --patch-out p --json").success();
        assert_eq!(disk.digest_now(), disk.digest(), "{name}");
        let shown = disk.run("show p --json").success();
        assert_eq!(shown["result"]["command"], "password reset");
        assert_eq!(shown["result"]["bytes_changed"], planned["result"]["patch"]["bytes_changed"]);
        let mode = std::fs::metadata(disk.scratch.join("p")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        disk.run("apply p win.img --yes --json --undo-file undo").success();
        assert_eq!(
            disk.run("password reset win.img --yes --json").success()["result"]["changed"],
            false
        );
        disk.run("undo undo win.img --yes --json").success();
        assert_eq!(disk.digest_now(), disk.digest(), "{name}");
    }
}

#[test]
fn what_will_happen_is_told_before_the_question() {
    let disk = WindowsDisk::new(V1);
    let run = disk.run("password reset win.img");
    assert_eq!(run.status, 2, "nobody can be asked: {}", run.stderr);
    for text in ["private key", "(WIN-122)", "experimental", "snapshot", "i-0123456789abcdef0"] {
        assert!(run.stderr.contains(text), "{text}: {}", run.stderr);
    }
    assert!(!run.stderr.contains(SECRET));
    assert_eq!(disk.digest_now(), disk.digest());
    let run = disk.run("password reset win.img --yes");
    assert_eq!(run.status, 0, "{}", run.stderr);
    for text in ["done", "SOFTWARE", "undo with:", "get-password-data"] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
}

#[test]
fn the_documents_have_the_fields_of_the_contract() {
    let disk = WindowsDisk::new(V2);
    let inspected = disk.run("inspect win.img --json").success()["result"].clone();
    let system = inspected["systems"][0].clone();
    crate::cli_fields::check(
        &system,
        "volume_id family name version arch host_name users users[].name users[].rid users[].is_default
         users[].keys agents access_routes access_routes[].route access_routes[].available
         access_routes[].reason access_routes[].command access_routes[].id access_routes[].state
         access_routes[].detail access_routes[].next_command windows windows.edition windows.installation_type
         windows.build windows.update windows.release windows.setup_state windows.domain_controller
         windows.domain windows.agents windows.agents[].name windows.agents[].title windows.agents[].version
         windows.agents[].state windows.agents[].missing windows.agents[].service_start
         windows.ssm_agent_start windows.open_ssh windows.open_ssh.program windows.open_ssh.service_start
         windows.open_ssh.usable windows.open_ssh.reason windows.last_password_event
         windows.last_password_event.path windows.last_password_event.outcome
         windows.last_password_event.time windows.last_password_event.account
         windows.last_password_event.message windows.instance_id windows.image_name windows.image_version",
    );
    let result = disk.run("password reset win.img --yes --json").success()["result"].clone();
    crate::cli_fields::check(
        &result,
        "changed dry_run volume_id users users[].name users[].outcome users[].reason users[].path users[].verdict changes
         changes[].path changes[].action changes[].detail findings findings[].rule findings[].check
         findings[].severity findings[].subject findings[].message findings[].fix findings[].undecided
         verified_by patch
         patch.bytes_changed patch.runs patch.path undo_file undo_command io io.bytes_read io.bytes_written",
    );
    assert_eq!(
        result["undo_command"],
        format!("regain undo {} win.img", result["undo_file"].as_str().unwrap())
    );
}
