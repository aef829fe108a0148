//! The daemon itself: host keys, its user, what else stops it (LOGIN-109 to LOGIN-112).

use super::*;
use Step::{Append, Field, File, Link, Mode, Move, NoLine, Owner, Remove};

const HOST_RSA: &str = "/etc/ssh/ssh_host_rsa_key";
const HOST_ECDSA: &str = "/etc/ssh/ssh_host_ecdsa_key";
const HOST_ED25519: &str = "/etc/ssh/ssh_host_ed25519_key";

pub(super) fn rows() -> Vec<Scenario> {
    const KEYS_RULES: &[&str] = &["LOGIN-109", "LOGIN-110"];
    const USER: &[&str] = &["LOGIN-111"];
    const NONE: &str = "no hostkeys available";
    let all = |step: fn(&'static str) -> Step| [HOST_RSA, HOST_ECDSA, HOST_ED25519].map(step);
    vec![
        refused("host-keys-missing", KEYS_RULES, NONE, all(Remove)),
        accepted("host-keys-one-left", KEYS_RULES, [Remove(HOST_RSA), Remove(HOST_ECDSA)]),
        refused("host-keys-0644", KEYS_RULES, NONE, all(|path| Mode(path, 0o644))),
        refused("host-keys-0640", KEYS_RULES, NONE, all(|path| Mode(path, 0o640))),
        accepted("host-keys-0400", KEYS_RULES, all(|path| Mode(path, 0o400))),
        accepted(
            "host-keys-one-good",
            KEYS_RULES,
            [Mode(HOST_RSA, 0o644), Mode(HOST_ED25519, 0o644)],
        ),
        accepted(
            "host-keys-0644-of-another",
            KEYS_RULES,
            [
                Remove(HOST_RSA),
                Remove(HOST_ECDSA),
                Owner(HOST_ED25519, 1000, 1000),
                Mode(HOST_ED25519, 0o644),
            ],
        ),
        refused("host-keys-of-rubbish", KEYS_RULES, NONE, all(|path| File(path, "rubbish\n"))),
        refused("host-keys-empty", KEYS_RULES, NONE, all(|path| File(path, ""))),
        refused(
            "host-key-setting-missing-file",
            KEYS_RULES,
            NONE,
            [File(DROP_IN, "HostKey /etc/ssh/gone\n")],
        ),
        accepted(
            "host-key-setting",
            KEYS_RULES,
            [File(DROP_IN, "HostKey /srv/key\n"), Move(HOST_ED25519, "/srv/key"), Remove(HOST_RSA)],
        ),
        accepted(
            "host-key-settings-append",
            KEYS_RULES,
            [
                File(DROP_IN, "HostKey /etc/ssh/gone\n"),
                Append(CONFIG, "\nHostKey /etc/ssh/ssh_host_rsa_key\n"),
            ],
        ),
        accepted(
            "host-key-a-link",
            KEYS_RULES,
            [
                Remove(HOST_RSA),
                Remove(HOST_ECDSA),
                Move(HOST_ED25519, "/srv/key"),
                Link(HOST_ED25519, "/srv/key"),
            ],
        ),
        accepted(
            "host-key-public-half-missing",
            KEYS_RULES,
            [Remove("/etc/ssh/ssh_host_ed25519_key.pub")],
        ),
        refused("sshd-user-missing", USER, "Privilege separation user", [NoLine(PASSWD, "sshd")]),
        accepted("sshd-user-shadow-missing", USER, [NoLine(SHADOW, "sshd")]),
        accepted("sshd-user-other-uid", USER, [Field(PASSWD, "sshd", 3, "4242")]),
        accepted("sshd-user-expired", USER, [Field(SHADOW, "sshd", 8, "1")]),
        refused("wrappers-deny-all", &["LOGIN-112"], "", [Append("/etc/hosts.deny", "ALL: ALL\n")])
            .unknown("tcp_wrappers look at the client"),
        refused(
            "wrappers-deny-sshd",
            &["LOGIN-112"],
            "",
            [Append("/etc/hosts.deny", "sshd : ALL\n")],
        )
        .unknown("tcp_wrappers look at the client"),
        accepted(
            "wrappers-allow-first",
            &["LOGIN-112"],
            [Append("/etc/hosts.deny", "ALL: ALL\n"), Append("/etc/hosts.allow", "sshd: ALL\n")],
        ),
        accepted(
            "wrappers-deny-other-service",
            &["LOGIN-112"],
            [Append("/etc/hosts.deny", "in.ftpd: ALL\n")],
        ),
        by_client(
            "wrappers-by-address",
            &["LOGIN-112"],
            [Append("/etc/hosts.deny", "sshd: 127.0.0.2\n")],
        ),
        accepted("rc-file-that-fails", &["LOGIN-112"], [File("/etc/ssh/sshrc", "exit 1\n")]),
        dies(
            "shell-start-file-that-ends",
            &["LOGIN-112"],
            [File("/home/admin/.bashrc", "exit 3\n"), Owner("/home/admin/.bashrc", 1000, 1000)],
        ),
        accepted("listens-elsewhere", &["LOGIN-112"], [File(DROP_IN, "Port 2222\n")]),
        accepted("deny-file-for-ftp", &["LOGIN-112"], [File("/etc/ftpusers", "admin\n")]),
    ]
}
