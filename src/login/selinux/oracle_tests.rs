//! The same questions put to libselinux: 3.4 of Debian 12, which has the array, and 3.8 of Debian 13, which
//! has the tree. What is decided here must be what both say.
//!
//! Needs matchpathcon (package selinux-utils) and what `fixtures/selinux/tools` brings; a missing one fails
//! the tests. More policies: `REGAIN_SELINUX_POLICIES=2000`.

#![expect(clippy::disallowed_methods, reason = "tests write their own policies")]

use super::lookup::{Lookup, look_up};
use super::rules::Rules;
use crate::fs::NodeKind;
use crate::fs::memory::MemoryTree;
use crate::fs::path::GuestPath;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::path::{Path, PathBuf};
use std::process::Command;

const DIRECTORY: &str = "/etc/selinux/x/contexts/files";
const SUFFIXES: [&str; 5] = ["", ".homedirs", ".local", ".subs", ".subs_dist"];
const KINDS: [(NodeKind, &str); 7] = [
    (NodeKind::File, "file"),
    (NodeKind::Directory, "dir"),
    (NodeKind::Symlink, "lnk_file"),
    (NodeKind::BlockDevice, "blk_file"),
    (NodeKind::CharDevice, "chr_file"),
    (NodeKind::Fifo, "pipe"),
    (NodeKind::Socket, "sock_file"),
];

fn tools() -> PathBuf {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/selinux");
    assert!(place.is_dir(), "run fixtures/selinux/tools (or tests/run)");
    place
}

/// A policy on this machine and in memory.
struct Policy {
    directory: tempfile::TempDir,
    tree: MemoryTree,
    rules: Rules,
}

impl Policy {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = MemoryTree::new();
        for (suffix, content) in files {
            let name = format!("file_contexts{suffix}");
            std::fs::write(directory.path().join(&name), content).unwrap();
            tree.file(&format!("{DIRECTORY}/{name}"), 0, 0o644, content);
        }
        let rules = Rules::read(&tree, DIRECTORY).unwrap();
        Self { directory, tree, rules }
    }

    /// What one version of matchpathcon says of every path.
    fn asked(&self, program: &Path, kind: &str, paths: &[String]) -> Vec<String> {
        // It resolves links of paths that exist here.
        let is_free = |path: &String| {
            std::fs::canonicalize(path).map_or(true, |real| real == Path::new(path))
        };
        assert!(paths.iter().all(is_free));
        if paths.is_empty() {
            return Vec::new();
        }
        let mut command = Command::new(program);
        command
            .args(["-N", "-n", "-m", kind, "-f"])
            .arg(self.directory.path().join("file_contexts"));
        let output = command.args(paths).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let answers = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<String> = answers.lines().map(str::to_owned).collect();
        if answers.len() == paths.len() {
            return answers;
        }
        // It says nothing of a path that it fails for.
        match paths {
            [_] => vec!["failed".to_owned()],
            _ => paths.chunks(1).flat_map(|path| self.asked(program, kind, path)).collect(),
        }
    }

    /// Compares with both versions; the number of answers that are decided here.
    fn agrees(&self, (kind, kind_name): (NodeKind, &str), paths: &[String]) -> usize {
        let mut decided = Vec::new();
        for path in paths {
            let found = match look_up(&self.rules, GuestPath::new(path).as_bytes(), kind) {
                Lookup::Label(context) => String::from_utf8(context).unwrap(),
                Lookup::LeaveAlone | Lookup::NoRule => "<<none>>".to_owned(),
                Lookup::Unknown(_) => continue,
            };
            decided.push((path.clone(), found));
        }
        let (paths, found): (Vec<_>, Vec<_>) = decided.into_iter().unzip();
        let new = tools().join("bin/matchpathcon");
        for (program, version) in [(Path::new("matchpathcon"), "3.4"), (&new, "3.8")] {
            let answers = self.asked(program, kind_name, &paths);
            for ((answer, found), path) in answers.iter().zip(&found).zip(&paths) {
                assert_eq!(answer, found, "{path} {kind_name} by {version}\n{}", self.shown());
            }
        }
        paths.len()
    }

    fn shown(&self) -> String {
        let content = |suffix: &&str| {
            let content = self.tree.content_at(&format!("{DIRECTORY}/file_contexts{suffix}"))?;
            let content = String::from_utf8_lossy(content).chars().take(4000).collect::<String>();
            Some(format!("--- {suffix}\n{content}"))
        };
        SUFFIXES.iter().filter_map(content).collect()
    }
}

fn debian() -> Policy {
    let read = |suffix: &&'static str| {
        let content = std::fs::read(tools().join(format!("file_contexts{suffix}"))).ok()?;
        Some((*suffix, content))
    };
    let mut files: Vec<_> = SUFFIXES.iter().filter_map(read).collect();
    assert_eq!(files.len(), 3, "run fixtures/selinux/tools (or tests/run)");
    files.push((".local", b"/srv/keys(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n".to_vec()));
    files.push((".subs", b"/export/home /home\n/data/home /home\n".to_vec()));
    Policy::new(&files)
}

/// A path that the expression of a rule probably matches.
fn example(pattern: &[u8]) -> String {
    let mut text = String::from_utf8(pattern.to_vec()).unwrap();
    for (from, to) in [
        ("(/.*)?", "/some/x"),
        ("(/.+)?", "/y"),
        ("[^/]+", "name"),
        ("[^/]*", "n"),
        ("[0-9]+", "1000"),
        (".*", "zz"),
        (".+", "q"),
        ("\\", ""),
        ("(", ""),
        (")?", ""),
        (")", ""),
    ] {
        text = text.replace(from, to);
    }
    let path: String = text.chars().filter(|it| !"?*+[]{}^$|".contains(*it)).collect();
    String::from_utf8(GuestPath::new(path).as_bytes().to_vec()).unwrap()
}

#[test]
fn labels_of_debians_policy_are_those_of_libselinux_login_87_to_91() {
    let policy = debian();
    assert_eq!(policy.rules.defect(), None);
    assert!(policy.rules.specs().len() > 5500);
    let mut paths = Vec::new();
    for home in
        ["/home/alice", "/home/bob.x", "/root", "/export/home/carol", "/data/home/d", "/srv/e"]
    {
        for below in [
            "",
            "/.ssh",
            "/.ssh/authorized_keys",
            "/.ssh/a/b",
            "/.sshx",
            "/xssh",
            "/.gnupg/x",
            "/.local/bin/x",
            "/public_html/cgi-bin/a",
            "/.config/systemd/user/a.service",
            "/.Xauthority",
            "/.bashrc",
        ] {
            paths.push(format!("{home}{below}"));
        }
    }
    for path in [
        "/home",
        "/",
        "/etc",
        "/etc/passwd",
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow.lock",
        "/etc/ssh",
        "/etc/ssh/sshd_config",
        "/etc/ssh/sshd_config.d/00-regain.conf",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssh/keys/alice",
        "/etc/nologin",
        "/etc/selinux/config",
        "/etc/sudoers.d/90-cloud",
        "/.autorelabel",
        "/srv/keys/alice",
        "/srv/keysx",
        "/var/lib/cloud/data/instance-id",
        "/usr/sbin/nologin",
        "/tmp/x",
        "/lost+found",
        "/home/lost+found/x",
        "/mnt/a",
        "/mnt/a/b",
        "/unheard/of",
        "/var/home/alice/.ssh",
    ] {
        paths.push(path.to_owned());
    }
    for spec in policy.rules.specs().iter().step_by(20) {
        paths.push(example(policy.rules.pattern(spec)));
    }
    paths.retain(|path| std::fs::canonicalize(path).map_or(true, |real| real == Path::new(path)));
    paths.sort();
    paths.dedup();
    assert!(paths.len() > 350, "{}", paths.len());
    for kind in KINDS.into_iter().take(2) {
        // Every rule of a real policy is understood. A few paths have two literals, of which versions choose
        // different ones.
        let decided = policy.agrees(kind, &paths);
        assert!(decided + 4 >= paths.len(), "{decided} of {}", paths.len());
    }
}

#[test]
fn every_file_of_rules_counts_as_in_libselinux_login_87_to_91() {
    let policy = Policy::new(&[
        (
            "",
            b"/zq/.*\tu:o:main\n  # comment\n/zq/lit\tu:o:lit1\n/zq/two\t--\tu:o:two_file\n\
              /zq/two\t-d\tu:o:two_dir\n/zq/none(/.*)?\t<<none>>\n/zq/a|/zq/alt\tu:o:alt\n\
              /zq/e\\.x\\_y\tu:o:escaped\n/zq/more -- u:o:more \x0b extra words\r\n/zq/[[:digit:]]{2,3}\tu:o:digits\n/\tu:o:root\n"
                .to_vec(),
        ),
        (".homedirs", b"/zq/h/[^/]+\t-d\tu:o:home\n/zq/lit\tu:o:lit2\n/zq/h.*\t-l\tu:o:link\n".to_vec()),
        (".local", b"/zq/none/but\tu:o:but\n/zq/h/local\tu:o:local".to_vec()),
        (".subs", b"/zs /zq\n# /zq /no\n/zs/deep /zq/h\n /zt  / \n/zu/ /no\n/zq/onto /zq/none/\n".to_vec()),
        (".subs_dist", b"/zq/h /zq/two\n/zv /zs\n/ /zq/lit\n".to_vec()),
    ]);
    let paths = [
        "/",
        "/zq",
        "/zq/",
        "/zq/x",
        "/zq//lit",
        "/zq/lit",
        "/zq/two",
        "/zq/two/",
        "/zq/none",
        "/zq/none/x",
        "/zq/none/but",
        "/zq/a",
        "/zq/ab",
        "/zq/b/zq/alt",
        "/zq/alt",
        "/zq/e.x_y",
        "/zq/eax_y",
        "/zq/12",
        "/zq/1",
        "/zq/1234",
        "/zq/h/me",
        "/zq/h/local",
        "/zq/h",
        "/zs",
        "/zs/lit",
        "/zs/deep/me",
        "/zsx",
        "/zt/zq/lit",
        "/zt",
        "/zu/x",
        "/zv/lit",
        "/zq/onto/but",
        "/zq/onto",
        "/zw",
        "/zq/\u{e9}",
    ];
    let paths = paths.map(str::to_owned);
    for kind in KINDS {
        let decided = policy.agrees(kind, &paths);
        // What is a literal in two files, or has two substitutions, is not the same for both.
        assert!(decided >= paths.len() - 10, "{decided}");
    }
}

/// One file of rules from a subset of the language, with some that are not understood.
fn rules() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        12 => prop::sample::select(vec!["a", "b", "ab", "c-d", "e_f", "1", "\\.", "\\-", "\\_", "\\,", "x"]),
        6 => prop::sample::select(vec![".", ".*", ".+", "[^/]+", "[^/]*", "[ab]", "[a-c]", "[^a]", "a?", "b+"]),
        4 => prop::sample::select(vec!["(a|b)", "(/.*)?", "(/a)?", "(a|)", "(?:b|c-d)", "b{1,2}", "(/[^/]+)*"]),
        2 => prop::sample::select(vec!["[[:alpha:]]", "\\d", "\\w+", "[\\w.]", "a*?", "[]a]", "[.-]", "|/zq/"]),
        1 => prop::sample::select(vec!["a++", "(?=a)", "]", "}", ")", "{", "a{,2}", "^", "$", "\\@", "\\b", "**"]),
    ];
    let segment = prop::collection::vec(atom, 0..4).prop_map(|atoms| atoms.concat());
    let segments = prop::collection::vec(segment, 0..4).prop_map(|all| all.join("/"));
    let root = prop::sample::select(vec![
        "/zq/", "/zq/", "/zq/a/", "/zq/b/", "/zr/", "/", "/[^/]+/", "(/zq)?/",
    ]);
    let kind = prop::sample::select(vec!["", "", "", "", "--\t", "-d\t", "-l\t"]);
    let context = prop_oneof![5 => (0..40u32).prop_map(|it| format!("u:o:t{it}")), 1 => Just("<<none>>".to_owned())];
    let rule = (root, segments, kind, context);
    let rule =
        rule.prop_map(|(root, rest, kind, context)| format!("{root}{rest}\t{kind}{context}\n"));
    prop::collection::vec(rule, 0..12).prop_map(|rules| rules.concat())
}

fn substitutions() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec!["/zq", "/zr", "/zq/a", "/zq/b", "/zr/x/", "/", "/zs"]);
    let line = (end.clone(), end).prop_map(|(from, to)| format!("{from}  {to}\n"));
    prop::collection::vec(line, 0..3).prop_map(|lines| lines.concat())
}

fn paths() -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(vec![
        "a", "b", "ab", "c-d", "e_f", "1", "a.b", "x", ".", ",", "]", "aab", "@",
    ]);
    let names = prop::collection::vec(name, 0..4).prop_map(|names| names.join("/"));
    let root = prop::sample::select(vec!["/zq/", "/zq/", "/zq/a/", "/zq/b/", "/zr/", "/zs/"]);
    // `.` in a path is never asked for.
    let path = (root, names).prop_map(|(root, names)| format!("{root}{}", names.replace("./", "")));
    prop::collection::vec(path.prop_filter("a dot", |path| !path.ends_with("/.")), 30)
}

#[test]
fn random_policies_label_as_in_libselinux_login_87_to_90() {
    let count = std::env::var("REGAIN_SELINUX_POLICIES").map_or(48, |count| count.parse().unwrap());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"the labels of random policies...");
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let files = (rules(), rules(), rules(), substitutions(), substitutions(), paths());
    let (mut asked, mut decided) = (0, 0);
    for round in 0..count {
        let made = files.new_tree(&mut runner).unwrap().current();
        let (main, homedirs, local, subs, dist, paths) = made;
        let contents = [main, homedirs, local, subs, dist].map(String::into_bytes);
        let files: Vec<_> = SUFFIXES.into_iter().zip(contents).collect();
        let policy = Policy::new(&files);
        let kind = KINDS[round % 3];
        asked += paths.len();
        decided += policy.agrees(kind, &paths);
    }
    assert!(decided * 2 > asked, "only {decided} of {asked} are decided");
}
