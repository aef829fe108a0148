//! Attributes of ours before e2fsck and debugfs, and theirs before us.

#![expect(clippy::disallowed_methods, reason = "tests write their own images")]

use super::*;
use std::path::Path;
use std::process::Command;

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const UUID_BYTES: [u8; 16] = [
    0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
];
const BLOCK_BYTES: usize = 1024;
/// 128 bytes and an `i_extra_isize` of 32.
const FIXED_BYTES: usize = 160;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (package e2fsprogs): {error}"));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn debugfs(image: &Path, script: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let script = file.path().to_str().unwrap();
    run("debugfs", &["-w", "-f", script, image.to_str().unwrap()])
}

fn assert_clean(image: &Path) {
    let said = run("e2fsck", &["-fn", image.to_str().unwrap()]);
    let is_silent = !said.contains("? no") && !said.contains("WARNING");
    assert!(is_silent && said.contains("Pass 5"), "{said}");
}

/// An image with the file `f`, after `script`.
fn image(features: &str, script: &str) -> tempfile::TempPath {
    let image = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    let path = image.to_str().unwrap();
    let block_size = BLOCK_BYTES.to_string();
    let arguments = ["-q", "-F", "-t", "ext4", "-b", &block_size, "-O", features];
    let said = run("mke2fs", &[&arguments[..], &["-I", "256", "-U", UUID, path, "4M"]].concat());
    assert!(!said.contains("rror"), "{said}");
    debugfs(&image, &format!("write /dev/null f\n{script}"));
    image
}

/// Two numbers out of what `debugfs imap` says: block and offset of the inode.
fn inode_offset(image: &Path) -> usize {
    let said = debugfs(image, "imap f\n");
    let place = said.split("located at block ").nth(1).unwrap().trim();
    let (block, offset) = place.split_once(", offset 0x").unwrap();
    let offset = usize::from_str_radix(offset.lines().next().unwrap().trim(), 16).unwrap();
    block.parse::<usize>().unwrap() * BLOCK_BYTES + offset
}

/// The block that `i_file_acl` names.
fn block_number(image: &Path) -> usize {
    let said = debugfs(image, "stat f\n");
    said.split("File ACL: ").nth(1).unwrap().lines().next().unwrap().trim().parse().unwrap()
}

fn pairs(attributes: &[Attribute]) -> Vec<(String, Vec<u8>)> {
    let all = values(attributes, 0, &mut |_, _| panic!("no inodes here")).unwrap();
    all.into_iter().map(|x| (String::from_utf8(x.name).unwrap(), x.value)).collect()
}

#[test]
fn regions_pass_both_ways() {
    // Without checksums, because that of the inode is not made here.
    let script = "ea_set f user.one first\nea_set f security.selinux label\n";
    let image = image("^metadata_csum", script);
    let start = inode_offset(&image) + FIXED_BYTES;
    let mut bytes = std::fs::read(&image).unwrap();
    let region = &mut bytes[start..start + 256 - FIXED_BYTES];
    let mut all = parse_region(region).unwrap();
    let mut found = pairs(&all);
    found.sort();
    assert_eq!(
        found,
        [
            ("security.selinux".to_owned(), b"label".to_vec()),
            ("user.one".to_owned(), b"first".to_vec())
        ]
    );
    set(&mut all, b"security.selinux", Some(b"longer label\0")).unwrap();
    set(&mut all, b"user.one", None).unwrap();
    set(&mut all, b"user.\xc3\xa9", Some(b"")).unwrap();
    region.copy_from_slice(&encode_region(&all, region.len()).unwrap());
    std::fs::write(&image, bytes).unwrap();
    assert_clean(&image);
    let said = debugfs(&image, "ea_list f\n");
    assert!(said.contains("security.selinux (13) = \"longer label\\000\""), "{said}");
    assert!(said.contains("(0)") && !said.contains("user.one"), "{said}");
}

#[test]
fn blocks_pass_both_ways() {
    for features in ["metadata_csum", "^metadata_csum"] {
        let long = "x".repeat(150);
        let script = format!(
            "ea_set f user.one {long}\nea_set f user.caf\u{e9} {long}\n\
             ea_set f trusted.two {long}\n"
        );
        let image = image(features, &script);
        let number = block_number(&image);
        assert_ne!(number, 0);
        let seed = (features == "metadata_csum").then(|| checksum::crc32c_raw(!0, &UUID_BYTES));
        let mut bytes = std::fs::read(&image).unwrap();
        let block = &mut bytes[number * BLOCK_BYTES..][..BLOCK_BYTES];
        let mut content = parse_block(block, number as u64, seed).unwrap();
        assert_eq!(content.reference_count, 1);
        assert!(!content.attributes.is_empty());
        // What nobody changed keeps its meaning.
        let same = encode_block(&content, BLOCK_BYTES, number as u64, seed).unwrap();
        assert_eq!(
            pairs(&parse_block(&same, number as u64, seed).unwrap().attributes),
            pairs(&content.attributes)
        );
        for (name, value) in [
            ("security.selinux", b"system_u:object_r:ssh_home_t:s0\0".as_slice()),
            ("user.zo\u{eb}", b"a name beyond ASCII"),
            ("trusted.empty", b""),
            ("user.a", b"1"),
        ] {
            set(&mut content.attributes, name.as_bytes(), Some(value)).unwrap();
        }
        block.copy_from_slice(&encode_block(&content, BLOCK_BYTES, number as u64, seed).unwrap());
        std::fs::write(&image, bytes).unwrap();
        assert_clean(&image);
        let said = debugfs(&image, "ea_list f\n");
        for expected in [
            "security.selinux (32) = \"system_u:object_r:ssh_home_t:s0\\000\"",
            "trusted.empty (0)",
            "user.a (1) = \"1\"",
            "user.one (150)",
        ] {
            assert!(said.contains(expected), "{said}");
        }
    }
}

/// `user.big` in an inode of its own: read with its hash checked. debugfs takes at most one block
/// of a value.
#[test]
fn a_value_in_its_own_inode_is_read() {
    let value = tempfile::NamedTempFile::new().unwrap();
    let content = vec![b'v'; 1024];
    std::fs::write(value.path(), &content).unwrap();
    let script = format!("ea_set -f {} f user.big\n", value.path().display());
    // No e2fsck here: debugfs 1.47.0 leaves i_blocks of `f` wrong.
    let image = image("metadata_csum,ea_inode", &script);
    let bytes = std::fs::read(&image).unwrap();
    let start = inode_offset(&image) + FIXED_BYTES;
    let mut all = parse_region(&bytes[start..start + 256 - FIXED_BYTES]).unwrap();
    let number = block_number(&image);
    let seed = checksum::crc32c_raw(!0, &UUID_BYTES);
    if number != 0 {
        let block = &bytes[number * BLOCK_BYTES..][..BLOCK_BYTES];
        all.extend(parse_block(block, number as u64, Some(seed)).unwrap().attributes);
    }
    let outside = all.iter().any(|a| matches!(a.value, Value::InInode { size_bytes: 1024, .. }));
    assert!(outside, "{all:?}");
    let found = values(&all, seed, &mut |_, _| Ok(content.clone())).unwrap();
    assert_eq!((found[0].name.as_slice(), found[0].value.len()), (b"user.big".as_slice(), 1024));
    assert!(values(&all, seed, &mut |_, _| Ok(vec![b'w'; 1024])).is_err());
}
