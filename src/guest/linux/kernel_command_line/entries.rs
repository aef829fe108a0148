//! Entries of the Boot Loader Specification, as Fedora's GRUB reads them.

use super::grub_script::Grub;
use super::made::default_grub;
use super::words::{Variables, expanded};
use super::{KernelCommandLine, Words, content, shown};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find, read_file};
use crate::guest::linux::text::{lines, sorted_names};
use std::cmp::Ordering;

/// Where the entries are.
const DIRECTORY: &str = "/boot/loader/entries";
/// Bound on the entries that are read; a system has one for each kernel.
const ENTRIES_MAX: usize = 64;
/// Bound on one entry, in bytes.
const ENTRY_BYTES_MAX: u64 = 16 * 1024;

/// One entry.
struct Entry {
    /// File name without `.conf`.
    id: Vec<u8>,
    title: Vec<u8>,
    /// Its `options`, joined; `None` if it has none.
    options: Option<Vec<u8>>,
}

/// The command line of the default entry; `None` if there are no entries.
pub(super) fn command_line(fs: &dyn FileSystem, grub: Option<&Grub>) -> Option<KernelCommandLine> {
    let (entries, is_complete) = read(fs)?;
    let mut variables = grub.map(|grub| grub.variables.clone()).unwrap_or_default();
    // GRUB has these from its environment block or its script. Without both they are a guess.
    let needed: Vec<&[u8]> = [b"kernelopts".as_slice(), b"default_kernelopts"]
        .into_iter()
        .filter(|&name| entries.iter().any(|entry| entry.needs(name)))
        .collect();
    let is_guessed = needed.iter().any(|&name| !variables.contains_key(name));
    if is_guessed {
        let made = content(fs, "/etc/default/grub").unwrap_or_default();
        let made = default_grub(&made).join(b" ".as_slice());
        for name in needed {
            variables.entry(name.to_vec()).or_insert_with(|| made.clone());
        }
    }
    let saved = variables.get(b"saved_entry".as_slice()).filter(|saved| !saved.is_empty());
    let chosen = saved.and_then(|saved| position(&entries, saved));
    let index = chosen.unwrap_or(0);
    let all: Vec<Words> = entries.iter().map(|entry| entry.words(&variables)).collect();
    let mut alternatives = all.clone();
    if chosen.is_some() {
        alternatives.clear();
    } else if index < alternatives.len() {
        alternatives.remove(index);
    }
    let id = entries.get(index).map(|entry| shown(&entry.id))?;
    Some(KernelCommandLine {
        words: all.into_iter().nth(index)?,
        source: format!("{DIRECTORY}/{id}.conf"),
        is_certain: is_complete && !is_guessed,
        alternatives,
    })
}

/// The entries, those with the highest versions first, and whether these are all.
fn read(fs: &dyn FileSystem) -> Option<(Vec<Entry>, bool)> {
    let directory = find(fs, &GuestPath::new(DIRECTORY)).ok()??;
    let names = sorted_names(fs, directory.node).ok()?;
    let mut ids: Vec<&[u8]> = names.iter().filter_map(|name| name.strip_suffix(b".conf")).collect();
    ids.sort_by(|a, b| compare_versions(b, a));
    let mut entries = Vec::new();
    let mut is_complete = ids.len() <= ENTRIES_MAX;
    for id in ids.into_iter().take(ENTRIES_MAX) {
        let path = directory.real_path.join([id, b".conf"].concat());
        match read_file(fs, &path, ENTRY_BYTES_MAX) {
            Ok(Some(content)) => entries.push(Entry::parse(id, &content)),
            Ok(None) => {}
            Err(_) => is_complete = false,
        }
    }
    (!entries.is_empty()).then_some((entries, is_complete))
}

/// The entry that `saved` names: by its id, its title, or its place.
fn position(entries: &[Entry], saved: &[u8]) -> Option<usize> {
    let by_name = entries.iter().position(|entry| entry.id == saved || entry.title == saved);
    by_name.or_else(|| {
        let index: usize = std::str::from_utf8(saved).ok()?.parse().ok()?;
        (index < entries.len()).then_some(index)
    })
}

impl Entry {
    fn parse(id: &[u8], content: &[u8]) -> Self {
        let mut entry = Self { id: id.to_vec(), title: Vec::new(), options: None };
        for line in lines(content) {
            let line = line.trim_ascii();
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            let (key, value) = line.split_at(end);
            match key {
                b"title" => entry.title = value.trim_ascii().to_vec(),
                b"options" => {
                    let options = entry.options.get_or_insert_default();
                    options.push(b' ');
                    options.extend_from_slice(value.trim_ascii());
                }
                _ => {}
            }
        }
        entry
    }

    fn options(&self) -> &[u8] {
        // So does GRUB for an entry without options.
        self.options.as_deref().unwrap_or(b"$default_kernelopts")
    }

    fn needs(&self, variable: &[u8]) -> bool {
        let with_mark = [b"$", variable].concat();
        self.options().windows(with_mark.len()).any(|part| part == with_mark)
    }

    fn words(&self, variables: &Variables) -> Words {
        expanded(self.options(), variables)
    }
}

/// Compares names that hold versions: runs of digits by value, everything else by bytes.
fn compare_versions(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() || !b.is_empty() {
        let (run_a, rest_a) = run(a);
        let (run_b, rest_b) = run(b);
        let is_number = |run: &[u8]| run.first().is_some_and(u8::is_ascii_digit);
        let order = if is_number(run_a) && is_number(run_b) {
            let (run_a, run_b) = (without_zeros(run_a), without_zeros(run_b));
            run_a.len().cmp(&run_b.len()).then_with(|| run_a.cmp(run_b))
        } else {
            run_a.cmp(run_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// The leading digits of `text`, or what comes before the next digit.
fn run(text: &[u8]) -> (&[u8], &[u8]) {
    let is_digit = text.first().is_some_and(u8::is_ascii_digit);
    let end = text.iter().position(|byte| byte.is_ascii_digit() != is_digit);
    text.split_at(end.unwrap_or(text.len()))
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
    digits.get(start..).unwrap_or_default()
}
