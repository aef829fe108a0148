//! Quota files in memory, and one that mke2fs made.

use super::*;
use crate::fs::ext::testing::Image;
use std::collections::BTreeMap;

#[derive(Clone)]
struct MemoryQuota {
    bytes: Vec<u8>,
    blocks_max: u32,
}

impl QuotaBlocks for MemoryQuota {
    fn block_count(&self) -> u32 {
        (self.bytes.len() / QUOTA_BLOCK_BYTES) as u32
    }

    fn read(&self, quota_block: u32) -> Result<Vec<u8>> {
        let at = quota_block as usize * QUOTA_BLOCK_BYTES;
        Ok(self.bytes[at..at + QUOTA_BLOCK_BYTES].to_vec())
    }

    fn write(&mut self, quota_block: u32, bytes: &[u8]) -> Result<()> {
        let at = quota_block as usize * QUOTA_BLOCK_BYTES;
        self.bytes[at..at + QUOTA_BLOCK_BYTES].copy_from_slice(bytes);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<u32> {
        let block = self.block_count();
        if block >= self.blocks_max {
            let (what, needed, available) = ("blocks".to_owned(), 1, 0);
            return Err(Refusal::NoSpace { what, needed, available }.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(block)
    }
}

/// A quota file without entries: header and root.
fn empty(kind: QuotaKind) -> MemoryQuota {
    let magic: u32 = match kind {
        QuotaKind::User => 0xd9c0_1f11,
        QuotaKind::Group => 0xd9c0_1927,
        QuotaKind::Project => 0xd9c0_3f14,
    };
    let mut bytes = vec![0; 2 * QUOTA_BLOCK_BYTES];
    bytes[..4].copy_from_slice(&magic.to_le_bytes());
    bytes[4] = 1;
    bytes[0x14] = 2;
    MemoryQuota { bytes, blocks_max: 10_000 }
}

fn plus(space_bytes: i64, inode_count: i64) -> UsageChange {
    UsageChange { space_bytes, inode_count }
}

#[test]
fn many_ids_are_kept_apart() {
    let mut file = empty(QuotaKind::Group);
    let mut model: BTreeMap<u32, Usage> = BTreeMap::new();
    let ids = (0..40).chain([255, 256, 65_535, 65_536, 1 << 24, u32::MAX]).chain(1000..1040);
    for (round, id) in ids.clone().chain(ids).enumerate() {
        change_usage(&mut file, QuotaKind::Group, id, plus(4096, 1)).unwrap();
        let known = model.entry(id).or_default();
        known.space_bytes += 4096;
        known.inode_count += 1;
        assert_eq!(usage(&file, QuotaKind::Group, id).unwrap(), *known, "round {round}");
    }
    for (&id, known) in &model {
        assert_eq!(usage(&file, QuotaKind::Group, id).unwrap(), *known);
    }
    assert_eq!(usage(&file, QuotaKind::Group, 77).unwrap(), Usage::default());
}

#[test]
fn an_entry_of_id_zero_without_usage_is_not_free() {
    let mut file = empty(QuotaKind::User);
    change_usage(&mut file, QuotaKind::User, 0, plus(1024, 1)).unwrap();
    change_usage(&mut file, QuotaKind::User, 0, plus(-1024, -1)).unwrap();
    change_usage(&mut file, QuotaKind::User, 0, plus(512, 0)).unwrap();
    let expected = Usage { space_bytes: 512, inode_count: 0 };
    assert_eq!(usage(&file, QuotaKind::User, 0).unwrap(), expected);
}

#[test]
fn usage_never_wraps_below_zero() {
    let mut file = empty(QuotaKind::User);
    change_usage(&mut file, QuotaKind::User, 5, plus(1024, 1)).unwrap();
    let error = change_usage(&mut file, QuotaKind::User, 5, plus(-2048, 0)).unwrap_err();
    assert_eq!(error.kind_name(), "refused");
}

#[test]
fn a_file_that_cannot_grow_refuses_a_new_id_but_keeps_the_old() {
    let mut file = empty(QuotaKind::User);
    change_usage(&mut file, QuotaKind::User, 5, plus(1024, 1)).unwrap();
    file.blocks_max = file.block_count();
    change_usage(&mut file, QuotaKind::User, 6, plus(1024, 1)).unwrap();
    let error = change_usage(&mut file, QuotaKind::User, 1 << 30, plus(1024, 1)).unwrap_err();
    assert_eq!(error.to_string(), "no free blocks: 1 needed, 0 available");
}

#[test]
fn damage_is_named() {
    let kind = QuotaKind::Project;
    let good = empty(kind);
    assert!(usage(&good, QuotaKind::User, 0).is_err(), "magic of another kind");
    for (offset, value, expected) in [
        (4, 0, "project quota: quota file: magic 0xd9c03f14, version 0"),
        (0x14, 9, "project quota: quota file: block 9 in a file of 2"),
        (1024, 1, "project quota: quota file: block 1 in a file of 2"),
        (1024, 200, "project quota: quota file: block 200 in a file of 2"),
    ] {
        let mut bad = good.clone();
        bad.bytes[offset] = value;
        assert_eq!(usage(&bad, kind, 5).unwrap_err().to_string(), expected);
    }
    let mut bad = good;
    change_usage(&mut bad, kind, 5, plus(1024, 1)).unwrap();
    let free_entry = bad.bytes[0x1c] as usize;
    bad.bytes[free_entry * QUOTA_BLOCK_BYTES + 8] = 9;
    let error = change_usage(&mut bad, kind, 6, plus(1, 1)).unwrap_err();
    assert!(error.to_string().ends_with("counts 9 entries, has 1"), "{error}");
}

/// The quota file of `inode` in an image, its size raised to whole blocks of the file system.
fn load(image: &Image, inode: u32) -> MemoryQuota {
    let size_bytes = 8192;
    image.debugfs(&format!("sif <{inode}> size {size_bytes}\n"));
    let image_bytes = image.bytes();
    let mut bytes = Vec::new();
    for block in image.blocks_of(inode) {
        let at = block as usize * 4096;
        bytes.extend_from_slice(&image_bytes[at..at + 4096]);
    }
    assert_eq!(bytes.len(), size_bytes);
    MemoryQuota { bytes, blocks_max: 8 }
}

fn store(image: &Image, inode: u32, file: &MemoryQuota) {
    let mut bytes = image.bytes();
    for (block, content) in image.blocks_of(inode).into_iter().zip(file.bytes.chunks(4096)) {
        let at = block as usize * 4096;
        bytes[at..at + 4096].copy_from_slice(content);
    }
    image.store(&bytes);
}

/// e2fsck accepts the tree with our new entries, and counts what we count.
#[test]
fn quota_files_of_mke2fs_are_changed_to_the_liking_of_e2fsck() {
    let arguments =
        ["-t", "ext4", "-O", "quota,project", "-E", "quotatype=usrquota:grpquota:prjquota"];
    for (kind, inode, field) in [
        (QuotaKind::User, 3, "uid"),
        (QuotaKind::Group, 4, "gid"),
        (QuotaKind::Project, 12, "projid"),
    ] {
        let image = Image::make(4096, &arguments);
        image.debugfs("mkdir d\n");
        let mut file = load(&image, inode);
        let root = usage(&file, kind, 0).unwrap();
        assert_eq!(
            root,
            Usage { space_bytes: 20_480, inode_count: 2 },
            "{kind}: what mke2fs counted"
        );
        // The new directory is counted for the new id, which needs two tree blocks and an entry.
        image.debugfs(&format!("sif d {field} 70000\n"));
        assert_ne!(image.checked().0, 0, "{kind}: the checker must complain before");
        change_usage(&mut file, kind, 70_000, plus(4096, 1)).unwrap();
        store(&image, inode, &file);
        for (other, inode) in
            [(QuotaKind::User, 3), (QuotaKind::Group, 4), (QuotaKind::Project, 12)]
        {
            if other != kind {
                let mut file = load(&image, inode);
                change_usage(&mut file, other, 0, plus(4096, 1)).unwrap();
                store(&image, inode, &file);
            }
        }
        let (status, text) = image.checked();
        assert_eq!(status, 0, "{kind}: {text}");
        assert!(!text.contains("QUOTA"), "{kind}: {text}");
    }
}

proptest::proptest! {
    /// Whatever stands in a quota file: no panic, no endless loop, and it grows by what one id
    /// needs at most.
    #[test]
    fn damaged_files_never_panic(
        damage in proptest::collection::vec((0usize..8 * QUOTA_BLOCK_BYTES, 0u8..12), 0..40),
        ids in proptest::collection::vec(0u32..600, 1..6),
    ) {
        let mut file = empty(QuotaKind::User);
        for id in 0..20 {
            change_usage(&mut file, QuotaKind::User, id * 30, plus(4096, 1)).unwrap();
        }
        let len = file.bytes.len();
        for (offset, value) in damage {
            // The magic and the version stay, or nothing else would be read.
            file.bytes[8 + offset % (len - 8)] = value;
        }
        for id in ids {
            let before = file.block_count();
            let _ = change_usage(&mut file, QuotaKind::User, id, plus(1024, 1));
            proptest::prop_assert!(file.block_count() <= before + 4);
        }
    }
}
