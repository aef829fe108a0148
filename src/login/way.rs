//! The way to a key file: everything from the root directory down that decides whether sshd reads it
//! (LOGIN-49 to LOGIN-56, LOGIN-83, LOGIN-94, LOGIN-95, LOGIN-134, LOGIN-T4).

use super::Guest;
use super::finding::Finding;
use super::strict_modes::{self, ChainNode, Way};
use crate::bytes::text::escape_limited;
use crate::error::{ErrorKind, Result};
use crate::fs::path::GuestPath;
use crate::fs::{MetadataChange, Xattr};
use crate::guest::linux::User;
use crate::guest::linux::fstab::is_below;
use std::fmt;

/// What would remove an obstacle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// Another owner or mode (LOGIN-140, LOGIN-141).
    Metadata(MetadataChange),
    /// Another label (LOGIN-94).
    Label(Xattr),
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(MetadataChange { mode, uid, .. }) => {
                let mode = mode.map(|mode| format!("mode {mode:04o}"));
                let owner = uid.map(|uid| format!("owner {uid}"));
                let parts: Vec<String> = mode.into_iter().chain(owner).collect();
                write!(f, "it gets {}", parts.join(", "))
            }
            Self::Label(label) => {
                let value = label.value.strip_suffix(b"\0").unwrap_or(&label.value);
                write!(f, "it gets the label {}", escape_limited(value, 128))
            }
        }
    }
}

/// Something on the way that stands against the login, or should be known.
#[derive(Debug, Clone)]
pub struct Obstacle {
    /// What it is.
    pub finding: Finding,
    /// The node, if it is one that `--fix` may change.
    pub node: Option<GuestPath>,
    /// What `--fix` may do to it.
    pub repair: Option<Repair>,
    /// True if the repair belongs to every edit, as for the label of the key file (LOGIN-T6).
    pub is_automatic: bool,
}

impl Obstacle {
    fn of(finding: Finding) -> Self {
        Self { finding, node: None, repair: None, is_automatic: false }
    }
}

impl Guest<'_> {
    /// Everything on the way to the key file of `user` at `path`, links and all, or to the deepest part of it that exists.
    /// With StrictModes off (`is_strict`) owners and modes count only for reading.
    ///
    /// # Errors
    /// As the file system.
    pub fn way(&self, user: &User, path: &GuestPath, is_strict: bool) -> Result<Vec<Obstacle>> {
        let way = Way::to(self.fs, path)?;
        let mut obstacles = Vec::new();
        for problem in strict_modes::examine(self, user, path, is_strict)? {
            let (node, change) = problem.repair.unzip();
            let repair = change.map(Repair::Metadata);
            obstacles.push(Obstacle { node, repair, ..Obstacle::of(problem.finding) });
        }
        let home = self.reachable_home(user)?;
        for node in &way.chain {
            let at_node =
                |finding| Obstacle { node: Some(node.path.clone()), ..Obstacle::of(finding) };
            obstacles.extend(flags(node).into_iter().map(at_node));
            obstacles.extend(self.label(user, home.as_ref(), node)?);
        }
        let real = way.chain.last().filter(|_| way.is_found).map_or(path, |node| &node.path);
        obstacles.extend(self.mount_finding(real).map(Obstacle::of));
        Ok(obstacles)
    }

    /// The real path of the home; `None` also if it cannot be resolved, as for sshd (LOGIN-51).
    fn reachable_home(&self, user: &User) -> Result<Option<GuestPath>> {
        match self.real_home(user) {
            Err(error) if matches!(error.kind(), ErrorKind::Refused(_)) => Ok(None),
            home => home,
        }
    }

    /// A label that sshd may not read, and the one that the rules give (LOGIN-83, LOGIN-94).
    fn label(
        &self,
        user: &User,
        home: Option<&GuestPath>,
        node: &ChainNode,
    ) -> Result<Option<Obstacle>> {
        let problem = self.labels.problem(self.fs, node, home, user.uid)?;
        let is_own = home.is_some_and(|home| is_below(&node.path, home));
        let is_above_home = home.is_some_and(|home| is_below(home, &node.path));
        Ok(problem.map(|problem| Obstacle {
            finding: problem.finding,
            node: Some(node.path.clone()),
            repair: problem.repair.filter(|_| is_own).map(Repair::Label),
            is_automatic: !is_above_home,
        }))
    }
}

/// What the flags of a node say (LOGIN-134; table LOGIN-T4, fscrypt).
fn flags(node: &ChainNode) -> Vec<Finding> {
    let flags = node.metadata.flags;
    let mut findings = Vec::new();
    if flags.is_encrypted {
        let message = "it is encrypted (fscrypt): sshd cannot read it before a login";
        findings.push(Finding::block(("home-crypt", "LOGIN-T4"), &node.path, message));
    }
    let flag = match (flags.is_immutable, flags.is_append_only) {
        (true, _) => "immutable",
        (false, true) => "append-only",
        (false, false) => return findings,
    };
    let message = format!("it has the {flag} flag; agents on the guest cannot change it");
    findings.push(Finding::info(("immutable", "LOGIN-134"), &node.path, message));
    findings
}
