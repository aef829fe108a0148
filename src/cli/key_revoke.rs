//! `regain key revoke`: takes keys out of every file that honours them, as one transaction.

use super::args::KeyRevoke;
use super::edit::Job;
use super::human::{add, count};
use super::output::{Failure, Outcome, Ui};
use super::{host_file, keys, target};
use crate::action::key_revoke::{self, KeyChoice, KeyName, KeyRevokeRequest};
use crate::action::{Outcome as UserOutcome, Plan, windows_key_revoke};
use crate::bytes::arith::len_u64;
use crate::error::{Context as _, Error, Result};
use crate::guest::System;
use crate::login::Fingerprint;
use crate::report::Target;
use crate::report::change::Change;
use crate::session::{OpenVolume, Session, clock};

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &KeyRevoke) -> Outcome {
    let time = clock::edit_time(args.write.reproducible)?;
    if let Some(path) = &args.write.patch_out {
        host_file::check_absent(path)?;
    }
    let users: Vec<Vec<u8>> = args.who.user.iter().map(|name| name.clone().into()).collect();
    let request = KeyRevokeRequest {
        keys: choice(ui, args)?,
        users: (!users.is_empty()).then_some(users),
        force: args.who.force,
        now: time,
    };
    let mut session = target::open(ui, &args.on, time)?;
    let mut report_target = target::report(&session);
    let (write, new_key) = (&args.write, None);
    let job = Job { ui, command: "key revoke", write, time, new_key, shows_notes: true };
    let volume = args.on.volume.as_deref();
    let outcome = revoke(&job, volume, &mut session, &mut report_target, &request);
    outcome.map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure.target.get_or_insert(report_target);
        failure
    })
}

/// The keys that are meant.
fn choice(ui: &Ui, args: &KeyRevoke) -> Outcome<KeyChoice> {
    if args.which.all {
        return Ok(KeyChoice::AllBut(Vec::new()));
    }
    let mut names = Vec::new();
    for text in &args.which.fingerprint {
        let fingerprint = Fingerprint::parse(text).map_err(|reason| {
            let shown = crate::bytes::text::escape_limited(text.as_bytes(), 128);
            Error::usage(format!("--fingerprint {shown}: {reason}"))
        })?;
        names.push(KeyName::Fingerprint(fingerprint));
    }
    names.extend(keys::read_key_names(ui, &args.which.key)?.into_iter().map(KeyName::Key));
    Ok(KeyChoice::Named(names))
}

fn plan_on(open: &OpenVolume, request: &KeyRevokeRequest) -> Result<Plan> {
    match &open.system {
        Ok(Some(System::Windows(_))) => windows_key_revoke::plan(open.file_system(), request),
        _ => key_revoke::plan(open.file_system(), request),
    }
}

fn revoke(
    job: &Job<'_>,
    volume: Option<&str>,
    session: &mut Session,
    report_target: &mut Target,
    request: &KeyRevokeRequest,
) -> Outcome {
    let index = target::choose(job.ui, session, volume)?;
    let volume = session.volume_at(index)?;
    report_target.volume_id = Some(volume.volume.id.clone());
    let plan = volume.read(|open| plan_on(open, request)).context(|| session.target_name())?;
    if let Some(error) = plan.refusal()
        && !plan.changes_something()
    {
        return Err(Box::new(refused(error, &plan)));
    }
    let result = job.run(session, index, &plan)?;
    if let Some(error) = plan.refusal() {
        return Err(partly_refused(error, &plan, &result));
    }
    Ok(job
        .ui
        .finish("key revoke", report_target, &result, || text(job, session, request, &result))?)
}

fn text(job: &Job<'_>, session: &Session, request: &KeyRevokeRequest, result: &Change) -> String {
    if result.changes.is_empty() {
        let reason = match &request.keys {
            KeyChoice::Named(names) if names.len() == 1 => "no file of these users has the key",
            KeyChoice::Named(_) => "no file of these users has one of the keys",
            KeyChoice::AllBut(_) => "these users have no key",
        };
        return format!("nothing to do: {reason}\n");
    }
    let is_planned = job.write.dry_run || job.write.patch_out.is_some();
    let verb = if is_planned { "takes keys out of" } else { "took keys out of" };
    let names: Vec<String> = result.users.iter().map(|user| user.name.escaped()).collect();
    let files = count(len_u64(result.changes.len()), "file");
    let mut text = format!("{}: {verb} {files}, of {}\n", job.head(), names.join(", "));
    text.push_str(&Job::body(result));
    let list = format!("regain key list {}", super::disks::session_arguments(session));
    text.push_str(&job.next_step(result, &format!("{list} shows the keys that are left")));
    text
}

/// Who would be left without a key.
fn refused(error: Error, plan: &Plan) -> Failure {
    let mut failure = Failure::from(error);
    let locked_out = plan.users.iter().filter(|user| user.outcome == UserOutcome::LastKey);
    failure.further = locked_out
        .skip(1)
        .map(|user| {
            let name = crate::bytes::text::escape_limited(&user.name, 64);
            format!("{name}: {}", user.reason.as_deref().unwrap_or("the last key"))
        })
        .collect();
    failure
}

/// The same when the keys of other users did go (LOGIN-137).
fn partly_refused(error: Error, plan: &Plan, result: &Change) -> Box<Failure> {
    let is_written = result.io.bytes_written > 0;
    let error = if is_written { error.after_first_write() } else { error };
    let mut failure = refused(error, plan);
    if is_written {
        failure.state =
            Some("the target was modified: the keys went for the other users".to_owned());
        if let Some(command) = &result.undo_command {
            let mut hint = format!("`{command}` takes that back; ");
            add(&mut hint, format_args!("--force takes the last key too"));
            failure.hint = Some(hint);
        }
    }
    Box::new(failure)
}
