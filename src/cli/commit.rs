//! The one way from a patch to a target: hold it, compare, make the undo record durable, write, read back.

use super::args::CommitArgs;
use super::disks::Disks;
use super::hints::shell_word;
use super::host_file;
use super::output::{Failure, Outcome, Ui};
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::image::in_use::Look;
use crate::patch::{self, DurableUndo, Patch, State};
use crate::session::clock;
use std::path::{Path, PathBuf};

/// Default names that are tried before giving up, for runs within one second.
const NAMES_MAX: u32 = 100;

/// Which way a patch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Apply,
    Undo,
}

/// A target that holds the wanted bytes.
#[derive(Debug)]
pub(super) struct Committed {
    /// The state that was found.
    pub(super) found: State,
    pub(super) bytes_read: u64,
    pub(super) bytes_written: u64,
    pub(super) undo_file: Option<PathBuf>,
}

/// Refuses a target that is in use or read-only before anybody is asked anything. With `has_yes` nobody is, and
/// [`commit`] opens the target at once.
pub(super) fn check_free(disks: &Disks<'_>, has_yes: bool) -> Result<()> {
    let look = if has_yes { Look::BeforeOpen } else { Look::Thorough };
    disks.in_use(look)?.map_or(Ok(()), |refusal| Err(refusal.into()))
}

/// Where the undo record will be; none if it is not wanted. Refuses a name that is taken, and one on any of the
/// disks of the target, of which the first gives the name.
pub(super) fn undo_path(args: &CommitArgs, images: &[&Image]) -> Outcome<Option<PathBuf>> {
    let target = images.first().map_or(Path::new("disk"), |it| &it.path);
    let Some(path) = undo_path_of(args, target)? else { return Ok(None) };
    for image in images {
        host_file::check_apart(&path, image)?;
    }
    Ok(Some(path))
}

/// Where the undo record of an edit of `target` will be; none if it is not wanted. Refuses a name that is taken.
pub(super) fn undo_path_of(args: &CommitArgs, target: &Path) -> Outcome<Option<PathBuf>> {
    if args.no_undo {
        return Ok(None);
    }
    Ok(Some(match &args.undo_file {
        Some(path) => {
            host_file::check_absent(path)?;
            path.clone()
        }
        None => default_undo_path(target)?,
    }))
}

/// A free name in the current directory.
fn default_undo_path(target: &Path) -> Outcome<PathBuf> {
    let name = target.file_name().unwrap_or(target.as_os_str()).to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    let name: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).take(100).collect();
    let time = clock::utc_compact(clock::now());
    let names = (1..=NAMES_MAX).map(|number| match number {
        1 => format!("regain-undo-{time}-{name}.patch"),
        _ => format!("regain-undo-{time}-{name}-{number}.patch"),
    });
    let mut free = names.map(PathBuf::from).filter(|path| host_file::check_absent(path).is_ok());
    match free.next() {
        Some(path) => Ok(path),
        None => Err(Error::usage("every default name is taken: use --undo-file").into()),
    }
}

/// Takes `disks` to one side of `patch`. `undo_path` is where the record goes before the first
/// write; `prepare` comes after it, and is the last that can go wrong without a trace.
pub(super) fn commit(
    ui: &Ui,
    disks: &Disks<'_>,
    patch: &Patch,
    way: Way,
    undo_path: Option<&Path>,
    prepare: impl FnOnce() -> Result<()>,
) -> Outcome<Committed> {
    let mut medium = disks.hold()?;
    let found = patch::state_of_medium(patch, &medium)?;
    check_not_foreign(found)?;
    let record = store_undo(patch, found, undo_path)?;
    let undo_file = record.path().map(Path::to_owned);
    if let Err(error) = prepare() {
        let state = || patch::state_of_medium(patch, &medium).map(describe);
        return Err(interrupted(error, state, &disks.arguments(), undo_file.as_deref()));
    }
    let bar = Progress::new(ui, "writing");
    let mut progress = |done, total| bar.set(done, total);
    let result = match way {
        Way::Apply => patch::apply(patch, &mut medium, &record, &mut progress),
        Way::Undo => patch::undo(patch, &mut medium, &mut progress),
    };
    match result {
        Ok(outcome) => Ok(Committed {
            found: outcome.found,
            bytes_read: outcome.bytes_read,
            bytes_written: outcome.bytes_written,
            undo_file,
        }),
        Err(error) => {
            let state = || patch::state_of_medium(patch, &medium).map(describe);
            Err(interrupted(error, state, &disks.arguments(), undo_file.as_deref()))
        }
    }
}

fn check_not_foreign(state: State) -> Outcome {
    let State::Foreign { offset_bytes } = state else { return Ok(()) };
    let what = format!(
        "the patch does not fit this target: the sector at {offset_bytes:#x} holds neither what it \
         held before the edit nor what it held after"
    );
    Err(Error::mismatch(what).into())
}

/// Makes the record durable; a target that needs no write needs none.
fn store_undo(patch: &Patch, found: State, undo_path: Option<&Path>) -> Outcome<DurableUndo> {
    match undo_path {
        Some(path) if found != State::Applied => Ok(patch::store(patch, path)?),
        _ => Ok(DurableUndo::waived()),
    }
}

/// Says in which state a failed run left the target, which is `target` as arguments of a command, and what finishes
/// it or takes it back. `state` gives the state for people.
pub(super) fn interrupted(
    error: Error,
    state: impl FnOnce() -> Result<String>,
    target: &str,
    undo_file: Option<&Path>,
) -> Box<Failure> {
    let was_modified = error.target_modified();
    let mut failure = Failure::from(error);
    if !was_modified {
        if let Some(path) = undo_file {
            // It undoes nothing; an error here must not hide the one that is reported.
            let _ = std::fs::remove_file(path);
        }
        return Box::new(failure);
    }
    failure.state = Some(match state() {
        Ok(state) => format!("the target was modified: {state}"),
        Err(_) => "the target was modified; its state cannot be read".to_owned(),
    });
    Box::new(match undo_file.map(|path| shell_word(&super::shown(path))) {
        Some(path) => failure.hint(format!(
            "finish it with `regain apply {path} {target}`, or take it back with `regain undo {path} \
             {target}`"
        )),
        None => failure.hint("run the same command again with the patch that you have".to_owned()),
    })
}

/// A state for people.
pub(super) fn describe(state: State) -> String {
    match state {
        State::Unapplied => "every byte is as before the edit".to_owned(),
        State::Applied => "every byte is as after the edit".to_owned(),
        State::Partial { sectors_before, sectors_after } => format!(
            "interrupted: {sectors_after} of {} sectors are written",
            sectors_before.saturating_add(sectors_after)
        ),
        State::Foreign { offset_bytes } => {
            format!("the sector at {offset_bytes:#x} belongs to neither side of the patch")
        }
    }
}

/// The JSON word for a state.
pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Unapplied => "unapplied",
        State::Applied => "applied",
        State::Partial { .. } => "partial",
        State::Foreign { .. } => "foreign",
    }
}

/// The command that takes a change back.
pub(super) fn undo_command(undo_file: &Path, disks: &Disks<'_>) -> String {
    format!("regain undo {} {}", shell_word(&super::shown(undo_file)), disks.arguments())
}
