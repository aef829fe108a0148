//! A home with access control lists: they are passed on to what is made in it, and the key is accepted.

use crate::support::image::{self, ImageBuilder};
use crate::support::oracle;
use crate::support::regain::Regain;
use crate::support::root::{self, KEY_FILE};
use crate::support::scratch::Scratch;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::fs::ext::Ext;
use regain::fs::path::{GuestPath, find};
use regain::fs::{FileEdit as _, FileSystem as _, Timestamp, acl};
use std::path::Path;
use std::sync::Arc;

/// user::rwx user:1234:rwx group::r-x mask::rwx other::r-x, in the form of the volume.
const LIST: [u8; 28] =
    [1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 7, 0, 0xd2, 4, 0, 0, 4, 0, 5, 0, 0x10, 0, 7, 0, 0x20, 0, 5, 0];

fn open(image: &Path) -> (Arc<Overlay>, Ext) {
    let bytes = std::fs::read(image).unwrap();
    let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))));
    let clock = Timestamp { seconds: image::BUILD_SECONDS, nanoseconds: 0 };
    let ext = Ext::open(overlay.clone(), clock).unwrap();
    (overlay, ext)
}

fn xattr(ext: &Ext, path: &str, name: &[u8]) -> Option<Vec<u8>> {
    let node = find(ext, &GuestPath::new(path)).unwrap().unwrap().node;
    ext.xattr(node, name).unwrap()
}

#[test]
fn a_default_list_of_the_home_is_passed_on() {
    for arguments in ["-I 256", "-I 128"] {
        let scratch = Scratch::new();
        let builder = ImageBuilder::new("ext4", 8).arguments(arguments).nodes(root::bare());
        let image = builder.build_in(&scratch, "disk.img");
        let (overlay, mut ext) = open(&image);
        let home = find(&ext, &GuestPath::new("/home/admin")).unwrap().unwrap().node;
        ext.set_xattr(home, acl::DEFAULT_NAME, Some(&LIST)).unwrap();
        let mut bytes = std::fs::read(&image).unwrap();
        for change in overlay.changes().unwrap() {
            let at = change.offset_bytes as usize;
            bytes[at..at + change.after.len()].copy_from_slice(&change.after);
        }
        std::fs::write(&image, bytes).unwrap();

        let key = scratch.join("new.pub");
        std::fs::write(&key, root::NEW_KEY).unwrap();
        Regain::new(scratch.path()).key_add(&image, root::USER, &key, &[]).success();
        oracle::assert_clean(&image, 0, "after the edit");
        let (_, ext) = open(&image);
        assert_eq!(xattr(&ext, "/home/admin/.ssh", acl::DEFAULT_NAME), Some(LIST.to_vec()));
        assert_eq!(xattr(&ext, KEY_FILE, acl::DEFAULT_NAME), None);
        // Mode 0700 and 0600: the mask lets nobody else in.
        for (path, owner) in [("/home/admin/.ssh", 7), (KEY_FILE, 6)] {
            let mut expected = LIST;
            (expected[6], expected[22], expected[26]) = (owner, 0, 0);
            assert_eq!(xattr(&ext, path, acl::ACCESS_NAME), Some(expected.to_vec()), "{path}");
        }
    }
}
