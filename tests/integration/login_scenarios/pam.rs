//! The account stack of PAM, and what it reads (LOGIN-65, LOGIN-66, LOGIN-70, LOGIN-72 to LOGIN-74).

use super::*;
use Step::{Append, Directory, Field, File, Link, Prepend, Remove, Replace};

const ACCESS: &str = "/etc/security/access.conf";
const COMMON: &str = "/etc/pam.d/common-account";
const NO_PAM: Step = File(DROP_IN, "UsePAM no\n");

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = nologin();
    rows.extend(access());
    rows.extend(stacks());
    rows.extend(modules());
    rows
}

/// Lines before all others of sshd's stack.
fn first(text: &'static str) -> Step {
    Prepend(PAM_SSHD, text)
}

fn nologin() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-72"];
    let closed = File("/etc/nologin", "closed for today\n");
    let star = Field(SHADOW, ADMIN, 2, "*");
    vec![
        refused("nologin", RULES, "", [closed]).fixed(),
        refused("nologin-empty", RULES, "", [File("/etc/nologin", "")]).fixed(),
        accepted("nologin-root", RULES, [closed]).user("root"),
        refused("nologin-without-pam", RULES, "", [NO_PAM, star, closed]).fixed(),
        accepted(
            "nologin-root-without-pam",
            RULES,
            [NO_PAM, Field(SHADOW, "root", 2, "*"), closed],
        )
        .user("root"),
        refused("nologin-uid-0-of-no-other", RULES, "", [closed, Field(GROUP, "root", 4, "admin")])
            .fixed(),
        accepted(
            "nologin-module-taken-out",
            RULES,
            [closed, Replace(PAM_SSHD, "account    required     pam_nologin.so", "# none")],
        ),
        accepted(
            "nologin-other-file",
            RULES,
            [closed, Replace(PAM_SSHD, "pam_nologin.so", "pam_nologin.so file=/etc/closed")],
        ),
        refused(
            "nologin-named-file",
            RULES,
            "",
            [
                File("/etc/closed", "closed\n"),
                Replace(PAM_SSHD, "pam_nologin.so", "pam_nologin.so file=/etc/closed"),
            ],
        ),
        refused("nologin-a-directory", RULES, "", [Directory("/etc/nologin", 0o755, 0)])
            .unknown("a directory named nologin"),
        accepted("nologin-a-dangling-link", RULES, [Link("/etc/nologin", "/srv/gone")]),
        refused(
            "nologin-requisite",
            RULES,
            "",
            [
                closed,
                Replace(
                    PAM_SSHD,
                    "account    required     pam_nologin.so",
                    "account requisite pam_nologin.so",
                ),
            ],
        )
        .fixed(),
        accepted(
            "nologin-sufficient-does-not-refuse",
            RULES,
            [
                closed,
                Replace(
                    PAM_SSHD,
                    "account    required     pam_nologin.so",
                    "account sufficient pam_nologin.so",
                ),
            ],
        ),
    ]
}

fn access() -> Vec<Scenario> {
    const ORIGIN: &str = "the origin of the client is not on the volume";
    const RULES: &[&str] = &["LOGIN-73"];
    const ON: Step = Replace(
        PAM_SSHD,
        "# account  required     pam_access.so",
        "account required pam_access.so",
    );
    let rule = |text| [ON, File(ACCESS, text)];
    vec![
        accepted("access-not-in-the-stack", RULES, [File(ACCESS, "-:ALL:ALL\n")]),
        accepted("access-no-rules", RULES, [ON]),
        refused("access-denies-all", RULES, "", rule("-:ALL:ALL\n")),
        refused("access-denies-user", RULES, "", rule("- : admin : ALL\n")),
        accepted("access-denies-other", RULES, rule("-:bob:ALL\n")),
        refused("access-denies-all-except-root", RULES, "", rule("-:ALL EXCEPT root:ALL\n")),
        accepted("access-denies-all-except-user", RULES, rule("-:ALL EXCEPT root admin:ALL\n")),
        accepted("access-first-rule-wins", RULES, rule("+:admin:ALL\n-:ALL:ALL\n")),
        refused("access-first-rule-refuses", RULES, "", rule("-:ALL:ALL\n+:admin:ALL\n")),
        refused(
            "access-denies-group",
            RULES,
            "",
            [ON, Field(GROUP, "sudo", 4, "admin"), File(ACCESS, "-:(sudo):ALL\n")],
        ),
        accepted(
            "access-allows-group",
            RULES,
            [ON, Field(GROUP, "sudo", 4, "admin"), File(ACCESS, "+:(sudo):ALL\n-:ALL:ALL\n")],
        ),
        refused(
            "access-group-without-brackets",
            RULES,
            "",
            [ON, Field(GROUP, "sudo", 4, "admin"), File(ACCESS, "-:sudo:ALL\n")],
        ),
        accepted(
            "access-group-without-brackets-nodefgroup",
            RULES,
            [
                Replace(
                    PAM_SSHD,
                    "# account  required     pam_access.so",
                    "account required pam_access.so nodefgroup",
                ),
                Field(GROUP, "sudo", 4, "admin"),
                File(ACCESS, "-:sudo:ALL\n"),
            ],
        ),
        accepted("access-local-only-rule", RULES, rule("-:ALL:LOCAL\n")).unknown(ORIGIN),
        by_client("access-by-address", RULES, rule("-:admin:127.0.0.2\n")),
        accepted("access-other-address", RULES, rule("-:admin:10.0.0.0/8\n")).unknown(ORIGIN),
        accepted("access-comment-and-blank-lines", RULES, rule("# -:ALL:ALL\n\n  \n")),
        accepted("access-bad-line-is-skipped", RULES, rule("-:ALL\n*:ALL:ALL\n"))
            .unknown("a line that the module does not take"),
        accepted(
            "access-other-file",
            RULES,
            [
                Replace(
                    PAM_SSHD,
                    "# account  required     pam_access.so",
                    "account required pam_access.so accessfile=/etc/a",
                ),
                File("/etc/a", "+:ALL:ALL\n"),
                File(ACCESS, "-:ALL:ALL\n"),
            ],
        ),
        refused(
            "access-named-file-denies",
            RULES,
            "",
            [
                Replace(
                    PAM_SSHD,
                    "# account  required     pam_access.so",
                    "account required pam_access.so accessfile=/etc/a",
                ),
                File("/etc/a", "-:ALL:ALL\n"),
            ],
        ),
        accepted("access-file-missing", RULES, [ON, Remove(ACCESS)])
            .unknown("what the module does without its file"),
        refused("access-denies-root-too", RULES, "", rule("-:ALL EXCEPT admin:ALL\n")).user("root"),
    ]
}

fn stacks() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-65", "LOGIN-66"];
    const STACK: &str = "a stack that is not standard";
    vec![
        refused("pam-deny-required", RULES, "", [first("account required pam_deny.so\n")]),
        refused("pam-deny-requisite", RULES, "", [first("account requisite pam_deny.so\n")]),
        accepted("pam-deny-optional", RULES, [first("account optional pam_deny.so\n")]),
        accepted("pam-deny-sufficient", RULES, [first("account sufficient pam_deny.so\n")]),
        accepted("pam-deny-in-auth", RULES, [first("auth required pam_deny.so\n")]),
        accepted(
            "pam-permit-sufficient-before-deny",
            RULES,
            [first("account sufficient pam_permit.so\naccount required pam_deny.so\n")],
        ),
        refused(
            "pam-permit-sufficient-after-deny",
            RULES,
            "",
            [first("account required pam_deny.so\naccount sufficient pam_permit.so\n")],
        ),
        accepted("pam-control-ignore", RULES, [first("account [default=ignore] pam_deny.so\n")]),
        accepted(
            "pam-control-jump",
            RULES,
            [first(
                "account [success=1 default=ignore] pam_permit.so\naccount requisite pam_deny.so\n",
            )],
        ),
        refused("pam-control-die", RULES, "", [first("account [default=die] pam_deny.so\n")]),
        accepted("pam-type-in-capitals", RULES, [first("ACCOUNT optional pam_deny.so\n")]),
        refused(
            "pam-type-in-capitals-required",
            RULES,
            "",
            [first("Account REQUIRED pam_deny.so\n")],
        ),
        refused(
            "pam-continued-line",
            RULES,
            "",
            [first("account \\\n required \\\n pam_deny.so\n")],
        ),
        accepted("pam-comment-behind", RULES, [first("account optional pam_deny.so # required\n")]),
        refused(
            "pam-include",
            RULES,
            "",
            [
                first("account include more\n"),
                File("/etc/pam.d/more", "account required pam_deny.so\n"),
            ],
        ),
        refused(
            "pam-at-include",
            RULES,
            "",
            [first("@include more\n"), File("/etc/pam.d/more", "account required pam_deny.so\n")],
        ),
        refused(
            "pam-substack",
            RULES,
            "",
            [
                first("account substack more\n"),
                File("/etc/pam.d/more", "account required pam_deny.so\n"),
            ],
        ),
        accepted(
            "pam-substack-sufficient-ends-only-it",
            RULES,
            [
                first("account substack more\n"),
                File(
                    "/etc/pam.d/more",
                    "account sufficient pam_permit.so\naccount required pam_deny.so\n",
                ),
            ],
        ),
        refused(
            "pam-substack-then-deny",
            RULES,
            "",
            [
                first("account substack more\naccount required pam_deny.so\n"),
                File("/etc/pam.d/more", "account sufficient pam_permit.so\n"),
            ],
        ),
        accepted(
            "pam-include-sufficient-ends-all",
            RULES,
            [
                first("account include more\naccount required pam_deny.so\n"),
                File("/etc/pam.d/more", "account sufficient pam_permit.so\n"),
            ],
        ),
        refused("pam-include-missing", RULES, "", [first("account include gone\n")]).unknown(STACK),
        refused("pam-at-include-missing", RULES, "", [first("@include gone\n")]).unknown(STACK),
        refused("pam-include-of-itself", RULES, "", [first("account include sshd\n")])
            .unknown(STACK),
        accepted(
            "pam-file-missing-other-permits",
            RULES,
            [
                Remove(PAM_SSHD),
                File(
                    "/etc/pam.d/other",
                    "auth required pam_permit.so\naccount required pam_permit.so\n\
                 session required pam_permit.so\npassword required pam_deny.so\n",
                ),
            ],
        )
        .unknown("the stack of other"),
        accepted("pam-file-missing-standard-other", RULES, [Remove(PAM_SSHD)]).unknown("other"),
        accepted("pam-file-empty", RULES, [File(PAM_SSHD, "")]).unknown("the stack of other"),
        refused("pam-module-missing", RULES, "", [first("account required pam_gone.so\n")]),
        refused(
            "pam-module-missing-by-path",
            RULES,
            "",
            [first("account required /lib/security/pam_gone.so\n")],
        ),
        refused("pam-module-missing-dash", RULES, "", [first("-account required pam_gone.so\n")]),
        accepted("pam-module-missing-optional", RULES, [first("account optional pam_gone.so\n")]),
        refused("pam-line-rubbish", RULES, "", [first("account perhaps pam_permit.so\n")])
            .unknown(STACK),
        accepted("pam-type-rubbish", RULES, [first("accounts required pam_permit.so\n")])
            .unknown(STACK),
        // Measured: sshd ends with status 254, as for /etc/nologin without PAM.
        Scenario::new(
            "pam-session-module-missing",
            RULES,
            Claim::Shadowed,
            [Append(PAM_SSHD, "session required pam_gone.so\n")],
        ),
        accepted("pam-only-unix", RULES, [File(COMMON, "account required pam_unix.so\n")]),
        refused(
            "pam-unix-required-expired",
            &["LOGIN-67"],
            "",
            [File(COMMON, "account required pam_unix.so\n"), Field(SHADOW, ADMIN, 8, "1")],
        )
        .fixed(),
        accepted(
            "pam-unix-optional-expired",
            &["LOGIN-65", "LOGIN-66"],
            [
                File(COMMON, "account optional pam_unix.so\naccount required pam_permit.so\n"),
                Field(SHADOW, ADMIN, 8, "1"),
            ],
        ),
        accepted(
            "pam-unix-taken-out-expired",
            RULES,
            [File(COMMON, "account required pam_permit.so\n"), Field(SHADOW, ADMIN, 8, "1")],
        ),
        accepted(
            "pam-deny-without-pam",
            RULES,
            [NO_PAM, Field(SHADOW, ADMIN, 2, "*"), first("account required pam_deny.so\n")],
        ),
        accepted(
            "pam-conf-is-not-read-beside-a-directory",
            RULES,
            [Append("/etc/pam.conf", "sshd account required pam_deny.so\n")],
        ),
    ]
}

fn modules() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-66", "LOGIN-74"];
    const MODULE: &str = "a module that is not evaluated";
    vec![
        accepted("faillock-account", RULES, [first("account required pam_faillock.so\n")]),
        accepted("localuser", RULES, [first("account required pam_localuser.so\n")]),
        accepted("succeed-if-uid", RULES, [first(
            "account required pam_succeed_if.so uid >= 1000 quiet\n",
        )]),
        refused("succeed-if-uid-too-small", RULES, "", [first(
            "account required pam_succeed_if.so uid >= 2000\n",
        )]),
        refused("succeed-if-user-in-group", RULES, "", [first(
            "account required pam_succeed_if.so user ingroup sudo\n",
        )]),
        accepted("succeed-if-user-in-group-is", RULES, [
            first("account required pam_succeed_if.so user ingroup sudo\n"),
            Field(GROUP, "sudo", 4, "admin"),
        ]),
        accepted("succeed-if-not-root", RULES, [first(
            "account required pam_succeed_if.so user != root\n",
        )]),
        accepted("red-hat-system-user-line", RULES, [File(
            COMMON,
            "account required pam_unix.so\naccount sufficient pam_localuser.so\naccount sufficient \
             pam_succeed_if.so uid < 1000 quiet\naccount required pam_permit.so\n",
        )]),
        refused("listfile-allows-others", RULES, "", [
            first("account required pam_listfile.so item=user sense=allow file=/etc/users onerr=fail\n"),
            File("/etc/users", "bob\n"),
        ])
        .unknown(MODULE),
        accepted("listfile-allows", RULES, [
            first("account required pam_listfile.so item=user sense=allow file=/etc/users onerr=fail\n"),
            File("/etc/users", "bob\nadmin\n"),
        ])
        .unknown(MODULE),
        refused("time-never", RULES, "", [
            first("account required pam_time.so\n"),
            File("/etc/security/time.conf", "*;*;admin;!Al0000-2400\n"),
        ])
        .unknown(MODULE),
        accepted("time-no-rules", RULES, [first("account required pam_time.so\n")]).unknown(MODULE),
        accepted("unknown-module-optional", RULES, [first("account optional pam_time.so\n")]),
        accepted("mkhomedir-in-session", RULES, [Append(
            PAM_SSHD,
            "session optional pam_mkhomedir.so\n",
        )]),
        accepted("lastlog-inactive", RULES, [first("account required pam_lastlog.so inactive=30\n")])
            .unknown(MODULE),
        accepted("root-ok-does-not-help-admin", RULES, [first("account sufficient pam_rootok.so\n")])
            .unknown(MODULE),
        accepted("securetty-in-account", RULES, [first("account required pam_wheel.so\n")])
            .unknown(MODULE),
        accepted("unix-with-broken-shadow", &["LOGIN-68"], [
            Replace(COMMON, "pam_unix.so", "pam_unix.so broken_shadow"),
            Step::NoLine(SHADOW, ADMIN),
        ]),
    ]
}
