//! The options of sshd's command line (sshd(8); LOGIN-11).

use super::unit::Word;
use crate::bytes::text::escape_limited;
use crate::fs::path::GuestPath;
use crate::login::Finding;
use crate::login::sshd_config::Place;

/// Bound on the words that are looked at.
const WORDS_MAX: usize = 4096;

/// Options that take a value, in every release.
const WITH_VALUE: &[u8] = b"CEbcfghkopu";
/// Options that take none.
const WITHOUT_VALUE: &[u8] = b"46DGQRTVdeiqrt";
/// Those with which sshd does something else than to serve.
const NOT_SERVING: &[u8] = b"GTVt";

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// `-f`: the file in place of /etc/ssh/sshd_config; `Some(None)` for `none`.
    pub config_file: Option<Option<GuestPath>>,
    /// `-o`, each as a line of sshd_config, with the place it comes from.
    pub settings: Vec<(Vec<u8>, Place)>,
    /// `-p`: the ports, which make sshd ignore every Port line.
    pub ports: Vec<u16>,
    /// True if a socket unit listens, and not sshd.
    pub is_socket_activated: bool,
    /// What stops sshd, or could not be understood.
    pub findings: Vec<Finding>,
}

impl CommandLine {
    /// Reads the words behind the name of the program.
    pub(super) fn parse(words: &[Word]) -> Self {
        let mut result = Self::default();
        let mut words = words.iter().take(WORDS_MAX);
        while let Some(word) = words.next() {
            let Some(options) = word.text.strip_prefix(b"-").filter(|rest| !rest.is_empty()) else {
                result.stops(word, "sshd takes no arguments without a dash");
                return result;
            };
            if options == b"-" {
                break;
            }
            let mut options = options;
            while let Some((&option, rest)) = options.split_first() {
                options = rest;
                if WITH_VALUE.contains(&option) {
                    let value = if rest.is_empty() {
                        words.next().map(|next| next.text.clone())
                    } else {
                        Some(rest.to_vec())
                    };
                    match value {
                        Some(value) => result.option(option, value, word),
                        None => result.stops(word, "an option has no value"),
                    }
                    break;
                }
                if !WITHOUT_VALUE.contains(&option) {
                    result.stops(word, "sshd does not know the option");
                } else if NOT_SERVING.contains(&option) {
                    result.stops(word, "with this option sshd only looks at its configuration");
                }
            }
        }
        result
    }

    /// True if sshd does the same with both.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let texts = |line: &Self| line.settings.iter().map(|(text, _)| text.clone()).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = (texts(self), texts(other));
        ours == theirs && self.ports == other.ports && self.config_file == other.config_file
    }

    fn option(&mut self, option: u8, value: Vec<u8>, word: &Word) {
        match option {
            b'f' if value.eq_ignore_ascii_case(b"none") => self.config_file = Some(None),
            b'f' => self.config_file = Some(Some(GuestPath::new("/").join(value))),
            b'o' => self.settings.push((value, word.place.clone())),
            b'p' => match std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()) {
                Some(port) if port > 0 => self.ports.push(port),
                _ => self.stops(word, "the port is no port"),
            },
            _ => {}
        }
    }

    fn stops(&mut self, word: &Word, reason: &str) {
        let shown = escape_limited(&word.text, 64);
        let message = format!("sshd does not start: {shown} on its command line: {reason}");
        let finding = Finding::block(("conf-syntax", "LOGIN-11"), &word.place, message);
        self.findings.push(finding.fixed_by("remove it from the unit or the file that sets it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CommandLine {
        let place = Place { path: GuestPath::new("/unit"), line: 3 };
        let words: Vec<Word> = text
            .split_whitespace()
            .map(|text| Word { text: text.into(), place: place.clone() })
            .collect();
        CommandLine::parse(&words)
    }

    #[test]
    fn options_are_read_as_getopt_does_login_11() {
        let line = parse("-D -e -oPort=22 -o UsePAM=no -De -f /etc/x -p 2222 -p23 -h /key");
        assert_eq!(line.findings, []);
        let settings: Vec<_> = line.settings.iter().map(|(text, _)| text.as_slice()).collect();
        assert_eq!(settings, [b"Port=22".as_slice(), b"UsePAM=no"]);
        assert_eq!(line.ports, [2222, 23]);
        assert_eq!(line.config_file, Some(Some(GuestPath::new("/etc/x"))));
        assert_eq!(parse("-f none").config_file, Some(None));
        assert_eq!(parse("-Dofoo=1").settings[0].0, b"foo=1");
        for text in ["-D start", "-x", "-t", "-o", "-p 0", "-p x", "-Dz"] {
            let findings = parse(text).findings;
            assert!(findings.len() == 1 && findings[0].is_blocking(), "{text}");
            assert_eq!(findings[0].subject, "/unit:3");
        }
    }
}
