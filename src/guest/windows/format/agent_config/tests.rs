//! Fixtures are our own, by WIN-43 and WIN-44 (WIN-130).

use super::super::text::tests::{ENCODINGS, file};
use super::super::{ByteChange, Encoding, Password, change::apply};
use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// A configuration whose task setAdminAccount has these lines, indented by six.
fn block(inputs: &str) -> String {
    format!(
        "# made for a test\nversion: 1.0\nconfig:\n- stage: boot\n  tasks:\n  - task: extendRootPartition\n\
         - stage: preReady\n  tasks:\n  - task: activateWindows\n    inputs:\n      activation:\n        \
         type: amazon\n  - task: setAdminAccount\n{inputs}  - task: setWallpaper\n    inputs:\n      path: \
         C:\\w.jpg\n- stage: postReady\n  tasks:\n  - task: startSsm\n"
    )
}

fn with_type(written: &str) -> String {
    block(&format!("    inputs:\n      password:\n        type: {written}\n"))
}

fn json(password: &str) -> String {
    format!(
        "{{\r\n  \"version\":  1.1,\r\n  \"config\":  [\r\n    {{\r\n      \"stage\":  \"preReady\",\r\n      \
         \"tasks\":  [\r\n        {{\"task\":  \"setAdminAccount\",\r\n         \"inputs\":  \
         {{\"password\":  {password}}}\r\n        }}\r\n      ]\r\n    }}\r\n  ]\r\n}}\r\n"
    )
}

fn edited(bytes: &[u8], changes: &[ByteChange]) -> String {
    String::from_utf8(apply(bytes, changes).unwrap()).unwrap()
}

#[test]
fn every_task_is_listed_with_what_runs_again() {
    // WIN-43, WIN-44, WIN-50.
    let yaml = with_type("random").replace(
        "  - task: startSsm\n",
        "  - task: startSsm\n  - task: executeScript\n    inputs:\n    - frequency: always\n      content: x\n  \
         - task: executeScript\n    inputs:\n    - frequency: always\n    - frequency: once\n      content: |-\n        \
         task: sysprep\n  - task: writeFile\n    inputs: {destination: x}\n  - nothing: x\n  - task: [x]\n",
    );
    let config = AgentConfig::parse(yaml.as_bytes()).unwrap();
    assert_eq!(
        (config.version.as_deref(), config.is_json, config.has_tabs),
        (Some("1.0"), false, false)
    );
    let tasks: Vec<_> =
        config.tasks.iter().map(|t| (t.stage.as_str(), t.name.as_str(), t.frequency)).collect();
    assert_eq!(
        tasks,
        [
            ("boot", "extendRootPartition", Frequency::Once),
            ("preReady", "activateWindows", Frequency::Once),
            ("preReady", "setAdminAccount", Frequency::Once),
            ("preReady", "setWallpaper", Frequency::Always),
            ("postReady", "startSsm", Frequency::Unknown),
            ("postReady", "executeScript", Frequency::Always),
            ("postReady", "executeScript", Frequency::Once),
            ("postReady", "writeFile", Frequency::Unknown),
        ]
    );
    assert_eq!(config.tasks_to_run_again().count(), 6);
    assert!(!config.has_sysprep());
    let [account] = config.admin_accounts.as_slice() else { panic!() };
    assert_eq!(
        (account.line, account.stage.as_str(), &account.source),
        (13, "preReady", &PasswordSource::Random)
    );
    assert_eq!((account.name.as_deref(), account.has_data), (None, false));
    assert_eq!(config.use_random_password(), Ok(vec![]));
}

#[test]
fn sysprep_is_found_in_every_form() {
    // WIN-28.
    for (text, expected) in [
        (with_type("random"), false),
        (with_type("random").replace("startSsm", "sysprep"), true),
        (with_type("random").replace("startSsm", "'Sysprep' # x"), true),
        (json("{}").replace("\"setAdminAccount\"", "\"sysprep\""), true),
        (with_type("random").replace("C:\\w.jpg", "sysprep"), false),
        ("config: {stage: x, tasks: {task: sysprep}}".to_owned(), true),
    ] {
        let config = AgentConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.has_sysprep(), expected, "{text}");
    }
}

#[test]
fn the_type_edits_are_those_of_the_table() {
    // WIN-46, table WIN-T3.
    for (old, new) in [
        ("static", "random"),
        ("doNothing", "random   "),
        ("'static'", "'random'"),
        ("\"doNothing\"", "\"random\"   "),
        ("'doNothing' # a comment", "'random'    # a comment"),
        ("DoNothing", "random   "),
        ("Static\n        data: old", "random\n        data: old"),
        ("random", "random"),
        ("\"Random\"", "\"Random\""),
    ] {
        let yaml = with_type(old);
        for yaml in [yaml.clone(), yaml.replace('\n', "\r\n")] {
            let config = AgentConfig::parse(yaml.as_bytes()).unwrap();
            let changes = config.use_random_password().unwrap();
            assert!(changes.iter().all(ByteChange::keeps_length), "{old}");
            let expected = yaml.replace(
                &format!("type: {}", old.split('\n').next().unwrap()),
                &format!("type: {}", new.split('\n').next().unwrap()),
            );
            assert_eq!(edited(yaml.as_bytes(), &changes), expected);
        }
    }
    for (old, new) in [
        ("{\"type\":  \"static\"}", "{\"type\":  \"random\"}"),
        ("{\"type\":\"doNothing\",\"data\":\"\"}", "{\"type\":\"random\"   ,\"data\":\"\"}"),
        (
            "{\r\n \"data\": \"a\\\"b\", \"type\": \"static\" }",
            "{\r\n \"data\": \"a\\\"b\", \"type\": \"random\" }",
        ),
        ("{type: doNothing}", "{type: random   }"),
        ("{ type: static, data: x}", "{ type: random, data: x}"),
    ] {
        let text = json(old);
        let config = AgentConfig::parse(text.as_bytes()).unwrap();
        assert!(config.is_json);
        let changes = config.use_random_password().unwrap();
        assert_eq!(edited(text.as_bytes(), &changes), json(new));
    }
}

#[test]
fn every_encoding_keeps_its_bytes() {
    // WIN-49.
    let password = Password::new("P\u{e4}ss \"w0rd\\").unwrap();
    for encoding in ENCODINGS {
        let mark = if encoding == Encoding::Ansi { "\u{f7fc}" } else { "" };
        let old = format!("# {mark}\r\n{}", with_type("'static'").replace('\n', "\r\n"));
        let bytes = file(encoding, &old);
        let config = AgentConfig::parse(&bytes).unwrap();
        let changed = apply(&bytes, &config.use_random_password().unwrap()).unwrap();
        assert_eq!(changed, file(encoding, &old.replace("'static'", "'random'")), "{encoding}");
        let changed = apply(&bytes, &config.use_password(&password).unwrap()).unwrap();
        let data = "'static'\r\n        data: \"P\\u00e4ss \\\"w0rd\\\\\"";
        assert_eq!(changed, file(encoding, &old.replace("'static'", data)), "{encoding}");
    }
}

#[test]
fn a_password_of_the_caller_fits_every_form() {
    // WIN-48.
    let password = Password::new("a'B\"1 #:{").unwrap();
    for (old, new) in [
        ("type: random", "type: static\n        data: \"a'B\\\"1 #:{\""),
        ("type: random # x", "type: static # x\n        data: \"a'B\\\"1 #:{\""),
        ("type: doNothing  ", "type: static  \n        data: \"a'B\\\"1 #:{\""),
        ("\"type\": 'random'", "\"type\": 'static'\n        \"data\": \"a'B\\\"1 #:{\""),
        ("type: static\n        data: old", "type: static\n        data: \"a'B\\\"1 #:{\""),
        (
            "data: 'o''ld' # x\n        type: random",
            "data: \"a'B\\\"1 #:{\" # x\n        type: static",
        ),
        ("data: \"o\\\"ld\"\n        type: static", "data: \"a'B\\\"1 #:{\"\n        type: static"),
    ] {
        let yaml = |lines: &str| block(&format!("    inputs:\n      password:\n        {lines}\n"));
        let config = AgentConfig::parse(yaml(old).as_bytes()).unwrap();
        let changes = config.use_password(&password).unwrap();
        assert_eq!(edited(yaml(old).as_bytes(), &changes), yaml(new));
        let again = AgentConfig::parse(yaml(new).as_bytes()).unwrap();
        assert_eq!(again.use_password(&password), Ok(vec![]), "a second time");
        assert!(again.admin_accounts[0].has_data);
    }
    for (old, new) in [
        ("{\"type\": \"random\"}", "{\"type\": \"static\", \"data\": \"a'B\\\"1 #:{\"}"),
        ("{ type: random }", "{ type: static, data: \"a'B\\\"1 #:{\" }"),
        ("{\"data\":\"\",\"type\":\"static\"}", "{\"data\":\"a'B\\\"1 #:{\",\"type\":\"static\"}"),
    ] {
        let config = AgentConfig::parse(json(old).as_bytes()).unwrap();
        let changes = config.use_password(&password).unwrap();
        assert_eq!(edited(json(old).as_bytes(), &changes), json(new));
    }
    // The last line of a file without a line end.
    let short = "config:\n - tasks:\n   - task: setAdminAccount\n     inputs:\n      password:\n       type: random";
    let config = AgentConfig::parse(short.as_bytes()).unwrap();
    let changes = config.use_password(&Password::new("x").unwrap()).unwrap();
    let expected = short.replace("random", "static\n       data: \"x\"");
    assert_eq!(edited(short.as_bytes(), &changes), expected);
}

#[test]
fn unusual_forms_are_refused_by_name() {
    let unusual = |line, what| AgentConfigDefect::UnusualForm { line, what };
    let kind = "the password type";
    let cases: Vec<(String, AgentConfigDefect)> = vec![
        (with_type("\"sta\\x74ic\""), unusual(16, kind)),
        (with_type("|-\n          static"), unusual(17, kind)),
        (
            with_type("'static'\n").replace("'static'\n", ">-\n          doNothing\n"),
            unusual(17, kind),
        ),
        (with_type("specify"), AgentConfigDefect::UnknownType { line: 16 }),
        (with_type(""), AgentConfigDefect::NoPasswordType { line: 13 }),
        (with_type("[static]"), AgentConfigDefect::NoPasswordType { line: 13 }),
        // WIN-47.
        (block(""), AgentConfigDefect::NoPasswordType { line: 13 }),
        (block("    inputs: {}\n"), AgentConfigDefect::NoPasswordType { line: 13 }),
        (block("    inputs:\n"), AgentConfigDefect::NoPasswordType { line: 13 }),
        (
            block("    inputs:\n      password: random\n"),
            AgentConfigDefect::NoPasswordType { line: 13 },
        ),
        (with_type("static").replace("setAdminAccount", "x"), AgentConfigDefect::NoAdminAccount),
        (
            with_type("static").replace("activateWindows", "setAdminAccount"),
            AgentConfigDefect::SeveralAdminAccounts { count: 2 },
        ),
    ];
    for (yaml, expected) in cases {
        let config = AgentConfig::parse(yaml.as_bytes()).unwrap();
        assert_eq!(config.use_random_password(), Err(expected), "{yaml}");
    }
    let password = Password::new("x").unwrap();
    let beyond = Password::new("\u{1f600}").unwrap();
    let data = "the password";
    let cases: Vec<(String, AgentConfigDefect)> = vec![
        (with_type("static\n        data:"), unusual(17, data)),
        (with_type("static\n        data: |-\n          x"), unusual(18, data)),
        (with_type("static\n        data: \"a\n          b\""), unusual(17, data)),
        (with_type("static\n        data: {a: b}"), unusual(17, data)),
        (
            block("    inputs:\n      password:\n        ? type\n        : random\n"),
            unusual(16, "the mapping of the password"),
        ),
    ];
    for (yaml, expected) in cases {
        let config = AgentConfig::parse(yaml.as_bytes()).unwrap();
        let found = config.use_password(&password).map(|changes| edited(yaml.as_bytes(), &changes));
        assert_eq!(found, Err(expected), "{yaml}");
    }
    let config = AgentConfig::parse(with_type("random").as_bytes()).unwrap();
    assert_eq!(config.use_password(&beyond), Err(AgentConfigDefect::PasswordCharacter));
}

#[test]
fn tabs_in_the_indentation_are_read_as_spaces() {
    // WIN-49.
    let yaml = with_type("static").replace("      path: C:", "\t\t\t\t\t\tpath: C:");
    let config = AgentConfig::parse(yaml.as_bytes()).unwrap();
    assert!(config.has_tabs);
    let changes = config.use_random_password().unwrap();
    assert_eq!(edited(yaml.as_bytes(), &changes), yaml.replace("static", "random"));
    let wrong = with_type("static").replace("  - task: setWallpaper", "\t- task: setWallpaper");
    let defect = AgentConfig::parse(wrong.as_bytes()).unwrap_err();
    assert!(matches!(defect, AgentConfigDefect::Yaml { line: 16..=17, .. }), "{defect}");
    // JSON may be indented with tabs, and then nothing has to be read as something else.
    let tabbed = json("{\"type\": \"static\"}").replace("\n  ", "\n\t");
    let config = AgentConfig::parse(tabbed.as_bytes()).unwrap();
    assert_eq!(config.use_random_password().unwrap().len(), 1);
}

#[test]
fn what_is_not_supported_is_named() {
    let twice = "config:\n- tasks:\n  - task: setAdminAccount\n    inputs:\n      password: {type: a, type: b}\n";
    for (yaml, expected) in [
        ("a: &x b\nc: *x\n", AgentConfigDefect::Anchor { line: 1 }),
        ("a: &x [b]\n", AgentConfigDefect::Anchor { line: 1 }),
        ("a: 1\nb: !!str c\n", AgentConfigDefect::Tag { line: 2 }),
        ("a: 1\n---\nb: 2\n", AgentConfigDefect::SeveralDocuments),
        ("# nothing\n", AgentConfigDefect::Empty),
        ("", AgentConfigDefect::Empty),
        ("a: 1\n", AgentConfigDefect::NoStages),
        ("- config: []\n", AgentConfigDefect::NoStages),
        ("config: []\nconfig: []\n", AgentConfigDefect::DuplicateKey { line: 2, name: "config" }),
        (twice, AgentConfigDefect::DuplicateKey { line: 5, name: "type" }),
        ("a\0b", AgentConfigDefect::Text(TextDefect::Nul { offset_bytes: 1 })),
    ] {
        assert_eq!(AgentConfig::parse(yaml.as_bytes()).err(), Some(expected), "{yaml}");
    }
    for yaml in ["a: [b", "a: 'b", "a: b: c", "*x", "{\"a\": }}", "a:\n  b\n c: d\n", "%YAML 9\nx"]
    {
        let defect = AgentConfig::parse(yaml.as_bytes()).unwrap_err();
        assert!(matches!(defect, AgentConfigDefect::Yaml { .. }), "{yaml}: {defect}");
    }
    let cut = json("{\"type\": \"static\"}");
    assert!(
        (0..cut.trim_end().len()).all(|end| AgentConfig::parse(&cut.as_bytes()[..end]).is_err())
    );
}

#[test]
fn bombs_are_refused_quickly() {
    let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n";
    let fill = |part: &str, bytes: usize| part.repeat(bytes / part.len());
    for (name, bomb) in [
        ("aliases", laughs.to_owned()),
        ("flow lists", fill("[", 1 << 20)),
        ("flow mappings", fill("{a: ", 1 << 20)),
        ("block lists", fill("- ", 1 << 20)),
        ("complex keys", fill("? ", 1 << 20)),
        ("many keys", fill("k: v\n", 1 << 20)),
        ("deep block", (0..1000).map(|n| " ".repeat(n) + "a:\n").collect()),
        ("line ends", fill("\n", 1 << 20)),
        ("tabs", fill("\t", 1 << 20)),
        ("comment", fill("#", 1 << 20)),
        ("open quote", format!("a: \"{}", fill("x", 1 << 19))),
        ("open quote with lines", format!("a: '{}", fill("x\n", 1 << 19))),
        ("plain lines", fill("x\n", 1 << 20)),
        ("block scalar", format!("a: |\n{}", fill(" x\n", 1 << 19))),
        ("tags", fill("!", 1 << 20)),
        ("colons", fill(": ", 1 << 20)),
        ("commas", format!("[{}", fill(",", 1 << 19))),
        ("quotes", fill("\"\" ", 1 << 20)),
        ("flow words", format!("[{}", fill("a,", 1 << 19))),
        ("open flow words", format!("[{}", fill("a ", 1 << 19))),
        ("directives", fill("%a\n", 1 << 20)),
        ("documents", fill("---\n", 1 << 20)),
        ("too large", fill(" ", 1 << 21)),
    ] {
        let start = Instant::now();
        assert!(AgentConfig::parse(bomb.as_bytes()).is_err(), "{name}");
        let spent = start.elapsed();
        assert!(spent < Duration::from_secs(5), "{name}: {spent:?}");
    }
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z][a-zA-Z0-9]{0,8}"
}

proptest! {
    #[test]
    fn random_configurations_change_only_in_the_type(
        names in proptest::collection::vec(word(), 0..5),
        at in 0usize..5,
        kind in prop_oneof![Just("static"), Just("doNothing")],
        quote in prop_oneof![Just(""), Just("'"), Just("\"")],
        line_end in prop_oneof![Just("\n"), Just("\r\n")],
        indentation in 1usize..6,
        has_name in any::<bool>(),
        password in "[ -~\u{e4}]{1,20}",
    ) {
        let pad = " ".repeat(indentation);
        let name = if has_name { format!("    {pad}name: Admin{line_end}") } else { String::new() };
        let own = |kind: &str| format!(
            "  - task: setAdminAccount{line_end}    inputs:{line_end}{name}    {pad}password:{line_end}\
             {pad}{pad}    {pad}type: {kind}{line_end}"
        );
        let mut tasks: Vec<String> = names
            .iter()
            .filter(|name| !name.eq_ignore_ascii_case("setAdminAccount"))
            .map(|name| format!("  - task: {name}{line_end}    inputs: {{type: static}}{line_end}"))
            .collect();
        let at = at.min(tasks.len());
        tasks.insert(at, own(&format!("{quote}{kind}{quote}")));
        let head = format!("version: \"1.1\"{line_end}config:{line_end}- stage: preReady{line_end}  tasks:{line_end}");
        let yaml = format!("{head}{}", tasks.concat());
        let config = AgentConfig::parse(yaml.as_bytes()).unwrap();
        let changes = config.use_random_password().unwrap();
        tasks[at] = own(&format!("{quote}random{quote}{}", " ".repeat(kind.len() - 6)));
        prop_assert_eq!(edited(yaml.as_bytes(), &changes), format!("{head}{}", tasks.concat()));

        let password = Password::new(&password).unwrap();
        let changed = edited(yaml.as_bytes(), &config.use_password(&password).unwrap());
        let after = AgentConfig::parse(changed.as_bytes()).unwrap();
        prop_assert_eq!(&after.tasks, &config.tasks);
        prop_assert_eq!(&after.admin_accounts[0].source, &PasswordSource::Static);
        let data = after.admin_accounts[0].place.data.unwrap();
        prop_assert_eq!(after.document.scalar(data), Some(password.expose()));
        prop_assert_eq!(changed.matches("\r\n").count(), if line_end == "\n" { 0 } else { changed.matches('\n').count() });
    }

    #[test]
    fn damage_is_never_a_panic(
        is_json in any::<bool>(),
        at in any::<u16>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..6),
    ) {
        let text = if is_json { json("{\"type\": \"static\"}") } else { with_type("doNothing") };
        let mut damaged = text.into_bytes();
        let at = usize::from(at) % damaged.len();
        damaged[at..].iter_mut().zip(&bytes).for_each(|(place, byte)| *place = *byte);
        let _ = AgentConfig::parse(&bytes);
        if let Ok(config) = AgentConfig::parse(&damaged)
            && let Ok(changes) = config.use_random_password()
        {
            let changed = apply(&damaged, &changes).unwrap();
            let after = AgentConfig::parse(&changed).unwrap();
            prop_assert_eq!(&after.admin_accounts[0].source, &PasswordSource::Random);
            prop_assert_eq!(changed.len(), damaged.len());
        }
    }
}
