//! What modules of PAM answer, and what a line does with an answer (pam.conf(5); LOGIN-66).

/// Declares the answers with their names in `[value=action]`, in the order in which PAM looks for the names.
macro_rules! codes {
    ($($name:ident $text:literal,)*) => {
        /// What a module answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Code {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Code {
            /// Every answer with its name.
            pub(super) const ALL: &[(Self, &str)] = &[$((Self::$name, $text),)*];
        }
    };
}

codes! {
    Success "success",
    OpenErr "open_err",
    SymbolErr "symbol_err",
    ServiceErr "service_err",
    SystemErr "system_err",
    BufErr "buf_err",
    PermDenied "perm_denied",
    AuthErr "auth_err",
    CredInsufficient "cred_insufficient",
    AuthinfoUnavail "authinfo_unavail",
    UserUnknown "user_unknown",
    Maxtries "maxtries",
    NewAuthtokReqd "new_authtok_reqd",
    AcctExpired "acct_expired",
    SessionErr "session_err",
    CredUnavail "cred_unavail",
    CredExpired "cred_expired",
    CredErr "cred_err",
    NoModuleData "no_module_data",
    ConvErr "conv_err",
    AuthtokErr "authtok_err",
    AuthtokRecoverErr "authtok_recover_err",
    AuthtokLockBusy "authtok_lock_busy",
    AuthtokDisableAging "authtok_disable_aging",
    TryAgain "try_again",
    Ignore "ignore",
    Abort "abort",
    AuthtokExpired "authtok_expired",
    ModuleUnknown "module_unknown",
    BadItem "bad_item",
    ConvAgain "conv_again",
    Incomplete "incomplete",
}

impl Code {
    /// The name as in `[value=action]`.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or("", |(_, name)| name)
    }

    /// True for what lets the login go on: sshd takes a demand for a new password as such (LOGIN-65).
    pub(super) fn goes_on(self) -> bool {
        matches!(self, Self::Success | Self::NewAuthtokReqd)
    }
}

/// What a line does with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Nothing.
    Ignore,
    /// Counts for the stack.
    Ok,
    /// Counts, and ends the stack.
    Done,
    /// Counts against the stack.
    Bad,
    /// Counts against the stack, and ends it.
    Die,
    /// Takes back what was found since the stack began.
    Reset,
    /// Skips this many lines.
    Jump(u32),
}

/// The second field of a line: what it does with each answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    /// In file order; the last one for a code counts.
    values: Vec<(Code, Action)>,
    /// For every other answer.
    default: Action,
}

impl Control {
    /// A control that takes every answer as `action`.
    pub(super) fn always(action: Action) -> Self {
        Self { values: Vec::new(), default: action }
    }

    /// Parses a word, or the content of `[...]`. What cannot be understood makes every answer bad.
    pub(super) fn parse(word: &[u8]) -> Self {
        let usual = |positive: Action, ignore: Action, default: Action| Self {
            values: vec![
                (Code::Success, positive),
                (Code::NewAuthtokReqd, positive),
                (Code::Ignore, ignore),
            ],
            default,
        };
        match word.to_ascii_lowercase().as_slice() {
            b"required" => usual(Action::Ok, Action::Ignore, Action::Bad),
            b"requisite" => usual(Action::Ok, Action::Ignore, Action::Die),
            b"optional" => usual(Action::Ok, Action::Ignore, Action::Ignore),
            b"sufficient" => usual(Action::Done, Action::Ignore, Action::Ignore),
            _ => Self::parse_values(word).unwrap_or_else(|| Self::always(Action::Bad)),
        }
    }

    fn parse_values(text: &[u8]) -> Option<Self> {
        let mut values = Vec::new();
        let mut default = None;
        let mut rest = text.trim_ascii_start();
        while !rest.is_empty() {
            let find = |(code, name): &(Code, &str)| {
                Some((Some(*code), rest.strip_prefix(name.as_bytes())?))
            };
            let (code, after) = Code::ALL
                .iter()
                .find_map(find)
                .or_else(|| Some((None, rest.strip_prefix(b"default".as_slice())?)))?;
            let after = after.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
            let (action, after) = parse_action(after)?;
            match code {
                Some(code) => values.push((code, action)),
                // A default is for what has no value yet, so that a second one does nothing.
                None => _ = default.get_or_insert(action),
            }
            rest = after.trim_ascii_start();
        }
        Some(Self { values, default: default.unwrap_or(Action::Bad) })
    }

    /// What the line does with `code`.
    pub(super) fn action(&self, code: Code) -> Action {
        let value = self.values.iter().rev().find(|(wanted, _)| *wanted == code);
        value.map_or(self.default, |(_, action)| *action)
    }
}

fn parse_action(text: &[u8]) -> Option<(Action, &[u8])> {
    let words = [
        ("ignore", Action::Ignore),
        ("ok", Action::Ok),
        ("done", Action::Done),
        ("bad", Action::Bad),
        ("die", Action::Die),
        ("reset", Action::Reset),
    ];
    for (word, action) in words {
        if let Some(rest) = text.strip_prefix(word.as_bytes()) {
            return Some((action, rest));
        }
    }
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let count: i32 = std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()?;
    let count = u32::try_from(count).ok().filter(|&count| count > 0)?;
    Some((Action::Jump(count), text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_read_as_pam_does_login_66() {
        use Action::{Bad, Die, Done, Ignore, Jump, Ok, Reset};
        let codes = [Code::Success, Code::NewAuthtokReqd, Code::Ignore, Code::UserUnknown];
        for (text, expected) in [
            ("required", [Ok, Ok, Ignore, Bad]),
            ("REQUIRED", [Ok, Ok, Ignore, Bad]),
            ("requisite", [Ok, Ok, Ignore, Die]),
            ("optional", [Ok, Ok, Ignore, Ignore]),
            ("sufficient", [Done, Done, Ignore, Ignore]),
            ("success=1 new_authtok_reqd=done default=ignore", [Jump(1), Done, Ignore, Ignore]),
            ("default=bad success=ok user_unknown=ignore", [Ok, Bad, Bad, Ignore]),
            ("success=ok", [Ok, Bad, Bad, Bad]),
            ("success=okdefault=die", [Ok, Die, Die, Die]),
            (" success = ok  default = reset ", [Ok, Reset, Reset, Reset]),
            ("default=ignore default=bad", [Ignore; 4]),
            ("success=ok success=bad", [Bad; 4]),
            ("default=ok success=die", [Die, Ok, Ok, Ok]),
            ("", [Bad; 4]),
            ("success=ok ignore=0", [Bad; 4]),
            ("success=ok ignore=x", [Bad; 4]),
            ("success=ok nonsense=ok", [Bad; 4]),
            ("success=2147483647", [Jump(2_147_483_647), Bad, Bad, Bad]),
            ("success=2147483648", [Bad; 4]),
            ("success", [Bad; 4]),
            ("success=", [Bad; 4]),
            ("Success=ok", [Bad; 4]),
            ("needed", [Bad; 4]),
        ] {
            let control = Control::parse(text.as_bytes());
            assert_eq!(codes.map(|code| control.action(code)), expected, "{text}");
        }
    }

    #[test]
    fn names_are_unique_and_known() {
        assert_eq!(Code::ALL.len(), 32);
        assert_eq!(Code::AuthtokExpired.name(), "authtok_expired");
        let names: std::collections::BTreeSet<_> = Code::ALL.iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), 32);
    }
}
