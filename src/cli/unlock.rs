//! Passphrases and key files of encrypted volumes: from files, or asked for on the terminal.
//!
//! As cryptsetup does: of a passphrase the line break is no part, a key file counts as a whole, with its last line break.

use super::args::UnlockArgs;
use super::output::Ui;
use super::passphrase;
use crate::error::{Context as _, Error, Result};
use crate::session::Passphrases;
use crate::volume::luks::Secret;
use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Bound on a key file in bytes, as cryptsetup has it.
const KEY_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Bound on a file with a passphrase in its first line, in bytes.
const PASSPHRASE_FILE_BYTES_MAX: u64 = 64 * 1024;

/// How often one volume is asked about.
const QUESTIONS_MAX: usize = 3;

/// The secrets that were given, and those that were typed.
#[derive(Debug)]
pub(super) struct Keyring<'a> {
    ui: &'a Ui,
    /// True if nothing was given, so that people are asked.
    asks: bool,
    known: RefCell<Vec<Rc<Secret>>>,
}

impl<'a> Keyring<'a> {
    /// Reads what `args` name.
    ///
    /// # Errors
    /// `Usage` if there is no passphrase in the file; `Limit`; `Io`.
    pub(super) fn new(ui: &'a Ui, args: &UnlockArgs) -> Result<Self> {
        let secret = |bytes| Rc::new(Secret::new(bytes));
        let known: Vec<Rc<Secret>> = given(args)?.into_iter().map(secret).collect();
        let asks = known.is_empty() && ui.can_ask();
        Ok(Self { ui, asks, known: RefCell::new(known) })
    }
}

/// The secrets that `args` name.
fn given(args: &UnlockArgs) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let mut secrets = Vec::new();
    if let Some(path) = &args.luks_passphrase_file {
        let content = read(path, PASSPHRASE_FILE_BYTES_MAX)?;
        let line = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if line.is_empty() {
            let what = "the first line is empty, and should be a passphrase";
            return Err(Error::usage(what)).context(|| super::shown(path));
        }
        secrets.push(Zeroizing::new(line.to_vec()));
    }
    if let Some(path) = &args.luks_key_file {
        let content = read(path, KEY_FILE_BYTES_MAX)?;
        if content.is_empty() {
            return Err(Error::usage("the key file is empty")).context(|| super::shown(path));
        }
        secrets.push(content);
    }
    Ok(secrets)
}

impl Passphrases for Keyring<'_> {
    fn secret(&self, volume: &str, attempt: usize) -> Result<Option<Rc<Secret>>> {
        // What opened one volume is tried on the next before anybody is asked again.
        let known = self.known.borrow().get(attempt).cloned();
        if known.is_some() || !self.asks || attempt >= QUESTIONS_MAX {
            return Ok(known);
        }
        let question = format!("Passphrase for {volume}, or nothing to leave it locked: ");
        let line = passphrase::ask_once(self.ui, &question)?;
        if line.is_empty() {
            return Ok(None);
        }
        let secret = Rc::new(Secret::new(line));
        self.known.borrow_mut().push(secret.clone());
        Ok(Some(secret))
    }
}

/// The content of a file, or of standard input for `-`, in memory that is overwritten when it is dropped.
fn read(path: &Path, limit_bytes: u64) -> Result<Zeroizing<Vec<u8>>> {
    let content = if path == Path::new("-") {
        read_all(&mut std::io::stdin().lock(), limit_bytes, limit_bytes)
    } else {
        File::open(path).map_err(Error::from).and_then(|mut file| {
            let size_bytes = file.metadata()?.len();
            read_all(&mut file, size_bytes, limit_bytes)
        })
    };
    content.context(|| super::shown(path))
}

fn read_all(
    source: &mut dyn Read,
    size_bytes: u64,
    limit_bytes: u64,
) -> Result<Zeroizing<Vec<u8>>> {
    // With room for everything from the start, because what is moved stays behind in memory.
    let capacity = size_bytes.min(limit_bytes).saturating_add(64);
    let mut content = Zeroizing::new(Vec::with_capacity(crate::bytes::arith::to(capacity)?));
    source.take(limit_bytes.saturating_add(1)).read_to_end(&mut content)?;
    let actual = crate::bytes::arith::len_u64(content.len());
    if actual > limit_bytes {
        return Err(Error::limit("size of the secret in bytes", limit_bytes, actual));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_passphrase_is_a_line_and_a_key_file_is_everything() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = directory.path().join(name);
            std::fs::File::create_new(&path).unwrap().write_all(content).unwrap();
            Some(path)
        };
        let args =
            |passphrase, key| UnlockArgs { luks_passphrase_file: passphrase, luks_key_file: key };
        let both = args(file("p", b"two words \r\nmore\n"), file("k", b"\x00key\n"));
        let bytes = |args: &UnlockArgs| -> Vec<Vec<u8>> {
            given(args).unwrap().iter().map(|secret| secret.to_vec()).collect()
        };
        assert_eq!(bytes(&both), [b"two words \r".to_vec(), b"\x00key\n".to_vec()]);
        assert_eq!(bytes(&args(file("n", b"none"), None)), [b"none"]);
        assert!(bytes(&args(None, None)).is_empty());
        let long = vec![b'a'; 64 * 1024 + 1];
        for (args, kind) in [
            (args(file("e", b"\nsecond\n"), None), "usage"),
            (args(None, file("z", b"")), "usage"),
            (args(file("l", &long), None), "limit"),
            (args(None, Some(directory.path().join("missing"))), "io"),
        ] {
            assert_eq!(given(&args).unwrap_err().kind_name(), kind);
        }
    }
}
