//! The files that decide about labels, cut at NUL bytes: a path, `file_contexts`, `.homedirs`, `.local`,
//! `.subs`, `.subs_dist`, `/etc/selinux/config`, `grub.cfg`, its environment block, a boot entry.
//!
//! Invariant: no panic, an end; a label is a word of the rules; a command line has a bound.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::memory::MemoryTree;
use regain::fs::path::GuestPath;
use regain::fs::{FileSystem as _, NodeKind};
use regain::guest::linux::KernelCommandLine;
use regain::login::selinux::{Labels, Lookup};

const RULES: &str = "/etc/selinux/targeted/contexts/files/file_contexts";

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|&byte| byte == 0);
    let path = GuestPath::new(parts.next().unwrap_or_default());
    let mut tree = MemoryTree::new();
    let suffixes = ["", ".homedirs", ".local", ".subs", ".subs_dist"];
    let names = suffixes.map(|suffix| format!("{RULES}{suffix}"));
    let others = [
        "/etc/selinux/config",
        "/boot/grub2/grub.cfg",
        "/boot/grub2/grubenv",
        "/boot/loader/entries/a.conf",
    ];
    let names = names.iter().map(String::as_str).chain(others);
    for (name, content) in names.zip(parts) {
        tree.file(name, 0, 0o644, content);
    }
    tree.file("/etc/passwd", 0, 0o644, b"");
    tree.label("/etc/passwd", "security.selinux", b"u:o:t:s0\0");
    let line = KernelCommandLine::read(&tree);
    assert!(line.words.iter().map(Vec::len).sum::<usize>() <= 16 * 1024);
    let labels = Labels::read(&tree).expect("files in memory");
    for kind in [NodeKind::File, NodeKind::Directory] {
        let found = labels.look_up(&tree, &path, kind).expect("files in memory");
        if let Lookup::Label(context) = found {
            assert!(!context.is_empty());
            assert!(bytes.windows(context.len()).any(|part| part == context));
        }
        labels.for_new(&tree, &path, kind, Some(tree.root())).expect("files in memory");
    }
});
