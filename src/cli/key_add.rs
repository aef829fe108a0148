//! `regain key add` and `regain key rotate`: public keys for a user, as one transaction.

use super::args::{AddArgs, KeyAdd, KeyFormat, KeyRotate};
use super::edit::Job;
use super::hints::shell_word;
use super::human::{add, count};
use super::keys::{self, NewKey};
use super::output::{Failure, Outcome, Ui};
use super::{host_file, target};
use crate::action::fix_login::Also;
use crate::action::key_add::{self, KeyAddRequest};
use crate::action::{Plan, key_judge, key_rotate, windows_key, windows_key_revoke};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, ErrorKind, Refusal, Result};
use crate::fs::{FileSystem, Timestamp};
use crate::guest::System;
use crate::guest::select::UserChoice;
use crate::login::public_key::PublicKey;
use crate::report::Target;
use crate::report::change::{Change, Finding};
use crate::session::{OpenVolume, Session, SessionVolume, clock};
use std::collections::BTreeSet;

/// Bound on the reasons that are shown for an answer that is not known.
const REASONS_MAX: usize = 3;

/// What tells `key add` and `key rotate` apart.
#[derive(Debug, Clone, Copy)]
struct Way {
    command: &'static str,
    plan: fn(&OpenVolume, &KeyAddRequest) -> Result<Plan>,
    /// "adds", "added"
    verbs: [&'static str; 2],
    shows_notes: bool,
}

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &KeyAdd) -> Outcome {
    let verbs = ["adds", "added"];
    run_as(ui, &args.add, Way { command: "key add", plan: plan_on, verbs, shows_notes: false })
}

/// Runs `key rotate`, which is the same and takes the other keys out.
pub(crate) fn rotate(ui: &Ui, args: &KeyRotate) -> Outcome {
    let verbs = ["rotates to", "rotated to"];
    run_as(
        ui,
        &args.add,
        Way { command: "key rotate", plan: rotation_on, verbs, shows_notes: true },
    )
}

fn run_as(ui: &Ui, args: &AddArgs, way: Way) -> Outcome {
    let time = clock::edit_time(args.write.reproducible)?;
    if let Some(path) = &args.write.patch_out {
        host_file::check_absent(path)?;
    }
    keys::check_names(&args.keys)?;
    let public_keys = keys::read_public_keys(ui, &args.keys.key)?;
    let mut session = target::open(ui, &args.on, time)?;
    let mut report_target = target::report(&session);
    // Only now, because an RSA key takes long.
    let new_key = keys::generate(ui, &args.keys)?;
    // A fixed clock is for the bytes; what has expired is decided by the day (LOGIN-4).
    let today = clock::edit_time(false)?;
    let request = request(args, public_keys, new_key.as_ref(), today);
    let key_count = request.keys.len();
    let new_key = new_key.as_ref();
    let Way { command, shows_notes, .. } = way;
    let job = Job { ui, command, write: &args.write, time, new_key, shows_notes };
    let outcome =
        KeyJob { way, job, args, key_count }.run(&mut session, &mut report_target, &request);
    outcome.map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure.target.get_or_insert(report_target);
        failure
    })
}

fn request(
    args: &AddArgs,
    mut public_keys: Vec<PublicKey>,
    new_key: Option<&NewKey>,
    today: Timestamp,
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
        fix: args.who.fix || !args.who.fix_also.is_empty(),
        fix_also: args.who.fix_also.iter().map(|&word| word.into()).collect(),
        force: args.who.force,
        now: today,
    }
}

/// Refuses repairs that are known for Linux only.
fn check_repairs(open: &OpenVolume, request: &KeyAddRequest) -> Result<()> {
    if matches!(&open.system, Ok(Some(System::Windows(_)))) && !request.fix_also.is_empty() {
        return Err(Error::usage("--fix-also is about the SSH server of a Linux system"));
    }
    Ok(())
}

/// The plan for the system on the volume, whichever it is.
fn plan_on(open: &OpenVolume, request: &KeyAddRequest) -> Result<Plan> {
    check_repairs(open, request)?;
    match &open.system {
        Ok(Some(System::Windows(_))) => windows_key::plan(open.file_system(), request),
        _ => key_add::plan(open.file_system(), request),
    }
}

/// The same for `key rotate`.
fn rotation_on(open: &OpenVolume, request: &KeyAddRequest) -> Result<Plan> {
    check_repairs(open, request)?;
    match &open.system {
        Ok(Some(System::Windows(_))) => windows_key_revoke::rotate(open.file_system(), request),
        _ => key_rotate::plan(open.file_system(), request),
    }
}

/// One run of the command.
struct KeyJob<'a> {
    way: Way,
    job: Job<'a>,
    args: &'a AddArgs,
    key_count: usize,
}

impl KeyJob<'_> {
    fn run(
        &self,
        session: &mut Session,
        report_target: &mut Target,
        request: &KeyAddRequest,
    ) -> Outcome {
        let ui = self.job.ui;
        let index = target::choose(ui, session, self.args.on.volume.as_deref())?;
        let volume = session.volume_at(index)?;
        report_target.volume_id = Some(volume.volume.id.clone());
        let plan =
            volume.read(|open| (self.way.plan)(open, request)).context(|| session.target_name())?;
        if let Some(error) = plan.refusal()
            && !plan.changes_something()
        {
            let failure = refused(error, &plan);
            return Err(Box::new(failure.hint(self.way_out(volume, request))));
        }
        let is_linux = matches!(volume.system(), Some(System::Linux(_)));
        let judge = |fs: &dyn FileSystem| {
            if is_linux { key_judge::judge(fs, request, &plan) } else { Ok(Vec::new()) }
        };
        let result = self.job.run_judged(session, index, &plan, &judge).map_err(unhelpful)?;
        if let Some(error) = plan.refusal() {
            return Err(partly_refused(error, &plan, &result));
        }
        Ok(ui.finish(self.way.command, report_target, &result, || self.text(&result))?)
    }

    fn text(&self, result: &Change) -> String {
        if result.changes.is_empty() {
            return format!("nothing to do: {}\n", already(result));
        }
        let [planned, done] = self.way.verbs;
        let is_planned = self.job.write.dry_run || self.job.write.patch_out.is_some();
        let verb = if is_planned { planned } else { done };
        let names: Vec<String> = result.users.iter().map(|user| user.name.escaped()).collect();
        let keys = count(len_u64(self.key_count), "key");
        let mut text = format!("{}: {verb} {keys} for {}\n", self.job.head(), names.join(", "));
        text.push_str(&Job::body(result));
        for user in &result.users {
            if let Some(verdict) = user.verdict {
                let name = user.name.escaped();
                add(
                    &mut text,
                    format_args!("  verdict of the sshd of this disk: {verdict} ({name})\n"),
                );
            }
        }
        let open = result.findings.iter().filter(|finding| finding.undecided);
        for finding in open.take(REASONS_MAX) {
            let Finding { subject, message, .. } = finding;
            add(&mut text, format_args!("    not known: {subject}: {message}\n"));
        }
        if let Some(key) = &result.generated_key {
            add(&mut text, format_args!("new key: {} ({})\n", key.path, key.fingerprint));
        }
        let program = match (&result.generated_key, self.args.keys.key_format) {
            (Some(key), KeyFormat::Ppk) => format!("plink -i {}", shell_word(&key.path)),
            (Some(key), _) => format!("ssh -i {}", shell_word(&key.path)),
            (None, _) => "ssh".to_owned(),
        };
        let user = names.first().map_or("USER", String::as_str);
        let after = format!("start the machine from this disk, then {program} {user}@HOST");
        text.push_str(&self.job.next_step(result, &after));
        text
    }

    /// What helps against a refusal: options only if they really repair everything.
    fn way_out(&self, volume: &SessionVolume, request: &KeyAddRequest) -> String {
        let plan = |request: &KeyAddRequest| volume.read(|open| (self.way.plan)(open, request));
        if let Some(options) = options_that_help(&plan, request) {
            return format!(
                "add {options}: it repairs what is in the way, and says what it changes"
            );
        }
        let refusal = plan(request).ok().and_then(|plan| plan.refusal());
        if refusal.is_some_and(|error| is_about_last_key(&error)) {
            return "--all-users gives the new key to everybody; --force takes the old one from them \
                    without"
                .to_owned();
        }
        "name another user with --user; --fix cannot repair this, and --force adds the key although \
         sshd would not accept it"
            .to_owned()
    }
}

/// The options with which a plan refuses nobody; empty if it needs none.
pub(super) fn options_that_help(
    plan: &dyn Fn(&KeyAddRequest) -> Result<Plan>,
    request: &KeyAddRequest,
) -> Option<String> {
    let fixing = KeyAddRequest { fix: true, ..request.clone() };
    let with_fix = plan(&fixing).ok()?;
    if with_fix.refusal().is_none() {
        let needs_none = plan(request).is_ok_and(|plan| plan.refusal().is_none());
        return Some(if needs_none { String::new() } else { "--fix".to_owned() });
    }
    let blocking = with_fix.findings.iter().filter(|finding| finding.is_blocking());
    let fix_also: BTreeSet<Also> = blocking.filter_map(|f| Also::of_check(f.check)).collect();
    let options: Vec<String> = fix_also.iter().map(|also| format!("--fix-also {also}")).collect();
    let named = plan(&KeyAddRequest { fix_also, ..fixing }).ok()?;
    named.refusal().is_none().then(|| options.join(" "))
}

/// An edit that sshd's rules refuse afterwards, although nothing stood against it before.
fn unhelpful(mut failure: Box<Failure>) -> Box<Failure> {
    if matches!(failure.error.kind(), ErrorKind::Refused(Refusal::WouldNotAccept { .. })) {
        let hint = "`regain key check` shows every reason; --force makes the edit all the same";
        failure.hint.get_or_insert_with(|| hint.to_owned());
    }
    failure
}

fn is_about_last_key(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Refused(Refusal::LastKey { .. }))
}

fn already(result: &Change) -> String {
    let users: Vec<String> = result
        .users
        .iter()
        .map(|user| format!("{} has the key in {}", user.name.escaped(), user.path.escaped()))
        .collect();
    users.join(", ")
}

/// Every reason against the login, when nothing was changed for anybody.
pub(super) fn refused(error: Error, plan: &Plan) -> Failure {
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
