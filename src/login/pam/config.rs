//! The files of `/etc/pam.d` as libpam reads them (pam.conf(5), pam.d(5); LOGIN-66).
//!
//! A line that PAM cannot use becomes one that always fails, as it does there. Bounds: [`INCLUDES_MAX`] levels,
//! [`FILES_MAX`] files, [`LINES_MAX`] lines.

use super::code::{Action, Control};
use crate::bytes::text::escape_limited;
use crate::error::ErrorKind;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, read_file};
use crate::guest::linux::text::{TEXT_BYTES_MAX, exists, lines, required};

/// Levels of includes, as in libpam.
const INCLUDES_MAX: u32 = 16;
/// Bound on the files read for one stack: includes can multiply.
const FILES_MAX: usize = 256;
/// Bound on the lines of one stack.
const LINES_MAX: usize = 4096;
/// Where services are described, in the order in which libpam looks.
const DIRECTORIES: [&str; 3] = ["/etc/pam.d", "/usr/lib/pam.d", "/usr/etc/pam.d"];
/// What is used where `pam.d` does not exist at all.
const PAM_CONF: &str = "/etc/pam.conf";

/// What kind of stack is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// May the account be used now?
    Account,
    /// What is set up for a session.
    Session,
}

impl Kind {
    /// The word in the files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Session => "session",
        }
    }
}

/// What a line calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// A module with its arguments.
    Module {
        /// Path or name of the module.
        path: Vec<u8>,
        /// Its arguments.
        arguments: Vec<Vec<u8>>,
    },
    /// Nothing: the line always fails, for this reason.
    Failure(&'static str),
    /// The start of a substack, whose lines follow one level deeper.
    Substack,
}

/// A line of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// File and line, as in `/etc/pam.d/sshd:4`.
    pub(super) place: String,
    /// Depth of substacks.
    pub(super) level: u32,
    /// What it calls.
    pub(super) call: Call,
    /// What it does with the answer.
    pub(super) control: Control,
}

/// What the files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stack {
    /// The lines in order, at least one.
    Lines(Vec<Entry>),
    /// PAM refuses, for this reason (with its place).
    Broken(String, &'static str),
    /// PAM may do what is not known here, for this reason (with its place).
    Unknown(String, &'static str),
}

/// Why reading stopped.
enum Stop {
    /// PAM gives up as well.
    Abort(String, &'static str),
    /// A bound of ours.
    Bound(String, &'static str),
    /// The file does not exist or cannot be read.
    Missing,
}

/// Reads the stack of `service`.
pub(super) fn read(fs: &dyn FileSystem, service: &[u8], kind: Kind, is_debian: bool) -> Stack {
    // libpam takes the last component of the name in lower case.
    let service = service.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let service = service.to_ascii_lowercase();
    let mut reader = Reader { fs, kind, is_debian, entries: Vec::new(), files: 0 };
    let shown = format!("/etc/pam.d/{}", escape_limited(&service, 64));
    let nothing = |place: &str| {
        let message = match kind {
            Kind::Account => "there is no account line, which PAM takes as a refusal",
            Kind::Session => "there is no session line, which PAM takes as a refusal",
        };
        Stack::Broken(place.to_owned(), message)
    };
    if !DIRECTORIES.iter().any(|directory| exists(fs, directory)) {
        return match reader.pam_conf(&service) {
            Stack::Lines(entries) if entries.is_empty() => nothing(PAM_CONF),
            stack => stack,
        };
    }
    let has_file = match reader.file(&service, &At::top(shown.clone())) {
        Ok(()) => true,
        Err(Stop::Missing) => false,
        Err(stop) => return broken(stop),
    };
    if !has_file && is_debian && exists(fs, PAM_CONF) {
        match reader.pam_conf(&service) {
            Stack::Lines(entries) if entries.is_empty() => {}
            _ => {
                let message = "the service has no file in pam.d, and pam.conf may count";
                return Stack::Unknown(PAM_CONF.to_owned(), message);
            }
        }
    }
    if reader.entries.is_empty() {
        match reader.file(b"other", &At::top(shown.clone())) {
            Ok(()) => {}
            Err(Stop::Missing) if has_file => {}
            Err(Stop::Missing) => {
                let message = "neither the service nor the file other exists in pam.d";
                return Stack::Broken(shown, message);
            }
            Err(stop) => return broken(stop),
        }
    }
    if reader.entries.is_empty() {
        return nothing(&shown);
    }
    Stack::Lines(reader.entries)
}

impl At {
    fn top(place: String) -> Self {
        Self { place, is_requested: false, include_level: 0, stack_level: 0 }
    }
}

fn broken(stop: Stop) -> Stack {
    match stop {
        Stop::Abort(place, reason) => Stack::Broken(place, reason),
        Stop::Bound(place, reason) => Stack::Unknown(place, reason),
        Stop::Missing => Stack::Broken("/etc/pam.d".to_owned(), "the service has no file"),
    }
}

struct Reader<'a> {
    fs: &'a dyn FileSystem,
    kind: Kind,
    /// Debian's libpam knows `@include`.
    is_debian: bool,
    entries: Vec<Entry>,
    files: usize,
}

/// Where a line stands.
#[derive(Debug, Clone)]
struct At {
    place: String,
    /// True below an `include`, which asks for lines of one type.
    is_requested: bool,
    include_level: u32,
    stack_level: u32,
}

type Words = std::vec::IntoIter<Vec<u8>>;

impl Reader<'_> {
    /// Reads the file `name` in place of the line at `at`.
    fn file(&mut self, name: &[u8], at: &At) -> Result<(), Stop> {
        if at.include_level >= INCLUDES_MAX {
            return Err(Stop::Missing);
        }
        self.files = self.files.saturating_add(1);
        if self.files > FILES_MAX {
            let reason = "too many files are included to follow them";
            return Err(Stop::Bound(at.place.clone(), reason));
        }
        let paths: Vec<GuestPath> = if name.starts_with(b"/") {
            vec![GuestPath::new(name)]
        } else {
            DIRECTORIES.iter().map(|directory| GuestPath::new(directory).join(name)).collect()
        };
        for path in paths {
            match read_file(self.fs, &path, TEXT_BYTES_MAX) {
                Ok(None) => {}
                Ok(Some(content)) => return self.content(&content, &path, at),
                // What is no file, and a loop of links, PAM cannot read either.
                Err(error) if matches!(error.kind(), ErrorKind::Refused(_)) => {}
                Err(_) => {
                    let reason = "the file cannot be read here";
                    return Err(Stop::Bound(path.to_string(), reason));
                }
            }
        }
        Err(Stop::Missing)
    }

    fn content(&mut self, content: &[u8], path: &GuestPath, at: &At) -> Result<(), Stop> {
        let (lines, is_whole) = assemble(content);
        for (line, number) in lines {
            let at = At { place: format!("{path}:{number}"), ..at.clone() };
            self.line(tokens(&line).into_iter(), &at)?;
        }
        if is_whole {
            return Ok(());
        }
        let reason = "the file ends in a line that goes on, which PAM refuses";
        Err(Stop::Abort(path.to_string(), reason))
    }

    fn line(&mut self, mut words: Words, at: &At) -> Result<(), Stop> {
        let Some(word) = words.next() else { return Ok(()) };
        if self.is_debian && word == b"@include" {
            return self.at_include(words.next(), at);
        }
        let kind = word.strip_prefix(b"-").unwrap_or(&word).to_ascii_lowercase();
        let is_known = matches!(kind.as_slice(), b"auth" | b"account" | b"session" | b"password");
        // What is no type at all counts for the type that an include asked for, and else for auth.
        let is_ours = kind == self.kind.name().as_bytes() || (!is_known && at.is_requested);
        if !is_ours {
            return Ok(());
        }
        let Some(control) = words.next() else {
            let call = Call::Failure("the line has no control word");
            return self.push(at, call, Control::always(Action::Bad));
        };
        match control.to_ascii_lowercase().as_slice() {
            b"include" => return self.include(words.next(), at, false),
            b"substack" => return self.include(words.next(), at, true),
            _ => {}
        }
        let control = Control::parse(&control);
        let call = match words.next() {
            None => Call::Failure("the line names no module"),
            Some(_) if !is_known => Call::Failure("the line has no known type"),
            Some(path) => Call::Module { path, arguments: words.collect() },
        };
        self.push(at, call, control)
    }

    fn push(&mut self, at: &At, call: Call, control: Control) -> Result<(), Stop> {
        if self.entries.len() >= LINES_MAX {
            let reason = "there are too many lines to follow them";
            return Err(Stop::Bound(at.place.clone(), reason));
        }
        let (place, level) = (at.place.clone(), at.stack_level);
        self.entries.push(Entry { place, level, call, control });
        Ok(())
    }

    /// `include` and `substack`: only lines of the same type come from the file.
    fn include(&mut self, name: Option<Vec<u8>>, at: &At, is_substack: bool) -> Result<(), Stop> {
        if is_substack {
            self.push(at, Call::Substack, Control::always(Action::Ignore))?;
        }
        let below = At {
            place: at.place.clone(),
            is_requested: true,
            include_level: at.include_level.saturating_add(1),
            stack_level: at.stack_level.saturating_add(u32::from(is_substack)),
        };
        match name.map_or(Err(Stop::Missing), |name| self.file(&name, &below)) {
            Err(Stop::Missing | Stop::Abort(..)) => {
                let call = Call::Failure("the file that is included cannot be read");
                self.push(at, call, Control::always(Action::Bad))
            }
            other => other,
        }
    }

    /// Debian's `@include`: everything of the file, unless an include asked for one type.
    fn at_include(&mut self, name: Option<Vec<u8>>, at: &At) -> Result<(), Stop> {
        let below = At { include_level: at.include_level.saturating_add(1), ..at.clone() };
        match name.map_or(Err(Stop::Missing), |name| self.file(&name, &below)) {
            Err(Stop::Missing | Stop::Abort(..)) if at.is_requested => {
                let call = Call::Failure("the file that is included cannot be read");
                self.push(at, call, Control::always(Action::Bad))
            }
            Err(Stop::Missing | Stop::Abort(..)) => {
                let reason = "the file after @include cannot be read, and PAM refuses everything";
                Err(Stop::Abort(at.place.clone(), reason))
            }
            other => other,
        }
    }

    /// `/etc/pam.conf`, whose lines begin with the service.
    fn pam_conf(&mut self, service: &[u8]) -> Stack {
        let content = match required(self.fs, PAM_CONF, TEXT_BYTES_MAX) {
            Ok(Some(content)) => content,
            Ok(None) => {
                let message = "the volume has no configuration of PAM";
                return Stack::Unknown("/etc/pam.d".to_owned(), message);
            }
            Err(_) => return Stack::Unknown(PAM_CONF.to_owned(), "the file cannot be read here"),
        };
        let (lines, is_whole) = assemble(&content);
        if !is_whole {
            let message = "the file ends in a line that goes on, which PAM refuses";
            return Stack::Broken(PAM_CONF.to_owned(), message);
        }
        for wanted in [service, b"other"] {
            for (line, number) in &lines {
                let mut words = tokens(line).into_iter();
                if words.next().is_none_or(|word| !word.eq_ignore_ascii_case(wanted)) {
                    continue;
                }
                let at = At::top(format!("{PAM_CONF}:{number}"));
                if let Err(stop) = self.line(words, &at) {
                    return broken(stop);
                }
            }
            if !self.entries.is_empty() {
                break;
            }
        }
        Stack::Lines(std::mem::take(&mut self.entries))
    }
}

/// The lines of a file with their numbers: comments cut, lines that end in `\` joined. False if the last one goes
/// on behind the end of the file.
fn assemble(content: &[u8]) -> (Vec<(Vec<u8>, u64)>, bool) {
    let mut assembled = Vec::new();
    let mut pending: Option<(Vec<u8>, u64)> = None;
    let mut numbered = lines(content).zip(1u64..).peekable();
    while let Some((line, number)) = numbered.next() {
        if line.is_empty() && numbered.peek().is_none() {
            // What follows the last LF is no line.
            break;
        }
        // For C the text ends at a NUL.
        let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
        let line = line.get(start..).unwrap_or_default();
        let text = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let end =
            line.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last.saturating_add(1));
        let head = line.get(..end).unwrap_or_default();
        let (mut joined, first) = pending.take().unwrap_or((Vec::new(), number));
        match head.strip_suffix(b"\\") {
            // A comment cannot go on.
            Some(head) if !line.contains(&b'#') => {
                joined.extend_from_slice(head);
                joined.push(b' ');
                pending = Some((joined, first));
            }
            _ => {
                joined.extend_from_slice(text);
                if !joined.is_empty() {
                    assembled.push((joined, first));
                }
            }
        }
    }
    let is_whole = pending.is_none();
    (assembled, is_whole)
}

/// The words of a line; `[...]` is one, and `\]` in it stands for `]`.
fn tokens(line: &[u8]) -> Vec<Vec<u8>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(byte)).unwrap_or(rest.len());
        rest = rest.get(start..).unwrap_or_default();
        if rest.is_empty() {
            return words;
        }
        let (word, after) = if let Some(inner) = rest.strip_prefix(b"[") {
            bracketed(inner)
        } else {
            let end = rest.iter().position(is_space).unwrap_or(rest.len());
            let (word, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
            (word.to_vec(), after)
        };
        words.push(word);
        rest = after;
    }
}

fn bracketed(inner: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut word = Vec::new();
    let mut rest = inner;
    loop {
        match rest {
            [] => return (word, rest),
            [b']', after @ ..] => return (word, after),
            [b'\\', b']', after @ ..] => {
                word.push(b']');
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests;
