//! What it costs to find the SELinux label of a path by the rules of a whole policy, more than 6,000
//! expressions. The policy is made here: the shape of a targeted one, with none of its text.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    missing_docs
)]

use criterion::{Criterion, criterion_group, criterion_main};
use regain::fs::NodeKind;
use regain::fs::memory::MemoryTree;
use regain::fs::path::GuestPath;
use regain::login::selinux::{Labels, Lookup};
use std::fmt::Write as _;
use std::hint::black_box;

const FILES: &str = "/etc/selinux/targeted/contexts/files/file_contexts";

/// A policy: mostly expressions below /usr, /var, /etc and /opt, a few that may match anywhere.
fn policy() -> MemoryTree {
    let mut rules =
        "/.*\tsystem_u:object_r:default_t:s0\n/a?quota\\.(user|group)\t--\tx:x:quota_t:s0\n"
            .to_owned();
    for index in 0..6200 {
        let top =
            ["usr/lib(64)?", "var/lib", "etc", "usr/s?bin", "var/log", "opt", "run"][index % 7];
        let end = ["(/.*)?", "[^/]*\\.conf", "\\.so(\\.[^/]*)*", "-[0-9]+/.*", "/(start|stop)"]
            [index % 5];
        let kind = ["", "--\t", "-d\t"][index % 3];
        writeln!(rules, "/{top}/service{index}{end}\t{kind}system_u:object_r:type{index}_t:s0")
            .unwrap();
    }
    let mut homes = String::new();
    for home in ["/home/[^/]+", "/root"] {
        for index in 0..150 {
            writeln!(
                homes,
                "{home}/\\.program{index}(/.*)?\tunconfined_u:object_r:home{index}_t:s0"
            )
            .unwrap();
        }
        writeln!(homes, "{home}/.+\tunconfined_u:object_r:user_home_t:s0").unwrap();
        writeln!(homes, "{home}/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0").unwrap();
    }
    let mut tree = MemoryTree::new();
    tree.file("/etc/selinux/config", 0, 0o644, b"SELINUX=enforcing\nSELINUXTYPE=targeted\n")
        .file(FILES, 0, 0o644, rules.as_bytes())
        .file(&format!("{FILES}.homedirs"), 0, 0o644, homes.as_bytes())
        .file(&format!("{FILES}.subs_dist"), 0, 0o644, b"/var/home /home\n/lib /usr/lib\n");
    tree
}

fn labels(criterion: &mut Criterion) {
    let tree = policy();
    let mut group = criterion.benchmark_group("label by 6,500 rules");
    let path = GuestPath::new("/home/admin/.ssh/authorized_keys");
    group.bench_function("rules read, one path", |bench| {
        bench.iter(|| {
            let labels = Labels::read(&tree).unwrap();
            labels.look_up(&tree, black_box(&path), NodeKind::File).unwrap()
        });
    });
    let labels = Labels::read(&tree).unwrap();
    for path in [
        "/home/admin/.ssh/authorized_keys",
        "/var/home/admin/.ssh",
        "/etc/ssh/sshd_config.d/00-regain.conf",
        "/usr/lib64/service3003.so.1",
        "/unheard/of",
    ] {
        let path = GuestPath::new(path);
        let found = labels.look_up(&tree, &path, NodeKind::File).unwrap();
        assert!(matches!(found, Lookup::Label(_)), "{path}: {found:?}");
        group.bench_function(path.to_string(), |bench| {
            bench.iter(|| labels.look_up(&tree, black_box(&path), NodeKind::File).unwrap());
        });
    }
}

criterion_group!(benches, labels);
criterion_main!(benches);
