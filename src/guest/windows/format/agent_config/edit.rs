//! The edits of `agent-config.yml`: another password type, or a password of the caller.

use super::document::{Document, Item, Kind};
use super::{AdminAccount, AgentConfig, AgentConfigDefect, PasswordSource};
use crate::guest::windows::format::change::{self, ByteChange};
use crate::guest::windows::format::{Password, Text, quoted};
use saphyr_parser::ScalarStyle;
use std::ops::Range;

impl AgentConfig {
    /// The change that makes the agent set a random password; none if it does so already.
    ///
    /// Same length, by table WIN-T3.
    ///
    /// # Errors
    /// [`AgentConfigDefect`] if the file does not say in a usual way where the password comes from.
    pub fn use_random_password(&self) -> Result<Vec<ByteChange>, AgentConfigDefect> {
        let account = self.only_admin_account()?;
        let type_index = type_index(account)?;
        let line = self.line_of(type_index);
        match account.source {
            PasswordSource::Random => return Ok(Vec::new()),
            PasswordSource::Static | PasswordSource::DoNothing => {}
            PasswordSource::Other(_) => return Err(AgentConfigDefect::UnknownType { line }),
            PasswordSource::Missing => {
                return Err(AgentConfigDefect::NoPasswordType { line: account.line });
            }
        }
        let (range, written) = self.written_plainly(type_index, "the password type")?;
        let word = self.document.scalar(type_index).unwrap_or_default();
        let padding = " ".repeat(word.len().saturating_sub("random".len()));
        let new = format!("{}{padding}", written.replacen(word, "random", 1));
        let changes = vec![self.change(range, &new)?];
        let mut expected = self.document.items.clone();
        set(&mut expected, type_index, "random");
        self.verify(&changes, &expected)?;
        Ok(changes)
    }

    /// The changes that make the agent set `password` (WIN-48). The length changes, and the password
    /// is in clear text in the file until the agent has read it.
    ///
    /// # Errors
    /// [`AgentConfigDefect`] if the place where the password belongs is written in an unusual way.
    pub fn use_password(&self, password: &Password) -> Result<Vec<ByteChange>, AgentConfigDefect> {
        if password.expose().chars().any(|character| u32::from(character) > 0xffff) {
            return Err(AgentConfigDefect::PasswordCharacter);
        }
        let account = self.only_admin_account()?;
        let type_index = type_index(account)?;
        let (range, written) = self.written_plainly(type_index, "the password type")?;
        let word = self.document.scalar(type_index).unwrap_or_default();
        let quoted = quoted::json(password.expose());
        let type_change = self.change(range.clone(), &written.replacen(word, "static", 1))?;
        let mut expected = self.document.items.clone();
        set(&mut expected, type_index, "static");
        let quoted_item = Item::new(Kind::Scalar(ScalarStyle::DoubleQuoted), password.expose());
        let data_change = if let Some(data_index) = account.place.data {
            let (range, _) = self.written(data_index, "the password")?;
            if let Some(item) = expected.get_mut(data_index) {
                *item = quoted_item;
            }
            self.change(range, &quoted)?
        } else {
            let (key_index, _) = account.place.kind.unwrap_or_default();
            let key = Item::new(self.document.kind(key_index).unwrap_or(Kind::End), "data");
            let behind = self.document.behind(type_index);
            expected.splice(behind..behind, [key, quoted_item]);
            self.insert_data(account, key_index, &range, &quoted)?
        };
        let mut changes = vec![type_change, data_change];
        changes.sort_by_key(|change| change.offset_bytes);
        changes.retain(|change| change.old != change.new);
        self.verify(&changes, &expected)?;
        Ok(changes)
    }

    fn only_admin_account(&self) -> Result<&AdminAccount, AgentConfigDefect> {
        match self.admin_accounts.as_slice() {
            [] => Err(AgentConfigDefect::NoAdminAccount),
            [account] => Ok(account),
            several => Err(AgentConfigDefect::SeveralAdminAccounts { count: several.len() }),
        }
    }

    fn line_of(&self, index: usize) -> usize {
        self.text.line(self.document.start(index))
    }

    /// Where a scalar is written, and how.
    fn written(
        &self,
        index: usize,
        what: &'static str,
    ) -> Result<(Range<usize>, &str), AgentConfigDefect> {
        let unusual = AgentConfigDefect::UnusualForm { line: self.line_of(index), what };
        let range = self.document.written(&self.text, index).ok_or_else(|| unusual.clone())?;
        let written = self.text.get(range.clone()).ok_or(unusual)?;
        Ok((range, written))
    }

    /// As [`Self::written`], but without escapes inside.
    fn written_plainly(
        &self,
        index: usize,
        what: &'static str,
    ) -> Result<(Range<usize>, &str), AgentConfigDefect> {
        let (range, written) = self.written(index, what)?;
        if Some(written.trim_matches(['"', '\''])) != self.document.scalar(index) {
            return Err(AgentConfigDefect::UnusualForm { line: self.line_of(index), what });
        }
        Ok((range, written))
    }

    fn change(&self, range: Range<usize>, new: &str) -> Result<ByteChange, AgentConfigDefect> {
        self.text.change(range, new).ok_or(AgentConfigDefect::NotVerified)
    }

    /// The insertion of `data` behind the type that is written at `range`: on the same line in flow
    /// form and JSON, on a line of its own with the same indentation in block form.
    fn insert_data(
        &self,
        account: &AdminAccount,
        key_index: usize,
        range: &Range<usize>,
        quoted: &str,
    ) -> Result<ByteChange, AgentConfigDefect> {
        let text = self.text.as_str();
        let unusual = AgentConfigDefect::UnusualForm {
            line: self.line_of(key_index),
            what: "the mapping of the password",
        };
        let (_, key) = self.written_plainly(key_index, "the key of the password type")?;
        let key = key.replacen("type", "data", 1);
        let password = account.place.password.map(|index| self.document.start(index));
        let is_flow = password.and_then(|at| text.get(at..)).is_some_and(|t| t.starts_with('{'));
        if is_flow {
            return self.change(range.end..range.end, &format!(", {key}: {quoted}"));
        }
        let key_start = self.document.start(key_index);
        let before = text.get(..key_start).unwrap_or_default();
        let indentation = before.rsplit('\n').next().unwrap_or_default();
        let rest = text.get(range.end..).unwrap_or_default();
        let (rest, has_line_end) = rest.split_once('\n').map_or((rest, false), |(r, _)| (r, true));
        let has_cr = if has_line_end { rest.ends_with('\r') } else { before.contains('\r') };
        let rest = rest.strip_suffix('\r').unwrap_or(rest);
        let is_own_line = indentation.chars().all(|character| matches!(character, ' ' | '\t'));
        let is_comment = rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
        if !is_own_line || !is_comment || rest.contains('\r') {
            return Err(unusual);
        }
        let at = range.end.saturating_add(rest.len());
        let line_end = if has_cr { "\r\n" } else { "\n" };
        self.change(at..at, &format!("{line_end}{indentation}{key}: {quoted}"))
    }

    /// Fails unless the changed file has exactly the expected events.
    fn verify(&self, changes: &[ByteChange], expected: &[Item]) -> Result<(), AgentConfigDefect> {
        let bytes = self.text.to_bytes();
        let changed = change::apply(&bytes, changes).map_err(|_| AgentConfigDefect::NotVerified)?;
        let text = Text::decode(&changed)?;
        let after = Document::parse(&text)?;
        let is_meant = after.items == expected
            && after.has_tabs == self.document.has_tabs
            && text.encoding().mark() == self.text.encoding().mark();
        if is_meant { Ok(()) } else { Err(AgentConfigDefect::NotVerified) }
    }
}

fn type_index(account: &AdminAccount) -> Result<usize, AgentConfigDefect> {
    let missing = AgentConfigDefect::NoPasswordType { line: account.line };
    match account.place.kind {
        Some((_, value)) if account.source != PasswordSource::Missing => Ok(value),
        _ => Err(missing),
    }
}

fn set(items: &mut [Item], index: usize, value: &str) {
    if let Some(item) = items.get_mut(index) {
        value.clone_into(&mut item.value);
    }
}
