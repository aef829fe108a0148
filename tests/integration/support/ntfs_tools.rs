//! The outside programs for NTFS, and what they say, read line by line.
//!
//! None of them checks a whole volume: `ntfsfix -n` reads the boot sector and its backup, `$MFT` and its mirror;
//! `ntfsresize -i` counts the clusters of all runs against `$Bitmap`; `ntfsinfo` reads the system files.

use super::tools;
use std::path::Path;
use std::process::Output;

/// What a program found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NtfsVerdict {
    /// It looked at everything that it looks at, and said nothing.
    Silent,
    /// Complaints, one per line.
    Findings(Vec<String>),
    /// It did not check.
    NotAVerdict(String),
}

/// What the three programs say about the volume in `image`.
pub(crate) fn verdicts(image: &Path) -> [NtfsVerdict; 3] {
    let path = image.to_str().unwrap();
    let fix = tools::run("ntfsfix", &["-n", path]);
    let resize = tools::run("ntfsresize", &["-i", "-f", "-P", path]);
    let info = tools::run("ntfsinfo", &["-m", path]);
    [
        judge(&fix, "was processed successfully", FIX),
        judge(&resize, "Accounting clusters", RESIZE),
        judge(&info, "Free Clusters:", &[]),
    ]
}

/// The content of a file by its path, as `ntfscat` reads it.
pub(crate) fn cat(image: &Path, path: &str) -> Vec<u8> {
    let output = tools::run("ntfscat", &["-f", image.to_str().unwrap(), path]);
    assert!(output.status.success(), "ntfscat {path}: {output:?}");
    output.stdout
}

/// Lines of `ntfsfix` that are no findings.
const FIX: &[&str] = &[
    "Mounting volume... OK",
    "Processing of $MFT and $MFTMirr completed successfully.",
    "Checking the alternate boot sector... OK",
    "NTFS volume version is 3.1.",
    "NTFS partition ",
];

/// Lines of `ntfsresize` that are no findings. That there is no room to shrink is none of ours.
const RESIZE: &[&str] = &[
    "ntfsresize v",
    "Device name ",
    "NTFS volume version: 3.1",
    "Cluster size ",
    "Current volume size: ",
    "Current device size: ",
    "Checking filesystem consistency ...",
    "Accounting clusters ...",
    "Space in use ",
    "Collecting resizing constraints ...",
    "You might resize at ",
    "Please make a test run ",
    "WARNING: Every sanity check passed and only the dangerous operations left.",
    "ERROR: Volume is full. To shrink it, delete unused files.",
];

/// `marker` is what is printed only behind the check; with no `routine` lines everything is routine but errors.
fn judge(output: &Output, marker: &str, routine: &[&str]) -> NtfsVerdict {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let is_error = |line: &str| line.starts_with("ERROR") || line.contains("orrupt");
    let is_finding = |line: &&str| {
        let is_routine = routine.iter().any(|start| line.starts_with(start));
        !line.is_empty() && !is_routine && (!routine.is_empty() || is_error(line))
    };
    let lines = text.lines().map(|line| line.rsplit('\r').next().unwrap_or(line).trim());
    let findings: Vec<String> = lines.filter(is_finding).map(str::to_owned).collect();
    if !text.contains(marker) {
        return NtfsVerdict::NotAVerdict(text);
    }
    if findings.is_empty() { NtfsVerdict::Silent } else { NtfsVerdict::Findings(findings) }
}
