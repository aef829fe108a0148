//! The outside checker: what `e2fsck -fn` says, read line by line.
//!
//! Exit status 0 is not a verdict: `e2fsck -n` also ends with it when it skipped the work, and it does not
//! mind a superblock whose free counts differ from the sums of the group descriptors. Both are looked at here.

use super::tools;
use std::path::Path;

/// What the checker found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the words of the house rules")]
pub(crate) enum Verdict {
    /// Every pass ran and nobody complained.
    Clean,
    /// Complaints, one per line.
    Findings(Vec<String>),
    /// The checker did not check.
    NotAVerdict(String),
}

/// Checks the ext file system that starts `offset_bytes` into `image`.
pub(crate) fn check(image: &Path, offset_bytes: u64) -> Verdict {
    let target = at(image, offset_bytes);
    let output = tools::run("e2fsck", &["-fn", &target]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut verdict = judge(output.status.code(), &stdout, &stderr, &target);
    if verdict == Verdict::Clean {
        let findings = free_count_findings(&target);
        if !findings.is_empty() {
            verdict = Verdict::Findings(findings);
        }
    }
    verdict
}

/// Fails unless the file system is clean.
pub(crate) fn assert_clean(image: &Path, offset_bytes: u64, what: &str) {
    let verdict = check(image, offset_bytes);
    assert_eq!(verdict, Verdict::Clean, "{what}: {}", image.display());
}

/// The name under which the e2fsprogs open a file system inside an image.
pub(crate) fn at(image: &Path, offset_bytes: u64) -> String {
    let path = image.to_str().unwrap();
    if offset_bytes == 0 { path.to_owned() } else { format!("{path}?offset={offset_bytes}") }
}

fn judge(status: Option<i32>, stdout: &str, stderr: &str, target: &str) -> Verdict {
    let passes = (1..=5).filter(|pass| stdout.contains(&format!("Pass {pass}:"))).count();
    let said: Vec<String> = stdout
        .lines()
        .chain(stderr.lines())
        .filter(|line| !is_routine(line, target))
        .map(str::to_owned)
        .collect();
    let has_summary = stdout.lines().any(|line| is_summary(line, target));
    match status {
        Some(0) if passes == 5 && has_summary && said.is_empty() => Verdict::Clean,
        Some(0 | 4) if passes == 5 && !said.is_empty() => Verdict::Findings(said),
        _ => Verdict::NotAVerdict(format!("status {status:?}, {passes} passes: {said:?}")),
    }
}

/// "e2fsck 1.47.0 (5-Feb-2023)", the headings of the passes, and the count of files at the end.
fn is_routine(line: &str, target: &str) -> bool {
    let is_heading = line.starts_with("Pass ") && line.contains(": Checking ");
    line.is_empty() || line.starts_with("e2fsck 1.") || is_heading || is_summary(line, target)
}

fn is_summary(line: &str, target: &str) -> bool {
    // A labelled volume is named by its label.
    let (name, rest) = line.rsplit_once(": ").unwrap_or(("", line));
    let is_count = rest.contains(" files (") && rest.ends_with(" blocks");
    is_count && (name == target || !name.contains(' '))
}

/// The free counts of the superblock against the sums over the groups.
fn free_count_findings(target: &str) -> Vec<String> {
    let text = tools::succeed("dumpe2fs", &[target]);
    let number = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse().ok()
    };
    let (mut blocks, mut inodes) = (0u64, 0u64);
    for line in text.lines().filter(|line| line.contains(" free inodes, ")) {
        let mut parts = line.trim().split(", ").map(|part| part.split(' ').next().unwrap());
        blocks += parts.next().unwrap().parse::<u64>().unwrap();
        inodes += parts.next().unwrap().parse::<u64>().unwrap();
    }
    let block_size = number("Block size:").unwrap();
    let cluster_blocks = number("Cluster size:").map_or(1, |size| size / block_size);
    let expected = [("Free blocks:", blocks * cluster_blocks), ("Free inodes:", inodes)];
    let wrong = expected.into_iter().filter(|(key, sum)| number(key) != Some(*sum));
    wrong.map(|(key, sum)| format!("superblock {key} {:?}, groups {sum}", number(key))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSES: &str = "Pass 1: Checking inodes, blocks, and sizes\n\
        Pass 2: Checking directory structure\nPass 3: Checking directory connectivity\n\
        Pass 4: Checking reference counts\nPass 5: Checking group summary information\n";

    #[test]
    fn status_zero_alone_is_not_a_verdict() {
        let summary = "a.img: 16/2048 files (6.3% non-contiguous), 1165/2048 blocks\n";
        let banner = "e2fsck 1.47.0 (5-Feb-2023)\n";
        let full = format!("{PASSES}{summary}");
        assert_eq!(judge(Some(0), &full, banner, "a.img"), Verdict::Clean);
        for (status, stdout) in
            [(Some(0), ""), (Some(0), summary), (Some(0), PASSES), (Some(8), &full), (None, &full)]
        {
            let verdict = judge(status, stdout, banner, "a.img");
            assert!(matches!(verdict, Verdict::NotAVerdict(_)), "{status:?} {stdout}: {verdict:?}");
        }
        let complaint = format!("{PASSES}Free blocks count wrong (883, counted=884).\n{summary}");
        assert_eq!(
            judge(Some(4), &complaint, banner, "a.img"),
            Verdict::Findings(vec!["Free blocks count wrong (883, counted=884).".to_owned()])
        );
    }
}
