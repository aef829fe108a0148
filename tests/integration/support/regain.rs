//! Runs the built program, in an empty environment, under a memory and a time limit.

use super::tools;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Address space that the program may use, in KiB: 64 MiB, the bound for bad input, its own text included.
const MEMORY_KIB_MAX: u32 = 64 * 1024;

/// What a build maps more of its own text than that of profile `release` does, in KiB: without optimisation (profile
/// `dev`), and with a little (`ci`, which tests/run takes).
const DEV_TEXT_KIB: u32 = 16 * 1024;
const CI_TEXT_KIB: u32 = 8 * 1024;

/// Seconds after which a run counts as hung.
const RUN_SECONDS_MAX: &str = "300";

/// The clock of every run, in seconds since 1970.
pub(crate) const CLOCK_SECONDS: i64 = 1_750_000_000;

/// What one run of the program did.
#[derive(Debug)]
pub(crate) struct Run {
    /// Exit status; a signal counts as 128 and more, as in a shell.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    arguments: Vec<String>,
}

impl Run {
    /// The JSON document on standard output.
    ///
    /// # Panics
    /// If there is anything else, or not exactly one.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The document, if the run ended with status 0.
    ///
    /// # Panics
    /// If it did not.
    pub(crate) fn success(&self) -> Value {
        assert_eq!(self.status, 0, "{:?}:\n{}\n{}", self.arguments, self.stdout, self.stderr);
        let document = self.json();
        assert_eq!(document["schema"], "regain/1");
        assert_eq!(document["ok"], true, "{document}");
        document
    }

    /// The error of the document, if the run ended with one of `statuses`.
    ///
    /// # Panics
    /// If it did not, if the document disagrees with the status, or if the target may be modified.
    pub(crate) fn failure(&self, statuses: &[i32]) -> Value {
        let shown =
            format!("{:?}: {}\n{}\n{}", self.arguments, self.status, self.stdout, self.stderr);
        assert!(statuses.contains(&self.status), "not one of {statuses:?}: {shown}");
        let document = self.json();
        let error = &document["error"];
        assert_eq!(document["ok"], false, "{shown}");
        assert_eq!(error["exit_status"], self.status, "{shown}");
        assert_eq!(error["target_modified"], false, "{shown}");
        let kinds: &[&str] = match self.status {
            1 => &["io"],
            2 => &["usage"],
            3 => &["not_found", "ambiguous"],
            4 => &["refused"],
            5 => &["corrupt", "unsupported", "limit"],
            _ => &["mismatch"],
        };
        assert!(kinds.iter().any(|kind| error["kind"] == *kind), "{shown}");
        error.clone()
    }
}

/// Where and how the program is run.
#[derive(Debug, Clone)]
pub(crate) struct Regain {
    directory: PathBuf,
    memory_kib_max: u32,
}

impl Regain {
    /// Runs in `directory`, where undo files land.
    pub(crate) fn new(directory: &Path) -> Self {
        let more = match env!("CARGO_BIN_EXE_regain") {
            program if program.ends_with("/debug/regain") => DEV_TEXT_KIB,
            program if program.ends_with("/ci/regain") => CI_TEXT_KIB,
            _ => 0,
        };
        Self { directory: directory.to_owned(), memory_kib_max: MEMORY_KIB_MAX + more }
    }

    /// Sets another bound on the address space, in KiB.
    pub(crate) fn with_memory(mut self, memory_kib_max: u32) -> Self {
        self.memory_kib_max = memory_kib_max;
        self
    }

    /// Runs the program with `arguments`.
    ///
    /// # Panics
    /// If it panics, aborts or hangs.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Run {
        self.run_with(arguments, b"", &[])
    }

    /// Runs the program with `input` on standard input and more environment.
    ///
    /// # Panics
    /// If it panics, aborts or hangs.
    pub(crate) fn run_with<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
        input: &[u8],
        environment: &[(&str, &str)],
    ) -> Run {
        // A file, so that the program may stop reading whenever it wants.
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input).and_then(|()| stdin.rewind()).unwrap();
        let memory_kib_max = self.memory_kib_max;
        let limits = format!("ulimit -v {memory_kib_max} && ulimit -c 0 && exec \"$@\"");
        let output = tools::timeout()
            .args(["--kill-after=5", RUN_SECONDS_MAX, "sh", "-c", &limits, "sh"])
            .arg(env!("CARGO_BIN_EXE_regain"))
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("RUST_BACKTRACE", "0")
            .env("SOURCE_DATE_EPOCH", CLOCK_SECONDS.to_string())
            .envs(environment.iter().copied())
            .stdin(stdin)
            .output()
            .unwrap();
        let run = Run {
            status: output.status.code().unwrap_or(255),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            arguments: arguments
                .iter()
                .map(|s| s.as_ref().to_string_lossy().into_owned())
                .collect(),
        };
        assert!(!run.stderr.contains("panicked at"), "{run:?}");
        assert!((0..=6).contains(&run.status), "signal, time-out or unknown status: {run:?}");
        run
    }

    /// `regain key add IMAGE --user U --key K --yes --json` and more arguments.
    pub(crate) fn key_add(&self, image: &Path, user: &str, key: &Path, more: &[&str]) -> Run {
        let (image, key) = (image.to_str().unwrap(), key.to_str().unwrap());
        let mut arguments = vec!["key", "add", image, "--user", user, "--key", key];
        arguments.extend(["--yes", "--json"]);
        arguments.extend(more);
        self.run(&arguments)
    }
}
