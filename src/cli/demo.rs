//! `regain demo`: the whole story on a built-in root disk, every step as the command that a user would type.
//!
//! The disk is made by `fixtures/demo/generate.sh`. Nothing but this program runs, and nothing is written
//! outside the directory of the demo.

use super::args::{Cli, Demo as Args};
use super::hints::shell_word;
use super::host_file;
use super::human::{add, styled};
use super::output::{Outcome, Styles, Ui};
use crate::bytes::checksum::sha256;
use crate::error::{Context as _, Corrupt, Error, Result};
use crate::report::Target;
use clap::Parser as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

const COMPRESSED: &[u8] = include_bytes!("../../fixtures/demo/root.img.zst");
const INDEX: &str = include_str!("../../fixtures/demo/INDEX");

/// Bound on the unpacked disk in bytes.
const DISK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Zeros of this many bytes are left out of the file.
const HOLE_BYTES: usize = 4096;

/// How much of the disk is hashed at once, in bytes.
const HASHED_BYTES: usize = 256 * 1024;

/// What the demo did.
#[derive(Debug, Serialize)]
struct Story {
    directory: String,
    steps: Vec<Step>,
    sha256_before: String,
    sha256_after: String,
    restored: bool,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Step {
    why: &'static str,
    command: String,
    exit_status: u8,
    output: String,
}

/// Runs the demo.
pub(crate) fn run(ui: &Ui, args: &Args) -> Outcome {
    let started = Instant::now();
    let directory = directory(args)?;
    let disk = directory.join("root.img");
    let content = unpack()?;
    let before = sha256(&content);
    store_sparse(&disk, &content)?;
    drop(content);
    let story = Telling { ui, directory: &directory };
    story.say(&format!(
        "A small root disk is in {}: GPT, ext4, Debian-like.\n\
         The private half of its only key is lost, so nobody can log in.\n",
        super::shown(&disk)
    ))?;
    let mut steps = Vec::new();
    for (why, words) in script(&directory) {
        steps.push(story.step(why, &words)?);
    }
    let after = digest_of(&disk).context(|| super::shown(&disk))?;
    let result = Story {
        directory: super::shown(&directory),
        steps,
        sha256_before: hex(&before),
        sha256_after: hex(&after),
        restored: before == after,
        seconds: started.elapsed().as_secs_f64(),
    };
    ui.finish("demo", &Target::default(), &result, || end(&result, ui.styles))?;
    if result.restored {
        return Ok(());
    }
    Err(Error::from(io::Error::other("the disk is not as it was before")).into())
}

fn directory(args: &Args) -> Result<PathBuf> {
    let Some(directory) = &args.directory else {
        return Ok(tempfile::Builder::new().prefix("regain-demo-").tempdir()?.keep());
    };
    std::fs::create_dir_all(directory).context(|| super::shown(directory))?;
    for name in ["root.img", "rescue_key", "rescue_key.pub", "undo.patch"] {
        host_file::check_absent(&directory.join(name))?;
    }
    Ok(directory.clone())
}

/// The built-in disk, checked against the index beside it.
fn unpack() -> Result<Vec<u8>> {
    let mut fields =
        INDEX.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let (size_bytes, digest) = (fields.nth(1), fields.next());
    let mut content = Vec::new();
    let decoder = ruzstd::decoding::StreamingDecoder::new(COMPRESSED).map_err(damaged)?;
    decoder.take(DISK_BYTES_MAX).read_to_end(&mut content)?;
    let is_whole = size_bytes.is_some_and(|size| size == content.len().to_string())
        && digest.is_some_and(|digest| digest == hex(&sha256(&content)));
    if is_whole { Ok(content) } else { Err(damaged("does not match its digest")) }
}

fn damaged(defect: impl fmt::Display) -> Error {
    Corrupt::new("built-in disk of the demo", defect.to_string()).into()
}

/// Writes a new file with holes where there are only zeros.
fn store_sparse(path: &Path, content: &[u8]) -> Result<()> {
    use std::os::unix::fs::FileExt as _;
    let store = || -> io::Result<()> {
        let file = File::create_new(path)?;
        file.set_len(crate::bytes::arith::len_u64(content.len()))?;
        let mut offset_bytes = 0u64;
        for block in content.chunks(HOLE_BYTES) {
            if block.iter().any(|&byte| byte != 0) {
                file.write_all_at(block, offset_bytes)?;
            }
            offset_bytes = offset_bytes.saturating_add(crate::bytes::arith::len_u64(block.len()));
        }
        Ok(())
    };
    store().context(|| super::shown(path))
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; HASHED_BYTES];
    loop {
        let len = file.read(&mut buffer)?;
        match buffer.get(..len) {
            Some([]) | None => return Ok(hash.finalize().into()),
            Some(bytes) => hash.update(bytes),
        }
    }
}

/// The commands, each with what it is for.
fn script(directory: &Path) -> Vec<(&'static str, Vec<String>)> {
    let path = |name: &str| super::shown(&directory.join(name));
    let (disk, key, undo) = (path("root.img"), path("rescue_key"), path("undo.patch"));
    let public = path("rescue_key.pub");
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    vec![
        ("What is on this disk, and who can log in?", words(&["inspect", &disk])),
        (
            "Let the default user in with a new key.",
            words(&["key", "add", &disk, "--generate-key", &key, "--undo-file", &undo, "--yes"]),
        ),
        ("Both keys are there.", words(&["key", "list", &disk])),
        (
            "A second time there is nothing to do.",
            words(&["key", "add", &disk, "--key", &public, "--yes"]),
        ),
        ("What exactly was changed?", words(&["show", &undo])),
        ("Take it back, to the last bit.", words(&["undo", &undo, &disk, "--yes"])),
    ]
}

/// Runs steps and shows them, unless the story becomes a JSON document.
struct Telling<'a> {
    ui: &'a Ui,
    directory: &'a Path,
}

impl Telling<'_> {
    fn say(&self, text: &str) -> Result<()> {
        if self.ui.is_json() { Ok(()) } else { self.ui.print(text) }
    }

    fn step(&self, why: &'static str, words: &[String]) -> Outcome<Step> {
        let shown: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        let command = format!("regain {}", shown.join(" "));
        let styles = self.ui.styles;
        self.say(&format!("\n# {why}\n{}\n", styled(styles.strong, format_args!("$ {command}"))))?;
        let output = Shared::default();
        let arguments = std::iter::once("regain").chain(words.iter().map(String::as_str));
        let parsed = Cli::try_parse_from(arguments);
        let parsed = parsed.map_err(|error| Error::usage(error.to_string()))?;
        let inner = Ui::within(Box::new(output.clone()), Box::new(output.clone()), styles);
        let exit_status = super::run_with(&inner, &parsed.command);
        let output = output.text();
        self.say(&output)?;
        if exit_status != 0 {
            let what = format!("{}: `{command}` failed: {output}", super::shown(self.directory));
            return Err(Error::from(io::Error::other(what)).into());
        }
        Ok(Step { why, command, exit_status, output })
    }
}

fn end(story: &Story, styles: Styles) -> String {
    let mut text = format!(
        "\n{} SHA-256 of the disk before and after: {}\n",
        styled(styles.good, "The disk is as it was."),
        story.sha256_after
    );
    add(
        &mut text,
        format_args!(
            "All of this took {:.1} s; everything is in {}.\n",
            story.seconds,
            shell_word(&story.directory)
        ),
    );
    text
}

/// Memory that several streams write to.
#[derive(Debug, Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        add(&mut text, format_args!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_disk_is_whole() {
        assert_eq!(unpack().unwrap().len(), 20 * 1024 * 1024);
    }
}
