//! Reading a damaged ext file system: superblock, descriptors, directories, extents, xattrs, journal.
//!
//! Invariant: no panic, and an end: at most [`NODES_MAX`] nodes are asked for everything they have.
#![no_main]
use libfuzzer_sys::fuzz_target;
use regain::fs::ext::Ext;
use regain::fs::{FileSystem, NodeId, NodeKind, Timestamp};
use std::ops::ControlFlow;

const NODES_MAX: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let Ok(fs) = Ext::open(regain_fuzz::damaged(bytes), Timestamp::default()) else { return };
    let _ = fs.check_writable();
    let mut nodes = vec![fs.root()];
    let mut next = 0;
    while let Some(&node) = nodes.get(next) {
        next += 1;
        visit(&fs, node, &mut nodes);
    }
});

fn visit(fs: &Ext, node: NodeId, nodes: &mut Vec<NodeId>) {
    let Ok(metadata) = fs.metadata(node) else { return };
    let _ = fs.xattrs(node);
    match metadata.kind {
        NodeKind::File => drop(fs.read_at(node, 0, metadata.size_bytes.min(1 << 20) as usize)),
        NodeKind::Symlink => drop(fs.read_link(node)),
        NodeKind::Directory => {
            let _ = fs.lookup(node, b"a-rather-long-file-name-77");
            let _ = fs.read_dir(node, &mut |entry| {
                if nodes.len() < NODES_MAX && !nodes.contains(&entry.node) {
                    nodes.push(entry.node);
                }
                Ok(ControlFlow::Continue(()))
            });
        }
        _ => {}
    }
}
