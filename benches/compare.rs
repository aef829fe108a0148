//! Runs the built binary side by side with what people use today, and prints ratios pair by pair.
//!
//! `cargo bench --bench compare` (as root, for the loop mount; `-- --pairs 30` for more). Not a test: it never
//! fails on a number. Each pair appends one new key to `authorized_keys` of `admin` on the same image: once with
//! `regain key add --yes` (undo patch and all syncs included), once with `mount -o loop` + append + `umount`, and on
//! ext4 once with `debugfs -w`, which cannot append and therefore removes and writes the file and sets its fields.
//! On NTFS it is a password reset through EC2Launch v2, which removes a marker: once with `regain password reset
//! --yes`, once with a mount by `ntfs-3g` (FUSE) + `rm` + `umount`.
//! Then it shows what one edit reads and writes on volumes of different size but equal content. All of it for
//! ext4, XFS and NTFS.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::exit,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

#[path = "../tests/integration/support/hive_build.rs"]
mod hive_build;

use hive_build::{HiveShape, TestKey, build};
use nix::sys::resource::{UsageWho, getrusage};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REGAIN: &str = env!("CARGO_BIN_EXE_regain");
const KIB: u64 = 1024;
const KEY_FILE: &str = "home/admin/.ssh/authorized_keys";
const AGENT: &str = "ProgramData/Amazon/EC2Launch";
const MARKER: &str = "ProgramData/Amazon/EC2Launch/state/.run-once";

/// The file systems that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ext4,
    Xfs,
    Ntfs,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Ntfs => "ntfs",
        }
    }

    /// The edit by the program.
    fn edit(self) -> &'static str {
        match self {
            Self::Ntfs => "password reset",
            _ => "key add",
        }
    }

    /// The arguments of the edit, but for the undo file.
    fn arguments<'a>(self, image: &'a str, key: &'a str) -> Vec<&'a str> {
        match self {
            Self::Ntfs => vec![REGAIN, "password", "reset", image, "--yes"],
            _ => vec![REGAIN, "key", "add", image, "--user", "admin", "--key", key, "--yes"],
        }
    }

    /// The same edit with the volume mounted.
    fn by_mount(self, image: &str, key: &str, mounted: &str) -> String {
        let append = format!("cat {key} >> {mounted}/{KEY_FILE} && umount {mounted}");
        match self {
            Self::Ext4 => format!("mount -o loop {image} {mounted} && {append}"),
            Self::Xfs => format!("mount -o loop,nouuid {image} {mounted} && {append}"),
            Self::Ntfs => format!(
                "ntfs-3g {image} {mounted} && rm {mounted}/{MARKER} && umount {mounted} && sync {image}"
            ),
        }
    }
}

/// What one run of a command cost.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    peak_bytes: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == "measure") {
        measure(&arguments[2..]);
        return;
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures only under `cargo bench`");
        return;
    }
    let pairs = arguments
        .iter()
        .position(|argument| argument == "--pairs")
        .map_or(15, |at| arguments[at + 1].parse().expect("--pairs takes a number"));
    let directory = tempfile::tempdir().unwrap();
    for kind in [Kind::Ext4, Kind::Xfs, Kind::Ntfs] {
        compare_sizes(directory.path(), kind);
        compare_tools(directory.path(), kind, pairs);
    }
    start_up(pairs);
}

/// Runs a command as the only child of this process, so that its peak memory can be told apart.
fn measure(command: &[String]) {
    let start = Instant::now();
    let status = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).status();
    let wall = start.elapsed();
    assert!(status.unwrap().success(), "{command:?} failed");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    println!("{} {}", wall.as_nanos(), usage.max_rss() as u64 * KIB);
}

fn cost(command: &[&str]) -> Cost {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("measure")
        .args(command)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().unwrap());
    let wall = Duration::from_nanos(numbers.next().unwrap());
    Cost { wall, peak_bytes: numbers.next().unwrap() }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the tool is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const FILES: [(&str, &str); 7] = [
    ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n"),
    ("etc/passwd", "root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/sh\n"),
    ("etc/group", "root:x:0:\nadmin:x:1000:\n"),
    ("etc/shadow", "root:*:19700:0:99999:7:::\nadmin:*:19700:0:99999:7:::\n"),
    ("etc/ssh/sshd_config", "UsePAM yes\n"),
    ("usr/bin/sh", "#!\n"),
    (KEY_FILE, "# the old key was lost\n"),
];

/// A sparse image of `size` with a Debian-like tree and one old key.
fn build_image(directory: &Path, kind: Kind, size: &str) -> PathBuf {
    if kind == Kind::Ntfs {
        return build_ntfs(directory, size);
    }
    let tree = directory.join(format!("tree-{}-{size}", kind.name()));
    for made in ["etc/ssh", "usr/bin", "home/admin/.ssh"] {
        fs::create_dir_all(tree.join(made)).unwrap();
    }
    for (path, content) in FILES {
        fs::write(tree.join(path), content).unwrap();
    }
    let image = directory.join(format!("{}-{size}.img", kind.name()));
    run(Command::new("truncate").args(["-s", size]).arg(&image));
    match kind {
        Kind::Ext4 => build_ext4(directory, &tree, &image),
        Kind::Xfs => build_xfs(directory, &tree, &image),
        Kind::Ntfs => {}
    }
    image
}

/// A sparse NTFS image of `size` with the parts of a Windows Server 2022 that a reset looks at.
fn build_ntfs(directory: &Path, size: &str) -> PathBuf {
    let image = directory.join(format!("ntfs-{size}.img"));
    run(Command::new("truncate").args(["-s", size]).arg(&image));
    run(Command::new("mkntfs").args(["-q", "-Q", "-F"]).arg(&image));
    let root = directory.join("ntfs");
    fs::create_dir_all(&root).unwrap();
    run(Command::new("ntfs-3g").arg(&image).arg(&root));
    let version = TestKey::new("CurrentVersion")
        .text("ProductName", "Windows Server 2022 Datacenter")
        .text("EditionID", "ServerDatacenter")
        .text("InstallationType", "Server")
        .text("CurrentBuild", "20348")
        .dword("CurrentMajorVersionNumber", 10)
        .dword("UBR", 2113);
    let state = TestKey::new("State").text("ImageState", "IMAGE_STATE_COMPLETE");
    let software = TestKey::new("ROOT")
        .at(r"Microsoft\Windows NT", version)
        .at(r"Microsoft\Windows\CurrentVersion\Setup", state);
    let service = TestKey::new("Amazon EC2Launch").dword("Start", 2).dword("Type", 16);
    let product = TestKey::new("ProductOptions").text("ProductType", "ServerNT");
    let system = TestKey::new("ROOT")
        .subkey(TestKey::new("Select").dword("Current", 1))
        .at(r"ControlSet001\Services", service)
        .at(r"ControlSet001\Control", product);
    let names = r"SAM\Domains\Account\Users\Names";
    let administrator = TestKey::new("Administrator").value("", 500, &[]);
    let sam = TestKey::new("ROOT").at(names, administrator);
    let write = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for (name, hive) in [("SYSTEM", system), ("SOFTWARE", software), ("SAM", sam)] {
        let bytes = build(&hive, &HiveShape::default()).bytes;
        write(&format!("Windows/System32/config/{name}"), &bytes);
    }
    let config = "version: 1.1\nconfig:\n  - stage: preReady\n    tasks:\n      - task: setAdminAccount\n        \
        inputs:\n          password:\n            type: random\n";
    write("Program Files/Amazon/EC2Launch/EC2Launch.exe", b"MZ");
    write(&format!("{AGENT}/config/agent-config.yml"), config.as_bytes());
    write(&format!("{AGENT}/state/previous-state.json"), b"{}");
    write(MARKER, b"");
    run(Command::new("umount").arg(&root));
    image
}

/// Puts the marker back, so that it can be removed again.
fn put_marker(image: &str, mounted: &str) {
    run(Command::new("ntfs-3g").args([image, mounted]));
    fs::write(Path::new(mounted).join(MARKER), b"").unwrap();
    run(Command::new("umount").arg(mounted));
}

fn build_ext4(directory: &Path, tree: &Path, image: &Path) {
    std::os::unix::fs::symlink("usr/bin", tree.join("bin")).unwrap();
    run(Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-E", "lazy_journal_init=1", "-d"])
        .arg(tree)
        .arg(image));
    let script = directory.join("owners");
    fs::write(
        &script,
        format!(
            "sif /usr/bin/sh mode 0100755\nsif /home/admin uid 1000\nsif /home/admin gid 1000\n\
             sif /home/admin/.ssh uid 1000\nsif /home/admin/.ssh mode 040700\n\
             sif /{KEY_FILE} uid 1000\nsif /{KEY_FILE} mode 0100600\n"
        ),
    )
    .unwrap();
    run(Command::new("debugfs").args(["-w", "-f"]).arg(&script).arg(image));
}

fn build_xfs(directory: &Path, tree: &Path, image: &Path) {
    let tree = text(tree);
    let file = |path: &str, mode: &str, owner: &str| {
        let name = path.rsplit('/').next().unwrap();
        format!("{name} {mode} {owner} {tree}/{path}\n")
    };
    let etc: String = FILES[..4].iter().map(|(path, _)| file(path, "---644", "0 0")).collect();
    let prototype = format!(
        "/\n0 0\nd--755 0 0\netc d--755 0 0\n{etc}ssh d--755 0 0\n{}$\n$\n\
         usr d--755 0 0\nbin d--755 0 0\n{}$\n$\nbin l--777 0 0 usr/bin\n\
         home d--755 0 0\nadmin d--755 1000 1000\n.ssh d--700 1000 1000\n{}$\n$\n$\n$\n",
        file(FILES[4].0, "---644", "0 0"),
        file(FILES[5].0, "---755", "0 0"),
        file(KEY_FILE, "---600", "1000 1000"),
    );
    let path = directory.join("prototype");
    fs::write(&path, prototype).unwrap();
    run(Command::new("mkfs.xfs").args(["-q", "-p"]).arg(&path).arg(image));
}

/// A public key that no earlier run has written.
fn new_key(directory: &Path, number: usize) -> PathBuf {
    let path = directory.join(format!("key-{number}"));
    if path.exists() {
        return path.with_extension("pub");
    }
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path));
    path.with_extension("pub")
}

/// Everything but the size is equal: what an edit reads, writes and needs must be, too.
fn compare_sizes(directory: &Path, kind: Kind) {
    println!("\n{}: one `{}`, by size of the volume", kind.name(), kind.edit());
    println!("{:>8} {:>12} {:>14} {:>16}", "volume", "bytes read", "bytes written", "peak memory");
    for (number, size) in ["8G", "1T"].into_iter().enumerate() {
        let image = build_image(directory, kind, size);
        let key = new_key(directory, number);
        let undo = directory.join(format!("{}-{size}.undo", kind.name()));
        let report = directory.join(format!("{}-{size}.json", kind.name()));
        let arguments = kind.arguments(text(&image), text(&key)).join(" ");
        let (undo, to) = (text(&undo), text(&report));
        let command = format!("{arguments} --json --undo-file {undo} > {to}");
        let peak_bytes = cost(&["sh", "-c", &command]).peak_bytes;
        let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        let io = &report["result"]["io"];
        let (read, written) = (io["bytes_read"].as_u64(), io["bytes_written"].as_u64());
        println!(
            "{size:>8} {:>8} KiB {:>10} KiB {:>12} KiB",
            read.unwrap() / KIB,
            written.unwrap() / KIB,
            peak_bytes / KIB
        );
    }
}

fn compare_tools(directory: &Path, kind: Kind, pairs: usize) {
    let image = build_image(directory, kind, "2G");
    let mount_point = directory.join("mounted");
    fs::create_dir_all(&mount_point).unwrap();
    let (image, mounted) = (text(&image), text(&mount_point));
    let mut costs: [Vec<Cost>; 3] = Default::default();
    for number in 0..pairs {
        let key = new_key(directory, 100 + number);
        let undo = directory.join(format!("{}-pair-{number}.undo", kind.name()));
        let (key, undo) = (text(&key), text(&undo));
        let ours = kind.arguments(image, key);
        costs[0].push(cost(&[ours.as_slice(), &["--undo-file", undo]].concat()));
        if kind == Kind::Ntfs {
            put_marker(image, mounted);
        }
        costs[1].push(cost(&["sh", "-c", &kind.by_mount(image, key, mounted)]));
        if kind == Kind::Ntfs {
            put_marker(image, mounted);
        }
        if kind != Kind::Ext4 {
            continue;
        }
        let by_debugfs = format!(
            "debugfs -R 'dump {KEY_FILE} {undo}.keys' {image} 2>/dev/null && cat {key} >> {undo}.keys \
             && printf 'rm {KEY_FILE}\\nwrite {undo}.keys {KEY_FILE}\\nsif {KEY_FILE} uid 1000\\n\
             sif {KEY_FILE} gid 1000\\nsif {KEY_FILE} mode 0100600\\n' | \
             debugfs -w {image} 2>/dev/null && sync {image}"
        );
        costs[2].push(cost(&["sh", "-c", &by_debugfs]));
    }
    println!("\n{}: the same edit, {pairs} pairs", kind.name());
    println!("{:>14} {:>12} {:>12} {:>14}", "tool", "median", "peak memory", "regain / tool");
    let tools = ["regain", "mount", "debugfs -w"].iter().zip(&costs);
    for (name, tool) in tools.filter(|(_, tool)| !tool.is_empty()) {
        let pairs = costs[0].iter().zip(tool);
        let ratio = median(pairs.map(|(a, b)| a.wall.as_secs_f64() / b.wall.as_secs_f64()));
        let wall = median(tool.iter().map(|cost| cost.wall.as_secs_f64() * 1e3));
        let peak = tool.iter().map(|cost| cost.peak_bytes).max().unwrap() / KIB;
        println!("{name:>14} {wall:>9.2} ms {peak:>8} KiB {ratio:>14.2}");
    }
}

fn start_up(pairs: usize) {
    let walls = (0..pairs).map(|_| cost(&[REGAIN, "--version"]).wall.as_secs_f64() * 1e3);
    println!("\nstart-up (`regain --version`): median {:.2} ms", median(walls));
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
