//! Public keys given on the command line, and new key pairs.

use super::args::{KeyArgs, KeyFormat, KeyType};
use super::host_file::{self, Fresh};
use super::output::{Failure, Outcome, Ui};
use super::passphrase;
use crate::error::Result;
use crate::image::Image;
use crate::login::key_input;
use crate::login::key_pair::{KeyPair, PairFormat, PairType};
use crate::login::public_key::PublicKey;
use crate::report::change::GeneratedKey;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Reads every key of every file, each key once, and prints what is worth a warning.
pub(super) fn read_public_keys(ui: &Ui, paths: &[PathBuf]) -> Outcome<Vec<PublicKey>> {
    let mut keys: Vec<PublicKey> = Vec::new();
    for path in paths {
        let limit = key_input::INPUT_BYTES_MAX;
        let content = host_file::read_small(path, "the key file", limit)?;
        let input = key_input::parse(&source_name(path), &content)?;
        for finding in &input.findings {
            ui.warn(&format!("{}: {}", finding.subject, finding.message));
        }
        for key in input.keys {
            if !keys.iter().any(|known| known.blob() == key.blob()) {
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

/// The wire form of every key of every file, each once; also of keys that no sshd takes.
pub(super) fn read_key_names(ui: &Ui, paths: &[PathBuf]) -> Outcome<Vec<Vec<u8>>> {
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        let limit = key_input::INPUT_BYTES_MAX;
        let content = host_file::read_small(path, "the key file", limit)?;
        let (named, findings) = key_input::parse_names(&source_name(path), &content)?;
        for finding in &findings {
            ui.warn(&format!("{}: {}", finding.subject, finding.message));
        }
        blobs.extend(named.into_iter().filter(|blob| !blobs.contains(blob)).collect::<Vec<_>>());
    }
    Ok(blobs)
}

fn source_name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { super::shown(path) }
}

/// A key pair that is not stored yet, and how it will be.
pub(super) struct NewKey {
    pair: KeyPair,
    format: PairFormat,
    passphrase: Option<Zeroizing<Vec<u8>>>,
    path: PathBuf,
    /// Its public half.
    pub(super) public: PublicKey,
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Refuses names for a new key pair that are taken.
pub(super) fn check_names(args: &KeyArgs) -> Outcome {
    let Some(path) = &args.generate_key else { return Ok(()) };
    let public = public_path(path);
    let checked = host_file::check_absent(path).and_then(|()| host_file::check_absent(&public));
    checked.map_err(|error| {
        let failure = Failure::from(error);
        if !(path.is_file() && public.is_file()) {
            return Box::new(failure);
        }
        let public = super::hints::shell_word(&super::shown(&public));
        Box::new(failure.hint(format!("choose another name, or add that pair with --key {public}")))
    })
}

/// Makes the key pair of `--generate-key`; nothing is written yet.
pub(super) fn generate(ui: &Ui, args: &KeyArgs) -> Outcome<Option<NewKey>> {
    let Some(path) = &args.generate_key else { return Ok(None) };
    let pair_type = match args.key_type {
        KeyType::Ed25519 => PairType::Ed25519,
        KeyType::Rsa => PairType::Rsa,
    };
    let format = match args.key_format {
        KeyFormat::Openssh => PairFormat::OpenSsh,
        KeyFormat::Pem => PairFormat::Pem,
        KeyFormat::Ppk => PairFormat::Ppk,
    };
    let passphrase = match &args.passphrase_file {
        Some(path) => Some(passphrase::read(path)?),
        None if args.passphrase_prompt => Some(passphrase::ask(ui)?),
        None => None,
    };
    let pair = KeyPair::generate(pair_type, "regain")?;
    let public = pair.public().clone();
    Ok(Some(NewKey { pair, format, passphrase, path: path.clone(), public }))
}

impl NewKey {
    /// Where the private half goes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses to put the key on the target itself.
    pub(super) fn check_apart(&self, image: &Image) -> Outcome {
        host_file::check_apart(&self.path, image)
    }

    /// Writes both halves, the private one for its owner only; `fresh` removes them if they are not needed.
    pub(super) fn store(&self, fresh: &mut Fresh) -> Result<GeneratedKey> {
        let passphrase = self.passphrase.as_ref().map(|passphrase| passphrase.as_slice());
        let text = self.pair.encode(self.format, passphrase)?;
        let line = openssh_line(&self.public);
        fresh.create(&self.path, text.as_bytes(), 0o600)?;
        fresh.create(&public_path(&self.path), format!("{line}\n").as_bytes(), 0o644)?;
        Ok(GeneratedKey {
            path: super::shown(&self.path),
            key_type: self.public.key_type().to_owned(),
            fingerprint: self.public.fingerprint(),
            public_key: line,
        })
    }
}

/// `path` with `.pub` behind it.
fn public_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".pub");
    name.into()
}

/// The key as a line of an authorized_keys file, without its end.
pub(super) fn openssh_line(key: &PublicKey) -> String {
    String::from_utf8_lossy(&key.to_line(None)).trim_end().to_owned()
}
