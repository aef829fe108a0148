//! The whole story on a real root disk: Debian, made by mmdebstrap, into which nobody gets any more. The built
//! program adds a key; then the disk's own sshd, started from the edited disk on a loopback port, decides.
//!
//! Needs root, for the owners of the files and for chroot: `tests/run` uses sudo where it must. The tree is
//! built once and kept in `REGAIN_TEST_CACHE`, by default `target/test-cache`.

use crate::support::image::UUID;
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{digest, oracle, tools};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Start of the root partition, in sectors of 512 bytes: Debian's cloud images leave room before it too.
const START_SECTOR: u64 = 65_536;
const DISK_BYTES: u64 = 512 * 1024 * 1024;
/// Size of the root file system.
const ROOT_SIZE: &str = "440M";
const USER: &str = "admin";

#[test]
fn the_sshd_of_a_real_debian_accepts_the_new_key_and_the_old_one() {
    assert!(nix::unistd::geteuid().is_root(), "needs root: run tests/run, which uses sudo");
    let scratch = Scratch::new();
    let keys = ["old", "new", "wrong"].map(|name| key_pair(&scratch, name));
    let disk = locked_out_disk(&scratch, &keys[0]);
    let before = digest::of_file(&disk);

    let regain = Regain::new(scratch.path());
    let document = regain.key_add(&disk, USER, &keys[1].with_extension("pub"), &[]).success();
    assert_eq!(document["result"]["changed"], true, "{document}");
    oracle::assert_clean(&disk, START_SECTOR * 512, "the edited disk");

    let root = extracted(&scratch, &disk);
    let server = Server::start(&root);
    for (key, expected) in [(&keys[0], true), (&keys[1], true), (&keys[2], false)] {
        let login = server.login(key);
        assert_eq!(login.status.success(), expected, "{}: {login:?}", key.display());
        let (answer, errors) = (text(&login.stdout), text(&login.stderr));
        if expected {
            assert_eq!(answer, "admin\n");
        } else {
            assert!(errors.contains("Permission denied"), "{errors}");
        }
    }
    drop(server);

    let undo_file = document["result"]["undo_file"].as_str().unwrap();
    let target = disk.to_str().unwrap();
    regain.run(&["undo", undo_file, target, "--yes", "--json"]).success();
    assert_eq!(digest::of_file(&disk), before, "undo");
}

/// A fresh key pair; the path of its private half.
fn key_pair(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.join(name);
    let file = path.to_str().unwrap();
    tools::succeed("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file]);
    path
}

/// A GPT disk with the Debian tree, whose user has only the old key.
fn locked_out_disk(scratch: &Scratch, old_key: &Path) -> PathBuf {
    let root = scratch.join("root");
    std::fs::create_dir(&root).unwrap();
    let (tar, root_name) = (debian_tree(), root.to_str().unwrap());
    tools::succeed("tar", &["-xf", tar.to_str().unwrap(), "-C", root_name, "--numeric-owner"]);
    let ssh = root.join("home/admin/.ssh");
    std::fs::create_dir(&ssh).unwrap();
    let key_file = ssh.join("authorized_keys");
    std::fs::copy(old_key.with_extension("pub"), &key_file).unwrap();
    for (path, mode) in [(&ssh, 0o700), (&key_file, 0o600)] {
        std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        set_mode(path, mode);
    }
    let disk = scratch.join("disk.img");
    std::fs::File::create(&disk).unwrap().set_len(DISK_BYTES).unwrap();
    let name = disk.to_str().unwrap();
    let new = format!("--new=1:{START_SECTOR}:0");
    tools::succeed("sgdisk", &[&new, "--typecode=1:8304", "--new=15:2048:+16M", name]);
    let offset = format!("offset={}", START_SECTOR * 512);
    let options = ["-q", "-F", "-t", "ext4", "-b", "4096", "-U", UUID, "-E", &offset];
    tools::succeed("mke2fs", &[&options[..], &["-d", root_name, name, ROOT_SIZE]].concat());
    std::fs::remove_dir_all(root).unwrap();
    disk
}

/// The cached tree as a tar file; built by mmdebstrap when it is not there.
fn debian_tree() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache");
    let cache = std::env::var_os("REGAIN_TEST_CACHE").map_or_else(default, PathBuf::from);
    std::fs::create_dir_all(&cache).unwrap();
    let tar = cache.join("debian-bookworm-sshd.tar");
    if !tar.exists() {
        let building = tempfile::Builder::new().suffix(".tar").tempfile_in(&cache).unwrap();
        let hook = "chroot \"$1\" useradd --create-home --shell /bin/bash --uid 1000 admin";
        let output = Command::new("mmdebstrap")
            .args(["--variant=minbase", "--include=openssh-server", "--customize-hook"])
            .args([hook, "bookworm"])
            .arg(building.path())
            .output()
            .expect("mmdebstrap is missing: apt-get install mmdebstrap (or run tests/run)");
        assert!(output.status.success(), "mmdebstrap: {}", text(&output.stderr));
        building.persist(&tar).unwrap();
    }
    tar
}

/// The tree on the edited disk, by an outside reader, ready to change the root into.
fn extracted(scratch: &Scratch, disk: &Path) -> PathBuf {
    let volume = oracle::at(disk, START_SECTOR * 512);
    let root = scratch.join("edited");
    std::fs::create_dir(&root).unwrap();
    let command = format!("rdump / {}", root.to_str().unwrap());
    tools::succeed("debugfs", &["-R", &command, &volume]);
    // rdump brings files, directories and links; the devices that sshd opens are made here.
    for (name, minor) in [("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)] {
        let path = root.join("dev").join(name);
        let device = nix::sys::stat::makedev(1, minor);
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        nix::sys::stat::mknod(&path, kind, nix::sys::stat::Mode::empty(), device).unwrap();
        set_mode(&path, 0o666);
    }
    std::fs::create_dir_all(root.join("run/sshd")).unwrap();
    root
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The sshd of the disk, on a loopback port.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(root: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new("chroot")
            .arg(root)
            .args(["/usr/sbin/sshd", "-D", "-e", "-o", "ListenAddress=127.0.0.1", "-p"])
            .arg(port.to_string())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        loop {
            let line = log.next().unwrap_or_else(|| panic!("sshd ended: {said:?}")).unwrap();
            let is_ready = line.contains("Server listening");
            said.push(line);
            if is_ready {
                break;
            }
        }
        // What it says later is read too, or it would stop on a full pipe.
        std::thread::spawn(move || log.count());
        Self { process, port }
    }

    /// Logs in with the private key at `key` and nothing else, and asks who we are.
    fn login(&self, key: &Path) -> Output {
        let mut command = tools::command("ssh");
        command.args(["-F", "none", "-T", "-i"]).arg(key);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
        ] {
            command.args(["-o", option]);
        }
        let port = self.port.to_string();
        command.args(["-p", &port, &format!("{USER}@127.0.0.1"), "id", "-un"]).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
