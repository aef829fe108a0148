//! A YAML or JSON document as a flat list of events with their places in the text.
//!
//! Format: YAML Ain't Markup Language, version 1.2.2, of which JSON is a subset. The list is what is
//! compared before and after an edit, so it holds every event and every value.

use super::AgentConfigDefect;
use crate::guest::windows::format::Text;
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use std::ops::Range;

/// Bound on the events of a document. A long configuration has a few hundred.
pub(super) const EVENTS_MAX: usize = 20_000;
/// Bound on the nesting. A configuration has about eight levels.
pub(super) const DEPTH_MAX: usize = 32;

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A key or a value.
    Scalar(ScalarStyle),
    /// Start of a list.
    Sequence,
    /// Start of keys and values, which follow in turn.
    Mapping,
    /// End of a list or a mapping.
    End,
}

/// One event. `Debug` is not derived: the value can be a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) kind: Kind,
    /// Of a scalar, unescaped.
    pub(super) value: String,
}

impl Item {
    pub(super) fn new(kind: Kind, value: impl Into<String>) -> Self {
        Self { kind, value: value.into() }
    }
}

/// Where an event is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Start in the text, in bytes.
    start: usize,
    /// Index of the first event behind the node that starts here.
    next: usize,
}

/// A parsed document.
pub(super) struct Document {
    pub(super) items: Vec<Item>,
    places: Vec<Place>,
    /// True if leading tabs were read as spaces.
    pub(super) has_tabs: bool,
}

impl Document {
    /// Parses the only document of a text. A text that is invalid only for tabs in its indentation
    /// is read with each of them as one space.
    pub(super) fn parse(text: &Text) -> Result<Self, AgentConfigDefect> {
        match Self::parse_strictly(text, text.as_str(), false) {
            Err(AgentConfigDefect::Yaml { line, reason }) => {
                let spaced = with_spaces_for_tabs(text.as_str());
                let retried = Self::parse_strictly(text, &spaced, true);
                // The first reason is about the file as it is.
                retried.map_err(|_| AgentConfigDefect::Yaml { line, reason })
            }
            other => other,
        }
    }

    fn parse_strictly(text: &Text, yaml: &str, has_tabs: bool) -> Result<Self, AgentConfigDefect> {
        let mut document = Self { items: Vec::new(), places: Vec::new(), has_tabs };
        let mut open: Vec<usize> = Vec::new();
        let mut document_count = 0usize;
        for event in Parser::new_from_str(yaml) {
            let (event, span) = event.map_err(|error| AgentConfigDefect::Yaml {
                line: error.marker().line(),
                reason: error.info().to_owned(),
            })?;
            if matches!(event, Event::DocumentStart(_)) {
                document_count = document_count.saturating_add(1);
            }
            if document_count > 1 {
                return Err(AgentConfigDefect::SeveralDocuments);
            }
            document.take(text, event, span, &mut open)?;
        }
        if document.items.is_empty() { Err(AgentConfigDefect::Empty) } else { Ok(document) }
    }

    fn take(
        &mut self,
        text: &Text,
        event: Event<'_>,
        span: Span,
        open: &mut Vec<usize>,
    ) -> Result<(), AgentConfigDefect> {
        let line = span.start.line();
        let (kind, value, anchor, has_tag) = match event {
            Event::Scalar(value, style, anchor, tag) => {
                (Kind::Scalar(style), value.into_owned(), anchor, tag.is_some())
            }
            Event::SequenceStart(anchor, tag) => {
                (Kind::Sequence, String::new(), anchor, tag.is_some())
            }
            Event::MappingStart(anchor, tag) => {
                (Kind::Mapping, String::new(), anchor, tag.is_some())
            }
            Event::SequenceEnd | Event::MappingEnd => (Kind::End, String::new(), 0, false),
            Event::Alias(_) => return Err(AgentConfigDefect::Anchor { line }),
            _ => return Ok(()),
        };
        if anchor != 0 {
            return Err(AgentConfigDefect::Anchor { line });
        }
        if has_tag {
            return Err(AgentConfigDefect::Tag { line });
        }
        let index = self.items.len();
        if index >= EVENTS_MAX {
            return Err(AgentConfigDefect::TooManyEvents);
        }
        let start = text.offset_of_character(span.start.index()).unwrap_or(usize::MAX);
        let next = index.saturating_add(1);
        self.items.push(Item { kind, value });
        self.places.push(Place { start, next });
        match kind {
            Kind::Scalar(_) => {}
            Kind::Sequence | Kind::Mapping => open.push(index),
            Kind::End => {
                let opened = open.pop().and_then(|opened| self.places.get_mut(opened));
                if let Some(place) = opened {
                    place.next = next;
                }
            }
        }
        if open.len() > DEPTH_MAX { Err(AgentConfigDefect::TooDeep { line }) } else { Ok(()) }
    }

    pub(super) fn kind(&self, index: usize) -> Option<Kind> {
        self.items.get(index).map(|item| item.kind)
    }

    /// The value of a scalar.
    pub(super) fn scalar(&self, index: usize) -> Option<&str> {
        let item = self.items.get(index)?;
        matches!(item.kind, Kind::Scalar(_)).then_some(item.value.as_str())
    }

    /// Start of an event in the text, in bytes.
    pub(super) fn start(&self, index: usize) -> usize {
        self.places.get(index).map_or(usize::MAX, |place| place.start)
    }

    /// Index of the first event behind a node.
    pub(super) fn behind(&self, index: usize) -> usize {
        self.places.get(index).map_or(usize::MAX, |place| place.next)
    }

    /// Indexes of the nodes directly in a list or mapping, keys and values in turn; none in a scalar.
    pub(super) fn children(&self, parent: usize) -> impl Iterator<Item = usize> {
        let is_parent = matches!(self.kind(parent), Some(Kind::Sequence | Kind::Mapping));
        let first = is_parent.then(|| parent.saturating_add(1));
        let is_node = |index: &usize| !matches!(self.kind(*index), None | Some(Kind::End));
        let first = first.filter(is_node);
        std::iter::successors(first, move |index| Some(self.behind(*index)).filter(is_node))
    }

    /// Indexes of the nodes of a list, or of a single node in its place.
    pub(super) fn list(&self, index: usize) -> Vec<usize> {
        match self.kind(index) {
            Some(Kind::Sequence) => self.children(index).collect(),
            Some(Kind::Mapping) => vec![index],
            _ => Vec::new(),
        }
    }

    /// Key and value of an entry of a mapping; `None` if there is none, or `mapping` is no mapping.
    pub(super) fn entry(
        &self,
        text: &Text,
        mapping: usize,
        name: &'static str,
    ) -> Result<Option<(usize, usize)>, AgentConfigDefect> {
        if self.kind(mapping) != Some(Kind::Mapping) {
            return Ok(None);
        }
        let mut found = None;
        let mut nodes = self.children(mapping);
        while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
            if self.scalar(key) != Some(name) {
                continue;
            }
            if found.is_some() {
                let line = text.line(self.start(key));
                return Err(AgentConfigDefect::DuplicateKey { line, name });
            }
            found = Some((key, value));
        }
        Ok(found)
    }

    /// The value of an entry of a mapping, as [`Document::entry`].
    pub(super) fn value(
        &self,
        text: &Text,
        mapping: Option<usize>,
        name: &'static str,
    ) -> Result<Option<usize>, AgentConfigDefect> {
        let Some(mapping) = mapping else { return Ok(None) };
        Ok(self.entry(text, mapping, name)?.map(|(_, value)| value))
    }

    /// Where a scalar is written, with its quotes; `None` if it is not on one line in a plain form.
    pub(super) fn written(&self, text: &Text, index: usize) -> Option<Range<usize>> {
        let (item, start) = (self.items.get(index)?, self.start(index));
        let rest = text.get(start..text.as_str().len())?;
        let length = match item.kind {
            Kind::Scalar(ScalarStyle::Plain) if item.value.is_empty() => return None,
            Kind::Scalar(ScalarStyle::Plain) => rest.strip_prefix(&item.value)?.len(),
            Kind::Scalar(ScalarStyle::DoubleQuoted) => behind_quotes(rest, '"')?.len(),
            Kind::Scalar(ScalarStyle::SingleQuoted) => behind_quotes(rest, '\'')?.len(),
            _ => return None,
        };
        let end = start.checked_add(rest.len().checked_sub(length)?)?;
        let is_one_line = !text.get(start..end)?.contains(['\r', '\n']);
        is_one_line.then_some(start..end)
    }
}

/// What follows a quoted scalar at the start of `text`.
fn behind_quotes(text: &str, quote: char) -> Option<&str> {
    let mut characters = text.strip_prefix(quote)?.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && quote == '"' {
            characters.next()?;
        } else if character == quote {
            // A single quote is escaped by another one.
            let rest = characters.as_str();
            match rest.strip_prefix(quote) {
                Some(behind) if quote == '\'' => characters = behind.chars(),
                _ => return Some(rest),
            }
        }
    }
    None
}

/// The same text, but each tab in the indentation of a line is a space.
fn with_spaces_for_tabs(text: &str) -> String {
    let mut is_indentation = true;
    let replace = |character| {
        is_indentation = match character {
            '\n' => true,
            ' ' | '\t' => is_indentation,
            _ => false,
        };
        if character == '\t' && is_indentation { ' ' } else { character }
    };
    text.chars().map(replace).collect()
}
