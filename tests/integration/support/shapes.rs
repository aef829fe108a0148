//! The shapes of ext file systems that mke2fs can make, as a table: every test that says "in every shape"
//! means this one.

use super::image::ImageBuilder;

/// One shape: what is handed to `mke2fs` and `tune2fs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// `ext2`, `ext3` or `ext4`.
    pub(crate) kind: &'static str,
    /// Size of the volume.
    pub(crate) size_mib: u64,
    /// Arguments of `mke2fs`.
    pub(crate) arguments: &'static str,
    /// Features of `mke2fs -O`.
    pub(crate) features: &'static str,
    /// A run of `tune2fs`, or of `debugfs -w` after `debugfs:`.
    pub(crate) tune: &'static str,
}

impl Shape {
    /// A builder for an empty file system of this shape.
    pub(crate) fn builder(&self) -> ImageBuilder {
        let builder = ImageBuilder::new(self.kind, self.size_mib)
            .arguments(self.arguments)
            .features(self.features);
        match self.tune.strip_prefix("debugfs:") {
            Some(command) => builder.script([command.trim()]),
            None if self.tune.is_empty() => builder,
            None => builder.tune(self.tune),
        }
    }

    /// Size of a block in bytes.
    pub(crate) fn block_bytes(&self) -> usize {
        let mut words = self.arguments.split_whitespace().skip_while(|word| *word != "-b");
        words.nth(1).map_or(4096, |size| size.parse().unwrap())
    }
}

/// Calls `$callback!` with the whole table: `name: kind, size in MiB, arguments, features, tuning;`
macro_rules! every_shape {
    ($callback:ident) => {
        $callback! {
            ext2_1k: "ext2", 8, "-b 1024", "", "";
            ext2_4k: "ext2", 8, "", "", "";
            ext2_without_dir_index: "ext2", 8, "-b 1024 -I 128", "^dir_index,^resize_inode", "";
            ext3_1k_small_inodes: "ext3", 8, "-b 1024 -I 128", "", "";
            ext3_4k: "ext3", 16, "", "", "";
            ext4_1k: "ext4", 8, "-b 1024", "", "";
            ext4_2k: "ext4", 8, "-b 2048", "", "";
            ext4_4k: "ext4", 16, "", "", "";
            inodes_of_128: "ext4", 16, "-I 128", "", "";
            inodes_of_512: "ext4", 16, "-I 512", "", "";
            inodes_of_1024: "ext4", 16, "-I 1024", "", "";
            without_64bit: "ext4", 16, "", "^64bit", "";
            with_64bit_without_csum: "ext4", 16, "", "64bit,^metadata_csum", "";
            uninit_bg: "ext4", 16, "-b 1024 -g 2048", "^metadata_csum,uninit_bg", "";
            without_checksums: "ext4", 16, "", "^metadata_csum,^uninit_bg,^64bit", "";
            csum_seed: "ext4", 16, "", "metadata_csum_seed", "";
            many_groups: "ext4", 24, "-b 1024 -g 1024", "", "";
            without_flex_bg: "ext4", 16, "-b 1024 -g 2048", "^flex_bg", "";
            meta_bg: "ext4", 24, "-b 1024 -g 1024", "meta_bg,^resize_inode", "";
            sparse_super2: "ext4", 24, "-b 1024 -g 2048", "sparse_super2,^sparse_super,^resize_inode", "";
            without_sparse_super: "ext4", 24, "-b 1024 -g 2048", "^sparse_super,^resize_inode", "";
            without_resize_inode: "ext4", 16, "", "^resize_inode", "";
            hash_tea: "ext4", 8, "-b 1024", "", "-E hash_alg=tea";
            hash_legacy: "ext4", 8, "-b 1024", "", "-E hash_alg=legacy";
            hash_unsigned: "ext4", 8, "-b 1024", "", "debugfs: ssv flags 2";
            large_dir: "ext4", 8, "-b 1024", "large_dir", "";
            inline_data: "ext4", 16, "", "inline_data", "";
            inline_data_1k: "ext4", 8, "-b 1024 -I 1024", "inline_data", "";
            ea_inode: "ext4", 16, "", "ea_inode", "";
            bigalloc: "ext4", 32, "-C 16384", "bigalloc", "";
            bigalloc_1k: "ext4", 16, "-b 1024 -C 8192", "bigalloc", "";
            without_huge_file: "ext4", 16, "", "^huge_file", "";
            without_extra_isize: "ext4", 16, "", "^extra_isize,^dir_nlink", "";
            quota: "ext4", 16, "", "quota", "";
            project: "ext4", 16, "-I 256", "quota,project", "";
            orphan_file: "ext4", 16, "", "orphan_file", "";
            mmp: "ext4", 16, "", "mmp", "";
            without_filetype: "ext4", 8, "-b 1024", "^filetype", "";
            without_dir_index: "ext4", 8, "-b 1024", "^dir_index", "";
            without_journal: "ext4", 8, "", "^has_journal", "";
            without_extents: "ext4", 8, "-b 1024", "^extent,^64bit", "";
            fast_commit: "ext4", 16, "", "fast_commit", "";
            unused_encrypt_and_verity: "ext4", 16, "", "encrypt,verity", "";
            casefold: "ext4", 16, "", "casefold", "";
            stable_inodes: "ext4", 16, "", "stable_inodes", "";
        }
    };
}
pub(crate) use every_shape;
