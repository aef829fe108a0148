//! The fake Windows root disks of `fixtures/windows`, and what programs that are not ours say of them.

use super::ntfs_tools::{NtfsVerdict, verdicts};
use super::scratch::Scratch;
use super::tree::{self, Difference};
use super::{digest, ntfs_check, ntfs_image, ntfs_tools, sparse, tools};
use crate::support::regain::{Regain, Run};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(crate) const V2: &str = "ec2launch-v2-gpt";
pub(crate) const V1: &str = "ec2launch-v1-mbr";
pub(crate) const CONFIG: &str = "ec2config-mbr";
pub(crate) const NONE: &str = "no-agent-gpt";
pub(crate) const ALL: [&str; 4] = [V2, V1, CONFIG, NONE];

/// Start of the volume of Windows in bytes, in both tables of `fixtures/windows/generate`.
const START_BYTES: usize = 6144 * 512;

/// A disk of its own in a directory of its own.
pub(crate) struct WindowsDisk {
    pub(crate) scratch: Scratch,
    /// The image, called `win.img`.
    pub(crate) image: PathBuf,
    digest: String,
}

impl WindowsDisk {
    /// Unpacks a fixture and compares it with its digest.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/windows");
        let scratch = Scratch::new();
        let unpacked = ntfs_image::unpack_from(&scratch, &folder, name);
        let image = scratch.join("win.img");
        fs::rename(unpacked, &image).unwrap();
        let index = fs::read_to_string(folder.join("INDEX")).unwrap();
        let row = index.lines().find(|row| row.split(' ').next() == Some(name)).unwrap();
        assert_eq!(row.split(' ').nth(2), Some(digest::of_file(&image).as_str()), "{name}");
        let digest = sparse::digest(&image);
        Self { scratch, image, digest }
    }

    /// The digest of the fixture.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest of the image now.
    pub(crate) fn digest_now(&self) -> String {
        sparse::digest(&self.image)
    }

    /// The bytes of the volume of Windows.
    pub(crate) fn volume(&self) -> Vec<u8> {
        let mut bytes = sparse::read(&self.image).split_off(START_BYTES);
        // A GPT has its backup behind the last partition.
        let sectors = u64::from_le_bytes(bytes[0x28..0x30].try_into().unwrap()) + 1;
        bytes.truncate(sectors as usize * 512);
        bytes
    }

    /// Puts other bytes into the volume of Windows.
    pub(crate) fn patch(&self, change: impl FnOnce(&mut [u8])) {
        let mut bytes = sparse::read(&self.image);
        change(&mut bytes[START_BYTES..]);
        sparse::write(&self.image, &bytes);
    }

    /// The volume as an image of its own, for programs that know no partitions.
    pub(crate) fn volume_image(&self) -> PathBuf {
        let path = self.scratch.join("volume.img");
        sparse::write(&path, &self.volume());
        path
    }

    /// Runs `regain` in the directory of the disk; the words `win.img` name it.
    pub(crate) fn run(&self, line: &str) -> Run {
        let words: Vec<&str> = line.split(' ').collect();
        Regain::new(self.scratch.path()).run(&words)
    }

    /// Runs `regain` with something on standard input.
    pub(crate) fn run_with(&self, line: &str, input: &[u8]) -> Run {
        let words: Vec<&str> = line.split(' ').collect();
        Regain::new(self.scratch.path()).run_with(&words, input, &[])
    }

    /// Fails unless the strict checker and the programs of ntfs-3g find nothing.
    pub(crate) fn assert_clean(&self, what: &str) {
        let found = ntfs_check::check_bytes(&self.volume());
        assert!(found.is_empty(), "{what}: {found:#?}");
        for verdict in verdicts(&self.volume_image()) {
            assert_eq!(verdict, NtfsVerdict::Silent, "{what}");
        }
    }

    /// The content of a file, as `ntfscat` reads it.
    pub(crate) fn cat(&self, path: &str) -> Vec<u8> {
        ntfs_tools::cat(&self.volume_image(), path)
    }

    /// The same as text.
    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.cat(path)).unwrap()
    }

    /// What `hivexsh` says to `commands` on a hive of the volume.
    pub(crate) fn hive(&self, name: &str, commands: &str) -> String {
        let path = self.scratch.join(name);
        fs::write(&path, self.cat(&format!("Windows/System32/config/{name}"))).unwrap();
        let script = self.scratch.join("commands");
        let mut file = fs::File::create(&script).unwrap();
        write!(file, "load {}\n{commands}\n", path.to_str().unwrap()).unwrap();
        tools::succeed("hivexsh", &["-f", script.to_str().unwrap()])
    }

    /// The tree as the strict checker reads it.
    pub(crate) fn tree(&self) -> tree::Tree {
        ntfs_check::tree(&self.volume())
    }
}

/// Paths whose content differs, or which are only in one tree; times and sizes of directories do not count.
pub(crate) fn differences(
    before: &tree::Tree,
    after: &tree::Tree,
) -> BTreeMap<String, &'static str> {
    let differences = tree::diff(before, after).into_iter();
    differences
        .filter_map(|(path, difference)| match difference {
            Difference::Added => Some((path, "added")),
            Difference::Removed => Some((path, "removed")),
            Difference::Changed(fields) => {
                let is_time = |field: &String| field.ends_with("time");
                (!fields.iter().all(is_time)).then_some((path, "changed"))
            }
        })
        .collect()
}
