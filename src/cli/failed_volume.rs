//! The volume that could not be edited, and what checks or replays it.

use super::hints::shell_word;
use crate::fs::probe::ProbeKind;

/// The volume that an error is about, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailedVolume {
    /// The file system.
    pub(crate) kind: Option<ProbeKind>,
    /// The target.
    pub(crate) path: Option<String>,
    /// Where the volume starts in the target.
    pub(crate) offset_bytes: u64,
}

impl FailedVolume {
    /// The checker of the file system with the volume. Programs of e2fsprogs find a file system inside a file or
    /// device with `?offset=`; those of xfsprogs do not.
    pub(super) fn check_command(&self) -> String {
        let path = self.path.as_ref();
        match (self.kind, self.offset_bytes) {
            (None, _) => {
                "ext: `e2fsck -f VOLUME`, XFS: `xfs_repair VOLUME`, NTFS: `chkdsk`".to_owned()
            }
            (Some(ProbeKind::Xfs), 0) => {
                let place = path.map_or_else(|| "VOLUME".to_owned(), |path| shell_word(path));
                format!("`xfs_repair {place}`")
            }
            (Some(ProbeKind::Xfs), _) => "`xfs_repair` of its partition device".to_owned(),
            (Some(ProbeKind::Ntfs), _) => "`chkdsk` of a Windows machine".to_owned(),
            (Some(ProbeKind::Btrfs), 0) => {
                let place = path.map_or_else(|| "VOLUME".to_owned(), |path| shell_word(path));
                format!("`btrfs check --readonly {place}`")
            }
            (Some(ProbeKind::Btrfs), _) => {
                "`btrfs check --readonly` of its partition device".to_owned()
            }
            (Some(_), offset) => {
                let place = path.map(|path| match offset {
                    0 => shell_word(path),
                    offset => shell_word(&format!("{path}?offset={offset}")),
                });
                format!("`e2fsck -f {}`", place.unwrap_or_else(|| "VOLUME".to_owned()))
            }
        }
    }

    /// What replays a log that regain does not.
    pub(super) fn replay_hint(&self) -> String {
        match self.kind {
            Some(ProbeKind::Xfs) => {
                "start the machine and stop it cleanly, or mount the volume once with `-o \
                                     nouuid` on a kernel that knows its features, then try again"
                    .to_owned()
            }
            Some(ProbeKind::Btrfs) => {
                "start the machine and stop it cleanly, or mount and unmount the volume once on a rescue machine, which \
                 replays the log, then try again"
                    .to_owned()
            }
            _ => format!(
                "start the machine and stop it cleanly, then try again (or let {} replay the \
                 journal, best on a copy)",
                self.check_command()
            ),
        }
    }
}
