//! The outside programs for XFS: which ones, and what `xfs_repair -n` says, read line by line.
//!
//! This file serves the black-box tests and the unit tests of `fs::xfs`.
//!
//! The programs are those of Debian 13, which know every feature; `fixtures/xfs/tools` brings them. Another
//! directory with them can be named in `REGAIN_XFSPROGS`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Seconds after which a program is stopped.
const SECONDS_MAX: &str = "120";

/// What the checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RepairVerdict {
    /// Every phase ran and nobody complained.
    Silent,
    /// Complaints, one per line.
    Findings(Vec<String>),
    /// The log has to be replayed first: the checker looks only at what is in place.
    Dirty,
    /// The checker did not check.
    NotAVerdict(String),
}

/// The path of a program of xfsprogs.
///
/// # Panics
/// If it is not there.
pub(crate) fn program(name: &str) -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/xfsprogs/bin");
    let directory = std::env::var_os("REGAIN_XFSPROGS").map_or_else(ours, PathBuf::from);
    let path = directory.join(name);
    assert!(path.is_file(), "{} is missing: run fixtures/xfs/tools (or tests/run)", path.display());
    path
}

/// Runs a program of xfsprogs, whatever its status.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", SECONDS_MAX]).arg(program(name)).args(arguments);
    command.env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
    // mkfs.xfs makes nothing below 300 MiB unless it is being tested.
    command.env("QA_CHECK_FS", "1").env("TEST_DIR", "/").env("TEST_DEV", "/");
    command.output().unwrap_or_else(|error| panic!("timeout (package coreutils): {error}"))
}

/// Runs commands of `xfs_db`, reading only, and returns what it printed.
///
/// # Panics
/// If it fails.
pub(crate) fn db(image: &Path, commands: &[&str]) -> String {
    let mut arguments = vec!["-r"];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    arguments.push(image.to_str().unwrap());
    let output = run("xfs_db", &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "xfs_db {commands:?}: {}: {errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checks the file system in `image`, whose log is in the file `log` if it is not in the image.
pub(crate) fn repair(image: &Path, log: Option<&Path>) -> RepairVerdict {
    repair_with(image, log, None)
}

/// As [`repair`], with the file of the realtime device.
pub(crate) fn repair_with(
    image: &Path,
    log: Option<&Path>,
    realtime: Option<&Path>,
) -> RepairVerdict {
    let mut arguments = vec!["-n"];
    for (option, path) in [("-l", log), ("-r", realtime)] {
        arguments.extend(path.map(|path| [option, path.to_str().unwrap()]).into_iter().flatten());
    }
    arguments.push(image.to_str().unwrap());
    let (mut status, mut text) = said("xfs_repair", &arguments);
    if text.contains(ONE_GROUP_LINE) {
        arguments.splice(0..0, ["-o", "force_geometry"]);
        (status, text) = said("xfs_repair", &arguments);
        text = text.replace(ONE_GROUP_LINE, "");
    }
    judge(status, &text)
}

/// Exit status and everything that was printed.
fn said(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run(name, arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Fails unless the checker says nothing about `image`.
pub(crate) fn assert_silent(image: &Path, what: &str) {
    let verdict = repair(image, None);
    assert_eq!(verdict, RepairVerdict::Silent, "{what}: {}", image.display());
}

/// Lines of the checker that only report progress, or the host.
const ROUTINE: &[&str] = &[
    "Cannot get host filesystem geometry.",
    "Repair may fail if there is a sector size mismatch between",
    "the image and the host filesystem.",
    "Phase 1 - find and verify superblock...",
    "Phase 2 - using internal log",
    "- zero log...",
    "- scan filesystem freespace and inode maps...",
    "- found root inode chunk",
    "Phase 3 - for each AG...",
    "- scan (but don't clear) agi unlinked lists...",
    "- process known inodes and perform inode discovery...",
    "- process newly discovered inodes...",
    "Phase 4 - check for duplicate blocks...",
    "- setting up duplicate extent list...",
    "- generate realtime summary info and bitmap...",
    "- check for inodes claiming duplicate blocks...",
    "No modify flag set, skipping phase 5",
    "Phase 6 - check inode connectivity...",
    "- traversing filesystem ...",
    "- traversal finished ...",
    "- moving disconnected inodes to lost+found ...",
    "Phase 7 - verify link counts...",
    END_LINE,
];

const END_LINE: &str = "No modify flag set, skipping filesystem flush and exiting.";
/// There is no second superblock to compare with, which takes a flag to accept.
const ONE_GROUP_LINE: &str = "Only one AG detected - cannot validate filesystem geometry.";
const DIRTY_LINE: &str =
    "ALERT: The filesystem has valuable metadata changes in a log which is being";

fn judge(status: Option<i32>, text: &str) -> RepairVerdict {
    let said: Vec<&str> = text.lines().map(str::trim).filter(|line| !is_routine(line)).collect();
    let is_complete = text.lines().any(|line| line == END_LINE);
    if said.contains(&DIRTY_LINE) {
        return RepairVerdict::Dirty;
    }
    match status {
        Some(0) if is_complete && said.is_empty() => RepairVerdict::Silent,
        Some(0 | 1) if is_complete && !said.is_empty() => {
            RepairVerdict::Findings(said.into_iter().map(str::to_owned).collect())
        }
        _ => RepairVerdict::NotAVerdict(format!("status {status:?}: {text}")),
    }
}

fn is_routine(line: &str) -> bool {
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_external_log = line.starts_with("Phase 2 - using external log on ");
    line.is_empty()
        || ROUTINE.contains(&line)
        || line.strip_prefix("- agno = ").is_some_and(is_number)
        || is_external_log
        || is_progress(line)
}

/// "- 03:03:14: zeroing log - 1872 of 1872 blocks done", which comes with stripes.
fn is_progress(line: &str) -> bool {
    let is_time = |text: &str| text.len() == 8 && text.bytes().filter(|b| *b == b':').count() == 2;
    let rest = line.strip_prefix("- ").and_then(|line| line.split_once(": "));
    let is_step = rest.is_some_and(|(time, step)| is_time(time) && step.ends_with(" done"));
    is_step || line == "- reporting progress in intervals of 15 minutes"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_no_finding() {
        let text = ROUTINE.join("\n");
        assert_eq!(judge(Some(0), &text), RepairVerdict::Silent);
        let text = format!("{text}\n        - agno = 12\n");
        assert_eq!(judge(Some(0), &text), RepairVerdict::Silent);
    }

    #[test]
    fn any_other_line_is_one_even_with_status_zero() {
        let finding = "sb_fdblocks 6821, counted 6822";
        let text = format!("{finding}\n{}", ROUTINE.join("\n"));
        assert_eq!(judge(Some(0), &text), RepairVerdict::Findings(vec![finding.to_owned()]));
    }

    #[test]
    fn a_checker_that_gives_up_is_no_verdict() {
        let text = "Found unsupported filesystem features.  Exiting now.";
        assert!(matches!(judge(Some(1), text), RepairVerdict::NotAVerdict(_)));
        assert!(matches!(judge(Some(1), END_LINE), RepairVerdict::NotAVerdict(_)));
    }
}
