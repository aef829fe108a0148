//! passwd, shadow, group and the shell (LOGIN-57 to LOGIN-59, LOGIN-67 to LOGIN-71, table LOGIN-T3).

use super::*;
use Step::{Append, Directory, Field, File, Link, Mode, Move, NoLine, Prepend, Remove};

const NO_PAM: Step = File(DROP_IN, "UsePAM no\n");

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = locks();
    rows.extend(expiry());
    rows.extend(ageing());
    rows.extend(ageing_without_pam());
    rows.extend(files());
    rows.extend(shells());
    rows
}

/// Field of the shadow line.
fn shadow(number: usize, value: &'static str) -> Step {
    Field(SHADOW, ADMIN, number, value)
}

fn locks() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-58", "LOGIN-71"];
    const LOCKED: &str = "account is locked";
    vec![
        accepted("locked-with-pam", RULES, [shadow(2, "!")]),
        accepted("locked-hash-with-pam", RULES, [shadow(2, "!$6$salt$hash")]),
        accepted("star-with-pam", RULES, [shadow(2, "*")]),
        accepted("no-password-with-pam", RULES, [shadow(2, "")]),
        refused("locked-without-pam", RULES, LOCKED, [NO_PAM, shadow(2, "!")])
            .fixed_also("user-locked"),
        refused("locked-twice-without-pam", RULES, LOCKED, [NO_PAM, shadow(2, "!!")])
            .fixed_also("user-locked"),
        refused("locked-star-without-pam", RULES, LOCKED, [NO_PAM, shadow(2, "!*")])
            .fixed_also("user-locked"),
        refused("locked-hash-without-pam", RULES, LOCKED, [NO_PAM, shadow(2, "!$6$a$b")])
            .fixed_also("user-locked"),
        accepted("star-without-pam", RULES, [NO_PAM, shadow(2, "*")]),
        accepted("star-lock-without-pam", RULES, [NO_PAM, shadow(2, "*!")]),
        accepted("no-password-without-pam", RULES, [NO_PAM, shadow(2, "")]),
        accepted("hash-without-pam", RULES, [NO_PAM, shadow(2, "$6$salt$hash")]),
        refused("locked-root-without-pam", RULES, LOCKED, [NO_PAM, Field(SHADOW, "root", 2, "!")])
            .user("root")
            .fixed_also("user-locked"),
        refused(
            "locked-in-passwd-without-pam",
            RULES,
            LOCKED,
            [NO_PAM, NoLine(SHADOW, ADMIN), Field(PASSWD, ADMIN, 2, "!")],
        ),
        accepted(
            "star-in-passwd-without-pam",
            RULES,
            [NO_PAM, NoLine(SHADOW, ADMIN), Field(PASSWD, ADMIN, 2, "*")],
        ),
        accepted("missing-in-shadow-without-pam", &["LOGIN-68"], [NO_PAM, NoLine(SHADOW, ADMIN)]),
        refused(
            "locked-in-shadow-not-in-passwd-without-pam",
            RULES,
            LOCKED,
            [NO_PAM, Field(PASSWD, ADMIN, 2, "$6$a$b"), shadow(2, "!")],
        )
        .fixed_also("user-locked"),
        accepted(
            "locked-in-passwd-not-in-shadow-without-pam",
            RULES,
            [NO_PAM, Field(PASSWD, ADMIN, 2, "!"), shadow(2, "*")],
        ),
        refused(
            "use-pam-default-is-no",
            RULES,
            LOCKED,
            [Step::Replace(CONFIG, "UsePAM yes", "# UsePAM is not set")],
        )
        .fixed_also("user-locked"),
    ]
}

fn expiry() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-58", "LOGIN-67"];
    let star = shadow(2, "*");
    vec![
        refused("expired-long-ago", RULES, "", [shadow(8, "1")]).fixed(),
        refused("expired-on-day-0", RULES, "", [shadow(8, "0")]).fixed(),
        refused("expired-yesterday", RULES, "", [shadow(8, "{day-1}")]).fixed(),
        refused("expires-today", RULES, "", [shadow(8, "{day}")]).fixed(),
        accepted("expires-tomorrow", RULES, [shadow(8, "{day+1}")])
            .unknown("midnight may pass between the two answers"),
        accepted("expires-later", RULES, [shadow(8, "{day+30}")]),
        refused("expires-at-minus-1", RULES, "", [shadow(8, "-1")])
            .unknown("releases of Linux-PAM differ"),
        accepted("expires-field-empty", RULES, [shadow(8, "")]),
        refused("expires-field-rubbish", &["LOGIN-67", "LOGIN-68"], "", [shadow(8, "soon")])
            .unknown("a line that the library does not take"),
        refused("expired-without-pam", RULES, "", [NO_PAM, star, shadow(8, "{day-1}")]).fixed(),
        accepted("expires-today-without-pam", RULES, [NO_PAM, star, shadow(8, "{day}")])
            .unknown("midnight may pass between the two answers"),
        refused("expires-day-0-without-pam", RULES, "", [NO_PAM, star, shadow(8, "0")]),
        refused("expired-root", RULES, "", [Field(SHADOW, "root", 8, "1")]).user("root").fixed(),
        refused(
            "expired-and-password-valid",
            RULES,
            "",
            [shadow(8, "1"), shadow(3, "{day}"), shadow(5, "99999")],
        )
        .fixed(),
        refused(
            "expired-and-password-too-old",
            RULES,
            "",
            [shadow(8, "1"), shadow(3, "19000"), shadow(5, "30"), shadow(7, "10")],
        )
        .fixed(),
        refused(
            "expired-and-last-change-in-the-future",
            RULES,
            "",
            [shadow(8, "1"), shadow(3, "{day+5}")],
        )
        .fixed(),
    ]
}

fn ageing() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-67", "LOGIN-69"];
    const INACTIVE: &[&str] = &["LOGIN-67"];
    let fields = |change, max, inactive| [shadow(3, change), shadow(5, max), shadow(7, inactive)];
    vec![
        dies("must-change-at-once", RULES, [shadow(3, "0")]),
        dies("must-change-at-once-no-maximum", RULES, fields("0", "", "")),
        dies("password-too-old", RULES, fields("{day-100}", "90", "")),
        accepted("password-as-old-as-allowed", RULES, fields("{day-90}", "90", ""))
            .unknown("releases of Linux-PAM differ"),
        accepted("password-young-enough", RULES, fields("{day-80}", "90", "")),
        refused("password-inactive", INACTIVE, "", fields("{day-200}", "90", "7")).fixed(),
        dies("password-inactive-today", INACTIVE, fields("{day-97}", "90", "7"))
            .unknown("releases of Linux-PAM differ"),
        dies("password-old-not-yet-inactive", RULES, fields("{day-95}", "90", "30")),
        accepted("password-inactive-0", INACTIVE, fields("{day-90}", "90", "0"))
            .unknown("releases of Linux-PAM differ"),
        accepted("inactive-without-maximum", RULES, fields("{day-900}", "", "7")),
        accepted("last-change-in-the-future", RULES, fields("{day+10}", "1", "1")),
        refused("last-change-empty", RULES, "", fields("", "1", "1"))
            .unknown("releases of Linux-PAM differ"),
        refused("maximum-0", INACTIVE, "", fields("{day-3}", "0", "0")).fixed(),
        dies("maximum-0-no-inactive", RULES, fields("{day-3}", "0", "")),
        dies("must-change-beats-inactive", RULES, fields("0", "1", "1")),
        dies("root-must-change", RULES, [Field(SHADOW, "root", 3, "0")]).user("root"),
        accepted("minimum-does-not-matter", RULES, [shadow(4, "99999"), shadow(3, "{day-1}")]),
        accepted(
            "warning-does-not-matter",
            RULES,
            [shadow(3, "{day-80}"), shadow(5, "90"), shadow(6, "30")],
        ),
        accepted(
            "no-pass-expiry",
            &["LOGIN-70"],
            [
                shadow(3, "0"),
                Step::Replace(
                    "/etc/pam.d/common-account",
                    "pam_unix.so",
                    "pam_unix.so no_pass_expiry",
                ),
            ],
        ),
        accepted(
            "no-pass-expiry-inactive",
            &["LOGIN-70"],
            [
                shadow(3, "{day-200}"),
                shadow(5, "90"),
                shadow(7, "7"),
                Step::Replace(
                    "/etc/pam.d/common-account",
                    "pam_unix.so",
                    "pam_unix.so no_pass_expiry",
                ),
            ],
        ),
        refused(
            "no-pass-expiry-account-expired",
            &["LOGIN-70", "LOGIN-67"],
            "",
            [
                shadow(8, "1"),
                Step::Replace(
                    "/etc/pam.d/common-account",
                    "pam_unix.so",
                    "pam_unix.so no_pass_expiry",
                ),
            ],
        )
        .fixed(),
    ]
}

fn ageing_without_pam() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-67", "LOGIN-T3"];
    let star = shadow(2, "*");
    vec![
        accepted("must-change-without-pam", RULES, [NO_PAM, star, shadow(3, "0")]),
        accepted(
            "password-too-old-without-pam",
            RULES,
            [NO_PAM, star, shadow(3, "{day-100}"), shadow(5, "90")],
        ),
        accepted(
            "password-inactive-without-pam",
            RULES,
            [NO_PAM, star, shadow(3, "{day-200}"), shadow(5, "90"), shadow(7, "7")],
        ),
    ]
}

fn files() -> Vec<Scenario> {
    const WHO: &[&str] = &["LOGIN-57"];
    const SHADOW_RULES: &[&str] = &["LOGIN-68"];
    vec![
        refused("missing-in-shadow", SHADOW_RULES, "", [NoLine(SHADOW, ADMIN)]),
        refused("shadow-file-missing", SHADOW_RULES, "", [Remove(SHADOW)]),
        refused("shadow-file-empty", SHADOW_RULES, "", [File(SHADOW, "")]),
        accepted(
            "hash-in-passwd",
            SHADOW_RULES,
            [Field(PASSWD, ADMIN, 2, "$6$salt$hash"), NoLine(SHADOW, ADMIN)],
        ),
        accepted(
            "star-in-passwd",
            SHADOW_RULES,
            [Field(PASSWD, ADMIN, 2, "*"), NoLine(SHADOW, ADMIN)],
        ),
        accepted(
            "nothing-in-passwd",
            SHADOW_RULES,
            [Field(PASSWD, ADMIN, 2, ""), NoLine(SHADOW, ADMIN)],
        ),
        refused(
            "two-hashes-in-passwd",
            SHADOW_RULES,
            "",
            [Field(PASSWD, ADMIN, 2, "##admin"), NoLine(SHADOW, ADMIN)],
        ),
        accepted(
            "hash-in-passwd-shadow-expired",
            SHADOW_RULES,
            [Field(PASSWD, ADMIN, 2, "$6$salt$hash"), shadow(8, "1")],
        ),
        accepted(
            "shadow-line-twice-first-counts",
            SHADOW_RULES,
            [Append(SHADOW, "admin:*:20000:0:99999:7::1:\n")],
        ),
        refused(
            "shadow-line-twice-first-expired",
            &["LOGIN-67"],
            "",
            [Prepend(SHADOW, "admin:*:20000:0:99999:7::1:\n")],
        )
        .fixed(),
        refused(
            "shadow-line-with-too-few-fields",
            SHADOW_RULES,
            "",
            [NoLine(SHADOW, ADMIN), Append(SHADOW, "admin:*\n")],
        )
        .unknown("a line that the library does not take"),
        accepted("shadow-of-mode-0644", SHADOW_RULES, [Mode(SHADOW, 0o644)]),
        accepted("shadow-of-mode-0000", SHADOW_RULES, [Mode(SHADOW, 0o000)]),
        refused("user-not-there", WHO, "invalid user", [NoLine(PASSWD, ADMIN)]),
        refused("user-of-other-case", WHO, "invalid user", []).user("Admin"),
        accepted(
            "passwd-name-twice-first-counts",
            WHO,
            [Append(PASSWD, "admin:x:1234:1234::/srv:/usr/sbin/nologin\n")],
        ),
        refused(
            "passwd-name-twice-first-is-wrong",
            &["LOGIN-39", "LOGIN-131", "LOGIN-49"],
            "",
            [Prepend(PASSWD, "admin:x:1234:1234::/srv/other:/bin/bash\n")],
        ),
        accepted("passwd-uid-twice", WHO, [Append(PASSWD, "twin:x:1000:1000::/srv:/bin/bash\n")]),
        accepted(
            "passwd-last-line-without-end",
            WHO,
            [Step::Replace(
                PASSWD,
                "admin:x:1000:1000::/home/admin:/bin/bash\n",
                "admin:x:1000:1000::/home/admin:/bin/bash",
            )],
        ),
        accepted("passwd-with-comment-and-empty-line", WHO, [Prepend(PASSWD, "# users\n\n")]),
        accepted("passwd-rubbish-line-before", WHO, [Prepend(PASSWD, "rubbish\nhalf:x:\n")]),
        refused("passwd-uid-rubbish", WHO, "", [Field(PASSWD, ADMIN, 3, "x1000")])
            .unknown("a line that the library does not take"),
        refused("passwd-gid-rubbish", WHO, "", [Field(PASSWD, ADMIN, 4, "admin")])
            .unknown("a line that the library does not take"),
        accepted(
            "passwd-blanks-before-name",
            WHO,
            [Step::Replace(PASSWD, "admin:x:1000", "  admin:x:1000")],
        )
        .unknown("a line that the library takes in its way"),
        accepted(
            "passwd-crlf",
            &["LOGIN-59"],
            [Step::Replace(PASSWD, "admin:/bin/bash", "admin:")],
        ),
        refused(
            "passwd-shell-with-cr",
            &["LOGIN-59"],
            "",
            [Field(PASSWD, ADMIN, 7, "/bin/bash\r")],
        ),
        refused(
            "passwd-only-uid-changed",
            &["LOGIN-51", "LOGIN-49"],
            "",
            [Field(PASSWD, ADMIN, 3, "1001")],
        ),
        accepted("name-service-without-files-line", WHO, [Remove("/etc/nsswitch.conf")])
            .unknown("the name service has its defaults"),
        accepted(
            "name-service-files-systemd",
            WHO,
            [File(
                "/etc/nsswitch.conf",
                "passwd: files systemd\ngroup: files systemd\nshadow: files\n",
            )],
        ),
    ]
}

fn shells() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-59"];
    let shell = |path| Field(PASSWD, ADMIN, 7, path);
    vec![
        accepted("shell-sh", RULES, [shell("/bin/sh")]),
        accepted("shell-empty-is-sh", RULES, [shell("")]),
        refused("shell-empty-and-no-sh", RULES, "shell", [shell(""), Remove("/usr/bin/sh")]),
        refused("shell-missing", RULES, "does not exist", [shell("/bin/zsh")]),
        refused(
            "shell-not-executable",
            RULES,
            "not executable",
            [shell("/usr/bin/myshell"), File("/usr/bin/myshell", "#!/bin/sh\n")],
        ),
        accepted(
            "shell-executable-by-its-group-only",
            RULES,
            [
                shell("/usr/bin/myshell"),
                Step::Copy("/usr/bin/dash", "/usr/bin/myshell"),
                Mode("/usr/bin/myshell", 0o010),
                Step::Owner("/usr/bin/myshell", 0, 1000),
            ],
        ),
        refused("shell-a-directory", RULES, "", [shell("/usr/bin")]),
        refused(
            "shell-a-dangling-link",
            RULES,
            "does not exist",
            [shell("/usr/bin/myshell"), Link("/usr/bin/myshell", "/usr/bin/gone")],
        ),
        accepted(
            "shell-a-link",
            RULES,
            [shell("/usr/bin/myshell"), Link("/usr/bin/myshell", "../../bin/bash")],
        ),
        dies("shell-nologin", RULES, [shell("/usr/sbin/nologin")]),
        dies("shell-false", RULES, [shell("/bin/false")]),
        refused(
            "shell-nologin-missing",
            RULES,
            "does not exist",
            [shell("/sbin/nologin"), Remove("/usr/sbin/nologin")],
        ),
        refused("shell-with-arguments", RULES, "does not exist", [shell("/bin/bash -l")]),
        dies("shell-relative", RULES, [shell("bin/bash")])
            .unknown("where sshd runs is not on the volume"),
        dies(
            "shell-without-an-interpreter",
            RULES,
            [
                shell("/usr/bin/myshell"),
                File("/usr/bin/myshell", "#!/usr/bin/gone\n"),
                Mode("/usr/bin/myshell", 0o755),
            ],
        ),
        dies(
            "shell-executable-by-root-only",
            RULES,
            [
                shell("/usr/bin/myshell"),
                Step::Copy("/usr/bin/dash", "/usr/bin/myshell"),
                Mode("/usr/bin/myshell", 0o744),
            ],
        ),
        accepted(
            "shell-not-in-etc-shells",
            RULES,
            [shell("/usr/bin/myshell"), Step::Copy("/usr/bin/dash", "/usr/bin/myshell")],
        ),
        dies(
            "shell-missing-below-a-new-root",
            &["LOGIN-59", "LOGIN-T2"],
            [File(DROP_IN, "ChrootDirectory /srv\n"), shell("/bin/zsh")],
        ),
        dies(
            "shell-directory-moved-below-a-new-root",
            &["LOGIN-59"],
            [
                File(DROP_IN, "ChrootDirectory /srv/new\n"),
                Directory("/srv/new", 0o755, 0),
                Move("/usr/bin/id", "/srv/new/id"),
            ],
        ),
    ]
}
