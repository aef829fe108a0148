//! A populated volume with something of everything: crowds, depth, links, holes, attributes.

use super::image::{Content, ImageBuilder, Nodes};
use super::root;

/// `builder` with that content.
pub(crate) fn populated(builder: &ImageBuilder) -> ImageBuilder {
    let mut nodes = root::with_key();
    nodes.directory("/var/crowd", 0o755, 0);
    root::crowd(&mut nodes, "/var/crowd", 120, 60);
    root::crowd(&mut nodes, "/etc", 30, 5);
    add_files(&mut nodes);
    builder.clone().nodes(nodes).rehashed()
}

fn add_files(nodes: &mut Nodes) {
    nodes.directory("/var/lib", 0o755, 0);
    nodes.directory("/var/lib/deep", 0o2750, 33);
    nodes.directory("/var/lib/deep/er", 0o700, 70_000);
    nodes.directory("/var/empty", 0o555, 0);
    nodes.link("/var/lib/short", "../lib");
    nodes.link("/var/lib/long", &"deep/../".repeat(20));
    nodes.add("/var/lib/pipe", Content::Fifo, 0o600, 0);
    nodes.add("/var/lib/null", Content::Device, 0o666, 0);
    nodes.add("/var/lib/twin", Content::HardLink("/etc/passwd".to_owned()), 0o644, 0);
    for (index, size) in
        [1, 59, 60, 61, 160, 1000, 1024, 4095, 4096, 4097, 13_000, 70_000].iter().enumerate()
    {
        nodes.file(
            &format!("/var/lib/deep/s{index}"),
            vec![b'a' + index as u8; *size],
            0o640,
            1000,
        );
    }
    let mut sparse = vec![0; 90_000];
    sparse[40_000..40_010].copy_from_slice(b"0123456789");
    nodes.file("/var/lib/deep/er/sparse", sparse, 0o600, 0);
    for (path, len) in [("/etc/hostname", 30), ("/etc/group", 200), ("/var/lib/deep", 20)] {
        let node = nodes.0.get_mut(path).unwrap();
        node.xattrs.push(("security.selinux".to_owned(), vec![b'l'; len]));
        node.xattrs.push(("user.note".to_owned(), b"x".to_vec()));
    }
}
