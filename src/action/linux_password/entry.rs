//! One line of `/etc/shadow` or `/etc/passwd`: found as getspnam(3) finds it, and written back alone.

use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::guest::linux::accounts::ACCOUNTS_BYTES_MAX;
use std::ops::Range;

/// Fields of a shadow line (shadow(5)).
const SHADOW_FIELDS: usize = 9;
/// Fewer are no shadow line at all: the old form had name, hash, last change, minimum and maximum.
const SHADOW_FIELDS_MIN: usize = 5;

/// Index of each field that is changed.
pub(super) mod field {
    pub(in super::super) const PASSWORD: usize = 1;
    pub(in super::super) const LAST_CHANGE: usize = 2;
    pub(in super::super) const MAX_AGE: usize = 4;
    pub(in super::super) const INACTIVE: usize = 6;
    pub(in super::super) const EXPIRE: usize = 7;
}

/// One line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it stands in the file, without its line end.
    range: Range<usize>,
    /// Number of the line, from 1.
    pub(super) number: u64,
    /// Its fields.
    pub(super) fields: Vec<Vec<u8>>,
}

impl Entry {
    /// The line of `name` in shadow: the first that the C library would take, else the first of that
    /// name.
    pub(super) fn in_shadow(content: &[u8], name: &[u8]) -> Option<Self> {
        let of_name = || entries(content).filter(|entry| entry.is_of(name));
        of_name().find(Self::is_shadow).or_else(|| of_name().next())
    }

    /// The line of `name` in passwd.
    pub(super) fn in_passwd(content: &[u8], name: &[u8]) -> Option<Self> {
        entries(content).find(|entry| entry.is_of(name) && entry.fields.len() == 7)
    }

    /// A field; empty where the line is short.
    pub(super) fn field(&self, index: usize) -> &[u8] {
        self.fields.get(index).map_or(&[], Vec::as_slice)
    }

    /// A field of days; `None` if it is empty, no number, or negative.
    pub(super) fn day(&self, index: usize) -> Option<i64> {
        number(self.field(index)).filter(|&day| day >= 0)
    }

    /// Changes a field, and makes the line long enough for it.
    pub(super) fn set(&mut self, index: usize, value: &[u8]) {
        if let Some(field) = self.fields.get_mut(index) {
            field.clear();
            field.extend_from_slice(value);
        }
    }

    /// Fills up a short line to all fields of shadow.
    pub(super) fn complete(&mut self) {
        while self.fields.len() < SHADOW_FIELDS {
            self.fields.push(Vec::new());
        }
    }

    /// `content` with this line in place of the one that it was made from; every other byte stays.
    pub(super) fn put_into(&self, content: &[u8]) -> Result<Vec<u8>> {
        let mut result = content.get(..self.range.start).unwrap_or_default().to_vec();
        result.extend(self.fields.join(&b':'));
        result.extend_from_slice(content.get(self.range.end..).unwrap_or_default());
        check_size(&result)?;
        Ok(result)
    }

    fn is_of(&self, name: &[u8]) -> bool {
        // The C library skips white space before the name.
        self.field(0).trim_ascii_start() == name
    }

    fn is_shadow(&self) -> bool {
        let dates = self.fields.get(field::LAST_CHANGE..).unwrap_or_default();
        let is_date = |field: &Vec<u8>| field.is_empty() || number(field).is_some();
        self.fields.len() >= SHADOW_FIELDS_MIN && dates.iter().take(6).all(is_date)
    }
}

/// `content` with a line at its end.
pub(super) fn with_line(content: &[u8], line: &[u8]) -> Result<Vec<u8>> {
    let mut result = content.to_vec();
    if result.last().is_some_and(|&byte| byte != b'\n') {
        result.push(b'\n');
    }
    result.extend_from_slice(line);
    result.push(b'\n');
    check_size(&result)?;
    Ok(result)
}

fn check_size(content: &[u8]) -> Result<()> {
    let size_bytes = len_u64(content.len());
    if size_bytes > ACCOUNTS_BYTES_MAX {
        let what = "size of the account file in bytes";
        return Err(Error::limit(what, ACCOUNTS_BYTES_MAX, size_bytes));
    }
    Ok(())
}

fn number(field: &[u8]) -> Option<i64> {
    std::str::from_utf8(field).ok()?.trim_ascii().parse().ok()
}

fn entries(content: &[u8]) -> impl Iterator<Item = Entry> {
    let mut start = 0usize;
    content.split(|&byte| byte == b'\n').zip(1u64..).filter_map(move |(line, number)| {
        let range = start..start.saturating_add(line.len());
        start = range.end.saturating_add(1);
        let is_entry = !matches!(line.trim_ascii_start().first(), None | Some(b'#' | b'+' | b'-'));
        is_entry.then(|| {
            let fields = line.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect();
            Entry { range, number, fields }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_the_c_library_takes_is_found() {
        for (content, expected) in [
            ("a:*:1:0:9:7:::\n", Some(1)),
            ("#a:*:1:0:9:7:::\nb:*:1::::::\n a:*:1:0:9:7:::", Some(3)),
            ("a:short\na:*:1:0:9:7:::\n", Some(2)),
            ("a:*:soon:0:9:7:::\na:*:1:0:9:7:::\n", Some(2)),
            ("a:short\n", Some(1)),
            ("a:one:1::::::\na:two:1::::::\n", Some(1)),
            ("+a:*:1::::::\naa:*:1::::::\n", None),
            ("", None),
        ] {
            let found = Entry::in_shadow(content.as_bytes(), b"a").map(|entry| entry.number);
            assert_eq!(found, expected, "{content:?}");
        }
        assert_eq!(Entry::in_passwd(b"a:x:1\na:y:1:1::/:/bin/sh", b"a").unwrap().number, 2);
    }

    #[test]
    fn only_the_line_changes() {
        let content = b"\xff\r\n\nroot:*:1:0:9:7:::\r\na:!:1:0:0\nz\0";
        let mut entry = Entry::in_shadow(content, b"a").unwrap();
        entry.complete();
        entry.set(field::PASSWORD, b"$6$x");
        entry.set(field::MAX_AGE, b"");
        let result = entry.put_into(content).unwrap();
        assert_eq!(result, b"\xff\r\n\nroot:*:1:0:9:7:::\r\na:$6$x:1:0:::::\nz\0");
        let entry = Entry::in_shadow(content, b"root").unwrap();
        assert_eq!(entry.put_into(content).unwrap(), content);
        assert_eq!((entry.day(field::LAST_CHANGE), entry.day(field::EXPIRE)), (Some(1), None));
    }

    #[test]
    fn a_line_is_added_at_the_end() {
        for (content, expected) in [("", "x\n"), ("a\n", "a\nx\n"), ("a", "a\nx\n")] {
            assert_eq!(with_line(content.as_bytes(), b"x").unwrap(), expected.as_bytes());
        }
        let huge = vec![b'a'; 4 << 20];
        assert_eq!(with_line(&huge, b"x").unwrap_err().kind_name(), "limit");
    }
}
