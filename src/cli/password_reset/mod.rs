//! `regain password reset`: Windows sets a new password at its next boot; Linux gets one for its
//! serial console.
//!
//! A password comes from a file, from standard input, or is made here; it is never an argument, and never in a
//! message, a finding or the description of a patch. A made one is shown once, after the change is written.
//! Which of the two it is, the volume decides: an option of the other one is refused by its name.

mod linux;
mod windows;

use super::args::{PasswordReset, ResetArgs};
use super::edit::Job;
use super::human::add;
use super::output::{Outcome, Ui};
use super::{host_file, target};
use crate::error::{Error, Result};
use crate::guest::System;
use crate::guest::windows::format::Password;
use crate::guest::windows::format::password::PASSWORD_UNITS_MAX;
use crate::report::Target;
use crate::report::change::Change;
use crate::session::{Session, clock};

/// Bound on a password file, in bytes: every unit at its longest, a byte order mark and a line end.
const PASSWORD_FILE_BYTES_MAX: u64 = 1024;
const _: () = assert!(PASSWORD_UNITS_MAX < 300);

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &PasswordReset) -> Outcome {
    let time = clock::edit_time(args.write.reproducible)?;
    if let Some(path) = &args.write.patch_out {
        host_file::check_absent(path)?;
    }
    let password = password(&args.how)?;
    let clears_log = args.how.windows.clear_ntfs_log;
    let mut session = target::open_with(ui, &args.on, time, clears_log)?;
    let mut report_target = target::report(&session);
    let write = &args.write;
    let job = Job { ui, command: "password reset", write, time, new_key: None, shows_notes: true };
    let run = Run { job, args, password };
    run.on_the_system(&mut session, &mut report_target).map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure.target.get_or_insert(report_target);
        failure
    })
}

/// The password that was given or is to be made.
fn password(args: &ResetArgs) -> Result<Option<Password>> {
    if args.generate {
        return Ok(Some(Password::generate()?));
    }
    let Some(path) = &args.password_file else { return Ok(None) };
    let content = host_file::read_small(path, "the password file", PASSWORD_FILE_BYTES_MAX)?;
    let password = Password::from_file(&content);
    Ok(Some(password.map_err(|defect| Error::usage(format!("--password-file: {defect}")))?))
}

/// One run of the command.
struct Run<'a> {
    job: Job<'a>,
    args: &'a PasswordReset,
    password: Option<Password>,
}

impl Run<'_> {
    fn on_the_system(&self, session: &mut Session, report_target: &mut Target) -> Outcome {
        let index = target::choose(self.job.ui, session, self.args.on.volume.as_deref())?;
        let volume = session.volume_at(index)?;
        report_target.volume_id = Some(volume.volume.id.clone());
        match volume.system() {
            Some(System::Linux(_)) => self.on_linux(session, index, report_target),
            _ => self.on_windows(session, index, report_target),
        }
    }

    /// Shows a made password, once: only after it was written.
    fn show_password(&self, result: &mut Change) {
        if self.args.how.generate && !result.changes.is_empty() && !result.dry_run {
            let password = self.password.as_ref();
            result.generated_password = password.map(|password| password.expose().to_owned());
        }
    }
}

/// Refuses options that mean nothing on this system: to ignore one would be a lie.
fn check_options(system: &str, given: &[(bool, &str)]) -> Result<()> {
    match given.iter().find(|(is_given, _)| *is_given) {
        Some((_, option)) => {
            Err(Error::usage(format!("{option} has no meaning on a {system} system")))
        }
        None => Ok(()),
    }
}

/// The user whose password it is, safe to print.
fn user_name(result: &Change) -> String {
    result.users.first().map(|user| user.name.escaped()).unwrap_or_default()
}

/// The text about a change: `same` says what is so already if there is none, `new` what there will be; `after` is what
/// to do once it is written.
fn text(job: &Job<'_>, result: &Change, [same, new]: [&str; 2], after: &str) -> String {
    if result.changes.is_empty() {
        return format!("nothing to do: {same}\nnext: {after}\n");
    }
    let mut text = format!("{}: {new}\n", job.head());
    text.push_str(&Job::body(result));
    if let Some(password) = &result.generated_password {
        let name = user_name(result);
        add(&mut text, format_args!("new password of {name}, shown only now: {password}\n"));
    }
    text.push_str(&job.next_step(result, after));
    text
}
