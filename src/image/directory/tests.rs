//! Lookups beneath a directory of the host, with and without `openat2`.
#![allow(clippy::disallowed_methods, reason = "a test makes its files as it likes")]

use super::*;
use stat::Kind;
use std::fs;
use std::os::unix::fs::symlink;

fn tree() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    fs::create_dir_all(root.join("etc/ssh")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::write(scratch.path().join("outside"), "host").unwrap();
    symlink("/etc/shadow", root.join("absolute")).unwrap();
    symlink("../outside", root.join("relative")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    scratch
}

fn both_ways(scratch: &tempfile::TempDir, check: impl Fn(&Directory)) {
    for has_openat2 in [true, false] {
        let directory = Directory::open(&scratch.path().join("root")).unwrap();
        if !has_openat2 {
            directory.forget_openat2();
        }
        check(&directory);
        assert_eq!(directory.has_openat2.get(), has_openat2);
    }
}

#[test]
fn one_name_leads_to_one_object_of_that_directory() {
    both_ways(&tree(), |directory| {
        let child = |name: &[u8]| directory.child(directory.root(), name).unwrap();
        let etc = child(b"etc").unwrap();
        assert_eq!(etc.stat.kind, Kind::Directory);
        let passwd = directory.child(&etc, b"passwd").unwrap().unwrap();
        assert_eq!(passwd.read_at(5, 3).unwrap(), b"x:0");
        assert_eq!(passwd.read_at(23, 100).unwrap(), b"sh\n");
        assert_eq!(passwd.read_at(99, 100).unwrap(), b"");
        for name in
            [b"..".as_slice(), b".", b"", b"etc/passwd", b"/etc", b"no", b"a\0b", &[b'n'; 300]]
        {
            assert!(child(name).is_none(), "{}", escape(name));
        }
    });
}

#[test]
fn links_are_objects_and_lead_nowhere() {
    both_ways(&tree(), |directory| {
        for (name, target) in
            [("absolute", "/etc/shadow"), ("relative", "../outside"), ("magic", "/proc/self/root")]
        {
            let link = directory.child(directory.root(), name.as_bytes()).unwrap().unwrap();
            assert_eq!(link.stat.kind, Kind::Symlink);
            assert_eq!(link.link_target().unwrap(), target.as_bytes());
            assert!(link.read_at(0, 1).is_err());
            assert!(directory.child(&link, b"x").is_err());
        }
    });
}

#[test]
fn pipes_are_seen_and_never_opened() {
    let scratch = tree();
    let path = scratch.path().join("root/pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    both_ways(&scratch, |directory| {
        let pipe = directory.child(directory.root(), b"pipe").unwrap().unwrap();
        assert_eq!(pipe.stat.kind, Kind::Fifo);
        assert!(pipe.read_at(0, 1).is_err());
        assert!(pipe.xattr_names().unwrap().is_empty());
    });
}

/// The object that was looked up is read, whatever its name leads to by then.
#[test]
fn a_handle_outlives_its_name() {
    let scratch = tree();
    let directory = Directory::open(&scratch.path().join("root")).unwrap();
    let etc = directory.child(directory.root(), b"etc").unwrap().unwrap();
    let passwd = directory.child(&etc, b"passwd").unwrap().unwrap();
    fs::remove_file(scratch.path().join("root/etc/passwd")).unwrap();
    symlink(scratch.path().join("outside"), scratch.path().join("root/etc/passwd")).unwrap();
    assert_eq!(passwd.read_at(0, 4).unwrap(), b"root");
    fs::rename(scratch.path().join("root/etc"), scratch.path().join("root/old")).unwrap();
    symlink("/etc", scratch.path().join("root/etc")).unwrap();
    assert!(directory.child(&etc, b"ssh").unwrap().is_some());
}

#[test]
fn the_running_system_and_what_the_kernel_makes_up_are_no_targets() {
    for (path, status) in [("/", 4), ("/proc/self/root", 4), ("/proc/self", 5), ("/no/such", 3)] {
        let error = Directory::open(Path::new(path)).unwrap_err();
        assert_eq!(error.exit_status(), status, "{path}: {error}");
    }
}
