//! A virtual machine that runs one script under a real kernel, and ends.

use crate::support::scratch::Scratch;
use crate::support::tools;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Seconds after which a machine is stopped: without hardware for it, and among other work, it is slow.
const MACHINE_SECONDS_MAX: &str = "1800";

/// Memory of a machine, in MiB.
const MEMORY_MIB: &str = "1024";

/// The kernel ends at its first oops, saves the time of testing its ciphers, and believes in its clocks: on a busy host
/// they seem not to work.
const COMMAND_LINE: &str =
    "console=ttyS0 panic=-1 oops=panic cryptomgr.notests no_timer_check tsc=reliable";

/// How much of the log of a kernel is shown.
const LOG_LINES_SHOWN: usize = 50;

/// Whose kernel it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kernel {
    /// Linux 6.1 of Debian 12.
    Old,
    /// Linux 6.12 of Debian 13, which has ntfs3.
    New,
}

/// A machine before its start.
#[derive(Debug)]
pub(crate) struct Machine {
    kernel: Kernel,
    /// Each with whether what is written to it stays.
    disks: Vec<(PathBuf, bool)>,
    files: Vec<(PathBuf, String)>,
}

impl Machine {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self { kernel, disks: Vec::new(), files: Vec::new() }
    }

    /// Attaches disks, from /dev/vdb on.
    pub(crate) fn disks<P: AsRef<Path>>(mut self, disks: &[P]) -> Self {
        self.disks.extend(disks.iter().map(|disk| (disk.as_ref().to_owned(), true)));
        self
    }

    /// Attaches disks that are as before afterwards, whatever the machine writes.
    pub(crate) fn copies<P: AsRef<Path>>(mut self, disks: &[P]) -> Self {
        self.disks.extend(disks.iter().map(|disk| (disk.as_ref().to_owned(), false)));
        self
    }

    /// Gives the script a file, called `name` in its directory.
    pub(crate) fn file(mut self, path: &Path, name: &str) -> Self {
        self.files.push((path.to_owned(), name.to_owned()));
        self
    }

    /// What `script` says.
    ///
    /// # Panics
    /// If it fails.
    pub(crate) fn run(self, script: &str) -> Vec<String> {
        let (mut said, log) = self.start(script);
        assert_eq!(said.pop().as_deref(), Some("end 0"), "{script}\n{said:#?}\n{log}");
        said
    }

    /// As [`Machine::run`], for a script that has the power cut at its end.
    ///
    /// # Panics
    /// If it comes to another end.
    pub(crate) fn run_to_the_cut(self, script: &str) -> Vec<String> {
        let cut = "echo cut\necho b >/proc/sysrq-trigger\nsleep 600\n";
        let (mut said, log) = self.start(&format!("{script}\n{cut}"));
        assert_eq!(said.pop().as_deref(), Some("cut"), "{script}\n{said:#?}\n{log}");
        said
    }

    /// The lines that the script said, and the log of the kernel.
    fn start(self, script: &str) -> (Vec<String>, String) {
        let scratch = Scratch::new();
        let [job, log] = ["job", "log"].map(|name| scratch.join(name));
        self.pack(&scratch, script, &job);
        let place = place();
        let version = match self.kernel {
            Kernel::Old => "6.1",
            Kernel::New => "6.12",
        };
        let mut command = tools::timeout();
        command.args(["--kill-after=5", MACHINE_SECONDS_MAX, "qemu-system-x86_64"]);
        command.args(["-accel", accelerator(), "-cpu", "max", "-m", MEMORY_MIB]);
        command.args(["-nodefaults", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(place.join(format!("kernel-{version}")));
        command.arg("-initrd").arg(place.join(format!("initrd-{version}")));
        command.args(["-append", COMMAND_LINE]);
        command.arg("-serial").arg(format!("file:{}", log.display()));
        command.args(["-serial", "stdio"]);
        for (disk, stays) in [(job, false)].iter().chain(&self.disks) {
            let snapshot = if *stays { "off" } else { "on" };
            let disk = disk.display();
            let option = format!("if=virtio,format=raw,cache=unsafe,snapshot={snapshot}");
            command.arg("-drive").arg(format!("file={disk},{option}"));
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.lines().map(|line| line.trim_end().to_owned()).collect();
        let log = std::fs::read(log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let first = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
        let shown: Vec<&str> = log.lines().skip(first).collect();
        let errors = String::from_utf8_lossy(&output.stderr);
        (said, format!("{}\n{errors}\n{}", shown.join("\n"), output.status))
    }

    /// Writes the tar file with the script and its files, as a disk of whole sectors.
    fn pack(&self, scratch: &Scratch, script: &str, job: &Path) {
        let directory = scratch.join("files");
        std::fs::create_dir(&directory).unwrap();
        let library = include_str!("../../../fixtures/vm/library");
        std::fs::write(directory.join("script"), format!("{library}\n{script}")).unwrap();
        for (path, name) in &self.files {
            std::fs::copy(path, directory.join(name)).unwrap();
        }
        let (job_name, directory) = (job.to_str().unwrap(), directory.to_str().unwrap());
        tools::succeed("tar", &["-cf", job_name, "-C", directory, "."]);
        let file = File::options().write(true).open(job).unwrap();
        let len_bytes = file.metadata().unwrap().len();
        file.set_len(len_bytes.next_multiple_of(512)).unwrap();
    }
}

/// Where the kernels are; they are brought if they are not there.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(root.join("fixtures/vm/tools")).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "fixtures/vm/tools: {errors}");
        root.join("target/tools/vm")
    })
}

/// A kernel that was not made for it runs under KVM only where the processor helps.
fn accelerator() -> &'static str {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let helps = processor.split_whitespace().any(|word| word == "vmx" || word == "svm");
    let may_be_used = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if helps && may_be_used { "kvm" } else { "tcg,thread=multi" }
}

/// The name of the disk `number`, counted from 0.
pub(crate) fn device(number: usize) -> String {
    format!("/dev/vd{}", char::from(b'b' + u8::try_from(number).unwrap()))
}

/// A script out of its lines.
pub(crate) fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().fold(String::new(), |mut script, line| {
        writeln!(script, "{line}").unwrap();
        script
    })
}
