//! `sshd_config` as sshd reads it: lines, includes, Match blocks, and which value counts (sshd_config(5);
//! LOGIN-10 to LOGIN-25).
//!
//! Bounds: [`DEPTH_MAX`], [`LINES_MAX`], [`FILES_MAX`], [`BYTES_MAX`], [`INCLUDES_MAX`]. Not handled: values
//! of keywords that do not decide a login with a key, beyond what [`super::value`] knows.

use super::Finding;
use super::client::Listening;
use super::daemon::Daemon;
use super::daemon::version::{Presence, presence_in_program};
use super::keyword;
use super::line::{self, Line, Splitting};
use super::match_block::{self, Asked, Criterion};
use super::pattern;
use super::value::{self, Defect};
use crate::bytes::arith::len_u64;
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{FileSystem, NodeKind};
use crate::guest::linux::text::TEXT_BYTES_MAX;
use std::collections::BTreeMap;
use std::fmt;

/// Depth of includes that sshd allows (LOGIN-20).
const DEPTH_MAX: usize = 16;
/// Bound on the directives of all files together.
const LINES_MAX: usize = 50_000;
/// Bound on the files that are read, each time counted.
const FILES_MAX: usize = 512;
/// Bound on the bytes of all files together.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bound on the patterns of all Include lines, each time counted: each may read directories.
const INCLUDES_MAX: usize = 64;
/// Bound on the findings of each severity.
const FINDINGS_MAX: usize = 20;
/// Bound on the words that are looked for in the program.
const WORDS_MAX: usize = 256;

const SYNTAX: (&str, &str) = ("conf-syntax", "LOGIN-15");
const UNKNOWN: (&str, &str) = ("conf-unknown", "LOGIN-16");

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
        config.listening = match_block::listening(&config);
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

    fn is_always_active(&self, block: Option<usize>) -> bool {
        block.is_none_or(|index| self.blocks.get(index).is_some_and(|block| block.is_always))
    }
}

struct Reader<'a> {
    fs: &'a dyn FileSystem,
    config: SshdConfig,
    splitting: Splitting,
    files: usize,
    bytes: usize,
    includes: usize,
    /// Words that stop sshd unless its program knows them: the word, where, what it is, what if nothing is
    /// known about the program.
    words: Vec<(String, Place, &'static str, Option<Finding>)>,
}

impl<'a> Reader<'a> {
    fn new(fs: &'a dyn FileSystem, daemon: Daemon) -> Self {
        let is_current = daemon.release.is_likely(8, 7);
        let splitting = if is_current { Splitting::Arguments } else { Splitting::Delimiters };
        let config = SshdConfig { daemon, ..SshdConfig::default() };
        Self { fs, config, splitting, files: 0, bytes: 0, includes: 0, words: Vec::new() }
    }

    /// The options of the command line come first, so they win (LOGIN-11).
    fn command_line(&mut self) -> Result<()> {
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

    fn files(&mut self) -> Result<()> {
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
        let message = "there is no sshd_config; sshd's own defaults are assumed";
        let id = ("conf-syntax", "LOGIN-10");
        self.config.findings.push(Finding::warn(id, "/etc/ssh/sshd_config", message));
        Ok(())
    }

    fn file(&mut self, path: &GuestPath, depth: usize, outer: Option<usize>) -> Result<()> {
        self.files = self.files.saturating_add(1);
        if self.files > FILES_MAX {
            let what = "number of included sshd configuration files";
            return Err(Error::limit(what, len_u64(FILES_MAX), len_u64(self.files)));
        }
        let content = match read_file(self.fs, path, TEXT_BYTES_MAX) {
            Ok(content) => content.unwrap_or_default(),
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
        let is_allowed =
            known.in_match.is_some_and(|since| release.is_likely(since.major, since.minor));
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
        let keeps_global = !is_allowed || known.name == "pamservicename";
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
            keyword: keyword::canonical(line.keyword),
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

    /// Asks the program for the words that it must know (LOGIN-16).
    fn look_into_program(&mut self) -> Result<()> {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = words.iter().map(|(word, ..)| word.as_str()).collect();
        let known = presence_in_program(self.fs, &self.config.daemon.program, &texts)?;
        let has_program = matches!(self.config.daemon.release, super::daemon::Release::Known(_));
        let known = known.filter(|_| has_program);
        for (index, (word, place, what, unsure)) in words.iter().enumerate() {
            let presence = known.as_ref().and_then(|known| known.get(index));
            match (presence, unsure) {
                (Some(Presence::Whole), _) => {}
                (Some(Presence::Absent), _) => {
                    let id = if *what == "keyword" { UNKNOWN } else { SYNTAX };
                    self.stops(id, place, &format!("it does not know the {what} {word}"));
                }
                // A keyword of a vendor: likely that the program is that vendor's.
                (Some(Presence::AsEnd) | None, None) => {
                    let message = format!("if sshd does not know {word}, it stops");
                    self.found(Finding::warn(UNKNOWN, place, message));
                }
                (Some(Presence::AsEnd) | None, Some(unsure)) => self.found(unsure.clone()),
            }
        }
        Ok(())
    }

    /// Before 9.5 a subsystem that is there already stops sshd.
    fn check_subsystem(&mut self, line: &Line, place: &Place) {
        let name = line.arguments.first();
        let is_twice = self.config.directives_of("subsystem").any(|d| d.arguments.first() == name);
        if is_twice {
            let release = self.config.daemon.release;
            if release.at_least(9, 5) == Some(false) {
                self.fatal(place, "the subsystem is defined twice");
            } else {
                let message = "sshd before 9.5 stops at a subsystem that is defined twice";
                self.found(Finding::undecided(SYNTAX, place, message));
            }
        }
    }

    /// What sshd checks when it has read everything.
    fn check_whole(&mut self) {
        for kind in ["authorizedkeyscommand", "authorizedprincipalscommand"] {
            let is_set = |directive: &&Directive| {
                directive.arguments.iter().any(|value| !value.eq_ignore_ascii_case(b"none"))
            };
            let command = self.config.global(kind).filter(is_set).map(|d| d.place.clone());
            if let Some(place) = command
                && self.config.global(&format!("{kind}user")).is_none()
            {
                self.fatal(&place, &format!("{kind} is set without {kind}user"));
            }
        }
        self.check_methods();
    }

    /// A list of methods must be possible at all; before 9.7 `any` must not come after other lists either.
    fn check_methods(&mut self) {
        let lines = self.config.at_start("authenticationmethods");
        let first = lines.take(1).map(|d| (d.place.clone(), d.arguments.clone())).next();
        if let Some((place, lists)) = &first {
            let can_be = |list: &Vec<u8>| {
                !list.split(|&byte| byte == b',').any(|method| self.is_method_off(method))
            };
            if !lists.iter().any(can_be) {
                self.fatal(place, "AuthenticationMethods names only methods that are switched off");
            }
        }
        let release = self.config.daemon.release;
        if !release.is_likely(8, 7) || release.is_likely(9, 7) {
            return;
        }
        let lines = self.config.directives_of("authenticationmethods");
        let lines: Vec<(Place, bool, bool)> = lines
            .map(|d| {
                let is_any = d.arguments.iter().any(|list| list == b"any");
                (d.place.clone(), self.config.is_always_active(d.block), is_any)
            })
            .collect();
        for (index, (place, ..)) in lines.iter().enumerate().filter(|(_, (.., is_any))| *is_any) {
            let before = lines.get(..index).unwrap_or_default();
            if before.iter().any(|(_, is_at_start, _)| *is_at_start) {
                self.fatal(place, "authenticationmethods: any does not stand alone");
            } else if !before.is_empty() {
                let message = "this any ends a connection if a block before it sets other methods";
                self.found(Finding::undecided(("conf-methods", "LOGIN-15"), place, message));
            }
        }
    }

    /// True if the global part switches a method off.
    fn is_method_off(&self, method: &[u8]) -> bool {
        let name = method.split(|&byte| byte == b':').next().unwrap_or_default();
        let (keyword, is_on) = match name {
            b"publickey" => ("pubkeyauthentication", true),
            b"password" => ("passwordauthentication", true),
            b"keyboard-interactive" => ("kbdinteractiveauthentication", true),
            b"hostbased" => ("hostbasedauthentication", false),
            b"gssapi-with-mic" => ("gssapiauthentication", false),
            _ => return false,
        };
        match self.config.global(keyword).and_then(|directive| directive.arguments.first()) {
            Some(value) => value.eq_ignore_ascii_case(b"no"),
            None => !is_on,
        }
    }

    /// Where the release is not known, a line that releases split differently decides nothing (LOGIN-14).
    fn check_splitting(&mut self, path: &GuestPath, content: &[u8]) {
        if self.config.daemon.release.at_least(8, 7).is_some() {
            return;
        }
        let old = line::of_file(content, Splitting::Delimiters);
        let current = line::of_file(content, Splitting::Arguments);
        for ((number, old), (_, current)) in old.into_iter().zip(current) {
            let arguments = |text: &[u8], splitting| match line::split(text, splitting) {
                Ok(Some(line)) => Some(line.arguments),
                _ => None,
            };
            let old = arguments(&old, Splitting::Delimiters);
            if old != arguments(&current, Splitting::Arguments) {
                let place = Place { path: path.clone(), line: number };
                let message = "releases of sshd before and after 8.7 read this line differently";
                self.found(Finding::undecided(("conf-syntax", "LOGIN-14"), place, message));
            }
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

    fn fatal(&mut self, subject: impl fmt::Display, reason: &str) {
        self.stops(SYNTAX, subject, reason);
    }

    fn stops(
        &mut self,
        id: (&'static str, &'static str),
        subject: impl fmt::Display,
        reason: &str,
    ) {
        let message = format!("sshd does not start: {reason}");
        self.found(Finding::block(id, subject, message).fixed_by("repair or remove the line"));
    }

    /// Keeps a finding; a damaged file would fill the report, so warnings give way to what blocks.
    fn found(&mut self, finding: Finding) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    #[test]
    fn includes_come_in_order_and_loops_end_login_20() {
        let mut tree = MemoryTree::new();
        tree.file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_9.2p1");
        tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Include sshd_config.d/*.conf\nPort 1\n")
            .file("/etc/ssh/sshd_config.d/2.conf", 0, 0o644, b"Port 3\n")
            .file("/etc/ssh/sshd_config.d/1.conf", 0, 0o644, b"Port 2\nMatch all\nPermitTTY no\n");
        let config = SshdConfig::read(&tree).unwrap();
        let seen: Vec<_> = config
            .directives
            .iter()
            .map(|d| (d.keyword.as_str(), d.arguments[0].clone(), d.block))
            .collect();
        assert_eq!(
            seen,
            [
                ("port", b"2".to_vec(), None),
                ("permittty", b"no".to_vec(), Some(0)),
                ("port", b"3".to_vec(), None),
                ("port", b"1".to_vec(), None),
            ]
        );
        tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Include /etc/ssh/sshd_config\n");
        let config = SshdConfig::read(&tree).unwrap();
        assert_eq!(config.findings.len(), 1);
        assert_eq!(config.findings[0].rule, "LOGIN-15");
        let twice = b"Include /etc/ssh/sshd_config /etc/ssh/sshd_config\n";
        tree.file("/etc/ssh/sshd_config", 0, 0o644, twice);
        assert_eq!(SshdConfig::read(&tree).unwrap_err().kind_name(), "limit");
        // Neither many includes of nothing nor many Match lines take long.
        for (line, count) in [("Include /x*\n", INCLUDES_MAX), ("Match all\n", LINES_MAX)] {
            let text = line.repeat(count + 1);
            tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
            assert_eq!(SshdConfig::read(&tree).unwrap_err().kind_name(), "limit", "{line}");
        }
    }

    #[test]
    fn lines_that_stop_sshd_block_login_15_and_25() {
        for (text, rule) in [
            ("Port\n", "LOGIN-15"),
            ("Match User a\nUsePAM yes\n", "LOGIN-25"),
            ("StrictModes true\n", "LOGIN-15"),
            ("UsePAM perhaps\n", "LOGIN-15"),
            ("Match nonsense x\n", "LOGIN-15"),
            ("AllowUsers \"a\n", "LOGIN-15"),
        ] {
            let mut tree = MemoryTree::new();
            tree.file("/usr/sbin/sshd", 0, 0o755, b"OpenSSH_9.2p1");
            tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
            let findings = SshdConfig::read(&tree).unwrap().findings;
            assert_eq!(findings.len(), 1, "{text}");
            assert!(findings[0].is_blocking() && findings[0].rule == rule, "{text}");
        }
    }

    #[test]
    fn the_vendor_file_of_suse_is_found_login_10() {
        let mut tree = MemoryTree::new();
        assert_eq!(SshdConfig::read(&tree).unwrap().findings.len(), 1);
        tree.file("/usr/etc/ssh/sshd_config", 0, 0o644, b"Port 22\n");
        assert_eq!(SshdConfig::read(&tree).unwrap().directives.len(), 1);
    }
}
