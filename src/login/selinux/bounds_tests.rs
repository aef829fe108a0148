//! Rules made to be slow or large: an answer, or none, but in bounded time and memory.

use super::lookup::{Lookup, look_up};
use super::rules::Rules;
use crate::fs::NodeKind;
use crate::fs::memory::MemoryTree;
use std::time::{Duration, Instant};

const FILES: &str = "/x/file_contexts";
/// Far more than it takes, for a machine that is busy; without the bounds it would be hours.
const LIMIT: Duration = Duration::from_mins(1);

fn asked(rules: &[u8], subs: &[u8], path: &str) -> Lookup {
    let mut tree = MemoryTree::new();
    tree.file(FILES, 0, 0o644, rules).file(&format!("{FILES}.subs"), 0, 0o644, subs);
    let start = Instant::now();
    let found = look_up(&Rules::read(&tree, "/x").unwrap(), path.as_bytes(), NodeKind::File);
    assert!(start.elapsed() < LIMIT, "{path}");
    found
}

fn many(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

#[test]
fn large_files_of_rules_are_bounded() {
    let unknown = |found: &Lookup| matches!(found, Lookup::Unknown(_));
    // As large as a file may be, of comments and one rule; and one byte more.
    let mut rules = b"/home/a ok\n".to_vec();
    rules.resize(8 * 1024 * 1024, b'#');
    assert_eq!(asked(&rules, b"", "/home/a"), Lookup::Label(b"ok".to_vec()));
    rules.push(b'#');
    assert!(unknown(&asked(&rules, b"", "/home/a")));
    // 100,000 rules of another directory, then as many that have to be tried.
    let rules = many(100_000, |index| format!("/usr/lib/{index}(/.*)? c\n"));
    let rules = format!("/home/[^/]+ ok\n{rules}");
    assert_eq!(asked(rules.as_bytes(), b"", "/home/a"), Lookup::Label(b"ok".to_vec()));
    let rules = many(100_000, |index| format!("/home/.*{index} c\n"));
    assert!(unknown(&asked(rules.as_bytes(), b"", "/home/a")));
    let rules = "/a b\n".repeat(1_000_000);
    assert!(unknown(&asked(rules.as_bytes(), b"", "/a")));
    let rules = "\n\n /a\n".repeat(1_000_000);
    assert!(unknown(&asked(rules.as_bytes(), b"", "/a")));
    // Substitutions, each of which fits.
    let subs = "/home /home\n".repeat(80_000);
    assert_eq!(asked(b"/home/a ok\n", subs.as_bytes(), "/home/a"), Lookup::Label(b"ok".to_vec()));
    let subs = format!("/home /{}\n", "a".repeat(3000));
    assert!(unknown(&asked(b"/home/a ok\n", subs.as_bytes(), "/home/a")));
}

#[test]
fn slow_expressions_are_bounded() {
    let path = format!("/home/{}b", "a".repeat(200));
    let nested = "(".repeat(30) + "a" + &")*".repeat(30);
    for (name, pattern) in [
        ("nested repetitions", "/home/(((a*)*)*)*c".to_owned()),
        ("many alternatives", format!("/home/({})*c", vec!["a"; 500].join("|"))),
        ("optional parts", format!("/home/{}{}", "a?".repeat(200), "a".repeat(200))),
        ("counts in counts", "/home/((a{1,100}){1,100}){1,100}c".to_owned()),
        ("a count of sets", "/home/([^/]{1,1000}x?){1,900}c".to_owned()),
        ("long", format!("/home/{}", "a*".repeat(30_000))),
        ("deep", format!("/home/{nested}")),
        ("a large class", format!("/home/[{}]*c", "a-z".repeat(1000))),
    ] {
        // Again and again, so that a slow one would show.
        let rules = many(200, |index| format!("{pattern}{index} c\n"));
        let found = asked(format!("/home/.* ok\n{rules}").as_bytes(), b"", &path);
        assert!(
            matches!(&found, Lookup::Unknown(_)) || found == Lookup::Label(b"ok".to_vec()),
            "{name}"
        );
    }
}
