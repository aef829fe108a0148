use super::*;
use crate::fs::memory::MemoryTree;
use crate::guest::linux::detect;
use crate::login::testing::{NOW, debian};
use crate::login::{Severity, Verdict};

const PRIVATE: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n";
const LOCKED: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIA\n";
const UNIT: &str = "/usr/lib/systemd/system/ssh.service";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/ssh.service";
const KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

/// A Debian whose sshd runs.
fn running() -> MemoryTree {
    let mut tree = debian("");
    let passwd = "root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n\
                  sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n";
    tree.file("/etc/passwd", 0, 0o644, passwd.as_bytes())
        .file("/etc/machine-id", 0, 0o444, b"0123456789abcdef0123456789abcdef\n")
        .file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_9.2p1\0/run/sshd\0libwrap.so.0\0")
        .file("/usr/lib/systemd/systemd", 0, 0o755, b"")
        .file(UNIT, 0, 0o644, b"[Service]\nExecStartPre=/usr/sbin/sshd -t\n")
        .link(WANTS, UNIT)
        .file(KEY, 0, 0o600, PRIVATE.as_bytes());
    tree
}

fn found(tree: &MemoryTree) -> Vec<Finding> {
    let system = detect(tree).unwrap().unwrap();
    let guest = Guest::open(tree, &system, NOW).unwrap();
    findings(&guest).unwrap()
}

/// The verdict, and the check that decides it.
fn verdict(tree: &MemoryTree) -> (Verdict, &'static str) {
    let findings = found(tree);
    let decides = |finding: &&Finding| finding.is_blocking() || finding.is_undecided;
    let check = findings.iter().find(decides).map_or("", |finding| finding.check);
    (Verdict::of(&findings), check)
}

#[test]
fn an_ordinary_debian_is_accepted() {
    assert_eq!(verdict(&running()), (Verdict::Accepted, ""), "{:?}", found(&running()));
    assert_eq!(
        verdict(&debian("")),
        (Verdict::Accepted, ""),
        "a tree without programs says nothing"
    );
}

#[test]
fn sshd_that_is_not_started_is_told_login_107() {
    type Change = fn(&mut MemoryTree);
    let cases: [(&str, Change, Verdict); 9] = [
        (
            "masked",
            |tree| tree.link("/etc/systemd/system/ssh.service", "/dev/null").nothing(),
            Verdict::Refused,
        ),
        ("not wanted", |tree| tree.link(WANTS, "/dev/null").nothing(), Verdict::Unknown),
        ("no program", |tree| tree.link("/usr/sbin/sshd", "/nowhere").nothing(), Verdict::Refused),
        (
            "mode",
            |tree| tree.change("/usr/sbin/sshd", |m| m.mode = 0o644).nothing(),
            Verdict::Refused,
        ),
        (
            "debian",
            |tree| tree.file("/etc/ssh/sshd_not_to_be_run", 0, 0o644, b"").nothing(),
            Verdict::Refused,
        ),
        (
            "rescue",
            |tree| {
                tree.link(
                    "/etc/systemd/system/default.target",
                    "/usr/lib/systemd/system/rescue.target",
                )
                .nothing();
            },
            Verdict::Refused,
        ),
        (
            "graphical",
            |tree| {
                tree.link(
                    "/etc/systemd/system/default.target",
                    "/usr/lib/systemd/system/graphical.target",
                )
                .nothing();
            },
            Verdict::Accepted,
        ),
        (
            "single",
            |tree| tree.file("/etc/kernel/cmdline", 0, 0o644, b"root=x single\n").nothing(),
            Verdict::Unknown,
        ),
        ("no unit", |tree| tree.link(UNIT, "/nowhere").nothing(), Verdict::Unknown),
    ];
    for (name, change, expected) in cases {
        let mut tree = running();
        change(&mut tree);
        let (verdict, check) = verdict(&tree);
        assert_eq!(verdict, expected, "{name}: {:?}", found(&tree));
        let is_unit = ["masked", "not wanted", "no unit"].contains(&name);
        let wanted = if is_unit { "sshd-enabled" } else { "sshd-reach" };
        assert!(verdict == Verdict::Accepted || check == wanted, "{name}: {check}");
    }
}

/// Ends a chain of changes of a tree.
trait Nothing {
    fn nothing(&mut self) {}
}

impl Nothing for MemoryTree {}

#[test]
fn host_keys_login_109_login_110() {
    type Change = fn(&mut MemoryTree);
    let cases: [(&str, Change, Verdict); 14] = [
        ("none", |tree| tree.link(KEY, "/x").nothing(), Verdict::Refused),
        ("empty", |tree| tree.file(KEY, 0, 0o600, b"").nothing(), Verdict::Refused),
        ("open", |tree| tree.change(KEY, |m| m.mode = 0o644).nothing(), Verdict::Refused),
        ("group", |tree| tree.change(KEY, |m| m.mode = 0o640).nothing(), Verdict::Refused),
        (
            "open, of another",
            |tree| {
                tree.change(KEY, |m| (m.mode, m.uid) = (0o644, 7)).nothing();
            },
            Verdict::Accepted,
        ),
        (
            "ssh_keys",
            |tree| {
                tree.file("/etc/group", 0, 0o644, b"ssh_keys:x:999:\n");
                tree.change(KEY, |m| (m.mode, m.gid) = (0o640, 999)).nothing();
            },
            Verdict::Accepted,
        ),
        (
            "passphrase",
            |tree| tree.file(KEY, 0, 0o600, LOCKED.as_bytes()).nothing(),
            Verdict::Refused,
        ),
        ("rubbish", |tree| tree.file(KEY, 0, 0o600, b"\xff\x00").nothing(), Verdict::Refused),
        (
            "pem",
            |tree| {
                tree.file(KEY, 0, 0o600, b"-----BEGIN RSA PRIVATE KEY-----\nMII\n").nothing();
            },
            Verdict::Accepted,
        ),
        (
            "pem with a passphrase",
            |tree| {
                let key = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
                tree.file(KEY, 0, 0o600, key).nothing();
            },
            Verdict::Refused,
        ),
        (
            "keygen unit",
            |tree| {
                tree.link(KEY, "/x")
                    .file(UNIT, 0, 0o644, b"[Unit]\nWants=sshd-keygen.target\n")
                    .nothing();
            },
            Verdict::Accepted,
        ),
        (
            "masked keygen unit",
            |tree| {
                tree.link(KEY, "/x").file(UNIT, 0, 0o644, b"[Unit]\nWants=sshd-keygen.target\n");
                tree.link("/etc/systemd/system/sshd-keygen.target", "/dev/null").nothing();
            },
            Verdict::Refused,
        ),
        (
            "cloud-init, booted",
            |tree| {
                tree.link(KEY, "/x").file("/usr/bin/cloud-init", 0, 0o755, b"");
                tree.file("/var/lib/cloud/data/instance-id", 0, 0o644, b"i-1\n").nothing();
            },
            Verdict::Unknown,
        ),
        (
            "cloud-init, new",
            |tree| {
                tree.link(KEY, "/x").file("/usr/bin/cloud-init", 0, 0o755, b"").nothing();
            },
            Verdict::Accepted,
        ),
    ];
    for (name, change, expected) in cases {
        let mut tree = running();
        change(&mut tree);
        let (verdict, check) = verdict(&tree);
        assert_eq!(verdict, expected, "{name}: {:?}", found(&tree));
        assert!(verdict == Verdict::Accepted || check == "sshd-hostkeys", "{name}: {check}");
    }
    let mut tree = running();
    tree.file("/etc/ssh/sshd_config", 0, 0o644, b"HostKey /etc/ssh/mine\nHostKey /etc/ssh/other\n")
        .file("/etc/ssh/other", 0, 0o644, PRIVATE.as_bytes());
    assert_eq!(verdict(&tree), (Verdict::Refused, "sshd-hostkeys"));
    tree.file("/etc/ssh/mine", 0, 0o600, PRIVATE.as_bytes());
    assert_eq!(verdict(&tree), (Verdict::Accepted, ""));
}

#[test]
fn the_user_and_the_directory_of_privilege_separation_login_111() {
    let check = |change: &dyn Fn(&mut MemoryTree)| {
        let mut tree = running();
        tree.file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_7.4p1\0/var/empty/sshd\0");
        tree.directory("/var/empty/sshd", 0, 0o711);
        change(&mut tree);
        verdict(&tree)
    };
    let refused = (Verdict::Refused, "sshd-privsep");
    assert_eq!(check(&|_| {}), (Verdict::Accepted, ""));
    let directory = "/var/empty/sshd";
    assert_eq!(check(&|tree| tree.change(directory, |m| m.mode = 0o775).nothing()), refused);
    assert_eq!(check(&|tree| tree.change(directory, |m| m.uid = 1).nothing()), refused);
    assert_eq!(check(&|tree| tree.link(directory, "/nowhere").nothing()), refused);
    let passwd = b"root:x:0:0::/root:/bin/sh\n";
    let no_user = |tree: &mut MemoryTree| tree.file("/etc/passwd", 0, 0o644, passwd).nothing();
    assert_eq!(check(&no_user), refused);
    let elsewhere = |tree: &mut MemoryTree| {
        no_user(tree);
        tree.file("/usr/lib/sysusers.d/sshd.conf", 0, 0o644, b"u sshd\n").nothing();
    };
    assert_eq!(check(&elsewhere), (Verdict::Unknown, "sshd-privsep"));
}

#[test]
fn what_stands_between_is_told_and_does_not_decide_login_112() {
    let mut tree = running();
    tree.file(
        "/etc/ssh/sshd_config",
        0,
        0o644,
        b"Port 2222\nListenAddress 127.0.0.1\nAddressFamily inet\n",
    )
    .file("/etc/hosts.deny", 0, 0o644, b"# ALL: x\n ALL : ALL\n")
    .file("/etc/ufw/ufw.conf", 0, 0o644, b"ENABLED=yes\n")
    .file("/etc/ssh/sshrc", 0, 0o644, b"")
    .file("/usr/lib/systemd/system/ssh.socket", 0, 0o644, b"[Socket]\nListenStream=22\n")
    .link("/etc/systemd/system/sockets.target.wants/ssh.socket", "/x")
    .file(
        "/etc/systemd/system/ssh.socket.d/a.conf",
        0,
        0o644,
        b"[Socket]\nListenStream=\nListenStream=24\n",
    )
    .file("/usr/lib/systemd/system/nftables.service", 0, 0o644, b"[Unit]\n")
    .link("/etc/systemd/system/sysinit.target.wants/nftables.service", "/x")
    .file("/etc/nftables.conf", 0, 0o755, b"flush ruleset\n");
    let findings = found(&tree);
    // Debian's sshd asks tcp_wrappers, and who the client is is not known.
    let is_wrappers = |finding: &Finding| finding.subject.starts_with("/etc/hosts.deny");
    assert_eq!(Verdict::of(&findings), Verdict::Unknown);
    let others: Vec<Finding> = findings.iter().filter(|f| !is_wrappers(f)).cloned().collect();
    assert_eq!(Verdict::of(&others), Verdict::Accepted);
    let reach: Vec<String> = findings
        .iter()
        .filter(|finding| finding.check == "sshd-reach")
        .map(|finding| finding.subject.clone())
        .collect();
    assert_eq!(
        reach,
        [
            "/etc/ssh/sshd_config:1",
            "/etc/ssh/sshd_config:2",
            "/etc/ssh/sshd_config:3",
            "/etc/systemd/system/ssh.socket.d/a.conf:3",
            "/etc/hosts.deny:2",
            "/etc/nftables.conf",
            "/etc/ufw/ufw.conf",
            "/etc/ssh/sshrc",
        ]
    );
    tree.file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_9.2p1\0/run/sshd\0");
    assert!(!found(&tree).iter().any(|finding| finding.subject.starts_with("/etc/hosts.deny")));
    assert!(findings.iter().all(|finding| finding.severity != Severity::Block));
}
