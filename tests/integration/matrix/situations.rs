//! Situations that real key files and homes are found in, on the shapes where they are hard.

use super::{Bench, Intended};
use crate::support::image::{self, Content, ImageBuilder, Nodes};
use crate::support::regain::Run;
use crate::support::root::{self, KEY_FILE, NEW_KEY, OLD_KEY, USER_ID};
use crate::support::scratch::Scratch;
use crate::support::{oracle, tools, tree};
use std::fmt::Write as _;

const LABEL_HOME: &[u8] = b"unconfined_u:object_r:user_home_dir_t:s0\0";
const LABEL_SSH: &[u8] = b"unconfined_u:object_r:ssh_home_t:s0\0";

fn bench(builder: &ImageBuilder, nodes: Nodes) -> Bench {
    let scratch = Scratch::new();
    let image = builder.clone().nodes(nodes).build_in(&scratch, "disk.img");
    Bench::new(scratch, image, 0)
}

fn ext4() -> ImageBuilder {
    ImageBuilder::new("ext4", 16)
}

fn ext4_1k() -> ImageBuilder {
    ImageBuilder::new("ext4", 8).arguments("-b 1024")
}

/// Valid key file content of `len` bytes: the old key and comments.
fn lines(len: usize) -> String {
    let mut text = OLD_KEY.to_owned();
    for number in 0.. {
        if text.len() + 60 > len {
            break;
        }
        writeln!(text, "# line {number}").unwrap();
    }
    let rest = len - text.len() - 1;
    writeln!(text, "{}", "#".repeat(rest)).unwrap();
    assert_eq!(text.len(), len);
    text
}

/// Appends to a key file of `len` bytes.
fn append_to(builder: &ImageBuilder, len: usize) {
    let before = lines(len);
    bench(builder, root::with_key_file(&before)).prove(&Intended::append(&before));
}

#[test]
fn an_append_inside_the_last_block() {
    bench(&ext4(), root::with_key()).prove(&Intended::append(OLD_KEY));
}

#[test]
fn an_empty_key_file() {
    bench(&ext4(), root::with_key_file("")).prove(&Intended::append(""));
}

#[test]
fn a_key_file_that_fills_its_block_exactly() {
    append_to(&ext4(), 4096);
    append_to(&ImageBuilder::new("ext2", 8), 4096);
}

#[test]
fn a_key_file_of_many_lines() {
    append_to(&ext4_1k(), 40_000);
    append_to(&ext4(), 200_001);
}

#[test]
fn a_key_file_at_each_border_of_the_block_map() {
    let ext2 = ImageBuilder::new("ext2", 8).arguments("-b 1024");
    for blocks in [12, 12 + 256, 12 + 256 + 256] {
        append_to(&ext2, blocks * 1024 - 10);
        append_to(&ext2, blocks * 1024);
    }
}

#[test]
fn a_missing_newline_at_the_end() {
    let before = OLD_KEY.trim_end();
    let intended = Intended::append(format!("{before}\n"));
    bench(&ext4(), root::with_key_file(before)).prove(&intended);
}

#[test]
fn lines_that_end_as_on_windows() {
    let before = OLD_KEY.replace('\n', "\r\n");
    let bench = bench(&ext4(), root::with_key_file(&before));
    let document = bench.key_add(&["--dry-run"]).success();
    assert_eq!(document["result"]["changed"], true);
    bench.prove(&Intended::append(&before));
}

#[test]
fn the_same_key_again_changes_nothing() {
    let bench = bench(&ext4(), root::with_key_file(format!("{OLD_KEY}{NEW_KEY}")));
    bench.assert_idempotent();
}

#[test]
fn the_key_already_there_behind_other_blanks() {
    let shown = NEW_KEY.replace("rescue@bench", "another comment");
    let bench = bench(&ext4(), root::with_key_file(format!("\n# x\n  {shown}")));
    bench.assert_idempotent();
}

#[test]
fn an_empty_ssh_directory() {
    let mut nodes = root::bare();
    nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
    let intended = Intended { added: vec![KEY_FILE.to_owned()], ..Intended::create() };
    bench(&ext4(), nodes).prove(&intended);
}

/// The key file lies in many small holes, so that its extents do not fit the inode.
fn fragmented(builder: &ImageBuilder, blocks: usize, block_bytes: usize) {
    let scratch = Scratch::new();
    let mut nodes = root::bare();
    nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
    let image = builder.clone().nodes(nodes).build_in(&scratch, "disk.img");
    let (small, content) = (scratch.join("small"), lines(blocks * block_bytes - 5));
    std::fs::write(&small, vec![b'x'; block_bytes]).unwrap();
    let host = scratch.join("content");
    std::fs::write(&host, &content).unwrap();
    let count = blocks * 2 + 20;
    let mut script = vec!["mkdir /gap".to_owned(), "cd /gap".to_owned()];
    script.extend((0..count).map(|i| format!("write {} g{i}", small.display())));
    // Holes of one block, except at the end, so that the next block is not the neighbour either.
    script.extend((0..count).step_by(2).map(|i| format!("rm g{i}")));
    script.push("cd /home/admin/.ssh".to_owned());
    script.push(format!("write {} authorized_keys", host.display()));
    for (field, value) in [("mode", 0o100_600), ("uid", USER_ID), ("gid", USER_ID)] {
        script.push(format!("sif authorized_keys {field} {value}"));
    }
    image::edit(&image, &script);
    oracle::assert_clean(&image, 0, "fragmented");
    let target = image.to_str().unwrap();
    let stat = tree::debugfs(target, &[format!("stat {KEY_FILE}")]);
    let (_, map) = stat[0].split_once("EXTENTS:").or(stat[0].split_once("BLOCKS:")).unwrap();
    let pieces = map.matches("):").count();
    assert!(pieces * 2 > blocks, "not fragmented: {}", stat[0]);
    Bench::new(scratch, image, 0).prove(&Intended::append(&content));
}

#[test]
fn a_fragmented_key_file_of_extents() {
    fragmented(&ext4_1k(), 4, 1024);
    fragmented(&ext4_1k(), 5, 1024);
    fragmented(&ext4_1k(), 60, 1024);
}

#[test]
fn a_fragmented_key_file_whose_extent_leaf_is_full() {
    // 84 extents fit a leaf of 1024 bytes, 4 the inode.
    fragmented(&ext4_1k(), 84, 1024);
    fragmented(&ext4_1k(), 170, 1024);
}

#[test]
fn a_fragmented_key_file_of_a_block_map() {
    fragmented(&ImageBuilder::new("ext2", 8).arguments("-b 1024"), 30, 1024);
}

#[test]
fn a_key_file_with_a_hole() {
    // Comment lines around a hole of NUL bytes, which sshd reads as one long bad line.
    let mut before = lines(4096).into_bytes();
    before.extend(vec![0; 8192]);
    before.extend(lines(300).into_bytes());
    let bench = bench(&ext4(), root::with_key_file(&before));
    bench.prove(&Intended::append(&before));
}

#[test]
fn a_home_whose_index_leaf_must_split() {
    for count in [100, 101, 102, 103, 104, 105, 110, 120] {
        let mut nodes = root::bare();
        root::crowd(&mut nodes, "/home/admin", count, 100);
        bench(&ext4_1k().rehashed(), nodes).prove(&Intended::create());
    }
}

#[test]
fn a_home_whose_index_has_two_levels() {
    let mut nodes = root::bare();
    root::crowd(&mut nodes, "/home/admin", 700, 240);
    let builder = ImageBuilder::new("ext4", 16).arguments("-b 1024 -N 2000").rehashed();
    let bench = bench(&builder, nodes);
    let target = bench.image.to_str().unwrap().to_owned();
    let dump = tree::debugfs(&target, &["htree_dump /home/admin".to_owned()]);
    assert!(dump[0].contains("Indirect levels: 1"), "{}", &dump[0][..300]);
    bench.prove(&Intended::create());
}

#[test]
fn a_linear_home_that_needs_its_first_index() {
    // One full block without index: the next name makes it an indexed directory.
    for count in 3..12 {
        let mut nodes = root::bare();
        root::crowd(&mut nodes, "/home/admin", count, 100);
        bench(&ext4_1k(), nodes).prove(&Intended::create());
    }
}

#[test]
fn a_home_stored_in_its_inode_that_grows_out_of_it() {
    let builder = ext4().features("inline_data");
    for count in 1..8 {
        let mut nodes = root::bare();
        root::crowd(&mut nodes, "/home/admin", count, 20);
        bench(&builder, nodes).prove(&Intended::create());
    }
}

#[test]
fn a_key_file_stored_in_its_inode_that_grows_out_of_it() {
    let builder = ext4().arguments("-I 512").features("inline_data");
    for len in [100, 140, 160, 200, 220, 250, 280, 300, 310, 400] {
        append_to(&builder, len);
    }
}

#[test]
fn a_labelled_volume() {
    let mut nodes = root::bare();
    label_all(&mut nodes);
    let intended = Intended { label: Some("ssh_home_t"), ..Intended::create() };
    bench(&ext4(), nodes.clone()).prove(&intended);
    // No room in an inode of 128 bytes: the label goes to a block.
    bench(&ext4().arguments("-I 128"), nodes).prove(&intended);
}

#[test]
fn a_labelled_key_file_keeps_its_label() {
    let mut nodes = root::with_key();
    label_all(&mut nodes);
    bench(&ext4(), nodes.clone()).prove(&Intended::append(OLD_KEY));
    bench(&ext4().arguments("-I 128"), nodes).prove(&Intended::append(OLD_KEY));
}

fn label_all(nodes: &mut Nodes) {
    nodes.directory("/etc/selinux", 0o755, 0);
    nodes.file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n", 0o644, 0);
    for (path, node) in &mut nodes.0 {
        if matches!(node.content, Content::HardLink(_)) {
            continue;
        }
        let value = match path.as_str() {
            "/home/admin" => LABEL_HOME,
            _ if path.starts_with("/home/admin/.ssh") => LABEL_SSH,
            _ => b"system_u:object_r:etc_t:s0\0",
        };
        node.xattrs.push(("security.selinux".to_owned(), value.to_vec()));
    }
}

#[test]
fn an_attribute_block_that_two_files_share() {
    let mut nodes = root::with_key();
    for path in [KEY_FILE, "/home/admin/.profile"] {
        let node = nodes.0.get_mut(path).unwrap();
        node.xattrs.push(("user.note".to_owned(), vec![b'n'; 40]));
    }
    let scratch = Scratch::new();
    let builder = ext4().arguments("-I 128").nodes(nodes);
    let image = builder.build_in(&scratch, "disk.img");
    let stat = tree::debugfs(image.to_str().unwrap(), &[format!("stat {KEY_FILE}")]);
    let acl = stat[0].lines().find_map(|line| line.strip_prefix("File ACL: ")).unwrap();
    image::edit(&image, &[format!("sif /home/admin/.profile file_acl {acl}")]);
    let fixed = tools::run("e2fsck", &["-fy", image.to_str().unwrap()]);
    assert_eq!(fixed.status.code(), Some(1), "{fixed:?}");
    Bench::new(scratch, image, 0).prove(&Intended::append(OLD_KEY));
}

#[test]
fn a_key_file_behind_a_symbolic_link() {
    let mut nodes = root::bare();
    nodes.directory("/home/admin/.ssh", 0o700, USER_ID);
    nodes.add(KEY_FILE, Content::Symlink("../keys".to_owned()), 0o777, USER_ID);
    nodes.file("/home/admin/keys", OLD_KEY, 0o600, USER_ID);
    bench(&ext4(), nodes).prove(&Intended::append(OLD_KEY).at("/home/admin/keys"));
}

#[test]
fn a_home_behind_an_absolute_link() {
    let mut nodes = root::bare();
    for path in ["/home/admin/.profile", "/home/admin", "/home"] {
        nodes.0.remove(path);
    }
    nodes.link("/home", "/var/home");
    nodes.directory("/var/home", 0o755, 0);
    nodes.directory("/var/home/admin", 0o700, USER_ID);
    let added = ["/var/home/admin/.ssh", "/var/home/admin/.ssh/authorized_keys"];
    let intended =
        Intended { added: added.map(str::to_owned).to_vec(), ..Intended::create().at(added[1]) };
    bench(&ext4(), nodes).prove(&intended);
}

#[test]
fn a_key_file_with_a_second_name() {
    let mut nodes = root::with_key();
    let link = Content::HardLink(KEY_FILE.to_owned());
    nodes.add("/home/admin/.ssh/twin", link, 0o600, USER_ID);
    let bench = bench(&ext4(), nodes);
    let document = bench.key_add(&["--dry-run"]).success();
    assert_eq!(document["result"]["changed"], true);
}

#[test]
fn a_key_file_where_the_configuration_says() {
    let mut nodes = root::bare();
    let config = "UsePAM yes\nAuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\n";
    nodes.file("/etc/ssh/sshd_config", config, 0o644, 0);
    nodes.directory("/etc/ssh/keys", 0o755, 0);
    nodes.file("/etc/ssh/keys/admin", OLD_KEY, 0o644, 0);
    bench(&ext4(), nodes).prove(&Intended::append(OLD_KEY).at("/etc/ssh/keys/admin"));
}

#[test]
fn a_full_volume_still_takes_an_append_inside_the_last_block() {
    for builder in [ext4(), ext4_1k(), ImageBuilder::new("ext2", 8)] {
        let bench = bench(&builder, root::with_key());
        fill(&bench);
        bench.prove(&Intended::append(OLD_KEY));
    }
}

#[test]
fn a_full_volume_takes_no_new_directory() {
    for builder in [ext4(), ImageBuilder::new("ext2", 8)] {
        let bench = bench(&builder, root::bare());
        fill(&bench);
        bench.assert_refused(&[4], &["no free blocks"]);
    }
}

#[test]
fn a_volume_without_a_free_inode_takes_no_new_file() {
    let bench = bench(&ext4().arguments("-N 64"), root::bare());
    let free = free_counts(&bench).1;
    let script = (0..free).map(|i| format!("write /dev/null /var/i{i}"));
    image::edit(&bench.image, &script.collect::<Vec<_>>());
    oracle::assert_clean(&bench.image, 0, "no free inode");
    bench.assert_refused(&[4], &["no free inodes"]);
}

/// Leaves no free block, with small files so that none of them needs a block for its map.
fn fill(bench: &Bench) {
    let stat = tools::succeed("dumpe2fs", &["-h", bench.image.to_str().unwrap()]);
    let block: usize = stat
        .lines()
        .find_map(|line| line.strip_prefix("Block size:"))
        .map(|text| text.trim().parse().unwrap())
        .unwrap();
    for round in 0..4 {
        let (free, inodes) = free_counts(bench);
        if free == 0 {
            break;
        }
        let each = free.div_ceil(inodes - 20).clamp(1, 12);
        let host = bench.scratch.join("fill");
        let one = bench.scratch.join("one");
        std::fs::write(&host, vec![b'f'; each * block]).unwrap();
        std::fs::write(&one, vec![b'f'; block]).unwrap();
        // The names need room too: what is left of it is filled block by block in the next round.
        let (count, file) = if round == 0 { ((free - 40) / each, &host) } else { (1, &one) };
        let singles = if round == 0 { 0 } else { free };
        let script =
            (0..count.max(singles)).map(|i| format!("write {} /var/z{round}-{i}", file.display()));
        fill_script(bench, &script.collect::<Vec<_>>());
    }
    assert_eq!(free_counts(bench).0, 0);
    oracle::assert_clean(&bench.image, 0, "full");
}

/// As [`image::edit`], but a write that finds no room is what we want.
fn fill_script(bench: &Bench, commands: &[String]) {
    let script = bench.scratch.join("script");
    std::fs::write(&script, commands.join("\n") + "\n").unwrap();
    let arguments = ["-w", "-f", script.to_str().unwrap(), bench.image.to_str().unwrap()];
    tools::run("debugfs", &arguments);
    let image = bench.image.to_str().unwrap();
    let fixed = tools::run("e2fsck", &["-fy", image]);
    assert!(matches!(fixed.status.code(), Some(0 | 1)), "{fixed:?}");
}

/// Free blocks and inodes.
fn free_counts(bench: &Bench) -> (usize, usize) {
    let text = tools::succeed("dumpe2fs", &["-h", bench.image.to_str().unwrap()]);
    let number = |key: &str| -> usize {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().parse().unwrap()
    };
    (number("Free blocks:"), number("Free inodes:"))
}

#[test]
fn a_dirty_journal_is_replayed_first() {
    for options in ["", "-c -v 2", "-c -v 3"] {
        let scratch = Scratch::new();
        let image = ext4().nodes(root::with_key()).build_in(&scratch, "disk.img");
        let original = scratch.join("original");
        dirty(&scratch, &image, options);
        tools::copy_sparse(&image, &original);
        let replayed = scratch.join("replayed.img");
        tools::copy_sparse(&image, &replayed);
        let fixed = tools::run("e2fsck", &["-fy", replayed.to_str().unwrap()]);
        assert!(matches!(fixed.status.code(), Some(0 | 1)), "{fixed:?}");
        let before = tree::read(&replayed, 0);
        assert!(
            before.0["/etc/hostname"]["content"]
                != tree::read(&image, 0).0["/etc/hostname"]["content"]
        );
        let bench = Bench::new(scratch, image, 0);
        let document = bench.key_add(&[]).success();
        oracle::assert_clean(&bench.image, 0, "replayed and edited");
        let intended = Intended::append(OLD_KEY);
        super::assert_tree(&before, &tree::read(&bench.image, 0), &intended);
        undo(&bench, document["result"]["undo_file"].as_str().unwrap()).success();
        let digests = [&bench.image, &original].map(|path| crate::support::sparse::digest(path));
        assert_eq!(digests[0], digests[1]);
    }
}

fn undo(bench: &Bench, patch: &str) -> Run {
    bench.regain().run(&["undo", patch, bench.image.to_str().unwrap(), "--yes", "--json"])
}

/// Puts a new content of `/etc/hostname` into the journal, not in place.
fn dirty(scratch: &Scratch, image: &std::path::Path, options: &str) {
    let target = image.to_str().unwrap();
    let blocks = tree::debugfs(target, &["blocks /etc/hostname".to_owned()]);
    let block = blocks[0].split_whitespace().next().unwrap().to_owned();
    let content = scratch.join("block");
    let mut bytes = b"replayed-x\n".to_vec();
    bytes.resize(4096, 0);
    std::fs::write(&content, bytes).unwrap();
    let script =
        [format!("jo {options}"), format!("jw -b {block} {}", content.display()), "jc".to_owned()];
    image::edit(image, &script);
}
