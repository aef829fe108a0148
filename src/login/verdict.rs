//! The answer for one user and one key (LOGIN-2).

use super::Finding;
use std::fmt;

/// What sshd will say to a key. A wrong [`Verdict::Accepted`] is the worst mistake this program can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// sshd lets the user in with this key.
    Accepted,
    /// It does not.
    Refused,
    /// It depends on something that is not on the volume.
    Unknown,
}

impl Verdict {
    /// What follows from all findings about a user and a key: one reason against it is enough, whatever else is
    /// not known.
    pub fn of(findings: &[Finding]) -> Self {
        if findings.iter().any(Finding::is_blocking) {
            Self::Refused
        } else if findings.iter().any(|finding| finding.is_undecided) {
            Self::Unknown
        } else {
            Self::Accepted
        }
    }

    /// The word of the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_against_decides_and_doubt_is_not_acceptance_login_2() {
        let id = ("conf-match", "LOGIN-3");
        let block = Finding::block(id, "x", "no");
        let doubt = Finding::undecided(id, "x", "who knows");
        let warn = Finding::warn(id, "x", "look");
        for (findings, verdict) in [
            (vec![], Verdict::Accepted),
            (vec![warn.clone()], Verdict::Accepted),
            (vec![warn, doubt.clone()], Verdict::Unknown),
            (vec![doubt, block], Verdict::Refused),
        ] {
            assert_eq!(Verdict::of(&findings), verdict);
        }
    }
}
