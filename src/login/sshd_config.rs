//! `sshd_config` as sshd reads it: lines, includes, Match blocks, and which value counts (sshd_config(5);
//! LOGIN-10 to LOGIN-25).
//!
//! Bounds: those of `reader`. Not handled: values of keywords that do not decide a login with a key, beyond what
//! [`super::value`] knows.

mod checks;
mod reader;

use super::Finding;
use super::daemon::Daemon;
use super::listening::Listening;
use super::match_block::Criterion;
use crate::error::Result;
use crate::fs::FileSystem;
use crate::fs::path::GuestPath;
use reader::Reader;
use std::collections::BTreeMap;
use std::fmt;

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: GuestPath,
    /// Line number from 1; 0 if there is no file.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}

/// One directive.
#[derive(Debug, Clone)]
pub struct Directive {
    /// Keyword in lower case, aliases resolved (LOGIN-19).
    pub keyword: String,
    /// Arguments without their quotes; for ForceCommand the rest of the line as it stands.
    pub arguments: Vec<Vec<u8>>,
    /// Where it stands.
    pub place: Place,
    /// True if it is an option of the command line, which no file can override (LOGIN-11).
    pub is_command_line: bool,
    /// The Match block it belongs to.
    pub(super) block: Option<usize>,
}

impl Directive {
    /// True if it stands outside every Match block.
    pub fn is_global(&self) -> bool {
        self.block.is_none()
    }
}

/// A Match block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// The block around it, when it stands in a file included from inside a block.
    pub(super) parent: Option<usize>,
    /// The conditions, all of which must hold.
    pub(super) criteria: Vec<Criterion>,
    /// True if it and every block around it is `Match all`. Such a block counts as active at start-up too, so
    /// that its lines are both global ones and those of a block.
    is_always: bool,
    pub(super) place: Place,
}

/// A configuration with all its includes.
#[derive(Debug, Clone, Default)]
pub struct SshdConfig {
    /// The program that reads it.
    pub daemon: Daemon,
    directives: Vec<Directive>,
    pub(super) blocks: Vec<Block>,
    /// Indexes of the directives of each keyword.
    by_keyword: BTreeMap<String, Vec<usize>>,
    /// Lines that stop the daemon, and files that could not be read.
    pub findings: Vec<Finding>,
    /// Where sshd listens.
    pub(super) listening: Listening,
}

impl SshdConfig {
    /// Reads the configuration of a guest (LOGIN-10). A guest without any has sshd's defaults.
    ///
    /// # Errors
    /// `Limit` if a bound is exceeded; otherwise as the file system.
    pub fn read(fs: &dyn FileSystem) -> Result<Self> {
        Self::read_as(fs, Daemon::read(fs)?)
    }

    /// Reads the configuration as `daemon` does.
    ///
    /// # Errors
    /// As [`SshdConfig::read`].
    pub fn read_as(fs: &dyn FileSystem, daemon: Daemon) -> Result<Self> {
        let mut reader = Reader::new(fs, daemon);
        reader.command_line()?;
        reader.files()?;
        reader.look_into_program()?;
        reader.check_whole();
        let mut config = reader.config;
        config.listening = Listening::of(&config);
        Ok(config)
    }

    fn add(&mut self, directive: Directive) {
        let indexes = self.by_keyword.entry(directive.keyword.clone()).or_default();
        indexes.push(self.directives.len());
        self.directives.push(directive);
    }

    /// The directives of `keyword` (in lower case) in the order in which sshd reads them.
    pub(super) fn directives_of(&self, keyword: &str) -> impl Iterator<Item = &Directive> {
        let indexes = self.by_keyword.get(keyword).into_iter().flatten();
        indexes.filter_map(|&index| self.directives.get(index))
    }

    /// The directives of `keyword` that count at start-up.
    fn at_start(&self, keyword: &str) -> impl Iterator<Item = &Directive> {
        self.directives_of(keyword).filter(|directive| self.is_always_active(directive.block))
    }

    /// The directive that decides `keyword` at start-up.
    fn global(&self, keyword: &str) -> Option<&Directive> {
        self.at_start(keyword).next()
    }

    pub(super) fn is_always_active(&self, block: Option<usize>) -> bool {
        block.is_none_or(|index| self.blocks.get(index).is_some_and(|block| block.is_always))
    }
}

#[cfg(test)]
mod tests;
