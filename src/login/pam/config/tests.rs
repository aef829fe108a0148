use super::*;
use crate::fs::memory::MemoryTree;

/// The lines that were read: place, depth and module, or why there are none.
fn read_all(files: &[(&str, &str)], is_debian: bool) -> Result<Vec<String>, String> {
    let mut tree = MemoryTree::new();
    for (path, content) in files {
        tree.file(path, 0, 0o644, content.as_bytes());
    }
    let show = |entry: &Entry| {
        let what = match &entry.call {
            Call::Module { path, arguments } => {
                let words = [std::slice::from_ref(path), arguments.as_slice()].concat();
                let words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned());
                words.collect::<Vec<_>>().join("|")
            }
            Call::Failure(_) => "fails".to_owned(),
            Call::Substack => "substack".to_owned(),
        };
        format!("{}@{} {what}", entry.place.trim_start_matches("/etc/pam.d/"), entry.level)
    };
    match read(&tree, b"sshd", Kind::Account, is_debian) {
        Stack::Lines(entries) => Ok(entries.iter().map(show).collect()),
        Stack::Broken(place, _) => Err(format!("broken {place}")),
        Stack::Unknown(place, _) => Err(format!("unknown {place}")),
    }
}

#[test]
fn files_are_read_as_libpam_does_login_66() {
    let sshd = |text: &'static str| ("/etc/pam.d/sshd", text);
    let x = |text: &'static str| ("/etc/pam.d/x", text);
    for (files, expected) in [
        (vec![sshd("account required a.so\n")], vec!["sshd:1@0 a.so"]),
        (
            vec![sshd("\n# c\n  account\trequired a.so b [c d] [e\\]f]x\n")],
            vec!["sshd:3@0 a.so|b|c d|e]f|x"],
        ),
        (vec![sshd("account required a.so # b\nauth required c.so\n")], vec!["sshd:1@0 a.so"]),
        (
            vec![sshd("account \\\nrequired \\\n a.so\naccount required b.so")],
            vec!["sshd:1@0 a.so", "sshd:4@0 b.so"],
        ),
        (
            vec![sshd("-account required a.so\nACCOUNT required b.so\n")],
            vec!["sshd:1@0 a.so", "sshd:2@0 b.so"],
        ),
        (
            vec![sshd("account\naccount required\naccount x\n")],
            vec!["sshd:1@0 fails", "sshd:2@0 fails", "sshd:3@0 fails"],
        ),
        (
            vec![sshd("account include x\n"), x("auth required b.so\naccount required a.so\n")],
            vec!["x:2@0 a.so"],
        ),
        (
            vec![sshd("account substack x\naccount required b.so\n"), x("account required a.so\n")],
            vec!["sshd:1@0 substack", "x:1@1 a.so", "sshd:2@0 b.so"],
        ),
        (
            vec![sshd("account include none\naccount required b.so\n")],
            vec!["sshd:1@0 fails", "sshd:2@0 b.so"],
        ),
        (
            vec![sshd("account include\naccount required b.so\n")],
            vec!["sshd:1@0 fails", "sshd:2@0 b.so"],
        ),
        (vec![sshd("account include x\n"), x("bogus required a.so\n")], vec!["x:1@0 fails"]),
        (vec![sshd("bogus required a.so\naccount required b.so\n")], vec!["sshd:2@0 b.so"]),
        (
            vec![sshd("@include x\naccount required b.so\n"), x("account required a.so\n")],
            vec!["x:1@0 a.so", "sshd:2@0 b.so"],
        ),
        (
            vec![sshd("account include x\n"), ("/usr/lib/pam.d/x", "account required a.so\n")],
            vec!["/usr/lib/pam.d/x:1@0 a.so"],
        ),
        (
            vec![("/usr/lib/pam.d/sshd", "account required a.so\n"), x("")],
            vec!["/usr/lib/pam.d/sshd:1@0 a.so"],
        ),
        (vec![("/etc/pam.d/other", "account required a.so\n")], vec!["other:1@0 a.so"]),
        (
            vec![sshd("auth required b.so\n"), ("/etc/pam.d/other", "account required a.so\n")],
            vec!["other:1@0 a.so"],
        ),
        (
            vec![("/etc/pam.conf", "other account required b.so\nSSHD account required a.so\n")],
            vec!["/etc/pam.conf:2@0 a.so"],
        ),
        (
            vec![("/etc/pam.conf", "other account required b.so\nlogin account required a.so\n")],
            vec!["/etc/pam.conf:1@0 b.so"],
        ),
        (
            vec![
                sshd("account required a.so\n"),
                ("/etc/pam.conf", "sshd account required b.so\n"),
            ],
            vec!["sshd:1@0 a.so"],
        ),
    ] {
        assert_eq!(read_all(&files, true).unwrap(), expected, "{files:?}");
    }
    for (files, expected) in [
        (vec![], "unknown /etc/pam.d"),
        (vec![x("")], "broken /etc/pam.d/sshd"),
        (vec![sshd("")], "broken /etc/pam.d/sshd"),
        (vec![sshd("auth required a.so\n")], "broken /etc/pam.d/sshd"),
        (vec![sshd("@include none\n")], "broken /etc/pam.d/sshd:1"),
        (vec![sshd("@include\n")], "broken /etc/pam.d/sshd:1"),
        (vec![sshd("account required a.so\\\n")], "broken /etc/pam.d/sshd"),
        (vec![x(""), ("/etc/pam.conf", "sshd account required a.so\n")], "unknown /etc/pam.conf"),
        (vec![("/etc/pam.conf", "")], "broken /etc/pam.conf"),
    ] {
        assert_eq!(read_all(&files, true).unwrap_err(), expected, "{files:?}");
    }
    // Only Debian's libpam knows the word.
    let files = [sshd("@include x\naccount required b.so\n"), x("account required a.so\n")];
    assert_eq!(read_all(&files, false).unwrap(), ["sshd:2@0 b.so"]);
}

#[test]
fn includes_have_an_end() {
    let itself = [("/etc/pam.d/sshd", "account required a.so\naccount include sshd\n")];
    let lines = read_all(&itself, true).unwrap();
    // 16 levels, and the line that fails.
    assert_eq!((lines.len(), lines.last().unwrap().as_str()), (17, "sshd:2@0 fails"));
    let twice = [("/etc/pam.d/sshd", "account include sshd\naccount include sshd\n")];
    assert!(read_all(&twice, true).unwrap_err().starts_with("unknown"));
    let long = "account required a.so\n".repeat(LINES_MAX + 1);
    assert!(read_all(&[("/etc/pam.d/sshd", &long)], true).unwrap_err().starts_with("unknown"));
}
