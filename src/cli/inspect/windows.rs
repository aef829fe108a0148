//! What `inspect` says of a Windows system.

use super::routes::{reason_against_writing, target_words};
use crate::action::password_reset::{self, Method, ResetRequest};
use crate::cli::human::{Table, add};
use crate::cli::key_list;
use crate::cli::output::Styles;
use crate::error::{ErrorKind, Refusal, Result};
use crate::guest::windows::format::Password;
use crate::guest::windows::format::agent_log::PasswordOutcome;
use crate::guest::windows::{self, Agent, History, Start, users};
use crate::report::inspect::{
    AccessRoute, OpenSsh, PasswordEvent, System, User, Windows, WindowsAgent,
};
use crate::report::keys::{Key, KeyList};
use crate::session::{Session, SessionVolume};

/// The system for the report; adds its warnings to `warnings`.
pub(super) fn system(
    session: &Session,
    volume: &SessionVolume,
    system: &windows::System,
    warnings: &mut Vec<String>,
) -> System {
    warnings.extend(system.warnings.iter().cloned());
    let keys = match &system.open_ssh {
        Some(_) => key_list::list(volume, None),
        None => Ok(KeyList::default()),
    };
    let keys = keys.map_or_else(
        |error| {
            warnings.push(format!("keys of {}: {error}", volume.describe()));
            Vec::new()
        },
        |listed| listed.keys,
    );
    let history = volume.open().map(|open| History::read(open.file_system(), system));
    let history = history.unwrap_or_default();
    warnings.extend(history.warnings.iter().cloned());
    System {
        volume_id: volume.volume.id.clone(),
        subvolume: None,
        family: "windows",
        name: system.full_name().into(),
        version: system.version.number().into(),
        arch: system.arch.map(str::to_owned),
        host_name: system.host_name.clone().map(Into::into),
        users: system.users.iter().map(|found| user(found, &keys)).collect(),
        agents: agent_names(system),
        access_routes: access_routes(session, volume, system),
        mounts: Vec::new(),
        cloud_init: None,
        windows: Some(facts(system, &history)),
    }
}

fn user(user: &windows::User, keys: &[Key]) -> User {
    User {
        name: user.name.clone().into(),
        uid: None,
        rid: Some(user.rid),
        home: None,
        shell: None,
        is_default: user.rid == users::ADMINISTRATOR_RID,
        keys: keys.iter().filter(|key| key.user.0 == user.name.as_bytes()).cloned().collect(),
    }
}

fn agent_names(system: &windows::System) -> Vec<String> {
    let complete = system.agents.iter().filter(|agent| agent.is_complete());
    let mut names: Vec<String> = complete.map(|agent| agent.kind.word().to_owned()).collect();
    names.extend(system.ssm.map(|_| "amazon-ssm-agent".to_owned()));
    names
}

fn facts(system: &windows::System, history: &History) -> Windows {
    let version = &system.version;
    Windows {
        edition: version.edition.clone(),
        installation_type: version.installation_type.clone(),
        build: version.build,
        update: version.update,
        release: version.release.clone(),
        setup_state: system.image_state.clone(),
        domain_controller: system.domain_controller.is_some(),
        domain: system.domain.clone(),
        agents: system.agents.iter().map(|found| agent(found, history)).collect(),
        ssm_agent_start: system.ssm.map(|service| service.start.name()),
        open_ssh: system.open_ssh.as_ref().map(|open_ssh| OpenSsh {
            program: open_ssh.program,
            service_start: open_ssh.start.map(Start::name),
            usable: open_ssh.reason_against().is_none(),
            reason: open_ssh.reason_against(),
        }),
        last_password_event: history.password.as_ref().map(|(path, event)| {
            let (outcome, account, message) = match &event.outcome {
                PasswordOutcome::Sent { user_name } => ("sent", user_name.clone(), None),
                PasswordOutcome::Failed { line } => ("failed", None, Some(line.clone())),
            };
            PasswordEvent {
                path: path.as_bytes().into(),
                outcome,
                time: event.time.clone(),
                account: account.map(Into::into),
                message: message.map(Into::into),
            }
        }),
        instance_id: history.facts.instance_id.clone(),
        image_name: history.facts.image_name.clone(),
        image_version: history.facts.image_version.clone(),
    }
}

fn agent(agent: &Agent, history: &History) -> WindowsAgent {
    WindowsAgent {
        name: agent.kind.word(),
        title: agent.kind.name(),
        version: history.version(agent.kind).map(str::to_owned),
        state: match (agent.is_complete(), agent.is_disabled()) {
            (false, _) => "incomplete",
            (true, true) => "disabled",
            (true, false) => "complete",
        },
        missing: agent.missing.clone(),
        service_start: agent.start.map(Start::name),
    }
}

/// Every way back in, the best one first.
fn access_routes(
    session: &Session,
    volume: &SessionVolume,
    system: &windows::System,
) -> Vec<AccessRoute> {
    let target = target_words(session, volume);
    let against_writing = reason_against_writing(session, volume);
    let mut routes = Vec::new();
    for (id, route, method, words) in [
        ("password-reset", "password reset", Method::Agent, ""),
        (
            "startup-script",
            "startup script",
            Method::StartupScript,
            " --method startup-script --generate",
        ),
    ] {
        let refusal = against_writing.clone().or_else(|| refusal(volume, method));
        let needs = match method {
            Method::Agent => "needs the private key of the launch key pair",
            Method::StartupScript | Method::Setup => "needs no key; sets a password of your own",
        };
        let available = refusal.is_none();
        let reason = Some(refusal.unwrap_or_else(|| needs.to_owned()));
        let command = format!("regain password reset {target}{words}");
        routes.push(AccessRoute::new(id, route, available, reason, command));
    }
    if let Some(open_ssh) = &system.open_ssh {
        let reason = against_writing.or_else(|| open_ssh.reason_against());
        let command = format!("regain key add {target} --key FILE");
        routes.push(AccessRoute::new("key-add", "key add", reason.is_none(), reason, command));
    }
    if let Some(ssm) = system.ssm {
        let is_running = matches!(ssm.start, Start::Automatic | Start::Boot);
        let needs = "needs an instance role for SSM, and network".to_owned();
        let off = || format!("the start of its service is {}", ssm.start);
        let reason = Some(if is_running { needs } else { off() });
        let name = "amazon-ssm-agent";
        let mut route = AccessRoute::new("ssm-agent", name, is_running, reason, String::new());
        "aws ssm start-session --target ID".clone_into(&mut route.next_command);
        routes.push(route);
    }
    routes
}

/// What `password reset` would say with this method; none if it would go on.
fn refusal(volume: &SessionVolume, method: Method) -> Option<String> {
    let planned = || -> Result<()> {
        let password = match method {
            Method::Agent => None,
            Method::StartupScript | Method::Setup => Some(Password::generate()?),
        };
        let request = ResetRequest { method, password, ..ResetRequest::default() };
        volume.read(|open| {
            password_reset::plan_for(open.file_system(), open.windows()?, &request).map(drop)
        })
    };
    let error = planned().err()?;
    Some(match error.kind() {
        ErrorKind::Refused(Refusal::ServiceDisabled { .. }) => {
            format!("{} (--enable-service)", error.kind())
        }
        kind => kind.to_string(),
    })
}

/// The part of the text that only Windows has.
pub(super) fn text(system: &System, facts: &Windows, styles: Styles) -> String {
    let mut text = String::new();
    let mut about: Vec<String> = [&facts.edition, &facts.installation_type, &facts.release]
        .into_iter()
        .flatten()
        .map(|word| crate::bytes::text::escape_limited(word.as_bytes(), 64))
        .collect();
    about.extend(facts.build.map(|build| format!("build {build}")));
    if !about.is_empty() {
        add(&mut text, format_args!("  {}\n", about.join(", ")));
    }
    for (name, value) in [("domain", &facts.domain), ("state of setup", &facts.setup_state)] {
        if let Some(value) = value
            && value != "IMAGE_STATE_COMPLETE"
        {
            let value = crate::bytes::text::escape_limited(value.as_bytes(), 128);
            add(&mut text, format_args!("  {name}: {value}\n"));
        }
    }
    if facts.domain_controller {
        text.push_str("  a domain controller: its accounts are those of the domain\n");
    }
    let users: Vec<String> = system.users.iter().map(|user| user.name.escaped()).collect();
    if !users.is_empty() {
        add(&mut text, format_args!("  local accounts: {}\n", users.join(", ")));
    }
    text.push_str(&services_text(facts, styles));
    text
}

fn services_text(facts: &Windows, styles: Styles) -> String {
    let mut table = Table::new(&["AGENT", "VERSION", "STATE", "START", "LACKS"]);
    for agent in &facts.agents {
        table.row([
            agent.title.to_owned(),
            agent.version.clone().unwrap_or_default(),
            agent.state.to_owned(),
            agent.service_start.unwrap_or("task").to_owned(),
            agent.missing.join(", "),
        ]);
    }
    let service = |start: Option<&str>| start.unwrap_or("no service").to_owned();
    if let Some(start) = facts.ssm_agent_start {
        table.row(["SSM agent".into(), String::new(), String::new(), start.into(), String::new()]);
    }
    if let Some(open_ssh) = &facts.open_ssh {
        let state = if open_ssh.usable { "usable" } else { "not usable" };
        table.row([
            "OpenSSH server".to_owned(),
            String::new(),
            state.to_owned(),
            service(open_ssh.service_start),
            if open_ssh.program.is_none() { "sshd.exe".to_owned() } else { String::new() },
        ]);
    }
    let mut text = table.render(2, styles.faint);
    text.push_str(&history_text(facts));
    text
}

/// What the logs tell, for people.
fn history_text(facts: &Windows) -> String {
    let mut text = String::new();
    let escape = |text: &str| crate::bytes::text::escape_limited(text.as_bytes(), 128);
    if let Some(event) = &facts.last_password_event {
        let what = match (&event.account, &event.message) {
            (_, Some(message)) => format!("failed: {}", message.escaped()),
            (Some(account), None) => format!("of {}, sent to the console", account.escaped()),
            (None, None) => "sent to the console".to_owned(),
        };
        let time = event.time.as_deref().map(escape);
        let time = time.unwrap_or_else(|| "at an unknown time".to_owned());
        add(&mut text, format_args!("  last password {what}, {time}\n"));
        add(&mut text, format_args!("    says {}\n", event.path.escaped()));
    }
    for (name, value) in [
        ("instance", &facts.instance_id),
        ("made from", &facts.image_name),
        ("version of the image", &facts.image_version),
    ] {
        if let Some(value) = value {
            add(&mut text, format_args!("  {name}: {}\n", escape(value)));
        }
    }
    text
}
