//! The edits of `LaunchConfig.json`: a random password, or one of the caller.

use super::tokens::{Kind, Property, Token, Tokens};
use super::{LaunchConfig, LaunchConfigDefect, LaunchPasswordSource, TYPE_KEY};
use crate::guest::windows::format::change::{self, ByteChange};
use crate::guest::windows::format::password::Weakness;
use crate::guest::windows::format::{Password, Text, quoted};
use std::ops::Range;
use zeroize::Zeroizing;

/// Classes of characters that the agent asks for (WIN-61).
const CLASSES_MIN: usize = 3;

impl LaunchConfig {
    /// The change that makes the agent set a random password; none if it does so already.
    ///
    /// Same length, by table WIN-T3.
    ///
    /// # Errors
    /// [`LaunchConfigDefect::UnknownType`], or an error of ours.
    pub fn use_random_password(&self) -> Result<Vec<ByteChange>, LaunchConfigDefect> {
        let kind = match (self.source, &self.kind) {
            (LaunchPasswordSource::Random | LaunchPasswordSource::Missing, _) | (_, None) => {
                return Ok(Vec::new());
            }
            (LaunchPasswordSource::Other, _) => return Err(LaunchConfigDefect::UnknownType),
            (_, Some(kind)) => kind,
        };
        let padding = kind.value_span.len().checked_sub("\"Random\"".len());
        let padding = " ".repeat(padding.ok_or(LaunchConfigDefect::NotVerified)?);
        let new = format!("\"Random\"{padding}");
        let changes: Vec<ByteChange> =
            self.text.change(kind.value_span.clone(), &new).into_iter().collect();
        let mut expected = self.tokens.tokens.clone();
        set(&mut expected, kind, "Random");
        self.verify(&changes, &expected)?;
        Ok(changes)
    }

    /// The change that makes the agent set `password` (WIN-66): of the same length if the white space
    /// of the file makes room for it. The password is in clear text in the file until the agent has
    /// read it.
    ///
    /// # Errors
    /// [`LaunchConfigDefect`] if the agent would not take it from this file.
    pub fn use_password(&self, password: &Password) -> Result<Vec<ByteChange>, LaunchConfigDefect> {
        let actual = password.class_count();
        if actual < CLASSES_MIN {
            return Err(LaunchConfigDefect::Weak(Weakness::FewClasses { actual }));
        }
        let Some(kind) = self.kind.as_ref().filter(|_| !self.is_ignored()) else {
            return Err(LaunchConfigDefect::Ignored);
        };
        let quoted = quoted::json(password.expose());
        let mut expected = self.tokens.tokens.clone();
        let value = Token { kind: Kind::String, text: password.expose().to_owned() };
        let mut edits = vec![(kind.value_span.clone(), "\"Specify\"".to_owned())];
        set(&mut expected, kind, "Specify");
        if let Some(property) = &self.password {
            if property.text.is_none() {
                return Err(LaunchConfigDefect::PasswordForm);
            }
            set(&mut expected, property, password.expose());
            edits.push((property.value_span.clone(), quoted.to_string()));
        } else {
            let name = self.text.get(kind.name_span.clone()).unwrap_or_default();
            // `adminPasswordType` without `Type`, in the same case and quotes.
            let name = name.get(1..name.len().saturating_sub("Type\"".len())).unwrap_or_default();
            let end = kind.value_span.end;
            edits.push((end..end, format!(", \"{name}\": {}", *quoted)));
            let behind = kind.value_index.saturating_add(1);
            let name = Token { kind: Kind::Name, text: name.to_owned() };
            expected.splice(behind..behind, [name, value]);
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let new = self.rewritten(&edits).ok_or(LaunchConfigDefect::NotVerified)?;
        let changes: Vec<ByteChange> = self.difference(&new).into_iter().collect();
        self.verify(&changes, &expected)?;
        Ok(changes)
    }

    /// The text after `edits`, as long as before if white space allows it.
    fn rewritten(&self, edits: &[(Range<usize>, String)]) -> Option<Zeroizing<String>> {
        let old = self.text.as_str();
        let mut new = Zeroizing::new(String::with_capacity(old.len().saturating_mul(2)));
        let mut done = 0;
        for (range, replacement) in edits {
            new.push_str(old.get(done..range.start)?);
            new.push_str(replacement);
            done = range.end;
        }
        new.push_str(old.get(done..)?);
        let encoding = self.text.encoding();
        let (new_units, old_units) = (encoding.unit_count(&new), encoding.unit_count(old));
        match new_units.checked_sub(old_units) {
            Some(0) => {}
            Some(surplus) => {
                if let Some(fitting) = without_white_space(&new, surplus) {
                    new = fitting;
                }
            }
            None => {
                // Behind the last bracket of the object.
                let at = new.rfind('}')?.checked_add(1)?;
                let padding = " ".repeat(old_units.checked_sub(new_units)?);
                new.insert_str(at, &padding);
            }
        }
        Some(new)
    }

    /// The smallest single change that turns the text into `new`; `None` if they are equal.
    fn difference(&self, new: &str) -> Option<ByteChange> {
        let old = self.text.as_str();
        if old == new {
            return None;
        }
        let pairs = old.char_indices().zip(new.chars());
        let same = |((_, a), b): &((usize, char), char)| a == b;
        let start =
            pairs.take_while(same).last().map_or(0, |((at, c), _)| at.saturating_add(c.len_utf8()));
        let (old_rest, new_rest) = (old.get(start..)?, new.get(start..)?);
        let tail: usize = old_rest
            .chars()
            .rev()
            .zip(new_rest.chars().rev())
            .take_while(|(a, b)| a == b)
            .map(|(character, _)| character.len_utf8())
            .sum();
        let end = old.len().checked_sub(tail)?;
        self.text.change(start..end, new.get(start..new.len().checked_sub(tail)?)?)
    }

    /// Fails unless the changed file has exactly the expected tokens.
    fn verify(&self, changes: &[ByteChange], expected: &[Token]) -> Result<(), LaunchConfigDefect> {
        let changed = change::apply(&self.text.to_bytes(), changes)
            .map_err(|_| LaunchConfigDefect::NotVerified)?;
        let text = Text::decode(&changed)?;
        let tokens = Tokens::parse(text.as_str())?;
        let is_strict = serde_json::from_str::<serde::de::IgnoredAny>(text.as_str()).is_ok();
        let is_meant = tokens.tokens == expected
            && tokens.property(TYPE_KEY)?.is_some()
            && is_strict >= self.is_strict_json
            && text.encoding().mark() == self.text.encoding().mark();
        if is_meant { Ok(()) } else { Err(LaunchConfigDefect::NotVerified) }
    }
}

fn set(tokens: &mut [Token], property: &Property, text: &str) {
    if let Some(token) = tokens.get_mut(property.value_index) {
        text.clone_into(&mut token.text);
    }
}

/// Strict JSON with `surplus` characters of white space less, taken from the end; `None` if there are not
/// as many outside of strings (RFC 8259, section 2).
fn without_white_space(json: &str, surplus: usize) -> Option<Zeroizing<String>> {
    let (mut is_string, mut is_escaped) = (false, false);
    let mut insignificant = Vec::new();
    for (at, character) in json.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            ' ' | '\t' | '\r' | '\n' if !is_string => insignificant.push(at),
            _ => {}
        }
    }
    let kept = insignificant.len().checked_sub(surplus)?;
    let removed = insignificant.get(kept..)?;
    let mut fitting = Zeroizing::new(String::with_capacity(json.len()));
    let is_kept = |(at, _): &(usize, char)| removed.binary_search(at).is_err();
    fitting.extend(json.char_indices().filter(is_kept).map(|(_, character)| character));
    Some(fitting)
}
