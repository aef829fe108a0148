//! Lists of users and groups, and Match blocks (LOGIN-22 to LOGIN-25, LOGIN-57 to LOGIN-62).

use super::*;
use Step::{Append, Field, File, NoLine, Replace};

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = users();
    rows.extend(groups());
    rows.extend(matches());
    rows.extend(by_clients());
    rows
}

fn set(text: &'static str) -> [Step; 1] {
    [File(DROP_IN, text)]
}

/// At the end of the main file, where people write blocks.
fn at_end(text: &'static str) -> [Step; 1] {
    [Append(CONFIG, text)]
}

fn users() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-60", "LOGIN-61"];
    const NOT_LISTED: &str = "not listed in AllowUsers";
    const DENIED: &str = "listed in DenyUsers";
    const HOST: &str = "the host of the client is not on the volume";
    vec![
        accepted("allow-users", RULES, set("AllowUsers admin\n")),
        refused("allow-other-users", RULES, NOT_LISTED, set("AllowUsers alice bob\n"))
            .fixed_also("conf-users"),
        accepted("allow-users-several-lines", RULES, set("AllowUsers alice\nAllowUsers admin\n")),
        accepted(
            "allow-users-in-two-files",
            RULES,
            [File(DROP_IN, "AllowUsers alice\n"), Append(CONFIG, "\nAllowUsers admin\n")],
        ),
        accepted("allow-users-pattern", RULES, set("AllowUsers ad*\n")),
        accepted("allow-users-question-marks", RULES, set("AllowUsers ?????\n")),
        refused("allow-users-too-few-question-marks", RULES, NOT_LISTED, set("AllowUsers ????\n"))
            .fixed_also("conf-users"),
        refused("allow-users-comma", RULES, NOT_LISTED, set("AllowUsers alice,admin\n"))
            .fixed_also("conf-users"),
        refused("allow-users-negated-is-literal", RULES, "", set("AllowUsers !alice\n"))
            .unknown("a leading ! in a list of users"),
        refused("allow-users-other-case", RULES, NOT_LISTED, set("AllowUsers Admin\n"))
            .fixed_also("conf-users"),
        refused("allow-users-by-number", RULES, NOT_LISTED, set("AllowUsers 1000\n"))
            .fixed_also("conf-users"),
        accepted("allow-users-quoted", RULES, set("AllowUsers \"admin\"\n")),
        accepted("allow-users-star-last", RULES, set("AllowUsers root *min\n")),
        refused("deny-users", RULES, DENIED, set("DenyUsers admin\n")),
        refused("deny-users-pattern", RULES, DENIED, set("DenyUsers a*\n")),
        accepted("deny-other-users", RULES, set("DenyUsers root alice\n")),
        accepted("deny-users-comma", RULES, set("DenyUsers root,admin\n")),
        refused("deny-beats-allow", RULES, DENIED, set("AllowUsers admin\nDenyUsers admin\n")),
        refused("deny-all", RULES, DENIED, set("DenyUsers *\n")),
        refused("allow-users-empty-is-an-error", &["LOGIN-15"], "", set("AllowUsers\n")),
        accepted("allow-users-comment-behind", RULES, set("AllowUsers admin # and nobody else\n")),
        refused("allow-user-at-other-host", RULES, NOT_LISTED, set("AllowUsers admin@10.0.0.1\n"))
            .unknown(HOST),
        accepted("allow-user-at-all-hosts", RULES, set("AllowUsers admin@*\n")).unknown(HOST),
        accepted("allow-user-at-network", RULES, set("AllowUsers admin@127.0.0.0/8\n"))
            .unknown(HOST),
        by_client("allow-user-at-this-host", RULES, set("AllowUsers admin@127.0.0.1\n")),
        by_client("deny-user-at-this-host", RULES, set("DenyUsers admin@127.0.0.1\n")),
        refused("allow-other-user-at-host", RULES, NOT_LISTED, set("AllowUsers bob@127.0.0.1\n")),
        accepted("allow-user-at-host-and-plain", RULES, set("AllowUsers admin@10.0.0.1 admin\n")),
        refused(
            "allow-users-bad-network",
            &["LOGIN-15", "LOGIN-61"],
            "",
            set("AllowUsers admin@127.0.0.1/99\n"),
        )
        .unknown("hosts are not looked at"),
        accepted("user-list-of-root", RULES, set("AllowUsers root\n")).user("root"),
    ]
}

fn groups() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-60", "LOGIN-61", "LOGIN-62"];
    const NONE: &str = "none of user's groups are listed in AllowGroups";
    const DENIED: &str = "a group is listed in DenyGroups";
    vec![
        accepted("allow-primary-group", RULES, set("AllowGroups admin\n")),
        accepted(
            "allow-further-group",
            RULES,
            [File(DROP_IN, "AllowGroups sudo\n"), Field(GROUP, "sudo", 4, "bin,admin")],
        ),
        refused("allow-other-group", RULES, NONE, set("AllowGroups sudo\n")),
        accepted(
            "allow-group-pattern",
            RULES,
            [File(DROP_IN, "AllowGroups root su?o\n"), Field(GROUP, "sudo", 4, "admin")],
        ),
        refused("allow-group-by-number", RULES, NONE, set("AllowGroups 1000\n")),
        refused("allow-group-comma", RULES, NONE, set("AllowGroups admin,sudo\n")),
        refused("deny-primary-group", RULES, DENIED, set("DenyGroups admin\n")),
        refused(
            "deny-further-group",
            RULES,
            DENIED,
            [File(DROP_IN, "DenyGroups sudo\n"), Field(GROUP, "sudo", 4, "admin")],
        ),
        accepted("deny-other-group", RULES, set("DenyGroups sudo\n")),
        refused(
            "groups-and-no-group-exists",
            RULES,
            "",
            [File(DROP_IN, "DenyGroups sudo\n"), NoLine(GROUP, "admin")],
        ),
        accepted("no-lists-and-no-group-exists", RULES, [NoLine(GROUP, "admin")]),
        refused("user-allowed-group-not", RULES, NONE, set("AllowUsers admin\nAllowGroups sudo\n")),
        refused(
            "member-of-a-similar-name",
            RULES,
            NONE,
            [File(DROP_IN, "AllowGroups sudo\n"), Field(GROUP, "sudo", 4, "admin2,xadmin")],
        ),
        accepted(
            "group-line-twice-second-has-the-member",
            RULES,
            [File(DROP_IN, "AllowGroups sudo\n"), Append(GROUP, "sudo:x:27:admin\n")],
        ),
        accepted(
            "groups-no-user-listed-by-blank",
            RULES,
            [File(DROP_IN, "AllowGroups sudo\n"), Field(GROUP, "sudo", 4, " admin")],
        )
        .unknown("blanks in a list of members"),
    ]
}

fn matches() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-22", "LOGIN-23", "LOGIN-24", "LOGIN-17", "LOGIN-60"];
    const OFF: &str = " PubkeyAuthentication no\n";
    let off = |id, criteria: &'static str| {
        refused(id, RULES, "", [Append(CONFIG, criteria), Append(CONFIG, OFF)])
    };
    let on = |id, criteria: &'static str| {
        accepted(id, RULES, [Append(CONFIG, criteria), Append(CONFIG, OFF)])
    };
    vec![
        off("match-user", "\nMatch User admin\n"),
        on("match-other-user", "\nMatch User root\n"),
        off("match-user-list", "\nMatch User root,admin\n"),
        off("match-user-pattern", "\nMatch User a*,!root\n"),
        on("match-user-negated", "\nMatch User *,!admin\n"),
        on("match-user-only-negated", "\nMatch User !root\n"),
        off("match-user-quoted", "\nMatch User \"admin\"\n"),
        off("match-keyword-in-capitals", "\nMATCH USER admin\n"),
        on("match-user-other-case", "\nMatch User ADMIN\n"),
        off("match-group", "\nMatch Group admin\n"),
        on("match-other-group", "\nMatch Group sudo\n"),
        on("match-group-negated", "\nMatch Group *,!admin\n"),
        off("match-user-and-group", "\nMatch User admin Group admin\n"),
        on("match-user-and-other-group", "\nMatch User admin Group sudo\n"),
        off("match-all", "\nMatch all\n"),
        off("match-all-in-capitals", "\nMatch ALL\n"),
        on("match-user-with-comma-and-blank", "\nMatch User root, Group admin\n"),
        accepted(
            "match-all-ends-a-block",
            RULES,
            at_end(
                "\nMatch User root\n PubkeyAuthentication no\nMatch all\n PubkeyAuthentication yes\n",
            ),
        ),
        accepted(
            "match-overrides-global",
            RULES,
            [
                File(DROP_IN, "PubkeyAuthentication no\n"),
                Append(CONFIG, "\nMatch User admin\nPubkeyAuthentication yes\n"),
            ],
        ),
        refused(
            "match-first-block-wins",
            RULES,
            "",
            at_end(
                "\nMatch User admin\nPubkeyAuthentication no\nMatch all\nPubkeyAuthentication yes\n",
            ),
        ),
        accepted(
            "match-later-block-is-too-late",
            RULES,
            at_end(
                "\nMatch User admin\nPubkeyAuthentication yes\nMatch all\nPubkeyAuthentication no\n",
            ),
        ),
        refused(
            "match-list-replaces-global-list",
            RULES,
            "not listed in AllowUsers",
            [File(DROP_IN, "AllowUsers admin\n"), Append(CONFIG, "\nMatch all\nAllowUsers root\n")],
        ),
        accepted(
            "match-list-lets-in",
            RULES,
            [
                File(DROP_IN, "AllowUsers root\n"),
                Append(CONFIG, "\nMatch User admin\nAllowUsers admin\n"),
            ],
        ),
        refused(
            "match-line-appended-at-end-lands-in-block",
            RULES,
            "",
            [
                File(DROP_IN, "PubkeyAuthentication no\n"),
                Append(CONFIG, "\nMatch User root\nX11Forwarding no\nPubkeyAuthentication yes\n"),
            ],
        )
        .fixed(),
        accepted(
            "match-key-file",
            RULES,
            at_end(
                "\nMatch User root\nAuthorizedKeysFile none\nMatch User admin\nAuthorizedKeysFile \
             .ssh/authorized_keys\n",
            ),
        ),
        refused(
            "match-methods",
            &["LOGIN-64"],
            "",
            at_end("\nMatch Group admin\nAuthenticationMethods publickey,password\n"),
        ),
        accepted(
            "match-methods-released",
            &["LOGIN-64"],
            [
                File(DROP_IN, "AuthenticationMethods publickey,password\n"),
                Append(CONFIG, "\nMatch User admin\nAuthenticationMethods publickey\n"),
            ],
        ),
        refused(
            "match-root-login",
            &["LOGIN-63"],
            "ROOT LOGIN REFUSED",
            at_end("\nMatch User root\nPermitRootLogin no\n"),
        )
        .user("root"),
        accepted(
            "match-root-login-released",
            &["LOGIN-63"],
            [
                File(DROP_IN, "PermitRootLogin no\n"),
                Append(CONFIG, "\nMatch User root\nPermitRootLogin yes\n"),
            ],
        )
        .user("root"),
        refused(
            "match-revoked",
            &["LOGIN-28"],
            "",
            at_end("\nMatch User admin\nRevokedKeys /etc/ssh/gone\n"),
        ),
        dies(
            "match-force-command",
            &["LOGIN-T2"],
            at_end("\nMatch User admin\nForceCommand /bin/false\n"),
        ),
        refused("match-without-criteria", &["LOGIN-15", "LOGIN-24"], "", at_end("\nMatch\n")),
        refused(
            "match-unknown-criterion",
            &["LOGIN-15", "LOGIN-24"],
            "",
            at_end("\nMatch Users admin\n"),
        ),
        refused(
            "match-user-without-value",
            &["LOGIN-15", "LOGIN-24"],
            "",
            at_end("\nMatch User\n"),
        ),
        refused(
            "match-all-and-more",
            &["LOGIN-15", "LOGIN-24"],
            "",
            at_end("\nMatch all User admin\n"),
        ),
        refused(
            "match-criterion-of-9-9",
            &["LOGIN-15", "LOGIN-24"],
            "",
            at_end("\nMatch invalid-user\n"),
        ),
        accepted(
            "match-criterion-with-equals",
            &["LOGIN-15", "LOGIN-24"],
            at_end("\nMatch User=root\n"),
        )
        .unknown("the first argument may follow ="),
        on("match-local-port-of-another", "\nMatch LocalPort 1\n")
            .unknown("the port that the client comes to may differ"),
        accepted("match-after-comment", RULES, at_end("\n#Match User admin\nX11Forwarding no\n")),
        accepted("pam-line-stays", RULES, [Replace(CONFIG, "UsePAM yes", "UsePAM  yes")]),
    ]
}

fn by_clients() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-3", "LOGIN-24"];
    const WHERE: &str = "where the client comes from is not on the volume";
    vec![
        by_client(
            "match-address",
            RULES,
            at_end("\nMatch Address 127.0.0.1\nPubkeyAuthentication no\n"),
        ),
        by_client(
            "match-address-network",
            RULES,
            at_end("\nMatch Address 127.0.0.2/32\nPubkeyAuthentication no\n"),
        ),
        by_client("match-host", RULES, at_end("\nMatch Host 127.0.0.2\nPubkeyAuthentication no\n")),
        by_client(
            "match-address-key-file",
            RULES,
            at_end("\nMatch Address 127.0.0.2\nAuthorizedKeysFile none\n"),
        ),
        by_client(
            "match-address-methods",
            RULES,
            at_end("\nMatch Address *,!127.0.0.2\nAuthenticationMethods publickey,password\n"),
        ),
        accepted(
            "match-address-of-no-matter",
            RULES,
            at_end("\nMatch Address 127.0.0.1\nX11Forwarding no\n"),
        ),
        accepted(
            "match-address-passwords",
            RULES,
            at_end("\nMatch Address 10.0.0.0/8\nPasswordAuthentication yes\n"),
        ),
        accepted(
            "match-address-of-other-user",
            RULES,
            at_end("\nMatch Address 127.0.0.1 User root\nPubkeyAuthentication no\n"),
        ),
        accepted(
            "match-address-elsewhere",
            RULES,
            at_end("\nMatch Address 10.0.0.0/8\nPubkeyAuthentication no\n"),
        )
        .unknown(WHERE),
        refused(
            "match-address-refused-either-way",
            &["LOGIN-17", "LOGIN-3"],
            "",
            [
                File(DROP_IN, "PubkeyAuthentication no\n"),
                Append(CONFIG, "\nMatch Address 127.0.0.1\nX11Forwarding no\n"),
            ],
        )
        .fixed(),
        refused(
            "match-address-two-reasons",
            &["LOGIN-17", "LOGIN-3", "LOGIN-60"],
            "",
            at_end("\nDenyUsers admin\nMatch Address 127.0.0.2\nPubkeyAuthentication no\n"),
        ),
        refused(
            "match-address-bad-network",
            &["LOGIN-15", "LOGIN-24"],
            "",
            at_end("\nMatch Address 127.0.0.1/8\nX11Forwarding no\n"),
        ),
        refused(
            "match-address-rubbish-mask",
            &["LOGIN-15", "LOGIN-24"],
            "",
            at_end("\nMatch Address 127.0.0.1/99\nX11Forwarding no\n"),
        ),
    ]
}
