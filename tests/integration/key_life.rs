//! `key list`, `key revoke`, `key rotate` and new key pairs, on small ext4 and XFS disks. The checkers of the file
//! systems, ssh-keygen and puttygen judge.

use crate::cli_commands::words;
use crate::support::image::{ImageBuilder, Nodes};
use crate::support::regain::Regain;
use crate::support::root::{self, KEY_FILE, NEW_KEY, OLD_KEY};
use crate::support::scratch::Scratch;
use crate::support::tree::{self, Difference};
use crate::support::windows_disk::{V2, WindowsDisk};
use crate::support::xfs_tree;
use crate::support::{digest, oracle, tools, xfs_build, xfs_image, xfs_tools};
use regain::fs::path::{GuestPath, read_file};
use regain::fs::{FileSystem, Timestamp, ext::Ext, xfs::Xfs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const CLOCK: Timestamp = Timestamp { seconds: 1_750_000_000, nanoseconds: 0 };
const ROOT_FILE: &str = "/root/.ssh/authorized_keys";
const ADVICE: &str = "no-port-forwarding,command=\"echo 'Please login as the user \\\"admin\\\" \
    rather than the user \\\"root\\\".';echo;sleep 10;exit 142\" ";

/// A disk with its files before, and the program.
struct Disk {
    scratch: Scratch,
    regain: Regain,
    is_xfs: bool,
}

impl Disk {
    fn new(is_xfs: bool, nodes: Nodes) -> Self {
        let scratch = Scratch::new();
        if is_xfs {
            let options = "-m rmapbt=0,reflink=1 -i nrext64=0";
            xfs_build::volume(&scratch, 32, options, &nodes);
        } else {
            ImageBuilder::new("ext4", 8).nodes(nodes).build_in(&scratch, "disk.img");
        }
        for (name, key) in [("old.pub", OLD_KEY), ("new.pub", NEW_KEY)] {
            fs::write(scratch.join(name), key).unwrap();
        }
        let regain = Regain::new(scratch.path());
        Self { scratch, regain, is_xfs }
    }

    fn image(&self) -> PathBuf {
        self.scratch.join("disk.img")
    }

    fn digest(&self) -> String {
        digest::of_file(&self.image())
    }

    fn ok(&self, line: &str) -> Value {
        self.regain.run(&words(line)).success()["result"].clone()
    }

    fn failed(&self, line: &str, status: i32) -> Value {
        self.regain.run(&words(line)).failure(&[status])
    }

    /// The file system as it is now.
    fn open(&self) -> Box<dyn FileSystem> {
        let overlay = xfs_image::overlay(&self.image());
        if self.is_xfs {
            Box::new(Xfs::open(overlay, CLOCK).unwrap())
        } else {
            Box::new(Ext::open(overlay, CLOCK).unwrap())
        }
    }

    fn content(&self, path: &str) -> Vec<u8> {
        read_file(self.open().as_ref(), &GuestPath::new(path), 1 << 20).unwrap().unwrap()
    }

    /// What its own checker says.
    fn assert_clean(&self) {
        if self.is_xfs {
            xfs_tools::assert_silent(&self.image(), "after the edit");
        } else {
            oracle::assert_clean(&self.image(), 0, "after the edit");
        }
    }

    /// The paths that differ from the tree `before`, all of them files that are there still.
    fn changed_since(&self, before: &tree::Tree) -> Vec<String> {
        let after = xfs_tree::of_reader(self.open().as_ref());
        let differences = tree::diff(before, &after);
        for (path, difference) in &differences {
            let Difference::Changed(fields) = difference else { panic!("{path}: {difference:?}") };
            let may_change = ["content", "size", "mtime", "ctime"];
            assert!(fields.iter().all(|field| may_change.contains(&field.as_str())), "{fields:?}");
        }
        differences.into_keys().collect()
    }
}

/// Name, key file before, key file after.
type Case = (&'static str, Vec<u8>, Vec<u8>);

/// Key files in every state, with the old key in them.
fn cases() -> Vec<Case> {
    let (old, new) = (OLD_KEY.trim_end(), NEW_KEY.trim_end());
    let text = |text: String| text.into_bytes();
    vec![
        ("crlf", text(format!("{old}\r\n# c\r\n{new}\r\n")), text(format!("# c\r\n{new}\r\n"))),
        ("tail", text(format!("{new}\n\n{old}")), text(format!("{new}\n\n"))),
        ("twice", text(format!("{old}\n{new}\nno-pty {old}\n")), text(format!("{new}\n"))),
        (
            "lines",
            text(format!("# {old}\n{new} {old}\n{old}\n")),
            text(format!("# {old}\n{new} {old}\n")),
        ),
        (
            "junk",
            [b"\xff\xfe\x00\n", old.as_bytes(), b"\n\x01\x02\x00\xffx\r\r\n", new.as_bytes()]
                .concat(),
            [b"\xff\xfe\x00\n\x01\x02\x00\xffx\r\r\n", new.as_bytes()].concat(),
        ),
        ("only", text(format!("{ADVICE}{old}\n")), Vec::new()),
        (
            // More than one block, and less afterwards.
            "large",
            text(format!("{new}\n{}", format!("{old}\n").repeat(200))),
            text(format!("{new}\n")),
        ),
    ]
}

/// A root with a user for each case, whose home is /home/NAME.
fn crowd(cases: &[Case]) -> Nodes {
    let mut nodes = root::bare();
    let mut passwd = "root:x:0:0:root:/root:/bin/bash\n".to_owned();
    let mut shadow = "root:*:19700:0:99999:7:::\n".to_owned();
    for (number, (name, before, _)) in cases.iter().enumerate() {
        let uid = 2000 + number as u32;
        writeln!(passwd, "{name}:x:{uid}:{uid}::/home/{name}:/bin/bash").unwrap();
        writeln!(shadow, "{name}:*:19700:0:99999:7:::").unwrap();
        nodes.directory(&format!("/home/{name}"), 0o755, uid);
        nodes.directory(&format!("/home/{name}/.ssh"), 0o700, uid);
        nodes.file(&format!("/home/{name}/.ssh/authorized_keys"), before, 0o600, uid);
    }
    nodes.file("/etc/passwd", passwd, 0o644, 0);
    nodes.file("/etc/shadow", shadow, 0o640, 0);
    nodes
}

#[test]
fn a_revoked_key_goes_from_every_file_and_every_other_byte_stays() {
    for is_xfs in [false, true] {
        let cases = cases();
        let mut nodes = crowd(&cases);
        nodes.directory("/root/.ssh", 0o700, 0);
        nodes.link(ROOT_FILE, "../../home/crlf/.ssh/authorized_keys");
        let disk = Disk::new(is_xfs, nodes);
        let before = xfs_tree::of_reader(disk.open().as_ref());
        let digest_before = disk.digest();

        let line = "key revoke disk.img --key old.pub --yes --json";
        let done = disk.ok(line);
        assert_eq!(done["changed"], true);
        disk.assert_clean();
        for (name, _, after) in &cases {
            let path = format!("/home/{name}/.ssh/authorized_keys");
            assert_eq!(&disk.content(&path), after, "{name}");
        }
        let expected = cases.iter().map(|(name, ..)| format!("/home/{name}/.ssh/authorized_keys"));
        let mut expected: Vec<String> = expected.collect();
        expected.sort();
        assert_eq!(disk.changed_since(&before), expected, "xfs: {is_xfs}");

        let again = disk.ok(line);
        assert_eq!((&again["changed"], &again["undo_file"]), (&false.into(), &Value::Null));
        assert!(again["findings"].to_string().contains("not on this volume"), "{again}");
        let undo = done["undo_file"].as_str().unwrap();
        disk.ok(&format!("undo {undo} disk.img --yes --json"));
        assert_eq!(disk.digest(), digest_before);
    }
}

#[test]
fn a_rotation_leaves_one_key_and_is_undone() {
    for is_xfs in [false, true] {
        let mut nodes = root::with_key_file(format!("{OLD_KEY}# c\n{OLD_KEY}"));
        nodes.file("/home/admin/.ssh/authorized_keys2", OLD_KEY, 0o600, root::USER_ID);
        let disk = Disk::new(is_xfs, nodes);
        let before = disk.digest();
        let line = "key rotate disk.img --user admin --key new.pub --yes --json";
        let done = disk.ok(line);
        assert_eq!(done["users"][0]["outcome"], "changes");
        disk.assert_clean();
        assert_eq!(disk.content(KEY_FILE), format!("# c\n{NEW_KEY}").as_bytes());
        assert!(disk.content("/home/admin/.ssh/authorized_keys2").is_empty());
        let keys = disk.ok("key list disk.img --user admin --json")["keys"].clone();
        assert_eq!(keys.as_array().unwrap().len(), 1);
        assert_eq!(disk.ok(line)["changed"], false);
        let undo = done["undo_file"].as_str().unwrap();
        disk.ok(&format!("undo {undo} disk.img --yes --json"));
        assert_eq!(disk.digest(), before);
    }
}

#[test]
fn a_rotation_that_would_not_let_in_leaves_everything_alone() {
    let mut nodes = root::with_key();
    nodes.directory("/home/admin/.ssh", 0o777, root::USER_ID);
    let disk = Disk::new(false, nodes);
    let before = disk.digest();
    let rotate = "key rotate disk.img --user admin --generate-key made --yes --json";
    let error = disk.failed(rotate, 4);
    assert!(error["hint"].as_str().unwrap().contains("--fix"), "{error}");
    assert_eq!(disk.digest(), before);
    assert!(!disk.scratch.join("made").exists() && !disk.scratch.join("made.pub").exists());
    assert_eq!(disk.ok(&format!("{rotate} --fix"))["changed"], true);
    disk.assert_clean();
    let line = fs::read(disk.scratch.join("made.pub")).unwrap();
    assert_eq!(disk.content(KEY_FILE), line);
}

#[test]
fn the_last_working_key_is_kept_and_named() {
    let disk = Disk::new(false, root::with_key());
    let before = disk.digest();
    let fingerprint = fingerprint_of(&disk.scratch.join("old.pub"), "sha256");
    let revoke = format!("key revoke disk.img --fingerprint {fingerprint} --yes --json");
    for line in [&revoke, "key revoke disk.img --all --yes --json"] {
        let error = disk.failed(line, 4);
        let text = error.to_string();
        assert!(text.contains(&fingerprint) && text.contains("admin"), "{text}");
        assert!(error["hint"].as_str().unwrap().contains("regain key rotate"), "{text}");
    }
    assert_eq!(disk.digest(), before);
    let forced = disk.ok(&format!("{revoke} --force"));
    assert_eq!(forced["changes"][0]["action"], "replace");
    disk.assert_clean();
    assert!(disk.content(KEY_FILE).is_empty());
    assert_eq!(disk.ok(&format!("{revoke} --force"))["changed"], false);
}

#[test]
fn keys_are_named_in_every_way_and_nonsense_is_a_usage_error() {
    let (old, new) = (OLD_KEY.trim_end(), NEW_KEY.trim_end());
    let disk = Disk::new(false, root::with_key_file(format!("{old}\n{new}\n")));
    let md5 = fingerprint_of(&disk.scratch.join("old.pub"), "md5");
    let plain = md5.strip_prefix("MD5:").unwrap().to_uppercase();
    for name in [&md5, &plain] {
        let line = format!("key revoke disk.img --fingerprint {name} --dry-run --json");
        assert_eq!(disk.ok(&line)["changes"].as_array().unwrap().len(), 1, "{name}");
    }
    let listed = disk.ok("key list disk.img --json");
    assert_eq!(listed["keys"][0]["md5"], md5.as_str());
    let before = disk.digest();
    for arguments in [
        "--fingerprint SHA256:abc",
        "--fingerprint aa:bb",
        "--all --key old.pub",
        "--user admin",
        "--all --user admin --all-users",
    ] {
        let line = format!("key revoke disk.img {arguments} --yes --json");
        assert_eq!(disk.failed(&line, 2)["kind"], "usage", "{arguments}");
    }
    disk.failed("key revoke disk.img --all --user zoe --yes --json", 3);
    disk.failed("key revoke disk.img --key disk.img --yes --json", 5);
    assert_eq!(disk.digest(), before);
    let patched = disk.ok("key revoke disk.img --key old.pub --patch-out p --json");
    assert_eq!((&patched["changed"], disk.digest()), (&false.into(), before));
    disk.ok("apply p disk.img --yes --json");
    assert_eq!(disk.content(KEY_FILE), NEW_KEY.as_bytes());
}

#[test]
fn second_names_and_shared_files_are_told() {
    let mut nodes = root::with_key_file(format!("{OLD_KEY}{NEW_KEY}"));
    let link = crate::support::image::Content::HardLink(KEY_FILE.to_owned());
    nodes.add("/home/admin/.ssh/second_name", link, 0o600, root::USER_ID);
    let config = "UsePAM yes\nAuthorizedKeysFile /etc/ssh/keys .ssh/authorized_keys\n\
        TrustedUserCAKeys /etc/ssh/ca.pub\nAuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\n\
        AuthorizedKeysCommandUser nobody\n";
    nodes.file("/etc/ssh/sshd_config", config, 0o644, 0);
    nodes.file("/etc/ssh/keys", format!("{OLD_KEY}{NEW_KEY}"), 0o644, 0);
    nodes.file("/etc/ssh/ca.pub", OLD_KEY, 0o644, 0);
    let disk = Disk::new(false, nodes);
    let listed = disk.ok("key list disk.img --json");
    let keys = listed["keys"].as_array().unwrap();
    let authorities: Vec<&Value> = keys.iter().filter(|key| key["is_authority"] == true).collect();
    assert_eq!((authorities.len(), &authorities[0]["user"]), (1, &"*".into()));
    assert!(listed["findings"].to_string().contains("EC2 Instance Connect"), "{listed}");

    let done = disk.ok("key revoke disk.img --key old.pub --user admin --yes --json");
    let rules: Vec<&str> =
        done["findings"].as_array().unwrap().iter().map(|f| f["rule"].as_str().unwrap()).collect();
    for rule in ["LOGIN-36", "LOGIN-133", "LOGIN-139", "LOGIN-35"] {
        assert!(rules.contains(&rule), "{rule}: {done}");
    }
    disk.assert_clean();
    assert_eq!(disk.content("/home/admin/.ssh/second_name"), NEW_KEY.as_bytes());
    assert_eq!(disk.content("/etc/ssh/keys"), NEW_KEY.as_bytes());
    assert_eq!(disk.content("/etc/ssh/ca.pub"), OLD_KEY.as_bytes());
}

#[test]
fn new_pairs_are_read_by_the_programs_they_are_for() {
    let disk = Disk::new(false, root::with_key());
    fs::write(disk.scratch.join("phrase"), "open sesame\n").unwrap();
    let phrase = disk.scratch.join("phrase").to_str().unwrap().to_owned();
    for (format, is_encrypted) in
        [("openssh", false), ("openssh", true), ("ppk", false), ("ppk", true), ("pem", false)]
    {
        let name = format!("{format}-{is_encrypted}");
        let mut line = format!(
            "key add disk.img --user admin --generate-key {name} --key-format {format} --no-undo --yes --json"
        );
        if is_encrypted {
            line.push_str(" --passphrase-file phrase");
        }
        let run = disk.regain.run(&words(&line));
        assert!(!run.stdout.contains("sesame") && !run.stderr.contains("sesame"));
        let made = run.success()["result"]["generated_key"].clone();
        let path = disk.scratch.join(&name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let file = path.to_str().unwrap();
        let shown = match format {
            "ppk" if is_encrypted => tools::succeed(
                "puttygen",
                &[file, "-O", "public-openssh", "--old-passphrase", &phrase],
            ),
            "ppk" => tools::succeed("puttygen", &[file, "-O", "public-openssh"]),
            "openssh" if is_encrypted => {
                tools::succeed("ssh-keygen", &["-y", "-P", "open sesame", "-f", file])
            }
            "openssh" => tools::succeed("ssh-keygen", &["-y", "-P", "", "-f", file]),
            _ => made["public_key"].as_str().unwrap().to_owned(),
        };
        let public = made["public_key"].as_str().unwrap();
        let two = |line: &str| line.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(two(shown.trim()), two(public), "{name}");
        let secret = fs::read_to_string(&path).unwrap();
        let line = secret.lines().nth(2).unwrap();
        assert!(!run_text(&disk, "key list disk.img --json").contains(line));
    }
    for arguments in ["--passphrase-file nowhere", "--passphrase-prompt", "--passphrase-file empty"]
    {
        fs::write(disk.scratch.join("empty"), "\n").unwrap();
        let line =
            format!("key add disk.img --user admin --generate-key no {arguments} --yes --json");
        disk.failed(&line, if arguments.ends_with("nowhere") { 1 } else { 2 });
        assert!(!disk.scratch.join("no").exists());
    }
}

/// Answers a program on a terminal of its own: waits for each question, and gives the answer to it.
const TERMINAL: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[3], sys.argv[3:])
shown = b""
for _ in range(2):
    answered = len(shown)
    while sys.argv[1].encode() not in shown[answered:] and b"again: " not in shown[answered:]:
        shown += os.read(terminal, 1024)
    os.write(terminal, sys.argv[2].encode() + b"\n")
try:
    while True:
        piece = os.read(terminal, 1024)
        if not piece:
            break
        shown += piece
except OSError:
    pass
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

#[test]
fn a_passphrase_is_asked_for_twice_and_not_shown() {
    let disk = Disk::new(false, root::with_key());
    let (image, made) = (disk.image(), disk.scratch.join("made"));
    let (image, made) = (image.to_str().unwrap(), made.to_str().unwrap());
    let program = env!("CARGO_BIN_EXE_regain");
    let shown = tools::succeed(
        "python3",
        &[
            "-c",
            TERMINAL,
            "new key: ",
            "open sesame",
            program,
            "key",
            "add",
            image,
            "--user",
            "admin",
            "--generate-key",
            made,
            "--passphrase-prompt",
            "--no-undo",
            "--yes",
        ],
    );
    assert!(shown.contains("Passphrase for the new key: ") && !shown.contains("sesame"), "{shown}");
    let public = tools::succeed("ssh-keygen", &["-y", "-P", "open sesame", "-f", made]);
    let line = fs::read_to_string(format!("{made}.pub")).unwrap();
    assert!(line.starts_with(public.trim().trim_end_matches(" regain")), "{public} {line}");
}

#[test]
fn keys_of_a_windows_server_are_rotated_and_revoked() {
    let disk = WindowsDisk::new(V2);
    let shared = "ProgramData/ssh/administrators_authorized_keys";
    for (name, key) in [("old.pub", OLD_KEY), ("new.pub", NEW_KEY)] {
        fs::write(disk.scratch.join(name), key).unwrap();
    }
    let run = |line: &str| disk.run_with(&format!("{line} --yes --json"), b"");
    run("key add win.img --key old.pub --no-undo").success();
    let before = disk.digest_now();
    let done = run("key rotate win.img --key new.pub --undo-file undo").success();
    assert_eq!(done["result"]["changed"], true);
    disk.assert_clean("after the rotation");
    assert_eq!(disk.text(shared), NEW_KEY);
    run("key revoke win.img --key new.pub").failure(&[4]);
    run("undo undo win.img").success();
    assert_eq!(disk.digest_now(), before);
    run("key revoke win.img --key old.pub --force --no-undo").success();
    disk.assert_clean("after the last key went");
    assert_eq!(disk.text(shared), "");
    let again = run("key revoke win.img --key old.pub").success();
    assert_eq!(again["result"]["changed"], false);
}

fn run_text(disk: &Disk, line: &str) -> String {
    let run = disk.regain.run(&words(line));
    format!("{}{}", run.stdout, run.stderr)
}

/// As ssh-keygen shows it.
fn fingerprint_of(path: &Path, hash: &str) -> String {
    let shown = tools::succeed("ssh-keygen", &["-l", "-E", hash, "-f", path.to_str().unwrap()]);
    shown.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_list_agrees_with_ssh_keygen_line_by_line() {
    let content = format!("{OLD_KEY}no-pty {NEW_KEY}# c\n{OLD_KEY}");
    let disk = Disk::new(false, root::with_key_file(&content));
    let keys = disk.ok("key list disk.img --json")["keys"].clone();
    let copy = disk.scratch.join("copy");
    fs::write(&copy, content).unwrap();
    for (hash, field) in [("sha256", "fingerprint"), ("md5", "md5")] {
        let shown = tools::succeed("ssh-keygen", &["-l", "-E", hash, "-f", copy.to_str().unwrap()]);
        let expected: Vec<&str> =
            shown.lines().map(|line| line.split(' ').nth(1).unwrap()).collect();
        let found: Vec<&str> =
            keys.as_array().unwrap().iter().map(|key| key[field].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{hash}");
    }
    let counts: BTreeMap<u64, bool> = keys
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["line"].as_u64().unwrap(), key["counts"].as_bool().unwrap()))
        .collect();
    assert_eq!(counts, BTreeMap::from([(1, true), (2, true), (4, false)]));
}
