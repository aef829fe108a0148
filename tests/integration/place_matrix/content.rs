//! The file systems of the matrix: a system that somebody is locked out of, and the edit that helps.

use crate::support::image::ImageBuilder;
use crate::support::ntfs_tools::{NtfsVerdict, verdicts};
use crate::support::root::{self, KEY_FILE, NEW_KEY, OLD_KEY, USER};
use crate::support::scratch::Scratch;
use crate::support::tree::{self, Tree};
use crate::support::windows_disk::{self, WindowsDisk, differences};
use crate::support::{
    btrfs_image, ntfs_check, oracle, sparse, tools, xfs_build, xfs_image, xfs_tools, xfs_tree,
};
use regain::fs::probe::ProbeKind;
use regain::fs::{Timestamp, known};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What EC2Launch v2 leaves behind when it has run.
const MARKER: &str = "/ProgramData/Amazon/EC2Launch/state/.run-once";

/// What a volume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Ext4,
    Xfs,
    Ntfs,
    Btrfs,
}

impl Content {
    pub(crate) const ALL: [Self; 4] = [Self::Ext4, Self::Xfs, Self::Ntfs, Self::Btrfs];

    /// The volume as a file.
    pub(crate) fn build(self, scratch: &Scratch) -> PathBuf {
        let path = scratch.join("volume.img");
        match self {
            Self::Ext4 => ImageBuilder::new("ext4", 24).nodes(root::with_key()).build(&path),
            Self::Xfs => {
                let own = Scratch::new();
                let made = xfs_build::volume(&own, 32, "-m rmapbt=1,reflink=1", &root::with_key());
                tools::copy_sparse(&made, &path);
            }
            Self::Ntfs => {
                sparse::write(&path, &WindowsDisk::new(windows_disk::V2).volume());
            }
            Self::Btrfs => {
                std::fs::rename(btrfs_image::unpack(scratch, "metadata-uuid"), &path).unwrap();
            }
        }
        path
    }

    /// The command of the edit, with the word TARGET in it.
    pub(crate) fn edit(self, scratch: &Scratch) -> Vec<String> {
        let words = if self == Self::Ntfs {
            "password reset TARGET --agent ec2launch-v2".to_owned()
        } else {
            let key = scratch.join("new.pub");
            std::fs::write(&key, NEW_KEY).unwrap();
            format!("key add TARGET --user {USER} --key {}", key.display())
        };
        words.split(' ').map(str::to_owned).collect()
    }

    /// The tree of `volume`, whose checker must be silent.
    pub(crate) fn judged_tree(self, volume: &Path, what: &str) -> Tree {
        match self {
            Self::Ext4 => {
                oracle::assert_clean(volume, 0, what);
                tree::read(volume, 0)
            }
            Self::Xfs => {
                xfs_tools::assert_silent(volume, what);
                own_reader(ProbeKind::Xfs, volume)
            }
            Self::Ntfs => {
                let bytes = sparse::read(volume);
                let findings = ntfs_check::check_bytes(&bytes);
                assert!(findings.is_empty(), "{what}: {findings:#?}");
                for verdict in verdicts(volume) {
                    assert_eq!(verdict, NtfsVerdict::Silent, "{what}");
                }
                ntfs_check::tree(&bytes)
            }
            Self::Btrfs => {
                assert_btrfs_clean(volume, what);
                own_reader(ProbeKind::Btrfs, volume)
            }
        }
    }

    /// Fails unless the two trees differ in what was meant.
    pub(crate) fn assert_edited(self, before: &Tree, after: &Tree, what: &str) {
        let expected = match self {
            Self::Ntfs => BTreeMap::from([(MARKER.to_owned(), "removed")]),
            Self::Ext4 | Self::Xfs | Self::Btrfs => {
                BTreeMap::from([(KEY_FILE.to_owned(), "changed")])
            }
        };
        assert_eq!(differences(before, after), expected, "{what}");
        if self != Self::Ntfs {
            let size = |tree: &Tree| tree.0[KEY_FILE]["size"].parse::<usize>().unwrap();
            assert_eq!(size(after), size(before) + NEW_KEY.len(), "{what}");
            assert!(size(before) >= OLD_KEY.len(), "{what}");
        }
    }
}

fn own_reader(kind: ProbeKind, volume: &Path) -> Tree {
    let fs = known::open(kind, xfs_image::overlay(volume), Timestamp::default()).unwrap();
    xfs_tree::of_reader(fs.as_file_system())
}

/// `btrfs check` says how it ended.
fn assert_btrfs_clean(volume: &Path, what: &str) {
    let output = tools::run("btrfs", &["check", "--readonly", volume.to_str().unwrap()]);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let is_clean = output.status.success() && said.contains("no error found");
    assert!(is_clean, "{what}: {said}");
}
