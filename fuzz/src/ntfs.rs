//! Damaged NTFS volumes, from `fixtures/ntfs`. They are packed as what differs from the table of capitals, which only
//! the program `zstd` can undo.

use super::attempt::Places;
use super::volume::Volume;
use regain::disk::overlay::Overlay;
use regain::fs::path::GuestPath;
use regain::fs::verify::{Expectation, Expected, Owner};
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
