//! Configurations in the style of the usual distributions, and what sshd answers there.
//!
//! A case is a row: who built sshd and which release it is, what stands on the volume besides the usual files,
//! who asks with which key, the answer, and the rules behind it. Only what this part of the login rules decides
//! is looked at: configuration, kinds of keys, revocation.

use super::Verdict::{self, Accepted, Refused, Unknown};
use super::testing::{NOW, key};
use super::{Finding, Guest};
use crate::fs::memory::MemoryTree;
use crate::guest::linux::detect;
use std::collections::BTreeSet;

const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSf";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCEZu9YLIIJbiOcYolPrO82gMuo8HDq5zG1ObJoRPERN1mmbCG9JCmUmFWjBKEVx/gYAz6wIoq/xtvN3xGkDdBeKzPPizC2F4RoHhGOp5SPm8Nz0tP+b4ieRh8yWrsA38d1pO4djWdeQTuuFx8kq5N1VIgwG82Me9Yu+PveJIPL97g85AgN5B5iaKrfTAQcR7tH/WDgc30D60+Jz9UpIhsMAcQNihBfe+TgcwxbIQdYCGbm0oHvKs5NQ5zYe2wU0/KoNasvyFDXI0YvuxwYl3LZ+eAKtGuqHUQ008n27tg5w4LvRD0QnUUlCMxfifrLOlVImZBQ4/kO4QQ6d9t+hNbV";
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAjKDswTZMloXvJETc3dvUzYV/m0pnGNHAvmQSyYL3Sh4YJd1YVGb/XxA66gMLHyI2lT3D7wy231H3kt2AE/Dnk=";
const SK: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIFINKGrTpxexpBuAq1H0MyRmHwq7UvR/Y+op+T4vybSfAAAABHNzaDo=";

/// `ID`, `VERSION_ID`, the release in the program, the usual files.
#[derive(Debug, Clone, Copy)]
struct Style {
    id: &'static str,
    version_id: &'static str,
    release: &'static str,
    files: &'static [(&'static str, &'static str)],
}

const MAIN: &str = "/etc/ssh/sshd_config";
const UNIT: &str = "/usr/lib/systemd/system/sshd.service";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/sshd.service";
const POLICY: &str = "/etc/crypto-policies/back-ends/opensshserver.config";
const DROP_IN: &str = "/etc/ssh/sshd_config.d/10-x.conf";

const RED_HAT_UNIT: &str = "[Service]\nType=notify\nEnvironmentFile=-/etc/sysconfig/sshd\n\
    ExecStart=/usr/sbin/sshd -D $OPTIONS\n";
const RED_HAT_7_CONFIG: &str = "HostKey /etc/ssh/ssh_host_rsa_key\nSyslogFacility AUTHPRIV\n\
    AuthorizedKeysFile\t.ssh/authorized_keys\nPasswordAuthentication yes\n\
    ChallengeResponseAuthentication no\nGSSAPIAuthentication yes\nGSSAPICleanupCredentials no\n\
    UsePAM yes\nX11Forwarding yes\nAcceptEnv LANG LC_CTYPE\n\
    Subsystem sftp\t/usr/libexec/openssh/sftp-server\n";
const RED_HAT_8_UNIT: &str = "[Service]\nEnvironmentFile=-/etc/crypto-policies/back-ends/\
    opensshserver.config\nEnvironmentFile=-/etc/sysconfig/sshd-permitrootlogin\n\
    EnvironmentFile=-/etc/sysconfig/sshd\n\
    ExecStart=/usr/sbin/sshd -D $OPTIONS $CRYPTO_POLICY $PERMITROOTLOGIN\n";
const RED_HAT_8_POLICY: &str = "CRYPTO_POLICY='-oCiphers=aes256-gcm@openssh.com,aes256-ctr \
    -oMACs=hmac-sha2-256 -oPubkeyAcceptedKeyTypes=rsa-sha2-256,ecdsa-sha2-nistp256,ssh-ed25519,\
    rsa-sha2-512,ssh-rsa'\n";
const RED_HAT_9_CONFIG: &str = "Include /etc/ssh/sshd_config.d/*.conf\n\
    AuthorizedKeysFile\t.ssh/authorized_keys\nSubsystem\tsftp\t/usr/libexec/openssh/sftp-server\n";
const RED_HAT_9_DROP_IN: &str = "Include /etc/crypto-policies/back-ends/opensshserver.config\n\
    SyslogFacility AUTHPRIV\nChallengeResponseAuthentication no\nGSSAPIAuthentication yes\n\
    GSSAPICleanupCredentials no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\n";
const RED_HAT_9_POLICY: &str = "Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com\n\
    MACs hmac-sha2-256-etm@openssh.com\nGSSAPIKexAlgorithms gss-curve25519-sha256-\n\
    KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256\n\
    HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256\n\
    PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256,rsa-sha2-512\n\
    RequiredRSASize 2048\n";
const DEBIAN_CONFIG: &str = "Include /etc/ssh/sshd_config.d/*.conf\n\
    KbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\n\
    AcceptEnv LANG LC_*\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n";
const DEBIAN_UNIT: &str = "[Service]\nEnvironmentFile=-/etc/default/ssh\n\
    ExecStartPre=/usr/sbin/sshd -t\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n";
const DEBIAN_UNIT_PATH: &str = "/lib/systemd/system/ssh.service";
const INSTANCE_CONNECT: &str = "/lib/systemd/system/ssh.service.d/ec2-instance-connect.conf";
const SUSE_CONFIG: &str = "Include /etc/ssh/sshd_config.d/*.conf\n\
    Include /usr/etc/ssh/sshd_config.d/*.conf\nAuthorizedKeysFile .ssh/authorized_keys\n\
    UsePAM yes\nX11Forwarding yes\nSubsystem sftp /usr/lib/ssh/sftp-server\n";

const EL7: Style = Style {
    id: "centos",
    version_id: "7",
    release: "7.4",
    files: &[(MAIN, RED_HAT_7_CONFIG), (UNIT, RED_HAT_UNIT), (WANTED, UNIT)],
};
const AL2: Style = Style { id: "amzn", version_id: "2", ..EL7 };
const EL8: Style = Style {
    id: "rhel",
    version_id: "8.9",
    release: "8.0",
    files: &[
        (MAIN, RED_HAT_7_CONFIG),
        (UNIT, RED_HAT_8_UNIT),
        (WANTED, UNIT),
        (POLICY, RED_HAT_8_POLICY),
    ],
};
const EL9: Style = Style {
    id: "almalinux",
    version_id: "9.4",
    release: "8.7",
    files: &[
        (MAIN, RED_HAT_9_CONFIG),
        ("/etc/ssh/sshd_config.d/50-redhat.conf", RED_HAT_9_DROP_IN),
        (UNIT, RED_HAT_UNIT),
        (WANTED, UNIT),
        (POLICY, RED_HAT_9_POLICY),
    ],
};
const EL10: Style = Style { id: "rhel", version_id: "10.0", release: "9.9", ..EL9 };
const AL2023: Style = Style { id: "amzn", version_id: "2023", ..EL9 };
const FEDORA: Style = Style { id: "fedora", version_id: "42", release: "9.9", ..EL9 };
const DEBIAN_11: Style = Style {
    id: "debian",
    version_id: "11",
    release: "8.4",
    files: &[
        (MAIN, DEBIAN_CONFIG),
        (DEBIAN_UNIT_PATH, DEBIAN_UNIT),
        ("/etc/systemd/system/sshd.service", DEBIAN_UNIT_PATH),
        ("/etc/systemd/system/multi-user.target.wants/ssh.service", DEBIAN_UNIT_PATH),
    ],
};
const DEBIAN_12: Style = Style { version_id: "12", release: "9.2", ..DEBIAN_11 };
const DEBIAN_13: Style = Style { version_id: "13", release: "10.0", ..DEBIAN_11 };
const UBUNTU_20: Style = Style { id: "ubuntu", version_id: "20.04", release: "8.2", ..DEBIAN_11 };
const UBUNTU_22: Style = Style { version_id: "22.04", release: "8.9", ..UBUNTU_20 };
const UBUNTU_24: Style = Style { version_id: "24.04", release: "9.6", ..UBUNTU_20 };
const SUSE: Style = Style {
    id: "sles",
    version_id: "15.6",
    release: "9.6",
    files: &[("/usr/etc/ssh/sshd_config", SUSE_CONFIG)],
};
const FREE_BSD: Style = Style {
    id: "freebsd",
    version_id: "14.1",
    release: "9.7",
    files: &[(MAIN, "Subsystem sftp /usr/libexec/sftp-server\n")],
};
/// A Debian whose program is not on the volume.
const NO_PROGRAM: Style = Style { release: "", ..DEBIAN_12 };

/// Style, files besides (a `+` before the content appends it), user, key, answer, rules.
type Case = (
    Style,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    Verdict,
    &'static str,
);

const PLAIN: &[Case] = &[
    (EL7, &[], "admin", ED, Accepted, ""),
    (EL7, &[], "root", RSA, Accepted, ""),
    (AL2, &[], "admin", RSA, Accepted, ""),
    (EL8, &[], "admin", ED, Accepted, ""),
    (EL9, &[], "admin", ED, Accepted, ""),
    (EL9, &[], "root", RSA, Accepted, ""),
    (EL10, &[], "admin", EC, Accepted, ""),
    (AL2023, &[], "admin", ED, Accepted, ""),
    (FEDORA, &[], "admin", ED, Accepted, ""),
    (DEBIAN_11, &[], "admin", ED, Accepted, ""),
    (DEBIAN_12, &[], "admin", RSA, Accepted, ""),
    (DEBIAN_12, &[], "root", ED, Accepted, ""),
    (DEBIAN_13, &[], "admin", EC, Accepted, ""),
    (UBUNTU_20, &[], "admin", ED, Accepted, ""),
    (UBUNTU_22, &[], "admin", RSA, Accepted, ""),
    (UBUNTU_24, &[], "admin", ED, Accepted, ""),
    (SUSE, &[], "admin", ED, Accepted, ""),
    (FREE_BSD, &[], "admin", ED, Accepted, ""),
    // The compiled default of FreeBSD.
    (FREE_BSD, &[], "root", ED, Refused, "LOGIN-63"),
    (FREE_BSD, &[(MAIN, "PermitRootLogin without-password\n")], "root", ED, Accepted, ""),
];

const RELEASES: &[Case] = &[
    // Include came with 8.2.
    (EL7, &[(MAIN, "+Include /etc/ssh/sshd_config.d/*.conf\n")], "admin", ED, Refused, "LOGIN-20"),
    (EL8, &[(MAIN, "+Include /etc/ssh/x\n")], "admin", ED, Refused, "LOGIN-20"),
    (NO_PROGRAM, &[], "admin", ED, Unknown, "LOGIN-20"),
    (NO_PROGRAM, &[(MAIN, "UsePAM yes\n")], "admin", ED, Accepted, ""),
    // Security keys came with 8.2.
    (EL8, &[(POLICY, "")], "admin", SK, Refused, "LOGIN-77 LOGIN-78"),
    (DEBIAN_12, &[], "admin", SK, Accepted, ""),
    (
        DEBIAN_12,
        &[(DROP_IN, "PubkeyAuthOptions verify-required\n")],
        "admin",
        SK,
        Unknown,
        "LOGIN-81",
    ),
    // Comments behind values, and single quotes.
    (EL7, &[(MAIN, "+PermitTTY yes # why\n")], "admin", ED, Accepted, ""),
    (EL7, &[(MAIN, "+AllowUsers root#admin\n")], "admin", ED, Refused, "LOGIN-60"),
    (DEBIAN_12, &[(DROP_IN, "AllowUsers root # admin\n")], "admin", ED, Refused, "LOGIN-60"),
    (EL7, &[(MAIN, "+AllowUsers 'admin'\n")], "admin", ED, Refused, "LOGIN-60"),
    (DEBIAN_12, &[(DROP_IN, "AllowUsers 'admin'\n")], "admin", ED, Accepted, ""),
    (NO_PROGRAM, &[(MAIN, "AllowUsers 'admin'\n")], "admin", ED, Unknown, "LOGIN-14"),
    // Keywords and names come and go.
    (DEBIAN_11, &[(DROP_IN, "RequiredRSASize 2048\n")], "admin", ED, Refused, "LOGIN-16"),
    (EL7, &[(MAIN, "+PubkeyAcceptedAlgorithms +ssh-rsa\n")], "admin", ED, Refused, "LOGIN-16"),
    (DEBIAN_12, &[(DROP_IN, "Ciphers aes256-ctr,arcfour\n")], "admin", ED, Refused, "LOGIN-15"),
    (DEBIAN_12, &[(DROP_IN, "DebianBanner no\n")], "admin", ED, Accepted, ""),
    (EL9, &[(DROP_IN, "DebianBanner no\n")], "admin", ED, Refused, "LOGIN-16"),
    (DEBIAN_12, &[(DROP_IN, "UsePma yes\n")], "admin", ED, Refused, "LOGIN-16"),
    (UBUNTU_22, &[(DROP_IN, "Subsystem sftp internal-sftp\n")], "admin", ED, Refused, "LOGIN-15"),
    (DEBIAN_13, &[(DROP_IN, "Subsystem sftp internal-sftp\n")], "admin", ED, Accepted, ""),
    // Wildcards of key files are a thing of 10.0.
    (DEBIAN_13, &[(DROP_IN, "AuthorizedKeysFile .ssh/a*_keys\n")], "admin", ED, Accepted, ""),
    // Conditions of Match.
    (UBUNTU_24, &[(MAIN, "+Match invalid-user\n")], "admin", ED, Refused, "LOGIN-15"),
    (EL10, &[(MAIN, "+Match invalid-user\nDenyUsers *\n")], "admin", ED, Accepted, ""),
    (EL10, &[(MAIN, "+Match user=admin\nDenyUsers *\n")], "admin", ED, Refused, "LOGIN-15"),
    (DEBIAN_13, &[(MAIN, "+Match user=admin\nDenyUsers *\n")], "admin", ED, Refused, "LOGIN-60"),
    (DEBIAN_12, &[(MAIN, "+Match Version *\nDenyUsers *\n")], "admin", ED, Refused, "LOGIN-15"),
    (DEBIAN_13, &[(MAIN, "+Match Version OpenSSH_9*\nDenyUsers *\n")], "admin", ED, Accepted, ""),
    (EL7, &[(MAIN, "+Match RDomain x\n")], "admin", ED, Refused, "LOGIN-15"),
    (DEBIAN_12, &[(MAIN, "+Match RDomain x\n")], "admin", ED, Unknown, "LOGIN-3"),
    (DEBIAN_12, &[(MAIN, "+Match User root\nUsePAM no\n")], "admin", ED, Refused, "LOGIN-25"),
];

const ORDER: &[Case] = &[
    // Drop-ins beat the main file, and the first value wins.
    (DEBIAN_12, &[(DROP_IN, "PubkeyAuthentication no\n")], "admin", ED, Refused, "LOGIN-17"),
    (DEBIAN_12, &[(MAIN, "+PubkeyAuthentication no\n")], "admin", ED, Refused, "LOGIN-17"),
    (
        DEBIAN_12,
        &[(DROP_IN, "PubkeyAuthentication yes\n"), (MAIN, "+PubkeyAuthentication no\n")],
        "admin",
        ED,
        Accepted,
        "",
    ),
    (
        SUSE,
        &[
            ("/etc/ssh/sshd_config.d/50.conf", "PermitRootLogin yes\n"),
            ("/usr/etc/ssh/sshd_config.d/40-suse.conf", "PermitRootLogin no\n"),
        ],
        "root",
        ED,
        Accepted,
        "",
    ),
    (SUSE, &[(MAIN, "DenyUsers admin\n")], "admin", ED, Refused, "LOGIN-60"),
    // Options of the command line beat everything.
    (
        EL7,
        &[("/etc/sysconfig/sshd", "OPTIONS=\"-o PubkeyAuthentication=no\"\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-17",
    ),
    (
        EL8,
        &[("/etc/sysconfig/sshd-permitrootlogin", "PERMITROOTLOGIN=\"-oPermitRootLogin=no\"\n")],
        "root",
        ED,
        Refused,
        "LOGIN-63",
    ),
    (
        DEBIAN_12,
        &[("/etc/default/ssh", "SSHD_OPTS='-oDenyUsers=admin -oUsePAM=yes'\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-60",
    ),
    (
        DEBIAN_12,
        &[("/etc/default/ssh", "SSHD_OPTS=\"-f /srv/sshd_config\"\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-15",
    ),
    (
        DEBIAN_12,
        &[
            ("/etc/default/ssh", "SSHD_OPTS=\"-f /srv/sshd_config\"\n"),
            ("/srv/sshd_config", "AllowUsers root\n"),
        ],
        "admin",
        ED,
        Refused,
        "LOGIN-60",
    ),
    (DEBIAN_12, &[("/etc/default/ssh", "SSHD_OPTS=-X\n")], "admin", ED, Refused, "LOGIN-11"),
    (
        DEBIAN_12,
        &[("/etc/systemd/system/ssh.service.d/x.conf", "[Service]\nExecStart=/usr/sbin/sshd -D\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-11",
    ),
    (
        UBUNTU_22,
        &[(
            INSTANCE_CONNECT,
            "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand \
             /usr/share/ec2-instance-connect/eic_run_authorized_keys %%u %%f\" -o \
             \"AuthorizedKeysCommandUser ec2-instance-connect\" $SSHD_OPTS\n",
        )],
        "admin",
        ED,
        Accepted,
        "",
    ),
];

const KEYS: &[Case] = &[
    (
        EL9,
        &[(POLICY, "RequiredRSASize 3072\nPubkeyAcceptedAlgorithms rsa-sha2-512,ssh-ed25519\n")],
        "admin",
        RSA,
        Refused,
        "LOGIN-76",
    ),
    (EL9, &[("/etc/crypto-policies/state/current", "FIPS\n")], "admin", ED, Refused, "LOGIN-80"),
    (EL9, &[("/etc/crypto-policies/state/current", "FIPS:OSPP\n")], "admin", EC, Accepted, ""),
    (EL9, &[("/etc/crypto-policies/config", "# x\nDEFAULT\n")], "admin", ED, Accepted, ""),
    (EL7, &[("/etc/system-fips", "")], "admin", ED, Unknown, "LOGIN-80"),
    (
        EL8,
        &[(POLICY, "CRYPTO_POLICY='-oPubkeyAcceptedKeyTypes=rsa-sha2-256,ecdsa-sha2-nistp256'\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-78",
    ),
    (
        UBUNTU_24,
        &[(DROP_IN, "PubkeyAcceptedAlgorithms ssh-rsa\n")],
        "admin",
        RSA,
        Unknown,
        "LOGIN-75",
    ),
    (
        UBUNTU_24,
        &[(DROP_IN, "PubkeyAcceptedAlgorithms -rsa*\n")],
        "admin",
        RSA,
        Refused,
        "LOGIN-78",
    ),
    (UBUNTU_24, &[(DROP_IN, "PubkeyAcceptedAlgorithms +ssh-rsa\n")], "admin", RSA, Accepted, ""),
    (UBUNTU_24, &[(DROP_IN, "RevokedKeys /etc/ssh/revoked\n")], "admin", ED, Refused, "LOGIN-28"),
    (
        UBUNTU_24,
        &[(DROP_IN, "RevokedKeys /etc/ssh/revoked\n"), ("/etc/ssh/revoked", RSA)],
        "admin",
        ED,
        Accepted,
        "",
    ),
    (
        UBUNTU_24,
        &[(DROP_IN, "RevokedKeys /etc/ssh/revoked\n"), ("/etc/ssh/revoked", RSA)],
        "admin",
        RSA,
        Refused,
        "LOGIN-28",
    ),
];

const CLIENTS: &[Case] = &[
    (EL9, &[(DROP_IN, "AllowUsers admin@10.0.0.0/8\n")], "admin", ED, Unknown, "LOGIN-60"),
    (DEBIAN_12, &[(DROP_IN, "AllowUsers admin@*\n")], "admin", ED, Accepted, ""),
    (DEBIAN_12, &[(DROP_IN, "AllowUsers root,admin\n")], "admin", ED, Refused, "LOGIN-60"),
    (DEBIAN_12, &[(DROP_IN, "AllowUsers admin@*.example.com\n")], "admin", ED, Refused, "LOGIN-60"),
    (
        DEBIAN_12,
        &[(DROP_IN, "UseDNS yes\nAllowUsers admin@*.example.com\n")],
        "admin",
        ED,
        Unknown,
        "LOGIN-60",
    ),
    // Two blocks that leave nobody out, each with its own reason.
    (
        DEBIAN_12,
        &[(
            MAIN,
            "+Match Address 10.0.0.0/8\nDenyUsers admin\nMatch Address *,!10.0.0.0/8\nAllowUsers root\n",
        )],
        "admin",
        ED,
        Refused,
        "LOGIN-60",
    ),
    // The same condition twice is one fact: the first block lets in whom the second would not.
    (
        DEBIAN_12,
        &[(
            MAIN,
            "+Match Address 10.0.0.0/8\nAllowUsers admin\nMatch Address 10.0.0.0/8\nAllowUsers root\n",
        )],
        "admin",
        ED,
        Accepted,
        "",
    ),
    (
        DEBIAN_12,
        &[(MAIN, "+PubkeyAuthentication no\nMatch Address 10.0.0.0/8\nPubkeyAuthentication yes\n")],
        "admin",
        ED,
        Unknown,
        "LOGIN-17",
    ),
    (DEBIAN_12, &[(MAIN, "+Match LocalPort 2222\nDenyUsers *\n")], "admin", ED, Accepted, ""),
    (DEBIAN_12, &[(MAIN, "+Match LocalPort 22\nDenyUsers *\n")], "admin", ED, Refused, "LOGIN-60"),
    (
        DEBIAN_12,
        &[(DROP_IN, "Port 22\nPort 2222\n"), (MAIN, "+Match LocalPort 2222\nDenyUsers *\n")],
        "admin",
        ED,
        Unknown,
        "LOGIN-60",
    ),
    (
        DEBIAN_12,
        &[
            (DROP_IN, "ListenAddress 192.0.2.1\n"),
            (MAIN, "+Match LocalAddress 192.0.2.1\nDenyUsers *\n"),
        ],
        "admin",
        ED,
        Refused,
        "LOGIN-60",
    ),
    (
        DEBIAN_12,
        &[(MAIN, "+Match User admin Address *\nDenyUsers *\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-60",
    ),
    (DEBIAN_12, &[(MAIN, "+Match User root Address *\nDenyUsers *\n")], "admin", ED, Accepted, ""),
    (
        DEBIAN_12,
        &[(MAIN, "+Match Group admin\nAuthenticationMethods publickey,password\n")],
        "admin",
        ED,
        Refused,
        "LOGIN-64",
    ),
    (DEBIAN_12, &[(MAIN, "+Match Group *,!admin\nDenyUsers *\n")], "admin", ED, Accepted, ""),
    (DEBIAN_12, &[(MAIN, "+Match User Admin\nDenyUsers *\n")], "admin", ED, Accepted, ""),
];

/// Words of every program of the test: keywords and names of all releases, and those of its vendor.
fn program(style: &Style) -> Vec<u8> {
    let mut words = vec![
        format!("OpenSSH_{}p1", style.release),
        "gssapikexalgorithms".to_owned(),
        "sk-ssh-ed25519@openssh.com".to_owned(),
    ];
    if matches!(style.id, "debian" | "ubuntu") {
        words.push("debianbanner".to_owned());
    }
    if style.files.iter().any(|(path, _)| *path == POLICY) {
        words.push("requiredrsasize".to_owned());
    }
    if matches!(style.release, "7.4" | "8.0") {
        words.retain(|word| !word.starts_with("sk-"));
    }
    ["\0", &words.join("\0"), "\0"].concat().into_bytes()
}

fn tree(style: &Style, files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    let os = format!("ID={}\nVERSION_ID=\"{}\"\n", style.id, style.version_id);
    let passwd = b"root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n";
    let keys = [ED, RSA, EC, SK].join("\n");
    tree.file("/etc/os-release", 0, 0o644, os.as_bytes())
        .file("/etc/passwd", 0, 0o644, passwd)
        .file("/etc/group", 0, 0o644, b"root:x:0:\nadmin:x:1000:\n")
        .file("/etc/shadow", 0, 0o640, b"root:*:1:0:99999:7:::\nadmin:*:1:0:99999:7:::\n")
        .file("/etc/pam.d/sshd", 0, 0o644, b"account required pam_unix.so\n")
        .file("/bin/bash", 0, 0o755, b"")
        .directory("/root", 0, 0o700)
        .directory("/home/admin", 1000, 0o755);
    for (home, uid) in [("/root", 0), ("/home/admin", 1000)] {
        tree.directory(&format!("{home}/.ssh"), uid, 0o700);
        tree.file(&format!("{home}/.ssh/authorized_keys"), uid, 0o600, keys.as_bytes());
    }
    if !style.release.is_empty() {
        tree.file("/usr/sbin/sshd", 0, 0o755, &program(style));
    }
    for (path, content) in style.files.iter().chain(files) {
        if content.starts_with('/') && !content.contains('\n') {
            tree.link(path, content);
            continue;
        }
        let content = match content.strip_prefix('+') {
            Some(more) => [tree.content_at(path).unwrap_or_default(), more.as_bytes()].concat(),
            None => content.as_bytes().to_vec(),
        };
        tree.file(path, 0, 0o644, &content);
    }
    tree
}

#[test]
fn distributions_answer_as_their_sshd_would() {
    let cases: Vec<&Case> = [PLAIN, RELEASES, ORDER, KEYS, CLIENTS].into_iter().flatten().collect();
    assert!(cases.len() >= 60);
    let mut wrong = Vec::new();
    for (style, files, user, line, verdict, rules) in cases {
        let tree = tree(style, files);
        let system = detect(&tree).unwrap().unwrap();
        let guest = Guest::open(&tree, &system, NOW).unwrap();
        let user = system.accounts.find(user.as_bytes()).unwrap();
        let findings = guest.check_key(user, &key(line)).unwrap().findings;
        let is_ours = |finding: &&Finding| {
            ["conf-", "key-type", "revoked"].iter().any(|check| finding.check.starts_with(check))
        };
        let ours: Vec<Finding> = findings.iter().filter(is_ours).cloned().collect();
        let decides = |finding: &&Finding| finding.is_blocking() || finding.is_undecided;
        let found: BTreeSet<&str> =
            ours.iter().filter(decides).map(|finding| finding.rule).collect();
        let expected: BTreeSet<&str> = rules.split_whitespace().collect();
        if (Verdict::of(&ours), &found) != (*verdict, &expected) {
            wrong.push(format!(
                "{style:?} {files:?} {line:.12}\n  {verdict} {expected:?}, not {ours:#?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
