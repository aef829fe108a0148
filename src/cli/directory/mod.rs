//! A mounted directory as the target: what the commands that edit do there in another way than on disks.

pub(super) mod apply;
mod edit;
pub(super) mod show;

use super::args::CommitArgs;
use super::commit::{self, Way, interrupted};
use super::hints::shell_word;
use super::output::{Failure, Outcome, Ui};
use super::progress::Progress;
use crate::error::{Error, Refusal, Result};
use crate::image::directory::Directory;
use crate::patch::files::{self, FilePatch, FilesState};
use crate::patch::{self, DurableUndo};
use std::path::{Path, PathBuf};

/// A directory that is as it was wanted.
#[derive(Debug)]
struct Committed {
    /// The state that was found.
    found: FilesState,
    objects_changed: u64,
    bytes_written: u64,
    undo_file: Option<PathBuf>,
}

/// Refuses a place in the directory itself: an undo file there would be lost with it.
fn check_apart(path: &Path, directory: &Directory) -> Outcome {
    if !directory.holds(path)? {
        return Ok(());
    }
    let reason = format!("lies in {} itself", super::shown(&directory.path));
    let error = Refusal::UnsuitableFile { path: super::shown(path), reason };
    Err(Box::new(Failure::from(error).hint("name a place outside the target")))
}

/// Where the undo record will be; none if it is not wanted.
fn undo_path(args: &CommitArgs, directory: &Directory) -> Outcome<Option<PathBuf>> {
    let path = commit::undo_path_of(args, &directory.path)?;
    if let Some(path) = &path {
        check_apart(path, directory)?;
    }
    Ok(path)
}

/// Takes `directory` to one side of `patch`. `undo_path` is where the record goes before the first write; `prepare`
/// comes after it, and is the last that can go wrong without a trace.
fn commit(
    ui: &Ui,
    directory: &Directory,
    patch: &FilePatch,
    way: Way,
    undo_path: Option<&Path>,
    prepare: impl FnOnce() -> Result<()>,
) -> Outcome<Committed> {
    directory.check_writable()?;
    let found = files::state(patch, directory)?;
    if let FilesState::Foreign { path, reason } = &found {
        let what = format!("the patch does not fit this directory: {path} {reason}");
        return Err(Error::mismatch(what).into());
    }
    let record = match undo_path {
        Some(path) if found != FilesState::Applied => patch::store_files(patch, path)?,
        _ => DurableUndo::waived(),
    };
    let undo_file = record.path().map(Path::to_owned);
    let bar = Progress::new(ui, "writing");
    let mut progress = |done, total| bar.set(done, total);
    let result = prepare().and_then(|()| match way {
        Way::Apply => files::apply(patch, directory, &record, &mut progress),
        Way::Undo => files::undo(patch, directory, &mut progress),
    });
    match result {
        Ok(done) => Ok(Committed {
            found: done.found,
            objects_changed: done.objects_changed,
            bytes_written: done.bytes_written,
            undo_file,
        }),
        Err(error) => {
            let state = || files::state(patch, directory).map(|state| describe(&state));
            let target = shell_word(&super::shown(&directory.path));
            Err(interrupted(error, state, &target, undo_file.as_deref()))
        }
    }
}

/// A state for people.
fn describe(state: &FilesState) -> String {
    match state {
        FilesState::Unapplied => "every file is as before the edit".to_owned(),
        FilesState::Applied => "every file is as after the edit".to_owned(),
        FilesState::Partial { before, after } => {
            let all = before.saturating_add(*after);
            format!("interrupted: {after} of {all} files and directories are changed")
        }
        FilesState::Foreign { path, reason } => format!("{path} {reason}"),
    }
}

/// The JSON word for a state.
fn state_name(state: &FilesState) -> &'static str {
    match state {
        FilesState::Unapplied => "unapplied",
        FilesState::Applied => "applied",
        FilesState::Partial { .. } => "partial",
        FilesState::Foreign { .. } => "foreign",
    }
}

/// The command that takes a change back.
fn undo_command(undo_file: &Path, directory: &Directory) -> String {
    let (file, target) = (super::shown(undo_file), super::shown(&directory.path));
    format!("regain undo {} {}", shell_word(&file), shell_word(&target))
}

/// What a report says of a directory.
pub(super) fn report(directory: &Directory) -> crate::report::Target {
    crate::report::Target {
        path: Some(super::shown(&directory.path)),
        kind: Some("directory"),
        format: None,
        size_bytes: None,
        volume_id: None,
    }
}
