//! Which line of a key file counts, and what its options do (LOGIN-37 to LOGIN-48).

use super::*;
use Step::{Append, Field, File, Prepend, Utf16};

pub(super) fn rows() -> Vec<Scenario> {
    let mut rows = forms();
    rows.extend(harmless_options());
    rows.extend(options());
    rows.extend(order());
    rows.extend(clients());
    rows
}

/// The key file with this text, and a word about it.
fn line(
    id: &'static str,
    rules: &'static [&'static str],
    claim: Claim,
    text: &'static str,
) -> Scenario {
    Scenario::new(id, rules, claim, [File(KEYS, text)])
}

fn forms() -> Vec<Scenario> {
    use Claim::{Accepted, Refused};
    const RULES: &[&str] = &["LOGIN-37", "LOGIN-38", "LOGIN-39", "LOGIN-40"];
    const ENDS: &[&str] = &["LOGIN-45", "LOGIN-48"];
    const BYTES: &[&str] = &["LOGIN-46", "LOGIN-39"];
    vec![
        line("line-without-comment", RULES, Accepted, "{key}\n"),
        line("line-without-end", ENDS, Accepted, "{other}\n{key}"),
        line("line-crlf", ENDS, Accepted, "{other} a\r\n{key} b\r\n"),
        line("line-crlf-without-comment", ENDS, Accepted, "{key}\r\n"),
        line("line-cr-only", &["LOGIN-45", "LOGIN-39"], Refused, "{other} a\r{key} b\r"),
        line("line-leading-blanks", RULES, Accepted, " \t {key}\n"),
        line("line-two-blanks-between", RULES, Accepted, "{type}  \t{blob}\n"),
        line("line-trailing-blanks", RULES, Accepted, "{key}   \t\n"),
        line("line-tab-between", RULES, Accepted, "{type}\t{blob}\tcomment\n"),
        line("line-commented", RULES, Refused, "# {key}\n").fixed(),
        line("line-commented-without-blank", RULES, Refused, "#{key}\n").fixed(),
        line("line-comment-oddities", RULES, Accepted, "{key} \"#' \\ = \u{e9} ssh-rsa\n"),
        line("line-form-feed", RULES, Refused, "\u{c}{key}\n").fixed(),
        line("line-mark", BYTES, Refused, "\u{feff}{key}\n").fixed(),
        line("line-mark-then-second", BYTES, Accepted, "\u{feff}{other}\n{key}\n"),
        line("line-nul-before", BYTES, Refused, "\0{key}\n").fixed(),
        line("line-nul-in-comment", BYTES, Accepted, "{key} a\0b\n"),
        line("line-nul-in-the-middle", BYTES, Refused, "{type} \0{blob}\n").fixed(),
        line("line-nul-in-earlier-line", BYTES, Accepted, "\0\0\n{key}\n"),
        line("line-wrong-type-word", RULES, Refused, "ssh-rsa {blob}\n").fixed(),
        line("line-type-in-capitals", RULES, Refused, "SSH-ED25519 {blob}\n").fixed(),
        line("line-type-unknown", RULES, Refused, "ssh-new {blob}\n").fixed(),
        line("line-without-type", RULES, Refused, "{blob}\n").fixed(),
        line("line-number-before", RULES, Refused, "2048 {key}\n").fixed(),
        line("line-blob-quoted", RULES, Refused, "{type} \"{blob}\"\n").fixed(),
        line("line-blob-cut", RULES, Refused, "{type} AAAAC3NzaC1lZDI1NTE5AAAA\n").fixed(),
        line("line-blob-with-more", RULES, Refused, "{blob}{key}AAAA\n").fixed(),
        line("line-blob-url-alphabet", RULES, Refused, "{type} -{blob}\n").fixed(),
        line("line-two-keys-glued", RULES, Refused, "{other}{key}\n").fixed(),
        line("line-two-keys-on-one", RULES, Refused, "{other} {key}\n").fixed(),
        line("line-split-in-two", RULES, Refused, "{type}\n{blob}\n").fixed(),
        line("line-backslash-newline", RULES, Refused, "{type} \\\n{blob}\n").fixed(),
        line("line-of-20-kb-before", &["LOGIN-47"], Accepted, "# {long}\n{key}\n"),
        line("line-with-20-kb-comment", &["LOGIN-47"], Accepted, "{key} {long}\n"),
        line(
            "line-with-20-kb-options",
            &["LOGIN-47"],
            Accepted,
            "environment=\"A={long}\" {key}\n",
        ),
        line("line-after-rubbish", RULES, Accepted, "-----BEGIN-----\n}{open}\n\n   \n{key}\n"),
        line(
            "line-rfc4716",
            RULES,
            Refused,
            "---- BEGIN SSH2 PUBLIC KEY ----\n{blob}\n---- END \
             SSH2 PUBLIC KEY ----\n",
        )
        .fixed(),
        Scenario::new("file-utf16", BYTES, Refused, [Utf16(KEYS)]).fixed(),
        Scenario::new("rsa-line", &["LOGIN-75"], Accepted, []).key(KeyKind::Rsa2048),
        Scenario::new("ecdsa-line", &["LOGIN-38"], Accepted, []).key(KeyKind::Ecdsa),
        line("rsa-line-named-by-signature", RULES, Accepted, "rsa-sha2-512 {blob}\n")
            .key(KeyKind::Rsa2048),
        line("ecdsa-line-of-other-curve", RULES, Refused, "ecdsa-sha2-nistp384 {blob}\n")
            .key(KeyKind::Ecdsa)
            .fixed(),
    ]
}

/// Options with which the key still opens a session.
fn harmless_options() -> Vec<Scenario> {
    use Claim::{Accepted, Refused};
    const RULES: &[&str] = &["LOGIN-41", "LOGIN-121"];
    const BAD: &[&str] = &["LOGIN-40", "LOGIN-41", "LOGIN-39"];
    vec![
        line("options-forwarding", RULES, Accepted, "no-port-forwarding,no-X11-forwarding {key}\n"),
        line("options-in-capitals", RULES, Accepted, "NO-PTY,No-User-Rc {key}\n"),
        line("option-restrict", RULES, Accepted, "restrict {key}\n"),
        line("option-restrict-pty", RULES, Accepted, "restrict,pty {key}\n"),
        line("option-environment", RULES, Accepted, "environment=\"A=b\" {key}\n"),
        line(
            "option-environment-with-quote",
            RULES,
            Accepted,
            "environment=\"A=\\\"b\\\"\" {key}\n",
        ),
        line("option-environment-bad-name", BAD, Refused, "environment=\"A-B=c\" {key}\n").fixed(),
        line("option-environment-without-value", BAD, Refused, "environment=\"A\" {key}\n").fixed(),
        line("option-permitopen", RULES, Accepted, "permitopen=\"localhost:80\" {key}\n"),
        line("option-permitopen-star", RULES, Accepted, "permitopen=\"*:*\" {key}\n"),
        line("option-permitopen-bad-port", BAD, Refused, "permitopen=\"localhost:x\" {key}\n")
            .unknown("the name of a port is looked up in /etc/services")
            .fixed(),
        line("option-permitopen-without-port", BAD, Refused, "permitopen=\"localhost\" {key}\n")
            .fixed(),
        line("option-permitopen-v6", RULES, Accepted, "permitopen=\"[::1]:22\" {key}\n"),
        line("option-permitlisten", RULES, Accepted, "permitlisten=\"8080\" {key}\n"),
        line(
            "option-permitlisten-host",
            RULES,
            Accepted,
            "permitlisten=\"localhost:8080\" {key}\n",
        ),
        line("option-permitlisten-bad", BAD, Refused, "permitlisten=\"a:b:c\" {key}\n").fixed(),
        line("option-tunnel", RULES, Accepted, "tunnel=\"0\" {key}\n"),
        line("option-tunnel-any", RULES, Accepted, "tunnel=\"any\" {key}\n"),
        line("option-tunnel-bad", BAD, Refused, "tunnel=\"x\" {key}\n").fixed(),
        line("option-touch", RULES, Accepted, "no-touch-required {key}\n"),
        line("option-verify", RULES, Accepted, "verify-required {key}\n"),
        line("option-touch-required", RULES, Accepted, "touch-required {key}\n"),
        line("options-trailing-comma", BAD, Accepted, "no-pty, {key}\n"),
        line("options-leading-comma", BAD, Accepted, ",no-pty {key}\n"),
        line("options-two-commas", BAD, Accepted, "no-pty,,no-user-rc {key}\n"),
        line("options-with-blank", BAD, Refused, "no-pty, no-user-rc {key}\n").fixed(),
        line("option-unknown", BAD, Refused, "no-such-thing {key}\n").fixed(),
        line("option-value-not-quoted", BAD, Refused, "command=true {key}\n").fixed(),
        line("option-quote-not-closed", BAD, Refused, "command=\"true {key}\n").fixed(),
        line("option-flag-with-value", BAD, Refused, "no-pty=\"yes\" {key}\n").fixed(),
        line("option-quoted-flag", BAD, Refused, "\"no-pty\" {key}\n").fixed(),
        line("option-no-restrict", BAD, Refused, "no-restrict {key}\n").fixed(),
        line("option-no-command", BAD, Refused, "no-command=\"x\" {key}\n").fixed(),
        line("options-twice", RULES, Accepted, "no-pty,no-pty,pty {key}\n"),
        line("options-tab-before-type", RULES, Accepted, "no-pty\t{key}\n"),
    ]
}

fn options() -> Vec<Scenario> {
    use Claim::{Accepted, Refused, Shadowed};
    const RULES: &[&str] = &["LOGIN-40", "LOGIN-39", "LOGIN-41"];
    const TIME: &[&str] = &["LOGIN-40", "LOGIN-44", "LOGIN-39"];
    const CERT: &[&str] = &["LOGIN-40", "LOGIN-39"];
    vec![
        line("command-that-works", &["LOGIN-42"], Shadowed, "command=\"id -u\" {key}\n"),
        line("command-that-fails", &["LOGIN-42"], Shadowed, "command=\"exit 142\" {key}\n"),
        line(
            "command-with-quotes",
            &["LOGIN-42"],
            Shadowed,
            "command=\"echo \\\"a b\\\", c\" {key}\n",
        ),
        line("command-twice", RULES, Refused, "command=\"id\",command=\"id\" {key}\n").fixed(),
        line("command-empty", &["LOGIN-42"], Shadowed, "command=\"\" {key}\n"),
        line(
            "cloud-init-line",
            &["LOGIN-42", "LOGIN-43"],
            Shadowed,
            "no-port-forwarding,\
             no-agent-forwarding,no-X11-forwarding,command=\"echo 'Please login as the user \
             \\\"admin\\\" rather than the user \\\"root\\\".';echo;sleep 0;exit 142\" {key} c\n",
        ),
        line("expiry-past", TIME, Refused, "expiry-time=\"20200101\" {key}\n").fixed(),
        line("expiry-far", TIME, Accepted, "expiry-time=\"20991231\" {key}\n"),
        line("expiry-long-ago-with-time", TIME, Refused, "expiry-time=\"202001011200Z\" {key}\n")
            .fixed(),
        line("expiry-far-with-seconds", TIME, Accepted, "expiry-time=\"20991231235959Z\" {key}\n"),
        line("expiry-three-days-ago", TIME, Refused, "expiry-time=\"{date-3}\" {key}\n").fixed(),
        line("expiry-in-three-days", TIME, Accepted, "expiry-time=\"{date+3}\" {key}\n"),
        line("expiry-today", TIME, Refused, "expiry-time=\"{date}\" {key}\n")
            .fixed()
            .unknown("within a day of the limit the time zone decides"),
        line("expiry-tomorrow", TIME, Accepted, "expiry-time=\"{date+1}\" {key}\n")
            .unknown("within a day of the limit the time zone decides"),
        line("expiry-rubbish", TIME, Refused, "expiry-time=\"soon\" {key}\n").fixed(),
        line("expiry-bad-length", TIME, Refused, "expiry-time=\"2099123\" {key}\n").fixed(),
        line("expiry-bad-month", TIME, Refused, "expiry-time=\"20991331\" {key}\n").fixed(),
        line(
            "expiry-twice-the-earlier-counts",
            TIME,
            Refused,
            "expiry-time=\"20991231\",expiry-time=\"20200101\" {key}\n",
        )
        .fixed(),
        line("authority", CERT, Refused, "cert-authority {key}\n").fixed(),
        line(
            "authority-with-principals",
            CERT,
            Refused,
            "cert-authority,principals=\"admin\" {key}\n",
        )
        .fixed(),
        line("principals-without-authority", CERT, Refused, "principals=\"admin\" {key}\n").fixed(),
        line("authority-then-plain", CERT, Accepted, "cert-authority {key}\n{key}\n"),
        line("from-no-address-at-all", RULES, Refused, "from=\"\" {key}\n")
            .fixed()
            .unknown("from depends on the client"),
        line("from-twice", RULES, Refused, "from=\"127.0.0.1\",from=\"127.0.0.1\" {key}\n").fixed(),
        line("from-bad-network", RULES, Refused, "from=\"127.0.0.1/99\" {key}\n")
            .fixed()
            .unknown("from depends on the client"),
    ]
}

/// Several lines with the key: the first that passes decides (LOGIN-39).
fn order() -> Vec<Scenario> {
    use Claim::{Accepted, Refused, Shadowed};
    const RULES: &[&str] = &["LOGIN-39", "LOGIN-40", "LOGIN-42"];
    vec![
        line("twice-first-with-command", RULES, Shadowed, "command=\"false\" {key}\n{key}\n"),
        line("twice-second-with-command", RULES, Accepted, "{key}\ncommand=\"false\" {key}\n"),
        line("twice-first-expired", RULES, Accepted, "expiry-time=\"20200101\" {key}\n{key}\n"),
        line("twice-first-unknown-option", RULES, Accepted, "hello {key}\n{key}\n"),
        line("twice-first-principals", RULES, Accepted, "principals=\"a\" {key}\n{key}\n"),
        line("twice-both-bad", RULES, Refused, "hello {key}\nprincipals=\"a\" {key}\n").fixed(),
        Scenario::new(
            "first-file-with-command-second-clean",
            RULES,
            Shadowed,
            [
                Prepend(KEYS, "command=\"false\" {key}\n"),
                File("/home/admin/.ssh/authorized_keys2", "{key}\n"),
            ],
        ),
        Scenario::new(
            "first-file-expired-second-clean",
            RULES,
            Accepted,
            [
                File(KEYS, "expiry-time=\"20200101\" {key}\n"),
                File("/home/admin/.ssh/authorized_keys2", "{key}\n"),
            ],
        ),
        Scenario::new(
            "thousand-lines",
            RULES,
            Accepted,
            [File(KEYS, "{other}\n{other}\n\n\n#\n"), Append(KEYS, "{key}\n")],
        ),
        Scenario::new(
            "home-of-name-with-upper-case",
            &["LOGIN-57"],
            Accepted,
            [Field(PASSWD, "admin", 5, "Admin, the \u{dc}ber,,,")],
        ),
    ]
}

fn clients() -> Vec<Scenario> {
    use Claim::{Accepted, Refused};
    const RULES: &[&str] = &["LOGIN-3", "LOGIN-40"];
    const REASON: &str = "the address of the client is not on the volume";
    let from = |id, text| Scenario::new(id, RULES, Claim::ByClient, [File(KEYS, text)]);
    let line = |id, claim, text| line(id, RULES, claim, text).unknown(REASON);
    vec![
        from("from-this-client", "from=\"127.0.0.1\" {key}\n"),
        from("from-not-this-client", "from=\"!127.0.0.1,127.0.0.*\" {key}\n"),
        from("from-or-command-unreachable", "from=\"127.0.0.1\" {key}\n{other}\n"),
        line("from-all", Accepted, "from=\"*\" {key}\n"),
        line("from-network", Accepted, "from=\"10.0.0.0/8,127.0.0.0/8\" {key}\n"),
        line("from-elsewhere", Refused, "from=\"10.0.0.1\" {key}\n").fixed(),
        line("from-only-negated", Refused, "from=\"!10.0.0.1\" {key}\n").fixed(),
        super::accepted("from-then-plain", RULES, [File(KEYS, "from=\"10.0.0.1\" {key}\n{key}\n")]),
    ]
}
