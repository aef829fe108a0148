use super::*;
use crate::fs::memory::MemoryTree;

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    for (path, content) in files {
        match content.strip_prefix("-> ") {
            Some(target) => tree.link(path, target),
            None => tree.file(path, 0, 0o644, content.as_bytes()),
        };
    }
    tree
}

fn lines(files: &[(&str, &str)]) -> Vec<String> {
    let starts = starts(&tree(files), Vendor::Other).unwrap();
    let shown = |start: &Start| {
        let words: Vec<_> = start.words.iter().map(|w| String::from_utf8_lossy(&w.text)).collect();
        words.join("|")
    };
    starts.iter().map(shown).collect()
}

const UNIT: &str = "/usr/lib/systemd/system/sshd.service";
const ETC: &str = "/etc/systemd/system/sshd.service.d/";
const LIB: &str = "/usr/lib/systemd/system/sshd.service.d/";

#[test]
fn the_command_line_comes_from_the_unit_login_11() {
    let red_hat = "[Unit]\nExecStart=no\n[Service]\nType=notify\nEnvironmentFile=-/etc/crypto-policies/\
        back-ends/opensshserver.config\nEnvironmentFile=-/etc/sysconfig/sshd\n\
        ExecStart=/usr/sbin/sshd -D $OPTIONS $CRYPTO_POLICY\n";
    let debian = "[Service]\nEnvironmentFile=-/etc/default/ssh\nExecStartPre=/usr/sbin/sshd -t\n\
        ExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n";
    let (etc, lib) = (format!("{ETC}a.conf"), format!("{LIB}a.conf"));
    let second = format!("{ETC}b.conf");
    let policy = "/etc/crypto-policies/back-ends/opensshserver.config";
    let debian_unit = "/lib/systemd/system/ssh.service";
    for (name, files, expected) in [
        ("plain", vec![(UNIT, red_hat)], "/usr/sbin/sshd|-D"),
        (
            "files",
            vec![
                (UNIT, red_hat),
                (policy, "CRYPTO_POLICY='-oCiphers=a,b -oMACs=c'\n"),
                ("/etc/sysconfig/sshd", "OPTIONS=\"-u0\"\n"),
            ],
            "/usr/sbin/sshd|-D|-u0|-oCiphers=a,b|-oMACs=c",
        ),
        (
            "reset",
            vec![
                (UNIT, red_hat),
                (&etc, "[Service]\nExecStart=\nExecStart=-/usr/sbin/sshd -D -p 1\n"),
            ],
            "/usr/sbin/sshd|-D|-p|1",
        ),
        (
            "etc hides lib",
            vec![
                (UNIT, red_hat),
                (&etc, "[Service]\nEnvironment=OPTIONS=-e\n"),
                (&lib, "[Service]\nExecStart=\nExecStart=/x\n"),
            ],
            "/usr/sbin/sshd|-D|-e",
        ),
        (
            "null masks",
            vec![(UNIT, red_hat), (&etc, "-> /dev/null"), (&lib, "[Service]\nExecStart=\n")],
            "/usr/sbin/sshd|-D",
        ),
        (
            "order of names",
            vec![
                (UNIT, red_hat),
                (&second, "[Service]\nEnvironment=\"OPTIONS=-p 2\"\n"),
                (&lib, "[Service]\nEnvironment=\"OPTIONS=-p 1\"\n"),
            ],
            "/usr/sbin/sshd|-D|-p|2",
        ),
        (
            "alias",
            vec![
                (debian_unit, debian),
                ("/etc/systemd/system/sshd.service", "-> /lib/systemd/system/ssh.service"),
                (&etc, "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -e\n"),
                ("/etc/systemd/system/multi-user.target.wants/ssh.service", "-> x"),
            ],
            "/usr/sbin/sshd|-D|-e",
        ),
        (
            "instance connect",
            vec![
                (debian_unit, debian),
                (
                    "/lib/systemd/system/ssh.service.d/ec2-instance-connect.conf",
                    "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \
                     \"AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys \
                     %%u %%f\" -o \"AuthorizedKeysCommandUser ec2-instance-connect\" $SSHD_OPTS\n",
                ),
            ],
            "/usr/sbin/sshd|-D|-o|AuthorizedKeysCommand /usr/share/ec2-instance-connect/\
             eic_run_authorized_keys %u %f|-o|AuthorizedKeysCommandUser ec2-instance-connect",
        ),
        (
            "masked",
            vec![(UNIT, red_hat), ("/etc/systemd/system/sshd.service", "-> /dev/null")],
            "/usr/sbin/sshd",
        ),
        ("sysv", vec![("/etc/sysconfig/sshd", "OPTIONS=-p 22")], "/usr/sbin/sshd|-p|22"),
        (
            "socket",
            vec![
                ("/usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\nAccept=yes\n"),
                (
                    "/usr/lib/systemd/system/ssh@.service",
                    "[Service]\nExecStart=-/usr/sbin/sshd -i -e\n",
                ),
                (debian_unit, debian),
                ("/etc/systemd/system/sockets.target.wants/ssh.socket", "-> x"),
            ],
            "/usr/sbin/sshd|-i|-e",
        ),
        (
            "continued",
            vec![(UNIT, "[Service]\nExecStart=/usr/sbin/sshd \\\n# why\n  -D \\\n -e\n")],
            "/usr/sbin/sshd|-D|-e",
        ),
    ] {
        assert_eq!(lines(&files), [expected], "{name}");
    }
}

#[test]
fn units_that_cannot_start_are_told_login_11() {
    let drop_in = format!("{ETC}x.conf");
    for (files, is_blocking) in [
        (vec![(UNIT, "[Service]\nExecStart=/a\n"), (&drop_in, "[Service]\nExecStart=/b\n")], true),
        (vec![(UNIT, "[Service]\nEnvironmentFile=/etc/none\nExecStart=/a\n")], true),
        (vec![(UNIT, "[Service]\nEnvironmentFile=/run/none\nExecStart=/a\n")], false),
        (vec![(UNIT, "[Service]\nExecStart=/a 'b\n")], false),
    ] {
        let found = &starts(&tree(&files), Vendor::Other).unwrap()[0].findings;
        assert_eq!(found.len(), 1, "{files:?}");
        assert_eq!(found[0].is_blocking(), is_blocking, "{files:?}");
        assert_eq!(found[0].is_undecided, !is_blocking, "{files:?}");
    }
}

#[test]
fn a_socket_and_a_service_are_two_ways_login_108() {
    let files = [
        ("/usr/lib/systemd/system/ssh.socket", "[Socket]\nAccept=no\n"),
        ("/usr/lib/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/sshd -D\n"),
        ("/etc/systemd/system/sockets.target.wants/ssh.socket", "-> x"),
        ("/etc/systemd/system/multi-user.target.wants/ssh.service", "-> x"),
    ];
    let starts = starts(&tree(&files), Vendor::Other).unwrap();
    let sockets: Vec<_> = starts.iter().map(|start| start.is_socket_activated).collect();
    assert_eq!(sockets, [true, false]);
}
