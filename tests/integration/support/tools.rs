//! Outside programs: how they are run, and which Debian package has them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// Seconds after which an outside program is stopped: some checkers never end on damaged input.
const TOOL_SECONDS_MAX: &str = "120";

/// The package of each outside program, for the message when one is missing.
const PACKAGES: &[(&str, &str)] = &[
    ("chattr", "e2fsprogs"),
    ("chown", "coreutils"),
    ("cp", "coreutils"),
    ("cryptsetup", "cryptsetup-bin"),
    ("debugfs", "e2fsprogs"),
    ("dumpe2fs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("fdisk", "fdisk"),
    ("getfattr", "attr"),
    ("hivexsh", "libhivex-bin"),
    ("losetup", "mount"),
    ("lvm", "lvm2"),
    ("mdadm", "mdadm"),
    ("mke2fs", "e2fsprogs"),
    ("tune2fs", "e2fsprogs"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("btrfs", "btrfs-progs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mkfs.erofs", "erofs-utils"),
    ("mkfs.f2fs", "f2fs-tools"),
    ("mkfs.vfat", "dosfstools"),
    ("mksquashfs", "squashfs-tools"),
    ("mkfs.xfs", "xfsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    ("ntfs-3g", "ntfs-3g"),
    ("ntfscat", "ntfs-3g"),
    ("ntfsfix", "ntfs-3g"),
    ("ntfsinfo", "ntfs-3g"),
    ("mkpasswd", "whois"),
    ("ntfsresize", "ntfs-3g"),
    ("openssl", "openssl"),
    ("puttygen", "putty-tools"),
    ("python3", "python3"),
    ("qemu-img", "qemu-utils"),
    ("qemu-io", "qemu-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("setfacl", "acl"),
    ("setfattr", "attr"),
    ("sfdisk", "fdisk"),
    ("sgdisk", "gdisk"),
    ("strace", "strace"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("tar", "tar"),
    ("umount", "mount"),
    ("zstd", "zstd"),
];

/// A command for `tool` under a time limit, in the plain locale and in UTC.
///
/// # Panics
/// If the tool is not installed, with the name of its package.
pub(crate) fn command(tool: &str) -> Command {
    let package = PACKAGES.iter().find(|(name, _)| *name == tool).map(|(_, package)| *package);
    let package = package.unwrap_or_else(|| panic!("no package is known for {tool}"));
    let is_installed = path_of(tool).is_some();
    assert!(is_installed, "{tool} is missing: apt-get install {package} (or run tests/run)");
    let mut command = timeout();
    command.args(["--kill-after=5", TOOL_SECONDS_MAX, tool]);
    command.env("LC_ALL", "C").env("TZ", "UTC").env("PATH", search_path());
    command.stdin(Stdio::null());
    command
}

/// A command for `timeout`, which takes its options, and then the program that is to be run.
///
/// By its path: where a name has to be looked up in another PATH than ours, the standard library forks, which copies
/// the page tables of this process with all its images in memory, and then faults every page that is touched again.
/// That was half of the time of all tests.
pub(crate) fn timeout() -> Command {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PATH.get_or_init(|| path_of("timeout").expect("timeout of coreutils is missing")))
}

/// Runs `tool` and returns what it said, whatever its status.
pub(crate) fn run<S: AsRef<OsStr>>(tool: &str, args: &[S]) -> Output {
    command(tool).args(args).output().unwrap()
}

/// Runs `tool` and returns its standard output.
///
/// # Panics
/// If it fails.
pub(crate) fn succeed<S: AsRef<OsStr> + std::fmt::Debug>(tool: &str, args: &[S]) -> String {
    let output = run(tool, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {args:?}: {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Copies `from` to `to`; holes stay holes.
pub(crate) fn copy_sparse(from: &Path, to: &Path) {
    let (from, to) = (from.as_os_str(), to.as_os_str());
    let flags = ["--sparse=always", "--reflink=auto"].map(OsStr::new);
    succeed("cp", &[flags[0], flags[1], from, to]);
}

/// Administrators' directories are not on every user's path.
pub(crate) fn search_path() -> String {
    let inherited = std::env::var("PATH").unwrap_or_default();
    format!("{inherited}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// Where a program is, if it is installed.
fn path_of(tool: &str) -> Option<PathBuf> {
    let path = search_path();
    let places = path.split(':').map(|directory| Path::new(directory).join(tool));
    places.into_iter().find(|place| place.is_file())
}
