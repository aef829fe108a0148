//! One line of `sshd_config`: keyword and arguments as a release of sshd splits them (LOGIN-12 to
//! LOGIN-14).
//!
//! Read in the source of OpenSSH: before 8.7 the first `#` ends a line wherever it stands, `=` separates
//! arguments as white space does, and only `"` quotes. From 8.7 on a comment begins where an argument
//! would, and `'` and `\` work.

use crate::bytes::text::escape_limited;

/// How a release splits a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Splitting {
    /// Before 8.7.
    Delimiters,
    /// From 8.7.
    Arguments,
}

/// A line with a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The keyword in lower case, escaped.
    pub(super) keyword: String,
    /// The arguments without quotes.
    pub(super) arguments: Vec<Vec<u8>>,
    /// Everything behind the keyword, for keywords that take it as it stands; `None` if nothing is there.
    pub(super) rest: Option<Vec<u8>>,
}

const WHITE: &[u8] = b" \t\r\n";

/// The lines of a file with their numbers. As in every C string, text behind a NUL is lost, and the end of
/// the line with it.
pub(super) fn of_file(content: &[u8], splitting: Splitting) -> Vec<(u64, Vec<u8>)> {
    let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut is_open = false;
    let mut number = 0u64;
    for line in content.split(|&byte| byte == b'\n') {
        let text = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let comment = text.iter().position(|&byte| byte == b'#');
        let comment = comment.filter(|_| splitting == Splitting::Delimiters);
        let kept = comment.and_then(|at| text.get(..at)).unwrap_or(text);
        let kept = trim_start(kept, b" \t\r");
        if let Some((_, open)) = lines.last_mut().filter(|_| is_open) {
            open.extend_from_slice(kept);
        } else {
            number = number.saturating_add(1);
            lines.push((number, kept.to_vec()));
        }
        is_open = text.len() < line.len() && comment.is_none();
    }
    lines
}

/// Splits a line; `None` if it is empty or a comment.
///
/// # Errors
/// A quote that is not closed, where that stops sshd.
pub(super) fn split(line: &[u8], splitting: Splitting) -> Result<Option<Line>, &'static str> {
    let line = trim_end(line, b" \t\r\n\x0c");
    let mut rest = Some(line.to_vec());
    let mut keyword = delimited(&mut rest);
    if keyword.as_ref().is_some_and(Vec::is_empty) {
        keyword = delimited(&mut rest);
    }
    let Some(keyword) = keyword.filter(|word| !word.is_empty() && !word.starts_with(b"#")) else {
        return Ok(None);
    };
    let keyword = escape_limited(&keyword.to_ascii_lowercase(), 64);
    let rest = rest.filter(|rest| !rest.is_empty());
    let arguments = match (&rest, splitting) {
        (None, _) => Vec::new(),
        (Some(rest), Splitting::Arguments) => arguments(rest)?,
        (Some(rest), Splitting::Delimiters) => all_delimited(rest),
    };
    Ok(Some(Line { keyword, arguments, rest }))
}

/// The words of a line up to an empty one; words behind that are extra, and stay so.
pub(super) fn all_delimited(text: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = Some(text.to_vec());
    let mut words = Vec::new();
    // Every word takes at least one byte away.
    while let Some(word) = delimited(&mut rest) {
        if word.is_empty() {
            break;
        }
        words.push(word);
    }
    words
}

/// Takes the next word: up to white space or one `=`; a `"` inside it quotes up to the next and ends it.
fn delimited(rest: &mut Option<Vec<u8>>) -> Option<Vec<u8>> {
    let text = rest.take()?;
    let is_end = |byte: &u8| WHITE.contains(byte) || matches!(byte, b'"' | b'=');
    let Some(at) = text.iter().position(is_end) else { return Some(text) };
    let (word, tail) = text.split_at(at);
    let (&end, tail) = tail.split_first()?;
    if end == b'"' {
        let close = tail.iter().position(|&byte| byte == b'"')?;
        let (quoted, after) = tail.split_at(close);
        let after = after.get(1..).unwrap_or_default();
        *rest = Some(trim_start(after, WHITE).to_vec());
        return Some([word, quoted].concat());
    }
    let mut after = trim_start(tail, WHITE);
    if end != b'=' && after.starts_with(b"=") {
        after = trim_start(after.get(1..).unwrap_or_default(), WHITE);
    }
    *rest = Some(after.to_vec());
    Some(word.to_vec())
}

/// Splits arguments with quotes and escapes; an unquoted `#` where an argument would begin ends the line.
fn arguments(text: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut arguments = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b' ' | b'\t') => arguments.extend(current.take()),
            (None, b'#') if current.is_none() => break,
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                current.get_or_insert_default();
            }
            (Some(open), _) if open == byte => quote = None,
            (_, b'\\') if escapes(bytes.peek(), quote.is_none()) => {
                current.get_or_insert_default().extend(bytes.next());
            }
            _ => current.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    arguments.extend(current);
    Ok(arguments)
}

fn escapes(next: Option<&u8>, is_unquoted: bool) -> bool {
    matches!(next, Some(b'"' | b'\'' | b'\\')) || (is_unquoted && next == Some(&b' '))
}

/// `text` without the bytes of `set` at its start.
pub(super) fn trim_start<'a>(text: &'a [u8], set: &[u8]) -> &'a [u8] {
    let start = text.iter().position(|byte| !set.contains(byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

fn trim_end<'a>(text: &'a [u8], set: &[u8]) -> &'a [u8] {
    let end = text.iter().rposition(|byte| !set.contains(byte));
    text.get(..end.map_or(0, |at| at.saturating_add(1))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Splitting::{Arguments, Delimiters};
    use super::*;

    fn words(line: &str, splitting: Splitting) -> Result<Option<Vec<String>>, &'static str> {
        let parts = split(line.as_bytes(), splitting)?;
        Ok(parts.map(|line| {
            let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
            std::iter::once(line.keyword).chain(line.arguments.into_iter().map(text)).collect()
        }))
    }

    #[test]
    fn lines_are_split_as_sshd_does_login_12_to_14() {
        for (line, current, old) in [
            ("UsePAM yes\r", vec!["usepam", "yes"], None),
            ("usepam = yes \t\x0c", vec!["usepam", "yes"], None),
            ("UsePAM=yes", vec!["usepam", "yes"], None),
            ("\"UsePAM\" yes", vec!["usepam", "yes"], None),
            ("X a b\tc", vec!["x", "a", "b", "c"], None),
            ("X a #b", vec!["x", "a"], Some(vec!["x", "a", "#b"])),
            ("X a#b", vec!["x", "a#b"], None),
            ("X a=b", vec!["x", "a=b"], Some(vec!["x", "a", "b"])),
            ("X \"a b\" c", vec!["x", "a b", "c"], None),
            ("X a\"b c\"d", vec!["x", "ab cd"], Some(vec!["x", "ab c", "d"])),
            ("X 'c d' e\\ f", vec!["x", "c d", "e f"], Some(vec!["x", "'c", "d'", "e\\", "f"])),
            ("X \"g\\\"h\"", vec!["x", "g\"h"], Some(vec!["x", "g\\", "h"])),
            ("X \"\" a", vec!["x", "", "a"], Some(vec!["x"])),
            ("X", vec!["x"], None),
            ("X # a", vec!["x"], Some(vec!["x", "#", "a"])),
        ] {
            let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(words(line, Arguments), Ok(Some(owned(&current))), "{line}");
            let old = old.unwrap_or(current);
            // What follows an unclosed quote is lost in old releases.
            if !line.contains("g\\") {
                assert_eq!(words(line, Delimiters), Ok(Some(owned(&old))), "{line}");
            }
        }
        for line in ["", "  \t\r", "# x", "\"X a"] {
            assert_eq!(words(line, Arguments), Ok(None), "{line}");
        }
        assert!(words("X \"a", Arguments).is_err());
        assert_eq!(words("X \"a", Delimiters), Ok(Some(vec!["x".to_owned()])));
    }

    #[test]
    fn a_file_is_cut_into_lines_as_c_strings_are_login_12() {
        for (content, current, old) in [
            ("a\n\tb # c\n\nd", vec!["a", "b # c", "", "d"], vec!["a", "b ", "", "d"]),
            ("a\0x\nb\nc", vec!["ab", "c"], vec!["ab", "c"]),
            ("a#\0x\nb\nc", vec!["a#b", "c"], vec!["a", "b", "c"]),
            ("a\n\0\0\0\0", vec!["a", ""], vec!["a", ""]),
        ] {
            for (splitting, expected) in [(Arguments, current), (Delimiters, old)] {
                let lines = of_file(content.as_bytes(), splitting);
                let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
                let lines: Vec<_> = lines.iter().map(|l| String::from_utf8_lossy(l)).collect();
                assert_eq!(lines, expected, "{content:?}");
            }
        }
    }
}
