//! The conditions of a Match line, as each release of sshd reads them (LOGIN-22 to LOGIN-24).

use crate::login::daemon::Release;
use crate::login::line::{self, Line};
use crate::login::listening::port;
use crate::login::value::list_defect;

/// One condition of a Match line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::login) enum Criterion {
    Always,
    Never,
    User(Vec<u8>),
    Group(Vec<u8>),
    /// Depends on the client or the connection: what is asked, and the list.
    Client(Asked, Vec<u8>),
}

/// What a condition asks about the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::login) enum Asked {
    Host,
    Address,
    LocalAddress,
    LocalPort,
    RoutingDomain,
    Version,
}

impl Criterion {
    /// Parses a Match line as `release` does.
    pub(in crate::login) fn parse_all(line: &Line, release: Release) -> Result<Vec<Self>, String> {
        let has_arguments = release.is_likely(9, 9);
        let words = if has_arguments {
            line.arguments.clone()
        } else {
            let rest = line.rest.as_deref().unwrap_or_default();
            let words = line::all_delimited(rest);
            // A comment ends the line where a condition would begin.
            words.into_iter().take_while(|word| !word.starts_with(b"#")).collect()
        };
        if words.is_empty() {
            return Err("Match has no condition".to_owned());
        }
        let mut criteria = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let (name, inline) = named_value(&word, release);
            if name == b"all" {
                let is_alone = criteria.is_empty() && words.next().is_none();
                return if is_alone {
                    Ok(vec![Self::Always])
                } else {
                    Err("Match all stands with other conditions".to_owned())
                };
            }
            // An existing user is what we ask about.
            if name == b"invalid-user" && has_arguments {
                criteria.push(Self::Never);
                continue;
            }
            let value = inline.or_else(|| words.next());
            let value = value.filter(|value| !value.is_empty() && !value.starts_with(b"#"));
            let value = value.ok_or_else(|| "a condition of Match has no value".to_owned())?;
            criteria.push(Self::parse(&name, value, release)?);
        }
        Ok(criteria)
    }

    fn parse(name: &[u8], value: Vec<u8>, release: Release) -> Result<Self, String> {
        let asked = match name {
            b"user" => return Ok(Self::User(value)),
            b"group" => return Ok(Self::Group(value)),
            b"host" => Asked::Host,
            b"address" => Asked::Address,
            b"localaddress" => Asked::LocalAddress,
            b"localport" => Asked::LocalPort,
            b"rdomain" if release.is_likely(7, 7) => Asked::RoutingDomain,
            b"version" if release.is_likely(10, 0) => Asked::Version,
            _ => return Err("Match has an unknown condition".to_owned()),
        };
        let is_list = matches!(asked, Asked::Address | Asked::LocalAddress);
        if let Some(reason) = list_defect(&value).filter(|_| is_list) {
            return Err(reason.to_owned());
        }
        let is_port = value.iter().all(u8::is_ascii_digit) && port(&value).is_none();
        if asked == Asked::LocalPort && is_port {
            return Err("LocalPort is no port".to_owned());
        }
        Ok(Self::Client(asked, value))
    }
}

/// A condition and the value behind its `=`, which only 10.0 and later take apart here.
fn named_value(word: &[u8], release: Release) -> (Vec<u8>, Option<Vec<u8>>) {
    let equals = word.iter().position(|&byte| byte == b'=').filter(|_| release.is_likely(10, 0));
    let (name, value) = match equals {
        Some(at) => (word.get(..at), word.get(at.saturating_add(1)..).map(<[u8]>::to_vec)),
        None => (Some(word), None),
    };
    (name.unwrap_or_default().to_ascii_lowercase(), value)
}
