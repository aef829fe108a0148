//! Where keys come from: AuthorizedKeysFile, RevokedKeys and their like (LOGIN-26 to LOGIN-36).

use super::*;
use Step::{Append, Directory, Field, Fifo, File, Krl, Link, Mode, Move, Owner, Remove};

const MISSING: &str = "Could not open user";

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = places();
    rows.extend(odd_places());
    rows.extend(commands());
    rows.extend(revoked());
    rows
}

/// The key file at another path, and the setting.
fn elsewhere(path: &'static str, setting: &'static str) -> Vec<Step> {
    vec![File(DROP_IN, setting), Move(KEYS, path)]
}

fn places() -> Vec<Scenario> {
    vec![
        accepted(
            "second-default-file",
            &["LOGIN-33"],
            [Move(KEYS, "/home/admin/.ssh/authorized_keys2")],
        ),
        refused(
            "second-file-not-listed",
            &["LOGIN-33", "LOGIN-39"],
            MISSING,
            elsewhere(
                "/home/admin/.ssh/authorized_keys2",
                "AuthorizedKeysFile .ssh/authorized_keys\n",
            ),
        )
        .fixed(),
        accepted(
            "file-h-token",
            &["LOGIN-29"],
            elsewhere("/home/admin/keys", "AuthorizedKeysFile %h/keys\n"),
        ),
        accepted(
            "file-u-token",
            &["LOGIN-29"],
            elsewhere("/etc/ssh/admin.keys", "AuthorizedKeysFile /etc/ssh/%u.keys\n"),
        ),
        accepted(
            "file-uid-token",
            &["LOGIN-29"],
            elsewhere("/etc/ssh/1000", "AuthorizedKeysFile /etc/ssh/%U\n"),
        ),
        accepted(
            "file-percent-token",
            &["LOGIN-29"],
            elsewhere("/etc/ssh/%u", "AuthorizedKeysFile /etc/ssh/%%u\n"),
        ),
        accepted(
            "file-relative-to-home",
            &["LOGIN-29"],
            elsewhere("/home/admin/keys", "AuthorizedKeysFile keys\n"),
        ),
        accepted(
            "file-relative-with-token",
            &["LOGIN-29"],
            elsewhere("/home/admin/admin", "AuthorizedKeysFile %u\n"),
        ),
        accepted(
            "file-dot-relative",
            &["LOGIN-29"],
            elsewhere("/home/keys", "AuthorizedKeysFile ../keys\n"),
        ),
        accepted(
            "files-several-second-has-it",
            &["LOGIN-26"],
            elsewhere(
                "/etc/ssh/admin",
                "AuthorizedKeysFile .ssh/none .ssh/authorized_keys /etc/ssh/%u\n",
            ),
        ),
        accepted(
            "file-name-quoted-with-space",
            &["LOGIN-13"],
            elsewhere("/home/admin/my keys", "AuthorizedKeysFile \"%h/my keys\"\n"),
        ),
        accepted(
            "file-named-with-equals",
            &["LOGIN-13"],
            elsewhere("/home/admin/keys", "AuthorizedKeysFile=keys\n"),
        ),
        accepted(
            "file-keyword-in-capitals",
            &["LOGIN-13"],
            elsewhere("/home/admin/keys", "AUTHORIZEDKEYSFILE keys\n"),
        ),
        accepted(
            "file-first-value-wins",
            &["LOGIN-17"],
            elsewhere("/home/admin/keys", "AuthorizedKeysFile keys\nAuthorizedKeysFile none\n"),
        ),
        refused(
            "file-second-value-loses",
            &["LOGIN-17", "LOGIN-39"],
            MISSING,
            elsewhere("/home/admin/keys", "AuthorizedKeysFile other\nAuthorizedKeysFile keys\n"),
        )
        .fixed(),
        accepted(
            "file-in-etc-of-root-0644",
            &["LOGIN-49"],
            [
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/keys/%u\n"),
                Directory("/etc/ssh/keys", 0o755, 0),
                Move(KEYS, "/etc/ssh/keys/admin"),
                Owner("/etc/ssh/keys/admin", 0, 0),
                Mode("/etc/ssh/keys/admin", 0o644),
            ],
        ),
        refused(
            "file-in-etc-of-root-0600",
            &["LOGIN-49"],
            MISSING,
            [
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/keys/%u\n"),
                Directory("/etc/ssh/keys", 0o755, 0),
                Move(KEYS, "/etc/ssh/keys/admin"),
                Owner("/etc/ssh/keys/admin", 0, 0),
            ],
        ),
        refused(
            "directory-in-etc-0700",
            &["LOGIN-49"],
            MISSING,
            [
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/keys/%u\n"),
                Directory("/etc/ssh/keys", 0o700, 0),
                Move(KEYS, "/etc/ssh/keys/admin"),
            ],
        ),
        refused(
            "directory-in-etc-0777",
            &["LOGIN-51"],
            "bad ownership or modes",
            [
                File(DROP_IN, "AuthorizedKeysFile /etc/ssh/keys/%u\n"),
                Directory("/etc/ssh/keys", 0o777, 0),
                Move(KEYS, "/etc/ssh/keys/admin"),
            ],
        ),
        accepted(
            "one-file-for-all",
            &["LOGIN-36"],
            elsewhere("/etc/ssh/all", "AuthorizedKeysFile /etc/ssh/all\n"),
        ),
    ]
}

fn odd_places() -> Vec<Scenario> {
    vec![
        refused("file-none", &["LOGIN-32"], "", [File(DROP_IN, "AuthorizedKeysFile none\n")]),
        refused(
            "file-none-in-capitals-is-a-name",
            &["LOGIN-32", "LOGIN-39"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile NONE\n")],
        ),
        accepted(
            "file-none-and-more",
            &["LOGIN-32", "LOGIN-15"],
            [File(DROP_IN, "AuthorizedKeysFile none .ssh/authorized_keys\n")],
        ),
        refused(
            "file-bad-token",
            &["LOGIN-29"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile /etc/ssh/%x .ssh/authorized_keys\n")],
        ),
        refused(
            "file-bad-token-second",
            &["LOGIN-29"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile .ssh/other /etc/ssh/%i\n")],
        ),
        refused(
            "file-percent-at-end",
            &["LOGIN-29"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile .ssh/authorized_keys%\n")],
        ),
        refused(
            "file-glob-is-literal-before-10",
            &["LOGIN-31", "LOGIN-39"],
            MISSING,
            [File(DROP_IN, "AuthorizedKeysFile .ssh/authorized_k*\n")],
        ),
        accepted(
            "file-with-a-star-in-its-name",
            &["LOGIN-31"],
            elsewhere("/home/admin/.ssh/k*", "AuthorizedKeysFile .ssh/k*\n"),
        ),
        refused(
            "file-tilde-is-roots-home",
            &["LOGIN-30", "LOGIN-39"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile ~/.ssh/authorized_keys\n")],
        ),
        accepted(
            "file-tilde-of-root",
            &["LOGIN-30"],
            [File(DROP_IN, "AuthorizedKeysFile ~/.ssh/authorized_keys\n")],
        )
        .user("root"),
        refused(
            "file-empty-argument",
            &["LOGIN-15"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile \"\"\n")],
        ),
        refused(
            "file-without-argument",
            &["LOGIN-15"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile\n")],
        ),
        refused(
            "file-open-quote",
            &["LOGIN-15"],
            "",
            [File(DROP_IN, "AuthorizedKeysFile \"keys\n")],
        ),
        accepted(
            "file-comment-behind",
            &["LOGIN-14"],
            [File(DROP_IN, "AuthorizedKeysFile .ssh/authorized_keys # .ssh/x %q\n")],
        ),
        accepted(
            "earlier-file-a-pipe",
            &["LOGIN-50"],
            [
                File(DROP_IN, "AuthorizedKeysFile .ssh/pipe .ssh/authorized_keys\n"),
                Fifo("/home/admin/.ssh/pipe"),
            ],
        ),
        accepted(
            "earlier-file-bad-mode",
            &["LOGIN-51"],
            [
                File(DROP_IN, "AuthorizedKeysFile .ssh/bad .ssh/authorized_keys\n"),
                File("/home/admin/.ssh/bad", "command=\"false\" {key}\n"),
                Mode("/home/admin/.ssh/bad", 0o666),
            ],
        ),
        accepted(
            "home-token-of-a-linked-home",
            &["LOGIN-29", "LOGIN-51"],
            [
                File(DROP_IN, "AuthorizedKeysFile %h/.ssh/authorized_keys\n"),
                Move(HOME, "/srv/admin"),
                Link(HOME, "/srv/admin"),
            ],
        ),
        refused(
            "user-name-with-percent-home",
            &["LOGIN-39", "LOGIN-131"],
            "",
            [
                File(DROP_IN, "AuthorizedKeysFile %h/.ssh/authorized_keys\n"),
                Field(PASSWD, "admin", 6, "/home/%u"),
            ],
        ),
    ]
}

fn commands() -> Vec<Scenario> {
    const PRINTS: &str = "#!/bin/sh\necho '{key}'\n";
    let setting = "AuthorizedKeysCommand /usr/bin/keys %u\nAuthorizedKeysCommandUser nobody\n";
    vec![
        accepted(
            "command-that-fails-and-a-file",
            &["LOGIN-26"],
            [File(DROP_IN, "AuthorizedKeysCommand /bin/false\nAuthorizedKeysCommandUser nobody\n")],
        ),
        accepted(
            "command-that-prints-the-key",
            &["LOGIN-26"],
            [
                File(DROP_IN, setting),
                File("/usr/bin/keys", PRINTS),
                Mode("/usr/bin/keys", 0o755),
                Remove(KEYS),
            ],
        )
        .unknown("what a command prints is not on the volume"),
        refused(
            "command-without-user",
            &["LOGIN-15", "LOGIN-26"],
            "",
            [File(DROP_IN, "AuthorizedKeysCommand /bin/false\n")],
        ),
        refused(
            "command-of-a-user-who-is-not-there",
            &["LOGIN-26"],
            "",
            [
                File(DROP_IN, "AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser ghost\n"),
                Remove(KEYS),
            ],
        )
        .unknown("a command may print the key"),
        accepted(
            "command-of-a-user-who-is-not-there-and-a-file",
            &["LOGIN-26"],
            [File(DROP_IN, "AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser ghost\n")],
        ),
        accepted(
            "authority-file-and-a-plain-key",
            &["LOGIN-26"],
            [File(DROP_IN, "TrustedUserCAKeys /etc/ssh/ca\n"), File("/etc/ssh/ca", "{other}\n")],
        ),
        refused(
            "key-only-as-authority",
            &["LOGIN-26", "LOGIN-39"],
            "",
            [
                File(DROP_IN, "TrustedUserCAKeys /etc/ssh/ca\n"),
                File("/etc/ssh/ca", "{key}\n"),
                Remove(KEYS),
            ],
        )
        .fixed(),
        accepted(
            "authority-file-missing",
            &["LOGIN-26"],
            [File(DROP_IN, "TrustedUserCAKeys /etc/ssh/gone\n")],
        ),
    ]
}

fn revoked() -> Vec<Scenario> {
    const RULES: &[&str] = &["LOGIN-28"];
    let set = File(DROP_IN, "RevokedKeys /etc/ssh/revoked\n");
    vec![
        refused(
            "revoked-in-a-list",
            RULES,
            "revoked",
            [set, File("/etc/ssh/revoked", "# old\n{other}\n{key} gone\n")],
        ),
        accepted("another-revoked-in-a-list", RULES, [set, File("/etc/ssh/revoked", "{other}\n")]),
        refused("revoked-in-a-krl", RULES, "revoked", [set, Krl("/etc/ssh/revoked", true)])
            .unknown("a key revocation list in binary form"),
        accepted("another-revoked-in-a-krl", RULES, [set, Krl("/etc/ssh/revoked", false)])
            .unknown("a key revocation list in binary form"),
        refused("revoked-file-missing", RULES, "", [set]),
        refused(
            "revoked-file-a-directory",
            RULES,
            "",
            [set, Directory("/etc/ssh/revoked", 0o755, 0)],
        ),
        accepted("revoked-file-empty", RULES, [set, File("/etc/ssh/revoked", "")]),
        accepted("revoked-file-of-comments", RULES, [set, File("/etc/ssh/revoked", "# none\n\n")]),
        refused(
            "revoked-file-of-rubbish",
            RULES,
            "",
            [set, File("/etc/ssh/revoked", "this is no key\n")],
        ),
        accepted("revoked-none", RULES, [File(DROP_IN, "RevokedKeys none\n")]),
        refused(
            "revoked-line-with-options",
            RULES,
            "",
            [set, File("/etc/ssh/revoked", "restrict {key}\n")],
        ),
        accepted(
            "revoked-file-root-only-0600",
            RULES,
            [set, File("/etc/ssh/revoked", "{other}\n"), Mode("/etc/ssh/revoked", 0o600)],
        ),
        accepted(
            "first-revoked-setting-wins",
            RULES,
            [File(DROP_IN, "RevokedKeys none\nRevokedKeys /etc/ssh/gone\n")],
        ),
        refused(
            "second-last-line-without-end",
            RULES,
            "",
            [set, File("/etc/ssh/revoked", "{other}\n{key}")],
        ),
        refused(
            "revoked-file-relative",
            RULES,
            "",
            [File(DROP_IN, "RevokedKeys revoked\n"), File("/revoked", "{key}\n")],
        ),
        accepted(
            "settings-append-only-where-they-do",
            &["LOGIN-18"],
            [File(DROP_IN, ""), Append(CONFIG, "\nAcceptEnv FOO\nAcceptEnv BAR\nPort 2022\n")],
        ),
    ]
}
