//! Taking lines out of an authorized_keys file (LOGIN-139).
//!
//! Whole lines go, with their line end; every other byte stays where it was, whatever it is. One kind of line goes
//! with the key below it: the mark of Google's guest agent, which at its next run would drop whatever has moved
//! up into that place (LOGIN-104).

use super::authorized_keys::{KeyLine, key_lines};

/// What Google's guest agent writes above each of its keys.
const GOOGLE_MARK: &[u8] = b"# Added by Google";

/// A content without some of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// What is left.
    pub content: Vec<u8>,
    /// The lines that went, in order.
    pub lines: Vec<RemovedLine>,
}

/// One line that went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedLine {
    /// Its number in the file before, from 1.
    pub number: u64,
    /// The key in it.
    pub blob: Vec<u8>,
    /// True if the mark of Google's guest agent went with it.
    pub had_google_mark: bool,
}

/// `content` without the key lines that `is_wanted` names; `None` if there are none.
pub fn without(content: &[u8], mut is_wanted: impl FnMut(&KeyLine<'_>) -> bool) -> Option<Removal> {
    let mut left = Vec::with_capacity(content.len());
    let mut lines = Vec::new();
    let mut kept_up_to = 0usize;
    for line in key_lines(content).filter(|line| is_wanted(line)) {
        left.extend_from_slice(content.get(kept_up_to..line.range.start).unwrap_or_default());
        kept_up_to = line.range.end;
        let mark = google_mark_at_end(&left);
        left.truncate(mark.unwrap_or(left.len()));
        let had_google_mark = mark.is_some();
        lines.push(RemovedLine { number: line.number, blob: line.blob, had_google_mark });
    }
    left.extend_from_slice(content.get(kept_up_to..).unwrap_or_default());
    (!lines.is_empty()).then_some(Removal { content: left, lines })
}

/// Where the last line starts, if it is the mark.
fn google_mark_at_end(content: &[u8]) -> Option<usize> {
    let lines = content.strip_suffix(b"\n")?;
    let start = lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at.saturating_add(1));
    (lines.get(start..)?.trim_ascii() == GOOGLE_MARK).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::authorized_keys::tests::{ED25519 as OLD, OTHER};
    use proptest::prelude::*;

    fn blob(line: &str) -> Vec<u8> {
        key_lines(line.as_bytes()).next().unwrap().blob
    }

    fn left(content: &[u8]) -> Option<Vec<u8>> {
        let old = blob(OLD);
        Some(without(content, |line| line.blob == old)?.content)
    }

    #[test]
    fn only_the_lines_of_the_key_go_login_139() {
        for (before, after) in [
            (OLD.to_owned(), Some(String::new())),
            (format!("{OLD}\n"), Some(String::new())),
            (format!("{OLD} me\r\n{OTHER}\r\n"), Some(format!("{OTHER}\r\n"))),
            (format!("{OTHER}\n{OLD}"), Some(format!("{OTHER}\n"))),
            (format!("{OTHER}\n{OLD}\n{OTHER}"), Some(format!("{OTHER}\n{OTHER}"))),
            (format!("{OLD}\n{OLD}\n\n{OLD}"), Some("\n".to_owned())),
            (format!("no-pty,command=\"a b\" {OLD}\nx\n"), Some("x\n".to_owned())),
            // Options that no sshd knows today may be known to the next one.
            (format!("later-option {OLD}\n"), Some(String::new())),
            (format!("# {OLD}\n\n{OTHER}\n"), None),
            (format!("{OTHER} {OLD}\n"), None),
            (String::new(), None),
        ] {
            let found = left(before.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(found, after, "{before:?}");
        }
    }

    #[test]
    fn the_mark_of_googles_agent_goes_with_its_key_and_no_other_comment_login_104() {
        for (before, after) in [
            (format!("# Added by Google\n{OLD}\n{OTHER}\n"), format!("{OTHER}\n")),
            (format!("{OTHER}\n# Added by Google\r\n{OLD}"), format!("{OTHER}\n")),
            (
                format!("# Added by Google\n{OTHER}\n{OLD}\n"),
                format!("# Added by Google\n{OTHER}\n"),
            ),
            (format!("# mine\n{OLD}\n"), "# mine\n".to_owned()),
            (format!("# Added by Google\n# Added by Google\n{OLD}\n{OLD}\nx"), "x".to_owned()),
        ] {
            assert_eq!(left(before.as_bytes()).unwrap(), after.as_bytes(), "{before:?}");
        }
    }

    proptest! {
        #[test]
        fn every_other_line_stays_byte_for_byte(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just(OLD.as_bytes().to_vec()),
                    Just(format!("restrict {OLD} x").into_bytes()),
                    Just(OTHER.as_bytes().to_vec()),
                    proptest::collection::vec(any::<u8>().prop_filter("one line", |b| *b != b'\n'), 0..40),
                ],
                0..12,
            ),
            ends_with_lf in any::<bool>(),
        ) {
            let mut content = lines.join(&b'\n');
            if ends_with_lf {
                content.push(b'\n');
            }
            let old = blob(OLD);
            let is_old = |line: &[u8]| key_lines(line).any(|line| line.blob == old);
            let kept: Vec<&[u8]> = content
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|line| !is_old(line))
                .collect();
            let found = left(&content).unwrap_or_else(|| content.clone());
            prop_assert_eq!(&found, &kept.concat());
            prop_assert_eq!(left(&found), None);
        }
    }
}
