//! `password reset` on Linux disks: the line of the user changes and no other byte, undo gives back the digest,
//! and the programs of the disk itself take the password.
//!
//! Needs root, for chroot: `tests/run` uses sudo where it must.

use crate::end_to_end::{CHROOT, START_SECTOR, debian_tree};
use crate::support::image::{ImageBuilder, Nodes};
use crate::support::regain::{CLOCK_SECONDS, Regain, Run};
use crate::support::scratch::Scratch;
use crate::support::{digest, oracle, root, tools, tree, xfs_build, xfs_tools};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const TODAY: i64 = CLOCK_SECONDS / 86_400;
const SHADOW: &str = "root:*:19700:0:99999:7:::\nadmin:!:19700:0:99999:7:::\n";

fn bare() -> Nodes {
    let mut nodes = root::bare();
    nodes.file("/usr/bin/login", "", 0o755, 0);
    nodes
}

fn reset(scratch: &Scratch, image: &Path, password: &str, more: &[&str]) -> Run {
    let regain = Regain::new(scratch.path());
    let image = image.to_str().unwrap();
    let arguments = [&["password", "reset", image, "--json", "--yes"], more].concat();
    regain.run_with(&arguments, password.as_bytes(), &[])
}

/// Field 2 of the user's line, which is all that changes beside field 3.
fn assert_shadow(content: &str) -> String {
    let hash = content.rsplit('\n').nth(1).unwrap().split(':').nth(1).unwrap();
    let expected = format!("root:*:19700:0:99999:7:::\nadmin:{hash}:{TODAY}:0:99999:7:::\n");
    assert_eq!(content, expected);
    hash.to_owned()
}

/// What another implementation makes of the same password and salt.
fn assert_hash(password: &str, hash: &str) {
    let fields: Vec<&str> = hash.split('$').collect();
    let theirs = match fields[1] {
        "6" => tools::succeed("openssl", &["passwd", "-6", "-salt", fields[2], "--", password]),
        "y" => {
            let salt = fields[..4].join("$");
            tools::succeed("mkpasswd", &["--salt", &salt, "--method=yescrypt", "--", password])
        }
        other => panic!("{other}"),
    };
    assert_eq!(theirs.trim_end(), hash);
}

#[test]
fn on_ext_only_the_line_of_the_user_changes_and_undo_is_exact() {
    let scratch = Scratch::new();
    let label = "ea_set /etc/shadow security.selinux system_u:object_r:shadow_t:s0\\000";
    let image = ImageBuilder::new("ext4", 16).nodes(bare()).script([label]);
    let image = image.build_in(&scratch, "root.img");
    let (before, tree_before) = (digest::of_file(&image), tree::read(&image, 0));
    let run = reset(&scratch, &image, "pass word\n", &["--password-file", "-"]);
    let result = run.success()["result"].clone();
    assert!(!run.stdout.contains("pass word") && !run.stderr.contains("pass word"));
    assert_eq!(result["changes"][0]["path"], "/etc/shadow");
    assert_eq!(result["changes"].as_array().unwrap().len(), 1);
    oracle::assert_clean(&image, 0, "the edited disk");
    let content = tools::succeed("debugfs", &["-R", "cat /etc/shadow", image.to_str().unwrap()]);
    let hash = assert_shadow(&content);
    assert!(!run.stdout.contains(&hash) && !run.stderr.contains(&hash));
    assert_hash("pass word", &hash);
    let changed = tree::diff(&tree_before, &tree::read(&image, 0));
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["/etc/shadow"], "{changed:?}");

    let again = reset(&scratch, &image, "pass word", &["--password-file", "-"]);
    assert_eq!(again.success()["result"]["changed"], false);
    let undo = result["undo_file"].as_str().unwrap();
    let regain = Regain::new(scratch.path());
    regain.run(&["undo", undo, image.to_str().unwrap(), "--yes", "--json"]).success();
    assert_eq!(digest::of_file(&image), before);
}

#[test]
fn on_xfs_the_inode_and_its_label_stay() {
    let scratch = Scratch::new();
    let mut nodes = bare();
    let label = ("security.selinux".to_owned(), b"system_u:object_r:shadow_t:s0\0".to_vec());
    nodes.0.get_mut("/etc/shadow").unwrap().xattrs.push(label);
    let image = xfs_build::volume(&scratch, 32, "", &nodes);
    let before = digest::of_file(&image);
    let inode = || xfs_tools::db(&image, &["path /etc/shadow", "print"]);
    let facts = |text: &str| {
        let is_kept = |line: &&str| {
            let kept = ["core.mode", "core.uid", "core.gid", "core.nlink", "core.gen", "a.sf"];
            kept.iter().any(|name| line.starts_with(name))
        };
        text.lines().filter(is_kept).map(str::to_owned).collect::<Vec<_>>()
    };
    let kept = facts(&inode());
    assert!(kept.iter().any(|line| line.contains("shadow_t")), "{kept:?}");
    let result =
        reset(&scratch, &image, "secret", &["--password-file", "-"]).success()["result"].clone();
    assert_eq!(result["changed"], true);
    xfs_tools::assert_silent(&image, "after the edit");
    assert_eq!(facts(&inode()), kept);
    let undo = result["undo_file"].as_str().unwrap();
    let regain = Regain::new(scratch.path());
    regain.run(&["undo", undo, image.to_str().unwrap(), "--yes", "--json"]).success();
    assert_eq!(digest::of_file(&image), before);
}

#[test]
fn what_is_refused_leaves_the_disk() {
    let scratch = Scratch::new();
    let mut nodes = bare();
    let expired =
        SHADOW.replace("7:::\nadmin:!:19700:0:99999:7::", "7:::\nadmin:!:19700:0:99999:7::1");
    nodes.file("/etc/shadow", &expired, 0o640, 0);
    let image = ImageBuilder::new("ext4", 16).nodes(nodes).build_in(&scratch, "root.img");
    let before = digest::of_file(&image);
    for (options, status, expected) in [
        ("--password-file -", 4, "expired on day 1"),
        ("", 2, "--password-file FILE or --generate"),
        ("--generate --agent auto", 2, "--agent has no meaning on a Linux system"),
        ("--generate --method agent", 2, "--method has no meaning"),
        ("--generate --enable-service", 2, "--enable-service has no meaning"),
        ("--generate --clear-ntfs-log", 2, "--clear-ntfs-log has no meaning"),
        ("--generate --user nobody", 4, "the login shell /usr/sbin/nologin"),
        ("--generate --user zoe", 3, "no user zoe"),
    ] {
        let more: Vec<&str> = options.split_whitespace().collect();
        let run = reset(&scratch, &image, "secret", &more);
        let error = run.failure(&[status]);
        assert!(error["message"].as_str().unwrap().contains(expected), "{options}: {error}");
        assert_eq!(digest::of_file(&image), before, "{options}");
    }
    for password in ["", "a\nb", "a\tb", "\u{7}"] {
        let run = reset(&scratch, &image, password, &["--password-file", "-"]);
        run.failure(&[2]);
    }
    let error = reset(&scratch, &image, "secret", &["--password-file", "-"]).failure(&[4]);
    assert!(error["hint"].as_str().unwrap().contains("add --fix"), "{error}");
    let fixed = reset(&scratch, &image, "secret", &["--password-file", "-", "--fix"]).success();
    assert_eq!(fixed["result"]["changed"], true);
    let content = tools::succeed("debugfs", &["-R", "cat /etc/shadow", image.to_str().unwrap()]);
    assert_shadow(&content);
}

#[test]
fn a_generated_password_is_shown_once_and_is_the_right_one() {
    let scratch = Scratch::new();
    let image = ImageBuilder::new("ext4", 16).nodes(bare()).build_in(&scratch, "root.img");
    let dry = reset(&scratch, &image, "", &["--generate", "--dry-run"]).success();
    assert_eq!(dry["result"].get("generated_password"), None);
    let result = reset(&scratch, &image, "", &["--generate"]).success()["result"].clone();
    let password = result["generated_password"].as_str().unwrap();
    let content = tools::succeed("debugfs", &["-R", "cat /etc/shadow", image.to_str().unwrap()]);
    assert_hash(password, &assert_shadow(&content));
}

/// A disk with the whole Debian tree, in which nobody has a password.
fn debian_disk(scratch: &Scratch, tree: &Path) -> PathBuf {
    let disk = scratch.join("disk.img");
    fs::File::create(&disk).unwrap().set_len(512 << 20).unwrap();
    let name = disk.to_str().unwrap();
    let new = format!("--new=1:{START_SECTOR}:0");
    tools::succeed("sgdisk", &[&new, "--typecode=1:8304", name]);
    let offset = format!("offset={}", START_SECTOR * 512);
    let options =
        ["-q", "-F", "-t", "ext4", "-E", &offset, "-d", tree.to_str().unwrap(), name, "440M"];
    tools::succeed("mke2fs", &options);
    disk
}

/// Asks the helper of pam_unix, as PAM itself does: 0 is yes.
fn checked(tree: &Path, password: &str) -> bool {
    let mut child = Command::new("chroot")
        .arg(tree)
        .args(["/usr/sbin/unix_chkpwd", "admin", "nonull"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{password}\0").as_bytes()).unwrap();
    drop(input);
    child.wait().unwrap().success()
}

/// Becomes the user by `su`, from another who must know the password; what it says.
fn su(tree: &Path, password: &str) -> String {
    let mut child = Command::new("chroot")
        .arg("--userspec=65534:65534")
        .arg(tree)
        .args(["su", "admin", "-c", "id -un"])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(input);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn the_programs_of_a_real_debian_take_the_password() {
    assert!(nix::unistd::geteuid().is_root(), "needs root: run tests/run, which uses sudo");
    let scratch = Scratch::new();
    let tree = scratch.join("root");
    fs::create_dir(&tree).unwrap();
    let (tar, name) = (debian_tree(&CHROOT), tree.to_str().unwrap());
    tools::succeed("tar", &["-xf", tar.to_str().unwrap(), "-C", name, "--numeric-owner"]);
    crate::end_to_end::give_devices(&tree);
    let (pam, to) = (tree.join("etc/pam.d/common-password"), tree.join("etc/shadow"));
    let nobody_knows = fs::read(&to).unwrap();
    let yescrypt = fs::read_to_string(&pam).unwrap();
    assert!(yescrypt.contains("yescrypt"), "{yescrypt}");
    for (kind, options) in [("$y$", &yescrypt), ("$6$", &yescrypt.replace("yescrypt", "sha512"))] {
        fs::write(&pam, options).unwrap();
        fs::write(&to, &nobody_knows).unwrap();
        let disk = debian_disk(&scratch, &tree);
        let result = reset(
            &scratch,
            &disk,
            "pa:ss w\u{f6}rd\n",
            &["--password-file", "-", "--user", "admin"],
        );
        assert_eq!(result.success()["result"]["changed"], true);
        oracle::assert_clean(&disk, START_SECTOR * 512, "the edited disk");
        let dump = format!("dump /etc/shadow {}", to.to_str().unwrap());
        tools::succeed("debugfs", &["-R", &dump, &oracle::at(&disk, START_SECTOR * 512)]);
        let shadow = fs::read_to_string(&to).unwrap();
        assert!(shadow.contains(&format!("\nadmin:{kind}")), "{shadow}");
        for (password, expected) in [("pa:ss w\u{f6}rd", true), ("wrong", false)] {
            assert_eq!(checked(&tree, password), expected, "unix_chkpwd, {kind}");
            assert_eq!(su(&tree, password) == "admin\n", expected, "su, {kind}");
        }
        fs::remove_file(disk).unwrap();
    }
}
