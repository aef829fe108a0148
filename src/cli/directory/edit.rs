//! Writing an edit of a directory: nowhere, into a patch file, or into the directory.

use super::super::edit::Job;
use super::super::hints::shell_word;
use super::super::host_file::Fresh;
use super::super::human::{add, count};
use super::super::output::Outcome;
use super::super::{commit::Way, confirm, show, shown};
use super::{check_apart, commit, undo_command, undo_path};
use crate::bytes::arith::len_u64;
use crate::image::directory::Directory;
use crate::image::directory::record::How;
use crate::patch;
use crate::patch::files::{self, FilePatch};
use crate::report::change::{self, Change, Io};
use crate::session::directory::FilesEdit;
use crate::session::{Session, SessionVolume};
use std::path::Path;

impl Job<'_> {
    /// As `carry_out`, for a directory.
    pub(in crate::cli) fn carry_out_files(
        &self,
        session: &Session,
        directory: &Directory,
        edit: &FilesEdit,
        result: &mut Change,
    ) -> Outcome {
        let patch = &edit.patch;
        result.verified_by = Some(edit.verdict.reader().to_owned());
        result.patch = Some(report(patch));
        for path in files::leftovers_of_others(patch, directory)? {
            let target = shell_word(&shown(&directory.path));
            self.ui.warn(&format!(
                "{path} is left of an interrupted run: `regain undo PATCH {target}` with the patch of that run removes it"
            ));
        }
        if self.write.dry_run {
            result.changed = !patch.is_empty();
            if let Err(refusal) = directory.check_writable() {
                self.ui.warn(&format!("writing would be refused: {refusal}"));
            }
            return Ok(());
        }
        if let Some(key) = self.new_key {
            check_apart(key.path(), directory)?;
        }
        let mut fresh = Fresh::default();
        match &self.write.patch_out {
            Some(path) => {
                check_apart(path, directory)?;
                result.generated_key = self.store_key(&mut fresh)?;
                patch::store_files(patch, path)?;
                if let Some(report) = &mut result.patch {
                    let (path, target) = (shown(path), shown(&directory.path));
                    let words = format!("{} {}", shell_word(&path), shell_word(&target));
                    report.apply_command = Some(format!("regain apply {words}"));
                    report.path = Some(path);
                }
            }
            None => self.write_files(session, directory, patch, &mut fresh, result)?,
        }
        fresh.keep();
        Ok(())
    }

    fn write_files(
        &self,
        session: &Session,
        directory: &Directory,
        patch: &FilePatch,
        fresh: &mut Fresh,
        result: &mut Change,
    ) -> Outcome {
        directory.check_writable()?;
        let undo_path = undo_path(&self.write.commit, directory)?;
        let system = session.volumes.first().and_then(SessionVolume::describe_system);
        let question = question(directory, system, patch, result, undo_path.as_deref());
        confirm::ask(self.ui, &question, self.write.commit.yes)?;
        // Before the first write, so that no lost key is ever on the target.
        let prepare = || {
            result.generated_key = self.store_key(fresh)?;
            Ok(())
        };
        let done = commit(self.ui, directory, patch, Way::Apply, undo_path.as_deref(), prepare);
        let done = done.inspect_err(|failure| {
            if failure.error.target_modified() {
                fresh.keep();
            }
        })?;
        result.changed = done.objects_changed > 0;
        result.io = Io { bytes_read: 0, bytes_written: done.bytes_written };
        result.undo_file = done.undo_file.as_deref().map(shown);
        result.undo_command = done.undo_file.as_ref().map(|path| undo_command(path, directory));
        Ok(())
    }
}

/// Bytes that differ, and the files and directories that change for their own sake.
pub(super) fn report(patch: &FilePatch) -> change::Patch {
    let changed = patch.records().iter().filter(|record| record.how != How::Times).count();
    change::Patch {
        bytes_changed: patch.bytes_changed(),
        runs: len_u64(changed),
        unit: "file",
        path: None,
        apply_command: None,
    }
}

fn question(
    directory: &Directory,
    system: Option<String>,
    patch: &FilePatch,
    result: &Change,
    undo_path: Option<&Path>,
) -> String {
    let system = system.map(|system| format!(" ({system})")).unwrap_or_default();
    let mut text = format!("About to write to {}{system}:\n", shown(&directory.path));
    text.push_str(&show::file_lines(&result.changes));
    let (bytes, files) = (count(patch.bytes_changed(), "byte"), count(report(patch).runs, "file"));
    let reader = result.verified_by.as_deref().unwrap_or("nobody");
    add(&mut text, format_args!("  {bytes} in {files}, verified by {reader}\n"));
    match undo_path {
        Some(path) => add(&mut text, format_args!("  undo file: {}\n", shown(path))),
        None => text.push_str("  no undo file, as asked for\n"),
    }
    text
}
