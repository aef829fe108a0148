//! Finished edits are confirmed by the other reader, and every disagreement is found.
#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::Ntfs;
use super::attribute::AttributeKind;
use super::testing::{CLOCK, Image};
use super::units::MftRecordNumber;
use super::verify::verify;
use crate::disk::Disk as _;
use crate::disk::DiskEdit as _;
use crate::disk::overlay::Overlay;
use crate::error::Result;
use crate::fs::path::GuestPath;
use crate::fs::verify::{Expectation, Expected, Owner, Verdict};
use crate::fs::{FileEdit as _, FileSystem as _, NewNode, NodeId};
use std::sync::Arc;

const OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o777 };

fn file(path: &str, content: &[u8]) -> Expectation {
    let state = Expected::File { content: content.to_vec(), owner: OWNER };
    Expectation { path: GuestPath::new(path), state }
}

fn absent(path: &str) -> Expectation {
    Expectation { path: GuestPath::new(path), state: Expected::Absent }
}

fn ask(overlay: &Arc<Overlay>, expectations: &[Expectation]) -> Result<Verdict> {
    verify(&Ntfs::open(overlay.clone(), CLOCK)?, &overlay.written(), expectations)
}

/// A volume of ntfs-3g with an edit of ours.
fn edited(options: &[&str]) -> (Image, Arc<Overlay>, Vec<Expectation>) {
    let image = Image::make(16, options);
    image.mounted("efs_raw", |root| {
        std::fs::create_dir_all(root.join("Windows/Temp")).unwrap();
        for number in 0..40 {
            let name = format!("Windows/Temp/a longer name of a file {number}.txt");
            std::fs::write(root.join(name), number.to_string()).unwrap();
        }
        std::fs::write(root.join("Windows/large"), vec![7; 300_000]).unwrap();
        std::fs::write(root.join("Windows/gone"), vec![8; 30_000]).unwrap();
    });
    let overlay = image.overlay();
    let mut fs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
    let find = |fs: &Ntfs, directory, name: &str| -> NodeId {
        fs.lookup(directory, name.as_bytes()).unwrap().unwrap()
    };
    let windows = find(&fs, fs.root(), "windows");
    let temp = find(&fs, windows, "temp");
    let content = vec![3; 20_000];
    fs.create_file(temp, "Neu \u{e4}.cmd".as_bytes(), &NewNode::default(), &content).unwrap();
    fs.create_file(temp, b"small.cmd", &NewNode::default(), b"small").unwrap();
    fs.remove(windows, b"gone").unwrap();
    let large = find(&fs, windows, "large");
    fs.overwrite(large, 100_000, b"overwritten").unwrap();
    fs.finish().unwrap();
    let pieces = vec![(0, vec![7; 100]), (99_999, b"\x07overwritten\x07".to_vec())];
    let pieces = Expected::Pieces { size_bytes: 300_000, pieces, owner: OWNER };
    let expectations = vec![
        file("/Windows/Temp/NEU \u{c4}.cmd", &content),
        file("/windows/temp/small.cmd", b"small"),
        absent("/Windows/gone"),
        Expectation { path: GuestPath::new("/Windows/large"), state: pieces },
        Expectation {
            path: GuestPath::new("/Windows/Temp"),
            state: Expected::Directory { owner: OWNER },
        },
    ];
    (image, overlay, expectations)
}

#[test]
fn finished_edits_are_confirmed_by_the_other_reader() {
    for options in [&["-c", "4096"][..], &["-c", "1024"], &["-s", "4096"]] {
        let (_image, overlay, expectations) = edited(options);
        let verdict = ask(&overlay, &expectations).unwrap();
        assert_eq!(verdict, Verdict::Independent { reader: "ntfs" }, "{options:?}");
    }
}

#[test]
fn what_the_other_reader_cannot_read_is_said() {
    let (_image, overlay, expectations) = edited(&["-c", "65536"]);
    let Verdict::OwnReaderOnly { reason } = ask(&overlay, &expectations).unwrap() else { panic!() };
    assert_eq!(reason, "ntfs: clusters are larger than index records");

    let image = Image::make(16, &["-C"]);
    let text = "compressed ".repeat(10_000);
    image.mounted("compression", |root| std::fs::write(root.join("text"), &text).unwrap());
    let overlay = image.overlay();
    let verdict = ask(&overlay, &[file("/text", text.as_bytes())]).unwrap();
    let Verdict::OwnReaderOnly { reason } = verdict else { panic!() };
    assert_eq!(reason, "ntfs: /text is compressed");
}

/// Every disagreement that can be made with one change behind the back of the editor.
#[test]
fn every_disagreement_is_found() {
    type Damage = fn(&Ntfs, &Overlay);
    let cases: [(&str, Damage); 7] = [
        ("not all marked in $Bitmap", |fs, _| {
            let start = first_cluster(fs, "/Windows/Temp/Neu \u{e4}.cmd");
            flip(fs, MftRecordNumber::BITMAP, AttributeKind::DATA, start);
        }),
        ("bit in the bitmap of the MFT", |fs, _| {
            let node = node(fs, "/Windows/Temp/small.cmd").0;
            flip(fs, MftRecordNumber::MFT, AttributeKind::BITMAP, node);
        }),
        ("differs from its copy in $MFTMirr", |fs, overlay| {
            let start = fs.volume.boot().mft_mirror.to_byte_offset(fs.volume.geometry()).unwrap();
            let byte = overlay.read_vec(start + 3 * 1024 + 100, 1).unwrap()[0];
            overlay.write_at(start + 3 * 1024 + 100, &[byte ^ 1], "test").unwrap();
        }),
        ("belongs to another file, or to none", |fs, _| {
            let node = node(fs, "/Windows/Temp/a longer name of a file 7.txt");
            let mut record = fs.volume.read_record(MftRecordNumber(node.0)).unwrap();
            record.header.sequence += 1;
            fs.volume.write_record(&record).unwrap();
        }),
        ("names, but", |fs, _| {
            let node = node(fs, "/Windows/Temp/small.cmd");
            let mut record = fs.volume.read_record(MftRecordNumber(node.0)).unwrap();
            record.header.link_count += 1;
            fs.volume.write_record(&record).unwrap();
        }),
        ("has other bytes at", |fs, overlay| {
            let start = first_cluster(fs, "/Windows/large") * 4096;
            overlay.write_at(start + 5, &[0], "test").unwrap();
        }),
        ("update sequence number", |fs, overlay| {
            let node = node(fs, "/Windows/Temp/small.cmd").0;
            let mft = fs.volume.boot().mft.to_byte_offset(fs.volume.geometry()).unwrap();
            let at = mft + node * 1024 + 510;
            let byte = overlay.read_vec(at, 1).unwrap()[0];
            overlay.write_at(at, &[byte ^ 1], "test").unwrap();
        }),
    ];
    let (_image, overlay, expectations) = edited(&["-c", "4096"]);
    for (expected, damage) in cases {
        let savepoint = overlay.savepoint();
        let fs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
        damage(&fs, &overlay);
        let error = ask(&overlay, &expectations).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        overlay.roll_back(savepoint);
    }
    ask(&overlay, &expectations).unwrap();
}

/// Two files with the same clusters, both of which were edited.
#[test]
fn shared_clusters_are_found() {
    let (_image, overlay, mut expectations) = edited(&["-c", "4096"]);
    let fs = Ntfs::open(overlay.clone(), CLOCK).unwrap();
    let (one, two) =
        (node(&fs, "/Windows/Temp/Neu \u{e4}.cmd"), node(&fs, "/Windows/Temp/small.cmd"));
    let source = fs.volume.read_record(MftRecordNumber(one.0)).unwrap();
    let mut bytes = source.encode().unwrap();
    bytes[0x2c..0x30].copy_from_slice(&u32::try_from(two.0).unwrap().to_le_bytes());
    let mut copy = super::record::Record::parse(MftRecordNumber(two.0), bytes).unwrap();
    copy.header.sequence = fs.volume.read_record(MftRecordNumber(two.0)).unwrap().header.sequence;
    fs.volume.write_record(&copy).unwrap();
    expectations[1] = file("/windows/temp/small.cmd", &vec![3; 20_000]);
    let error = ask(&overlay, &expectations).unwrap_err().to_string();
    assert!(error.contains("as well"), "{error}");
}

fn node(fs: &Ntfs, path: &str) -> NodeId {
    crate::fs::path::find(fs, &GuestPath::new(path)).unwrap().unwrap().node
}

fn first_cluster(fs: &Ntfs, path: &str) -> u64 {
    let file = fs.file(node(fs, path)).unwrap();
    let stream = file.stream(&fs.volume, AttributeKind::DATA, &[]).unwrap().unwrap();
    stream.runs().unwrap().runs()[0].lcn.unwrap().0
}

fn flip(fs: &Ntfs, number: MftRecordNumber, kind: AttributeKind, bit: u64) {
    let file = fs.volume.load_file(number).unwrap();
    let stream = file.stream(&fs.volume, kind, &[]).unwrap().unwrap();
    let byte = stream.read(&fs.volume, bit / 8, 1).unwrap()[0];
    stream.overwrite(&fs.volume, bit / 8, &[byte ^ (1 << (bit % 8))], "test").unwrap();
}
