//! Options in front of a key (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"; LOGIN-40 to LOGIN-44).

use crate::fs::Timestamp;

/// Bound on the options of one line; a longer list counts as malformed.
const OPTIONS_MAX: usize = 256;
/// One day, in seconds: within it the guest's time zone decides (LOGIN-44).
const DAY_SECONDS: i64 = 86_400;

/// Whether a line with these options lets somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// It does.
    Yes,
    /// It does not; sshd goes on with the next line.
    No(String),
    /// It depends on something that is not on the volume.
    Depends(&'static str),
}

/// The options of one line, as far as they matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct KeyOptions {
    /// `command=`.
    pub has_command: bool,
    /// `restrict`.
    pub is_restricted: bool,
    /// `no-pty`, unless `pty` comes later.
    pub forbids_pty: bool,
    /// `from=`.
    pub has_from: bool,
    /// `cert-authority`.
    pub is_cert_authority: bool,
    /// `principals=`.
    pub has_principals: bool,
    /// `expiry-time=`: seconds since 1970 if it is UTC, else as if it were.
    pub expires_seconds: Option<i64>,
    /// A port is given by a name, which sshd looks up in /etc/services.
    pub names_service: bool,
    /// Everything else, in order, lower case, without values.
    pub others: Vec<String>,
}

/// Options without a value; those with `true` can be negated by `no-`.
const FLAGS: [(&str, bool); 9] = [
    ("restrict", false),
    ("cert-authority", false),
    ("port-forwarding", true),
    ("agent-forwarding", true),
    ("x11-forwarding", true),
    ("pty", true),
    ("user-rc", true),
    ("touch-required", true),
    ("verify-required", true),
];

/// Options with a value in double quotes; those with `true` may stand only once.
const VALUES: [(&str, bool); 8] = [
    ("command", true),
    ("principals", true),
    ("from", true),
    ("expiry-time", true),
    ("environment", false),
    ("permitopen", false),
    ("permitlisten", false),
    ("tunnel", false),
];

impl KeyOptions {
    /// Parses an option list.
    ///
    /// # Errors
    /// Why sshd ignores a line with it, as a phrase.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("there is no option".to_owned());
        }
        let mut options = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        let mut rest = text;
        for _ in 0..OPTIONS_MAX {
            // Commas without an option between them do no harm, nor does one at the end.
            if !matches!(rest.first(), None | Some(b',')) {
                rest = options.take_one(rest, &mut seen)?;
            }
            match rest.split_first() {
                None => return Ok(options),
                Some((b',', after)) => rest = after,
                Some(_) => return Err("an option is unknown or not followed by a comma".to_owned()),
            }
        }
        Err("there are too many options".to_owned())
    }

    fn take_one<'a>(
        &mut self,
        text: &'a [u8],
        seen: &mut Vec<&'static str>,
    ) -> Result<&'a [u8], String> {
        for (name, may_be_negated) in FLAGS {
            if let Some(rest) = strip_name(text, name) {
                self.set_flag(name, true);
                return Ok(rest);
            }
            let negated = strip_name(text, "no-").and_then(|rest| strip_name(rest, name));
            if let Some(rest) = negated.filter(|_| may_be_negated) {
                self.set_flag(name, false);
                return Ok(rest);
            }
        }
        for (name, is_single) in VALUES {
            let Some(rest) = strip_name(text, name).and_then(|rest| rest.strip_prefix(b"=")) else {
                continue;
            };
            if is_single && seen.contains(&name) {
                return Err(format!("{name} stands twice"));
            }
            seen.push(name);
            let (value, rest) =
                quoted(rest).ok_or_else(|| format!("{name} has no quoted value"))?;
            self.set_value(name, &value)?;
            return Ok(rest);
        }
        Err("an option is unknown".to_owned())
    }

    fn set_flag(&mut self, name: &str, is_on: bool) {
        match name {
            "restrict" => self.is_restricted = true,
            "cert-authority" => self.is_cert_authority = true,
            "pty" => self.forbids_pty = !is_on,
            _ => self.others.push(format!("{}{name}", if is_on { "" } else { "no-" })),
        }
    }

    fn set_value(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        match name {
            "command" => self.has_command = true,
            "principals" => self.has_principals = true,
            "from" => self.has_from = true,
            "expiry-time" => {
                let seconds = expiry_seconds(value).ok_or("expiry-time is no time")?;
                self.expires_seconds = Some(seconds);
            }
            "environment" if !is_assignment(value) => {
                return Err("environment is no NAME=value".to_owned());
            }
            "permitopen" | "permitlisten" => {
                let port = port_of(value, name == "permitlisten");
                let port = port.ok_or_else(|| format!("{name} has no port"))?;
                match PortText::of(port) {
                    PortText::Number => self.others.push(name.to_owned()),
                    PortText::Service => self.names_service = true,
                    PortText::Bad => return Err(format!("{name} has no valid port")),
                }
            }
            "tunnel" if !is_tunnel(value) => return Err("tunnel is no number".to_owned()),
            _ => self.others.push(name.to_owned()),
        }
        Ok(())
    }

    /// Whether a line with these options authorises at `now` (LOGIN-40, LOGIN-44).
    pub fn authority(&self, now: Timestamp) -> Authority {
        if self.is_cert_authority {
            return Authority::No("it is a certificate authority".to_owned());
        }
        if self.has_principals {
            return Authority::No("it names principals without being an authority".to_owned());
        }
        if let Some(expires) = self.expires_seconds {
            if expires.saturating_add(DAY_SECONDS) < now.seconds {
                return Authority::No("its expiry-time is over".to_owned());
            }
            if expires < now.seconds.saturating_add(DAY_SECONDS) {
                return Authority::Depends("the time zone of its expiry-time");
            }
        }
        match (self.has_from, self.names_service) {
            (true, _) => Authority::Depends("its from= option"),
            (false, true) => Authority::Depends("a port that is given by name"),
            (false, false) => Authority::Yes,
        }
    }

    /// The options that keep a person from a normal shell (LOGIN-42, LOGIN-121).
    pub fn shadowing(&self) -> Vec<&'static str> {
        let all = [
            (self.has_command, "command="),
            (self.is_restricted, "restrict"),
            (self.forbids_pty, "no-pty"),
        ];
        all.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect()
    }
}

/// `NAME=value`, the name of letters, digits and underscores.
fn is_assignment(value: &[u8]) -> bool {
    let mut parts = value.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default();
    parts.next().is_some() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What follows the host of `host:port`; the host may stand in square brackets, and where `may_be_bare` the port
/// alone.
fn port_of(value: &[u8], may_be_bare: bool) -> Option<&[u8]> {
    if may_be_bare && !value.contains(&b':') {
        return Some(value);
    }
    let rest = match value.strip_prefix(b"[") {
        Some(inside) => inside.get(inside.iter().position(|&byte| byte == b']')?..)?.get(1..)?,
        None => value.get(value.iter().position(|&byte| matches!(byte, b':' | b'/'))?..)?,
    };
    rest.strip_prefix(b":").or_else(|| rest.strip_prefix(b"/"))
}

/// How a port is written.
enum PortText {
    /// A number from 1 to 65535, or `*`.
    Number,
    /// Letters, digits and dashes that may be the name of a service.
    Service,
    /// Nothing that can be a port.
    Bad,
}

impl PortText {
    fn of(text: &[u8]) -> Self {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u16>().ok());
        let is_word = |&byte: &u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match number {
            _ if text == b"*" => Self::Number,
            Some(1..) => Self::Number,
            None if text.iter().any(u8::is_ascii_alphabetic) && text.iter().all(is_word) => {
                Self::Service
            }
            _ => Self::Bad,
        }
    }
}

/// `any` or a number.
fn is_tunnel(value: &[u8]) -> bool {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i32>().ok());
    value.eq_ignore_ascii_case(b"any") || number.is_some_and(|number| number >= 0)
}

fn strip_name<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let head = text.get(..name.len())?;
    head.eq_ignore_ascii_case(name.as_bytes()).then(|| text.get(name.len()..)).flatten()
}

/// A double-quoted value and what follows it; `\"` is the only escape.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    loop {
        match rest {
            [b'\\', b'"', after @ ..] => {
                value.push(b'"');
                rest = after;
            }
            [b'"', after @ ..] => return Some((value, after)),
            [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

/// `YYYYMMDD[HHMM[SS]][Z]` in seconds since 1970, taken as UTC.
fn expiry_seconds(value: &[u8]) -> Option<i64> {
    let digits = value.strip_suffix(b"Z").or_else(|| value.strip_suffix(b"z")).unwrap_or(value);
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i8> {
        let text = digits.get(from..to).unwrap_or(b"00");
        std::str::from_utf8(text).ok()?.parse().ok()
    };
    let year = std::str::from_utf8(digits.get(..4)?).ok()?.parse().ok()?;
    let date = jiff::civil::Date::new(year, number(4, 6)?, number(6, 8)?).ok()?;
    let time = jiff::civil::Time::new(number(8, 10)?, number(10, 12)?, number(12, 14)?, 0).ok()?;
    let zoned = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_sshd_reads_them_login_41() {
        for (text, shadowing) in [
            (
                "no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command=\"echo 'a \\\"U\\\"';exit 142\"",
                vec!["command="],
            ),
            ("restrict", vec!["restrict"]),
            ("restrict,pty", vec!["restrict"]),
            ("no-pty", vec!["no-pty"]),
            ("no-pty,pty", vec![]),
            ("environment=\"A=b\",permitopen=\"h:1\",permitopen=\"h:2\",tunnel=\"0\"", vec![]),
            ("NO-PTY,Command=\"x\"", vec!["command=", "no-pty"]),
            (",,no-pty,", vec!["no-pty"]),
            (
                "permitopen=\"*:*\",permitopen=\"[::1]:22\",permitlisten=\"8080\",tunnel=\"any\"",
                vec![],
            ),
        ] {
            assert_eq!(
                KeyOptions::parse(text.as_bytes()).unwrap().shadowing(),
                shadowing,
                "{text}"
            );
        }
    }

    #[test]
    fn malformed_options_make_a_dead_line_login_40() {
        for text in [
            "",
            "x",
            "ptyx",
            "pty pty",
            "command",
            "command=x",
            "command=\"x",
            "command=\"a\",command=\"b\"",
            "no-restrict",
            "no-command=\"x\"",
            "expiry-time=\"2020\"",
            "expiry-time=\"20201301\"",
            "environment=\"A\"",
            "environment=\"A-B=c\"",
            "permitopen=\"x\"",
            "permitopen=\"h:0\"",
            "permitopen=\"h:65536\"",
            "permitopen=\"::1:22\"",
            "permitopen=\"[::1]22\"",
            "permitlisten=\"a:1:2\"",
            "tunnel=\"x\"",
            "tunnel=\"-1\"",
            "\u{feff}pty",
        ] {
            assert!(KeyOptions::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(KeyOptions::parse("pty,".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn time_and_origin_decide_login_44() {
        let now = Timestamp { seconds: 1_700_000_000, nanoseconds: 0 };
        let authority = |text: &str| KeyOptions::parse(text.as_bytes()).unwrap().authority(now);
        assert_eq!(authority("pty"), Authority::Yes);
        assert!(matches!(authority("permitopen=\"h:http\""), Authority::Depends(_)));
        assert!(matches!(authority("expiry-time=\"20231112\""), Authority::No(_)));
        assert!(matches!(authority("expiry-time=\"20231115Z\""), Authority::Depends(_)));
        assert_eq!(authority("expiry-time=\"20240101120000Z\""), Authority::Yes);
        assert!(matches!(authority("from=\"10.0.0.1\""), Authority::Depends(_)));
        assert!(matches!(authority("cert-authority"), Authority::No(_)));
        assert!(matches!(authority("principals=\"a\""), Authority::No(_)));
    }
}
