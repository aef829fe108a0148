//! Random damage: every image of `fixtures/fuzz` with a few bytes changed, read and edited by the library.
//!
//! Never a panic, never an endless read; and an edit makes nothing worse: where e2fsck found nothing before, it
//! finds nothing after. `REGAIN_DAMAGE_ROUNDS=N` asks for more than the usual number of images,
//! `REGAIN_DAMAGE_SEED=N` for others, and `REGAIN_DAMAGE_KEEP=DIRECTORY` keeps what was edited although e2fsck
//! complains. The fuzz targets (`fuzz/README.md`) look further.

use crate::support::attempt::{self, CLOCK, EXT};
use crate::support::oracle::{self, Verdict};
use crate::support::rng::Rng;
use crate::support::scratch::Scratch;
use regain::disk::DiskEdit;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::fs::ext::Ext;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const IMAGES: [&str; 7] = ["ext4", "ext2", "inline", "journal", "dirty", "plain", "plain-inline"];
/// Rounds without `REGAIN_DAMAGE_ROUNDS`.
const ROUNDS: u64 = 600;

fn fixtures(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(below)
}

fn unpack(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).unwrap();
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn number_of(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Changes one to four places that hold something.
fn damage(bytes: &mut [u8], rng: &mut Rng) {
    let is_used = |block: &[u8]| block.iter().any(|byte| !matches!(byte, 0 | b'x'));
    let blocks: Vec<usize> = (0..bytes.len() / 1024)
        .filter(|block| is_used(&bytes[block * 1024..(block + 1) * 1024]))
        .collect();
    for _ in 0..=rng.below(4) {
        let block = blocks[rng.index(blocks.len())] * 1024;
        let used: Vec<usize> = (block..block + 1024).filter(|&at| bytes[at] != 0).collect();
        // Three of four changes hit a byte that means something.
        let is_anywhere = rng.below(4) == 0 || used.is_empty();
        let at = if is_anywhere { block + rng.index(1024) } else { used[rng.index(used.len())] };
        bytes[at] = match rng.below(4) {
            0 => 0,
            1 => bytes[at].wrapping_add(1),
            2 => bytes[at] ^ (1 << rng.below(8)),
            _ => rng.next() as u8,
        };
    }
}

/// What became of one image.
enum Outcome {
    Refused,
    Edited(Vec<u8>),
}

/// Reads and edits a damaged image.
fn try_image(bytes: &[u8]) -> Outcome {
    let overlay = || Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes.to_vec()))));
    let Ok(fs) = Ext::open(overlay(), CLOCK) else { return Outcome::Refused };
    attempt::walk(&fs, &EXT);
    let disk: Arc<Overlay> = overlay();
    let Ok(mut fs) = Ext::open(disk.clone() as Arc<dyn DiskEdit>, CLOCK) else {
        return Outcome::Refused;
    };
    if attempt::edit(&mut fs, &EXT).is_err() {
        return Outcome::Refused;
    }
    let mut after = bytes.to_vec();
    for change in disk.changes().unwrap() {
        let at = change.offset_bytes as usize;
        after[at..at + change.after.len()].copy_from_slice(&change.after);
    }
    Outcome::Edited(after)
}

fn check(scratch: &Scratch, bytes: &[u8]) -> Verdict {
    let path = scratch.join("image");
    std::fs::write(&path, bytes).unwrap();
    oracle::check(&path, 0)
}

/// The complaints without their numbers, for counting and comparing.
fn kinds_of(verdict: &Verdict) -> BTreeSet<String> {
    let lines = match verdict {
        Verdict::Clean => &[][..],
        Verdict::Findings(lines) => lines,
        Verdict::NotAVerdict(text) => std::slice::from_ref(text),
    };
    let kind = |line: &String| {
        let kept: String = line.chars().filter(|c| !c.is_ascii_digit()).take(70).collect();
        kept.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    lines.iter().map(kind).filter(|kind| !kind.is_empty()).collect()
}

/// What came of all rounds.
#[derive(Default)]
struct Tally {
    refused: u32,
    clean: u32,
    /// First complaint before the edit, and the rounds.
    unclean: BTreeMap<String, Vec<u64>>,
    /// New complaints after the edit of a volume that had others, and the rounds.
    more: BTreeMap<String, Vec<u64>>,
    worse: Vec<String>,
}

impl Tally {
    fn add(&mut self, round: u64, name: &str, before: &Verdict, after: &Verdict) {
        if *before == Verdict::Clean {
            self.clean += 1;
            if *after != Verdict::Clean {
                self.worse.push(format!("round {round} on {name}: {after:?}"));
            }
            return;
        }
        let (before, after) = (kinds_of(before), kinds_of(after));
        let first = before.first().map_or("", String::as_str);
        self.unclean.entry(format!("{name}: {first}")).or_default().push(round);
        for kind in after.difference(&before) {
            self.more.entry(kind.clone()).or_default().push(round);
        }
    }

    fn print(&self) {
        let unclean: usize = self.unclean.values().map(Vec::len).sum();
        println!("{} refused, {} edited and clean before", self.refused, self.clean);
        println!("{unclean} edited although e2fsck complains:");
        for (title, kinds) in [("before", &self.unclean), ("new after", &self.more)] {
            for (kind, rounds) in kinds {
                println!("{:5} {title}: {kind} (as in round {})", rounds.len(), rounds[0]);
            }
        }
    }
}

#[test]
fn random_damage_is_refused_or_made_no_worse() {
    let images = IMAGES.map(|name| unpack(&fixtures("fuzz").join(format!("{name}.zst"))));
    let scratch = Scratch::new();
    let mut tally = Tally::default();
    let seed = number_of("REGAIN_DAMAGE_SEED", 1);
    let kept = std::env::var_os("REGAIN_DAMAGE_KEEP").map(PathBuf::from);
    for round in 0..number_of("REGAIN_DAMAGE_ROUNDS", ROUNDS) {
        let mut rng = Rng::new(seed << 32 | round);
        let name = IMAGES[round as usize % IMAGES.len()];
        let mut bytes = images[round as usize % IMAGES.len()].clone();
        damage(&mut bytes, &mut rng);
        match try_image(&bytes) {
            Outcome::Refused => tally.refused += 1,
            Outcome::Edited(after) => {
                let verdicts = (check(&scratch, &bytes), check(&scratch, &after));
                tally.add(round, name, &verdicts.0, &verdicts.1);
                if let Some(kept) = kept.as_ref().filter(|_| verdicts.0 != Verdict::Clean) {
                    std::fs::write(kept.join(format!("{round}-before")), &bytes).unwrap();
                    std::fs::write(kept.join(format!("{round}-after")), &after).unwrap();
                }
            }
        }
    }
    tally.print();
    assert!(tally.worse.is_empty(), "seed {seed}: {:#?}", tally.worse);
}

/// The volumes of `fixtures/broken`, and what is said about each.
const BROKEN: [(&str, &str); 13] = [
    ("ext-block-bitmap-padding", "padding of the block bitmap of group 0"),
    ("ext-block-in-a-bitmap", "holds metadata and content at once"),
    ("ext-block-twice", "is twice in inode 20"),
    ("ext-blocks-counted-wrong", "inode 20 has 2 sectors, but counts 20"),
    ("ext-directories-counted-wrong", "counts directories 160 of 142"),
    ("ext-directory-links", "inode 12 has 3 links, but counts 9"),
    ("ext-directory-too-short", "a directory of 7 blocks and 1024 bytes"),
    ("ext-extent-in-free-space", "is in use and free at once"),
    ("ext-extent-in-the-inode-table", "holds metadata and content at once"),
    ("ext-inline-directory-size", "a directory of 0 blocks and 12 bytes"),
    ("ext-inline-without-feature", "inode 20 has lost its inline content"),
    ("ext-inode-bitmap-padding", "padding of the inode bitmap of group 0"),
    ("ext-inode-free", "inode 20 has a name, but is free"),
];

/// Rule of the preflight: what an edit touches is checked, also where no checksum tells.
#[test]
fn broken_volumes_are_refused() {
    for (name, reason) in BROKEN {
        let bytes = unpack(&fixtures("broken").join(format!("{name}.zst")));
        let disk: Arc<dyn DiskEdit> = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(bytes))));
        let error =
            Ext::open(disk, CLOCK).and_then(|mut fs| attempt::edit(&mut fs, &EXT)).unwrap_err();
        assert!(error.to_string().contains(reason), "{name}: {error}");
    }
    let files = std::fs::read_dir(fixtures("broken")).unwrap().map(|file| file.unwrap().path());
    let volumes = files.filter(|path| path.extension().is_some_and(|kind| kind == "zst"));
    assert_eq!(volumes.count(), BROKEN.len());
}
