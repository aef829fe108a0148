//! The patch file: private, as documented, and never trusted.

use super::*;
use crate::error::ErrorKind;
use crate::patch::format::FormatDefect;
use crate::patch::{AnyPatch, load_any, store_files};

#[test]
fn the_patch_file_is_private_and_loads_again() {
    let place = Place::new();
    let patch = place.patch();
    let path = place.scratch.path().join("undo.patch");
    let record = store_files(&patch, &path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert_eq!(load_any(&path).unwrap(), AnyPatch::Files(patch.clone()));
    let other = FilePatch::new(description(), Vec::new()).unwrap();
    assert!(apply(&other, &place.directory(), &record, &mut |_, _| ()).is_err());
    apply(&patch, &place.directory(), &record, &mut |_, _| ()).unwrap();
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    bytes
}

/// The layout is a promise: what this file holds stays readable for ever.
#[test]
fn the_layout_is_as_documented() {
    let record = Record {
        path: b"/a".to_vec(),
        how: How::Create,
        before: None,
        after: Some(Side {
            kind: Kind::File,
            mode: 0o640,
            uid: 1,
            gid: 2,
            modified: crate::image::directory::stat::Time { seconds: -1, nanoseconds: 5 },
            xattrs: vec![(b"user.x".to_vec(), b"y".to_vec())],
            content: Content::Whole(b"z".to_vec()),
        }),
    };
    let patch = FilePatch::new(description(), vec![record]).unwrap();
    let bytes = encode(&patch).unwrap();
    let json = serde_json::to_vec(patch.description()).unwrap().len();
    assert_eq!(&bytes[..12], b"RGNPATCH\x02\0\0\0");
    assert_eq!(bytes[12..20], (bytes.len() as u64).to_le_bytes());
    assert_eq!(bytes[20..24], (json as u32).to_le_bytes());
    let expected = [
        &[0, 2, 0][..],
        b"/a",
        &[2, 0, 0xa0, 1, 1, 0, 0, 0, 2, 0, 0, 0],
        &[0xff; 8],
        &[5, 0, 0, 0, 1, 0, 6, 0],
        b"user.x",
        &[1, 0, 0, 0],
        b"y",
        &[1, 1, 0, 0, 0, 0, 0, 0, 0],
        b"z",
    ]
    .concat();
    assert_eq!(bytes[28 + json..bytes.len() - 32], expected);
    assert_eq!(decode(&bytes).unwrap(), patch);
}

#[test]
fn damage_anywhere_is_told_and_never_panics() {
    let bytes = encode(&Place::new().patch()).unwrap();
    for len in (0..bytes.len()).step_by(97).chain(0..40) {
        assert!(decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    for index in (0..bytes.len()).step_by(53) {
        let mut damaged = bytes.clone();
        damaged[index] ^= 1 << (index % 8);
        assert!(decode(&damaged).is_err(), "bit in {index}");
        // Behind a good digest: never a panic, and what is accepted is sound.
        if let Ok(patch) = decode(&sealed(damaged)) {
            check_records(patch.records()).unwrap();
        }
    }
    let mut other = bytes.clone();
    other[8] = 1;
    assert!(matches!(decode(&sealed(other)).unwrap_err().kind(), ErrorKind::Unsupported(_)));
    let mut huge = bytes;
    huge[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = decode(&sealed(huge)).unwrap_err();
    let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
    assert!(matches!(corrupt.defect.downcast_ref(), Some(FormatDefect::Ends { .. })), "{error}");
}

#[test]
fn each_broken_promise_about_records_has_its_defect() {
    let side = |kind, content| Side {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: crate::image::directory::stat::Time::default(),
        xattrs: Vec::new(),
        content,
    };
    let file = || Some(side(Kind::File, Content::Whole(b"x".to_vec())));
    let record = |path: &str, how, before, after| Record {
        path: path.as_bytes().to_vec(),
        how,
        before,
        after,
    };
    let pieces = |size_bytes, places: &[(u64, usize)]| {
        let piece = |&(offset_bytes, len)| Piece { offset_bytes, bytes: vec![1; len] };
        let pieces = places.iter().map(piece).collect();
        Some(side(Kind::File, Content::Pieces { size_bytes, pieces }))
    };
    let in_place = |before, after| record("/a", How::InPlace, before, after);
    let mut bad_mode = file();
    bad_mode.as_mut().unwrap().mode = 0o10_000;
    let mut bad_xattr = file();
    bad_xattr.as_mut().unwrap().xattrs = vec![(b"user.\0".to_vec(), Vec::new())];
    for (record, expected) in [
        (record("a", How::Create, None, file()), RecordDefect::Path),
        (record("/a//b", How::Create, None, file()), RecordDefect::Path),
        (record("/a/../b", How::Create, None, file()), RecordDefect::Path),
        (record("/a/./b", How::Create, None, file()), RecordDefect::Path),
        (record("/a/", How::Create, None, file()), RecordDefect::Path),
        (record("/a\0", How::Create, None, file()), RecordDefect::Path),
        (record("/", How::Create, None, file()), RecordDefect::Root),
        (record("/a", How::Create, file(), file()), RecordDefect::Sides),
        (record("/a", How::Create, None, None), RecordDefect::Sides),
        (record("/a", How::Replace, None, file()), RecordDefect::Sides),
        (record("/a", How::Remove, file(), file()), RecordDefect::Sides),
        (record("/a", How::Metadata, file(), file()), RecordDefect::Sides),
        (record("/a", How::Times, None, file()), RecordDefect::Sides),
        (
            record("/a", How::Create, None, Some(side(Kind::Fifo, Content::Same))),
            RecordDefect::Sides,
        ),
        (
            record("/a", How::Remove, Some(side(Kind::Directory, Content::Same)), None),
            RecordDefect::Sides,
        ),
        (record("/a", How::Create, None, bad_mode), RecordDefect::Value),
        (record("/a", How::Create, None, bad_xattr), RecordDefect::Value),
        (in_place(pieces(9, &[(0, 4)]), pieces(9, &[(0, 5)])), RecordDefect::Pieces),
        (
            in_place(pieces(9, &[(0, 4), (2, 2)]), pieces(9, &[(0, 4), (2, 2)])),
            RecordDefect::Pieces,
        ),
        (in_place(pieces(9, &[(8, 4)]), pieces(9, &[(8, 4)])), RecordDefect::Pieces),
        (in_place(pieces(9, &[]), pieces(12, &[])), RecordDefect::Pieces),
        (in_place(pieces(9, &[]), pieces(12, &[(10, 2)])), RecordDefect::Pieces),
        (in_place(pieces(9, &[]), pieces(12, &[(8, 4)])), RecordDefect::Pieces),
        (in_place(pieces(9, &[(u64::MAX, 2)]), pieces(9, &[(u64::MAX, 2)])), RecordDefect::Pieces),
    ] {
        let error = check_records(std::slice::from_ref(&record)).unwrap_err();
        let ErrorKind::Corrupt(corrupt) = error.kind() else { panic!("{error}") };
        assert_eq!(corrupt.defect.downcast_ref(), Some(&expected), "{record:?}");
    }
    let twice =
        vec![record("/a", How::Create, None, file()), record("/a", How::Remove, file(), None)];
    assert!(check_records(&twice).is_err());
    assert!(
        check_records(&[in_place(pieces(9, &[(0, 4)]), pieces(12, &[(0, 4), (9, 3)]))]).is_ok()
    );
}
