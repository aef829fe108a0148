//! Fixtures are our own, by WIN-61, WIN-62 and WIN-65 (WIN-130).

use super::super::text::tests::{ENCODINGS, file};
use super::super::{ByteChange, Encoding, Password, change::apply};
use super::*;
use proptest::prelude::*;

/// A file as it is delivered: camel case, LF.
fn shipped(kind: &str, password: &str) -> String {
    format!(
        "{{\n  \"setComputerName\": false,\n  \"setMonitorAlwaysOn\": true,\n  \"setWallpaper\": true,\n  \
         \"addDnsSuffixList\": true,\n  \"extendBootVolumeSize\": true,\n  \"handleUserData\": true,\n  \
         \"adminPasswordType\": {kind},\n  \"adminPassword\": {password}\n}}\n"
    )
}

/// A file as the agent writes it: Pascal case, CRLF, wide indentation.
fn rewritten(kind: &str, password: &str) -> String {
    format!(
        "{{\r\n    \"SetComputerName\":  true,\r\n    \"SetWallpaper\":  true,\r\n    \"AddDnsSuffixList\":  \
         true,\r\n    \"ExtendBootVolumeSize\":  true,\r\n    \"HandleUserData\":  false,\r\n    \
         \"AdminPasswordType\":  {kind},\r\n    \"AdminPassword\":  {password}\r\n}}\r\n"
    )
}

fn parse(text: &str) -> LaunchConfig {
    LaunchConfig::parse(text.as_bytes()).unwrap()
}

fn edited(text: &str, changes: &[ByteChange]) -> String {
    String::from_utf8(apply(text.as_bytes(), changes).unwrap()).unwrap()
}

#[test]
fn what_will_happen_is_read() {
    // WIN-61, WIN-62, WIN-67.
    use LaunchPasswordSource as Source;
    for (kind, password, expected) in [
        ("\"Random\"", "\"\"", Source::Random),
        ("\"random\"", "\"x\"", Source::Random),
        ("\"Specify\"", "\"x\"", Source::Specify { has_password: true }),
        ("\"SPECIFY\"", "\"\"", Source::Specify { has_password: false }),
        ("\"Specify\"", "null", Source::Specify { has_password: false }),
        ("\"doNothing\"", "\"\"", Source::DoNothing),
        ("\"Static\"", "\"\"", Source::Other),
        ("null", "\"\"", Source::Other),
        ("{\"a\": [1, 2]}", "\"\"", Source::Other),
    ] {
        for (text, renames, user_data) in
            [(shipped(kind, password), false, true), (rewritten(kind, password), true, false)]
        {
            let config = parse(&text);
            assert_eq!(config.source, expected, "{kind}");
            assert_eq!((config.renames_computer, config.handles_user_data), (renames, user_data));
            assert!(!config.is_ignored());
        }
    }
    let config = parse("{\"SetWallpaper\": true, /* x */ \"handleUserData\": \"True\",}");
    assert_eq!(config.source, Source::Missing);
    let missing =
        ["setComputerName", "addDnsSuffixList", "extendBootVolumeSize", "adminPasswordType"];
    assert_eq!(config.missing_keys, missing);
    assert!(!config.is_strict_json && config.is_ignored() && config.handles_user_data);
    assert_eq!(config.use_random_password(), Ok(vec![]), "the defaults of the agent do that");
}

#[test]
fn the_type_edits_are_those_of_the_table() {
    // Table WIN-T3.
    for (old, new) in [
        ("\"DoNothing\"", Ok("\"Random\"   ")),
        ("\"Specify\"", Ok("\"Random\" ")),
        ("\"donothing\"", Ok("\"Random\"   ")),
        ("\"\\u0053pecify\"", Ok("\"Random\"      ")),
        ("\"Random\"", Ok("\"Random\"")),
        ("\"x\"", Err(LaunchConfigDefect::UnknownType)),
        ("7", Err(LaunchConfigDefect::UnknownType)),
    ] {
        for make in [shipped, rewritten] {
            let text = make(old, "\"a b\"");
            let found = parse(&text).use_random_password();
            let found = found.map(|changes| {
                assert!(changes.iter().all(ByteChange::keeps_length));
                edited(&text, &changes)
            });
            assert_eq!(found, new.clone().map(|new| make(new, "\"a b\"")), "{old}");
        }
    }
    // A comment makes the agent ignore the file, and its default is the same.
    let text = "{ // x\n adminPasswordType: 'DoNothing' }";
    let changes = parse(text).use_random_password().unwrap();
    assert_eq!(edited(text, &changes), "{ // x\n adminPasswordType: \"Random\"    }");
}

#[test]
fn every_encoding_keeps_its_bytes() {
    // WIN-65.
    for encoding in ENCODINGS {
        let name = if encoding == Encoding::Ansi { "\u{f7fc}" } else { "\u{fc}" };
        let make = |kind: &str| shipped(kind, &format!("\"{name}\""));
        let bytes = file(encoding, &make("\"DoNothing\""));
        let changes = LaunchConfig::parse(&bytes).unwrap().use_random_password().unwrap();
        assert_eq!(apply(&bytes, &changes).unwrap(), file(encoding, &make("\"Random\"   ")));
        let password = Password::new("P\u{e4}ss\"w0rd").unwrap();
        let changes = LaunchConfig::parse(&bytes).unwrap().use_password(&password).unwrap();
        assert!(changes[0].keeps_length());
        let after = LaunchConfig::parse(&apply(&bytes, &changes).unwrap()).unwrap();
        assert_eq!(after.password.unwrap().text.as_deref(), Some(password.expose()));
        assert_eq!(after.text.encoding().mark(), encoding.mark());
    }
}

#[test]
fn a_password_of_the_caller_keeps_the_length_if_there_is_room() {
    // WIN-66: white space makes room.
    for make in [shipped, rewritten] {
        let text = make("\"Random\"", "\"\"");
        let room = text.chars().filter(char::is_ascii_whitespace).count() - "x".len() + 1;
        for (length, keeps) in
            [(3, true), (8, true), (room - 1, true), (room, false), (room + 20, false)]
        {
            let password = Password::new(&format!("aB3{}", "-".repeat(length - 3))).unwrap();
            let changes = parse(&text).use_password(&password).unwrap();
            assert_eq!(changes[0].keeps_length(), keeps, "{length} of {room}");
            let after = parse(&edited(&text, &changes));
            assert_eq!(after.source, LaunchPasswordSource::Specify { has_password: true });
            assert_eq!(after.password.as_ref().unwrap().text.as_deref(), Some(password.expose()));
            assert_eq!(
                (after.handles_user_data, after.is_ignored()),
                (parse(&text).handles_user_data, false)
            );
            assert_eq!(after.use_password(&password), Ok(vec![]), "a second time");
        }
        let long = make("\"DoNothing\"", "\"a very long old Passw0rd\"");
        let password = Password::new("a\"B\\3").unwrap();
        let changes = parse(&long).use_password(&password).unwrap();
        assert!(changes[0].keeps_length());
        let new = make("\"Specify\"", "\"a\\\"B\\\\3\"");
        assert_eq!(
            edited(&long, &changes).split_whitespace().collect::<String>(),
            new.split_whitespace().collect::<String>()
        );
    }
    for (key, expected) in
        [("adminPasswordType", "adminPassword"), ("AdminPasswordType", "AdminPassword")]
    {
        let text = rewritten("\"Random\"", "\"\"").replace("\"AdminPassword\":  \"\"", "\"x\": 1");
        let text = text.replace("AdminPasswordType", key);
        let changes = parse(&text).use_password(&Password::new("aB3").unwrap()).unwrap();
        let found: String = edited(&text, &changes).split_whitespace().collect();
        assert!(found.contains(&format!("\"Specify\",\"{expected}\":\"aB3\"")), "{found}");
    }
}

#[test]
fn a_password_that_would_not_count_is_refused() {
    let good = Password::new("aB3").unwrap();
    let weak = Password::new("abc1").unwrap();
    let complete = shipped("\"Random\"", "\"\"");
    let ignored = |text: &str| parse(text).use_password(&good);
    assert_eq!(
        parse(&complete).use_password(&weak),
        Err(LaunchConfigDefect::Weak(Weakness::FewClasses { actual: 2 })),
        "WIN-61"
    );
    for text in [
        complete.replace("true,", "true, // x"),
        complete.replace("setWallpaper", "x"),
        "{}".to_owned(),
    ] {
        assert_eq!(ignored(&text), Err(LaunchConfigDefect::Ignored), "WIN-62: {text}");
    }
    assert_eq!(ignored(&shipped("\"Random\"", "7")), Err(LaunchConfigDefect::PasswordForm));
}

#[test]
fn damage_and_bombs_are_refused() {
    let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let hidden = format!("{{\"a\": \"{}\", \"b\": {}", "]".repeat(500), "[".repeat(500));
    let wide = format!("{{\"a\": [{}1]}}", "1,".repeat(30_000));
    let huge = " ".repeat(1 << 21);
    for (text, expected) in [
        (deep.as_str(), LaunchConfigDefect::TooLarge),
        (&hidden, LaunchConfigDefect::TooDeep),
        (&wide, LaunchConfigDefect::TooLarge),
        (&huge, LaunchConfigDefect::Text(TextDefect::TooLarge { actual_bytes: 1 << 21 })),
        ("", LaunchConfigDefect::NoObject),
        ("[]", LaunchConfigDefect::NoObject),
        ("7", LaunchConfigDefect::NoObject),
        ("{\0}", LaunchConfigDefect::Text(TextDefect::Nul { offset_bytes: 1 })),
        (
            "{\"a\": 1, \"adminPasswordType\": \"\", \"AdminPasswordTYPE\": \"\"}",
            LaunchConfigDefect::DuplicateKey { name: "adminPasswordType" },
        ),
    ] {
        assert_eq!(LaunchConfig::parse(text.as_bytes()).err(), Some(expected));
    }
    let good = shipped("\"Random\"", "\"\"");
    for cut in 1..good.trim_end().len() {
        let defect = LaunchConfig::parse(&good.as_bytes()[..cut]).unwrap_err();
        assert!(matches!(defect, LaunchConfigDefect::Json { .. }), "{cut}");
    }
    let many = "1 ".repeat(1 << 19);
    assert!(LaunchConfig::parse(many.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn only_the_meant_values_change(
        extra in proptest::collection::vec(("[a-z]{1,6}", "(true|null|-7|\"[ a-z{}:,]{0,5}\"|\\[1, 2\\])"), 0..6),
        at in 0usize..6,
        space in "[ \t]{0,3}",
        kind in prop_oneof![Just("\"DoNothing\""), Just("\"Specify\""), Just("\"Random\"")],
        password in "[ -~\u{e4}\u{1f600}]{0,30}",
    ) {
        let make = |kind: &str, password: &str| {
            let mut parts: Vec<String> =
                extra.iter().map(|(name, value)| format!("\"{name}\"{space}:{value}")).collect();
            for name in &REQUIRED_KEYS[..4] {
                parts.push(format!("\"{name}\":{space}false"));
            }
            parts.insert(at.min(parts.len()), format!("\"adminPasswordType\":{space}{kind}"));
            parts.push(format!("\"adminPassword\" : {password}"));
            format!("{{{space}{}}}", parts.join(&format!("{space},\n")))
        };
        let text = make(kind, "\"\"");
        let config = parse(&text);
        let changes = config.use_random_password().unwrap();
        let padded = format!("{:width$}", "\"Random\"", width = kind.len());
        prop_assert_eq!(edited(&text, &changes), make(&padded, "\"\""));

        let password = Password::new(&format!("aB3{password}")).unwrap();
        let changes = config.use_password(&password).unwrap();
        let after: serde_json::Value = serde_json::from_str(&edited(&text, &changes)).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(&make("\"Specify\"", "\"\"")).unwrap();
        expected["adminPassword"] = password.expose().into();
        prop_assert_eq!(after, expected);
    }

    #[test]
    fn damage_is_never_a_panic(at in any::<u16>(), bytes in proptest::collection::vec(any::<u8>(), 0..6)) {
        let mut damaged = shipped("\"DoNothing\"", "\"\"").into_bytes();
        let at = usize::from(at) % damaged.len();
        damaged[at..].iter_mut().zip(&bytes).for_each(|(place, byte)| *place = *byte);
        let _ = LaunchConfig::parse(&bytes);
        if let Ok(config) = LaunchConfig::parse(&damaged) {
            if let Ok(changes) = config.use_random_password() {
                let changed = apply(&damaged, &changes).unwrap();
                prop_assert_eq!(changed.len(), damaged.len());
            }
            let _ = config.use_password(&Password::new("aB3").unwrap());
        }
    }
}
