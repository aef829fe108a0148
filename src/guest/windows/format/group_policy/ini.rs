//! INI files as Windows' profile functions read them, edited in place.
//!
//! Names of sections and keys have no case; the first section and the first key of a name count;
//! white space around names and values does not. Source: Microsoft, `GetPrivateProfileString`.

use super::GroupPolicyDefect;
use crate::guest::windows::format::{ByteChange, Text, change};
use std::ops::Range;

/// Bound on an INI file, in bytes: it is put into the script that restores it. Real ones have some
/// hundred.
pub(super) const INI_BYTES_MAX: usize = 64 * 1024;

/// A parsed INI file.
pub(super) struct Ini {
    text: Text,
    lines: Vec<Line>,
}

struct Line {
    /// Without its line end.
    range: Range<usize>,
    kind: Kind,
}

enum Kind {
    /// Nothing, a comment, or text that is neither.
    Other,
    Section(String),
    Entry {
        key: String,
        value: Range<usize>,
    },
}

/// Section, key and value of an entry.
type Entry = (String, String, String);

impl Ini {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, GroupPolicyDefect> {
        if bytes.len() > INI_BYTES_MAX {
            return Err(GroupPolicyDefect::TooLarge { actual_bytes: bytes.len() });
        }
        let text = Text::decode(bytes)?;
        let mut lines = Vec::new();
        let mut start = 0usize;
        for line in text.as_str().split_inclusive('\n') {
            let end = start.saturating_add(line.len());
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            lines.push(Line {
                range: start..start.saturating_add(line.len()),
                kind: kind(line, start),
            });
            start = end;
        }
        Ok(Self { text, lines })
    }

    /// Index of the line of the first section with a name.
    fn section(&self, name: &str) -> Option<usize> {
        self.lines.iter().position(
            |line| matches!(&line.kind, Kind::Section(found) if found.eq_ignore_ascii_case(name)),
        )
    }

    /// The lines of the first section with a name, without its head.
    fn body(&self, name: &str) -> &[Line] {
        let rest = self.section(name).and_then(|head| self.lines.get(head.saturating_add(1)..));
        let rest = rest.unwrap_or_default();
        let is_next = |line: &Line| matches!(line.kind, Kind::Section(_));
        rest.split(is_next).next().unwrap_or_default()
    }

    /// Keys and values of the first section with a name.
    pub(super) fn entries(&self, section: &str) -> impl Iterator<Item = (&str, &str)> {
        self.body(section).iter().filter_map(|line| match &line.kind {
            Kind::Entry { key, value } => Some((key.as_str(), self.text.get(value.clone())?)),
            _ => None,
        })
    }

    /// The value of the first key with a name.
    pub(super) fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.entries(section)
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    }

    /// The file with these values in a section: those that are there replaced, the others added at
    /// its end.
    pub(super) fn with(
        &self,
        section: &str,
        values: &[(&str, &str)],
    ) -> Result<Vec<u8>, GroupPolicyDefect> {
        let mut changes = Vec::new();
        let mut expected = self.all();
        let mut added = Vec::new();
        for (key, value) in values {
            let old = self.body(section).iter().find_map(|line| match &line.kind {
                Kind::Entry { key: name, value } if name.eq_ignore_ascii_case(key) => {
                    Some(value.clone())
                }
                _ => None,
            });
            let Some(range) = old else {
                added.push(format!("{key}={value}"));
                continue;
            };
            changes.push(self.change(range, value)?);
            let is_first = |(s, k, _): &&mut Entry| {
                s.eq_ignore_ascii_case(section) && k.eq_ignore_ascii_case(key)
            };
            if let Some((_, _, place)) = expected.iter_mut().find(is_first) {
                (*value).clone_into(place);
            }
        }
        if !added.is_empty() {
            changes.push(self.addition(section, &added)?);
        }
        changes.sort_by_key(|change| change.offset_bytes);
        let new = change::apply(&self.text.to_bytes(), &changes)
            .map_err(|_| GroupPolicyDefect::NotVerified)?;
        self.verify(&new, section, &expected, values)?;
        Ok(new)
    }

    fn change(&self, range: Range<usize>, new: &str) -> Result<ByteChange, GroupPolicyDefect> {
        self.text.change(range, new).ok_or(GroupPolicyDefect::NotVerified)
    }

    /// New lines behind the last line of a section that is not blank, or a new section at the end.
    fn addition(&self, section: &str, lines: &[String]) -> Result<ByteChange, GroupPolicyDefect> {
        let text = self.text.as_str();
        let line_end = if text.contains("\r\n") || !text.contains('\n') { "\r\n" } else { "\n" };
        if let Some(head) = self.section(section).and_then(|head| self.lines.get(head)) {
            let is_blank = |line: &&Line| {
                self.text.get(line.range.clone()).is_none_or(|line| line.trim().is_empty())
            };
            let last = self.body(section).iter().rfind(|line| !is_blank(line)).unwrap_or(head);
            let new: String = lines.iter().flat_map(|line| [line_end, line.as_str()]).collect();
            return self.change(last.range.end..last.range.end, &new);
        }
        let before = if text.is_empty() || text.ends_with('\n') { "" } else { line_end };
        let mut new = format!("{before}[{section}]{line_end}");
        new.extend(lines.iter().flat_map(|line| [line.as_str(), line_end]));
        self.change(text.len()..text.len(), &new)
    }

    /// All entries of all sections in order.
    fn all(&self) -> Vec<Entry> {
        let mut section = String::new();
        let mut all = Vec::new();
        for line in &self.lines {
            match &line.kind {
                Kind::Other => {}
                Kind::Section(name) => section.clone_from(name),
                Kind::Entry { key, value } => {
                    let value = self.text.get(value.clone()).unwrap_or_default();
                    all.push((section.clone(), key.clone(), value.to_owned()));
                }
            }
        }
        all
    }

    /// Fails unless `new` has the expected entries, the added ones apart, and the wanted values.
    fn verify(
        &self,
        new: &[u8],
        section: &str,
        expected: &[Entry],
        values: &[(&str, &str)],
    ) -> Result<(), GroupPolicyDefect> {
        let after = Self::parse(new)?;
        let has_all = values.iter().all(|(key, value)| after.value(section, key) == Some(value));
        let old_keys = self.all();
        let is_old = |(s, k, _): &Entry| old_keys.iter().any(|(os, ok, _)| (os, ok) == (s, k));
        let kept: Vec<Entry> = after.all().into_iter().filter(is_old).collect();
        let is_meant = has_all
            && kept == expected
            && after.text.encoding() == self.text.encoding()
            && after.all().len() <= expected.len().saturating_add(values.len());
        if is_meant { Ok(()) } else { Err(GroupPolicyDefect::NotVerified) }
    }
}

fn kind(line: &str, start: usize) -> Kind {
    let trimmed = line.trim();
    if let Some(name) = trimmed.strip_prefix('[') {
        let name = name.split(']').next().unwrap_or_default();
        return Kind::Section(name.trim().to_owned());
    }
    match line.split_once('=') {
        Some((key, value)) if !trimmed.starts_with(';') => {
            let value_start = start.saturating_add(key.len()).saturating_add(1);
            let blank = value.len().saturating_sub(value.trim_start().len());
            let value_start = value_start.saturating_add(blank);
            let range = value_start..value_start.saturating_add(value.trim().len());
            Kind::Entry { key: key.trim().to_owned(), value: range }
        }
        _ => Kind::Other,
    }
}

/// A new file with one section. CRLF and ASCII, as Windows writes it.
pub(super) fn new_file(section: &str, values: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("[{section}]\r\n");
    text.extend(values.iter().flat_map(|(key, value)| [key, "=", value, "\r\n"]));
    text.into_bytes()
}
