//! What needs mounts: a full disk under the undo file, and an undo file on the target itself.
//!
//! Ignored by default, because mounting needs root. `cargo test -- --include-ignored root_only_` runs them; without
//! root they fail.

use crate::cli_commands::{Place, words};
use crate::support::mount::Mount;
use std::fs;

/// The disk under the undo file is full: nothing is written, the message names the file, nothing stays behind.
#[test]
#[ignore = "needs root to mount"]
fn root_only_a_full_disk_under_the_undo_file_changes_nothing() {
    let place = Place::new();
    let mount =
        Mount::new(&place.scratch.join("small"), &["-t", "tmpfs", "-o", "size=8k", "tmpfs"]);
    fs::write(mount.root().join("filler"), [1; 4096]).unwrap();
    let filler = fs::write(mount.root().join("more"), [1; 8192]);
    assert!(filler.is_err(), "the disk is not full");
    for more in ["--undo-file small/undo", "--patch-out small/patch"] {
        let line = format!("key add root.img --generate-key id --yes {more} --json");
        let error = place.failed(&line, 1);
        let name = more.split(' ').nth(1).unwrap();
        assert!(error["message"].as_str().unwrap().contains(name), "{error}");
        assert!(error["hint"].as_str().unwrap().contains("--undo-file"), "{error}");
        assert_eq!(place.disk_digest(), place.digest, "{more}");
        assert!(place.names("id").is_empty(), "{more}: a key is left");
        assert_eq!(fs::read_dir(mount.root()).unwrap().count(), 2, "{more}");
    }
    place.ok("key add root.img --generate-key id --yes --json");
}

/// A file system that is mounted from the target is no place for the undo file, the patch, or the key.
#[test]
#[ignore = "needs root to mount"]
fn root_only_nothing_is_put_on_the_target_itself() {
    let place = Place::new();
    let disk = place.scratch.join("root.img");
    let mount = Mount::new(
        &place.scratch.join("inside"),
        &["-o", "loop,ro,noload,offset=1572864,sizelimit=18874368", disk.to_str().unwrap()],
    );
    for more in
        ["--key rescue_key.pub --patch-out inside/p", "--generate-key inside/id --patch-out p"]
    {
        let error = place.failed(&format!("key add root.img {more} --json"), 4);
        assert!(error["message"].as_str().unwrap().ends_with("lies on root.img itself"), "{error}");
    }
    let add = "key add root.img --key rescue_key.pub --yes --json";
    let error = place.failed(&format!("{add} --undo-file inside/u"), 4);
    assert!(error["message"].as_str().unwrap().contains("in use by /dev/loop"), "{error}");
    let warned = place.regain.run(&words("key add root.img --key rescue_key.pub --dry-run"));
    assert!(warned.stderr.contains("writing would be refused"), "{}", warned.stderr);
    drop(mount);
    assert_eq!(place.disk_digest(), place.digest);
    place.ok(add);
}
