//! `grub.cfg`, its environment block, and the `menu.lst` of old GRUB.

use super::words::{Variables, commands};
use super::{KernelCommandLine, Words, content};
use crate::fs::FileSystem;
use crate::guest::linux::text::{exists, lines};

/// Bound on the lines of a script that are looked at.
const LINES_MAX: usize = 20_000;
/// Bound on the kernel lines that are kept.
const KERNELS_MAX: usize = 256;
/// Bound on an environment block, in bytes; GRUB makes them of 1024.
const ENVIRONMENT_BYTES_MAX: usize = 4096;
/// Bound on the value of a variable of the script, in bytes.
const VALUE_BYTES_MAX: usize = 4096;
/// Bound on blocks within blocks.
const DEPTH_MAX: usize = 16;

/// What the configuration of GRUB says.
pub(super) struct Grub {
    /// Where it is.
    path: String,
    /// Variables of the environment block, then of the script.
    pub(super) variables: Variables,
    /// True if the script shows the entries of the Boot Loader Specification.
    pub(super) uses_loader_entries: bool,
    kernels: Vec<Kernel>,
    /// The entry to boot: numbers, titles or ids, with `>` between levels.
    default: Option<Vec<u8>>,
    /// True if nothing was left out, and no other file adds to it.
    is_complete: bool,
}

/// The kernel line of an entry.
struct Kernel {
    /// The blocks around it, from the top.
    place: Vec<Block>,
    words: Words,
}

/// An entry, a submenu, or another block.
#[derive(Clone)]
struct Block {
    /// Number among the entries of its level; `None` for other blocks.
    index: Option<usize>,
    title: Vec<u8>,
    id: Vec<u8>,
}

impl Grub {
    /// Reads it; `None` if there is none.
    pub(super) fn read(fs: &dyn FileSystem) -> Option<Self> {
        for directory in ["/boot/grub2", "/boot/grub"] {
            let path = format!("{directory}/grub.cfg");
            let Some(script) = content(fs, &path) else { continue };
            let block = content(fs, &format!("{directory}/grubenv"));
            let mut grub = Self::new(path);
            let block = block.filter(|block| block.len() <= ENVIRONMENT_BYTES_MAX);
            grub.variables = environment(&block.unwrap_or_default());
            grub.is_complete = !exists(fs, &format!("{directory}/custom.cfg"));
            grub.parse(&script);
            return Some(grub);
        }
        for path in ["/boot/grub/grub.conf", "/boot/grub/menu.lst"] {
            let Some(script) = content(fs, path) else { continue };
            let mut grub = Self::new(path.to_owned());
            grub.parse_old(&script);
            return Some(grub);
        }
        None
    }

    fn new(path: String) -> Self {
        Self {
            path,
            variables: Variables::new(),
            uses_loader_entries: false,
            kernels: Vec::new(),
            default: None,
            is_complete: true,
        }
    }

    /// The command line of the default entry; `None` if there are no entries.
    pub(super) fn command_line(&self) -> Option<KernelCommandLine> {
        let default = self.default.as_deref().filter(|default| !default.is_empty());
        let default = default.unwrap_or(b"0");
        let matching = |kernel: &&Kernel| is_at(&kernel.place, default);
        let mut of_entry = self.kernels.iter().filter(matching);
        let first = of_entry.next();
        let chosen = first.or_else(|| self.kernels.first())?;
        // The other lines of the same entry, which its script decides between; all if none is the default.
        let is_other = |kernel: &&Kernel| match first {
            Some(first) => same_entry(first, kernel),
            None => true,
        };
        let others = self.kernels.iter().filter(is_other).map(|kernel| &kernel.words);
        let alternatives = others.filter(|&words| *words != chosen.words).cloned().collect();
        Some(KernelCommandLine {
            words: chosen.words.clone(),
            source: self.path.clone(),
            is_certain: self.is_complete,
            alternatives,
        })
    }

    fn parse(&mut self, script: &[u8]) {
        let mut menu = Menu::default();
        let mut is_once = false;
        for (number, line) in lines(script).enumerate() {
            if number >= LINES_MAX {
                self.is_complete = false;
                return;
            }
            for command in commands(line, &self.variables) {
                let Some((name, arguments)) = command.words.split_first() else { continue };
                match name.as_slice() {
                    b"set" => is_once |= self.set(arguments, command.is_about_next_entry, is_once),
                    b"blscfg" => self.uses_loader_entries = true,
                    b"linux" | b"linux16" | b"linuxefi" => self.kernel(&menu.blocks, arguments),
                    _ => {}
                }
                self.is_complete &= menu.follow(name, arguments);
            }
        }
    }

    /// Does a `set`; true if it chose the entry for the next boot only.
    fn set(&mut self, arguments: &[Vec<u8>], is_about_next_entry: bool, is_once: bool) -> bool {
        let Some(argument) = arguments.first() else { return false };
        let Some(equals) = argument.iter().position(|&byte| byte == b'=') else { return false };
        let (name, value) = argument.split_at(equals);
        let value = value.strip_prefix(b"=").unwrap_or_default();
        match name {
            b"default" => {
                // The script asks whether there is an entry for one boot, which is not run here.
                let counts = !is_once && (!is_about_next_entry || !value.is_empty());
                if counts {
                    self.default = Some(value.to_vec());
                }
                counts && is_about_next_entry
            }
            // The script sets them if the environment block does not.
            b"kernelopts" | b"default_kernelopts" | b"tuned_params"
                if value.len() <= VALUE_BYTES_MAX =>
            {
                self.variables.entry(name.to_vec()).or_insert_with(|| value.to_vec());
                false
            }
            _ => false,
        }
    }

    fn kernel(&mut self, place: &[Block], arguments: &[Vec<u8>]) {
        let is_entry = place.iter().any(|block| block.index.is_some());
        if !is_entry {
            return;
        }
        if self.kernels.len() >= KERNELS_MAX {
            self.is_complete = false;
            return;
        }
        let words = arguments.iter().skip(1).cloned().collect();
        self.kernels.push(Kernel { place: place.to_vec(), words });
    }

    /// `menu.lst`: `default N`, then `title ...` and `kernel PATH WORDS` of each entry.
    fn parse_old(&mut self, script: &[u8]) {
        let mut place: Vec<Block> = Vec::new();
        let mut next = 0usize;
        for line in lines(script).take(LINES_MAX) {
            let line = line.trim_ascii();
            let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'=';
            let end = line.iter().position(is_end).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            let rest = rest.strip_prefix(b"=").unwrap_or(rest).trim_ascii();
            match name {
                b"default" => self.default = Some(rest.to_vec()),
                b"title" => {
                    let block = Block { index: Some(next), title: rest.to_vec(), id: Vec::new() };
                    place = vec![block];
                    next = next.saturating_add(1);
                }
                b"kernel" => {
                    let words: Vec<Vec<u8>> = super::split(rest);
                    // Options of the command itself.
                    let is_option = |word: &&Vec<u8>| word.starts_with(b"--");
                    let options = words.iter().take_while(is_option).count();
                    self.kernel(&place, words.get(options..).unwrap_or_default());
                }
                _ => {}
            }
        }
    }
}

/// The blocks that are open.
#[derive(Default)]
struct Menu {
    blocks: Vec<Block>,
    /// The number of the next entry on each level.
    next: Vec<usize>,
}

impl Menu {
    /// Enters or leaves a block; false if it is too deep.
    fn follow(&mut self, name: &[u8], arguments: &[Vec<u8>]) -> bool {
        if name == b"}" {
            self.blocks.pop();
            return true;
        }
        if arguments.last().is_none_or(|last| last != b"{") {
            return true;
        }
        if self.blocks.len() >= DEPTH_MAX {
            return false;
        }
        let depth = self.blocks.len();
        let is_entry = matches!(name, b"menuentry" | b"submenu");
        let index = is_entry.then(|| {
            self.next.resize(depth.saturating_add(1), 0);
            let next = self.next.get_mut(depth)?;
            let index = *next;
            *next = next.saturating_add(1);
            Some(index)
        });
        let title = arguments.first().cloned().unwrap_or_default();
        self.blocks.push(Block { index: index.flatten(), title, id: id(arguments) });
        true
    }
}

/// The id of an entry: the word after `--id`, or after the variable that stands for it, which is the word
/// before the brace when the variable is empty.
fn id(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mark = arguments.iter().position(|word| word == b"--id");
    let index = match mark {
        Some(mark) => mark.checked_add(1),
        None => arguments.len().checked_sub(2).filter(|&index| index > 0),
    };
    index.and_then(|index| arguments.get(index)).cloned().unwrap_or_default()
}

/// True if `default` names the entry at `place`, or a menu around it in which it is the first.
fn is_at(place: &[Block], default: &[u8]) -> bool {
    let mut levels = default.split(|&byte| byte == b'>');
    place.iter().filter_map(|block| Some((block, block.index?))).all(|(block, index)| match levels
        .next()
    {
        None => index == 0,
        Some(name) => {
            name == index.to_string().as_bytes() || name == block.title || name == block.id
        }
    }) && levels.next().is_none()
}

fn same_entry(a: &Kernel, b: &Kernel) -> bool {
    a.place.iter().map(|block| block.index).eq(b.place.iter().map(|block| block.index))
}

/// The variables of an environment block: `name=value` lines after a comment, `\` before a special byte.
fn environment(block: &[u8]) -> Variables {
    let mut variables = Variables::new();
    for line in lines(block).filter(|line| !line.starts_with(b"#")) {
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = line.split_at(equals);
        let mut bytes = value.iter().skip(1);
        let mut plain = Vec::with_capacity(value.len());
        while let Some(&byte) = bytes.next() {
            plain.extend(if byte == b'\\' { bytes.next() } else { Some(&byte) });
        }
        variables.insert(name.to_vec(), plain);
    }
    variables
}
