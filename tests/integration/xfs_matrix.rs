//! Shapes of XFS volumes times situations on them: for each image, the program edits it and four things are
//! asserted (see [`XfsBench::prove`]).
//!
//! A usual run takes every second situation of each shape; `REGAIN_MATRIX=all` takes all of them.
//!
//! With root and loop devices, `root_only_` tests let the kernel mount what was edited, read it, and use it.

use crate::support::image::{Content, Nodes};
use crate::support::root::{self, KEY_FILE, OLD_KEY, USER_ID};
use crate::support::scratch::Scratch;
use crate::support::tree::Tree;
use crate::support::xfs_bench::{self, Intended, XfsBench};
use crate::support::xfs_build::{XfsShape, every_xfs_shape};
use crate::support::xfs_mount::Mount;
use crate::support::{tools, xfs_image, xfs_tools, xfs_tree};
use std::path::Path;

/// What is on a volume, and what adding a key does there.
type Situation = fn(&XfsShape) -> (Nodes, Intended);

/// Each is an image for each shape.
const SITUATIONS: [(&str, Situation); 6] = [
    ("append", append),
    ("append_beyond", append_beyond),
    ("new_ssh", |_| new_ssh(0)),
    ("new_ssh_in_a_block", |_| new_ssh(30)),
    ("new_ssh_in_a_leaf", |_| new_ssh(200)),
    ("new_ssh_in_a_node", |shape| new_ssh(if shape.block_bytes() > 1024 { 1500 } else { 400 })),
];

fn takes_all() -> bool {
    std::env::var("REGAIN_MATRIX").is_ok_and(|which| which == "all")
}

/// The situations of the shape `name` in this run.
fn situations(name: &str) -> impl Iterator<Item = (&'static str, Situation)> {
    let (first, step) = if takes_all() { (0, 1) } else { (name.len() % 2, 2) };
    SITUATIONS.into_iter().skip(first).step_by(step)
}

macro_rules! cases {
    ($($name:ident: $mib:expr, $options:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let shape = XfsShape { size_mib: $mib, options: $options };
                for (situation, make) in situations(stringify!($name)) {
                    println!("{situation}");
                    let (nodes, intended) = make(&shape);
                    bench(&shape, &nodes).prove(&intended, |_, _| {});
                }
            }
        )*

        /// The kernel has no case-insensitive names any more.
        #[test]
        #[ignore = "needs root and loop devices"]
        fn root_only_the_kernel_takes_an_edit_of_every_shape() {
            let shapes = [$((stringify!($name), XfsShape { size_mib: $mib, options: $options })),*];
            for (name, shape) in shapes.iter().filter(|(name, _)| *name != "ascii_ci") {
                for (situation, make) in SITUATIONS {
                    println!("{name} {situation}");
                    let (nodes, intended) = make(shape);
                    let bench = bench(shape, &nodes);
                    bench.prove(&intended, |image, before| {
                        assert_the_kernel_agrees(&bench, image, None, before, &intended);
                    });
                }
            }
        }
    };
}
every_xfs_shape!(cases);

fn bench(shape: &XfsShape, nodes: &Nodes) -> XfsBench {
    let scratch = Scratch::new();
    let image = shape.build(&scratch, nodes);
    XfsBench::new(scratch, image)
}

/// The key still fits into the last block.
fn append(_: &XfsShape) -> (Nodes, Intended) {
    (root::with_key(), Intended::append(OLD_KEY))
}

/// The key starts in the last block and ends in a new one.
fn append_beyond(shape: &XfsShape) -> (Nodes, Intended) {
    let mut before = OLD_KEY.to_owned();
    before.push_str(&"#".repeat(shape.block_bytes() - before.len() - 20));
    before.push('\n');
    (root::with_key_file(&before), Intended::append(&before))
}

/// A new directory with a new file, in a home with so many other names.
fn new_ssh(count: usize) -> (Nodes, Intended) {
    let mut nodes = root::bare();
    root::crowd(&mut nodes, "/home/admin", count, 50);
    (nodes, Intended::create())
}

/// The kernel shows the same tree, replays nothing, writes to it, and the checker is silent afterwards.
fn assert_the_kernel_agrees(
    bench: &XfsBench,
    image: &Path,
    log: Option<&Path>,
    before: &Tree,
    intended: &Intended,
) {
    let copy = bench.scratch().join("copy.img");
    tools::copy_sparse(image, &copy);
    let place = bench.scratch().join("mount");
    let mount = Mount::new(&copy, log, &place, "rw");
    xfs_bench::assert_tree(before, &xfs_tree::of_kernel(mount.root()), intended);
    xfs_bench::use_it(mount.root());
    drop(mount);
    assert_eq!(xfs_tools::repair(&copy, log), xfs_tools::RepairVerdict::Silent, "after the kernel");
}

/// The volumes that may be edited: not version 4, nothing that lies on a second device, and with a key file.
fn is_editable(name: &str) -> bool {
    let is_other = ["v4", "metadir", "realtime", "external-log"];
    !is_other.iter().any(|prefix| name.starts_with(prefix))
        && xfs_image::recorded_tree(name).0.contains_key(KEY_FILE)
}

/// The volumes that the kernel filled: fragmented, with shared extents, attributes, lists, and many names. In those
/// with shared extents, another file has the block of the keys, too.
#[test]
fn every_populated_volume() {
    for name in xfs_image::names().iter().filter(|name| is_editable(name)) {
        println!("{name}");
        XfsBench::of_fixture(name).prove(&Intended::append(OLD_KEY), |_, _| {});
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_the_kernel_takes_an_edit_of_every_populated_volume() {
    let editable = |name: &&String| is_editable(name) && xfs_image::is_mountable(name);
    for name in xfs_image::names().iter().filter(editable) {
        println!("{name}");
        let bench = XfsBench::of_fixture(name);
        let intended = Intended::append(OLD_KEY);
        bench.prove(&intended, |image, before| {
            assert_the_kernel_agrees(&bench, image, None, before, &intended);
        });
    }
}

#[test]
fn version_4_is_read_and_refused_by_name() {
    for name in xfs_image::names().iter().filter(|name| name.starts_with("v4")) {
        let bench = XfsBench::of_fixture(name);
        let listed =
            bench.regain().run(&["key", "list", bench.image().to_str().unwrap(), "--json"]);
        let shown = listed.success().to_string();
        assert!(shown.contains("old@laptop"), "{name}: {shown}");
        bench.assert_refused(&[4], &["XFS version 4"]);
    }
}

#[test]
fn a_metadata_directory_is_refused_by_name() {
    XfsBench::of_fixture("metadir").assert_refused(&[4], &["metadir"]);
}

/// How many inodes a chunk has left decides whether a new chunk is made, and a sparse one.
#[test]
fn every_number_of_free_inodes() {
    for options in ["", "-m rmapbt=0,reflink=0,finobt=0,inobtcount=0 -i sparse=0", "-n parent=1"] {
        let shape = XfsShape { size_mib: 48, options };
        for count in (0..70).step_by(if takes_all() { 1 } else { 9 }) {
            println!("{options}, {count} files");
            let (nodes, intended) = new_ssh(count);
            bench(&shape, &nodes).prove(&intended, |_, _| {});
        }
    }
}

fn label_all(nodes: &mut Nodes) {
    nodes.directory("/etc/selinux", 0o755, 0);
    nodes.file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n", 0o644, 0);
    for (path, node) in &mut nodes.0 {
        let value = match path.as_str() {
            "/home/admin" => "unconfined_u:object_r:user_home_dir_t:s0",
            _ if path.starts_with("/home/admin/.ssh") => "unconfined_u:object_r:ssh_home_t:s0",
            _ => "system_u:object_r:etc_t:s0",
        };
        node.xattrs.push(("security.selinux".to_owned(), value.as_bytes().to_vec()));
    }
}

#[test]
fn a_labelled_volume() {
    for options in ["", "-n parent=1", "-m rmapbt=0,reflink=0,finobt=0,inobtcount=0 -i sparse=0"] {
        let shape = XfsShape { size_mib: 48, options };
        let mut nodes = root::bare();
        label_all(&mut nodes);
        let intended = Intended { label: Some("ssh_home_t"), ..Intended::create() };
        bench(&shape, &nodes).prove(&intended, |_, _| {});
        let mut nodes = root::with_key();
        label_all(&mut nodes);
        bench(&shape, &nodes).prove(&Intended::append(OLD_KEY), |_, _| {});
    }
}

const PLAIN: XfsShape = XfsShape { size_mib: 48, options: "" };

#[test]
fn a_key_file_behind_a_symbolic_link() {
    let mut nodes = root::bare();
    nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
    nodes.add(KEY_FILE, Content::Symlink("../keys".to_owned()), 0o777, USER_ID);
    nodes.file("/home/admin/keys", OLD_KEY, 0o600, USER_ID);
    let intended = Intended::append(OLD_KEY).at("/home/admin/keys");
    bench(&PLAIN, &nodes).prove(&intended, |_, _| {});
}

#[test]
fn an_empty_key_file() {
    bench(&PLAIN, &root::with_key_file("")).prove(&Intended::append(""), |_, _| {});
}

#[test]
fn key_files_of_every_length_around_a_block() {
    for len in [4000, 4090, 4094, 4095, 4096, 4097, 8191, 8192, 8193] {
        let mut before = "#".repeat(len - 1);
        before.push('\n');
        let nodes = root::with_key_file(&before);
        bench(&PLAIN, &nodes).prove(&Intended::append(&before), |_, _| {});
    }
}
