//! `password reset` on Windows: arranges that the system sets a new password at its next boot
//! (windows-reset.md, decision table WIN-T2).
//!
//! The installed agent does it, if there is one (WIN-1); otherwise a start-up script or the command of Windows
//! Setup, with a password that the caller gives. Nothing is executed here, and the SAM hive is never changed.
//! Everything that the user should know before is a finding with its rule.

mod agent;
mod ec2config;
mod files;
mod hive_edit;
mod launch_v1;
mod launch_v2;
mod setup;
mod startup_script;

#[cfg(test)]
mod fallback_tests;
#[cfg(test)]
mod tests;

use super::plan::{FileChange, Outcome, Plan, UserPlan};
use crate::error::{Error, Refusal, Result};
use crate::fs::FileSystem;
use crate::fs::path::GuestPath;
use crate::guest::windows::format::Password;
use crate::guest::windows::format::agent_log::PasswordOutcome;
use crate::guest::windows::registry::Registry;
use crate::guest::windows::{self, AgentKind, ControlSet, History, System, hive_path};
use crate::login::{Finding, dedup};

/// How the password is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// By the agent of the cloud, which makes a random one.
    #[default]
    Agent,
    /// By a start-up script of the local group policy (WIN-115).
    StartupScript,
    /// By the command of Windows Setup (WIN-119).
    Setup,
}

impl Method {
    /// The word of the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::StartupScript => "startup-script",
            Self::Setup => "setup",
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct ResetRequest {
    /// The agent whose state is changed; `None` takes the first that is installed (WIN-6).
    pub agent: Option<AgentKind>,
    /// How.
    pub method: Method,
    /// The account; `None` is the built-in administrator.
    pub user: Option<String>,
    /// Its password, for the methods that take one.
    pub password: Option<Password>,
    /// Have the service of the agent start again if it is disabled (WIN-37).
    pub enable_service: bool,
}

/// Plans the reset.
///
/// # Errors
/// * `NotFound` - no Windows system, or no such account;
/// * `Usage` - a password or a user where the method takes none, or none where it needs one;
/// * `Refused` - a domain controller, no agent, an agent that is not as it must be, pending setup;
/// * otherwise as the file system and the hives.
pub fn plan(fs: &dyn FileSystem, request: &ResetRequest) -> Result<Plan> {
    let system = windows::detect(fs)?.ok_or_else(|| Error::not_found("a Windows system"))?;
    plan_for(fs, &system, request)
}

/// As [`plan`], for the system that [`windows::detect`] has found on `fs`.
///
/// # Errors
/// As [`plan`].
pub fn plan_for(fs: &dyn FileSystem, system: &System, request: &ResetRequest) -> Result<Plan> {
    check_arguments(request)?;
    if system.control_set.is_none() {
        // Why it could not be read: without it neither the role nor the agents are known.
        ControlSet::read(&Registry::open(fs, &hive_path("SYSTEM"))?)?;
    }
    if let Some(evidence) = system.domain_controller {
        return Err(Refusal::DomainController { evidence: evidence.to_owned() }.into());
    }
    let mut reset = Reset::new(fs, system, request);
    reset.tell_about_the_system();
    match request.method {
        Method::Agent => agent::plan(&mut reset)?,
        Method::StartupScript => startup_script::plan(&mut reset)?,
        Method::Setup => setup::plan(&mut reset)?,
    }
    Ok(reset.into_plan())
}

/// A password is for the methods that set one, and they need it.
fn check_arguments(request: &ResetRequest) -> Result<()> {
    let method = request.method.word();
    match (request.method, &request.password) {
        (Method::Agent, _) if request.user.is_some() => Err(Error::usage(
            "the agent resets the built-in administrator; another user needs --method startup-script",
        )),
        (Method::StartupScript | Method::Setup, None) => Err(Error::usage(format!(
            "--method {method} needs a password: --password-file FILE or --generate"
        ))),
        (Method::StartupScript | Method::Setup, Some(_)) if request.agent.is_some() => {
            Err(Error::usage(format!("--agent has no meaning with --method {method}")))
        }
        _ => Ok(()),
    }
}

/// A plan under way.
struct Reset<'a> {
    fs: &'a dyn FileSystem,
    system: &'a System,
    request: &'a ResetRequest,
    findings: Vec<Finding>,
    changes: Vec<FileChange>,
    /// The account whose password is set.
    account: String,
    /// The file that says what is arranged.
    path: Option<GuestPath>,
}

impl<'a> Reset<'a> {
    fn new(fs: &'a dyn FileSystem, system: &'a System, request: &'a ResetRequest) -> Self {
        let administrator = system.administrator().map(|user| user.name.clone());
        let account = request.user.clone().or(administrator);
        Self {
            fs,
            system,
            request,
            findings: Vec::new(),
            changes: Vec::new(),
            account: account.unwrap_or_else(|| "Administrator".to_owned()),
            path: None,
        }
    }

    /// What is known of the system before any method.
    fn tell_about_the_system(&mut self) {
        if let Some(domain) = &self.system.domain {
            let subject = crate::bytes::text::escape_limited(domain.as_bytes(), 128);
            let message = "it seems to be a member of this domain: a policy or Windows LAPS may \
                           change the password again at its next refresh, which is not known here";
            self.findings.push(Finding::warn(("domain", "WIN-126"), subject, message));
        }
        if self.system.is_in_setup() {
            let state = self.system.image_state.clone().unwrap_or_default();
            let message = "Windows Setup is not finished: agents wait for it, and it may ask for a \
                           password itself";
            self.findings.push(Finding::warn(("setup-state", "WIN-14"), state, message));
        }
        self.tell_about_the_last_password();
        let message = "take a snapshot first; after a stop and a start a public IP address without \
                       an Elastic IP is another one, and instance-store data are lost";
        self.note(("stop-start", "WIN-124"), message);
        let message = "the change journal of the volume ($UsnJrnl) does not learn of the edit";
        self.note(("change-journal", "WIN-114"), message);
    }

    /// What the logs say of the last password and of the instance (WIN-8).
    fn tell_about_the_last_password(&mut self) {
        let history = History::read(self.fs, self.system);
        let escape = |text: &str| crate::bytes::text::escape_limited(text.as_bytes(), 128);
        if let Some((path, event)) = &history.password {
            let what = match &event.outcome {
                PasswordOutcome::Sent { user_name } => format!(
                    "the last password, of {}, was sent to the console",
                    user_name.as_deref().map_or_else(|| "an account".to_owned(), escape)
                ),
                PasswordOutcome::Failed { line } => {
                    format!("the last password was not set: {}", escape(line))
                }
            };
            let time = event.time.as_deref().map(|time| format!(" ({})", escape(time)));
            let message = format!("{what}{}", time.unwrap_or_default());
            self.findings.push(Finding::info(("last-password", "WIN-8"), path, message));
        }
        if let Some(id) = &history.facts.instance_id {
            let image = history.facts.image_name.as_deref().map(escape);
            let image = image.map(|image| format!(", made from {image}")).unwrap_or_default();
            let message = format!("is the instance that its logs name last{image}");
            self.findings.push(Finding::info(("instance", "WIN-8"), escape(id), message));
        }
    }

    /// The name of the system for findings.
    fn name(&self) -> String {
        let name = self.system.host_name.clone();
        let name = name.unwrap_or_else(|| self.system.full_name().into_bytes());
        crate::bytes::text::escape_limited(&name, 64)
    }

    fn note(&mut self, id: (&'static str, &'static str), message: impl Into<String>) {
        let name = self.name();
        self.findings.push(Finding::info(id, name, message));
    }

    fn warn(
        &mut self,
        id: (&'static str, &'static str),
        subject: impl std::fmt::Display,
        message: impl Into<String>,
    ) {
        self.findings.push(Finding::warn(id, subject, message));
    }

    /// Says that no vendor describes what is done, and nobody has proven it on a real system (WIN-127).
    fn is_experimental(&mut self, what: &str) {
        let message = format!("experimental: {what} is not proven on a real system yet");
        let name = self.name();
        self.warn(("experimental", "WIN-127"), name, message);
    }

    /// Says that a password lies on the disk, and in the files that regain writes (WIN-123).
    fn tells_clear_text(&mut self, path: &str) {
        let message = "the password is in this file in clear text until the system has started, and \
                       also in the undo file or patch, which only you can read: delete it afterwards";
        self.warn(("clear-text", "WIN-123"), path, message);
    }

    fn into_plan(mut self) -> Plan {
        dedup(&mut self.findings);
        self.findings.sort_by_key(|finding| finding.severity);
        let outcome =
            if self.changes.is_empty() { Outcome::AlreadyPresent } else { Outcome::Changes };
        let name = self.account.into_bytes();
        let users = vec![UserPlan { name, path: self.path, outcome, reason: None }];
        Plan { users, changes: self.changes, findings: self.findings }
    }
}
