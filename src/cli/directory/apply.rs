//! `regain apply` and `regain undo` on a directory.

use super::super::args::{CommitArgs, DeviceArgs, TargetArgs};
use super::super::commit::{self as disks, Way};
use super::super::human::{add, count};
use super::super::output::{Outcome, Ui};
use super::super::{confirm, show, shown};
use super::{commit, describe, state_name, undo_command, undo_path};
use crate::error::Error;
use crate::fs::tree::Tree;
use crate::image::directory::Directory;
use crate::patch::files::{self, FilePatch, FilesState};
use crate::report::change::Io;
use crate::report::patch::Applied;
use crate::session::{clock, directory::identity};
use std::path::Path;
use std::rc::Rc;

/// Refuses the patch of a disk for a directory.
///
/// # Errors
/// `Mismatch`.
pub(in crate::cli) fn check_is_disk(target: &TargetArgs) -> Outcome {
    if target.target.is_dir() {
        let what = "the patch is for a disk, and the target is a directory";
        return Err(Error::mismatch(what).into());
    }
    Ok(())
}

/// Runs `apply` or `undo` with the patch of a directory.
pub(in crate::cli) fn run(
    ui: &Ui,
    patch: &FilePatch,
    target: &TargetArgs,
    devices: &DeviceArgs,
    (way, args, has_yes): (Way, Option<&CommitArgs>, bool),
) -> Outcome {
    if !target.target.is_dir() && target.target.exists() {
        let what = "the patch is for a directory: mount the root of the system, and name where";
        return Err(Error::mismatch(what).into());
    }
    if target.format.is_some() || !devices.device.is_empty() {
        let what =
            "a directory has no format and no further disks: leave out --format and --device";
        return Err(Error::usage(what).into());
    }
    let directory = Rc::new(Directory::open(&target.target)?);
    let job = Job { ui, patch, directory: &directory, way };
    let report_target = super::report(&directory);
    let result = job.result(args, has_yes).map_err(|mut failure| {
        failure.target.get_or_insert_with(|| report_target.clone());
        failure
    })?;
    let name = match way {
        Way::Apply => "apply",
        Way::Undo => "undo",
    };
    ui.finish(name, &report_target, &result, || job.text(&result))?;
    Ok(())
}

/// One patch on its way into the directory that it is for.
struct Job<'a> {
    ui: &'a Ui,
    patch: &'a FilePatch,
    directory: &'a Rc<Directory>,
    way: Way,
}

impl Job<'_> {
    fn result(&self, args: Option<&CommitArgs>, has_yes: bool) -> Outcome<Applied> {
        let found_identity = identity(&Tree::new(self.directory.clone(), clock::now()));
        self.patch.description().directory.check(&found_identity)?;
        let found = files::state(self.patch, self.directory)?;
        let done = match self.way {
            Way::Apply => FilesState::Applied,
            Way::Undo => FilesState::Unapplied,
        };
        // A run that was killed near its end has left only times of directories to be set right, if that is possible.
        let is_applied = done == FilesState::Applied;
        let has_all = || files::has_times(self.patch, self.directory, is_applied);
        if found == done && (self.directory.check_writable().is_err() || has_all()?) {
            return Ok(self.report(&found, None, false, Io::default()));
        }
        if matches!(found, FilesState::Partial { .. }) {
            self.ui.warn(&format!("an earlier run was {}", describe(&found)));
        }
        self.directory.check_writable()?;
        let undo_path = args.map(|args| undo_path(args, self.directory)).transpose()?.flatten();
        let undo_path = undo_path.as_deref();
        if found != done && !matches!(found, FilesState::Foreign { .. }) {
            confirm::ask(self.ui, &self.question(undo_path), has_yes)?;
        }
        let done = commit(self.ui, self.directory, self.patch, self.way, undo_path, || Ok(()))?;
        let io = Io { bytes_read: self.directory.bytes_read(), bytes_written: done.bytes_written };
        let changed = done.objects_changed > 0;
        Ok(self.report(&done.found, done.undo_file.as_deref(), changed, io))
    }

    fn report(
        &self,
        found: &FilesState,
        undo_file: Option<&Path>,
        changed: bool,
        io: Io,
    ) -> Applied {
        Applied {
            changed,
            state_before: state_name(found),
            state_after: match self.way {
                Way::Apply => disks::state_name(crate::patch::State::Applied),
                Way::Undo => disks::state_name(crate::patch::State::Unapplied),
            },
            patch: super::edit::report(self.patch),
            undo_file: undo_file.map(shown),
            undo_command: undo_file.map(|path| undo_command(path, self.directory)),
            io,
        }
    }

    fn question(&self, undo_path: Option<&Path>) -> String {
        let verb = match self.way {
            Way::Apply => "apply",
            Way::Undo => "take back",
        };
        let description = self.patch.description();
        let (command, created) = (&description.command, &description.created);
        let target = shown(&self.directory.path);
        let mut text = format!("About to {verb} \"{command}\" of {created} on {target}:\n");
        for note in &description.files {
            text.push_str(&show::note_line(note));
        }
        let report = super::edit::report(self.patch);
        let (bytes, files) = (count(report.bytes_changed, "byte"), count(report.runs, "file"));
        add(&mut text, format_args!("  {bytes} in {files}\n"));
        if let Some(path) = undo_path {
            add(&mut text, format_args!("  undo file: {}\n", shown(path)));
        }
        text
    }

    fn text(&self, result: &Applied) -> String {
        let name = shown(&self.directory.path);
        if !result.changed {
            return format!("nothing to do: {name} is already as wanted\n");
        }
        let mut text = match self.way {
            Way::Apply => format!("applied to {name}"),
            Way::Undo => format!("undone: {name} is as it was before"),
        };
        let files = count(result.patch.runs, "file");
        add(&mut text, format_args!(" ({files}, read back and compared)\n"));
        if let Some(command) = &result.undo_command {
            add(&mut text, format_args!("undo with: {command}\n"));
        }
        text
    }
}
