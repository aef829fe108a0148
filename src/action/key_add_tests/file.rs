//! What becomes of the key file: where a line goes, what is made, and what is refused (linux-login.md, section 16).

use super::{
    FILE, KEY, LOCKED_OUT, OTHER, SECOND, add, blocked, configure, debian, key, request, text,
    with_keys,
};
use crate::action::edit::run;
use crate::action::key_add::{KeyAddRequest, plan};
use crate::action::{FileChange, Outcome};
use crate::fs::NodeKind;
use crate::fs::path::GuestPath;
use proptest::prelude::*;

#[test]
fn a_key_goes_into_an_existing_file_in_every_state_login_121_to_126() {
    let new = format!("{KEY} me@home\n");
    for (name, before, after) in [
        ("empty", String::new(), new.clone()),
        ("plain", format!("{OTHER} x\n"), format!("{OTHER} x\n{new}")),
        ("no final newline", format!("{OTHER} x"), format!("{OTHER} x\n{new}")),
        ("crlf", format!("{OTHER} x\r\n# c\r\n"), format!("{OTHER} x\r\n# c\r\n{new}")),
        ("garbage", "\u{1}\u{2}x\n\n\n".into(), format!("\u{1}\u{2}x\n\n\n{new}")),
        ("NUL tail", format!("{OTHER}\n\0\0\0"), format!("{OTHER}\n\0\0\0\n{new}")),
        ("dead line", format!("nonsense {KEY}\n"), format!("nonsense {KEY}\n{new}")),
        ("comment", format!("#{KEY}\n"), format!("#{KEY}\n{new}")),
        ("from", format!("from=\"::1\" {KEY}\n"), format!("from=\"::1\" {KEY}\n{new}")),
        (
            "over",
            format!("expiry-time=\"2020010100\" {KEY}\n"),
            format!("expiry-time=\"2020010100\" {KEY}\n{new}"),
        ),
        (
            "shadowed",
            format!("{OTHER}\n{LOCKED_OUT} {KEY}\n{OTHER}\n"),
            format!("{OTHER}\n{new}{LOCKED_OUT} {KEY}\n{OTHER}\n"),
        ),
        ("restrict", format!("restrict {KEY}"), format!("{new}restrict {KEY}")),
        ("present", format!("{KEY} another comment\n"), format!("{KEY} another comment\n")),
        (
            "present with harmless options",
            format!("no-user-rc {KEY}\n"),
            format!("no-user-rc {KEY}\n"),
        ),
        (
            "present, then shadowed",
            format!("{KEY}\nrestrict {KEY}\n"),
            format!("{KEY}\nrestrict {KEY}\n"),
        ),
    ] {
        let mut tree = with_keys(before.as_bytes());
        let plan = add(&mut tree, &request(&[])).unwrap();
        assert_eq!(text(&tree), after, "{name}");
        let outcome = if before == after { Outcome::AlreadyPresent } else { Outcome::Changes };
        assert_eq!(plan.users[0].outcome, outcome, "{name}");
        let appends = after.starts_with(&before) && before != after;
        let is_append = matches!(plan.changes.first(), Some(FileChange::Append { .. }));
        assert_eq!(is_append, appends, "{name}: the smallest edit");
        assert_eq!(blocked(&plan), [], "{name}");
    }
}

#[test]
fn a_utf_16_file_gets_a_line_after_a_line_feed_login_126() {
    let mut before = vec![0xff, 0xfe];
    before.extend(format!("{OTHER}\n").bytes().flat_map(|byte| [byte, 0]));
    let mut tree = with_keys(&before);
    let plan = add(&mut tree, &request(&[])).unwrap();
    let expected = [before, format!("\n{KEY} me@home\n").into_bytes()].concat();
    assert_eq!(tree.content_at(FILE).unwrap(), expected);
    assert!(plan.findings.iter().any(|finding| finding.rule == "LOGIN-126"));
}

#[test]
fn missing_directory_and_file_are_made_with_owner_and_mode_login_129_and_130() {
    let mut tree = debian();
    let plan = add(&mut tree, &request(&[])).unwrap();
    let names: Vec<_> = plan.changes.iter().map(FileChange::action_name).collect();
    assert_eq!(names, ["create_directory", "create_file"]);
    for (change, wanted) in plan.changes.iter().zip([0o700, 0o600]) {
        let (FileChange::CreateDirectory { new, .. } | FileChange::CreateFile { new, .. }) = change
        else {
            panic!("{change:?}")
        };
        // The group is the one of passwd, not the number of the user (LOGIN-129).
        assert_eq!((new.mode, new.uid, new.gid), (wanted, 1000, 1001));
        assert!(new.xattrs.is_empty());
    }
    assert_eq!(text(&tree), format!("{KEY} me@home\n"));
}

#[test]
fn a_missing_home_is_made_only_with_fix_login_131() {
    let mut tree = debian();
    tree.file("/etc/passwd", 0, 0o644, b"admin:x:1000:1001::/home/new:/bin/bash\n");
    let refused = plan(&tree, &request(&["admin"])).unwrap();
    assert_eq!(blocked(&refused), [("home-missing", "LOGIN-131")]);
    assert_eq!(refused.refusal().unwrap().exit_status(), 4);
    assert!(!refused.changes_something());
    let fixing = KeyAddRequest { fix: true, ..request(&["admin"]) };
    let plan_made = add(&mut tree, &fixing).unwrap();
    assert!(plan_made.refusal().is_none());
    assert_eq!(plan_made.changes.len(), 3);
    tree.file("/etc/passwd", 0, 0o644, b"admin:x:1000:1001::/none/new:/bin/bash\n");
    assert_eq!(plan(&tree, &fixing).unwrap_err().exit_status(), 4);
}

#[test]
fn links_stay_inside_the_volume_and_dangling_ones_are_refused_login_132() {
    let mut tree = debian();
    tree.directory("/srv/keys", 1000, 0o755)
        .file("/srv/keys/admin", 1000, 0o600, b"")
        .directory("/home/admin/.ssh", 1000, 0o700)
        .link(FILE, "/srv/keys/admin");
    let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
    assert_eq!(plan_made.users[0].path, Some(GuestPath::new("/srv/keys/admin")));
    tree.link(FILE, "/srv/keys/gone");
    let error = plan(&tree, &request(&["admin"])).unwrap_err();
    assert_eq!(error.exit_status(), 4);
    assert!(error.to_string().contains("is a link to /srv/keys/gone, which is missing"), "{error}");
    tree.link(FILE, "authorized_keys");
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4);
    // A link on the way that does not dangle is no obstacle.
    let mut tree = debian();
    tree.link("/u", "/home").file(
        "/etc/passwd",
        0,
        0o644,
        b"admin:x:1000:1001::/u/admin:/bin/bash\n",
    );
    add(&mut tree, &request(&["admin"])).unwrap();
    assert_eq!(text(&tree), format!("{KEY} me@home\n"));
}

#[test]
fn what_is_no_key_file_is_refused() {
    for kind in [NodeKind::Fifo, NodeKind::CharDevice, NodeKind::BlockDevice, NodeKind::Socket] {
        let mut tree = debian();
        tree.directory("/home/admin/.ssh", 1000, 0o700).special(FILE, kind);
        assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4, "{kind}");
    }
    let mut tree = debian();
    tree.directory(FILE, 1000, 0o700);
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4);
    let mut tree = debian();
    tree.file("/home/admin/.ssh", 1000, 0o600, b"");
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 4);
    let mut tree = with_keys(b"");
    tree.change(FILE, |metadata| metadata.size_bytes = 1 << 30);
    assert_eq!(plan(&tree, &request(&["admin"])).unwrap_err().exit_status(), 5);
}

#[test]
fn several_keys_and_options_are_written_login_119() {
    let mut tree = with_keys(format!("{OTHER}\n").as_bytes());
    let mut wanted = request(&["admin"]);
    wanted.keys.push(key(OTHER));
    wanted.options = Some("no-user-rc,from=\"10.0.0.1\"".to_owned());
    add(&mut tree, &wanted).unwrap();
    let options = wanted.options.clone().unwrap();
    assert_eq!(text(&tree), format!("{options} {OTHER}\n{OTHER}\n{options} {KEY} me@home\n"));
    for options in ["x", "no-pty ", "command=\"a\nb\"", "", "cert-authority"] {
        let wrong = KeyAddRequest { options: Some(options.to_owned()), ..request(&["admin"]) };
        assert_eq!(plan(&tree, &wrong).unwrap_err().exit_status(), 2, "{options:?}");
    }
}

#[test]
fn options_that_let_nobody_in_are_not_written_login_119() {
    for options in ["expiry-time=\"20200101\"", "principals=\"a\""] {
        let wrong = KeyAddRequest { options: Some(options.to_owned()), ..request(&["admin"]) };
        assert_eq!(plan(&with_keys(b""), &wrong).unwrap_err().exit_status(), 2, "{options}");
    }
}

#[test]
fn an_absolute_place_outside_the_home_is_used_login_130() {
    let mut tree = debian();
    configure(&mut tree, "AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys");
    let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
    assert_eq!(plan_made.users[0].path, Some(GuestPath::new("/etc/ssh/keys/admin")));
    assert!(matches!(&plan_made.changes[0], FileChange::CreateDirectory { new, .. }
        if (new.uid, new.mode) == (0, 0o755)));
    assert!(matches!(&plan_made.changes[1], FileChange::CreateFile { new, .. }
        if (new.uid, new.mode) == (1000, 0o600)));
}

#[test]
fn a_key_in_a_file_that_sshd_does_not_read_is_not_present_login_51() {
    for (mode, is_read) in [(0o600, true), (0o666, false), (0o060, false)] {
        let mut tree = with_keys(format!("{OTHER}\n").as_bytes());
        tree.file(SECOND, 1000, mode, format!("{KEY}\n").as_bytes());
        let plan_made = add(&mut tree, &request(&["admin"])).unwrap();
        let user = &plan_made.users[0];
        assert!(plan_made.refusal().is_none(), "{mode:o}: {plan_made:?}");
        assert_eq!(user.outcome == Outcome::AlreadyPresent, is_read, "{mode:o}");
        assert_eq!(user.path, Some(GuestPath::new(if is_read { SECOND } else { FILE })));
        // A line that is not read shadows nothing either.
        let mut tree = with_keys(b"");
        tree.file(SECOND, 1000, mode, format!("restrict {KEY}\n").as_bytes());
        add(&mut tree, &request(&["admin"])).unwrap();
        assert_eq!(text(&tree).is_empty(), is_read, "{mode:o}");
    }
}

#[test]
fn a_key_in_the_file_of_all_users_is_present_login_36() {
    let mut tree = debian();
    configure(&mut tree, "AuthorizedKeysFile /etc/keys");
    tree.file("/etc/keys", 0, 0o644, format!("{KEY}\n").as_bytes());
    let plan_made = plan(&tree, &request(&["admin"])).unwrap();
    assert_eq!(plan_made.users[0].outcome, Outcome::AlreadyPresent);
    assert_eq!(plan_made.users[0].path, Some(GuestPath::new("/etc/keys")));
    assert_eq!(blocked(&plan_made), []);
}

#[test]
fn each_user_is_a_result_of_its_own_login_137() {
    let mut tree = with_keys(b"");
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1001::/home/admin:/bin/bash\n\
        bad:x:1002:1002::/home/bad:/bin/bash\ntwin:x:1000:1001::/home/admin:/bin/bash\n";
    tree.file("/etc/passwd", 0, 0o644, passwd)
        .file(
            "/etc/shadow",
            0,
            0o640,
            b"admin:*:::::::\nbad:*:::::::\ntwin:*:::::::\nroot:*:::::::\n",
        )
        .file("/root/.ssh/authorized_keys", 0, 0o600, format!("{LOCKED_OUT} {KEY}\n").as_bytes())
        .directory("/home/bad/.ssh/authorized_keys", 1002, 0o700);
    let users = request(&["admin", "bad", "twin", "root"]);
    let plan_made = plan(&tree, &users).unwrap();
    let outcomes: Vec<_> = plan_made.users.iter().map(|user| user.outcome).collect();
    let [changes, refused] = [Outcome::Changes, Outcome::Refused];
    assert_eq!(outcomes, [changes, refused, changes, changes]);
    assert_eq!(plan_made.changes.len(), 2);
    assert_eq!(plan_made.refusal().unwrap().exit_status(), 4);
    run(&plan_made, &mut tree).unwrap();
    assert_eq!(text(&tree), format!("{KEY} me@home\n"));
    let root = tree.content_at("/root/.ssh/authorized_keys").unwrap();
    assert_eq!(root, format!("{KEY} me@home\n{LOCKED_OUT} {KEY}\n").as_bytes());
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just(format!("{KEY} a").into_bytes()),
        Just(format!("{OTHER}\r").into_bytes()),
        Just(format!("restrict,pty {KEY}").into_bytes()),
        Just(format!("from=\"10.0.0.1\" {KEY}").into_bytes()),
        Just(b"# comment".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    (proptest::collection::vec(line, 0..8), any::<bool>()).prop_map(|(lines, ends)| {
        let mut content = lines.join(&b'\n');
        content.extend(ends.then_some(b'\n'));
        content
    })
}

proptest! {
    #[test]
    fn adding_never_alters_another_line(content in lines()) {
        let mut tree = with_keys(&content);
        add(&mut tree, &request(&["admin"])).unwrap();
        let after = tree.content_at(FILE).unwrap().to_vec();
        let line = format!("{KEY} me@home\n").into_bytes();
        // Taking the line out again, and the LF that a missing final one cost, gives the old bytes.
        let found = (0..after.len()).find(|&at| {
            after[at..].starts_with(&line) && {
                let rest = [&after[..at], &after[at + line.len()..]].concat();
                rest == content || rest.strip_suffix(b"\n") == Some(&content)
            }
        });
        prop_assert!(after == content || found.is_some());
    }
}
