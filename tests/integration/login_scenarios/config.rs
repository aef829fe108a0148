//! The text of sshd_config, its switches and its algorithms (LOGIN-10 to LOGIN-22, LOGIN-63, LOGIN-64, LOGIN-75 to
//! LOGIN-78).

use super::*;
use Step::{Append, Directory, File, Link, Mode, Move, Prepend, Remove, Replace};

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = switches();
    rows.extend(methods());
    rows.extend(root());
    rows.extend(algorithms());
    rows.extend(syntax());
    rows.extend(precedence());
    rows.extend(includes());
    rows.extend(sessions());
    rows
}

/// A drop-in that is read first.
fn set(text: &'static str) -> [Step; 1] {
    [File(DROP_IN, text)]
}

fn switches() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-17", "LOGIN-19"];
    vec![
        refused("pubkey-no", RULES, "", set("PubkeyAuthentication no\n")).fixed(),
        refused(
            "pubkey-no-in-main-file",
            RULES,
            "",
            [Append(CONFIG, "\nPubkeyAuthentication no\n")],
        )
        .fixed(),
        accepted(
            "pubkey-yes-before-no",
            RULES,
            set("PubkeyAuthentication yes\nPubkeyAuthentication no\n"),
        ),
        refused(
            "pubkey-no-before-yes",
            RULES,
            "",
            set("PubkeyAuthentication no\nPubkeyAuthentication yes\n"),
        )
        .fixed(),
        refused("pubkey-old-name", RULES, "", set("DSAAuthentication no\n")).fixed(),
        refused("pubkey-true-is-no-value", &["LOGIN-15"], "", set("PubkeyAuthentication true\n")),
        accepted("pubkey-yes-in-capitals", &["LOGIN-15"], set("PubkeyAuthentication YES\n")),
        accepted("passwords-no", RULES, set("PasswordAuthentication no\n")),
        accepted("old-rsa-switch", &["LOGIN-16"], set("RSAAuthentication no\n")),
        accepted("max-tries-1", &["LOGIN-148"], set("MaxAuthTries 1\n")),
        accepted("use-dns", &["LOGIN-17"], set("UseDNS yes\n")),
        refused(
            "user-environment-in-a-number",
            &["LOGIN-15"],
            "",
            set("PermitUserEnvironment 1 2\n"),
        ),
    ]
}

fn methods() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-64"];
    vec![
        accepted("methods-any", RULES, set("AuthenticationMethods any\n")),
        accepted("methods-publickey", RULES, set("AuthenticationMethods publickey\n")),
        accepted("methods-one-of-two", RULES, set("AuthenticationMethods password publickey\n")),
        refused(
            "methods-and-password",
            RULES,
            "",
            set("AuthenticationMethods publickey,password\n"),
        ).fixed_also("conf-methods"),
        refused(
            "methods-password-first",
            RULES,
            "",
            set("AuthenticationMethods password,publickey\n"),
        ).fixed_also("conf-methods"),
        refused("methods-two-keys", RULES, "", set("AuthenticationMethods publickey,publickey\n")).fixed_also("conf-methods"),
        refused("methods-password-only", RULES, "", set("AuthenticationMethods password\n")).fixed_also("conf-methods"),
        refused(
            "methods-keyboard-and-key",
            RULES,
            "",
            set(
                "KbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive\n",
            ),
        ).fixed_also("conf-methods"),
        accepted(
            "methods-long-list-with-key-alone",
            RULES,
            set("AuthenticationMethods publickey,password publickey\n"),
        ),
        refused(
            "methods-any-and-more",
            &["LOGIN-15", "LOGIN-64"],
            "",
            set("AuthenticationMethods any publickey\n"),
        ),
        refused(
            "methods-unknown",
            &["LOGIN-15", "LOGIN-64"],
            "",
            set("AuthenticationMethods keys\n"),
        ),
        accepted(
            "methods-first-line-wins",
            RULES,
            set("AuthenticationMethods publickey\nAuthenticationMethods password\n"),
        ),
        refused(
            "methods-of-a-switched-off-one",
            RULES,
            "",
            set("PasswordAuthentication no\nAuthenticationMethods publickey,password\n"),
        ),
        refused(
            "methods-publickey-switched-off", &["LOGIN-64", "LOGIN-17"],
            "",
            set("PubkeyAuthentication no\nAuthenticationMethods publickey\n"),
        ),
        accepted("methods-empty-quotes", RULES, set("AuthenticationMethods \"publickey\"\n")),
        refused(
            "methods-publickey-with-device",
            RULES,
            "",
            set("AuthenticationMethods publickey:x\n"),
        ).fixed_also("conf-methods"),
    ]
}

fn root() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-63"];
    let twin = "root2:x:0:0::/root:/bin/bash\n";
    let row = |row: Scenario| row.user("root");
    vec![
        row(accepted("root-default", RULES, [])),
        row(accepted("root-yes", RULES, set("PermitRootLogin yes\n"))),
        row(accepted("root-prohibit-password", RULES, set("PermitRootLogin prohibit-password\n"))),
        row(accepted("root-without-password", RULES, set("PermitRootLogin without-password\n"))),
        row(refused("root-no", RULES, "ROOT LOGIN REFUSED", set("PermitRootLogin no\n"))).fixed(),
        row(refused(
            "root-forced-commands-only",
            RULES,
            "ROOT LOGIN REFUSED",
            set("PermitRootLogin forced-commands-only\n"),
        ))
        .fixed(),
        row(dies(
            "root-forced-commands-only-with-command",
            RULES,
            [
                File(DROP_IN, "PermitRootLogin forced-commands-only\n"),
                File("/root/.ssh/authorized_keys", "command=\"id -u\" {key}\n"),
            ],
        )),
        row(refused(
            "root-forced-commands-only-force-command",
            RULES,
            "",
            set("PermitRootLogin forced-commands-only\nForceCommand id -u\n"),
        )),
        row(refused("root-unknown-value", &["LOGIN-15"], "", set("PermitRootLogin maybe\n"))),
        accepted("root-no-and-another-user", RULES, set("PermitRootLogin no\n")),
        refused(
            "root-twin",
            RULES,
            "ROOT LOGIN REFUSED",
            [
                File(DROP_IN, "PermitRootLogin no\n"),
                Append(PASSWD, twin),
                Append(SHADOW, "root2:*:20000:0:99999:7:::\n"),
                Directory("/root/.ssh", 0o700, 0),
                File("/root/.ssh/authorized_keys", "{key}\n"),
            ],
        )
        .user("root2")
        .fixed(),
        accepted(
            "root-twin-accepted",
            RULES,
            [
                Append(PASSWD, twin),
                Append(SHADOW, "root2:*:20000:0:99999:7:::\n"),
                Directory("/root/.ssh", 0o700, 0),
                File("/root/.ssh/authorized_keys", "{key}\n"),
            ],
        )
        .user("root2"),
        row(accepted(
            "root-nologin-file-is-exempt",
            &["LOGIN-72"],
            [File("/etc/nologin", "closed\n")],
        )),
    ]
}

fn algorithms() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-78"];
    const SIZE: &[&str] = &["LOGIN-76"];
    let name = |rest| [File(DROP_IN, rest)];
    let rsa = |row: Scenario| row.key(KeyKind::Rsa2048);
    vec![
        refused("algorithms-rsa-only", RULES, "", name("PubkeyAcceptedAlgorithms rsa-sha2-512\n")),
        accepted("algorithms-ed25519", RULES, name("PubkeyAcceptedAlgorithms ssh-ed25519\n")),
        accepted("algorithms-old-name", RULES, name("PubkeyAcceptedKeyTypes ssh-ed25519\n")),
        refused(
            "algorithms-old-name-other",
            RULES,
            "",
            name("PubkeyAcceptedKeyTypes ecdsa-sha2-nistp256\n"),
        ),
        refused("algorithms-minus", RULES, "", name("PubkeyAcceptedAlgorithms -ssh-ed25519\n")),
        refused("algorithms-minus-pattern", RULES, "", name("PubkeyAcceptedAlgorithms -ssh-ed*\n")),
        accepted(
            "algorithms-minus-other",
            RULES,
            name("PubkeyAcceptedAlgorithms -ssh-rsa*,ecdsa*\n"),
        ),
        accepted("algorithms-plus", RULES, name("PubkeyAcceptedAlgorithms +ssh-rsa\n")),
        accepted("algorithms-caret", RULES, name("PubkeyAcceptedAlgorithms ^rsa-sha2-256\n")),
        accepted("algorithms-star", RULES, name("PubkeyAcceptedAlgorithms *\n")),
        accepted("algorithms-pattern", RULES, name("PubkeyAcceptedAlgorithms ssh-ed255?9\n")),
        refused(
            "algorithms-unknown-name",
            &["LOGIN-15", "LOGIN-78"],
            "",
            name("PubkeyAcceptedAlgorithms ssh-new\n"),
        ),
        rsa(accepted("algorithms-rsa-512", RULES, name("PubkeyAcceptedAlgorithms rsa-sha2-512\n"))),
        rsa(refused(
            "algorithms-rsa-256",
            RULES,
            "",
            name("PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-256\n"),
        ))
        .unknown("sshd 9.2 tells clients of SHA-512 too, and a client signs only once"),
        rsa(refused(
            "algorithms-rsa-and-ed25519-only",
            RULES,
            "",
            name("PubkeyAcceptedAlgorithms ssh-ed25519\n"),
        )),
        rsa(refused(
            "algorithms-minus-all-rsa",
            RULES,
            "",
            name("PubkeyAcceptedAlgorithms -rsa-sha2-512,rsa-sha2-256,ssh-rsa\n"),
        )),
        rsa(refused(
            "algorithms-rsa-by-sha1-only",
            RULES,
            "",
            name("PubkeyAcceptedAlgorithms ssh-rsa\n"),
        ))
        .unknown("a client may sign with SHA-1"),
        accepted(
            "algorithms-of-ca-only",
            &["LOGIN-17"],
            name("CASignatureAlgorithms ssh-ed25519\n"),
        ),
        refused(
            "algorithms-of-certificates-only",
            RULES,
            "",
            name("PubkeyAcceptedAlgorithms ssh-ed25519-cert-v01@openssh.com\n"),
        ),
        accepted("ecdsa-named", RULES, name("PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256\n"))
            .key(KeyKind::Ecdsa),
        refused(
            "ecdsa-other-curve-named",
            RULES,
            "",
            name("PubkeyAcceptedAlgorithms ecdsa-sha2-nistp521\n"),
        )
        .key(KeyKind::Ecdsa),
        rsa(refused("rsa-size-3072", SIZE, "", name("RequiredRSASize 3072\n"))),
        rsa(accepted("rsa-size-2048", SIZE, name("RequiredRSASize 2048\n"))),
        accepted("rsa-size-and-ed25519", SIZE, name("RequiredRSASize 16384\n")),
        accepted("rsa-1024", SIZE, []).key(KeyKind::Rsa1024),
        refused("rsa-1024-and-size", SIZE, "", name("RequiredRSASize 2048\n"))
            .key(KeyKind::Rsa1024),
        accepted("pubkey-options-touch", &["LOGIN-T2"], name("PubkeyAuthOptions touch-required\n")),
    ]
}

fn syntax() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-15"];
    const UNKNOWN: &[&str] = &["LOGIN-15", "LOGIN-16"];
    const VENDOR: &str = "a vendor may know the keyword";
    vec![
        refused("keyword-unknown", UNKNOWN, "Bad configuration option", set("NoSuchThing yes\n"))
            .unknown(VENDOR),
        refused(
            "keyword-misspelt",
            UNKNOWN,
            "Bad configuration option",
            set("PermitRootLogins yes\n"),
        )
        .unknown(VENDOR),
        refused(
            "keyword-newer-than-the-daemon",
            UNKNOWN,
            "Bad configuration option",
            set("RefuseConnection no\n"),
        )
        .unknown(VENDOR),
        refused(
            "keyword-pam-service-name-too-new",
            UNKNOWN,
            "Bad configuration option",
            set("PAMServiceName sshd\n"),
        )
        .unknown(VENDOR),
        accepted("keyword-of-debian", &["LOGIN-16"], set("DebianBanner no\n")),
        accepted(
            "keyword-deprecated",
            &["LOGIN-16"],
            set("KeyRegenerationInterval 3600\nServerKeyBits 1024\nUsePrivilegeSeparation yes\n"),
        ),
        accepted("keyword-protocol", &["LOGIN-16"], set("Protocol 2\n")),
        accepted("keyword-rhosts", &["LOGIN-16"], set("RhostsRSAAuthentication no\nUseLogin no\n")),
        refused("keyword-without-value", RULES, "", set("PermitRootLogin\n")),
        refused("keyword-with-too-many-values", RULES, "", set("StrictModes yes no\n")),
        refused("keyword-quote-open", RULES, "", set("Banner \"none\n")),
        accepted("keyword-quoted-value", &["LOGIN-13"], set("PermitRootLogin \"no\"\n")),
        accepted("keyword-equals", &["LOGIN-13"], set("PermitRootLogin = no\nStrictModes=yes\n")),
        refused("keyword-two-equals", RULES, "", set("StrictModes==no\n")),
        accepted("keyword-in-any-case", &["LOGIN-13"], set("pErMiTrOoTlOgIn no\n")),
        accepted("comment-behind-value", &["LOGIN-14"], set("StrictModes yes # as it should be\n")),
        refused("comment-glued-to-value", RULES, "", set("StrictModes yes#as it should be\n")),
        accepted("crlf-file", &["LOGIN-12"], set("StrictModes yes\r\nPermitRootLogin no\r\n")),
        accepted("tabs-and-blanks", &["LOGIN-12"], set("\t StrictModes \t yes \t\n\n  \n# x\n")),
        refused("mark-at-start", UNKNOWN, "", set("\u{feff}StrictModes yes\n"))
            .unknown("the keyword is not known"),
        accepted("form-feed-at-end", &["LOGIN-12"], set("StrictModes yes\u{c}\n")),
        accepted("no-end-of-last-line", &["LOGIN-12"], set("StrictModes yes")),
        refused("grace-time-rubbish", RULES, "", set("LoginGraceTime soon\n")),
        refused("log-level-rubbish", RULES, "", set("LogLevel LOUD\n"))
            .unknown("the value is not looked at"),
        refused(
            "subsystem-twice",
            RULES,
            "",
            set("Subsystem sftp /x\nSubsystem sftp internal-sftp\n"),
        ),
        refused("ciphers-unknown", RULES, "", set("Ciphers rot13\n")),
        refused(
            "use-pam-in-match",
            &["LOGIN-15", "LOGIN-25"],
            "",
            set("Match User nobody\n UsePAM no\n"),
        ),
        refused(
            "strict-modes-in-match",
            &["LOGIN-15", "LOGIN-25"],
            "",
            set("Match User nobody\nStrictModes no\n"),
        ),
        refused(
            "bad-line-in-match-that-never-matches",
            &["LOGIN-15"],
            "",
            set("Match User nobody\nPermitTTY perhaps\n"),
        ),
        accepted("single-quotes", &["LOGIN-13"], set("PermitRootLogin 'no'\n")),
        accepted(
            "escaped-blank",
            &["LOGIN-13"],
            [File(DROP_IN, "AuthorizedKeysFile my\\ keys .ssh/authorized_keys\n")],
        ),
        refused("long-line-of-words", RULES, "", set("AllowTcpForwarding {long}\n")),
        accepted("nul-in-a-comment", &["LOGIN-12"], set("# a\0b\n")),
        refused("nul-in-a-value", RULES, "", set("StrictModes y\0es\n")),
    ]
}

fn precedence() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-17", "LOGIN-21"];
    vec![
        accepted(
            "drop-in-beats-main-file",
            RULES,
            [
                File(DROP_IN, "PubkeyAuthentication yes\n"),
                Append(CONFIG, "\nPubkeyAuthentication no\n"),
            ],
        ),
        refused(
            "main-file-before-include",
            RULES,
            "",
            [
                File(DROP_IN, "PubkeyAuthentication yes\n"),
                Prepend(CONFIG, "PubkeyAuthentication no\n"),
            ],
        )
        .fixed(),
        refused(
            "first-drop-in-wins",
            RULES,
            "",
            [
                File("/etc/ssh/sshd_config.d/10-a.conf", "PubkeyAuthentication no\n"),
                File("/etc/ssh/sshd_config.d/20-b.conf", "PubkeyAuthentication yes\n"),
            ],
        )
        .fixed(),
        accepted(
            "names-in-lexical-order",
            RULES,
            [
                File("/etc/ssh/sshd_config.d/100-a.conf", "PubkeyAuthentication yes\n"),
                File("/etc/ssh/sshd_config.d/20-b.conf", "PubkeyAuthentication no\n"),
            ],
        ),
        accepted(
            "capital-names-first",
            RULES,
            [
                File("/etc/ssh/sshd_config.d/a.conf", "PubkeyAuthentication no\n"),
                File("/etc/ssh/sshd_config.d/Z.conf", "PubkeyAuthentication yes\n"),
            ],
        ),
        accepted(
            "drop-in-of-another-name",
            RULES,
            [File("/etc/ssh/sshd_config.d/50-test.cfg", "PubkeyAuthentication no\n")],
        ),
        accepted(
            "hidden-drop-in",
            RULES,
            [File("/etc/ssh/sshd_config.d/.x.conf", "PubkeyAuthentication no\n")],
        ),
        refused(
            "drop-in-0600",
            RULES,
            "",
            [File(DROP_IN, "PubkeyAuthentication no\n"), Mode(DROP_IN, 0o600)],
        )
        .fixed(),
        refused(
            "drop-in-a-link",
            RULES,
            "",
            [File("/srv/x", "PubkeyAuthentication no\n"), Link(DROP_IN, "/srv/x")],
        )
        .fixed(),
    ]
}

fn includes() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-20", "LOGIN-17"];
    let off = "PubkeyAuthentication no\n";
    let line = "Include /etc/ssh/sshd_config.d/*.conf";
    vec![
        accepted(
            "include-taken-out",
            RULES,
            [File(DROP_IN, off), Replace(CONFIG, line, "# nothing")],
        ),
        refused(
            "include-relative",
            &["LOGIN-20", "LOGIN-17"],
            "",
            [File("/etc/ssh/more", off), Prepend(CONFIG, "Include more\n")],
        )
        .fixed(),
        refused(
            "include-several",
            &["LOGIN-20", "LOGIN-17"],
            "",
            [File("/etc/ssh/more", off), Prepend(CONFIG, "Include none /etc/ssh/mor?\n")],
        )
        .fixed(),
        refused(
            "include-of-a-class",
            &["LOGIN-20", "LOGIN-17"],
            "",
            [File("/etc/ssh/m3", off), Prepend(CONFIG, "Include m[0-9]\n")],
        )
        .fixed(),
        accepted("include-of-nothing", RULES, [Prepend(CONFIG, "Include /srv/none*\n")]),
        accepted("include-of-a-missing-file", RULES, [Prepend(CONFIG, "Include /srv/none\n")]),
        refused(
            "include-nested",
            &["LOGIN-20", "LOGIN-17"],
            "",
            [
                File(DROP_IN, "Include /srv/a\n"),
                File("/srv/a", "Include /srv/b\n"),
                File("/srv/b", off),
            ],
        )
        .fixed(),
        refused(
            "include-of-itself",
            &["LOGIN-20", "LOGIN-15"],
            "",
            [File(DROP_IN, "Include /etc/ssh/sshd_config.d/50-test.conf\n")],
        ),
        accepted(
            "include-of-a-directory",
            &["LOGIN-20", "LOGIN-15"],
            [Directory("/srv/d", 0o755, 0), File(DROP_IN, "Include /srv/d\n")],
        )
        .unknown("what sshd makes of a directory"),
        refused("include-without-value", &["LOGIN-15"], "", set("Include\n")),
        accepted(
            "include-in-match-of-another",
            RULES,
            [File("/srv/a", off), Append(CONFIG, "\nMatch User nobody\nInclude /srv/a\n")],
        ),
        refused(
            "include-in-match-of-the-user",
            RULES,
            "",
            [File("/srv/a", off), Append(CONFIG, "\nMatch User admin\nInclude /srv/a\n")],
        ),
        accepted(
            "match-in-include-ends-there",
            &["LOGIN-23"],
            [
                File(DROP_IN, "Match User nobody\n"),
                Replace(CONFIG, "UsePAM yes", "UsePAM yes\nStrictModes yes"),
            ],
        ),
        accepted(
            "match-in-include-then-global",
            &["LOGIN-23"],
            [File(DROP_IN, "Match User nobody\nPubkeyAuthentication no\n")],
        ),
        refused(
            "main-file-missing",
            &["LOGIN-10", "LOGIN-15"],
            "",
            [Remove(CONFIG), Step::Field(SHADOW, ADMIN, 2, "*")],
        ),
        accepted(
            "main-file-a-link",
            &["LOGIN-10"],
            [Move(CONFIG, "/srv/sshd_config"), Link(CONFIG, "/srv/sshd_config")],
        ),
        accepted("main-file-empty", &["LOGIN-10"], [File(CONFIG, "UsePAM yes\n")]),
        refused(
            "drop-in-a-dangling-link",
            &["LOGIN-20", "LOGIN-15"],
            "",
            [Link(DROP_IN, "/srv/gone/x")],
        ),
    ]
}

fn sessions() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-T2"];
    vec![
        dies("force-command-that-works", RULES, set("ForceCommand id -u\n")),
        dies("force-command-that-fails", RULES, set("ForceCommand /bin/false\n")),
        accepted("force-command-none", RULES, set("ForceCommand none\n")),
        accepted("no-terminal", RULES, set("PermitTTY no\n")),
        dies("root-directory-missing", RULES, set("ChrootDirectory /srv/none\n")),
        accepted("root-directory-the-top", RULES, set("ChrootDirectory /\n")),
        dies("root-directory-empty", RULES, set("ChrootDirectory /srv\n")),
        dies("root-directory-of-another", RULES, set("ChrootDirectory /home/admin\n")),
        accepted("banner", RULES, set("Banner /etc/passwd\n")),
        dies("max-sessions-0", RULES, set("MaxSessions 0\n")),
        accepted("forwarding-off", RULES, set("DisableForwarding yes\n")),
        dies("sftp-only", RULES, set("ForceCommand internal-sftp\n")),
    ]
}
