//! What new boot entries would be made with. It need not be what the present ones have.

use super::words::{Variables, commands};
use super::{KernelCommandLine, content, split};
use crate::fs::FileSystem;
use crate::guest::linux::text::lines;

/// `/etc/kernel/cmdline`, else `/etc/default/grub`.
pub(super) fn read(fs: &dyn FileSystem) -> Option<KernelCommandLine> {
    for path in ["/etc/kernel/cmdline", "/usr/lib/kernel/cmdline", "/etc/default/grub"] {
        let Some(content) = content(fs, path) else { continue };
        let words = if path.ends_with("grub") { default_grub(&content) } else { split(&content) };
        return Some(KernelCommandLine {
            words,
            source: path.to_owned(),
            is_certain: false,
            alternatives: Vec::new(),
        });
    }
    None
}

/// The words that `/etc/default/grub` gives to every normal entry.
pub(super) fn default_grub(content: &[u8]) -> Vec<Vec<u8>> {
    let mut variables = Variables::new();
    for line in lines(content) {
        for command in commands(line, &variables) {
            let first = command.words.first().filter(|word| word.as_slice() != b"export");
            let assignment = first.or_else(|| command.words.get(1));
            let Some(assignment) = assignment else { continue };
            let Some(equals) = assignment.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = assignment.split_at(equals);
            let value = value.strip_prefix(b"=").unwrap_or_default();
            if name.starts_with(b"GRUB_CMDLINE_LINUX") {
                variables.insert(name.to_vec(), value.to_vec());
            }
        }
    }
    let mut words = Vec::new();
    for name in ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"] {
        words.extend(variables.get(name.as_bytes()).map(|line| split(line)).unwrap_or_default());
    }
    words
}
