//! The agents that can reset a password, and the services beside them (WIN-6, WIN-36 to 38, WIN-54, WIN-79).

use super::control_set::{ControlSet, Start};
use super::exists;
use super::registry::Registry;
use crate::error::Result;
use crate::fs::FileSystem;

/// A generation of agents, in the order of detection (WIN-6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentKind {
    /// EC2Launch v2.
    LaunchV2,
    /// EC2Launch, the scripts of version 1.
    LaunchV1,
    /// EC2Config.
    Config,
}

/// What gives an agent away.
struct Evidence {
    kind: AgentKind,
    /// Files that it needs; the first is the program.
    files: &'static [&'static str],
    service: Option<&'static str>,
}

const LAUNCH_V2: &str = "/ProgramData/Amazon/EC2Launch";
const LAUNCH_V1: &str = "/ProgramData/Amazon/EC2-Windows/Launch";
const CONFIG: &str = "/Program Files/Amazon/Ec2ConfigService";

const EVIDENCE: [Evidence; 3] = [
    Evidence {
        kind: AgentKind::LaunchV2,
        files: &[
            "/Program Files/Amazon/EC2Launch/EC2Launch.exe",
            "/ProgramData/Amazon/EC2Launch/config/agent-config.yml",
        ],
        service: Some("Amazon EC2Launch"),
    },
    Evidence {
        kind: AgentKind::LaunchV1,
        files: &[
            "/ProgramData/Amazon/EC2-Windows/Launch/Module/Ec2Launch.psd1",
            "/ProgramData/Amazon/EC2-Windows/Launch/Scripts/InitializeInstance.ps1",
        ],
        service: None,
    },
    Evidence {
        kind: AgentKind::Config,
        files: &[
            "/Program Files/Amazon/Ec2ConfigService/Ec2Config.exe",
            "/Program Files/Amazon/Ec2ConfigService/Settings/config.xml",
        ],
        service: Some("Ec2Config"),
    },
];

impl AgentKind {
    /// All, in the order of detection.
    pub const ALL: [Self; 3] = [Self::LaunchV2, Self::LaunchV1, Self::Config];

    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::LaunchV2 => "EC2Launch v2",
            Self::LaunchV1 => "EC2Launch v1",
            Self::Config => "EC2Config",
        }
    }

    /// The word for the command line and for JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::LaunchV2 => "ec2launch-v2",
            Self::LaunchV1 => "ec2launch-v1",
            Self::Config => "ec2config",
        }
    }

    /// The service that runs it; version 1 is a scheduled task.
    pub fn service(self) -> Option<&'static str> {
        EVIDENCE.iter().find(|evidence| evidence.kind == self)?.service
    }

    /// The directory of its state, settings and logs.
    pub fn directory(self) -> &'static str {
        match self {
            Self::LaunchV2 => LAUNCH_V2,
            Self::LaunchV1 => LAUNCH_V1,
            Self::Config => CONFIG,
        }
    }
}

/// An agent of which something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The generation.
    pub kind: AgentKind,
    /// When its service starts; `None` without a service.
    pub start: Option<Start>,
    /// What it lacks: paths and services. Empty for one that can run.
    pub missing: Vec<String>,
}

impl Agent {
    /// True if all of it is there: files, and the service if it has one.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// True if its service is turned off (WIN-37).
    pub fn is_disabled(&self) -> bool {
        self.start == Some(Start::Disabled)
    }
}

/// Looks for one agent; `None` if nothing of it is there.
fn look(
    evidence: &Evidence,
    fs: &dyn FileSystem,
    system: &Registry<'_>,
    set: &ControlSet,
) -> Result<Option<Agent>> {
    let mut missing = Vec::new();
    for path in evidence.files {
        if !exists(fs, path)? {
            missing.push((*path).to_owned());
        }
    }
    let mut start = None;
    if let Some(service) = evidence.service {
        start = set.start(system, service)?;
        if start.is_none() {
            missing.push(format!("the service {service}"));
        }
    }
    // Migration leaves directories behind (WIN-6): only what is nearly whole counts.
    let has_program = evidence.files.first().is_some_and(|path| !missing.iter().any(|m| m == path));
    if !has_program && start.is_none() {
        return Ok(None);
    }
    Ok(Some(Agent { kind: evidence.kind, start, missing }))
}

/// The agents of which something is there, in the order of detection (WIN-6).
///
/// # Errors
/// As the file system and the hive.
pub fn find(fs: &dyn FileSystem, system: &Registry<'_>, set: &ControlSet) -> Result<Vec<Agent>> {
    let mut agents = Vec::new();
    for evidence in &EVIDENCE {
        agents.extend(look(evidence, fs, system, set)?);
    }
    // The scripts of version 1 stay behind when version 2 takes over (WIN-54).
    let has_v2 = |agent: &Agent| agent.kind == AgentKind::LaunchV2 && agent.is_complete();
    if agents.iter().any(has_v2) {
        for agent in agents.iter_mut().filter(|agent| agent.kind == AgentKind::LaunchV1) {
            agent.missing.push("its place: EC2Launch v2 is installed and runs instead".to_owned());
        }
    }
    Ok(agents)
}

/// A service that is no agent for passwords, but another way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Its key name.
    pub name: &'static str,
    /// When it starts.
    pub start: Start,
}

/// The service of the SSM agent, if there is one.
///
/// # Errors
/// As the hive.
pub fn ssm(system: &Registry<'_>, set: &ControlSet) -> Result<Option<Service>> {
    let name = "AmazonSSMAgent";
    Ok(set.start(system, name)?.map(|start| Service { name, start }))
}
