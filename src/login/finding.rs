//! One reason for or against a login, as it is reported.

use std::fmt;

/// What a finding means for the verdict (linux-login.md, section 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// sshd refuses the key.
    Block,
    /// The login may fail or have side effects.
    Warn,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// The word of the JSON contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A finding of one check. All text is escaped already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Check id of table LOGIN-T6, as in `strict-mode`.
    pub check: &'static str,
    /// The rule behind it, as in `LOGIN-51`.
    pub rule: &'static str,
    /// What it means.
    pub severity: Severity,
    /// What was looked at: a path, a user, a line of a file.
    pub subject: String,
    /// What was found, as a sentence without a full stop.
    pub message: String,
    /// What would repair it.
    pub fix: Option<String>,
    /// True if the answer of sshd depends on this and is not to be found on the volume (LOGIN-2): without a
    /// blocking finding the verdict is then `unknown`.
    pub is_undecided: bool,
}

impl Finding {
    /// Makes a finding without a fix.
    pub fn new(
        (check, rule): (&'static str, &'static str),
        severity: Severity,
        subject: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        let subject = subject.to_string();
        Self {
            check,
            rule,
            severity,
            subject,
            message: message.into(),
            fix: None,
            is_undecided: false,
        }
    }

    /// Makes a blocking finding.
    pub fn block(
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self::new(id, Severity::Block, subject, message)
    }

    /// Makes a warning.
    pub fn warn(
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self::new(id, Severity::Warn, subject, message)
    }

    /// Makes a warning about something that decides and is not on the volume (LOGIN-2).
    pub fn undecided(
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self { is_undecided: true, ..Self::warn(id, subject, message) }
    }

    /// Makes a note.
    pub fn info(
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        message: impl Into<String>,
    ) -> Self {
        Self::new(id, Severity::Info, subject, message)
    }

    /// Adds what would repair it.
    #[must_use]
    pub fn fixed_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// True for a reason that makes sshd refuse the key.
    pub fn is_blocking(&self) -> bool {
        self.severity == Severity::Block
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.subject, self.message, self.rule)
    }
}
