//! Repairs that change a policy or a lock, and therefore have to be named.

use std::fmt;

/// A repair that `--fix` alone does not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Also {
    /// AllowUsers gets the user (LOGIN-145).
    ConfUsers,
    /// AuthenticationMethods asks for the key alone.
    ConfMethods,
    /// No ForceCommand, no ChrootDirectory, a terminal.
    ConfForce,
    /// The `!` of a locked password becomes `*` (LOGIN-142).
    UserLocked,
    /// The unit of sshd starts at boot (LOGIN-146).
    SshdEnabled,
    /// Files with the immutable or append-only flag are written all the same; the flag stays (LOGIN-134).
    Immutable,
}

impl Also {
    /// Every one, in the order of the help.
    pub const ALL: [Self; 6] = [
        Self::ConfUsers,
        Self::ConfMethods,
        Self::ConfForce,
        Self::UserLocked,
        Self::SshdEnabled,
        Self::Immutable,
    ];

    /// The id of the check that it answers, which is also its word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfUsers => "conf-users",
            Self::ConfMethods => "conf-methods",
            Self::ConfForce => "conf-force",
            Self::UserLocked => "user-locked",
            Self::SshdEnabled => "sshd-enabled",
            Self::Immutable => "immutable",
        }
    }

    /// The one that answers the check `check`.
    pub fn of_check(check: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|also| also.name() == check)
    }
}

impl fmt::Display for Also {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
