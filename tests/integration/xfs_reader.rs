//! Our reader shows every XFS volume as the kernel does, or xfs_db where the kernel cannot mount it.

use crate::support::scratch::Scratch;
use crate::support::tree::Tree;
use crate::support::xfs_mount::Mount;
use crate::support::{xfs_image, xfs_tools, xfs_tree};
use regain::fs::Timestamp;
use regain::fs::known;
use regain::fs::probe::ProbeKind;

#[test]
fn our_reader_shows_every_fixture_as_recorded() {
    let scratch = Scratch::new();
    for name in xfs_image::names() {
        let path = xfs_image::unpack(&scratch, &name);
        let overlay = xfs_image::overlay(&path);
        let fs = known::open(ProbeKind::Xfs, overlay, Timestamp::default());
        let fs = fs.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut found = xfs_tree::of_reader(fs.as_file_system());
        let mut recorded = xfs_image::recorded_tree(&name);
        if !xfs_image::is_mountable(&name) {
            as_extracted(&mut found);
            as_extracted(&mut recorded);
        }
        xfs_tree::assert_equal(&recorded, &found, &name);
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn root_only_the_kernel_reads_every_fixture_as_recorded() {
    let scratch = Scratch::new();
    for name in xfs_image::names().iter().filter(|name| xfs_image::is_mountable(name)) {
        let path = xfs_image::unpack(&scratch, name);
        let log = xfs_image::unpack_log(&scratch, name);
        let mount = Mount::new(&path, log.as_deref(), &scratch.join("mount"), "ro");
        xfs_image::assert_recorded(name, &xfs_tree::of_kernel(mount.root()));
        drop(mount);
        std::fs::remove_file(path).unwrap();
    }
}

/// Needs xfsprogs 7.2 in `REGAIN_XFSPROGS`: older ones cannot extract a tree.
#[test]
#[ignore = "needs root and newer programs"]
fn bless_only_xfs_db_extracts_every_other_fixture_as_recorded() {
    let scratch = Scratch::new();
    for name in xfs_image::names().iter().filter(|name| !xfs_image::is_mountable(name)) {
        let path = xfs_image::unpack(&scratch, name);
        // An XFS, for other file systems have no room for these attributes.
        let target = scratch.join("target.img");
        xfs_image::make(&target, 64, "");
        let mount = Mount::new(&target, None, &scratch.join("mount"), "rw");
        let root = mount.path("/root");
        std::fs::create_dir(&root).unwrap();
        xfs_tools::db(&path, &[&format!("rdump / {}", root.to_str().unwrap())]);
        let mut tree = xfs_tree::of_kernel(&root);
        as_extracted(&mut tree);
        xfs_image::assert_recorded(name, &tree);
        drop(mount);
    }
}

/// Drops what an extracted tree cannot show: set-id bits are lost, second names become files of their own, and the values of attributes
/// that lie in blocks of their own come out as zeros.
fn as_extracted(tree: &mut Tree) {
    for fields in tree.0.values_mut() {
        fields.remove("ctime");
        fields.remove("links");
        let mode = fields.get_mut("mode").unwrap();
        mode.replace_range(..1, "0");
        for (_, value) in fields.iter_mut().filter(|(key, _)| key.starts_with("xattr user.")) {
            let (len, _) = value.split_once(',').unwrap_or((value, ""));
            *value = len.to_owned();
        }
        if fields["type"] == "Directory" {
            for key in ["size", "mtime"] {
                fields.remove(key);
            }
        }
    }
}
