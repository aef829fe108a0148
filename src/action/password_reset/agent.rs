//! The agent that does it (WIN-1, WIN-6): chosen, checked, and then its own plan.

use super::{Reset, ec2config, launch_v1, launch_v2};
use crate::error::{Error, Refusal, Result};
use crate::guest::windows::{Agent, AgentKind};

/// Plans the reset by an agent.
pub(super) fn plan(reset: &mut Reset<'_>) -> Result<()> {
    let agent = choose(reset)?.clone();
    tell(reset, &agent);
    match agent.kind {
        AgentKind::LaunchV2 => launch_v2::plan(reset)?,
        AgentKind::LaunchV1 => launch_v1::plan(reset)?,
        AgentKind::Config if reset.request.password.is_some() => {
            let what = "EC2Config makes a random password; one of your own needs --method \
                        startup-script";
            return Err(Error::usage(what));
        }
        AgentKind::Config => ec2config::plan(reset)?,
    }
    if agent.is_disabled() { reset.enable_service(&agent) } else { Ok(()) }
}

/// The agent that was asked for, or the first that is whole (WIN-6).
fn choose<'a>(reset: &Reset<'a>) -> Result<&'a Agent> {
    let agents = &reset.system.agents;
    let agent = if let Some(kind) = reset.request.agent {
        let agent = agents.iter().find(|agent| agent.kind == kind);
        let detail = || format!("{} is not installed; {}", kind.name(), found(agents));
        agent.ok_or_else(|| Refusal::NoAgent { detail: detail() })?
    } else {
        let whole = agents.iter().find(|agent| agent.is_complete());
        whole.ok_or_else(|| Refusal::NoAgent { detail: found(agents) })?
    };
    if !agent.is_complete() {
        let reason = format!("it lacks {}", agent.missing.join(", "));
        let agent = agent.kind.name().to_owned();
        return Err(Refusal::AgentUnusable { agent, reason }.into());
    }
    if agent.is_disabled() && !reset.request.enable_service {
        let service = agent.kind.service().unwrap_or_default().to_owned();
        return Err(Refusal::ServiceDisabled { service }.into());
    }
    Ok(agent)
}

/// What is there of all agents, for a refusal.
fn found(agents: &[Agent]) -> String {
    let part = |agent: &Agent| match agent.missing.as_slice() {
        [] => format!("{} is installed", agent.kind.name()),
        missing => {
            format!("of {} there is a part, without {}", agent.kind.name(), missing.join(", "))
        }
    };
    if agents.is_empty() {
        let names: Vec<&str> = AgentKind::ALL.iter().map(|kind| kind.name()).collect();
        return format!("nothing is there of {}", names.join(", "));
    }
    agents.iter().map(part).collect::<Vec<_>>().join("; ")
}

/// What the user must know of any agent before the edit (sections 1 and 12).
fn tell(reset: &mut Reset<'_>, agent: &Agent) {
    let name = agent.kind.name();
    if reset.request.password.is_none() {
        let way_out = match agent.kind {
            AgentKind::LaunchV2 => {
                "use --method startup-script, or an AMI of the edited volume, launched with a new key \
                 pair (WIN-53, experimental)"
            }
            AgentKind::LaunchV1 | AgentKind::Config => "use --method startup-script",
        };
        let message = format!(
            "the new password will be encrypted for the key pair chosen at launch, and nobody can read \
             it without its private key, which cannot be changed on an existing instance; it must be \
             an RSA key. If it is lost, {way_out}"
        );
        reset.warn(("key-pair", "WIN-122"), name, message);
    }
    let message = "the agent needs the EC2 metadata service: elsewhere it waits and never sets a \
                   password";
    reset.findings.push(crate::login::Finding::info(("metadata", "WIN-7"), name, message));
    let message = "after the boot, usually some minutes later: \"Get Windows password\" in the EC2 \
                   console; a line `Username:` in the system log is the proof";
    reset.findings.push(crate::login::Finding::info(("after-boot", "WIN-125"), name, message));
    for other in &reset.system.agents {
        if other.kind != agent.kind && other.is_complete() {
            let message = format!("is installed too, and not touched: {name} comes first");
            let id = ("agent", "WIN-6");
            reset.findings.push(crate::login::Finding::info(id, other.kind.name(), message));
        }
    }
}
