//! The one way from a plan to a report, shared by every command that edits: what was found, the edit in
//! memory, the question, then nowhere (`--dry-run`), into a patch file, or onto the target.

use super::args::WriteArgs;
use super::commit::{self, Committed, Way, commit};
use super::disks::Disks;
use super::edit_report::{bytes_line, file_change, finding, image_warnings, question, user};
use super::hints::shell_word;
use super::host_file::Fresh;
use super::human::{add, styled};
use super::keys::NewKey;
use super::output::{Outcome, Ui};
use super::{confirm, host_file, show};
use crate::action::Plan;
use crate::action::key_judge::UserVerdict;
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Result};
use crate::fs::{FileSystem, Timestamp};
use crate::image::Image;
use crate::image::in_use::Look;
use crate::patch::{self, Patch};
use crate::report::change::{self, Change, GeneratedKey, Io};
use crate::session::Session;
use crate::session::edit::Edit;
use std::path::{Path, PathBuf};

/// One run of a command that edits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) ui: &'a Ui,
    /// The command without its arguments, as in "key add".
    pub(super) command: &'static str,
    pub(super) write: &'a WriteArgs,
    pub(super) time: Timestamp,
    /// A key pair that is to be stored before the first write.
    pub(super) new_key: Option<&'a NewKey>,
    /// True if notes are part of what the user must know before the question.
    pub(super) shows_notes: bool,
}

impl Job<'_> {
    /// Tells what was found, and carries out `plan` on the volume at `index`, if it changes anything.
    pub(super) fn run(&self, session: &mut Session, index: usize, plan: &Plan) -> Outcome<Change> {
        self.run_judged(session, index, plan, &|_| Ok(Vec::new()))
    }

    /// As [`Job::run`]; `judge` says what sshd makes of the volume as it is then, and may refuse that.
    pub(super) fn run_judged(
        &self,
        session: &mut Session,
        index: usize,
        plan: &Plan,
        judge: &dyn Fn(&dyn FileSystem) -> Result<Vec<UserVerdict>>,
    ) -> Outcome<Change> {
        let mut result = self.report(session, index, plan)?;
        for warning in &result.warnings {
            self.ui.warn(warning);
        }
        for finding in &result.findings {
            self.show_finding(finding);
        }
        if plan.changes_something() {
            let mut verdicts = Vec::new();
            let mut after = |fs: &dyn FileSystem| {
                verdicts = judge(fs)?;
                Ok(())
            };
            if let Some(directory) = session.directory().cloned() {
                let (command, time) = (self.command, self.time);
                let edit = session.edit_directory(index, plan, command, time, &mut after)?;
                self.note_verdicts(&mut result, verdicts);
                self.carry_out_files(session, &directory, &edit, &mut result)?;
            } else {
                let edit =
                    session.edit_checked(index, plan, self.command, self.time, &mut after)?;
                self.note_verdicts(&mut result, verdicts);
                self.carry_out(session, index, &edit, &mut result)?;
            }
        } else {
            let judged = session.volume_at(index)?.read(|open| judge(open.file_system()));
            self.note_verdicts(&mut result, judged.context(|| session.target_name())?);
        }
        result.io.bytes_read = result.io.bytes_read.saturating_add(session.bytes_read());
        Ok(result)
    }

    /// Takes over what sshd makes of the volume as it is then.
    fn note_verdicts(&self, result: &mut Change, verdicts: Vec<UserVerdict>) {
        for judged in verdicts {
            for user in result.users.iter_mut().filter(|user| user.name.0 == judged.name) {
                user.verdict = Some(judged.verdict.name());
            }
            for found in judged.findings.iter().map(finding) {
                if !result.findings.contains(&found) {
                    self.show_finding(&found);
                    result.findings.push(found);
                }
            }
        }
    }

    /// Everything that is known before an edit.
    fn report(&self, session: &Session, index: usize, plan: &Plan) -> Outcome<Change> {
        let volume = session.volume_at(index)?;
        Ok(Change {
            changed: false,
            dry_run: self.write.dry_run,
            volume_id: volume.volume.id.clone(),
            users: plan.users.iter().map(user).collect(),
            changes: plan.changes.iter().map(file_change).collect(),
            findings: plan.findings.iter().map(finding).collect(),
            warnings: image_warnings(session).chain(session.warnings_about(index, plan)?).collect(),
            verified_by: None,
            patch: None,
            undo_file: None,
            undo_command: None,
            generated_key: None,
            generated_password: None,
            io: Io::default(),
        })
    }

    /// Writes the edit: nowhere, into a patch file, or onto the target.
    fn carry_out(
        &self,
        session: &Session,
        index: usize,
        edit: &Edit,
        result: &mut Change,
    ) -> Outcome {
        let patch = &edit.patch;
        let disks = Disks::of_edit(session, &edit.disks)?;
        result.verified_by = Some(edit.verdict.reader().to_owned());
        result.patch = Some(change::Patch {
            bytes_changed: patch.bytes_changed(),
            runs: len_u64(patch.runs().len()),
            unit: "range",
            path: None,
            apply_command: None,
        });
        if self.write.dry_run {
            result.changed = !patch.is_empty();
            if let Some(refusal) = disks.in_use(Look::Thorough)? {
                self.ui.warn(&format!("writing would be refused: {refusal}"));
            }
            return Ok(());
        }
        if let Some(key) = self.new_key {
            session.disks().try_for_each(|disk| key.check_apart(&disk.image))?;
        }
        let mut fresh = Fresh::default();
        match &self.write.patch_out {
            Some(path) => {
                self.write_patch(session, patch, path, &mut fresh, result)?;
                if let Some(report) = &mut result.patch {
                    let path = super::shown(path);
                    let command =
                        format!("regain apply {} {}", shell_word(&path), disks.arguments());
                    (report.path, report.apply_command) = (Some(path), Some(command));
                }
            }
            None => self.write_target(session, index, (patch, &disks), &mut fresh, result)?,
        }
        fresh.keep();
        Ok(())
    }

    fn write_patch(
        &self,
        session: &Session,
        patch: &Patch,
        path: &Path,
        fresh: &mut Fresh,
        result: &mut Change,
    ) -> Outcome {
        session.disks().try_for_each(|disk| host_file::check_apart(path, &disk.image))?;
        result.generated_key = self.store_key(fresh)?;
        patch::store(patch, path)?;
        Ok(())
    }

    fn write_target(
        &self,
        session: &Session,
        index: usize,
        (patch, disks): (&Patch, &Disks<'_>),
        fresh: &mut Fresh,
        result: &mut Change,
    ) -> Outcome {
        commit::check_free(disks, self.write.commit.yes)?;
        let images: Vec<&Image> = session.disks().map(|disk| &disk.image).collect();
        let undo_path = commit::undo_path(&self.write.commit, &images)?;
        let system = session.volume_at(index)?.describe_system();
        let question = question(disks, system, patch, result, undo_path.as_deref());
        confirm::ask(self.ui, &question, self.write.commit.yes)?;
        // Before the first write, so that no lost key is ever on the target.
        let prepare = || {
            result.generated_key = self.store_key(fresh)?;
            Ok(())
        };
        let undo_path = undo_path.as_deref();
        let done = commit(self.ui, disks, patch, Way::Apply, undo_path, prepare);
        let done = done.inspect_err(|failure| {
            if failure.error.target_modified() {
                fresh.keep();
            }
        })?;
        note_committed(disks, &done, result);
        Ok(())
    }

    pub(super) fn store_key(&self, fresh: &mut Fresh) -> Result<Option<GeneratedKey>> {
        self.new_key.map(|key| key.store(fresh)).transpose()
    }

    fn show_finding(&self, finding: &change::Finding) {
        let text = format!("{}: {} ({})", finding.subject, finding.message, finding.rule);
        match finding.severity {
            "info" if self.shows_notes => self.ui.note(&text),
            "info" => self.ui.detail(&text),
            _ => self.ui.warn(&text),
        }
    }

    /// The first word of the text about a change that was made or planned.
    pub(super) fn head(&self) -> String {
        let head = match (&self.write.patch_out, self.write.dry_run) {
            (_, true) => "plan, nothing written",
            (Some(_), _) => "patch written, target untouched",
            (None, false) => "done",
        };
        styled(self.ui.styles.good, head)
    }

    /// The files and bytes of a change.
    pub(super) fn body(result: &Change) -> String {
        let mut text = show::file_lines(&result.changes);
        text.push_str(&bytes_line(result));
        text
    }

    /// What to do next; `after` is what there is to say once the target is written.
    pub(super) fn next_step(&self, result: &Change, after: &str) -> String {
        if self.write.dry_run {
            return "next: the same command without --dry-run\n".to_owned();
        }
        if let (Some(path), Some(patch)) = (&self.write.patch_out, &result.patch) {
            let path = shell_word(&super::shown(path));
            let apply = patch.apply_command.as_deref().unwrap_or_default();
            return format!("next: regain show {path}; {apply}\n");
        }
        let mut text = String::new();
        if let Some(command) = &result.undo_command {
            add(&mut text, format_args!("undo with: {command}\n"));
        }
        add(&mut text, format_args!("next: {after}\n"));
        text
    }
}

fn note_committed(disks: &Disks<'_>, done: &Committed, result: &mut Change) {
    result.changed = done.bytes_written > 0;
    result.io = Io { bytes_read: done.bytes_read, bytes_written: done.bytes_written };
    result.undo_file = done.undo_file.as_deref().map(super::shown);
    let command = |path: &PathBuf| commit::undo_command(path, disks);
    result.undo_command = done.undo_file.as_ref().map(command);
}
