//! Patches on real files: stored, loaded, applied to an image, interrupted, undone.

use crate::support::scratch::Scratch;
use crate::support::sparse;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk as _, DiskEdit as _};
use regain::image;
use regain::patch::{
    self, Description, DurableUndo, FileNote, Outcome, Patch, State, TargetIdentity,
};
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Not a multiple of the sector size, so that the odd end is part of the test.
const IMAGE_BYTES: u64 = 64 * 1024 * 1024 + 100;

/// What is written where: inside a sector, over several, into a hole, at the odd end.
const EDITS: [(u64, &[u8]); 4] = [
    (1000, b"inside one sector"),
    (4096 - 5, b"over a boundary"),
    (32 * 1024 * 1024, &[7; 5000]),
    (IMAGE_BYTES - 3, b"end"),
];

/// A sparse image with some content, and the patch that puts [`EDITS`] into it.
fn image_and_patch(scratch: &Scratch) -> (PathBuf, Patch) {
    let path = scratch.join("disk.img");
    let file = File::create(&path).unwrap();
    file.set_len(IMAGE_BYTES).unwrap();
    let content: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    file.write_all_at(&content, 0).unwrap();
    drop(file);
    let overlay = Overlay::new(image::open(&path, None).unwrap().disk);
    for (offset, bytes) in EDITS {
        overlay.write_at(offset, bytes, &format!("edit at {offset}")).unwrap();
    }
    let note = FileNote {
        volume: "1".into(),
        path: "/root/.ssh/authorized_keys".into(),
        action: "create".into(),
        detail: String::new(),
    };
    let description = Description {
        regain_version: "0.1.0".into(),
        created: "2026-11-21T12:00:00Z".into(),
        command: "key add".into(),
        identity: TargetIdentity {
            size_bytes: overlay.len_bytes(),
            sector_size_bytes: 512,
            table_guid: None,
            volumes: Vec::new(),
            parts: Vec::new(),
        },
        files: vec![note],
    };
    let patch = Patch::new(description, overlay.changes().unwrap()).unwrap();
    (path, patch)
}

fn state(patch: &Patch, path: &Path) -> State {
    patch::state(patch, &*image::open(path, None).unwrap().disk).unwrap()
}

fn apply(patch: &Patch, path: &Path, undo_record: &DurableUndo) -> Outcome {
    let image = image::open(path, None).unwrap();
    let mut medium = image::writable::open(&image).unwrap();
    patch::apply(patch, &mut medium, undo_record, &mut |_, _| ()).unwrap()
}

fn undo(patch: &Patch, path: &Path) -> Outcome {
    let image = image::open(path, None).unwrap();
    let mut medium = image::writable::open(&image).unwrap();
    patch::undo(patch, &mut medium, &mut |_, _| ()).unwrap()
}

#[test]
fn a_patch_file_takes_an_image_there_and_back() {
    let scratch = Scratch::new();
    let (path, made) = image_and_patch(&scratch);
    let original = sparse::digest(&path);
    let blocks = path.metadata().unwrap().blocks();
    let record_path = scratch.join("undo.patch");
    let undo_record = patch::store(&made, &record_path).unwrap();
    let loaded = patch::load(&record_path).unwrap();
    assert_eq!(loaded, made);

    assert_eq!(state(&made, &path), State::Unapplied);
    let outcome = apply(&made, &path, &undo_record);
    assert_eq!((outcome.found, outcome.bytes_written), (State::Unapplied, made.len_bytes()));
    assert_eq!(state(&made, &path), State::Applied);
    for (offset, bytes) in EDITS {
        let found = image::open(&path, None).unwrap().disk.read_vec(offset, bytes.len()).unwrap();
        assert_eq!(found, bytes);
    }
    let edited = sparse::digest(&path);
    assert_eq!(apply(&made, &path, &undo_record).bytes_written, 0);
    assert_eq!(sparse::digest(&path), edited);
    // Sparse stays sparse: 64 MiB would be 131072 blocks of 512 bytes.
    assert!(path.metadata().unwrap().blocks() < blocks + 100);

    // The file alone is enough to take it back.
    assert_eq!(undo(&loaded, &path).found, State::Applied);
    assert_eq!(sparse::digest(&path), original);
    assert_eq!(undo(&loaded, &path).bytes_written, 0);
    assert_eq!(sparse::digest(&path), original);
}

#[test]
fn an_interrupted_run_is_finished_or_taken_back_from_the_file() {
    let scratch = Scratch::new();
    let (path, made) = image_and_patch(&scratch);
    let original = sparse::digest(&path);
    apply(&made, &path, &DurableUndo::waived());
    let edited = sparse::digest(&path);
    for whole_sectors in [1, 3, 9] {
        for is_undone in [false, true] {
            undo(&made, &path);
            // What a run leaves that was cut off inside its longest write.
            let torn = made.runs().iter().max_by_key(|run| run.after.len()).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.write_all_at(&torn.after[..whole_sectors * 512], torn.offset_bytes).unwrap();
            assert!(matches!(state(&made, &path), State::Partial { .. }));
            let expected = if is_undone {
                undo(&made, &path);
                &original
            } else {
                apply(&made, &path, &DurableUndo::waived());
                &edited
            };
            assert_eq!(&sparse::digest(&path), expected);
        }
    }
}

#[test]
fn an_image_that_was_changed_since_is_left_alone() {
    let scratch = Scratch::new();
    let (path, made) = image_and_patch(&scratch);
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"!", 1023).unwrap();
    let changed = sparse::digest(&path);
    let image = image::open(&path, None).unwrap();
    let mut medium = image::writable::open(&image).unwrap();
    let waived = DurableUndo::waived();
    let error = patch::apply(&made, &mut medium, &waived, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("the sector at 0x200"), "{error}");
    assert_eq!((error.exit_status(), error.target_modified()), (6, false));
    assert_eq!(sparse::digest(&path), changed);
}
