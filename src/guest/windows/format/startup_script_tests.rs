use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn script(name: &str, password: &str, cleanup: &Cleanup<'_>) -> String {
    let account = AccountChange::new(name, true, true).unwrap();
    let bytes = encode(&account, &Password::new(password).unwrap(), cleanup);
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The three parts, as PowerShell splits them.
fn parts(script: &str) -> [&str; 3] {
    script.split('?').collect::<Vec<_>>().try_into().unwrap()
}

/// The data, as the code reads them.
fn data(part: &str) -> BTreeMap<&str, &str> {
    part.split('\n').map(|line| line.trim().split_once(' ').unwrap_or((line.trim(), ""))).collect()
}

fn text(base64: &str) -> String {
    let bytes = Base64::decode_vec(base64).unwrap();
    let units: Vec<u16> =
        bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16(&units).unwrap()
}

/// A model of how `cmd.exe` reads a line of a batch file: variables first, then quotes, then operators
/// outside of them. Gives the commands of the line; panics at what the model does not know.
fn cmd_commands(line: &str) -> Vec<String> {
    let line = line
        .replace("%~f0", "C:\\Windows\\System32\\GroupPolicy\\Machine\\Scripts\\Startup\\x.cmd")
        .replace("%SystemRoot%", "C:\\Windows");
    assert!(!line.contains(['%', '!', '^', '\t']), "{line}");
    assert!(line.len() < 8191, "longer than cmd.exe reads");
    let (mut is_quoted, mut command, mut commands) = (false, String::new(), Vec::new());
    for character in line.trim_start_matches('@').chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            '&' if !is_quoted => {
                commands.push(std::mem::take(&mut command).trim().to_owned());
                continue;
            }
            '|' | '<' | '(' | ')' if !is_quoted => panic!("{line}"),
            _ => {}
        }
        command.push(character);
    }
    assert!(!is_quoted, "{line}");
    commands.push(command.trim().to_owned());
    commands
}

#[test]
fn cmd_runs_the_head_and_never_reads_further() {
    // WIN-118.
    let script = script("x", "y", &Cleanup::Files(&[]));
    assert!(script.is_ascii());
    assert_eq!(script.matches('\n').count(), script.matches("\r\n").count());
    let [head, ..] = parts(&script);
    let lines: Vec<&str> = head.lines().collect();
    let path = "C:\\Windows\\System32\\GroupPolicy\\Machine\\Scripts\\Startup\\x.cmd";
    assert_eq!(cmd_commands(lines[0]), [format!("set \"REGAIN_SCRIPT={path}\"")]);
    let last = cmd_commands(lines[1]);
    assert_eq!(
        last,
        [
            "\"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe\" -NoProfile -NonInteractive -Command \
             \"$parts = [IO.File]::ReadAllText($env:REGAIN_SCRIPT).Split([char]63); Invoke-Expression $parts[1]\"",
            &format!("del /f /q \"{path}\" 2>nul"),
            "exit /b 0",
        ]
    );
    assert_eq!(lines.len(), 2);
    assert_eq!(char::from_u32(63), Some('?'));
}

#[test]
fn the_setup_key_is_reset_before_anything_else() {
    // WIN-119: or it runs at every boot.
    let script = script("x", "y", &Cleanup::SetupKey);
    let lines: Vec<&str> = script.lines().take(4).collect();
    let reg = "\"C:\\Windows\\System32\\reg.exe\" add HKLM\\SYSTEM\\Setup /v";
    assert_eq!(cmd_commands(lines[0]), [format!("{reg} SetupType /t REG_DWORD /d 0 /f >nul")]);
    assert_eq!(cmd_commands(lines[1]), [format!("{reg} CmdLine /t REG_SZ /d \"\" /f >nul")]);
    assert!(lines[2].starts_with("@set "));
    assert!(!data(parts(&script)[2]).contains_key("path0"));
}

#[test]
fn the_code_is_the_same_for_everybody() {
    let plain = script("Administrator", "x", &Cleanup::Files(&[]));
    for (name, password) in [
        ("a%PATH%!x!^&'`$(b)", "%PATH% !x! ^ & < > | \" ' ` $(x) ; , = ( ) ? # @"),
        ("J\u{fc}rgen M\u{fc}ller", "P\u{e4}ss\u{4e00}\u{1f600}w\u{f6}rd with more than 14"),
        ("'$x'", "'; exit; '"),
        ("x{}", "\\\"\\\\\" \\"),
    ] {
        let script = script(name, password, &Cleanup::Files(&[]));
        assert!(script.is_ascii());
        let ([head, code, values], [plain_head, plain_code, _]) = (parts(&script), parts(&plain));
        assert_eq!((head, code), (plain_head, plain_code));
        let values = data(values);
        assert_eq!(text(values["name"]), name);
        assert_eq!(text(values["password"]), password);
        assert!(!script.contains(password));
    }
}

#[test]
fn the_code_keeps_to_its_contract() {
    // The name is the only thing that goes to a program, and by its API, not through cmd.exe.
    assert!(CODE.contains("& $net user $name /active:yes"));
    assert!(!CODE.contains("cmd") && !CODE.contains('?'));
    assert_eq!(CODE.matches("S-1-5-32-544").count(), 1);
    assert_eq!(CODE.matches("$data['password']").count(), 1);
    let log = LOG_FILE.trim_start_matches("/Windows").replace('/', "\\");
    assert!(CODE.contains(&log));
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        assert_eq!(CODE.matches(open).count(), CODE.matches(close).count());
    }
}

#[test]
fn what_is_restored_is_told_from_what_is_deleted() {
    let files = [
        RestoredFile { path: "a\\b.ini", before: None, after: b"1" },
        RestoredFile { path: "c.ini", before: Some(b""), after: b"\xff\xfe\0" },
        RestoredFile { path: "d.ini", before: Some(b"old"), after: b"new" },
    ];
    let script = script("x", "y", &Cleanup::Files(&files));
    let values = data(parts(&script)[2]);
    let found = ["path0", "before0", "path1", "before1", "after1", "before2", "after2", "path3"]
        .map(|key| values.get(key).copied());
    let expected = [
        Some("a\\b.ini"),
        None,
        Some("c.ini"),
        Some(""),
        Some("//4A"),
        Some("b2xk"),
        Some("bmV3"),
        None,
    ];
    assert_eq!(found, expected);
}

#[test]
fn names_that_no_account_has_are_refused() {
    let character = |character| Some(AccountNameDefect::Character { character });
    for (name, expected) in [
        ("Administrator", None),
        ("J\u{fc}rgen O'Neil (x) & Co", Some(AccountNameDefect::TooLong { actual: 22 })),
        ("a b.c-d_e$%!^&'()`{}~", Some(AccountNameDefect::TooLong { actual: 21 })),
        ("b.c-d_e$%!^&'()`{}~", None),
        ("", Some(AccountNameDefect::Empty)),
        (" .. ", Some(AccountNameDefect::Empty)),
        ("a\"b", character('"')),
        ("a/b", character('/')),
        ("DOMAIN\\x", character('\\')),
        ("x@y", character('@')),
        ("a\nb", character('\n')),
        ("a,user", character(',')),
    ] {
        assert_eq!(AccountChange::new(name, false, false).err(), expected, "{name}");
    }
    let switches = |create, admin| {
        let account = AccountChange::new("x", create, admin).unwrap();
        let script = encode(&account, &Password::new("y").unwrap(), &Cleanup::SetupKey);
        let script = String::from_utf8(script.to_vec()).unwrap();
        let values = data(parts(&script)[2]);
        (values.contains_key("mayCreate"), values.contains_key("makeAdministrator"))
    };
    for expected in [(false, false), (true, false), (false, true), (true, true)] {
        assert_eq!(switches(expected.0, expected.1), expected);
    }
}

proptest! {
    #[test]
    fn every_password_comes_back(password in "\\PC{1,60}", before in any::<Vec<u8>>(), after in any::<Vec<u8>>()) {
        prop_assume!(Password::new(&password).is_ok());
        let files = [RestoredFile { path: "x.ini", before: Some(&before), after: &after }];
        let script = script("Administrator", &password, &Cleanup::Files(&files));
        let [_, code, values] = parts(&script);
        let code = code.replace("\r\n", "\n");
        prop_assert_eq!(code.trim_start(), CODE);
        let is_data = |c: char| c.is_ascii_alphanumeric() || " +/=\\.\r\n".contains(c);
        prop_assert!(values.chars().all(is_data));
        let values = data(values);
        prop_assert_eq!(text(values["password"]), password);
        prop_assert_eq!(Base64::decode_vec(values["before0"]).unwrap(), before);
        prop_assert_eq!(Base64::decode_vec(values["after0"]).unwrap(), after);
    }
}
