//! Passwords of the caller by a start-up script or the command of Setup, and keys for OpenSSH, on fake Windows
//! root disks.

use crate::support::windows_disk::{NONE, V2, WindowsDisk, differences};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;

const POLICY: &str = "/Windows/System32/GroupPolicy";
const STARTUP: &str = "/Windows/System32/GroupPolicy/Machine/Scripts/Startup";
const PASSWORD: &str = "Correct-Horse-7";
const SHARED: &str = "ProgramData/ssh/administrators_authorized_keys";
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSf me@home";

/// The password as the script holds it.
fn in_script(password: &str) -> String {
    use std::process::{Command, Stdio};
    let utf16: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut child = Command::new("base64")
        .args(["-w", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &utf16).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_start_up_script_sets_a_password_from_standard_input_win_115() {
    let disk = WindowsDisk::new(NONE);
    let line = "password reset win.img --method startup-script --password-file - --yes --json --undo-file undo";
    let before = disk.tree();
    let run = disk.run_with(line, format!("{PASSWORD}\n").as_bytes());
    let result = run.success()["result"].clone();
    assert_eq!((&result["changed"], &result["generated_password"]), (&json!(true), &Value::Null));
    disk.assert_clean("after the script");
    let script = format!("{STARTUP}/regain-password-reset.cmd");
    let mut expected: Vec<String> =
        ["", "/Machine", "/Machine/Scripts", "/Machine/Scripts/Startup"]
            .map(|below| format!("{POLICY}{below}"))
            .to_vec();
    expected.extend([
        script.clone(),
        format!("{POLICY}/Machine/Scripts/scripts.ini"),
        format!("{POLICY}/gpt.ini"),
    ]);
    expected.sort();
    let found = differences(&before, &disk.tree());
    assert!(found.values().all(|what| *what == "added"), "{found:?}");
    assert_eq!(found.into_keys().collect::<Vec<_>>(), expected);
    let content = disk.text(script.trim_start_matches('/'));
    assert!(content.contains(&in_script(PASSWORD)), "{content}");
    assert!(!content.contains(PASSWORD), "never where cmd.exe or a log could read it");
    assert!(
        disk.text("Windows/System32/GroupPolicy/gpt.ini")
            .contains("{42B5FAAE-6536-11D2-AE5A-0000F87571E3}")
    );
    for text in [&run.stdout, &run.stderr] {
        assert!(!text.contains(PASSWORD) && !text.contains(&in_script(PASSWORD)), "{text}");
    }
    let mode = std::fs::metadata(disk.scratch.join("undo")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds the password");
    let line = line.trim_end_matches(" --undo-file undo");
    let again = disk.run_with(line, PASSWORD.as_bytes());
    assert_eq!(again.success()["result"]["changed"], false);
    disk.run("undo undo win.img --yes --json").success();
    assert_eq!(disk.digest_now(), disk.digest());
}

#[test]
fn a_made_password_is_shown_once_at_the_end() {
    let disk = WindowsDisk::new(NONE);
    let line = "password reset win.img --method startup-script --generate";
    let planned = disk.run(&format!("{line} --dry-run --json")).success();
    assert_eq!(planned["result"]["generated_password"], Value::Null, "it would be another one");
    let run = disk.run(&format!("{line} --yes --no-undo"));
    assert_eq!(run.status, 0, "{}", run.stderr);
    let password =
        run.stdout.lines().find_map(|line| line.split_once("shown only now: ")).unwrap().1;
    assert_eq!(run.stdout.matches(password).count(), 1);
    assert!(!run.stderr.contains(password));
    let path = format!("{STARTUP}/regain-password-reset.cmd");
    assert!(disk.text(path.trim_start_matches('/')).contains(&in_script(password)));
    // Once more: another password, in the same script.
    let result =
        disk.run(&format!("{line} --yes --json --undo-file undo")).success()["result"].clone();
    let other = result["generated_password"].as_str().unwrap();
    assert_ne!(other, password);
    assert_eq!(result["changes"].as_array().unwrap().len(), 1);
    assert!(disk.text(path.trim_start_matches('/')).contains(&in_script(other)));
    disk.assert_clean("after the second script");
}

#[test]
fn the_command_of_setup_is_set_win_119() {
    let disk = WindowsDisk::new(NONE);
    std::fs::write(disk.scratch.join("pw"), PASSWORD).unwrap();
    let line = "password reset win.img --method setup --user alice --password-file pw --yes --json";
    let result = disk.run(&format!("{line} --undo-file undo")).success()["result"].clone();
    assert_eq!(result["users"][0]["name"], "alice");
    disk.assert_clean("after the command");
    let shown = disk.hive("SYSTEM", "cd \\Setup\nlsval");
    assert!(shown.contains("\"SetupType\"=dword:00000002"), "{shown}");
    assert!(shown.contains("regain-password-reset.cmd"), "{shown}");
    assert!(shown.contains("\"SystemSetupInProgress\"=dword:00000000"), "{shown}");
    let findings = result["findings"].to_string();
    assert!(findings.contains("WIN-127") && !findings.contains(PASSWORD), "{findings}");
    assert_eq!(disk.run(line).success()["result"]["changed"], false);
    disk.run("undo undo win.img --yes --json").success();
    assert_eq!(disk.digest_now(), disk.digest());
}

#[test]
fn a_key_for_administrators_gets_a_safe_descriptor_win_t6() {
    let disk = WindowsDisk::new(V2);
    std::fs::write(disk.scratch.join("k.pub"), format!("{KEY}\n")).unwrap();
    let line = "key add win.img --key k.pub --yes --json";
    let before = disk.tree();
    let result = disk.run(&format!("{line} --undo-file undo")).success()["result"].clone();
    assert_eq!(result["changes"][0]["path"], format!("/{SHARED}"));
    disk.assert_clean("after the key");
    assert_eq!(disk.text(SHARED), format!("{KEY}\n"));
    let after = disk.tree();
    assert_eq!(
        differences(&before, &after).into_keys().collect::<Vec<_>>(),
        [format!("/{SHARED}")]
    );
    // The descriptor of the fixture is the same, so it is shared and not stored again.
    let security = |path: &str| after.0[&format!("/{path}")]["security"].clone();
    assert_eq!(security(SHARED), security("ProgramData/ssh/sshd_config"));
    assert_eq!(disk.run(line).success()["result"]["changed"], false);
    let keys = disk.run("key list win.img --json").success()["result"]["keys"].clone();
    assert_eq!(keys[0]["user"], "Administrator");
    assert_eq!(keys[0]["path"], format!("/{SHARED}"));
    let inspected = disk.run("inspect win.img --json").success();
    assert_eq!(inspected["result"]["systems"][0]["users"][0]["keys"], keys);
    disk.run("undo undo win.img --yes --json").success();
    assert_eq!(disk.digest_now(), disk.digest());
}
