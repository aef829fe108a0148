//! `regain password reset`: Windows sets a new password at its next boot.
//!
//! A password comes from a file, from standard input, or is made here; it is never an argument, and never in a
//! message, a finding or the description of a patch. A made one is shown once, after the change is written.

use super::args::{AgentArg, MethodArg, PasswordReset, ResetArgs};
use super::edit::Job;
use super::human::add;
use super::output::{Failure, Outcome, Ui};
use super::{host_file, target};
use crate::action::password_reset::{self, Method, ResetRequest};
use crate::error::{Context as _, Error, ErrorKind, Refusal};
use crate::guest::windows::AgentKind;
use crate::guest::windows::format::Password;
use crate::guest::windows::format::password::PASSWORD_UNITS_MAX;
use crate::login::Finding;
use crate::report::Target;
use crate::report::change::Change;
use crate::session::{Session, SessionVolume, clock};

/// Bound on a password file, in bytes: every unit at its longest, a byte order mark and a line end.
const PASSWORD_FILE_BYTES_MAX: u64 = 1024;
const _: () = assert!(PASSWORD_UNITS_MAX < 300);

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &PasswordReset) -> Outcome {
    let time = clock::edit_time(args.write.reproducible)?;
    if let Some(path) = &args.write.patch_out {
        host_file::check_absent(path)?;
    }
    let request = request(&args.how)?;
    let clears_log = args.how.clear_ntfs_log;
    let mut session = target::open_with(ui, &args.target, &args.devices, time, clears_log)?;
    let mut report_target = target::report(&session);
    let job = Job {
        ui,
        command: "password reset",
        write: &args.write,
        time,
        new_key: None,
        shows_notes: true,
    };
    let reset = ResetJob { job, args, request };
    reset.run(&mut session, &mut report_target).map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure.target.get_or_insert(report_target);
        failure
    })
}

fn request(args: &ResetArgs) -> Outcome<ResetRequest> {
    let method = match args.method {
        MethodArg::Agent => Method::Agent,
        MethodArg::StartupScript => Method::StartupScript,
        MethodArg::Setup => Method::Setup,
    };
    let agent = match args.agent {
        AgentArg::Auto => None,
        AgentArg::Ec2launchV2 => Some(AgentKind::LaunchV2),
        AgentArg::Ec2launchV1 => Some(AgentKind::LaunchV1),
        AgentArg::Ec2config => Some(AgentKind::Config),
    };
    let password = match &args.password_file {
        Some(path) => {
            let content =
                host_file::read_small(path, "the password file", PASSWORD_FILE_BYTES_MAX)?;
            let password = Password::from_file(&content);
            Some(password.map_err(|defect| Error::usage(format!("--password-file: {defect}")))?)
        }
        None if args.generate => Some(Password::generate()?),
        None => None,
    };
    let (user, enable_service) = (args.user.clone(), args.enable_service);
    Ok(ResetRequest { agent, method, user, password, enable_service })
}

/// One run of the command.
struct ResetJob<'a> {
    job: Job<'a>,
    args: &'a PasswordReset,
    request: ResetRequest,
}

impl ResetJob<'_> {
    fn run(&self, session: &mut Session, report_target: &mut Target) -> Outcome {
        let ui = self.job.ui;
        let index = target::choose(ui, session, self.args.volume.volume.as_deref())?;
        let volume = session.volume_at(index)?;
        report_target.volume_id = Some(volume.volume.id.clone());
        check_windows(volume, &session.target_name())?;
        let planned = volume.read(|open| {
            password_reset::plan_for(open.file_system(), open.windows()?, &self.request)
        });
        let mut plan = planned
            .context(|| session.target_name())
            .map_err(|error| self.with_fallback(error, &session.target_name()))?;
        if self.args.how.clear_ntfs_log && volume.health() != Some("clean") {
            let message = "the log of the volume is not clean and will be emptied: changes that are \
                           only in it are lost, and Windows checks the volume at the next boot";
            let id = ("ntfs-log", "WIN-34");
            plan.findings.insert(0, Finding::warn(id, volume.describe(), message));
        }
        let mut result = self.job.run(session, index, &plan)?;
        if self.args.how.generate && !result.changes.is_empty() && !result.dry_run {
            let password = self.request.password.as_ref();
            result.generated_password = password.map(|password| password.expose().to_owned());
        }
        let text = || self.text(session, &result);
        Ok(ui.finish("password reset", report_target, &result, text)?)
    }

    /// What helps if the agent cannot be used because of a file of its own (WIN-75).
    fn with_fallback(&self, error: Error, target: &str) -> Box<Failure> {
        let is_about_a_file =
            matches!(error.kind(), ErrorKind::Refused(Refusal::UnsuitableFile { .. }));
        let failure = Failure::from(error);
        if !is_about_a_file || self.request.method != Method::Agent {
            return Box::new(failure);
        }
        let target = super::hints::shell_word(target);
        Box::new(failure.hint(format!(
            "a start-up script needs nothing of the agent: `regain password reset {target} --method \
             startup-script --generate`"
        )))
    }

    fn text(&self, session: &Session, result: &Change) -> String {
        let name = result.users.first().map(|user| user.name.escaped()).unwrap_or_default();
        let what = format!("the password of {name} will be set at the next boot");
        let after = match self.request.method {
            Method::Agent if self.request.password.is_none() => {
                let known = result.findings.iter().find(|finding| finding.check == "instance");
                let id = known.map_or("ID", |finding| finding.subject.as_str());
                let id = super::hints::shell_word(id);
                format!(
                    "start the instance from this disk (as /dev/sda1); some minutes later: aws ec2 \
                     get-password-data --instance-id {id} --priv-launch-key KEY.pem"
                )
            }
            Method::Agent | Method::StartupScript | Method::Setup => {
                format!("start the machine from this disk, then log in as {name}")
            }
        };
        if result.changes.is_empty() {
            return format!("nothing to do: {what}\nnext: {after}\n");
        }
        let mut text = format!("{}: {what}\n", self.job.head());
        text.push_str(&Job::body(result));
        if let Some(password) = &result.generated_password {
            add(&mut text, format_args!("new password of {name}, shown only now: {password}\n"));
        }
        text.push_str(&self.job.next_step(session, result, &after));
        text
    }
}

/// Refuses a Linux system, and says what helps there.
fn check_windows(volume: &SessionVolume, target: &str) -> Outcome {
    if volume.system().is_none_or(|system| system.as_windows().is_some()) {
        return Ok(());
    }
    let what = format!("{}: `regain password reset` of a Linux system", volume.describe());
    let target = super::hints::shell_word(target);
    let hint = format!("a key lets a user in: `regain key add {target} --key FILE`");
    Err(Box::new(Failure::from(Error::unsupported(what)).hint(hint)))
}
