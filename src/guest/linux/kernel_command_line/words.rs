//! Words: of a command line as the kernel splits it, of a line of a GRUB script, of a shell assignment.

use std::collections::BTreeMap;

/// Variables by name.
pub(super) type Variables = BTreeMap<Vec<u8>, Vec<u8>>;

/// Bound on the length of a line after its variables are put in, in bytes.
const EXPANDED_BYTES_MAX: usize = 2 * super::LINE_BYTES_MAX;

/// Splits at white space outside of double quotes, as the kernel does.
pub(super) fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let mut is_quoted = false;
    let parts = line.split(|&byte| {
        is_quoted ^= byte == b'"';
        !is_quoted && byte.is_ascii_whitespace()
    });
    parts.filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The value of `word` if it is `name=value`; `-` and `_` are the same, quotes around the value are off.
pub(super) fn parameter<'a>(word: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let word = word.strip_prefix(b"\"").unwrap_or(word);
    let equals = word.iter().position(|&byte| byte == b'=')?;
    let (found, value) = word.split_at(equals);
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    let is_same = found.iter().map(|&byte| plain(byte)).eq(name.bytes().map(plain));
    let value = value.strip_prefix(b"=").filter(|_| is_same)?;
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    Some(value.strip_suffix(b"\"").unwrap_or(value))
}

/// One command of a GRUB script: its words, and its words as written.
pub(super) struct Command {
    /// Words with quotes off and variables put in.
    pub(super) words: Vec<Vec<u8>>,
    /// True if the line names `next_entry`, the entry for one boot.
    pub(super) is_about_next_entry: bool,
}

/// Splits a line of a GRUB script into commands. A quotation ends at the end of its line.
pub(super) fn commands(line: &[u8], variables: &Variables) -> Vec<Command> {
    let mut reader = Reader { rest: line, variables, word: None, words: Vec::new(), len_bytes: 0 };
    let mut commands = Vec::new();
    let is_about_next_entry = line.windows(10).any(|part| part == b"next_entry");
    while reader.read_command() {
        let words = std::mem::take(&mut reader.words);
        commands.push(Command { words, is_about_next_entry });
    }
    commands
}

/// Puts variables into the value of a Boot Loader Specification entry and splits it.
pub(super) fn expanded(line: &[u8], variables: &Variables) -> Vec<Vec<u8>> {
    let mut text = Vec::new();
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'$'
            && let Some((value, after)) = variable(after, variables)
        {
            text.extend_from_slice(value);
            rest = after;
        } else {
            text.push(byte);
            rest = after;
        }
        if text.len() > EXPANDED_BYTES_MAX {
            break;
        }
    }
    split(&text)
}

/// The value of the variable whose name follows a `$`, and what is behind it. Unknown ones are empty.
fn variable<'a, 'b>(after: &'a [u8], variables: &'b Variables) -> Option<(&'b [u8], &'a [u8])> {
    let is_braced = after.first() == Some(&b'{');
    let text = if is_braced { after.get(1..)? } else { after };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = text.iter().position(|byte| !is_name(byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    let rest = if is_braced { rest.strip_prefix(b"}")? } else { rest };
    let value = variables.get(name).map(Vec::as_slice).unwrap_or_default();
    (is_braced || !name.is_empty()).then_some((value, rest))
}

/// The words of one line.
struct Reader<'a> {
    rest: &'a [u8],
    variables: &'a Variables,
    /// The word under way; an empty one was quoted.
    word: Option<Vec<u8>>,
    words: Vec<Vec<u8>>,
    len_bytes: usize,
}

impl Reader<'_> {
    /// Reads up to the next `;`, the next `{` or the end; false if nothing is left.
    fn read_command(&mut self) -> bool {
        while let Some((&byte, after)) = self.rest.split_first() {
            self.rest = after;
            match byte {
                b';' => {
                    self.end_word();
                    return true;
                }
                b'#' if self.word.is_none() => self.rest = b"",
                b'\'' => self.read_single(),
                b'"' => self.read_double(),
                b'\\' => self.read_escaped(),
                b'$' => self.read_variable(true),
                _ if byte.is_ascii_whitespace() => {
                    self.end_word();
                    // A brace opens a block, and a command begins.
                    if self.words.last().is_some_and(|word| word == b"{") {
                        return true;
                    }
                }
                _ => self.push(&[byte]),
            }
        }
        self.end_word();
        !self.words.is_empty()
    }

    fn read_single(&mut self) {
        let end = self.rest.iter().position(|&byte| byte == b'\'').unwrap_or(self.rest.len());
        let quoted = self.rest.get(..end).unwrap_or_default();
        self.rest = self.rest.get(end.saturating_add(1)..).unwrap_or_default();
        self.push(quoted);
    }

    fn read_double(&mut self) {
        self.push(b"");
        while let Some((&byte, after)) = self.rest.split_first() {
            self.rest = after;
            match byte {
                b'"' => return,
                b'\\' => self.read_escaped(),
                b'$' => self.read_variable(false),
                _ => self.push(&[byte]),
            }
        }
    }

    fn read_escaped(&mut self) {
        if let Some((&byte, after)) = self.rest.split_first() {
            self.rest = after;
            self.push(&[byte]);
        }
    }

    /// A variable; outside of quotes its value is split like the line.
    fn read_variable(&mut self, is_split: bool) {
        let Some((value, after)) = variable(self.rest, self.variables) else {
            self.push(b"$");
            return;
        };
        self.rest = after;
        if !is_split {
            self.push(value);
            return;
        }
        for &byte in value {
            if byte.is_ascii_whitespace() { self.end_word() } else { self.push(&[byte]) }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.word.get_or_insert_default().extend_from_slice(bytes);
        self.len_bytes = self.len_bytes.saturating_add(bytes.len());
        if self.len_bytes > EXPANDED_BYTES_MAX {
            self.rest = b"";
        }
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }
}
