//! The text in which LVM2 writes its metadata.
//!
//! Described in the manual page lvm.conf(5), section "SYNTAX", which uses the same grammar:
//!
//! ```text
//! file       = { section | assignment }
//! section    = identifier "{" file "}"
//! assignment = identifier "=" ( value | "[" [ value { "," value } ] [ "," ] "]" )
//! value      = integer | float | string
//! ```
//!
//! A string stands between double quotes, in which a backslash escapes the next character; `#` starts a comment
//! that ends with its line. Nothing is interpreted here; numbers with a fraction are kept as text.
//! Bounds: [`TEXT_BYTES_MAX`], [`ITEMS_MAX`], [`DEPTH_MAX`].

use super::defect::Defect;

/// Bound on the text, in bytes. The default area has 1 MiB, of which half is usable; metadata of a thousand logical
/// volumes has about 1 MiB.
pub const TEXT_BYTES_MAX: u64 = 4 << 20;

/// Bound on sections, assignments and list items together.
const ITEMS_MAX: usize = 200_000;

/// Bound on sections inside each other; volume groups need 4.
const DEPTH_MAX: usize = 16;

/// Bound on an identifier in bytes; LVM stops at 127.
const IDENTIFIER_BYTES_MAX: usize = 256;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// An integer.
    Number(i64),
    /// A string, unescaped, or a number with a fraction.
    Text(Vec<u8>),
    /// A list of numbers and strings.
    List(Vec<Self>),
}

/// Entries between braces, or the whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// The assignments, in their order.
    pub(super) values: Vec<(Vec<u8>, Value)>,
    /// The sections inside, in their order.
    pub(super) sections: Vec<(Vec<u8>, Self)>,
}

impl Section {
    /// The value of `key`.
    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| name == key.as_bytes()).map(|(_, value)| value)
    }

    /// The section called `name`.
    pub(super) fn section(&self, name: &str) -> Option<&Self> {
        self.sections.iter().find(|(other, _)| other == name.as_bytes()).map(|(_, section)| section)
    }
}

/// Parses a whole text. It ends at its first NUL byte, with which LVM terminates it.
///
/// # Errors
/// [`Defect::Syntax`].
pub(super) fn parse(text: &[u8]) -> Result<Section, Defect> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut parser = Parser { text, at: 0, line: 1, items: 0 };
    let section = parser.section(0)?;
    match parser.next_significant() {
        None => Ok(section),
        Some(_) => Err(parser.defect("a closing brace without an opening one")),
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
    items: usize,
}

impl Parser<'_> {
    fn defect(&self, what: &'static str) -> Defect {
        Defect::Syntax { line: self.line, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn advance(&mut self) {
        if self.peek() == Some(b'\n') {
            self.line = self.line.saturating_add(1);
        }
        self.at = self.at.saturating_add(1);
    }

    /// The next byte that is neither white space nor part of a comment, without taking it.
    fn next_significant(&mut self) -> Option<u8> {
        let mut in_comment = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => in_comment = false,
                b'#' => in_comment = true,
                _ if in_comment || byte.is_ascii_whitespace() => {}
                other => return Some(other),
            }
            self.advance();
        }
        None
    }

    fn expect(&mut self, wanted: u8, what: &'static str) -> Result<(), Defect> {
        if self.next_significant() != Some(wanted) {
            return Err(self.defect(what));
        }
        self.advance();
        Ok(())
    }

    fn count_item(&mut self) -> Result<(), Defect> {
        self.items = self.items.saturating_add(1);
        if self.items > ITEMS_MAX { Err(self.defect("too many entries")) } else { Ok(()) }
    }

    /// Entries up to a closing brace, which is not taken, or to the end.
    fn section(&mut self, depth: usize) -> Result<Section, Defect> {
        if depth > DEPTH_MAX {
            return Err(self.defect("sections are too deep inside each other"));
        }
        let mut section = Section::default();
        while let Some(byte) = self.next_significant() {
            if byte == b'}' {
                break;
            }
            self.count_item()?;
            let name = self.identifier()?;
            match self.next_significant() {
                Some(b'{') => {
                    self.advance();
                    let inner = self.section(depth.saturating_add(1))?;
                    self.expect(b'}', "a section does not end")?;
                    section.sections.push((name, inner));
                }
                Some(b'=') => {
                    self.advance();
                    section.values.push((name, self.value()?));
                }
                _ => return Err(self.defect("neither \"{\" nor \"=\" after a name")),
            }
        }
        Ok(section)
    }

    fn take_while(&mut self, is_part: impl Fn(u8) -> bool) -> Vec<u8> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let taken: Vec<u8> = rest.iter().copied().take_while(|byte| is_part(*byte)).collect();
        self.at = self.at.saturating_add(taken.len());
        taken
    }

    fn identifier(&mut self) -> Result<Vec<u8>, Defect> {
        let is_part = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/')
        };
        let name = self.take_while(is_part);
        if name.is_empty() || name.len() > IDENTIFIER_BYTES_MAX {
            return Err(self.defect("a name was expected"));
        }
        Ok(name)
    }

    fn value(&mut self) -> Result<Value, Defect> {
        if self.next_significant() != Some(b'[') {
            return self.scalar();
        }
        self.advance();
        let mut items = Vec::new();
        loop {
            if self.next_significant() == Some(b']') {
                self.advance();
                return Ok(Value::List(items));
            }
            self.count_item()?;
            items.push(self.scalar()?);
            match self.next_significant() {
                Some(b',') => self.advance(),
                Some(b']') => {}
                _ => return Err(self.defect("a list does not end")),
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, Defect> {
        match self.next_significant() {
            Some(b'"') => self.string(),
            Some(byte) if byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.') => {
                self.number()
            }
            _ => Err(self.defect("a value was expected")),
        }
    }

    fn string(&mut self) -> Result<Value, Defect> {
        self.advance();
        let mut content = Vec::new();
        loop {
            let byte = self.peek().ok_or_else(|| self.defect("a string does not end"))?;
            self.advance();
            match byte {
                b'"' => return Ok(Value::Text(content)),
                b'\\' => {
                    let escaped =
                        self.peek().ok_or_else(|| self.defect("a string does not end"))?;
                    self.advance();
                    content.push(escaped);
                }
                other => content.push(other),
            }
        }
    }

    fn number(&mut self) -> Result<Value, Defect> {
        let digits = self.take_while(|byte| {
            byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
        });
        if digits.contains(&b'.') {
            return Ok(Value::Text(digits));
        }
        let number = std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok());
        number.map(Value::Number).ok_or_else(|| self.defect("a number is too large or is none"))
    }
}
