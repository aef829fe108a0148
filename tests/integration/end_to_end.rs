//! The whole story on a real root disk: Debian, made by mmdebstrap, into which nobody gets any more. The built
//! program adds a key; then the disk's own sshd, started from the edited disk on a loopback port, decides.
//!
//! A longer campaign boots such a disk under emulation and logs in over its network:
//! `tests/run -- --include-ignored campaign_` (needs qemu-system-x86; some minutes).
//!
//! Needs root, for the owners of the files and for chroot: `tests/run` uses sudo where it must. The tree is
//! built once and kept in `REGAIN_TEST_CACHE`, by default `target/test-cache`.

use crate::support::image::UUID;
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{oracle, sparse, tools};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Start of the root partition, in sectors of 512 bytes: Debian's cloud images leave room before it too.
pub(crate) const START_SECTOR: u64 = 65_536;
const USER: &str = "admin";
/// How long an emulated machine may take until its sshd answers.
const BOOT_SECONDS_MAX: u64 = 600;

/// A Debian to build, and the disk it goes on.
pub(crate) struct Debian {
    /// Name of its tar file in the cache.
    name: &'static str,
    /// Packages beside the smallest set.
    packages: &'static str,
    /// Shell commands run on the finished tree, which is `$1`.
    hooks: &'static [&'static str],
    disk_bytes: u64,
    /// Size of the root file system, as mke2fs takes it.
    root_size: &'static str,
}

const ADD_USER: &str = "chroot \"$1\" useradd --create-home --shell /bin/bash --uid 1000 admin";

/// Just enough for its sshd to run in a changed root.
pub(crate) const CHROOT: Debian = Debian {
    name: "debian-bookworm-sshd.tar",
    packages: "openssh-server",
    hooks: &[ADD_USER],
    disk_bytes: 512 * 1024 * 1024,
    root_size: "440M",
};

/// A machine that boots and takes an address from its network.
const BOOTABLE: Debian = Debian {
    name: "debian-bookworm-boot.tar",
    packages: "openssh-server,systemd-sysv,udev,linux-image-cloud-amd64",
    hooks: &[
        ADD_USER,
        "printf '[Match]\\nName=e*\\n[Network]\\nDHCP=yes\\n' > \"$1/etc/systemd/network/all.network\"",
        "chroot \"$1\" systemctl enable systemd-networkd",
        "cp -L \"$1/vmlinuz\" \"$1/boot/kernel\" && cp -L \"$1/initrd.img\" \"$1/boot/initrd\"",
    ],
    disk_bytes: 1536 * 1024 * 1024,
    root_size: "1400M",
};

#[test]
fn the_sshd_of_a_real_debian_accepts_the_new_key_and_the_old_one() {
    assert!(nix::unistd::geteuid().is_root(), "needs root: run tests/run, which uses sudo");
    let scratch = Scratch::new();
    let keys = ["old", "new", "wrong"].map(|name| key_pair(&scratch, name));
    let disk = locked_out_disk(&scratch, &CHROOT, &keys[0]);
    let before = sparse::digest(&disk);

    let regain = Regain::new(scratch.path());
    let document = regain.key_add(&disk, USER, &keys[1].with_extension("pub"), &[]).success();
    assert_eq!(document["result"]["changed"], true, "{document}");
    oracle::assert_clean(&disk, START_SECTOR * 512, "the edited disk");

    let root = extracted(&scratch, &disk);
    let server = Server::start(&root);
    assert_logins(server.port, &keys);
    drop(server);

    let undo_file = document["result"]["undo_file"].as_str().unwrap();
    let target = disk.to_str().unwrap();
    regain.run(&["undo", undo_file, target, "--yes", "--json"]).success();
    assert_eq!(sparse::digest(&disk), before, "undo");
}

#[test]
#[ignore = "campaign: boots a machine under emulation"]
fn campaign_an_edited_disk_boots_and_lets_both_keys_in() {
    assert!(nix::unistd::geteuid().is_root(), "needs root: run tests/run, which uses sudo");
    let scratch = Scratch::new();
    let keys = ["old", "new", "wrong"].map(|name| key_pair(&scratch, name));
    let disk = locked_out_disk(&scratch, &BOOTABLE, &keys[0]);
    let regain = Regain::new(scratch.path());
    regain.key_add(&disk, USER, &keys[1].with_extension("pub"), &[]).success();

    let volume = oracle::at(&disk, START_SECTOR * 512);
    for file in ["kernel", "initrd"] {
        let to = scratch.join(file);
        let command = format!("dump /boot/{file} {}", to.to_str().unwrap());
        tools::succeed("debugfs", &["-R", &command, &volume]);
    }
    let mut machine = Machine::start(&scratch, &disk);
    machine.wait_for_sshd();
    assert_logins(machine.port, &keys);
    drop(machine);
    oracle::assert_clean(&disk, START_SECTOR * 512, "the disk that was booted from");
}

/// The old and the new key log in; the wrong one does not.
pub(crate) fn assert_logins(port: u16, keys: &[PathBuf; 3]) {
    for (key, expected) in keys.iter().zip([true, true, false]) {
        let login = login(port, key);
        assert_eq!(login.status.success(), expected, "{}: {login:?}", key.display());
        let (answer, errors) = (text(&login.stdout), text(&login.stderr));
        if expected {
            assert_eq!(answer, "admin\n");
        } else {
            assert!(errors.contains("Permission denied"), "{errors}");
        }
    }
}

/// A fresh key pair; the path of its private half.
pub(crate) fn key_pair(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.join(name);
    let file = path.to_str().unwrap();
    tools::succeed("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file]);
    path
}

/// A GPT disk with the Debian tree, whose user has only the old key.
fn locked_out_disk(scratch: &Scratch, debian: &Debian, old_key: &Path) -> PathBuf {
    let root = scratch.join("root");
    std::fs::create_dir(&root).unwrap();
    let (tar, root_name) = (debian_tree(debian), root.to_str().unwrap());
    tools::succeed("tar", &["-xf", tar.to_str().unwrap(), "-C", root_name, "--numeric-owner"]);
    lock_out(&root, old_key);
    let disk = scratch.join("disk.img");
    std::fs::File::create(&disk).unwrap().set_len(debian.disk_bytes).unwrap();
    let name = disk.to_str().unwrap();
    let new = format!("--new=1:{START_SECTOR}:0");
    tools::succeed("sgdisk", &[&new, "--typecode=1:8304", "--new=15:2048:+16M", name]);
    let offset = format!("offset={}", START_SECTOR * 512);
    let options = ["-q", "-F", "-t", "ext4", "-b", "4096", "-U", UUID, "-E", &offset];
    tools::succeed("mke2fs", &[&options[..], &["-d", root_name, name, debian.root_size]].concat());
    std::fs::remove_dir_all(root).unwrap();
    disk
}

/// Gives the user of the tree at `root` the old key, and no other.
pub(crate) fn lock_out(root: &Path, old_key: &Path) {
    let ssh = root.join("home/admin/.ssh");
    std::fs::create_dir(&ssh).unwrap();
    let key_file = ssh.join("authorized_keys");
    std::fs::copy(old_key.with_extension("pub"), &key_file).unwrap();
    for (path, mode) in [(&ssh, 0o700), (&key_file, 0o600)] {
        std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
        set_mode(path, mode);
    }
}

/// The cached tree as a tar file; built by mmdebstrap when it is not there.
pub(crate) fn debian_tree(debian: &Debian) -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache");
    let cache = std::env::var_os("REGAIN_TEST_CACHE").map_or_else(default, PathBuf::from);
    std::fs::create_dir_all(&cache).unwrap();
    let tar = cache.join(debian.name);
    if !tar.exists() {
        let building = tempfile::Builder::new().suffix(".tar").tempfile_in(&cache).unwrap();
        let hooks = debian.hooks.iter().map(|hook| format!("--customize-hook={hook}"));
        let output = Command::new("mmdebstrap")
            .arg("--variant=minbase")
            .arg(format!("--include={}", debian.packages))
            .args(hooks)
            .arg("bookworm")
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
    // rdump brings files, directories and links.
    give_devices(&root);
    root
}

/// Makes the devices that sshd opens, and its directory.
pub(crate) fn give_devices(root: &Path) {
    for (name, minor) in [("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)] {
        let path = root.join("dev").join(name);
        let device = nix::sys::stat::makedev(1, minor);
        let kind = nix::sys::stat::SFlag::S_IFCHR;
        if path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        nix::sys::stat::mknod(&path, kind, nix::sys::stat::Mode::empty(), device).unwrap();
        set_mode(&path, 0o666);
    }
    std::fs::create_dir_all(root.join("run/sshd")).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The sshd of the disk, on a loopback port.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(root: &Path) -> Self {
        let port = free_port();
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A machine under emulation, whose sshd answers on a loopback port and which reaches nothing else. What it writes
/// goes to a copy of the disk in memory.
struct Machine {
    process: Child,
    port: u16,
}

impl Machine {
    fn start(scratch: &Scratch, disk: &Path) -> Self {
        let port = free_port();
        let process = Command::new("qemu-system-x86_64")
            .args([
                "-m",
                "512",
                "-accel",
                "tcg,thread=multi",
                "-nographic",
                "-no-reboot",
                "-snapshot",
            ])
            .args(["-append", "root=/dev/vda1 console=ttyS0 quiet no_timer_check tsc=reliable"])
            .args([
                "-nic",
                &format!("user,model=virtio,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
            ])
            .args(["-drive", &format!("file={},format=raw,if=virtio", disk.to_str().unwrap())])
            .arg("-kernel")
            .arg(scratch.join("kernel"))
            .arg("-initrd")
            .arg(scratch.join("initrd"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 is missing: apt-get install qemu-system-x86");
        Self { process, port }
    }

    /// Returns once sshd greets. The emulator accepts connections long before the machine does, so a
    /// connection counts only when something is said on it.
    fn wait_for_sshd(&mut self) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(BOOT_SECONDS_MAX) {
            if let Some(greeting) = greeting(self.port) {
                assert!(greeting.starts_with("SSH-2.0-OpenSSH"), "{greeting}");
                return;
            }
            assert_eq!(self.process.try_wait().unwrap(), None, "the emulator ended");
            // Refused at once while the machine still starts, which needs the processor more than we do.
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("no sshd after {BOOT_SECONDS_MAX} s");
    }
}

/// What a server on the loopback port says first, if there is one.
fn greeting(port: u16) -> Option<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).is_ok_and(|len| len > 0).then_some(line)
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Logs in with the private key at `key` and nothing else, and asks who we are.
fn login(port: u16, key: &Path) -> Output {
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
    let port = port.to_string();
    command.args(["-p", &port, &format!("{USER}@127.0.0.1"), "id", "-un"]).output().unwrap()
}
