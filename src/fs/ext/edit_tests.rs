//! Edits under circumstances of their own: access control lists, shared attribute blocks, inherited flags and
//! projects, full link counts, foreign mappings. Judged by e2fsck, and by the kernel where root is at hand.

use super::inode::Inode;
use super::tests::{Bench, CLOCK, Image, edited, new_node, pattern, run};
use super::units::InodeNumber;
use super::*;
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileEdit as _, MetadataChange, NewNode, acl};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

const EXT4: &[&str] = &["-t", "ext4"];

fn inode(bench: &Bench, path: &str) -> Inode {
    bench.ext.inode(bench.node(path)).unwrap()
}

/// An image after commands of a writing debugfs.
fn prepared(size: &str, args: &[&str], commands: &[&str]) -> Image {
    let image = Image::new(size, args);
    for command in commands {
        run("debugfs", &["-w", "-R", command, image.path.to_str().unwrap()]);
    }
    image
}

fn plain(mode: u32) -> NewNode {
    NewNode { mode, uid: 7, gid: 70_000, xattrs: Vec::new() }
}

/// The caller decides about owner, group and mode, also in a set-group-ID directory.
#[test]
fn a_set_group_id_directory_gives_nothing_on() {
    let image = prepared("16M", EXT4, &["sif /home gid 5", "sif /home mode 042775"]);
    let mut bench = Bench::of("set-group-ID", image);
    let home = bench.node("/home");
    let directory = bench.ext.create_directory(home, b"d", &plain(0o700)).unwrap();
    let file = bench.ext.create_file(home, b"f", &plain(0o600), b"x").unwrap();
    for (node, mode) in [(directory, 0o700), (file, 0o600)] {
        let metadata = bench.ext.metadata(node).unwrap();
        assert_eq!((metadata.mode, metadata.uid, metadata.gid), (mode, 7, 70_000));
    }
    assert_eq!(bench.ext.metadata(home).unwrap().mode, 0o2775);
    bench.check("set-group-ID directory");
}

/// `chattr` flags of the directory: what a file takes over, and what only a directory does.
#[test]
fn flags_are_inherited() {
    // NODUMP, NOATIME, SYNC, DIRSYNC, and TOPDIR, which is not inherited, beside EXTENTS.
    let image = prepared("16M", EXT4, &["set_inode_field /home flags 0xb00c8"]);
    let mut bench = Bench::of("flags", image);
    let home = bench.node("/home");
    bench.ext.create_directory(home, b"d", &plain(0o700)).unwrap();
    bench.ext.create_file(home, b"f", &plain(0o600), b"x").unwrap();
    assert_eq!(inode(&bench, "/home/d").flags(), 0x9_00c8);
    assert_eq!(inode(&bench, "/home/f").flags(), 0x8_00c8);
    bench.check("inherited flags");
}

/// A directory with PROJINHERIT gives its project to what is made in it; the project pays.
#[test]
fn a_project_is_inherited_and_charged() {
    let args = ["-t", "ext4", "-O", "quota,project", "-I", "256", "-E", "quotatype=prjquota"];
    let commands = ["sif /home projid 4711", "sif /home flags 0x20080000"];
    let image = prepared("24M", &args, &commands);
    let path = image.path.to_str().unwrap().to_owned();
    // debugfs does not move the charge of the directory; e2fsck does.
    let output = std::process::Command::new("e2fsck").args(["-fy", &path]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let mut bench = Bench::of("project", image);
    bench.check("before");
    let home = bench.node("/home");
    let made = bench.ext.create_directory(home, b"d", &plain(0o700)).unwrap();
    bench.ext.create_file(made, b"f", &plain(0o600), &pattern(9000)).unwrap();
    for path in ["/home/d", "/home/d/f"] {
        assert_eq!(inode(&bench, path).project(), 4711, "{path}");
    }
    assert!(inode(&bench, "/home/d").has_flag(flag::PROJINHERIT));
    assert!(!inode(&bench, "/home/d/f").has_flag(flag::PROJINHERIT));
    bench.check("inherited project");
    bench.ext.remove(made, b"f").unwrap();
    bench.check("remove from a project");
}

/// Two files that share an attribute block, as the kernel makes them for equal attributes.
fn with_shared_block(args: &[&str]) -> Bench {
    let image = Image::new("24M", args);
    let mut bench = Bench::of("shared block", image);
    let etc = bench.node("/etc");
    let big = Xattr { name: b"user.big".to_vec(), value: vec![7; 600] };
    let new = NewNode { xattrs: vec![big], ..plain(0o644) };
    bench.ext.create_file(etc, b"one", &new, b"1").unwrap();
    bench.ext.create_file(etc, b"two", &plain(0o644), b"2").unwrap();
    let (one, mut two) = (inode(&bench, "/etc/one"), inode(&bench, "/etc/two"));
    let (number, mut block) = bench.ext.volume.read_attribute_block(&one).unwrap().unwrap();
    block.reference_count = 2;
    bench.ext.volume.write_attribute_block(&one, number, &block).unwrap();
    two.set_attribute_block(Some(number)).unwrap();
    two.add_blocks(1).unwrap();
    bench.ext.volume.store_inode(&mut two).unwrap();
    bench.check("two inodes share a block");
    bench
}

#[test]
fn a_shared_attribute_block_is_unshared() {
    let sizes: [&[&str]; 3] = [
        &["-t", "ext4", "-b", "1024"],
        &["-t", "ext3", "-b", "1024"],
        &["-t", "ext4", "-I", "128", "-O", "^metadata_csum"],
    ];
    for args in sizes {
        let mut bench = with_shared_block(args);
        let (one, two) = (bench.node("/etc/one"), bench.node("/etc/two"));
        bench.ext.set_xattr(two, b"user.big", Some(&[8; 500])).unwrap();
        bench.check("one of two changes");
        assert_eq!(bench.ext.xattr(one, b"user.big").unwrap(), Some(vec![7; 600]));
        assert_eq!(bench.ext.xattr(two, b"user.big").unwrap(), Some(vec![8; 500]));
        let block = |path: &str| inode(&bench, path).attribute_block();
        assert_ne!(block("/etc/one"), block("/etc/two"));

        let mut bench = with_shared_block(args);
        let (etc, one) = (bench.node("/etc"), bench.node("/etc/one"));
        bench.ext.remove(etc, b"two").unwrap();
        bench.check("one of two goes");
        assert_eq!(bench.ext.xattr(one, b"user.big").unwrap(), Some(vec![7; 600]));
        bench.ext.set_xattr(one, b"user.big", None).unwrap();
        bench.check("the last one goes");
        assert_eq!(inode(&bench, "/etc/one").attribute_block(), None);
    }
}

/// More attributes than a block holds, with the numbers.
#[test]
fn no_room_for_attributes_is_a_refusal() {
    let mut bench = Bench::new("attributes", "16M", &["-t", "ext4", "-b", "1024"]);
    let small = bench.node("/etc/small");
    let error = bench.ext.set_xattr(small, b"user.a", Some(&[1; 1000])).unwrap_err();
    let number = inode(&bench, "/etc/small").number;
    // A header of 32 bytes, an entry of 20, its end, and the value.
    let expected = format!(
        "no free bytes for the extended attributes of {number}: 1056 needed, 1024 available"
    );
    assert_eq!(error.to_string(), expected);
}

/// `dir_nlink`: a directory with too many subdirectories counts 1, and stays there. To make 65,000 of them takes
/// too long, and a count that is not theirs is refused, so the counting is asked alone.
#[test]
fn a_full_link_count_overflows_to_one() {
    let image = Image::new("24M", &["-t", "ext4", "-b", "1024"]);
    let path = image.path.to_str().unwrap().to_owned();
    let output = std::process::Command::new("e2fsck").args(["-fyD", &path]).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)));
    run("debugfs", &["-w", "-R", "sif /etc/many links_count 1", &path]);
    let mut bench = Bench::of("links", image);
    let mut many = inode(&bench, "/etc/many");
    assert!(many.has_flag(flag::INDEX));
    for (before, after) in [(64_998, 64_999), (64_999, 1), (1, 1)] {
        many.set_link_count(before).unwrap();
        bench.ext.add_subdirectory(&mut many).unwrap();
        assert_eq!(many.link_count(), after);
    }
    let many = bench.node("/etc/many");
    bench.ext.create_directory(many, b"one-more", &plain(0o755)).unwrap();
    assert_eq!(inode(&bench, "/etc/many").link_count(), 1);
    // e2fsck takes 1 in every indexed directory.
    bench.check("too many subdirectories to count");

    let bench = Bench::new("links", "24M", &["-t", "ext4", "-b", "1024", "-O", "^dir_nlink"]);
    let mut home = inode(&bench, "/home");
    home.set_link_count(64_999).unwrap();
    let error = bench.ext.add_subdirectory(&mut home).unwrap_err();
    assert_eq!(error.kind_name(), "limit");
}

/// A volume of clusters has no block maps.
#[test]
fn bigalloc_with_a_block_map_is_refused_by_name() {
    let args = ["-t", "ext4", "-O", "bigalloc", "-b", "4096", "-C", "16384"];
    let image = prepared("64M", &args, &["sif /etc/small flags 0", "sif /home flags 0"]);
    let mut bench = Bench::of("bigalloc", image);
    let small = bench.node("/etc/small");
    let expected = format!(
        "editing with bigalloc with a block map ({}) is not supported",
        inode(&bench, "/etc/small").number
    );
    let append = bench.ext.append(small, b"x").unwrap_err();
    let replace = bench.ext.replace(small, b"").unwrap_err();
    assert_eq!((append.to_string(), replace.to_string()), (expected.clone(), expected));
    assert_eq!(bench.overlay.changes().unwrap(), []);
}

/// Blocks of 64 KiB: larger than a page here, so that no kernel mounts them, but e2fsck checks them like all
/// others. Directory records then end at 65536, which does not fit their field.
#[test]
fn blocks_of_64_kib_are_edited() {
    for features in ["metadata_csum", "^metadata_csum"] {
        let args = ["-t", "ext4", "-b", "65536", "-O", features];
        let mut bench = Bench::new("64 KiB", "256M", &args);
        let home = bench.node("/home");
        for index in 0..700 {
            let name = format!("{index:0>200}");
            bench.ext.create_file(home, name.as_bytes(), &plain(0o600), b"").unwrap();
        }
        bench.check("700 names");
        assert!(inode(&bench, "/home").has_flag(flag::INDEX));
        let directory = bench.ext.create_directory(home, b"d", &new_node(0o700)).unwrap();
        let file = bench.ext.create_file(directory, b"f", &new_node(0o600), b"").unwrap();
        bench.ext.append(file, &pattern(200_000)).unwrap();
        bench.ext.set_xattr(file, b"user.big", Some(&[3; 3000])).unwrap();
        bench.check("a file with an attribute block");
        for index in 0..350 {
            bench.ext.remove(home, format!("{index:0>200}").as_bytes()).unwrap();
        }
        bench.ext.remove(directory, b"f").unwrap();
        bench.check("names go");
    }
}

/// A damaged list is damage, not a reason to drop it.
#[test]
fn a_damaged_default_list_is_corrupt() {
    let mut bench = Bench::new("list", "16M", EXT4);
    let home = bench.node("/home");
    bench.ext.set_xattr(home, acl::DEFAULT_NAME, Some(&[9; 12])).unwrap();
    let error = bench.ext.create_file(home, b"f", &plain(0o600), b"").unwrap_err();
    assert_eq!(error.kind_name(), "corrupt");
}

const LISTS: &[(&str, &str)] = &[
    ("named", "u:1234:rwx,g:50:r-x"),
    ("narrow", "u::r--,u:1234:rw-,g::---,m::r--,o::---"),
    ("minimal", "u::rwx,g::r-x,o::---"),
    ("masked", "u::rwx,g::rwx,m::r-x,o::r--"),
];
const MODES: &[u32] = &[0o600, 0o640, 0o664, 0o755, 0o000];

/// An image under `/dev/loop*`, unmounted on drop.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(image: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        run("mount", &["-o", "loop,acl", image.to_str().unwrap(), place.path().to_str().unwrap()]);
        Self(place)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.0.path().to_str().unwrap()]);
    }
}

/// Everything in the lists directories with its lists, as `getfacl` prints them.
fn lists_of(image: &Path) -> String {
    let mount = Mount::new(image);
    let text = run("getfacl", &["-R", "-n", "-p", mount.0.path().to_str().unwrap()]);
    text.replace(mount.0.path().to_str().unwrap(), "")
}

/// Creates one file and one directory per list and mode as the kernel would.
#[expect(clippy::disallowed_methods, reason = "the kernel writes to its own image")]
fn create_by_kernel(image: &Path) {
    let mount = Mount::new(image);
    for (name, _) in LISTS {
        for mode in MODES {
            let directory = mount.0.path().join("home").join(name);
            let file = directory.join(format!("f{mode:o}"));
            std::fs::File::options().write(true).create_new(true).mode(*mode).open(&file).unwrap();
            let made = directory.join(format!("d{mode:o}"));
            std::fs::create_dir(&made).unwrap();
            for path in [file, made] {
                let permissions = std::fs::Permissions::from_mode(*mode);
                std::fs::set_permissions(path, permissions).unwrap();
            }
        }
    }
}

/// What the kernel makes of lists when files are created and modes set, and what we make of them. The attributes
/// are equal byte by byte, and the kernel reads both in the same way. Packages: acl, mount.
#[test]
#[ignore = "needs root and loop devices"]
fn root_only_access_lists_are_inherited_as_by_the_kernel() {
    for args in [["-t", "ext4", "-I", "256"], ["-t", "ext4", "-I", "128"]] {
        let image = Image::new("24M", &args);
        {
            let mount = Mount::new(&image.path);
            for (name, list) in LISTS {
                let directory = mount.0.path().join("home").join(name);
                std::fs::create_dir(&directory).unwrap();
                run("setfacl", &["-d", "-m", list, directory.to_str().unwrap()]);
            }
        }
        let by_kernel = image.path.with_extension("kernel");
        std::fs::copy(&image.path, &by_kernel).unwrap();
        create_by_kernel(&by_kernel);

        let mut bench = Bench::of("lists", image);
        let owner = |mode| NewNode { mode, ..NewNode::default() };
        for (name, _) in LISTS {
            let directory = bench.node(&format!("/home/{name}"));
            for mode in MODES {
                let ext = &mut bench.ext;
                let name = format!("f{mode:o}");
                let file = ext.create_file(directory, name.as_bytes(), &owner(*mode), b"").unwrap();
                let name = format!("d{mode:o}");
                ext.create_directory(directory, name.as_bytes(), &owner(*mode)).unwrap();
                // Once more through a change of mode.
                for mode in [0o777, *mode] {
                    let change = MetadataChange { mode: Some(mode), ..Default::default() };
                    ext.set_metadata(file, &change).unwrap();
                }
            }
        }
        bench.check("lists");
        let ours = edited(&bench.image, &bench.overlay);
        assert_eq!(lists_of(&ours), lists_of(&by_kernel));
        let bytes = std::fs::read(&by_kernel).unwrap();
        let kernel = Ext::open(Arc::new(overlay_of(bytes)), CLOCK).unwrap();
        for (name, _) in LISTS {
            for mode in MODES {
                for kind in ["f", "d"] {
                    let path = format!("/home/{name}/{kind}{mode:o}");
                    let found = find(&kernel, &GuestPath::new(&path)).unwrap();
                    let mut expected = kernel.xattrs(found.unwrap().node).unwrap();
                    let mut made = bench.ext.xattrs(bench.node(&path)).unwrap();
                    expected.sort_by(|a, b| a.name.cmp(&b.name));
                    made.sort_by(|a, b| a.name.cmp(&b.name));
                    assert_eq!(made, expected, "{path}");
                }
            }
        }
    }
}

fn overlay_of(bytes: Vec<u8>) -> crate::disk::overlay::Overlay {
    crate::disk::overlay::Overlay::new(Arc::new(crate::disk::memory::MemoryDisk::new(bytes)))
}

/// Inodes whose number has no meaning never reach a disk.
#[test]
fn inode_numbers_are_bounded() {
    let bench = Bench::new("numbers", "16M", EXT4);
    let count = bench.ext.volume.superblock().inodes_count;
    for number in [0, count + 1, u32::MAX] {
        assert!(bench.ext.volume.read_inode(InodeNumber(number)).is_err(), "{number}");
    }
}
