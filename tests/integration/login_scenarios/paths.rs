//! Modes, owners, lists and kinds of what lies on the way to the key file (LOGIN-49 to LOGIN-56).

use super::*;
use Step::{
    Acl, Directory, Field, Fifo, File, HardLink, Link, Mode, Move, NoLine, Owner, Remove, Replace,
};

const BAD: &str = "bad ownership or modes for";
/// Nobody else has the group and the user is not in it either.
const OTHER: &str = "\nfriend:x:1001:1000::/home/friend:/bin/bash\n";

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = modes();
    rows.extend(owners());
    rows.extend(groups());
    rows.extend(lists());
    rows.extend(kinds());
    rows.extend(links());
    rows.extend(homes());
    rows
}

fn modes() -> Vec<Scenario> {
    vec![
        accepted("plain", &["LOGIN-39"], []),
        accepted(
            "home-0755-ssh-0755-keys-0644",
            &["LOGIN-52"],
            [Mode(SSH, 0o755), Mode(KEYS, 0o644)],
        ),
        refused("home-0777", &["LOGIN-51", "LOGIN-54"], BAD, [Mode(HOME, 0o777)]).fixed(),
        refused("home-0757", &["LOGIN-51", "LOGIN-54"], BAD, [Mode(HOME, 0o757)]).fixed(),
        refused("ssh-0777", &["LOGIN-51", "LOGIN-54"], BAD, [Mode(SSH, 0o777)]).fixed(),
        refused("keys-0666", &["LOGIN-51", "LOGIN-54"], BAD, [Mode(KEYS, 0o666)]).fixed(),
        refused("keys-0602", &["LOGIN-51", "LOGIN-54"], BAD, [Mode(KEYS, 0o602)]).fixed(),
        accepted("keys-0400", &["LOGIN-49"], [Mode(KEYS, 0o400)]),
        accepted("keys-0777-minus-w", &["LOGIN-51"], [Mode(KEYS, 0o755)]),
        refused(
            "keys-0000",
            &["LOGIN-49"],
            "Could not open user 'admin' authorized keys",
            [Mode(KEYS, 0o000)],
        )
        .fixed(),
        refused(
            "keys-0044-owner-shut-out",
            &["LOGIN-49"],
            "Could not open user",
            [Mode(KEYS, 0o044)],
        )
        .fixed(),
        refused("ssh-0600-no-search", &["LOGIN-49"], "", [Mode(SSH, 0o600)]).fixed(),
        refused(
            "ssh-0077-owner-shut-out",
            &["LOGIN-49", "LOGIN-51", "LOGIN-54"],
            "",
            [Mode(SSH, 0o055)],
        )
        .fixed(),
        refused("home-0600-no-search", &["LOGIN-49"], "", [Mode(HOME, 0o600)]),
        accepted("home-0711", &["LOGIN-49"], [Mode(HOME, 0o711)]),
        accepted("home-0100", &["LOGIN-49"], [Mode(HOME, 0o100)]),
        accepted("home-setgid-sticky", &["LOGIN-52"], [Mode(HOME, 0o3755), Mode(SSH, 0o3700)]),
        accepted("keys-setuid", &["LOGIN-52"], [Mode(KEYS, 0o6600)]),
        accepted("parent-of-home-0777", &["LOGIN-52"], [Mode("/home", 0o777)]),
        accepted("top-0777-home-inside", &["LOGIN-52"], [Mode("/", 0o777)]),
        refused("parent-of-home-0700", &["LOGIN-49"], "", [Mode("/home", 0o700)]),
        accepted(
            "strict-modes-no-0777",
            &["LOGIN-56"],
            [
                File(DROP_IN, "StrictModes no\n"),
                Mode(HOME, 0o777),
                Mode(SSH, 0o777),
                Mode(KEYS, 0o666),
            ],
        ),
        refused(
            "strict-modes-no-unreadable",
            &["LOGIN-49", "LOGIN-56"],
            "Could not open",
            [File(DROP_IN, "StrictModes no\n"), Mode(KEYS, 0o000)],
        )
        .fixed(),
        refused(
            "root-home-0775-with-others",
            &["LOGIN-51", "LOGIN-54"],
            BAD,
            [Mode("/root", 0o777)],
        )
        .user("root")
        .fixed(),
        accepted(
            "root-reads-keys-0000",
            &["LOGIN-49"],
            [Mode("/root/.ssh/authorized_keys", 0o000)],
        )
        .user("root"),
    ]
}

fn owners() -> Vec<Scenario> {
    vec![
        accepted("keys-of-root-0644", &["LOGIN-49"], [Owner(KEYS, 0, 0), Mode(KEYS, 0o644)]),
        refused(
            "keys-of-root-0600",
            &["LOGIN-49"],
            "Could not open",
            [Owner(KEYS, 0, 0), Mode(KEYS, 0o600)],
        )
        .fixed(),
        refused("keys-of-another", &["LOGIN-51"], BAD, [Owner(KEYS, 33, 33), Mode(KEYS, 0o644)])
            .fixed(),
        refused("ssh-of-another", &["LOGIN-51"], BAD, [Owner(SSH, 33, 33), Mode(SSH, 0o755)])
            .fixed(),
        refused("ssh-of-root-0700", &["LOGIN-49"], "", [Owner(SSH, 0, 0)]).fixed(),
        accepted("ssh-of-root-0755", &["LOGIN-51"], [Owner(SSH, 0, 0), Mode(SSH, 0o755)]),
        accepted("home-of-root-0755", &["LOGIN-51"], [Owner(HOME, 0, 0)]),
        refused("home-of-another", &["LOGIN-51", "LOGIN-141"], BAD, [Owner(HOME, 33, 33)]),
        refused("root-home-of-admin", &["LOGIN-51", "LOGIN-141"], BAD, [Owner("/root", 1000, 0)])
            .user("root"),
        accepted(
            "keys-0640-of-another-group",
            &["LOGIN-52"],
            [Owner(KEYS, 1000, 33), Mode(KEYS, 0o640)],
        ),
        accepted(
            "keys-readable-through-a-group",
            &["LOGIN-49"],
            [Owner(KEYS, 0, 27), Mode(KEYS, 0o640), Field(GROUP, "sudo", 4, "admin")],
        ),
        refused(
            "keys-not-readable-through-a-group",
            &["LOGIN-49"],
            "Could not open",
            [Owner(KEYS, 0, 27), Mode(KEYS, 0o640)],
        )
        .fixed(),
    ]
}

/// Debian accepts what the group may write where the group is the user's alone (LOGIN-54).
fn groups() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-51", "LOGIN-54"];
    vec![
        accepted("home-0775-private-group", RULES, [Mode(HOME, 0o775)]),
        accepted(
            "all-0775-private-group",
            RULES,
            [Mode(HOME, 0o2775), Mode(SSH, 0o770), Mode(KEYS, 0o664)],
        ),
        accepted(
            "home-0775-group-lists-the-user",
            RULES,
            [Mode(HOME, 0o775), Field(GROUP, "admin", 4, "admin")],
        ),
        refused(
            "home-0775-group-lists-another",
            RULES,
            BAD,
            [Mode(HOME, 0o775), Field(GROUP, "admin", 4, "www-data")],
        )
        .fixed(),
        refused(
            "home-0775-group-lists-both",
            RULES,
            BAD,
            [Mode(HOME, 0o775), Field(GROUP, "admin", 4, "admin,www-data")],
        )
        .fixed(),
        refused(
            "home-0775-another-has-it-as-primary",
            RULES,
            BAD,
            [Mode(HOME, 0o775), Step::Append(PASSWD, OTHER)],
        )
        .fixed(),
        refused(
            "home-0775-group-does-not-exist",
            RULES,
            BAD,
            [Mode(HOME, 0o775), Owner(HOME, 1000, 4242)],
        )
        .fixed(),
        refused("home-0775-empty-group", RULES, BAD, [Mode(HOME, 0o775), Owner(HOME, 1000, 50)])
            .fixed(),
        accepted(
            "home-0775-other-group-of-the-user-alone",
            RULES,
            [Mode(HOME, 0o775), Owner(HOME, 1000, 50), Field(GROUP, "staff", 4, "admin")],
        ),
        refused(
            "home-0775-group-users",
            RULES,
            BAD,
            [Mode(HOME, 0o775), Owner(HOME, 1000, 100), Field(GROUP, "users", 4, "admin,backup")],
        )
        .fixed(),
        refused("home-0775-group-root", RULES, BAD, [Mode(HOME, 0o775), Owner(HOME, 1000, 0)])
            .fixed(),
        accepted("root-home-0775", RULES, [Mode("/root", 0o775)]).user("root"),
        accepted(
            "home-of-root-0775-private-group",
            RULES,
            [Owner(HOME, 0, 1000), Mode(HOME, 0o775)],
        ),
        refused(
            "primary-group-missing-0775",
            RULES,
            BAD,
            [Mode(HOME, 0o775), NoLine(GROUP, "admin")],
        )
        .fixed(),
        accepted("primary-group-missing-0755", &["LOGIN-62"], [NoLine(GROUP, "admin")]),
    ]
}

fn lists() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-51", "LOGIN-53", "LOGIN-54"];
    vec![
        accepted("acl-mask-writable-private-group", RULES, [Acl(HOME, "u:www-data:rwx")]),
        refused(
            "acl-mask-writable-shared-group",
            RULES,
            BAD,
            [Field(GROUP, "admin", 4, "www-data"), Acl(HOME, "u:www-data:rwx")],
        )
        .fixed(),
        refused(
            "acl-mask-writable-keys-of-staff",
            RULES,
            BAD,
            [Owner(KEYS, 1000, 50), Acl(KEYS, "g:33:rw")],
        )
        .fixed(),
        accepted("acl-read-only", RULES, [Acl(HOME, "u:www-data:rx"), Acl(KEYS, "u:33:r")]),
        accepted(
            "acl-lets-the-user-read",
            &["LOGIN-49"],
            [Owner(KEYS, 0, 0), Mode(KEYS, 0o600), Acl(KEYS, "u:1000:r")],
        )
        .unknown("ACLs"),
        refused(
            "acl-mask-takes-it-away",
            &["LOGIN-49"],
            "Could not open",
            [Owner(KEYS, 0, 0), Mode(KEYS, 0o600), Acl(KEYS, "u:1000:r,m::-")],
        )
        .fixed(),
        refused(
            "acl-shuts-the-user-out",
            &["LOGIN-49"],
            "Could not open",
            [Owner(KEYS, 0, 0), Mode(KEYS, 0o644), Acl(KEYS, "u:1000:-")],
        )
        .fixed(),
        refused(
            "acl-shuts-a-group-out",
            &["LOGIN-49"],
            "Could not open",
            [Owner(KEYS, 0, 0), Mode(KEYS, 0o644), Acl(KEYS, "g:1000:-")],
        )
        .fixed(),
        refused(
            "acl-on-ssh-shuts-the-user-out",
            &["LOGIN-49"],
            "",
            [Owner(SSH, 0, 0), Mode(SSH, 0o755), Acl(SSH, "u:1000:r")],
        )
        .fixed(),
        accepted(
            "acl-lets-a-group-read",
            &["LOGIN-49"],
            [Owner(KEYS, 0, 0), Mode(KEYS, 0o600), Acl(KEYS, "g:1000:r")],
        )
        .unknown("ACLs"),
    ]
}

fn kinds() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-50", "LOGIN-39"];
    vec![
        refused(
            "keys-a-directory",
            RULES,
            "is not a regular file",
            [Remove(KEYS), Directory(KEYS, 0o700, 1000)],
        ),
        refused("keys-a-pipe", RULES, "is not a regular file", [Remove(KEYS), Fifo(KEYS)]),
        refused(
            "keys-a-device",
            RULES,
            "is not a regular file",
            [Remove(KEYS), Link(KEYS, "/dev/null")],
        ),
        refused(
            "ssh-a-file",
            &["LOGIN-49", "LOGIN-39"],
            "",
            [Remove(SSH), File(SSH, "{key}\n"), Owner(SSH, 1000, 1000)],
        ),
        accepted("keys-hard-linked", &["LOGIN-133"], [HardLink("/srv/same", KEYS)]),
        refused(
            "keys-hard-linked-wrong-owner",
            &["LOGIN-51"],
            BAD,
            [HardLink("/srv/same", KEYS), Owner("/srv/same", 33, 33), Mode("/srv/same", 0o644)],
        )
        .fixed(),
        refused("keys-empty", &["LOGIN-39"], "", [File(KEYS, "")]).fixed(),
        refused("keys-missing", &["LOGIN-39"], "Could not open user", [Remove(KEYS)]).fixed(),
        refused("ssh-missing", &["LOGIN-39"], "Could not open user", [Remove(SSH)]).fixed(),
    ]
}

fn links() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-51", "LOGIN-52", "LOGIN-132"];
    let moved = |to: &'static str, target: &'static str| [Move(KEYS, to), Link(KEYS, target)];
    let outside = moved("/srv/keys", "/srv/keys").to_vec();
    let with = |mut steps: Vec<Step>, more: &[Step]| {
        steps.extend(more);
        steps
    };
    vec![
        accepted("keys-link-inside", RULES, moved("/home/admin/.ssh/real", "real")),
        accepted("keys-link-absolute-inside", RULES, moved("/home/admin/k", "/home/admin/k")),
        accepted("keys-link-outside", RULES, outside.clone()),
        accepted("keys-link-relative-outside", RULES, moved("/srv/keys", "../../../srv/keys")),
        refused(
            "keys-link-outside-srv-0777",
            RULES,
            BAD,
            with(outside.clone(), &[Mode("/srv", 0o777)]),
        ),
        refused(
            "keys-link-outside-sticky-srv",
            RULES,
            BAD,
            with(outside.clone(), &[Mode("/srv", 0o1777)]),
        ),
        refused(
            "keys-link-outside-top-0777",
            RULES,
            BAD,
            with(outside.clone(), &[Mode("/", 0o777)]),
        ),
        refused(
            "keys-link-outside-top-of-admin",
            RULES,
            BAD,
            with(outside.clone(), &[Owner("/", 33, 33)]),
        ),
        refused(
            "keys-link-outside-srv-0700",
            &["LOGIN-49"],
            "Could not open",
            with(outside, &[Mode("/srv", 0o700)]),
        ),
        refused(
            "keys-link-dangling",
            &["LOGIN-39", "LOGIN-132"],
            "Could not open user",
            [Remove(KEYS), Link(KEYS, "/srv/gone")],
        ),
        refused(
            "keys-link-loop",
            &["LOGIN-39", "LOGIN-132"],
            "",
            [Remove(KEYS), Link(KEYS, "authorized_keys")],
        ),
        accepted(
            "link-itself-of-root",
            &["LOGIN-51"],
            with(moved("/home/admin/.ssh/real", "real").to_vec(), &[Owner(KEYS, 33, 33)]),
        ),
        accepted(
            "ssh-link-inside",
            RULES,
            [Move(SSH, "/home/admin/dot-ssh"), Link(SSH, "dot-ssh")],
        ),
        accepted("ssh-link-outside", RULES, [Move(SSH, "/srv/admin"), Link(SSH, "/srv/admin")]),
        refused(
            "ssh-link-outside-below-0777",
            RULES,
            BAD,
            [
                Directory("/srv/all", 0o777, 0),
                Move(SSH, "/srv/all/admin"),
                Link(SSH, "/srv/all/admin"),
            ],
        ),
        accepted("home-a-link", RULES, [Move(HOME, "/srv/admin"), Link(HOME, "/srv/admin")]),
        refused(
            "home-a-link-0777",
            RULES,
            BAD,
            [Move(HOME, "/srv/admin"), Link(HOME, "/srv/admin"), Mode("/srv/admin", 0o777)],
        )
        .fixed(),
        accepted(
            "home-of-homes-a-link",
            RULES,
            [Move("/home", "/srv/home"), Link("/home", "srv/home")],
        ),
        accepted(
            "keys-in-another-home",
            RULES,
            [
                Directory("/home/other", 0o755, 1000),
                Move(KEYS, "/home/other/keys"),
                Link(KEYS, "../../other/keys"),
            ],
        ),
        refused(
            "keys-in-another-home-parent-0777",
            RULES,
            BAD,
            [
                Directory("/home/other", 0o755, 1000),
                Move(KEYS, "/home/other/keys"),
                Link(KEYS, "../../other/keys"),
                Mode("/home", 0o777),
            ],
        ),
    ]
}

fn homes() -> Vec<Scenario> {
    vec![
        refused("home-missing", &["LOGIN-131", "LOGIN-39"], "Could not open user", [Remove(HOME)])
            .fixed(),
        refused(
            "home-moved-in-passwd",
            &["LOGIN-131", "LOGIN-39"],
            "Could not open user",
            [Field(PASSWD, "admin", 6, "/srv/nowhere")],
        )
        .fixed(),
        refused(
            "home-empty-in-passwd",
            &["LOGIN-131", "LOGIN-39"],
            "",
            [Field(PASSWD, "admin", 6, "")],
        ),
        accepted(
            "home-is-the-top",
            &["LOGIN-51"],
            [Field(PASSWD, "admin", 6, "/"), Move(SSH, "/.ssh")],
        ),
        accepted("home-relative", &["LOGIN-29"], [Field(PASSWD, "admin", 6, "home/admin")])
            .stricter("a home that is not absolute is not followed")
            .unknown("where sshd runs is not on the volume"),
        accepted("home-with-slashes", &["LOGIN-51"], [Field(PASSWD, "admin", 6, "//home//admin/")]),
        accepted(
            "home-with-dots",
            &["LOGIN-51"],
            [Field(PASSWD, "admin", 6, "/home/../home/./admin")],
        ),
        accepted(
            "home-a-file-key-elsewhere",
            &["LOGIN-51"],
            [
                Move(KEYS, "/etc/ssh/admin"),
                Remove(HOME),
                File(HOME, ""),
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/%u\n"),
            ],
        ),
        accepted(
            "home-missing-key-elsewhere",
            &["LOGIN-51"],
            [
                Move(KEYS, "/etc/ssh/admin"),
                Remove(HOME),
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/%u\n"),
            ],
        ),
        refused(
            "home-missing-key-elsewhere-top-0777",
            &["LOGIN-51"],
            BAD,
            [
                Move(KEYS, "/etc/ssh/admin"),
                Remove(HOME),
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/%u\n"),
                Mode("/", 0o777),
            ],
        ),
        accepted(
            "comment-in-main-file",
            &["LOGIN-12"],
            [Replace(CONFIG, "UsePAM yes", "  UsePAM yes  \n\t# a comment")],
        ),
    ]
}
