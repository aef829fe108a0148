//! The collection of broken volumes in `fixtures/broken`: every defect is refused, and nothing is written.

use crate::support::image::ImageBuilder;
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{oracle, root, sparse, structures, tree};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const TABLE: &str = include_str!("../../fixtures/broken/mutations.tsv");
const HOME: &str = "/home/admin";
const BLOCK_BYTES: u64 = 1024;

/// One line of the table.
#[derive(Debug)]
struct Mutation<'a> {
    name: &'a str,
    place: &'a str,
    offset: u64,
    bytes: Vec<u8>,
}

fn mutations() -> Vec<Mutation<'static>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, place, offset, bytes, _] = columns.as_slice() else { panic!("{line}") };
        let offset = u64::from_str_radix(offset.trim_start_matches("0x"), 16).unwrap();
        let byte = |at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap();
        let bytes = (0..bytes.len()).step_by(2).map(byte).collect();
        Mutation { name, place, offset, bytes }
    };
    lines.map(parse).collect()
}

/// An indexed, labelled home with an empty `.ssh`, or with a key file.
fn good(scratch: &Scratch, features: &str, has_key_file: bool) -> std::path::PathBuf {
    let mut nodes = if has_key_file { root::with_key() } else { root::bare() };
    root::crowd(&mut nodes, HOME, 60, 50);
    let label = b"unconfined_u:object_r:user_home_dir_t:s0\0".to_vec();
    let home = nodes.0.get_mut(HOME).unwrap();
    home.xattrs.push(("security.selinux".to_owned(), label));
    let builder = ImageBuilder::new("ext4", 8).arguments("-b 1024").features(features);
    builder.nodes(nodes).rehashed().build_in(scratch, "disk.img")
}

/// Where the bytes of a mutation go.
fn position(image: &Path, mutation: &Mutation<'_>) -> u64 {
    let target = oracle::at(image, 0);
    let words: Vec<&str> = mutation.place.split(' ').collect();
    let blocks = || -> Vec<u64> {
        let answer = tree::debugfs(&target, &[format!("blocks {HOME}")]);
        answer[0].split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    let start = match words.as_slice() {
        ["inode", "KEY"] => structures::inode_offset(image, 0, number(&target, root::KEY_FILE)),
        ["inode", "HOME"] => structures::inode_offset(image, 0, number(&target, HOME)),
        ["block", index, "of", "HOME"] => blocks()[index.parse::<usize>().unwrap()] * BLOCK_BYTES,
        ["entry", name, "of", "HOME"] => {
            let bytes = std::fs::read(image).unwrap();
            let record = [&[name.len() as u8, 2], name.as_bytes()].concat();
            let in_block = |block: &u64| {
                let start = (block * BLOCK_BYTES) as usize;
                let block = &bytes[start..start + BLOCK_BYTES as usize];
                let at = block.windows(record.len()).position(|window| window == record)?;
                // The name length follows the inode number and the record length.
                Some((start + at - 6) as u64)
            };
            blocks().iter().find_map(in_block).unwrap()
        }
        _ => panic!("{mutation:?}"),
    };
    start + mutation.offset
}

fn number(target: &str, path: &str) -> u64 {
    let answer = tree::debugfs(target, &[format!("stat {path}")]);
    answer[0].split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn every_defect_is_refused() {
    let mut accepted = Vec::new();
    for features in ["^metadata_csum", "metadata_csum"] {
        for has_key_file in [true, false] {
            let scratch = Scratch::new();
            let image = good(&scratch, features, has_key_file);
            let bytes = std::fs::read(&image).unwrap();
            let key = scratch.join("new.pub");
            std::fs::write(&key, root::NEW_KEY).unwrap();
            for mutation in mutations() {
                let needs_key_file =
                    mutation.place.contains("KEY") || mutation.place.contains(".ssh");
                if needs_key_file != has_key_file {
                    continue;
                }
                let file = std::fs::File::options().write(true).open(&image).unwrap();
                file.write_all_at(&bytes, 0).unwrap();
                file.write_all_at(&mutation.bytes, position(&image, &mutation)).unwrap();
                let before = sparse::digest(&image);
                let regain = Regain::new(scratch.path());
                let run = regain.key_add(&image, root::USER, &key, &[]);
                if run.status == 0 {
                    accepted.push(format!("{} with {features}", mutation.name));
                    continue;
                }
                run.failure(&[4, 5]);
                assert_eq!(sparse::digest(&image), before, "{}", mutation.name);
            }
        }
    }
    assert!(accepted.is_empty(), "edited although broken: {accepted:#?}");
}

#[test]
fn every_defect_is_one() {
    for features in ["^metadata_csum", "metadata_csum"] {
        for has_key_file in [true, false] {
            let scratch = Scratch::new();
            let image = good(&scratch, features, has_key_file);
            let bytes = std::fs::read(&image).unwrap();
            for mutation in mutations() {
                let needs_key_file =
                    mutation.place.contains("KEY") || mutation.place.contains(".ssh");
                if needs_key_file == has_key_file {
                    std::fs::write(&image, &bytes).unwrap();
                    let file = std::fs::File::options().write(true).open(&image).unwrap();
                    file.write_all_at(&mutation.bytes, position(&image, &mutation)).unwrap();
                    let verdict = oracle::check(&image, 0);
                    assert_ne!(verdict, oracle::Verdict::Clean, "{}", mutation.name);
                }
            }
        }
    }
}
