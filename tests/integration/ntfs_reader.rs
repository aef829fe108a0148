//! What our own reader shows of the NTFS volumes, against what ntfs-3g showed when they were made, and against the
//! `ntfs` crate.

use crate::support::ntfs_bench::CLOCK;
use crate::support::ntfs_tree::UNREADABLE;
use crate::support::{digest, ntfs_check, ntfs_image, ntfs_tree, tree};
use regain::disk::overlay::Overlay;
use regain::fs::ntfs::Ntfs;
use regain::fs::path::{GuestPath, find};
use regain::fs::{FileSystem, NodeKind};
use std::sync::Arc;

fn open(fixture: &str) -> Ntfs {
    let fs = Ntfs::open(Arc::new(Overlay::new(ntfs_image::disk(fixture))), CLOCK).unwrap();
    fs.check_writable().unwrap();
    fs
}

/// Small and large clusters, records and sectors of all sizes, an MFT with an attribute list.
const SHOWN: [&str; 5] = ["c512", "c64k", "s4k", "s4k-c64k", "mft"];

#[test]
fn everything_is_shown_as_ntfs_3g_shows_it() {
    for fixture in SHOWN {
        let fs = open(fixture);
        let ours = ntfs_tree::of_reader(&fs);
        let recorded = ntfs_image::recorded_tree(fixture);
        let paths: Vec<&String> = recorded.keys().collect();
        assert_eq!(ours.0.keys().collect::<Vec<_>>(), paths, "{fixture}");
        for (path, theirs) in &recorded {
            let fields = &ours.0[path];
            let what = format!("{fixture}: {path}");
            if theirs.kind == "other" {
                continue;
            }
            assert_eq!(fields["type"], theirs.kind, "{what}");
            // ntfs-3g has none for the root that mkntfs made.
            let is_same = fields["acl"].starts_with(&theirs.descriptor) || theirs.descriptor == "-";
            assert!(is_same, "{what}: security descriptor");
            if theirs.kind == "file" {
                assert_eq!(fields["size"], theirs.size.to_string(), "{what}");
                // ntfs-3g counts the short name as well.
                let same = ours.0.values().filter(|it| it["record"] == fields["record"]).count();
                assert_eq!(fields["links"], same.to_string(), "{what}");
                assert!([0, 1].contains(&(theirs.links - same as u64)), "{what}: {}", theirs.links);
                if let Some(content) = fields.get("content") {
                    assert!(content.starts_with(&theirs.content), "{what}: content");
                }
            }
            assert_names(&fs, path, theirs.short.as_deref(), &what);
        }
    }
}

/// WIN-11: names are found in any case, and by their short names.
fn assert_names(fs: &Ntfs, path: &str, short: Option<&str>, what: &str) {
    let found = |path: &str| find(fs, &GuestPath::new(path)).unwrap().map(|found| found.node);
    let node = found(path);
    assert!(node.is_some(), "{what}");
    assert_eq!(found(&path.to_ascii_uppercase()), node, "{what}: in capitals");
    assert_eq!(found(&path.to_ascii_lowercase()), node, "{what}: in small letters");
    if let Some(short) = short {
        let (parent, _) = path.rsplit_once('/').unwrap();
        assert_eq!(found(&format!("{parent}/{short}")), node, "{what}: short name");
    }
}

/// Volumes that the crate can read: with larger clusters it takes the numbers of index blocks for those of clusters,
/// and it cannot follow an MFT in several attributes.
#[test]
fn everything_is_shown_as_the_ntfs_crate_shows_it() {
    for fixture in ["c1k", "c4k"] {
        let ours = ntfs_tree::of_reader(&open(fixture));
        let theirs = ntfs_tree::of_crate(&ntfs_image::bytes(fixture));
        ntfs_tree::assert_agree(&ours, &theirs, &["size", "record"], fixture);
        // The two that judge edits agree as well.
        let checker = ntfs_check::tree(&ntfs_image::bytes(fixture));
        for (path, difference) in tree::diff(&checker, &theirs) {
            let is_unread = theirs.0.get(&path).is_some_and(|it| it["content"] == UNREADABLE);
            assert!(is_unread, "{fixture}: {path}: {difference:?}");
        }
    }
}

/// A directory of 10,000 names: every one is listed, and found.
#[test]
fn a_crowd_is_listed_and_found() {
    let fs = open("crowd");
    let crowd = find(&fs, &GuestPath::new("/crowd")).unwrap().unwrap().node;
    let mut count = 0;
    fs.read_dir(crowd, &mut |_| {
        count += 1;
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(count, 10_000);
    for index in (0..10_000).step_by(331) {
        let name = format!("Entry-{index:05}");
        let node = fs.lookup(crowd, name.as_bytes()).unwrap().unwrap();
        assert_eq!(fs.metadata(node).unwrap().kind, NodeKind::File);
    }
    assert_eq!(fs.lookup(crowd, b"entry-10000").unwrap(), None);
}

/// Parts of a file, also of one that is compressed or has holes, are the parts of the whole.
#[test]
fn parts_of_files() {
    let fs = open("c4k");
    for path in ["/forms/compressed/text", "/forms/sparse", "/lists/many-pieces", "/forms/resident"]
    {
        let node = find(&fs, &GuestPath::new(path)).unwrap().unwrap().node;
        let whole = fs.read(node, regain::fs::FILE_BYTES_MAX).unwrap();
        let mut joined = Vec::new();
        while joined.len() < whole.len() {
            let part = fs.read_at(node, joined.len() as u64, 7001).unwrap();
            assert!(!part.is_empty(), "{path}");
            joined.extend(part);
        }
        assert_eq!(digest::of_bytes(&joined), digest::of_bytes(&whole), "{path}");
        assert!(fs.read_at(node, whole.len() as u64, 10).unwrap().is_empty(), "{path}");
    }
}
