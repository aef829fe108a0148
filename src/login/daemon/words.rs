//! Text of units and environment files, split as systemd does it (systemd.service(5), "COMMAND LINES";
//! systemd.exec(5), `EnvironmentFile=`).

use std::collections::BTreeMap;

/// Bound on the words of one command line.
const WORDS_MAX: usize = 4096;

/// Variables of a service and where each was set, as an index chosen by the caller.
pub(super) type Environment<T> = BTreeMap<Vec<u8>, (Vec<u8>, T)>;

/// Splits a line into words, with quotes and escapes; `None` if a quote is not closed.
pub(super) fn split(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b' ' | b'\t' | b'\n' | b'\r') => words.extend(current.take()),
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                current.get_or_insert_default();
            }
            (Some(open), _) if open == byte => quote = None,
            (_, b'\\') => {
                let escaped = bytes.next()?;
                current.get_or_insert_default().push(match escaped {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b's' => b' ',
                    other => other,
                });
            }
            _ => current.get_or_insert_default().push(byte),
        }
        if words.len() > WORDS_MAX {
            return None;
        }
    }
    if quote.is_some() {
        return None;
    }
    words.extend(current);
    Some(words)
}

/// Replaces the variables of one word: `$NAME` alone becomes the words of its value, `${NAME}` its value as it
/// stands, `$$` a dollar. Each result comes with the origin of the value, if it is one.
pub(super) fn expand<T: Clone>(
    word: &[u8],
    environment: &Environment<T>,
) -> Vec<(Vec<u8>, Option<T>)> {
    let is_alone = word.first() == Some(&b'$') && !matches!(word.get(1), Some(b'{' | b'$') | None);
    if is_alone {
        let name = word.get(1..).unwrap_or_default();
        let Some((value, origin)) = environment.get(name) else { return Vec::new() };
        let words = split(value).unwrap_or_default();
        return words.into_iter().map(|word| (word, Some(origin.clone()))).collect();
    }
    let mut text = Vec::new();
    let mut origin = None;
    let mut rest = word;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let close = tail.iter().position(|&byte| byte == b'}');
        match (byte, tail.first(), close) {
            (b'$', Some(b'$'), _) => {
                text.push(b'$');
                rest = tail.get(1..).unwrap_or_default();
            }
            (b'$', Some(b'{'), Some(close)) => {
                let name = tail.get(1..close).unwrap_or_default();
                if let Some((value, from)) = environment.get(name) {
                    text.extend_from_slice(value);
                    origin = Some(from.clone());
                }
                rest = tail.get(close.saturating_add(1)..).unwrap_or_default();
            }
            _ => text.push(byte),
        }
    }
    vec![(text, origin)]
}

/// The assignments of an environment file with their line numbers. Values are unquoted as for a shell,
/// without expansions; a backslash at the end of a line joins it with the next.
pub(super) fn assignments(content: &[u8]) -> Vec<(Vec<u8>, Vec<u8>, u64)> {
    let mut found = Vec::new();
    let mut lines = content.split(|&byte| byte == b'\n').zip(1u64..);
    while let Some((line, number)) = lines.next() {
        let line = line.trim_ascii_start();
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
        if line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        let (name, value) = line.split_at(equals);
        let mut value = value.get(1..).unwrap_or_default().to_vec();
        while value.ends_with(b"\\") || has_open_quote(&value) {
            let Some((next, _)) = lines.next() else { break };
            if value.ends_with(b"\\") {
                value.pop();
            } else {
                value.push(b'\n');
            }
            value.extend_from_slice(next);
        }
        found.push((name.trim_ascii().to_vec(), unquote(&value), number));
    }
    found
}

fn has_open_quote(value: &[u8]) -> bool {
    let mut quote = None;
    let mut is_escaped = false;
    for &byte in value {
        match (quote, byte) {
            _ if is_escaped => is_escaped = false,
            (Some(b'"') | None, b'\\') => is_escaped = true,
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

/// Takes the quotes off a value; white space at its ends goes unless quoted.
fn unquote(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut kept = 0usize;
    let mut quote = None;
    let mut bytes = value.trim_ascii_start().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None, b'\\') => text.extend(bytes.next()),
            (Some(b'"'), b'\\') => match bytes.peek() {
                Some(b'"' | b'\\' | b'$' | b'`') => text.extend(bytes.next()),
                _ => text.push(byte),
            },
            _ => text.push(byte),
        }
        if quote.is_some() || !byte.is_ascii_whitespace() {
            kept = text.len();
        }
    }
    text.truncate(kept);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[Vec<u8>]) -> Vec<String> {
        words.iter().map(|word| String::from_utf8(word.clone()).unwrap()).collect()
    }

    #[test]
    fn command_lines_are_split_as_systemd_does_login_11() {
        for (text, words) in [
            ("/usr/sbin/sshd -D  $OPTIONS", vec!["/usr/sbin/sshd", "-D", "$OPTIONS"]),
            ("sshd -o 'A b' \"c d\"e f\\x20", vec!["sshd", "-o", "A b", "c de", "fx20"]),
            ("a \"\" b", vec!["a", "", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(strings(&split(text.as_bytes()).unwrap()), words, "{text}");
        }
        assert_eq!(split(b"a 'b"), None);
    }

    #[test]
    fn variables_are_replaced_as_systemd_does_login_11() {
        let mut environment = Environment::new();
        environment.insert(b"O".to_vec(), (b"-o A=b -p 2222".to_vec(), 1));
        environment.insert(b"Q".to_vec(), (b"-o 'A b'".to_vec(), 2));
        environment.insert(b"E".to_vec(), (Vec::new(), 3));
        for (word, words) in [
            ("$O", vec!["-o", "A=b", "-p", "2222"]),
            ("${O}", vec!["-o A=b -p 2222"]),
            ("x${E}y", vec!["xy"]),
            ("$Q", vec!["-o", "A b"]),
            ("$E", vec![]),
            ("$NONE", vec![]),
            ("${NONE}", vec![""]),
            ("x$O", vec!["x$O"]),
            ("$$O", vec!["$O"]),
            ("-p", vec!["-p"]),
        ] {
            let found = expand(word.as_bytes(), &environment);
            let found: Vec<_> = found.into_iter().map(|(word, _)| word).collect();
            assert_eq!(strings(&found), words, "{word}");
        }
    }

    #[test]
    fn environment_files_are_read_as_systemd_does_login_11() {
        let content = b"# OPTIONS=no\nOPTIONS=\"-u0 -p 22\"  \n;X=1\nA=b c # d\nB='x'\\''y'\n\
            C=one \\\n two\nD=\"a\\\"b\\c\"\nexport E=1\nF=\n";
        let found: Vec<_> = assignments(content)
            .into_iter()
            .map(|(name, value, line)| {
                (String::from_utf8(name).unwrap(), String::from_utf8(value).unwrap(), line)
            })
            .collect();
        let expected = [
            ("OPTIONS", "-u0 -p 22", 2),
            ("A", "b c # d", 4),
            ("B", "x'y", 5),
            ("C", "one  two", 6),
            ("D", "a\"b\\c", 8),
            ("export E", "1", 9),
            ("F", "", 10),
        ];
        let expected: Vec<_> =
            expected.into_iter().map(|(n, v, l)| (n.to_owned(), v.to_owned(), l)).collect();
        assert_eq!(found, expected);
    }
}
