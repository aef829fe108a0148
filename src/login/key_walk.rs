//! Which line of which file decides about a key (LOGIN-37 to LOGIN-48).
//!
//! sshd reads the files in order and takes the first line that equals the key and passes its own options. What
//! a line needs from the client or from something else that is not on the volume leaves it in doubt: then it
//! and every line after it count as possible, up to the first line without a doubt.

use super::Guest;
use super::authorized_keys::{KeyLine, key_lines};
use super::finding::Finding;
use super::key_files::KeyFile;
use super::key_options::Authority;
use crate::bytes::text::escape_limited;
use crate::error::{ErrorKind, Result};
use crate::fs::path::{GuestPath, Resolution, resolve};
use crate::fs::{FILE_BYTES_MAX, NodeKind};
use crate::guest::linux::User;
use std::ops::Range;

/// Longest line in bytes, its end included, that sshd before 7.8 reads (LOGIN-47).
const OLD_LINE_BYTES_MAX: usize = 16_383;

/// What sshd reads, and for whom.
pub(crate) struct Question<'a> {
    pub(crate) guest: &'a Guest<'a>,
    pub(crate) user: &'a User,
    /// Wire form of the key.
    pub(crate) blob: &'a [u8],
    /// The files in sshd's order.
    pub(crate) files: &'a [KeyFile],
    pub(crate) is_strict: bool,
    /// Real path of a file that counts as read whatever is on the way to it.
    pub(crate) target: Option<&'a GuestPath>,
    /// The content that a file will have, by its real path, where that differs from the volume.
    pub(crate) planned: &'a dyn Fn(&GuestPath) -> Option<Vec<u8>>,
}

/// What a key file is for sshd.
#[derive(Debug)]
enum Opened {
    /// Its real path and content.
    File(GuestPath, Vec<u8>),
    /// It is not there, or nothing that sshd reads.
    Nothing,
    /// We cannot read it, and sshd might.
    Unknown(Finding),
}

/// A line that holds the key and lets it in, or may.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// Real path of the file.
    pub(crate) path: GuestPath,
    /// Line number from 1.
    pub(crate) line: u64,
    /// Where the line lies in the file.
    pub(crate) range: Range<usize>,
    /// True if the file holds the keys of all users.
    pub(crate) is_shared: bool,
    /// True if the line itself has a condition, such as `from=`.
    pub(crate) is_conditional: bool,
    /// Options as written.
    pub(crate) options: Option<Vec<u8>>,
    /// What the options of the line keep a person from.
    pub(crate) limits: Vec<&'static str>,
    /// Why it may not count; empty if it does.
    pub(crate) doubts: Vec<Finding>,
}

impl Hit {
    /// `file:line`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.path, self.line)
    }
}

/// What was found in the files of one user.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The lines that may decide, in order; only the last may be without a doubt.
    pub(crate) hits: Vec<Hit>,
    /// What keeps sshd from reading files that hold the key.
    pub(crate) unread: Vec<(GuestPath, Finding)>,
    /// Lines with the key that do not count, and what else is worth knowing.
    pub(crate) notes: Vec<Finding>,
    /// Files that might hold the key, and could not be read here.
    pub(crate) unknown: Vec<Finding>,
}

impl Walk {
    /// The line that decides without any doubt, or the first that may.
    pub(crate) fn deciding(&self) -> Option<&Hit> {
        self.hits.iter().find(|hit| hit.doubts.is_empty()).or_else(|| self.hits.first())
    }

    /// True if some line lets the key in, whatever is not known.
    pub(crate) fn is_certain(&self) -> bool {
        self.hits.iter().any(|hit| hit.doubts.is_empty())
    }
}

/// Reads the files as sshd does.
///
/// # Errors
/// As the file system; `Limit` for bounds of the labelling rules.
pub(crate) fn walk(question: &Question<'_>) -> Result<Walk> {
    let mut walk = Walk::default();
    for file in question.files {
        let (path, content) = match question.open(file, &mut walk.notes)? {
            Opened::File(path, content) => (path, content),
            Opened::Nothing => continue,
            Opened::Unknown(finding) => {
                walk.unknown.push(finding);
                continue;
            }
        };
        if !key_lines(&content).any(|line| line.blob == question.blob) {
            continue;
        }
        let mut doubts = Vec::new();
        if question.target != Some(&path) {
            let way = question.guest.way(question.user, &file.path, question.is_strict)?;
            let found: Vec<Finding> = way.into_iter().map(|obstacle| obstacle.finding).collect();
            if found.iter().any(Finding::is_blocking) {
                walk.unread.extend(found.into_iter().map(|finding| (path.clone(), finding)));
                continue;
            }
            let (open, notes): (Vec<_>, Vec<_>) = found.into_iter().partition(|f| f.is_undecided);
            walk.notes.extend(notes);
            doubts = open;
        }
        walk.take_lines(question, (&path, file.is_shared), &content, &doubts);
        if walk.is_certain() {
            break;
        }
    }
    Ok(walk)
}

impl Walk {
    /// Takes the lines of one file that sshd reads, up to the first that decides.
    fn take_lines(
        &mut self,
        question: &Question<'_>,
        (path, is_shared): (&GuestPath, bool),
        content: &[u8],
        doubts: &[Finding],
    ) {
        for line in key_lines(content).filter(|line| line.blob == question.blob) {
            let subject = format!("{path}:{}", line.number);
            let id = ("key-line", "LOGIN-40");
            let mut hit = Hit {
                path: path.clone(),
                line: line.number,
                range: line.range.clone(),
                is_shared,
                is_conditional: false,
                options: line.options.map(<[u8]>::to_vec),
                limits: limits(&line),
                doubts: doubts.to_vec(),
            };
            match line.authority(question.guest.now) {
                Authority::Yes => {}
                Authority::No(reason) => {
                    let message = format!("this line with the key does not count: {reason}");
                    self.notes.push(Finding::info(id, subject, message));
                    continue;
                }
                Authority::Depends(reason) => {
                    let message =
                        format!("whether this line with the key counts depends on {reason}");
                    hit.is_conditional = true;
                    hit.doubts.push(Finding::undecided(id, subject, message));
                }
            }
            if line.range.len() > OLD_LINE_BYTES_MAX {
                let id = ("key-line", "LOGIN-47");
                let subject = hit.place();
                match question.guest.config.daemon.release.at_least(7, 8) {
                    Some(true) => {}
                    Some(false) => {
                        let message = "this line with the key is too long for sshd before 7.8";
                        self.notes.push(Finding::info(id, subject, message));
                        continue;
                    }
                    None => {
                        let message = "sshd before 7.8 skips a line of this length";
                        hit.doubts.push(Finding::undecided(id, subject, message));
                    }
                }
            }
            let is_last = hit.doubts.is_empty();
            self.hits.push(hit);
            if is_last {
                return;
            }
        }
    }
}

fn limits(line: &KeyLine<'_>) -> Vec<&'static str> {
    line.parsed_options().map(|options| options.shadowing()).unwrap_or_default()
}

impl Question<'_> {
    /// Why what sshd finds there is not known (LOGIN-95). Of the file that is asked about others judge the way.
    fn unseen(&self, path: &GuestPath) -> Option<Finding> {
        if self.target == Some(path) { None } else { self.guest.unseen(path) }
    }

    /// Opens a key file as far as sshd would.
    fn open(&self, file: &KeyFile, notes: &mut Vec<Finding>) -> Result<Opened> {
        let fs = self.guest.fs;
        let found = match resolve(fs, &file.path, true) {
            Ok(Resolution::Found(found)) => found,
            Ok(Resolution::Missing { parent, missing, .. }) => {
                let path = missing.iter().fold(parent.real_path, |path, name| path.join(name));
                if let Some(unseen) = self.unseen(&path) {
                    return Ok(Opened::Unknown(unseen));
                }
                let planned = (self.planned)(&file.path);
                let opened = |content| Opened::File(file.path.clone(), content);
                return Ok(planned.map_or(Opened::Nothing, opened));
            }
            // A loop of links, or a file in place of a directory: sshd fails at it as well.
            Err(error) if matches!(error.kind(), ErrorKind::Refused(_)) => {
                notes.push(Finding::warn(("key-line", "LOGIN-132"), &file.path, error.to_string()));
                return Ok(Opened::Nothing);
            }
            Err(error) => return unknown(&file.path, error),
        };
        if let Some(unseen) = self.unseen(&found.real_path) {
            return Ok(Opened::Unknown(unseen));
        }
        if let Some(content) = (self.planned)(&found.real_path) {
            return Ok(Opened::File(found.real_path, content));
        }
        let metadata = fs.metadata(found.node)?;
        let mut note = |id, message: String| {
            notes.push(Finding::warn(id, &found.real_path, message));
        };
        if metadata.kind != NodeKind::File {
            let message = format!("it is a {}: sshd does not read it", metadata.kind);
            note(("key-line", "LOGIN-50"), message);
            return Ok(Opened::Nothing);
        }
        if metadata.flags.is_encrypted {
            let message = "it is encrypted (fscrypt): sshd cannot read it before a login";
            note(("home-crypt", "LOGIN-T4"), message.to_owned());
            return Ok(Opened::Nothing);
        }
        match fs.read(found.node, FILE_BYTES_MAX) {
            Ok(content) => Ok(Opened::File(found.real_path, content)),
            Err(error) => unknown(&found.real_path, error),
        }
    }
}

/// A file that we cannot read may hold the key. Only a failing host is an error.
fn unknown(path: &GuestPath, error: crate::error::Error) -> Result<Opened> {
    if matches!(error.kind(), ErrorKind::Io(_)) {
        return Err(error);
    }
    let reason = escape_limited(error.to_string().as_bytes(), 256);
    let message = format!("what sshd finds in it is not known: {reason}");
    Ok(Opened::Unknown(Finding::undecided(("key-line", "LOGIN-2"), path, message)))
}
