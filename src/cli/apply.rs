//! `regain apply` and `regain undo`: the two directions of a patch.

use super::args::{Apply, CommitArgs, Undo};
use super::commit::{self, Way, commit, describe, state_name};
use super::disks::Disks;
use super::human::{self, add, count};
use super::output::{Outcome, Ui};
use super::{confirm, directory, show, target};
use crate::bytes::arith::len_u64;
use crate::image::Image;
use crate::patch::{self, AnyPatch, Patch, State};
use crate::report::change::Io;
use crate::report::patch::Applied;
use std::path::Path;

/// Runs `apply`.
pub(crate) fn apply(ui: &Ui, args: &Apply) -> Outcome {
    let patch = match patch::load_any(&args.patch)? {
        AnyPatch::Bytes(patch) => patch,
        AnyPatch::Files(patch) => {
            let how = (Way::Apply, Some(&args.commit), args.commit.yes);
            return directory::apply::run(ui, &patch, &args.target, &args.devices, how);
        }
    };
    directory::apply::check_is_disk(&args.target)?;
    let images = target::open_images(&args.target, &args.devices)?;
    let disks = Disks::of_patch(&patch, &images)?;
    let job = Job { ui, patch: &patch, images: &images, disks: &disks, way: Way::Apply };
    job.run(Some(&args.commit), args.commit.yes)
}

/// Runs `undo`.
pub(crate) fn undo(ui: &Ui, args: &Undo) -> Outcome {
    let patch = match patch::load_any(&args.patch)? {
        AnyPatch::Bytes(patch) => patch,
        AnyPatch::Files(patch) => {
            let how = (Way::Undo, None, args.yes);
            return directory::apply::run(ui, &patch, &args.target, &args.devices, how);
        }
    };
    directory::apply::check_is_disk(&args.target)?;
    let images = target::open_images(&args.target, &args.devices)?;
    let disks = Disks::of_patch(&patch, &images)?;
    let job = Job { ui, patch: &patch, images: &images, disks: &disks, way: Way::Undo };
    job.run(None, args.yes)
}

/// One patch on its way to the disks that it is for.
struct Job<'a> {
    ui: &'a Ui,
    patch: &'a Patch,
    images: &'a [Image],
    disks: &'a Disks<'a>,
    way: Way,
}

impl Job<'_> {
    fn run(&self, args: Option<&CommitArgs>, has_yes: bool) -> Outcome {
        let report_target = self.images.first().map(target::report_image).unwrap_or_default();
        let result = self.result(args, has_yes).map_err(|mut failure| {
            failure.target.get_or_insert_with(|| report_target.clone());
            failure
        })?;
        let name = match self.way {
            Way::Apply => "apply",
            Way::Undo => "undo",
        };
        self.ui.finish(name, &report_target, &result, || self.text(&result))?;
        Ok(())
    }

    fn result(&self, args: Option<&CommitArgs>, has_yes: bool) -> Outcome<Applied> {
        let found = self.disks.state(self.patch)?;
        self.disks.check_identity(self.patch)?;
        let done = match self.way {
            Way::Apply => State::Applied,
            Way::Undo => State::Unapplied,
        };
        if found == done {
            return Ok(self.report(found, None, Io::default()));
        }
        if matches!(found, State::Partial { .. }) {
            self.ui.warn(&format!("an earlier run was {}", describe(found)));
        }
        commit::check_free(self.disks, has_yes)?;
        let images: Vec<&Image> = self.images.iter().collect();
        let undo_path = args.map(|args| commit::undo_path(args, &images)).transpose()?.flatten();
        let undo_path = undo_path.as_deref();
        if !matches!(found, State::Foreign { .. }) {
            confirm::ask(self.ui, &self.question(undo_path), has_yes)?;
        }
        let done = commit(self.ui, self.disks, self.patch, self.way, undo_path, || Ok(()))?;
        let bytes_read = self.disks.bytes_read().saturating_add(done.bytes_read);
        let io = Io { bytes_read, bytes_written: done.bytes_written };
        Ok(self.report(done.found, done.undo_file.as_deref(), io))
    }

    fn report(&self, found: State, undo_file: Option<&Path>, io: Io) -> Applied {
        Applied {
            changed: io.bytes_written > 0,
            state_before: state_name(found),
            state_after: match self.way {
                Way::Apply => "applied",
                Way::Undo => "unapplied",
            },
            patch: crate::report::change::Patch {
                bytes_changed: self.patch.bytes_changed(),
                runs: len_u64(self.patch.runs().len()),
                unit: "range",
                path: None,
                apply_command: None,
            },
            undo_file: undo_file.map(super::shown),
            undo_command: undo_file.map(|path| commit::undo_command(path, self.disks)),
            io,
        }
    }

    fn question(&self, undo_path: Option<&Path>) -> String {
        let verb = match self.way {
            Way::Apply => "apply",
            Way::Undo => "take back",
        };
        let mut text = format!(
            "About to {verb} \"{}\" of {} on {}:\n",
            self.patch.description().command,
            self.patch.description().created,
            self.disks.name()
        );
        for note in &self.patch.description().files {
            text.push_str(&show::note_line(note));
        }
        add(
            &mut text,
            format_args!(
                "  {} in {}\n",
                count(self.patch.bytes_changed(), "byte"),
                count(len_u64(self.patch.runs().len()), "range")
            ),
        );
        if let Some(path) = undo_path {
            add(&mut text, format_args!("  undo file: {}\n", super::shown(path)));
        }
        text
    }

    fn text(&self, result: &Applied) -> String {
        let name = self.disks.name();
        let (is, it_is) =
            if self.images.len() > 1 { ("are", "they were") } else { ("is", "it was") };
        if !result.changed {
            return format!("nothing to do: {name} {is} already as wanted\n");
        }
        let mut text = match self.way {
            Way::Apply => format!("applied to {name}"),
            Way::Undo => format!("undone: {name} {is} as {it_is} before"),
        };
        add(
            &mut text,
            format_args!(
                " ({} written, read back and compared)\n",
                human::size(result.io.bytes_written)
            ),
        );
        if let Some(command) = &result.undo_command {
            add(&mut text, format_args!("undo with: {command}\n"));
        }
        text
    }
}
