//! What the logs of the agents tell: the last password, the instance, versions (WIN-8). Read on demand, since
//! logs can be large.

use super::format::agent_log::{LOG_TAIL_BYTES_MAX, PasswordEvent, last_event};
use super::format::log_facts::{LogFacts, module_version};
use super::{AgentKind, System};
use crate::error::Result;
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{FileSystem, NodeKind};

/// Bound on the manifest of a module, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// The logs that may hold a password event, the most telling first.
const LOGS: [(AgentKind, &[&str]); 3] = [
    (
        AgentKind::LaunchV2,
        &[
            "/ProgramData/Amazon/EC2Launch/log/console.log",
            "/ProgramData/Amazon/EC2Launch/log/agent.log",
        ],
    ),
    (
        AgentKind::LaunchV1,
        &[
            "/ProgramData/Amazon/EC2-Windows/Launch/Log/Ec2Launch.log",
            "/ProgramData/Amazon/EC2-Windows/Launch/Logs/Ec2Launch.log",
        ],
    ),
    (
        AgentKind::Config,
        &[
            "/Program Files/Amazon/Ec2ConfigService/Logs/Ec2ConfigLog.txt",
            "/ProgramData/Amazon/Ec2Config/Logs/Ec2ConfigLog.txt",
        ],
    ),
];

/// What the logs tell.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The last password event of the first agent whose logs have one, and the log.
    pub password: Option<(GuestPath, PasswordEvent)>,
    /// What the logs say of the instance.
    pub facts: LogFacts,
    /// The version of EC2Launch v1.
    pub module_version: Option<String>,
    /// What could not be read, escaped.
    pub warnings: Vec<String>,
}

impl History {
    /// Reads the ends of the logs of the agents that are installed.
    pub fn read(fs: &dyn FileSystem, system: &System) -> Self {
        let mut history = Self::default();
        for (kind, paths) in LOGS {
            let is_there = system.agent(kind).is_some_and(super::Agent::is_complete);
            for path in paths.iter().filter(|_| is_there) {
                if let Err(error) = history.take_log(fs, path) {
                    history.warnings.push(format!("not read: {path}: {error}"));
                }
            }
        }
        let manifest = format!("{}/Module/Ec2Launch.psd1", AgentKind::LaunchV1.directory());
        let content = read_file(fs, &GuestPath::new(manifest), MANIFEST_BYTES_MAX).ok().flatten();
        let text = content.map(|content| String::from_utf8_lossy(&content).into_owned());
        history.module_version = text.as_deref().and_then(module_version);
        history
    }

    fn take_log(&mut self, fs: &dyn FileSystem, path: &str) -> Result<()> {
        let Some(found) = find(fs, &GuestPath::new(path))? else { return Ok(()) };
        let metadata = fs.metadata(found.node)?;
        if metadata.kind != NodeKind::File {
            return Ok(());
        }
        let tail_bytes = crate::bytes::arith::len_u64(LOG_TAIL_BYTES_MAX);
        let start = metadata.size_bytes.saturating_sub(tail_bytes);
        let tail = fs.read_at(found.node, start, LOG_TAIL_BYTES_MAX)?;
        let known = std::mem::take(&mut self.facts);
        self.facts = known.or(LogFacts::read(&tail));
        if self.password.is_none() {
            self.password = last_event(&tail).map(|event| (found.real_path, event));
        }
        Ok(())
    }

    /// The version of an agent, if something says it.
    pub fn version(&self, kind: AgentKind) -> Option<&str> {
        match kind {
            AgentKind::LaunchV2 => self.facts.agent_version.as_deref(),
            AgentKind::LaunchV1 => self.module_version.as_deref(),
            AgentKind::Config => None,
        }
    }
}
