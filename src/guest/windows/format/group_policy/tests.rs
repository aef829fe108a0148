//! Fixtures are our own, by WIN-116 and WIN-117 (WIN-130).

use super::super::text::tests::{ENCODINGS, file};
use super::super::{Encoding, Text};
use super::*;
use base64ct::{Base64, Encoding as _};
use proptest::prelude::*;

const PAIR: &str = "[{42B5FAAE-6536-11D2-AE5A-0000F87571E3}{40B6664F-4972-11D1-A7CA-0000F87571E3}]";
const REGISTRY: &str =
    "[{35378EAC-683F-11D2-A89A-00C04FBBCFA2}{D02B1F72-3407-48AE-BA88-E8213C6761F1}]";
const SECURITY: &str =
    "[{827D319E-6EAC-11D2-A4EA-00C04F79F83A}{803E14A0-B4FB-11D0-A0D0-00A0C90F574B}]";

fn gpt(names: &str, version: &str) -> String {
    format!(
        "[General]\r\ngPCFunctionalityVersion=2\r\ngPCMachineExtensionNames={names}\r\nVersion={version}\r\n"
    )
}

type Made = Result<Vec<u8>, GroupPolicyDefect>;

fn made(text: &str, make: fn(Option<&[u8]>) -> Made) -> Result<String, GroupPolicyDefect> {
    make(Some(text.as_bytes())).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn new_files_are_those_of_the_rules() {
    // WIN-116, WIN-117.
    assert_eq!(gpt_ini(None), Ok(gpt(PAIR, "1").into_bytes()));
    let scripts = b"[Startup]\r\n0CmdLine=regain-password-reset.cmd\r\n0Parameters=\r\n";
    assert_eq!(scripts_ini(None), Ok(scripts.to_vec()));
}

#[test]
fn the_pair_is_merged_in_order() {
    let tool_before = PAIR.replace("}{", "}{0F6B957D-509E-11D1-A7CC-0000F87571E3}{");
    let other_tool = "{B1BE8D72-6EAC-11D2-A4EA-00C04F79F83A}";
    let tool_behind = PAIR.replace("}]", &format!("}}{other_tool}]"));
    let lower = PAIR.to_lowercase();
    for (old, new) in [
        (String::new(), PAIR.to_owned()),
        (REGISTRY.to_owned(), format!("{REGISTRY}{PAIR}")),
        (SECURITY.to_owned(), format!("{PAIR}{SECURITY}")),
        (format!("{REGISTRY}{SECURITY}"), format!("{REGISTRY}{PAIR}{SECURITY}")),
        (REGISTRY.to_lowercase(), format!("{}{PAIR}", REGISTRY.to_lowercase())),
        (PAIR.to_owned(), PAIR.to_owned()),
        (lower.clone(), lower),
        (tool_before.clone(), tool_before),
        (format!("[{SCRIPTS_EXTENSION}]"), PAIR.to_owned()),
        (
            format!("[{SCRIPTS_EXTENSION}{other_tool}]{SECURITY}"),
            format!("{tool_behind}{SECURITY}"),
        ),
    ] {
        assert_eq!(made(&gpt(&old, "1"), gpt_ini), Ok(gpt(&new, "2")), "{old}");
    }
    for bad in [
        "x",
        "[]",
        "{42B5FAAE-6536-11D2-AE5A-0000F87571E3}",
        &PAIR[1..],
        &PAIR[..40],
        &PAIR.replace('4', "G"),
        &format!("{PAIR} {SECURITY}"),
        &REGISTRY.replace('-', "x"),
        "[\u{e4}]",
        &format!("[{}]", "\u{20ac}".repeat(13)),
    ] {
        assert_eq!(made(&gpt(bad, "1"), gpt_ini), Err(GroupPolicyDefect::ExtensionNames), "{bad}");
    }
}

#[test]
fn only_the_machine_half_of_the_version_is_raised() {
    // WIN-116; MS-GPOL, section 3.3.5.4.
    for (old, new) in [
        ("0", Ok("1")),
        ("1", Ok("2")),
        ("65539", Ok("65540")),
        ("65535", Ok("1")),
        ("131071", Ok("65537")),
        ("4294967295", Ok("4294901761")),
        ("", Ok("1")),
        ("x", Err(GroupPolicyDefect::Version)),
        ("-1", Err(GroupPolicyDefect::Version)),
        ("4294967296", Err(GroupPolicyDefect::Version)),
    ] {
        assert_eq!(made(&gpt(PAIR, old), gpt_ini), new.map(|new| gpt(PAIR, new)), "{old}");
    }
}

#[test]
fn gpt_ini_keeps_what_it_does_not_need() {
    for (old, new) in [
        ("", format!("[General]\r\ngPCMachineExtensionNames={PAIR}\r\nVersion=1\r\n")),
        ("[General]", format!("[General]\r\ngPCMachineExtensionNames={PAIR}\r\nVersion=1")),
        (
            "; x\n[general]\nversion = 5 \nDisplayName=y\n\n[Other]\nVersion=7\n",
            format!(
                "; x\n[general]\nversion = 6 \nDisplayName=y\ngPCMachineExtensionNames={PAIR}\n\n[Other]\nVersion=7\n"
            ),
        ),
        (
            "[Other]\r\nVersion=7",
            format!(
                "[Other]\r\nVersion=7\r\n[General]\r\ngPCMachineExtensionNames={PAIR}\r\nVersion=1\r\n"
            ),
        ),
        (
            "[General]\r\nVersion=3\r\nVersion=9\r\ngPCUserExtensionNames=[x]\r\ngPCMachineExtensionNames=\r\n",
            format!(
                "[General]\r\nVersion=4\r\nVersion=9\r\ngPCUserExtensionNames=[x]\r\ngPCMachineExtensionNames={PAIR}\r\n"
            ),
        ),
    ] {
        assert_eq!(made(old, gpt_ini), Ok(new), "{old}");
    }
}

#[test]
fn the_script_gets_the_next_number() {
    // WIN-117.
    let ours =
        |index: usize| format!("{index}CmdLine=regain-password-reset.cmd\r\n{index}Parameters=");
    for (old, new) in [
        (String::new(), Ok(format!("[Startup]\r\n{}\r\n", ours(0)))),
        ("\r\n[Startup]\r\n".to_owned(), Ok(format!("\r\n[Startup]\r\n{}\r\n", ours(0)))),
        (
            "[Shutdown]\r\n0CmdLine=x\r\n[Startup]\r\n0CmdLine=a.cmd\r\n0Parameters=/x\r\n1cmdline=b.cmd\r\n1Parameters=\r\n\r\n".to_owned(),
            Ok(format!("[Shutdown]\r\n0CmdLine=x\r\n[Startup]\r\n0CmdLine=a.cmd\r\n0Parameters=/x\r\n1cmdline=b.cmd\r\n1Parameters=\r\n{}\r\n\r\n", ours(2))),
        ),
        (
            "[Startup]\r\n0CmdLine=a.cmd\r\n[Shutdown]\r\n0CmdLine=z\r\n".to_owned(),
            Ok(format!("[Startup]\r\n0CmdLine=a.cmd\r\n{}\r\n[Shutdown]\r\n0CmdLine=z\r\n", ours(1))),
        ),
        ("[Startup]\r\n1CmdLine=a\r\n".to_owned(), Err(GroupPolicyDefect::Gap { index: 0 })),
        ("[Startup]\r\n0CmdLine=a\r\n2CmdLine=a\r\n".to_owned(), Err(GroupPolicyDefect::Gap { index: 1 })),
        (format!("[Startup]\r\n0CmdLine=a\r\n{}\r\n", ours(1)), Err(GroupPolicyDefect::AlreadyThere)),
        ("[Startup]\r\n0CmdLine=C:\\X\\REGAIN-password-reset.CMD\r\n".to_owned(), Err(GroupPolicyDefect::AlreadyThere)),
        (
            (0..1002).fold("[Startup]\n".to_owned(), |text, n| text + &format!("{n}CmdLine=x\n")),
            Err(GroupPolicyDefect::TooManyScripts),
        ),
    ] {
        assert_eq!(made(&old, scripts_ini), new, "{old}");
    }
}

#[test]
fn every_encoding_is_kept() {
    for encoding in ENCODINGS {
        let name = if encoding == Encoding::Ansi { "\u{f7fc}" } else { "\u{fc}" };
        let old = format!("[Startup]\r\n0CmdLine={name}.cmd\r\n0Parameters=\r\n");
        let new = format!("{old}1CmdLine=regain-password-reset.cmd\r\n1Parameters=\r\n");
        assert_eq!(
            scripts_ini(Some(&file(encoding, &old))),
            Ok(file(encoding, &new)),
            "{encoding}"
        );
    }
}

#[test]
fn damage_is_named() {
    let large = vec![b'\n'; 64 * 1024 + 1];
    let account = AccountChange::new("x", false, false).unwrap();
    let password = Password::new("y").unwrap();
    for (bytes, expected) in [
        (
            b"[General]\r\n\0".as_slice(),
            GroupPolicyDefect::Text(TextDefect::Nul { offset_bytes: 11 }),
        ),
        (b"\xff\xfe[", GroupPolicyDefect::Text(TextDefect::OddLength)),
        (&large, GroupPolicyDefect::TooLarge { actual_bytes: 65537 }),
    ] {
        let gpt = PolicyFiles { gpt_ini: Some(bytes), scripts_ini: None };
        let scripts = PolicyFiles { gpt_ini: None, scripts_ini: Some(bytes) };
        assert_eq!(plan(&account, &password, gpt).unwrap_err(), expected);
        assert_eq!(plan(&account, &password, scripts).unwrap_err(), expected);
    }
}

#[test]
fn the_script_knows_both_states_of_both_files() {
    let (old_gpt, old_scripts) = (gpt(REGISTRY, "7"), "[Startup]\r\n0CmdLine=a.cmd\r\n");
    let files = PolicyFiles {
        gpt_ini: Some(old_gpt.as_bytes()),
        scripts_ini: Some(old_scripts.as_bytes()),
    };
    let account = AccountChange::new("Administrator", false, true).unwrap();
    let found = plan(&account, &Password::new("Passw0rd!").unwrap(), files).unwrap();
    let script = String::from_utf8(found.script.to_vec()).unwrap();
    for line in [
        "path0 GroupPolicy\\gpt.ini".to_owned(),
        format!("before0 {}", Base64::encode_string(old_gpt.as_bytes())),
        format!("after0 {}", Base64::encode_string(&found.gpt_ini)),
        "path1 GroupPolicy\\Machine\\Scripts\\scripts.ini".to_owned(),
        format!("before1 {}", Base64::encode_string(old_scripts.as_bytes())),
        format!("after1 {}", Base64::encode_string(&found.scripts_ini)),
    ] {
        assert!(script.contains(&format!("\r\n{line}\r\n")), "{line}");
    }
    assert_eq!(found.script_name, "regain-password-reset.cmd");
    assert!(!format!("{found:?}").contains("Passw0rd"));
    // A second plan on the result is refused, so that the script never restores its own files.
    let again =
        PolicyFiles { gpt_ini: Some(&found.gpt_ini), scripts_ini: Some(&found.scripts_ini) };
    let defect = plan(&account, &Password::new("x").unwrap(), again).unwrap_err();
    assert_eq!(defect, GroupPolicyDefect::AlreadyThere);
    let none = plan(&account, &Password::new("x").unwrap(), PolicyFiles::default()).unwrap();
    let script = String::from_utf8(none.script.to_vec()).unwrap();
    assert!(script.contains("\r\nafter0 ") && !script.contains("\r\nbefore"));
}

proptest! {
    #[test]
    fn lines_of_others_stay(
        before in proptest::collection::vec("[ a-zA-Z0-9=;\\[\\]]{0,12}", 0..8),
        choice in 0..ENCODINGS.len(),
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
    ) {
        let encoding = ENCODINGS[choice];
        let mark = if encoding == Encoding::Ansi { ";\u{f7ff}" } else { ";" };
        let old = format!("{mark}{line_end}{}", before.join(line_end));
        let bytes = file(encoding, &old);
        for make in [gpt_ini, scripts_ini] {
            let Ok(new) = make(Some(&bytes)) else { continue };
            let text = Text::decode(&new).unwrap();
            prop_assert_eq!(text.encoding(), encoding);
            // Every line of before is still there, in order, but for the value of the version.
            let mut lines = text.as_str().lines();
            for line in old.lines().filter(|line| !line.is_empty()) {
                let key = line.split('=').next().unwrap();
                prop_assert!(lines.any(|new| new == line || new.starts_with(key)), "{}", line);
            }
        }
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for make in [gpt_ini, scripts_ini] {
            if let Ok(new) = make(Some(&bytes)) {
                prop_assert!(new.len() > bytes.len());
            }
        }
    }
}
