//! Hostile trees as targets: whatever is in them, nothing outside is opened for writing, nothing of the host changes,
//! and nothing hangs. What the program opens and renames is observed with strace.

use crate::mounted_root::run;
use crate::support::regain::Regain;
use crate::support::root::OLD_KEY;
use crate::support::rooted::{KEY_FILE, Rooted, assert_same};
use crate::support::tools;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// System calls by which something could be changed, or opened for it.
const CALLS: &str = "trace=open,openat,openat2,creat,truncate,rename,renameat,renameat2,link,linkat,unlink,\
    unlinkat,mkdir,mkdirat,rmdir,symlink,symlinkat,mknod,mknodat,chmod,fchmodat,?fchmodat2,chown,lchown,fchownat,\
    setxattr,lsetxattr,removexattr,lremovexattr,utimensat,mount";

/// Replaces what is at `path` below the root by a link.
fn link(rooted: &Rooted, path: &str, target: &str) {
    let at = rooted.root().join(path);
    if at.is_dir() && !at.is_symlink() {
        fs::remove_dir_all(&at).unwrap();
    } else if at.symlink_metadata().is_ok() {
        fs::remove_file(&at).unwrap();
    }
    symlink(target, at).unwrap();
}

/// What alters a tree.
type Attack = fn(&Rooted);

/// The ways to lead out of a tree; each alters a fresh one.
fn attacks() -> Vec<(&'static str, Attack)> {
    fn host(rooted: &Rooted, path: &str) -> String {
        rooted.scratch.join("host").join(path).to_str().unwrap().to_owned()
    }
    vec![
        ("key file to a host file", |r| link(r, KEY_FILE, &host(r, "shadow"))),
        ("key file to a host file, relative", |r| {
            link(r, KEY_FILE, "../../../../host/shadow");
        }),
        ("key file by a long chain", |r| {
            link(r, KEY_FILE, &format!("{}host/shadow", "../".repeat(30)));
        }),
        ("key file to shadow", |r| link(r, KEY_FILE, "/etc/shadow")),
        ("directory of keys to the host", |r| link(r, "home/admin/.ssh", &host(r, ".ssh"))),
        ("directory of keys to that of root", |r| link(r, "home/admin/.ssh", "/root/.ssh")),
        ("directory of keys out and in", |r| {
            link(r, "home/admin/.ssh", "/../../../../../../host/.ssh");
        }),
        ("home to the host", |r| link(r, "home/admin", &host(r, ""))),
        ("home of all to the host", |r| link(r, "home", "../host")),
        ("etc to the host", |r| link(r, "etc", "/etc")),
        ("magic link to the root", |r| link(r, "home/admin", "/proc/self/root/home")),
        ("magic link to the working directory", |r| {
            link(r, "home/admin/.ssh", "/proc/self/cwd/host/.ssh");
        }),
        ("magic link inside a directory called proc", |r| {
            fs::create_dir_all(r.root().join("proc/self")).unwrap();
            symlink("/", r.root().join("proc/self/root")).unwrap();
            link(r, "home/admin", "/proc/self/root/host");
        }),
        ("a loop of links", |r| link(r, "home/admin/.ssh", "/home/admin/.ssh")),
        ("shadow to the host", |r| link(r, "etc/shadow", &host(r, "shadow"))),
        ("configuration to the host", |r| link(r, "etc/ssh/sshd_config", &host(r, "shadow"))),
        ("passwd to a pipe", |r| pipe(r, "etc/group")),
        ("key file is a pipe", |r| pipe(r, KEY_FILE)),
        ("configuration is a pipe", |r| pipe(r, "etc/ssh/sshd_config")),
        ("fstab is a socket", |r| {
            std::os::unix::net::UnixListener::bind(r.root().join("etc/fstab")).unwrap();
        }),
        ("key file is a hard link to a host file", |r| {
            let file = r.root().join(KEY_FILE);
            fs::remove_file(&file).unwrap();
            fs::hard_link(r.scratch.join("host/shadow"), file).unwrap();
        }),
        ("key file is a directory", |r| {
            fs::remove_file(r.root().join(KEY_FILE)).unwrap();
            fs::create_dir(r.root().join(KEY_FILE)).unwrap();
        }),
        ("homes with hostile names", |r| {
            use std::os::unix::ffi::OsStrExt as _;
            let names: [&[u8]; 6] =
                [b"\n", b"\x1b[2J", b"\xff\xfe", b"..\xe2\x80\xae..", &[b'n'; 255], b"-rf"];
            for directory in ["home", "etc/ssh", "etc/pam.d", "home/admin/.ssh"] {
                for name in names {
                    let name = std::ffi::OsStr::from_bytes(name);
                    fs::write(r.root().join(directory).join(name), OLD_KEY).unwrap();
                }
            }
        }),
        ("a home with .. in passwd", |r| {
            let passwd = r.root().join("etc/passwd");
            let text = fs::read_to_string(&passwd).unwrap();
            fs::write(passwd, text.replace("/home/admin", "/home/../../../../host")).unwrap();
        }),
        ("key files that sshd_config names outside", |r| {
            let line = format!("AuthorizedKeysFile {}\n", host(r, ".ssh/authorized_keys"));
            let file = r.root().join("etc/ssh/sshd_config");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(file, line + &text).unwrap();
        }),
    ]
}

fn pipe(rooted: &Rooted, path: &str) {
    let at = rooted.root().join(path);
    fs::remove_file(&at).unwrap();
    nix::unistd::mkfifo(&at, nix::sys::stat::Mode::S_IRWXU).unwrap();
}

/// Every attack against every command: it ends with a status of its own, and the host stays as it was.
#[test]
fn nothing_of_the_host_changes_whatever_is_in_the_tree() {
    for (what, attack) in attacks() {
        let rooted = Rooted::new();
        attack(&rooted);
        let host = rooted.host();
        let before = rooted.inventory();
        for line in ["inspect root", "key list root", "key check root --user admin --key key.pub"] {
            let found = run(&rooted, line);
            assert!(!found.stdout.contains("secret"), "{what}: {line} shows the host");
            assert!(!found.stdout.contains('\u{1b}'), "{what}: {line} drives the terminal");
        }
        assert_same(&rooted.inventory(), &before, what);
        for line in [
            "key add root --user admin --key key.pub --yes --json --force --fix --undo-file undo",
            "key revoke root --all --force --yes --json --undo-file undo2",
        ] {
            let done = run(&rooted, line);
            assert!(!done.stdout.contains("secret"), "{what}: {line} shows the host");
            assert_same(&rooted.host(), &host, what);
        }
        for name in ["undo2", "undo"] {
            if rooted.scratch.join(name).exists() {
                run(&rooted, &format!("undo {name} root --yes --json")).success();
            }
        }
        assert_same(&rooted.inventory(), &before, what);
        assert_same(&rooted.host(), &host, what);
    }
}

/// What strace saw of one line: the call, and the path that the last descriptor or the result leads to.
#[derive(Debug)]
struct Seen {
    line: String,
    call: String,
}

/// Both ways to look up a name: with `openat2`, and on a kernel that does not know it.
const WAYS: [Option<&str>; 2] = [None, Some("inject=openat2:error=ENOSYS")];

/// Runs the program under strace, and gives the calls of interest that succeeded.
fn traced(rooted: &Rooted, line: &str, way: Option<&str>) -> Vec<String> {
    let log = rooted.scratch.join("trace");
    let log_name = log.to_str().unwrap();
    let mut strace = tools::command("strace");
    strace.args(["-f", "-y", "-s", "4096", "-o", log_name, "-e", CALLS]);
    let output = strace
        .args(way.iter().flat_map(|injection| ["-e", injection]))
        .arg(env!("CARGO_BIN_EXE_regain"))
        .args(line.split(' '))
        .current_dir(rooted.scratch.path())
        .output()
        .unwrap();
    assert!(output.status.code().is_some_and(|code| code <= 6), "{line}: {output:?}");
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    fs::remove_file(&log).unwrap();
    let is_done = |line: &&str| ![" = -1 ", "+++", "---"].iter().any(|word| line.contains(word));
    text.lines().filter(is_done).map(str::to_owned).collect()
}

/// The calls that change something or open something for it.
fn observed(rooted: &Rooted, line: &str, way: Option<&str>) -> Vec<Seen> {
    let mut seen = Vec::new();
    for line in &traced(rooted, line, way) {
        let Some((_, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        let is_open = call.starts_with("open");
        let for_writing = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"];
        if !is_open || for_writing.iter().any(|flag| line.contains(flag)) {
            seen.push(Seen { line: line.to_owned(), call: call.to_owned() });
        }
    }
    seen
}

/// Every place that a call names is below one of `places`: descriptors as strace decodes them, and absolute paths.
fn assert_inside(seen: &Seen, places: &[PathBuf], what: &str) {
    let is_inside = |path: &str| {
        path.starts_with("/dev/pts")
            || path == "/dev/null"
            || path.starts_with("/proc/self/fd/")
            || places.iter().any(|place| Path::new(path).starts_with(place))
    };
    let mut named = 0;
    let mut rest = seen.line.as_str();
    while let Some((_, after)) = rest.split_once('<') {
        let Some((path, behind)) = after.split_once('>') else { break };
        if path.starts_with('/') {
            named += 1;
            assert!(is_inside(path), "{what}: {}", seen.line);
        }
        rest = behind;
    }
    for path in seen.line.split('"').skip(1).step_by(2) {
        assert!(!path.split('/').any(|part| part == ".."), "{what}: {}", seen.line);
        if path.starts_with('/') {
            assert!(is_inside(path), "{what}: {}", seen.line);
        }
    }
    let is_relative_to_cwd = seen.line.contains("AT_FDCWD");
    assert!(named > 0 || is_relative_to_cwd, "{what}: nothing is named in {}", seen.line);
}

/// Observed from outside: every call that writes, makes, renames or removes is about the root, or about the patch.
#[test]
fn nothing_outside_the_root_is_ever_opened_for_writing() {
    let mut writes = 0;
    let harmless: (&str, fn(&Rooted)) = ("an honest tree", |_| ());
    let all = std::iter::once(harmless).chain(attacks());
    for ((what, attack), way) in all.flat_map(|attack| WAYS.map(|way| (attack, way))) {
        let rooted = Rooted::new();
        attack(&rooted);
        let scratch = rooted.scratch.path().canonicalize().unwrap();
        // The undo file is made in the directory where the program runs, under a name of its own at first.
        let places = [scratch.join("root"), scratch.join("undo"), scratch.clone()];
        for line in [
            "inspect root",
            "key add root --user admin --key key.pub --yes --force --fix --undo-file undo",
            "undo undo root --yes",
        ] {
            for seen in observed(&rooted, line, way) {
                writes += 1;
                let is_read_only = line == "inspect root";
                assert!(!is_read_only || seen.line.contains("/dev/"), "{what}: {}", seen.line);
                assert_inside(&seen, &places, what);
                let host = format!("{}/host", scratch.display());
                assert!(!seen.line.contains(&host), "{what}: {}: {}", seen.call, seen.line);
            }
        }
    }
    assert!(writes > 80, "strace saw only {writes} calls");
}

/// Below the root, every name is looked up alone, and no link is followed: not with `openat2`, and not without.
#[test]
fn every_name_is_looked_up_alone_and_no_link_is_followed() {
    for way in WAYS {
        let rooted = Rooted::new();
        link(&rooted, "home/admin/.ssh/authorized_keys2", "authorized_keys");
        let root = rooted.root().canonicalize().unwrap();
        let root = root.to_str().unwrap();
        let mut lookups = 0;
        for line in [
            "inspect root",
            "key add root --user admin --key key.pub --yes --undo-file undo",
            "undo undo root --yes",
        ] {
            for seen in traced(&rooted, line, way) {
                let Some((_, rest)) = seen.split_once("open") else { continue };
                let place = rest.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                if !place.is_some_and(|(place, _)| place.starts_with(root)) {
                    continue;
                }
                let name = rest.split('"').nth(1).unwrap();
                let is_name =
                    !name.is_empty() && !name.contains('/') && name != ".." && name != ".";
                assert!(is_name, "{line}: {seen}");
                assert!(seen.contains("O_NOFOLLOW"), "{line}: {seen}");
                let makes = seen.contains("O_CREAT");
                assert!(!makes || seen.contains("O_EXCL"), "{line}: {seen}");
                if rest.starts_with("at2(") {
                    assert!(way.is_none(), "{line}: {seen}");
                    for flag in ["RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS", "RESOLVE_NO_MAGICLINKS"]
                    {
                        assert!(seen.contains(flag), "{line}: {seen}");
                    }
                } else {
                    // A file is made in one call either way.
                    assert!(way.is_some() || makes, "{line}: {seen}");
                }
                lookups += 1;
            }
        }
        assert!(lookups > 40, "{way:?}: only {lookups}");
    }
}

/// A second process exchanges the directory of keys for a link to the host, over and over, while keys are added and
/// taken back.
#[test]
fn links_that_come_and_go_during_the_run_lead_nowhere() {
    let rooted = Rooted::new();
    let ssh = rooted.root().join("home/admin/.ssh");
    let trap = rooted.root().join("home/admin/trap");
    symlink(rooted.scratch.join("host/.ssh"), &trap).unwrap();
    let host = rooted.host();
    let stop = AtomicBool::new(false);
    let rounds = std::env::var("REGAIN_SWAP_ROUNDS").ok().and_then(|text| text.parse().ok());
    let rounds: u32 = rounds.unwrap_or(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &ssh,
                    rustix::fs::CWD,
                    &trap,
                    rustix::fs::RenameFlags::EXCHANGE,
                )
                .unwrap();
            }
        });
        let regain = Regain::new(rooted.scratch.path());
        for round in 0..rounds {
            let undo = format!("undo{round}");
            let line = format!(
                "key add root --user admin --key key.pub --yes --json --force --undo-file {undo}"
            );
            let done = regain.run(&line.split(' ').collect::<Vec<_>>());
            assert!(!done.stdout.contains("key of the host"), "round {round} reads the host");
            if rooted.scratch.join(&undo).exists() {
                let line = format!("undo {undo} root --yes --json");
                regain.run(&line.split(' ').collect::<Vec<_>>());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_same(&rooted.host(), &host, "the host");
    // What a lost race left under names of ours can be finished or taken back once nobody interferes.
    if ssh.is_symlink() {
        fs::remove_file(&ssh).unwrap();
        fs::rename(&trap, &ssh).unwrap();
    } else {
        fs::remove_file(&trap).unwrap();
    }
    for round in (0..rounds).rev() {
        let undo = format!("undo{round}");
        if rooted.scratch.join(&undo).exists() {
            let undone = run(&rooted, &format!("undo {undo} root --yes --json"));
            assert!([0, 6].contains(&undone.status), "{undone:?}");
        }
    }
    assert_eq!(rooted.read(KEY_FILE), OLD_KEY);
    assert_same(&rooted.host(), &host, "the host");
}
