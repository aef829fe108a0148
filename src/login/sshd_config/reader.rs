//! Reading the files of a configuration: lines, includes, Match blocks (LOGIN-12 to LOGIN-25).

use super::{Block, Directive, Place, SshdConfig};
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::text::TEXT_BYTES_MAX;
use crate::login::daemon::{Daemon, Release};
use crate::login::line::{self, Line, Splitting};
use crate::login::match_block::{Asked, Criterion};
use crate::login::value::{self, Defect};
use crate::login::{Finding, keyword, pattern};
use std::fmt;

/// Depth of includes that sshd allows (LOGIN-20).
const DEPTH_MAX: usize = 16;
/// Bound on the directives of all files together.
pub(super) const LINES_MAX: usize = 50_000;
/// Bound on the files that are read, each time counted.
pub(super) const FILES_MAX: usize = 512;
/// Bound on the bytes of all files together.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bound on the patterns of all Include lines, each time counted: each may read directories.
pub(super) const INCLUDES_MAX: usize = 64;
/// Bound on the findings of each severity.
pub(super) const FINDINGS_MAX: usize = 20;
/// Bound on the words that are looked for in the program.
pub(super) const WORDS_MAX: usize = 256;

pub(super) const SYNTAX: (&str, &str) = ("conf-syntax", "LOGIN-15");
pub(super) const UNKNOWN: (&str, &str) = ("conf-unknown", "LOGIN-16");

pub(super) struct Reader<'a> {
    pub(super) fs: &'a dyn FileSystem,
    pub(super) config: SshdConfig,
    pub(super) splitting: Splitting,
    pub(super) files: usize,
    pub(super) bytes: usize,
    pub(super) includes: usize,
    /// Words that stop sshd unless its program knows them: the word, where, what it is, what if nothing is
    /// known about the program.
    pub(super) words: Vec<(String, Place, &'static str, Option<Finding>)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(fs: &'a dyn FileSystem, daemon: Daemon) -> Self {
        let is_current = daemon.release.is_likely(8, 7);
        let splitting = if is_current { Splitting::Arguments } else { Splitting::Delimiters };
        let config = SshdConfig { daemon, ..SshdConfig::default() };
        Self { fs, config, splitting, files: 0, bytes: 0, includes: 0, words: Vec::new() }
    }

    /// The options of the command line come first, so they win (LOGIN-11).
    pub(super) fn command_line(&mut self) -> Result<()> {
        let line = self.config.daemon.command_line.clone();
        self.config.findings.extend(line.findings);
        for (text, place) in line.settings {
            let keyword = self.line(&text, place.clone(), None, true)?;
            if let Some(keyword @ ("include" | "match")) =
                keyword.as_ref().map(|l| l.keyword.as_str())
            {
                self.fatal(&place, &format!("{keyword} is not allowed on the command line"));
            }
        }
        Ok(())
    }

    pub(super) fn files(&mut self) -> Result<()> {
        if let Some(named) = self.config.daemon.command_line.config_file.clone() {
            let Some(path) = named else { return Ok(()) };
            if !matches!(find(self.fs, &path), Ok(Some(_))) {
                self.fatal(&path, "its configuration file is missing");
                return Ok(());
            }
            return self.file(&path, 0, None);
        }
        for path in ["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config"] {
            let path = GuestPath::new(path);
            if find(self.fs, &path)?.is_some() {
                return self.file(&path, 0, None);
            }
        }
        let (id, path) = (("conf-syntax", "LOGIN-10"), "/etc/ssh/sshd_config");
        // A volume without sshd may have it, and its files, elsewhere.
        if let Release::Known(_) = self.config.daemon.release {
            self.stops(id, path, "its configuration file is missing");
        } else {
            let message = "there is no sshd_config; sshd's own defaults are assumed";
            self.found(Finding::undecided(id, path, message));
        }
        Ok(())
    }

    fn file(&mut self, path: &GuestPath, depth: usize, outer: Option<usize>) -> Result<()> {
        self.files = self.files.saturating_add(1);
        if self.files > FILES_MAX {
            let what = "number of included sshd configuration files";
            return Err(Error::limit(what, len_u64(FILES_MAX), len_u64(self.files)));
        }
        let content = match read_file(self.fs, path, TEXT_BYTES_MAX) {
            Ok(Some(content)) => content,
            Ok(None) => {
                self.fatal(path, "it is a link to a file that is missing");
                return Ok(());
            }
            // sshd opens a directory and finds no line in it.
            Err(_) if self.is_directory(path) => return Ok(()),
            Err(error) => {
                self.fatal(path, &format!("sshd cannot read it: {}", error.kind()));
                return Ok(());
            }
        };
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > BYTES_MAX {
            let what = "size of the sshd configuration in bytes";
            return Err(Error::limit(what, len_u64(BYTES_MAX), len_u64(self.bytes)));
        }
        self.check_splitting(path, &content);
        let mut block = outer;
        for (number, text) in line::of_file(&content, self.splitting) {
            let place = Place { path: path.clone(), line: number };
            let Some(line) = self.line(&text, place.clone(), block, false)? else { continue };
            match line.keyword.as_str() {
                "include" => self.include(&line, &place, depth, block)?,
                _ => block = Some(self.begin_block(&line, place, outer)?),
            }
        }
        Ok(())
    }

    fn is_directory(&self, path: &GuestPath) -> bool {
        let found = find(self.fs, path).ok().flatten();
        let metadata = found.and_then(|found| self.fs.metadata(found.node).ok());
        metadata.is_some_and(|metadata| metadata.kind == NodeKind::Directory)
    }

    /// Takes a directive; gives back a line that begins something else: Include and Match.
    fn line(
        &mut self,
        text: &[u8],
        place: Place,
        block: Option<usize>,
        is_command_line: bool,
    ) -> Result<Option<Line>> {
        let line = match line::split(text, self.splitting) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(reason) => {
                self.fatal(&place, reason);
                return Ok(None);
            }
        };
        if line.rest.is_none() && self.config.daemon.release.is_likely(8, 7) {
            self.fatal(&place, &format!("{} has no argument", line.keyword));
            return Ok(None);
        }
        if matches!(line.keyword.as_str(), "include" | "match") {
            return Ok(Some(line));
        }
        self.directive(line, place, block, is_command_line)?;
        Ok(None)
    }

    fn directive(
        &mut self,
        line: Line,
        place: Place,
        block: Option<usize>,
        is_command_line: bool,
    ) -> Result<()> {
        self.count_line()?;
        let release = self.config.daemon.release;
        let Some(known) = keyword::find(&line.keyword) else {
            let message = format!("if sshd does not know {}, it stops", line.keyword);
            let unsure = Finding::undecided(UNKNOWN, &place, message);
            self.needs_word(&line.keyword, &place, "keyword", Some(unsure));
            return Ok(());
        };
        match known.since {
            None => self.needs_word(known.name, &place, "keyword", None),
            Some(since) if value::may_be_unknown(since, release) => {
                let message = format!("sshd knows {} from {since}; this is {release}", known.name);
                let unsure = Finding::undecided(UNKNOWN, &place, message);
                self.needs_word(known.name, &place, "keyword", Some(unsure));
            }
            Some(_) => {}
        }
        let is_always = self.config.is_always_active(block);
        let may_stand = |known: &keyword::Keyword| {
            known.in_match.is_some_and(|since| release.is_likely(since.major, since.minor))
        };
        let is_allowed = may_stand(known);
        if !is_allowed && !is_always {
            let reason = format!("{} is not allowed in a Match block", line.keyword);
            self.stops(("conf-syntax", "LOGIN-25"), &place, &reason);
        }
        for defect in value::defects(&line, known, release) {
            self.defect(&line.keyword, &place, defect);
        }
        if line.keyword == "subsystem" && is_always && !release.is_likely(9, 5) {
            self.check_subsystem(&line, &place);
        }
        // In a block that is always active an old name counts as the new one does.
        let canonical = keyword::canonical(line.keyword.clone());
        let keeps_global =
            !keyword::find(&canonical).is_some_and(may_stand) || known.name == "pamservicename";
        if known.name == "pamservicename" && !is_always {
            // It is taken, and has no effect.
            return Ok(());
        }
        let arguments = match known.value {
            keyword::Value::Rest => {
                let rest = line.rest.unwrap_or_default();
                vec![line::trim_start(&rest, b" \t\r\n").to_vec()]
            }
            _ => line.arguments,
        };
        if arguments.is_empty() {
            // Older releases set nothing then.
            return Ok(());
        }
        self.config.add(Directive {
            keyword: canonical,
            arguments,
            place,
            is_command_line,
            block: block.filter(|_| !keeps_global),
        });
        Ok(())
    }

    fn defect(&mut self, keyword: &str, place: &Place, defect: Defect) {
        match defect {
            Defect::Fatal(reason) => self.fatal(place, &format!("{keyword}: {reason}")),
            Defect::Undecided(reason) => {
                let message = format!("sshd may not start: {keyword}: {reason}");
                self.found(Finding::undecided(SYNTAX, place, message));
            }
            Defect::NeedsWord(word) => {
                let message = format!("if sshd does not know {word}, it stops");
                let unsure = Finding::undecided(SYNTAX, place, message);
                self.needs_word(&word, place, "name", Some(unsure));
            }
        }
    }

    fn needs_word(
        &mut self,
        word: &str,
        place: &Place,
        what: &'static str,
        unsure: Option<Finding>,
    ) {
        if self.words.len() < WORDS_MAX {
            self.words.push((word.to_owned(), place.clone(), what, unsure));
        } else {
            self.found(Finding::undecided(UNKNOWN, place, "too many words that sshd may not know"));
        }
    }

    /// Counts a directive or a Match line against [`LINES_MAX`].
    fn count_line(&mut self) -> Result<()> {
        let count = self.config.directives.len().saturating_add(self.config.blocks.len());
        if count >= LINES_MAX {
            let actual = len_u64(count).saturating_add(1);
            return Err(Error::limit(
                "number of lines in the sshd configuration",
                len_u64(LINES_MAX),
                actual,
            ));
        }
        Ok(())
    }

    fn include(
        &mut self,
        line: &Line,
        place: &Place,
        depth: usize,
        block: Option<usize>,
    ) -> Result<()> {
        match self.config.daemon.release.at_least(8, 2) {
            Some(true) => {}
            Some(false) => {
                let message = "it does not know the keyword include, which came with 8.2";
                self.stops(("conf-syntax", "LOGIN-20"), place, message);
                return Ok(());
            }
            None => {
                let release = self.config.daemon.release;
                let message = format!("sshd knows Include from 8.2; this is {release}");
                self.found(Finding::undecided(("conf-syntax", "LOGIN-20"), place, message));
                if !release.is_likely(8, 2) {
                    return Ok(());
                }
            }
        }
        if line.arguments.is_empty() || line.arguments.iter().any(Vec::is_empty) {
            self.fatal(place, "Include names no file");
        }
        for given in &line.arguments {
            self.includes = self.includes.saturating_add(1);
            if self.includes > INCLUDES_MAX {
                let what = "number of includes in the sshd configuration";
                return Err(Error::limit(what, len_u64(INCLUDES_MAX), len_u64(self.includes)));
            }
            let path = if given.starts_with(b"/") {
                GuestPath::new(given)
            } else if given.starts_with(b"~") {
                // Taken as it stands, below the directory that sshd was started in.
                GuestPath::root().join(given)
            } else {
                GuestPath::new("/etc/ssh").join(given)
            };
            let paths = pattern::expand(self.fs, &path)?;
            if depth >= DEPTH_MAX && !paths.is_empty() {
                self.fatal(&path, "is included more than 16 files deep");
                continue;
            }
            for path in paths {
                self.file(&path, depth.saturating_add(1), block)?;
            }
        }
        Ok(())
    }

    fn begin_block(&mut self, line: &Line, place: Place, parent: Option<usize>) -> Result<usize> {
        self.count_line()?;
        let release = self.config.daemon.release;
        let named = |criteria| named_ports(self.fs, criteria);
        let criteria =
            Criterion::parse_all(line, release).and_then(named).unwrap_or_else(|reason| {
                self.fatal(&place, &reason);
                vec![Criterion::Never]
            });
        let is_always = criteria == [Criterion::Always] && self.config.is_always_active(parent);
        self.config.blocks.push(Block { parent, criteria, is_always, place });
        Ok(self.config.blocks.len().saturating_sub(1))
    }

    pub(super) fn fatal(&mut self, subject: impl fmt::Display, reason: &str) {
        self.stops(SYNTAX, subject, reason);
    }

    pub(super) fn stops(
        &mut self,
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        reason: &str,
    ) {
        let message = format!("sshd does not start: {reason}");
        self.found(Finding::block(id, subject, message).fixed_by("repair or remove the line"));
    }

    /// Keeps a finding; a damaged file would fill the report, so warnings give way to what blocks.
    pub(super) fn found(&mut self, finding: Finding) {
        let alike = |known: &&Finding| {
            (known.severity, known.is_undecided) == (finding.severity, finding.is_undecided)
        };
        if self.config.findings.iter().filter(alike).count() < FINDINGS_MAX {
            self.config.findings.push(finding);
        }
    }
}

/// Replaces names of ports by their numbers, as getservbyname(3) finds them in /etc/services.
fn named_ports(fs: &dyn FileSystem, criteria: Vec<Criterion>) -> Result<Vec<Criterion>, String> {
    let mut result = Vec::new();
    for criterion in criteria {
        result.push(match criterion {
            Criterion::Client(Asked::LocalPort, name) if !name.iter().all(u8::is_ascii_digit) => {
                let port = port_of_service(fs, &name).ok_or("LocalPort is no port")?;
                Criterion::Client(Asked::LocalPort, port)
            }
            other => other,
        });
    }
    Ok(result)
}

fn port_of_service(fs: &dyn FileSystem, name: &[u8]) -> Option<Vec<u8>> {
    if name == b"ssh" {
        return Some(b"22".to_vec());
    }
    let path = GuestPath::new("/etc/services");
    let content = read_file(fs, &path, TEXT_BYTES_MAX).ok().flatten()?;
    content.split(|&byte| byte == b'\n').find_map(|line| {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (first, port) = (words.next()?, words.next()?);
        let port = port.strip_suffix(b"/tcp")?;
        (first == name || words.any(|alias| alias == name)).then(|| port.to_vec())
    })
}
