//! The truth table: what is done to a Debian root, for whom, and what we claim that its sshd then answers.
//!
//! The claim is documentation that is checked: the answer itself comes from the real sshd (`login_truth`).

mod accounts;
mod config;
mod daemon;
mod gates;
mod key_files;
mod key_lines;
mod pam;
mod paths;

use crate::support::login_tree::Step;

/// The user of most scenarios, with uid and gid 1000 and a group of their own.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const HOME: &str = "/home/admin";
pub(crate) const SSH: &str = "/home/admin/.ssh";
pub(crate) const KEYS: &str = "/home/admin/.ssh/authorized_keys";
pub(crate) const CONFIG: &str = "/etc/ssh/sshd_config";
/// Read before everything else in the main file.
pub(crate) const DROP_IN: &str = "/etc/ssh/sshd_config.d/50-test.conf";
pub(crate) const PASSWD: &str = "/etc/passwd";
pub(crate) const SHADOW: &str = "/etc/shadow";
pub(crate) const GROUP: &str = "/etc/group";
pub(crate) const PAM_SSHD: &str = "/etc/pam.d/sshd";

/// What we claim that sshd answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Lets the user in, and a command runs.
    Accepted,
    /// Lets the user in, and no command runs (LOGIN-59, LOGIN-69).
    Dies,
    /// Lets the user in, and the command of the line with the key runs in place of theirs, or no session opens,
    /// which `key check` calls refused (LOGIN-42, LOGIN-66, table LOGIN-T6).
    Shadowed,
    /// Does not.
    Refused,
    /// Lets them in from 127.0.0.1 and not from 127.0.0.2, or the reverse (LOGIN-3).
    ByClient,
}

/// Which of the keys the user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Ed25519,
    Ecdsa,
    Rsa2048,
    Rsa1024,
}

impl KeyKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 4] = [Self::Ed25519, Self::Ecdsa, Self::Rsa2048, Self::Rsa1024];

    /// Type and bits for ssh-keygen.
    pub(crate) fn type_and_bits(self) -> [&'static str; 2] {
        match self {
            Self::Ed25519 => ["ed25519", "256"],
            Self::Ecdsa => ["ecdsa", "256"],
            Self::Rsa2048 => ["rsa", "2048"],
            Self::Rsa1024 => ["rsa", "1024"],
        }
    }
}

/// What `key add --fix` makes of a scenario that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Reports only.
    None,
    /// `--fix` repairs it.
    Fix,
    /// `--fix` repairs it when this check is named as well, for it is somebody's policy.
    FixAlso(&'static str),
}

/// One row.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// A name, once in the table.
    pub(crate) id: &'static str,
    /// The rules it is about; a refusal must name one of them.
    pub(crate) rules: &'static [&'static str],
    /// Who logs in.
    pub(crate) user: &'static str,
    /// With which key.
    pub(crate) key: KeyKind,
    /// What is done to a tree in which the user has the key and would get in.
    pub(crate) steps: Vec<Step>,
    /// What we claim.
    pub(crate) claim: Claim,
    /// Words of sshd's log that show that it refuses for the reason that is meant.
    pub(crate) says: &'static str,
    /// Why `key check` may answer `unknown`, where it may.
    pub(crate) may_be_unknown: Option<&'static str>,
    /// Why `key check` may refuse what sshd accepts. Never the reverse.
    pub(crate) is_stricter: Option<&'static str>,
    /// What `--fix` does.
    pub(crate) repair: Repair,
}

impl Scenario {
    fn new(
        id: &'static str,
        rules: &'static [&'static str],
        claim: Claim,
        steps: impl Into<Vec<Step>>,
    ) -> Self {
        Self {
            id,
            rules,
            user: ADMIN,
            key: KeyKind::Ed25519,
            steps: steps.into(),
            claim,
            says: "",
            may_be_unknown: None,
            is_stricter: None,
            repair: Repair::None,
        }
    }

    fn user(mut self, user: &'static str) -> Self {
        self.user = user;
        self
    }

    fn key(mut self, key: KeyKind) -> Self {
        self.key = key;
        self
    }

    fn stricter(mut self, reason: &'static str) -> Self {
        self.is_stricter = Some(reason);
        self
    }

    fn unknown(mut self, reason: &'static str) -> Self {
        self.may_be_unknown = Some(reason);
        self
    }

    fn fixed_also(mut self, check: &'static str) -> Self {
        self.repair = Repair::FixAlso(check);
        self
    }

    fn fixed(mut self) -> Self {
        self.repair = Repair::Fix;
        self
    }
}

/// A key that opens a session.
fn accepted(
    id: &'static str,
    rules: &'static [&'static str],
    steps: impl Into<Vec<Step>>,
) -> Scenario {
    Scenario::new(id, rules, Claim::Accepted, steps)
}

/// A key that is good for a session that ends at once.
fn dies(id: &'static str, rules: &'static [&'static str], steps: impl Into<Vec<Step>>) -> Scenario {
    Scenario::new(id, rules, Claim::Dies, steps)
}

/// A key that is refused, with words of sshd's log.
fn refused(
    id: &'static str,
    rules: &'static [&'static str],
    says: &'static str,
    steps: impl Into<Vec<Step>>,
) -> Scenario {
    Scenario { says, ..Scenario::new(id, rules, Claim::Refused, steps) }
}

/// A key that one client can use and another cannot.
fn by_client(
    id: &'static str,
    rules: &'static [&'static str],
    steps: impl Into<Vec<Step>>,
) -> Scenario {
    Scenario::new(id, rules, Claim::ByClient, steps)
}

/// The whole table.
pub(crate) fn all() -> Vec<Scenario> {
    let tables = [
        paths::rows(),
        key_files::rows(),
        key_lines::rows(),
        config::rows(),
        gates::rows(),
        accounts::rows(),
        pam::rows(),
        daemon::rows(),
    ];
    tables.into_iter().flatten().collect()
}
