//! Damaged NTFS volumes, from `fixtures/ntfs`. They are packed as what differs from the table of capitals, which only
//! the program `zstd` can undo.

use super::attempt::{CLOCK, LINE, Places};
use super::volume::Volume;
use regain::disk::overlay::Overlay;
use regain::error::{Error, Result};
use regain::fs::path::{self, GuestPath};
use regain::fs::probe::ProbeKind;
use regain::fs::verify::{Expectation, Expected, Owner};
use regain::fs::{FileEdit, NewNode, known};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, LazyLock};

/// What is looked at.
pub const NTFS: Places = Places {
    many: "/ProgramData/Amazon/EC2Launch",
    one_of_many: b"WINDOWS",
    large: "/Windows/System32/config/SOFTWARE",
};

/// What is expected of a volume that is not damaged, or not where it matters.
const FILE: &str = "/windows/system32/grouppolicy/GPT.INI";
const CONTENT: &[u8] = b"[General]\r\nVersion=3\r\n";

fn run(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("zstd").args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("zstd (package zstd) is needed: {error}"));
    assert!(output.status.success(), "zstd {arguments:?}: {output:?}");
    output.stdout
}

fn unpack(name: &str) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ntfs");
    let packed = |name: &str| fixtures.join(format!("{name}.zst")).to_str().unwrap().to_owned();
    let upcase = std::env::temp_dir().join(format!("upcase-{}-{name}", std::process::id()));
    let upcase = upcase.to_str().unwrap();
    run(&["-q", "-d", "-f", &packed("upcase"), "-o", upcase]);
    let known = format!("--patch-from={upcase}");
    let bytes = run(&["-q", "-d", "-c", "--long=31", &known, &packed(name)]);
    std::fs::remove_file(upcase).expect("a temporary file");
    bytes
}

/// Records, index blocks, and the boot sector; the log is empty, and contents are not worth damaging.
fn is_metadata(sector: &[u8]) -> bool {
    [b"FILE".as_slice(), b"INDX", b"\xeb\x52\x90NTFS"].iter().any(|magic| sector.starts_with(magic))
}

static VOLUMES: LazyLock<Vec<Volume>> = LazyLock::new(|| {
    let names = ["c4k", "c512", "c64k", "s4k", "crowd", "mft"];
    names.map(|name| Volume::new(unpack(name), is_metadata)).into()
});

/// A volume with damaged structures.
pub fn damaged_ntfs(bytes: &[u8]) -> Arc<Overlay> {
    let (choice, rest) = bytes.split_first().unwrap_or((&0, &[]));
    VOLUMES[usize::from(*choice) % VOLUMES.len()].damaged(rest)
}

/// A file that every volume has.
pub fn ntfs_expectations() -> Vec<Expectation> {
    let owner = Owner { uid: 0, gid: 0, mode: 0o777 };
    let state = Expected::File { content: CONTENT.to_vec(), owner };
    vec![Expectation { path: GuestPath::new(FILE), state }]
}

/// Directories and files that are edited; each is of another form on the volume.
const DIRECTORIES: [&str; 4] = ["/names/3", "/names/30", "/names/200", "/lists/links"];
const FILES: [&str; 8] = [
    "/forms/resident",
    "/forms/several",
    "/forms/pieces",
    "/forms/twin-large.data",
    "/forms/object-id",
    "/lists/many-links",
    "/lists/many-streams",
    "/ProgramData/Amazon/EC2Launch/state/.run-once",
];
/// The name of what is made.
const NEW_NAME: &str = "made by the fuzzer.txt";

/// One edit of a volume, chosen by `operation`, and what must be there afterwards.
fn edit(fs: &mut dyn FileEdit, operation: u8) -> Result<Option<(GuestPath, Vec<u8>)>> {
    fs.check_writable()?;
    let choice = usize::from(operation / 8);
    let directory = GuestPath::new(DIRECTORIES[choice % DIRECTORIES.len()]);
    let file = GuestPath::new(FILES[choice % FILES.len()]);
    let node = |fs: &dyn FileEdit, path: &GuestPath| {
        let found = path::find(fs.as_file_system(), path)?;
        found.map(|found| found.node).ok_or_else(|| Error::not_found("a place of the fuzzer"))
    };
    let long = LINE.repeat(400);
    let expected = match operation % 8 {
        0 => {
            let parent = node(fs, &directory)?;
            fs.create_file(parent, NEW_NAME.as_bytes(), &NewNode::default(), LINE)?;
            Some((directory.join(NEW_NAME), LINE.to_vec()))
        }
        1 => {
            let parent = node(fs, &directory)?;
            let made = fs.create_directory(parent, NEW_NAME.as_bytes(), &NewNode::default())?;
            fs.create_file(made, NEW_NAME.as_bytes(), &NewNode::default(), &long)?;
            Some((directory.join(NEW_NAME).join(NEW_NAME), long))
        }
        2 | 3 => {
            let parent = node(fs, &file.parent().unwrap_or_else(GuestPath::root))?;
            fs.remove(parent, file.file_name())?;
            None
        }
        4 => {
            let content = if operation & 0x40 == 0 { LINE.to_vec() } else { long };
            fs.replace(node(fs, &file)?, &content)?;
            Some((file, content))
        }
        5 => {
            fs.append(node(fs, &file)?, &long)?;
            None
        }
        6 => {
            fs.overwrite(node(fs, &file)?, 3, b"over")?;
            None
        }
        _ => {
            let parent = node(fs, &directory)?;
            for number in 0..40 {
                let name = format!("{number} {NEW_NAME}");
                fs.create_file(parent, name.as_bytes(), &NewNode::default(), LINE)?;
            }
            Some((directory.join(format!("39 {NEW_NAME}")), LINE.to_vec()))
        }
    };
    fs.finish()?;
    Ok(expected)
}

/// Edits a damaged volume, and reads back. The first byte chooses the edit.
pub fn edit_ntfs(bytes: &[u8]) {
    let (operation, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let disk = damaged_ntfs(rest);
    let Ok(mut fs) = known::open(ProbeKind::Ntfs, disk.clone(), CLOCK) else { return };
    let Ok(expected) = edit(&mut *fs, *operation) else { return };
    // Damage elsewhere may still hide from a fresh reader what the edit did, but must not change it.
    let Ok(again) = known::open(ProbeKind::Ntfs, disk, CLOCK) else { return };
    let Some((path, content)) = expected else { return };
    if let Ok(Some(found)) = path::read_file(again.as_file_system(), &path, 1 << 20) {
        assert!(found == content, "{path} has other bytes than were written");
    }
}
