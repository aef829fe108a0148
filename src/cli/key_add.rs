//! `regain key add`: public keys for a user, as one transaction.

use super::args::KeyAdd;
use super::commit::{self, Committed, Way, commit};
use super::host_file::Fresh;
use super::human::{self, add, count, styled};
use super::keys::{self, NewKey};
use super::output::{Failure, Outcome, Ui};
use super::{confirm, host_file, show, target};
use crate::action::key_add::{self, KeyAddRequest};
use crate::action::{FileChange, Plan, UserPlan};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, Result};
use crate::fs::Timestamp;
use crate::fs::path::GuestPath;
use crate::guest::select::UserChoice;
use crate::image::in_use::in_use_report;
use crate::login::Finding;
use crate::login::public_key::PublicKey;
use crate::patch::{self, Patch};
use crate::report::Target;
use crate::report::change::{self, Change, GeneratedKey, Io};
use crate::session::edit::Edit;
use crate::session::{Session, SessionVolume, clock};
use std::path::{Path, PathBuf};

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &KeyAdd) -> Outcome {
    let time = clock::edit_time(args.write.reproducible)?;
    if let Some(path) = &args.write.patch_out {
        host_file::check_absent(path)?;
    }
    keys::check_names(&args.keys)?;
    let public_keys = keys::read_public_keys(ui, &args.keys.key)?;
    let mut session = target::open(ui, &args.target, time)?;
    let mut report_target = target::report(&session);
    // Only now, because an RSA key takes long.
    let new_key = keys::generate(&args.keys)?;
    let request = request(args, public_keys, new_key.as_ref(), time);
    let key_count = request.keys.len();
    let outcome =
        Job { ui, args, time, key_count, new_key }.run(&mut session, &mut report_target, &request);
    outcome.map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure.target.get_or_insert(report_target);
        failure
    })
}

fn request(
    args: &KeyAdd,
    mut public_keys: Vec<PublicKey>,
    new_key: Option<&NewKey>,
    time: Timestamp,
) -> KeyAddRequest {
    public_keys.extend(new_key.map(|key| key.public.clone()));
    let users = match (args.who.all_users, args.who.user.as_slice()) {
        (true, _) => UserChoice::All,
        (false, []) => UserChoice::Default,
        (false, names) => UserChoice::Named(names.iter().map(|name| name.clone().into()).collect()),
    };
    KeyAddRequest {
        keys: public_keys,
        users,
        options: args.keys.options.clone(),
        fix: args.who.fix,
        force: args.who.force,
        now: time,
    }
}

/// One run of the command.
struct Job<'a> {
    ui: &'a Ui,
    args: &'a KeyAdd,
    time: Timestamp,
    key_count: usize,
    new_key: Option<NewKey>,
}

impl Job<'_> {
    fn run(
        &self,
        session: &mut Session,
        report_target: &mut Target,
        request: &KeyAddRequest,
    ) -> Outcome {
        let index = target::choose(self.ui, session, self.args.volume.volume.as_deref())?;
        let volume = session.volume_at(index)?;
        report_target.volume_id = Some(volume.volume.id.clone());
        target::check_linux(volume, "key add")?;
        let plan = volume
            .read(|open| key_add::plan(open.file_system(), request))
            .context(|| session.target_name())?;
        if let Some(error) = plan.refusal()
            && !plan.changes_something()
        {
            let failure = refused(error, &plan);
            return Err(Box::new(failure.hint(way_out(volume, request))));
        }
        let mut result = self.report(session, index, &plan)?;
        for warning in &result.warnings {
            self.ui.warn(warning);
        }
        for finding in &result.findings {
            self.show_finding(finding);
        }
        if plan.changes_something() {
            let edit = session.edit(index, &plan, "key add", self.time)?;
            self.carry_out(session, index, &edit, &mut result)?;
        }
        result.io.bytes_read = result.io.bytes_read.saturating_add(session.bytes_read());
        if let Some(error) = plan.refusal() {
            return Err(partly_refused(error, &plan, &result));
        }
        Ok(self.ui.finish("key add", report_target, &result, || self.text(session, &result))?)
    }

    /// Everything that is known before an edit.
    fn report(&self, session: &Session, index: usize, plan: &Plan) -> Outcome<Change> {
        let volume = session.volume_at(index)?;
        Ok(Change {
            changed: false,
            dry_run: self.args.write.dry_run,
            volume_id: volume.volume.id.clone(),
            users: plan.users.iter().map(user).collect(),
            changes: plan.changes.iter().map(file_change).collect(),
            findings: plan.findings.iter().map(finding).collect(),
            warnings: volume.warnings(),
            verified_by: None,
            patch: None,
            undo_file: None,
            undo_command: None,
            generated_key: None,
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
        result.verified_by = Some(edit.verdict.reader().to_owned());
        result.patch = Some(change::Patch {
            bytes_changed: patch.bytes_changed(),
            runs: len_u64(patch.runs().len()),
            path: None,
        });
        if self.args.write.dry_run {
            result.changed = !patch.is_empty();
            if let Some(refusal) = in_use_report(&session.image)? {
                self.ui.warn(&format!("writing would be refused: {refusal}"));
            }
            return Ok(());
        }
        if let Some(key) = &self.new_key {
            key.check_apart(&session.image)?;
        }
        let mut fresh = Fresh::default();
        match &self.args.write.patch_out {
            Some(path) => self.write_patch(session, patch, path, &mut fresh, result)?,
            None => self.write_target(session, index, patch, &mut fresh, result)?,
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
        host_file::check_apart(path, &session.image)?;
        result.generated_key = self.store_key(fresh)?;
        patch::store(patch, path)?;
        if let Some(report) = &mut result.patch {
            report.path = Some(super::shown(path));
        }
        Ok(())
    }

    fn write_target(
        &self,
        session: &Session,
        index: usize,
        patch: &Patch,
        fresh: &mut Fresh,
        result: &mut Change,
    ) -> Outcome {
        commit::check_free(&session.image)?;
        let undo_path = commit::undo_path(&self.args.write.commit, &session.image)?;
        let system = session.volume_at(index)?.describe_system();
        let question = question(session, system, patch, result, undo_path.as_deref());
        confirm::ask(self.ui, &question, self.args.write.commit.yes)?;
        // Before the first write, so that no lost key is ever on the target.
        let prepare = || {
            result.generated_key = self.store_key(fresh)?;
            Ok(())
        };
        let undo_path = undo_path.as_deref();
        let done = commit(self.ui, &session.image, patch, Way::Apply, undo_path, prepare);
        let done = done.inspect_err(|failure| {
            if failure.error.target_modified() {
                fresh.keep();
            }
        })?;
        note_committed(session, &done, result);
        Ok(())
    }

    fn store_key(&self, fresh: &mut Fresh) -> Result<Option<GeneratedKey>> {
        self.new_key.as_ref().map(|key| key.store(fresh)).transpose()
    }

    fn show_finding(&self, finding: &change::Finding) {
        let text = format!("{}: {} ({})", finding.subject, finding.message, finding.rule);
        match finding.severity {
            "info" => self.ui.detail(&text),
            _ => self.ui.warn(&text),
        }
    }

    fn text(&self, session: &Session, result: &Change) -> String {
        let styles = self.ui.styles;
        if result.changes.is_empty() {
            return format!("nothing to do: {}\n", already(result));
        }
        let (head, verb) = match (&self.args.write.patch_out, self.args.write.dry_run) {
            (_, true) => ("plan, nothing written", "adds"),
            (Some(_), _) => ("patch written, target untouched", "adds"),
            (None, false) => ("done", "added"),
        };
        let names: Vec<String> = result.users.iter().map(|user| user.name.escaped()).collect();
        let keys = count(len_u64(self.key_count), "key");
        let head = styled(styles.good, head);
        let mut text = format!("{head}: {verb} {keys} for {}\n", names.join(", "));
        for change in &result.changes {
            text.push_str(&show::file_line(change));
        }
        text.push_str(&bytes_line(result));
        if let Some(key) = &result.generated_key {
            add(&mut text, format_args!("new key: {} ({})\n", key.path, key.fingerprint));
        }
        text.push_str(&self.next_step(session, result, &names));
        text
    }

    fn next_step(&self, session: &Session, result: &Change, names: &[String]) -> String {
        use super::hints::shell_word;
        let target = shell_word(&session.target_name());
        if self.args.write.dry_run {
            return "next: the same command without --dry-run\n".to_owned();
        }
        if let Some(path) = &self.args.write.patch_out {
            let path = shell_word(&super::shown(path));
            return format!("next: regain show {path}; regain apply {path} {target}\n");
        }
        let mut text = String::new();
        if let Some(command) = &result.undo_command {
            add(&mut text, format_args!("undo with: {command}\n"));
        }
        let key = result.generated_key.as_ref().map(|key| shell_word(&key.path));
        let key = key.map(|path| format!("-i {path} ")).unwrap_or_default();
        let user = names.first().map_or("USER", String::as_str);
        add(
            &mut text,
            format_args!("next: start the machine from this disk, then ssh {key}{user}@HOST\n"),
        );
        text
    }
}

fn note_committed(session: &Session, done: &Committed, result: &mut Change) {
    result.changed = done.bytes_written > 0;
    result.io = Io { bytes_read: done.bytes_read, bytes_written: done.bytes_written };
    result.undo_file = done.undo_file.as_deref().map(super::shown);
    let command = |path: &PathBuf| commit::undo_command(path, &session.image);
    result.undo_command = done.undo_file.as_ref().map(command);
}

/// What is asked before the first write.
fn question(
    session: &Session,
    system: Option<String>,
    patch: &Patch,
    result: &Change,
    undo_path: Option<&Path>,
) -> String {
    let mut text = format!("About to write to {}, ", session.target_name());
    let system = system.map(|system| format!(" ({system})")).unwrap_or_default();
    add(&mut text, format_args!("volume {}{system}:\n", result.volume_id));
    for change in &result.changes {
        text.push_str(&show::file_line(change));
    }
    add(
        &mut text,
        format_args!(
            "  {} in {}, verified by {}\n",
            count(patch.bytes_changed(), "byte"),
            count(len_u64(patch.runs().len()), "range"),
            result.verified_by.as_deref().unwrap_or("nobody")
        ),
    );
    match undo_path {
        Some(path) => add(&mut text, format_args!("  undo file: {}\n", super::shown(path))),
        None => text.push_str("  no undo file, as asked for\n"),
    }
    text
}

fn bytes_line(result: &Change) -> String {
    let Some(patch) = &result.patch else { return String::new() };
    let reader = result.verified_by.as_deref().unwrap_or("nobody");
    let mut text = format!(
        "  {} in {}, verified by {reader}",
        count(patch.bytes_changed, "byte"),
        count(patch.runs, "range")
    );
    if result.io.bytes_written > 0 {
        let written = human::size(result.io.bytes_written);
        add(&mut text, format_args!("; {written} written, read back and compared"));
    }
    text.push('\n');
    text
}

fn already(result: &Change) -> String {
    let users: Vec<String> = result
        .users
        .iter()
        .map(|user| format!("{} has the key in {}", user.name.escaped(), user.path.escaped()))
        .collect();
    users.join(", ")
}

fn user(plan: &UserPlan) -> change::ChangedUser {
    change::ChangedUser {
        name: plan.name.clone().into(),
        outcome: plan.outcome.name(),
        reason: plan.reason.clone(),
        path: plan.path.as_ref().map(GuestPath::as_bytes).unwrap_or_default().into(),
    }
}

fn file_change(change: &FileChange) -> change::FileChange {
    change::FileChange {
        path: change.path().as_bytes().into(),
        action: change.action_name().to_owned(),
        detail: change.detail().to_owned(),
    }
}

fn finding(finding: &Finding) -> change::Finding {
    change::Finding {
        rule: finding.rule.to_owned(),
        check: finding.check,
        severity: finding.severity.name(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
        fix: finding.fix.clone(),
    }
}

/// Every reason against the login, when nothing was changed for anybody.
fn refused(error: Error, plan: &Plan) -> Failure {
    let mut failure = Failure::from(error);
    let blocking = plan.findings.iter().filter(|finding| finding.is_blocking());
    failure.further = blocking
        .map(|finding| match &finding.fix {
            Some(fix) => format!("{finding}; fix: {fix}"),
            None => finding.to_string(),
        })
        .collect();
    failure
}

/// The same when other users did get their key (LOGIN-137).
fn partly_refused(error: Error, plan: &Plan, result: &Change) -> Box<Failure> {
    let error = if result.io.bytes_written > 0 { error.after_first_write() } else { error };
    let mut failure = refused(error, plan);
    if result.io.bytes_written > 0 {
        failure.state =
            Some("the target was modified: the key was added for the other users".to_owned());
        if let Some(command) = &result.undo_command {
            let hint = format!("`{command}` takes that back; --fix or --user may help the rest");
            failure.hint = Some(hint);
        }
    }
    Box::new(failure)
}

/// What helps against a refusal: `--fix` only if it really repairs everything.
fn way_out(volume: &SessionVolume, request: &KeyAddRequest) -> &'static str {
    let with_fix = KeyAddRequest { fix: true, ..request.clone() };
    let fixed = volume.read(|open| key_add::plan(open.file_system(), &with_fix));
    if fixed.is_ok_and(|plan| plan.refusal().is_none()) {
        return "add --fix: it repairs what is in the way, and says what it changes";
    }
    "name another user with --user; --fix cannot repair this, and --force adds the key although sshd \
     would not accept it"
}
