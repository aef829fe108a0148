//! What is mounted in a system, and from which volume.

use super::super::human::add;
use crate::fs::FileSystem as _;
use crate::report::inspect::{Mount, System};
use crate::session::{Session, SessionVolume};

/// The mounts of the system on `volume`, in the order of their paths.
pub(super) fn report(session: &Session, volume: &SessionVolume) -> Vec<Mount> {
    let Some(tree) = volume.open().and_then(|open| open.tree.as_ref()) else { return Vec::new() };
    let mut mounts = Vec::new();
    for point in tree.mount_points() {
        let part = tree.parts().filter(|(at, _)| **at == point.path).last();
        let part = part.filter(|_| point.missing.is_none()).map(|(_, part)| part);
        let holder = part.and_then(|part| session.volume_at(part.volume).ok());
        let directory = part.map(|part| &part.directory).filter(|it| it.parent().is_some());
        mounts.push(Mount {
            path: point.path.as_bytes().to_vec().into(),
            volume_id: holder.map(|volume| volume.volume.id.clone()),
            directory: directory.map(|directory| directory.as_bytes().to_vec().into()),
            reason: point.missing.as_ref().map(|why| why.reason.clone()),
        });
    }
    mounts.sort_by(|a, b| a.path.0.cmp(&b.path.0));
    mounts
}

/// One line about each mount.
pub(super) fn text(system: &System) -> String {
    let mut text = String::new();
    for mount in &system.mounts {
        let path = mount.path.escaped();
        match (&mount.volume_id, &mount.directory) {
            (Some(volume), None) => add(&mut text, format_args!("  {path} is volume {volume}\n")),
            (Some(volume), Some(directory)) => {
                let directory = directory.escaped();
                add(&mut text, format_args!("  {path} is {directory} of volume {volume}\n"));
            }
            (None, _) => {
                let reason = mount.reason.as_deref().unwrap_or("nobody looked for it");
                add(&mut text, format_args!("  {path} is not here: {reason}\n"));
            }
        }
    }
    text
}
