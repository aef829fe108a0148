//! `password reset` on Windows: the system sets a new password at its next boot.

use super::{Run, check_options, user_name};
use crate::action::password_reset::{self, Method, ResetRequest};
use crate::cli::args::{AgentArg, MethodArg, ResetArgs};
use crate::cli::edit::Job;
use crate::cli::hints::shell_word;
use crate::cli::output::{Failure, Outcome};
use crate::error::{Context as _, Error, ErrorKind, Refusal};
use crate::guest::windows::AgentKind;
use crate::guest::windows::format::Password;
use crate::login::Finding;
use crate::report::Target;
use crate::report::change::Change;
use crate::session::Session;

fn request(args: &ResetArgs, password: Option<&Password>) -> ResetRequest {
    let method = match args.windows.method {
        None | Some(MethodArg::Agent) => Method::Agent,
        Some(MethodArg::StartupScript) => Method::StartupScript,
        Some(MethodArg::Setup) => Method::Setup,
    };
    let agent = match args.windows.agent {
        None | Some(AgentArg::Auto) => None,
        Some(AgentArg::Ec2launchV2) => Some(AgentKind::LaunchV2),
        Some(AgentArg::Ec2launchV1) => Some(AgentKind::LaunchV1),
        Some(AgentArg::Ec2config) => Some(AgentKind::Config),
    };
    let (user, enable_service) = (args.user.clone(), args.windows.enable_service);
    ResetRequest { agent, method, user, password: password.cloned(), enable_service }
}

impl Run<'_> {
    pub(super) fn on_windows(
        &self,
        session: &mut Session,
        index: usize,
        report_target: &Target,
    ) -> Outcome {
        let how = &self.args.how;
        check_options("Windows", &[(how.fix, "--fix"), (how.force, "--force")])?;
        let request = request(how, self.password.as_ref());
        let volume = session.volume_at(index)?;
        let planned = volume
            .read(|open| password_reset::plan_for(open.file_system(), open.windows()?, &request));
        let mut plan = planned
            .context(|| session.target_name())
            .map_err(|error| with_fallback(error, &request, &session.target_name()))?;
        if how.windows.clear_ntfs_log && volume.health() != Some("clean") {
            let message = "the log of the volume is not clean and will be emptied: changes that are \
                           only in it are lost, and Windows checks the volume at the next boot";
            let id = ("ntfs-log", "WIN-34");
            plan.findings.insert(0, Finding::warn(id, volume.describe(), message));
        }
        let mut result = self.job.run(session, index, &plan)?;
        self.show_password(&mut result);
        let text = || text(&self.job, &request, &result);
        Ok(self.job.ui.finish("password reset", report_target, &result, text)?)
    }
}

/// What helps if the agent cannot be used because of a file of its own (WIN-75).
fn with_fallback(error: Error, request: &ResetRequest, target: &str) -> Box<Failure> {
    let is_about_a_file =
        matches!(error.kind(), ErrorKind::Refused(Refusal::UnsuitableFile { .. }));
    let failure = Failure::from(error);
    if !is_about_a_file || request.method != Method::Agent {
        return Box::new(failure);
    }
    let target = shell_word(target);
    Box::new(failure.hint(format!(
        "a start-up script needs nothing of the agent: `regain password reset {target} --method \
         startup-script --generate`"
    )))
}

fn text(job: &Job<'_>, request: &ResetRequest, result: &Change) -> String {
    let name = user_name(result);
    let what = format!("the password of {name} will be set at the next boot");
    let after = match request.method {
        Method::Agent if request.password.is_none() => {
            let known = result.findings.iter().find(|finding| finding.check == "instance");
            let id = known.map_or("ID", |finding| finding.subject.as_str());
            let id = shell_word(id);
            format!(
                "start the instance from this disk (as /dev/sda1); some minutes later: aws ec2 \
                 get-password-data --instance-id {id} --priv-launch-key KEY.pem"
            )
        }
        Method::Agent | Method::StartupScript | Method::Setup => {
            format!("start the machine from this disk, then log in as {name}")
        }
    };
    super::text(job, result, [&what, &what], &after)
}
