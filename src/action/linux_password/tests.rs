use super::*;
use crate::fs::memory::MemoryTree;
use crate::login::Severity;

/// Day 20000 since 1970.
const TODAY: i64 = 20_000;
const OTHERS: &str = "root:*:19000:0:99999:7:::\n";

fn tree(passwd_field: &str, shadow: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let passwd =
        format!("root:x:0:0::/root:/bin/sh\na:{passwd_field}:1000:1000::/home/a:/bin/sh\n");
    tree.file("/etc/passwd", 0, 0o644, passwd.as_bytes())
        .file("/etc/shadow", 0, 0o640, format!("{OTHERS}{shadow}").as_bytes())
        .file("/etc/os-release", 0, 0o644, b"ID=debian\n")
        .directory("/home/a", 1000, 0o755)
        .file("/bin/sh", 0, 0o755, b"")
        .file("/bin/login", 0, 0o755, b"");
    tree
}

fn request(password: &str) -> PasswordRequest {
    PasswordRequest {
        user: Some(b"a".to_vec()),
        password: Password::new(password).unwrap(),
        salt: *b"0123456789abcdef",
        fix: false,
        force: false,
        now: Timestamp { seconds: TODAY * DAY_SECONDS + 5, nanoseconds: 0 },
        edited: Timestamp { seconds: TODAY * DAY_SECONDS + 9, nanoseconds: 0 },
    }
}

/// The only change of a plan: path and content.
fn change(plan: &Plan) -> Option<(String, String)> {
    assert!(plan.changes.len() <= 1);
    plan.changes.first().map(|change| match change {
        FileChange::Replace { path, content, .. } => {
            (path.to_string(), String::from_utf8(content.clone()).unwrap())
        }
        other => panic!("{other:?}"),
    })
}

fn secret() -> String {
    crypt::hash(Scheme::Sha512, b"secret", *b"fedcba9876543210").unwrap()
}

fn new_hash() -> String {
    crypt::hash(Scheme::Sha512, b"secret", *b"0123456789abcdef").unwrap()
}

#[test]
fn the_line_of_the_user_changes_and_no_other_login_113() {
    let (old, new) = (secret(), new_hash());
    let other = crypt::hash(Scheme::Sha512, b"other", *b"fedcba9876543210").unwrap();
    for (name, before, after) in [
        ("locked", "a:!:19000:0:99999:7:::".to_owned(), format!("a:{new}:20000:0:99999:7:::")),
        ("never set", "a:*:19000:0:99999:7:::".to_owned(), format!("a:{new}:20000:0:99999:7:::")),
        ("empty", "a::19000:0:99999:7:::x".to_owned(), format!("a:{new}:20000:0:99999:7:::x")),
        ("other", format!("a:{other}::::30:::"), format!("a:{new}:20000:::30:::")),
        ("locked other", format!("a:!!{other}:0:::30:::"), format!("a:{new}:20000:::30:::")),
        ("unlocked", format!("a:!{old}:19000:0:99999:7:::"), format!("a:{old}:20000:0:99999:7:::")),
        ("forced", format!("a:{old}:0:0:99999:7:::"), format!("a:{old}:20000:0:99999:7:::")),
        ("aged", format!("a:{old}:19000:0:90:7:10::"), format!("a:{old}:20000:0:90:7:10::")),
        ("at once", format!("a:{old}:19990:0:0:7:0::"), format!("a:{old}:20000:0::7:0::")),
        ("short", "a:!:19000:0:99999".to_owned(), format!("a:{new}:20000:0:99999::::")),
        ("windows", "a:!:19000:0:99999:7:::\r".to_owned(), format!("a:{new}:20000:0:99999:7:::\r")),
        ("added", "b:!:19000:0:99999:7:::".to_owned(), {
            format!("b:!:19000:0:99999:7:::\na:{new}:20000:0:99999:7:::")
        }),
    ] {
        let tree = tree("x", &format!("{before}\n"));
        let plan = plan(&tree, &request("secret")).unwrap();
        let expected = format!("{OTHERS}{after}\n");
        assert_eq!(change(&plan), Some(("/etc/shadow".to_owned(), expected)), "{name}");
        assert_eq!(plan.users[0].outcome, Outcome::Changes, "{name}");
        let text = format!("{:?}", plan.findings);
        assert!(!text.contains("secret") && !text.contains(&new), "{name}: {text}");
        let detail = plan.changes[0].detail();
        assert!(!detail.contains('$') && !detail.contains("secret"), "{name}: {detail}");
    }
}

#[test]
fn a_password_that_is_there_changes_nothing() {
    for line in ["19990:0:99999:7:::", "::::0::", "19990:0:90:7:10:20001:", "30000:0:1::::"] {
        let tree = tree("x", &format!("a:{}:{line}\n", secret()));
        let plan = plan(&tree, &request("secret")).unwrap();
        assert_eq!(
            (change(&plan), plan.users[0].outcome),
            (None, Outcome::AlreadyPresent),
            "{line}"
        );
    }
}

#[test]
fn an_expired_account_is_refused_repaired_or_forced_login_142() {
    let tree = tree("x", "a:!:19000:0:99999:7::20000:\n");
    let refused = plan(&tree, &request("secret")).unwrap();
    assert_eq!((change(&refused), refused.users[0].outcome), (None, Outcome::Refused));
    let finding = &refused.findings[0];
    assert_eq!((finding.check, finding.severity), ("acct-expired", Severity::Block));
    assert_eq!(finding.subject, "/etc/shadow:2");
    let new = new_hash();
    for (fix, force, after) in [(true, false, ""), (true, true, ""), (false, true, "20000")] {
        let plan = plan(&tree, &PasswordRequest { fix, force, ..request("secret") }).unwrap();
        let expected = format!("{OTHERS}a:{new}:20000:0:99999:7::{after}:\n");
        assert_eq!(change(&plan).unwrap().1, expected);
        assert_eq!(plan.users[0].outcome, Outcome::Changes);
    }
}

#[test]
fn the_clock_of_the_edit_is_written_and_the_real_one_decides_login_4() {
    let edited = Timestamp { seconds: 19_000 * DAY_SECONDS, nanoseconds: 0 };
    let tree = tree("x", "a:!:18000:0:90:7::19500:\n");
    let made = plan(&tree, &PasswordRequest { edited, fix: true, ..request("secret") }).unwrap();
    assert!(change(&made).unwrap().1.ends_with(":19000:0:90:7:::\n"));
    assert!(made.findings.iter().any(|finding| finding.rule == "LOGIN-4"));
}

#[test]
fn a_hash_in_passwd_stays_in_passwd() {
    let tree = tree(&format!("!{}", secret()), "");
    let made = plan(&tree, &request("secret")).unwrap();
    let (path, content) = change(&made).unwrap();
    assert_eq!(path, "/etc/passwd");
    let line = format!("\na:{}:1000:1000::/home/a:/bin/sh\n", secret());
    assert!(content.ends_with(&line), "{content}");
    assert!(made.findings.iter().any(|finding| finding.check == "password-place"));
    for field in ["", "*", "!", "!!", "NP"] {
        let error = plan(&self::tree(field, ""), &request("secret")).unwrap_err();
        assert!(error.to_string().contains("neither x nor a hash"), "{field}: {error}");
        assert_eq!(error.exit_status(), 4);
    }
}

#[test]
fn what_ends_the_login_blocks() {
    for (passwd, extra, check) in [
        ("a:x:1000:1000::/home/a:/usr/sbin/nologin", Some("/usr/sbin/nologin"), "user-shell"),
        ("a:x:1000:1000::/home/a:/bin/zsh", None, "user-shell"),
        ("a:x:1000:1000::/home/a:/bin/sh", Some("/etc/nologin"), "nologin"),
    ] {
        let mut tree = tree("x", "a:!:19000:0:99999:7:::\n");
        tree.file("/etc/passwd", 0, 0o644, passwd.as_bytes());
        if let Some(path) = extra {
            tree.file(path, 0, 0o755, b"");
        }
        let made = plan(&tree, &request("secret")).unwrap();
        assert_eq!(made.users[0].outcome, Outcome::Refused, "{passwd}");
        assert!(made.findings.iter().any(|f| f.check == check && f.is_blocking()), "{passwd}");
        let forced = plan(&tree, &PasswordRequest { force: true, ..request("secret") }).unwrap();
        assert!(forced.changes_something());
    }
}

#[test]
fn files_that_must_not_be_edited_are_refused() {
    let shadow = "a:!:19000:0:99999:7:::\n";
    let mut immutable = tree("x", shadow);
    immutable.change("/etc/shadow", |metadata| metadata.flags.is_immutable = true);
    let mut directory = tree("x", "");
    directory.link("/etc/shadow", "/home/a");
    let mut missing = tree("x", "");
    missing.link("/etc/shadow", "/nowhere");
    for (tree, expected) in
        [(immutable, "immutable"), (directory, "is a directory"), (missing, "does not exist")]
    {
        let error = plan(&tree, &request("secret")).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.exit_status(), 4);
    }
    let nobody = PasswordRequest { user: Some(b"zoe".to_vec()), ..request("secret") };
    assert_eq!(plan(&tree("x", shadow), &nobody).unwrap_err().exit_status(), 3);
}

#[test]
fn a_door_that_opens_as_well_is_named_login_113() {
    for (config, is_open) in [
        ("", true),
        ("PasswordAuthentication no\nUsePAM yes\n", true),
        ("PasswordAuthentication no\nKbdInteractiveAuthentication no\n", false),
        ("PasswordAuthentication no\nChallengeResponseAuthentication no\nUsePAM yes\n", false),
        ("AuthenticationMethods publickey\n", false),
        ("AuthenticationMethods publickey,password\n", false),
        ("AuthenticationMethods password publickey\n", true),
        ("PasswordAuthentication no\nMatch User a\nPasswordAuthentication yes\n", true),
        (
            "Match Address 10.0.0.0/8\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            true,
        ),
    ] {
        let mut tree = tree("x", "a:!:19000:0:99999:7:::\n");
        tree.file("/etc/ssh/sshd_config", 0, 0o644, config.as_bytes()).file(
            "/usr/sbin/sshd",
            0,
            0o755,
            b"",
        );
        let made = plan(&tree, &request("secret")).unwrap();
        let found = made.findings.iter().any(|finding| finding.check == "ssh-password");
        assert_eq!(found, is_open, "{config}");
        let root = PasswordRequest { user: Some(b"root".to_vec()), ..request("secret") };
        let found = plan(&tree, &root).unwrap().findings;
        assert!(!found.iter().any(|finding| finding.check == "ssh-password"), "{config}");
    }
}
