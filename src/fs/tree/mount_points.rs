//! The mounts below the target: what is told of them, and where they are.

use crate::bytes::text::escape;
use crate::fs::path::GuestPath;
use crate::fs::{Missing, MountPoint};
use crate::image::directory::Directory;
use crate::image::directory::mounts::Standing;

/// One sentence for each mount that is not entered, and one for all that are empty on the disk.
pub(super) fn mount_warnings(directory: &Directory) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut empty = Vec::new();
    for (path, standing) in directory.mounts_below() {
        let path = escape(&path);
        match standing {
            Standing::Inside => {}
            Standing::Empty(_) => empty.push(path),
            Standing::Barred(reason) => warnings.push(format!("{path} is not entered: {reason}")),
        }
    }
    empty.sort();
    empty.dedup();
    if !empty.is_empty() {
        let all = empty.join(", ");
        warnings.push(format!("taken as empty, because its content is not on the disk: {all}"));
    }
    warnings
}

/// The mounts below the target that are entered, and those that are not and hide something.
pub(super) fn mount_points(directory: &Directory) -> Vec<MountPoint> {
    let point = |(path, standing): (Vec<u8>, Standing)| {
        let missing = match standing {
            Standing::Inside => None,
            Standing::Empty(_) => return None,
            Standing::Barred(reason) => Some(Missing {
                reason: format!("what is mounted there now is {reason}"),
                remedy: "unmount that, and mount the file system of the guest there".to_owned(),
            }),
        };
        Some(MountPoint { path: GuestPath::new(path), missing })
    };
    directory.mounts_below().into_iter().filter_map(point).collect()
}
