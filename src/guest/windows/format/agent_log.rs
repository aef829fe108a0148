//! The last password event in the log of an agent: was a password sent, to whom, when (WIN-8)?
//!
//! The logs have no published format. What is looked for: the lines `Username: <name>` and
//! `Password: <Password>` of WIN-64, lines of failure as in WIN-4, and a time stamp at the start of
//! the line in one of the forms of the agents. **The encrypted password is never returned**, only that
//! it is there. Encodings: ASCII, UTF-8, ANSI and UTF-16LE, also from the middle of a file, where the
//! byte order mark is not seen.

use std::borrow::Cow;

/// Bound on what is looked at, in bytes from the end of a log: read no more.
pub const LOG_TAIL_BYTES_MAX: usize = 256 * 1024;
/// Bound on the text of one line that is returned, in characters.
const LINE_CHARACTERS_MAX: usize = 200;
/// Words of a line that reports a failure.
const FAILURE_WORDS: [&str; 6] = ["unable", "fail", "error", "could not", "cannot", "invalid"];

/// The last password event of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordEvent {
    /// What happened.
    pub outcome: PasswordOutcome,
    /// The time stamp of the line as it is written there, if it has one.
    pub time: Option<String>,
}

/// What a log says about a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordOutcome {
    /// An encrypted password was written to the console.
    Sent {
        /// The account, as the log names it, not escaped.
        user_name: Option<String>,
    },
    /// Something failed.
    Failed {
        /// The line without its time stamp, not escaped, cut to a length that fits a report.
        line: String,
    },
}

/// Finds the last event in the end of a log. `tail` may start anywhere in a line or character.
pub fn last_event(tail: &[u8]) -> Option<PasswordEvent> {
    let start = tail.len().saturating_sub(LOG_TAIL_BYTES_MAX);
    let text = decode(tail.get(start..).unwrap_or_default());
    let (mut event, mut user_name) = (None, None);
    for line in text.split(['\n', '\r']) {
        let (time, message) =
            split_time(line.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}'));
        let time = time.map(str::to_owned);
        if let Some(name) = value_of(message, "Username:") {
            user_name = Some(name.chars().take(LINE_CHARACTERS_MAX).collect::<String>());
        } else if value_of(message, "Password:").is_some() {
            let outcome = PasswordOutcome::Sent { user_name: user_name.take() };
            event = Some(PasswordEvent { outcome, time });
        } else if is_failure(message) {
            let line = message.chars().take(LINE_CHARACTERS_MAX).collect();
            event = Some(PasswordEvent { outcome: PasswordOutcome::Failed { line }, time });
        }
    }
    event
}

/// What follows `name` in a message that may have words of the logger in front of it.
fn value_of<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let (before, value) = message.split_once(name)?;
    let is_word = before.is_empty() || before.ends_with([' ', '\t', ':', ']']);
    Some(value.trim()).filter(|value| is_word && !value.is_empty())
}

/// True if a line reports that setting or sending a password failed, and cannot hold one.
fn is_failure(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    let is_about = lower.contains("password") || lower.contains("setadminaccount");
    is_about
        && !lower.contains("password>")
        && FAILURE_WORDS.iter().any(|word| lower.contains(word))
}

/// Time stamp and message: `2026/01/31 23:59:59Z: message`, also with dashes, with a `T`, or with a
/// fraction of a second.
fn split_time(line: &str) -> (Option<&str>, &str) {
    const MODEL: &[u8] = b"0000/00/00 00:00:00";
    let has_form = line.len() >= MODEL.len()
        && line.bytes().zip(MODEL).all(|(byte, model)| match model {
            b'0' => byte.is_ascii_digit(),
            b'/' => matches!(byte, b'/' | b'-'),
            b' ' => matches!(byte, b' ' | b'T'),
            _ => byte == b':',
        });
    if !has_form {
        return (None, line);
    }
    let rest = line.get(MODEL.len()..).unwrap_or_default();
    let rest = match rest.strip_prefix(['.', ',']) {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let rest = rest.strip_prefix('Z').unwrap_or(rest);
    let time = line.get(..line.len().saturating_sub(rest.len()));
    (time, rest.trim_start_matches([':', ' ', '\t']))
}

/// Text of a log. UTF-16 is recognised by its zeros; which byte of a unit comes first is, too.
pub(super) fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let zeros_at =
        |parity: usize| bytes.iter().skip(parity).step_by(2).filter(|&&byte| byte == 0).count();
    let (even, odd) = (zeros_at(0), zeros_at(1));
    if even.saturating_add(odd) < bytes.len() / 4 {
        return String::from_utf8_lossy(bytes);
    }
    // A zero is the second byte of an ASCII character.
    let aligned = bytes.get(usize::from(even > odd)..).unwrap_or_default();
    let units: Vec<u16> =
        aligned.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    Cow::Owned(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SENT: &str = "2026/01/31 10:00:00Z: Waiting for meta-data accessibility...\r\n\
                        2026/01/31 10:00:09Z: Username: Administrator\r\n\
                        2026/01/31 10:00:10Z: Password: <Password>\r\nU0VDUkVUU0VDUkVU\r\n</Password>\r\n\
                        2026/01/31 10:00:11Z: Message: Windows is Ready to use\r\n";

    fn sent(user_name: Option<&str>, time: Option<&str>) -> PasswordEvent {
        let outcome = PasswordOutcome::Sent { user_name: user_name.map(str::to_owned) };
        PasswordEvent { outcome, time: time.map(str::to_owned) }
    }

    fn failed(line: &str, time: Option<&str>) -> PasswordEvent {
        let outcome = PasswordOutcome::Failed { line: line.to_owned() };
        PasswordEvent { outcome, time: time.map(str::to_owned) }
    }

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn the_last_event_counts_win_8() {
        let failure = "2026-01-31T11:00:00.123Z: Unable to send the password to console\n";
        for (log, expected) in [
            (String::new(), None),
            ("nothing of interest\n".to_owned(), None),
            (SENT.to_owned(), Some(sent(Some("Administrator"), Some("2026/01/31 10:00:10Z")))),
            (
                format!("{SENT}{failure}"),
                Some(failed("Unable to send the password to console", Some("2026-01-31T11:00:00.123Z"))),
            ),
            (format!("{failure}{SENT}"), Some(sent(Some("Administrator"), Some("2026/01/31 10:00:10Z")))),
            (
                "2026-01-31 11:00:00 Info: [x] Username: Adm in\n2026-01-31 11:00:01 Info: Password: <Password>abc</Password>".to_owned(),
                Some(sent(Some("Adm in"), Some("2026-01-31 11:00:01"))),
            ),
            ("Password: <Password>\n".to_owned(), Some(sent(None, None))),
            ("Password:\n".to_owned(), None),
            ("MyPassword: x\n".to_owned(), None),
            ("Generating a random password...\n".to_owned(), None),
            (
                "2026-01-31 11:00:00 Error: task setAdminAccount failed\n".to_owned(),
                Some(failed("Error: task setAdminAccount failed", Some("2026-01-31 11:00:00"))),
            ),
            ("error: <Password>abc</Password>\n".to_owned(), None),
        ] {
            assert_eq!(last_event(log.as_bytes()), expected, "{log}");
        }
    }

    #[test]
    fn utf16_is_read_from_any_byte() {
        let log = SENT.replace("Administrator", "J\u{fc}rgen\u{4e00}");
        let bytes = [b"\xff\xfe".as_slice(), &utf16(&log)].concat();
        for start in 0..40 {
            let expected = Some(sent(Some("J\u{fc}rgen\u{4e00}"), Some("2026/01/31 10:00:10Z")));
            assert_eq!(last_event(&bytes[start..]), expected, "{start}");
        }
        let ansi = log.replace('\u{4e00}', "").replace('\u{fc}', "\u{1}");
        let ansi: Vec<u8> = ansi.bytes().map(|byte| if byte == 1 { 0xfc } else { byte }).collect();
        assert_eq!(
            last_event(&ansi),
            Some(sent(Some("J\u{fffd}rgen"), Some("2026/01/31 10:00:10Z")))
        );
    }

    #[test]
    fn only_the_end_of_a_log_is_read() {
        let padding = "x\n".repeat(LOG_TAIL_BYTES_MAX / 2);
        assert_eq!(last_event(format!("{SENT}{padding}").as_bytes()), None);
        let long = format!("password error {}", "y".repeat(1 << 20));
        let Some(PasswordEvent { outcome: PasswordOutcome::Failed { line }, .. }) =
            last_event(&long.as_bytes()[..1000])
        else {
            panic!("no event");
        };
        assert_eq!(line.len(), 200);
    }

    proptest! {
        #[test]
        fn the_password_is_never_returned(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("Username: x".to_owned()),
                    Just("Password: <Password>SECRET</Password>".to_owned()),
                    Just("unable: Password: <Password>SECRET</Password>".to_owned()),
                    Just("SECRET".to_owned()),
                    Just("Unable to send the password".to_owned()),
                    "[ -~]{0,20}",
                ],
                0..20,
            ),
            is_utf16 in any::<bool>(),
            cut in 0usize..40,
        ) {
            let text = lines.join("\r\n");
            let bytes = if is_utf16 { utf16(&text) } else { text.into_bytes() };
            let event = last_event(&bytes[cut.min(bytes.len())..]);
            let shown = format!("{event:?}");
            prop_assert!(!shown.contains("SECRET"));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = last_event(&bytes);
        }
    }
}
