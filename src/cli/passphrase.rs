//! Passphrases for new private keys: from a file, or typed twice without being shown.

use super::host_file;
use super::output::{Outcome, Ui};
use crate::error::{Error, Result};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, Read as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Bound on a passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 1024;

/// The first line of a file, or of standard input for `-`.
///
/// # Errors
/// `Usage` if it is no passphrase; `Limit`; `Io`.
pub(super) fn read(path: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    let content = host_file::read_small(path, "the passphrase file", PASSPHRASE_BYTES_MAX)?;
    let content = Zeroizing::new(content);
    Ok(checked(content.split(|&byte| byte == b'\n').next().unwrap_or_default())?)
}

/// Asks on the terminal, twice.
///
/// # Errors
/// `Usage` if there is no terminal, or the answers differ; `Io`.
pub(super) fn ask(ui: &Ui) -> Outcome<Zeroizing<Vec<u8>>> {
    if !ui.can_ask() {
        let what = "standard input is no terminal, so nobody can be asked: use --passphrase-file";
        return Err(Error::usage(what).into());
    }
    let first = read_hidden(ui, "Passphrase for the new key: ")?;
    let second = read_hidden(ui, "The same again: ")?;
    if first != second {
        return Err(Error::usage("the two passphrases differ").into());
    }
    Ok(checked(&first)?)
}

/// Asks `question` on the terminal, once; the answer may be anything, also nothing.
///
/// # Errors
/// `Io`; `Usage` if there is no terminal.
pub(super) fn ask_once(ui: &Ui, question: &str) -> Result<Zeroizing<Vec<u8>>> {
    if !ui.can_ask() {
        return Err(Error::usage("standard input is no terminal, so nobody can be asked"));
    }
    read_hidden(ui, question)
}

fn checked(line: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line);
    let text = text.map_err(|_| Error::usage("the passphrase is no UTF-8"))?;
    if text.is_empty() {
        return Err(Error::usage("the passphrase is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::usage("the passphrase has control characters"));
    }
    Ok(Zeroizing::new(line.to_vec()))
}

/// The terminal without echo, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn start() -> Result<Self> {
        let before = tcgetattr(io::stdin()).map_err(io::Error::from)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &silent).map_err(io::Error::from)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &self.0);
    }
}

fn read_hidden(ui: &Ui, question: &str) -> Result<Zeroizing<Vec<u8>>> {
    // First, because it discards what was typed before: an answer to the question must not be lost.
    let hidden = Hidden::start()?;
    ui.say(question);
    let mut line = Zeroizing::new(Vec::new());
    for byte in io::stdin().lock().take(PASSPHRASE_BYTES_MAX).bytes() {
        match byte? {
            b'\n' => break,
            other => line.push(other),
        }
    }
    drop(hidden);
    ui.say("\n");
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_passphrase_is_one_line_of_text() {
        let directory = tempfile::tempdir().unwrap();
        for (number, (content, expected)) in [
            (b"secret\r\nmore\n".as_slice(), Some(b"secret".as_slice())),
            (b" with blanks ", Some(b" with blanks ")),
            (b"", None),
            (b"\nx", None),
            (b"a\tb", None),
            (b"\xff", None),
            (&[b'a'; 2000], None),
        ]
        .into_iter()
        .enumerate()
        {
            let path = directory.path().join(number.to_string());
            std::fs::File::create_new(&path).unwrap().write_all(content).unwrap();
            let found = read(&path).ok();
            assert_eq!(found.as_ref().map(|line| line.as_slice()), expected, "{content:?}");
        }
    }
}
