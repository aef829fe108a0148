//! The kernel command line that the guest boots with, from the files of its boot loader (VOL-18).
//!
//! In the order of trust: the default entry of `/boot/loader/entries` (Boot Loader Specification, with the
//! variables of GRUB's environment block), the default entry of `grub.cfg` or of the `menu.lst` of old GRUB,
//! then what only makes such entries: `/etc/kernel/cmdline`, `/etc/default/grub`. Nothing is run: of GRUB's
//! script only `set`, entries and their kernel lines are understood. Not handled: files on the EFI system
//! partition, unified kernel images, systemd-boot's `loader.conf`, extlinux, one-time changes at the console.

mod entries;
mod grub_script;
mod made;
mod words;

use super::fstab;
use super::text::{TEXT_BYTES_MAX, required};
use crate::bytes::text::escape_limited;
use crate::fs::FileSystem;
use crate::fs::path::GuestPath;
use words::{parameter, split};

/// Bound on a command line, in bytes; kernels take 2048 or 4096.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Bound on other command lines that are kept.
const ALTERNATIVES_MAX: usize = 64;

/// The words of one command line.
pub type Words = Vec<Vec<u8>>;

/// A kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelCommandLine {
    /// Its words. A word with spaces keeps its quotes.
    pub words: Words,
    /// The file it is from, escaped, as in `/boot/grub/grub.cfg`; empty if none was found.
    pub source: String,
    /// True if it is what the boot loader starts by default. False if the files of the boot loader are not
    /// on this volume, so that it is only what new entries would be made with.
    pub is_certain: bool,
    /// Other lines that may be booted in its place: of the same entry, or of others if no default is saved.
    pub alternatives: Vec<Words>,
}

impl KernelCommandLine {
    /// Reads it. What cannot be read counts as not there, and the result is not certain.
    pub fn read(fs: &dyn FileSystem) -> Self {
        let found = if boot_is_elsewhere(fs) { None } else { booted(fs) };
        let found = found.or_else(|| made::read(fs)).unwrap_or_else(|| Self {
            words: Words::new(),
            source: String::new(),
            is_certain: false,
            alternatives: Vec::new(),
        });
        found.bounded()
    }

    /// The value of the last word `name=value`, in which `-` and `_` are the same, as for the kernel.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        value_in(&self.words, name)
    }

    /// True if `word` is one of the words, as written.
    pub fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word.as_bytes())
    }

    /// True if `name` has this value, or none, whatever of the visible lines is booted.
    pub fn is_certain_of(&self, name: &str) -> bool {
        let expected = self.value(name);
        self.is_certain && self.alternatives.iter().all(|words| value_in(words, name) == expected)
    }

    fn bounded(mut self) -> Self {
        let len =
            |words: &Words| words.iter().fold(0usize, |sum, word| sum.saturating_add(word.len()));
        if len(&self.words) > LINE_BYTES_MAX {
            self.words.clear();
            self.is_certain = false;
        }
        let count = self.alternatives.len();
        self.alternatives.retain(|words| len(words) <= LINE_BYTES_MAX);
        self.is_certain &= self.alternatives.len() == count && count <= ALTERNATIVES_MAX;
        self.alternatives.truncate(ALTERNATIVES_MAX);
        self
    }
}

fn value_in<'a>(words: &'a Words, name: &str) -> Option<&'a [u8]> {
    words.iter().rev().find_map(|word| parameter(word, name))
}

/// What the boot loader starts, if its files are here.
fn booted(fs: &dyn FileSystem) -> Option<KernelCommandLine> {
    let grub = grub_script::Grub::read(fs);
    match &grub {
        Some(grub) if !grub.uses_loader_entries => grub.command_line(),
        _ => entries::command_line(fs, grub.as_ref()).or_else(|| grub?.command_line()),
    }
}

/// True if `/boot` is another file system that is not part of the tree, so that what is seen there is not what
/// boots.
fn boot_is_elsewhere(fs: &dyn FileSystem) -> bool {
    let Ok(mounts) = fstab::read(fs) else { return true };
    let boot = GuestPath::new("/boot");
    fstab::mount_of(&mounts, &boot)
        .is_some_and(|mount| mount.target == boot && fstab::is_in_tree(fs, mount).is_err())
}

/// The content of a file that may be missing or unreadable.
fn content(fs: &dyn FileSystem, path: &str) -> Option<Vec<u8>> {
    required(fs, path, TEXT_BYTES_MAX).ok().flatten()
}

/// A path for people.
fn shown(path: &[u8]) -> String {
    escape_limited(path, 256)
}

#[cfg(test)]
mod tests;
