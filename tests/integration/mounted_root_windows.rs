//! Windows disks that ntfs-3g has mounted, as directories.
//!
//! Ignored by default, because mounting needs root. `cargo test -- --include-ignored root_only_` runs them.

use crate::support::ntfs_mount;
use crate::support::rooted::{assert_same, inventory};
use crate::support::windows_disk::{ALL, NONE, WindowsDisk};
use serde_json::json;

/// A Windows disk that ntfs-3g has mounted: the password is arranged as on the disk itself, and taken back.
#[test]
#[ignore = "needs root: FUSE mounts"]
fn root_only_windows_mounted_by_ntfs_3g_is_reset_and_taken_back() {
    for name in ALL.into_iter().filter(|name| *name != NONE) {
        let disk = WindowsDisk::new(name);
        let image = disk.volume_image();
        let place = disk.scratch.join("win");
        let mount = ntfs_mount::Mount::new(&image, &place, "rw");
        let document = disk.run("inspect win --json").success();
        assert_eq!(document["target"]["kind"], "directory");
        assert_eq!(document["result"]["systems"][0]["family"], "windows", "{name}");
        let on_disk = disk.run("inspect win.img --json").success();
        let system = |document: &serde_json::Value| {
            let system = &document["result"]["systems"][0];
            (system["name"].clone(), system["version"].clone(), system["agents"].clone())
        };
        assert_eq!(system(&document), system(&on_disk), "{name}");
        let before = inventory(mount.root());
        let reset = disk.run("password reset win --yes --json --undo-file undo").success();
        assert_eq!(reset["result"]["changed"], true, "{name}: {reset}");
        assert_ne!(inventory(mount.root()), before, "{name}");
        let again = disk.run("password reset win --yes --json").success();
        assert_eq!(again["result"]["changed"], false, "{name}: {again}");
        drop(mount);
        let mount = ntfs_mount::Mount::new(&image, &place, "rw");
        let again = disk.run("password reset win --yes --json").success();
        assert_eq!(again["result"]["changed"], json!(false), "{name}, mounted again");
        disk.run("undo undo win --yes --json").success();
        let after = inventory(mount.root());
        assert_same(&after, &before, name);
        drop(mount);
    }
}
