//! The real program on a mounted root, killed before every single call that changes something, and the order in which
//! those calls come. strace delivers the kill at the entry of a call, so nothing here depends on time.

use crate::mounted_root::run;
use crate::support::rooted::{KEY_FILE, Rooted, assert_same};
use crate::support::tools;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// The calls by which an edit of a directory changes something.
const CALLS: [&str; 12] = [
    "mkdirat",
    "write",
    "pwrite64",
    "ftruncate",
    "fchown",
    "fchmod",
    "fsetxattr",
    "utimensat",
    "fsync",
    "renameat2",
    "linkat",
    "unlinkat",
];

/// What strace lets the kernel lack: `openat2`, and renames that exchange names or never replace one.
const OLD_KERNEL: [&str; 2] = ["inject=openat2:error=ENOSYS", "inject=renameat2:error=EINVAL"];

/// Runs the program under strace with `injections`, and gives its status, if it has one, and the log.
fn traced(rooted: &Rooted, line: &str, injections: &[&str]) -> (Option<i32>, String) {
    let log = rooted.scratch.join("trace");
    let calls = format!("trace={},renameat,?fchmodat2,openat,openat2", CALLS.join(","));
    let mut strace = tools::command("strace");
    strace.args(["-f", "-y", "-s", "4096", "-o", log.to_str().unwrap(), "-e", &calls]);
    for injection in injections {
        strace.args(["-e", injection]);
    }
    let output = strace
        .arg(env!("CARGO_BIN_EXE_regain"))
        .args(line.split(' '))
        .current_dir(rooted.scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    fs::remove_file(&log).unwrap();
    (output.status.code(), text)
}

/// How often `call` comes in `log`.
fn count(log: &str, call: &str) -> usize {
    let start = format!(" {call}(");
    log.lines().filter(|line| line.contains(&start)).count()
}

/// A root with a patch `p` that makes directories and files, replaces one with an attribute, and changes a mode.
fn with_patch() -> Rooted {
    let rooted = Rooted::new();
    let set = |path: &str, mode| {
        fs::set_permissions(rooted.root().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("home/admin", 0o777);
    // Where the file system of the test has attributes.
    let flags = rustix::fs::XattrFlags::empty();
    let _ = rustix::fs::setxattr(rooted.root().join(KEY_FILE), "user.note", b"kept", flags);
    let line = "key add root --user admin --user root --key key.pub --fix --json --patch-out p";
    let made = run(&rooted, line).success();
    assert_eq!(made["result"]["patch"]["runs"], 4, "{made}");
    rooted
}

fn killed_everywhere(lacking: &[&str], calls: &[&str]) {
    let rooted = with_patch();
    let before = rooted.inventory();
    let ways = ["apply p root --yes --no-undo --json", "undo p root --yes --json"];
    run(&rooted, ways[0]).success();
    let after = rooted.inventory();
    let mut kills = 0;
    for (start, line) in [(ways[1], ways[0]), (ways[0], ways[1])] {
        run(&rooted, start).success();
        let (status, log) = traced(&rooted, line, lacking);
        assert_eq!(status, Some(0), "{line}: {log}");
        for call in calls {
            for at in 1..=count(&log, call) {
                run(&rooted, start).success();
                let kill = format!("inject={call}:signal=SIGKILL:when={at}");
                let injections: Vec<&str> =
                    lacking.iter().copied().chain([kill.as_str()]).collect();
                let (status, log) = traced(&rooted, line, &injections);
                assert!(log.contains("killed by SIGKILL"), "{line}, {kill}: {status:?}: {log}");
                // Each kill is finished in one direction, and the next one in the other.
                let end = ways[kills % 2];
                let done = run(&rooted, end).success();
                assert_ne!(done["result"]["state_before"], "foreign", "{line}, {kill}");
                let wanted = if kills % 2 == 0 { &after } else { &before };
                assert_same(&rooted.inventory(), wanted, &format!("{line}, {kill}, then {end}"));
                kills += 1;
            }
        }
    }
    assert!(kills > 10, "only {kills} kills");
}

#[test]
fn killed_before_any_call_it_is_finished_or_taken_back() {
    killed_everywhere(&[], &CALLS);
}

/// Where the file system cannot exchange names: second names, and plain renames.
#[test]
fn killed_on_an_old_kernel_it_is_finished_or_taken_back() {
    killed_everywhere(&OLD_KERNEL, &["linkat", "renameat", "unlinkat", "fsync", "mkdirat"]);
}

/// The path that strace shows for the first descriptor of a line.
fn place(line: &str) -> &str {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path)
}

fn first_name(line: &str) -> &str {
    line.split('"').nth(1).unwrap_or_default()
}

/// A crash of the machine finds, for every name, what was there before or all of what comes after, and the undo file
/// in any case.
#[test]
fn what_a_name_leads_to_is_durable_before_the_name() {
    for lacking in [&[][..], &OLD_KERNEL[..]] {
        let rooted = Rooted::new();
        let root = rooted.root().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        let line = "key add root --user admin --user root --key key.pub --yes --undo-file undo";
        let (status, log) = traced(&rooted, line, lacking);
        assert_eq!(status, Some(0), "{log}");
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" = -1 ")).collect();
        let (mut synced, mut made, mut unsynced) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut moves, mut is_undo_named, mut is_undo_durable) = (0, false, false);
        for line in lines {
            let is = |call: &str| line.contains(&format!(" {call}("));
            let in_root = place(line).starts_with(root);
            let changes_name = is("renameat2") || is("renameat") || is("linkat") || is("unlinkat");
            let opens = is("openat") && line.contains("O_CREAT");
            if in_root && (changes_name || is("mkdirat") || opens) {
                assert!(is_undo_durable, "before the undo file: {line}");
            }
            if is("fsync") {
                synced.insert(place(line).to_owned());
                unsynced.remove(place(line));
                is_undo_durable |= is_undo_named && !in_root;
            } else if is("mkdirat") {
                made.insert(format!("{}/{}", place(line), first_name(line)));
            } else if changes_name && in_root {
                let path = format!("{}/{}", place(line), first_name(line));
                if !is("unlinkat") {
                    assert!(synced.contains(&path) || made.contains(&path), "not durable: {line}");
                    moves += 1;
                }
                unsynced.insert(place(line).to_owned());
            } else if changes_name {
                let temporary =
                    synced.iter().any(|path| path.split('.').next_back() == Some("tmp"));
                is_undo_named |= temporary;
            }
        }
        assert!(moves >= 3, "{lacking:?}: {moves} moves: {log}");
        assert!(unsynced.is_empty(), "{lacking:?}: names that are not durable in {unsynced:?}");
    }
}
