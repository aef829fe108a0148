//! `key check`, and `key add --fix`: the verdict as documents and as text, exit statuses, the hint that is true, and
//! repairs that are taken back with the key. That the verdict is that of sshd is for `login_truth` to say.

use crate::cli_commands::words;
use crate::support::image::{ImageBuilder, Nodes};
use crate::support::regain::{Regain, Run};
use crate::support::root::{self, KEY_FILE, NEW_KEY, OLD_KEY};
use crate::support::scratch::Scratch;
use crate::support::{digest, oracle, tools};
use serde_json::Value;
use std::fs;

/// A disk and the program.
struct Disk {
    scratch: Scratch,
    regain: Regain,
}

impl Disk {
    fn new(nodes: Nodes) -> Self {
        let scratch = Scratch::new();
        ImageBuilder::new("ext4", 8).nodes(nodes).build_in(&scratch, "disk.img");
        for (name, key) in [("old.pub", OLD_KEY), ("new.pub", NEW_KEY)] {
            fs::write(scratch.join(name), key).unwrap();
        }
        let regain = Regain::new(scratch.path());
        Self { scratch, regain }
    }

    fn run(&self, line: &str) -> Run {
        self.regain.run(&words(line))
    }

    fn ok(&self, line: &str) -> Value {
        self.run(line).success()["result"].clone()
    }

    fn digest(&self) -> String {
        digest::of_file(&self.scratch.join("disk.img"))
    }

    /// A file of the disk, by an outside reader.
    fn text(&self, path: &str) -> String {
        let image = self.scratch.join("disk.img");
        let output =
            tools::run("debugfs", &["-R", &format!("cat {path}"), image.to_str().unwrap()]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// A Debian with PAM, and without programs: of its services nothing is said.
fn debian(config: &str) -> Nodes {
    let mut nodes = root::with_key();
    nodes.directory("/etc/pam.d", 0o755, 0);
    let stack = "auth required pam_unix.so\naccount required pam_nologin.so\n\
                 account required pam_unix.so\nsession required pam_unix.so\n";
    nodes.file("/etc/pam.d/sshd", stack, 0o644, 0);
    // Without Include, which only a release that is known takes for sure.
    let config = format!("UsePAM yes\n{config}");
    nodes.file("/etc/ssh/sshd_config", config, 0o644, 0);
    nodes
}

/// The document of `key check`, whose verdict and exit status belong together.
fn check(disk: &Disk, more: &str) -> Value {
    let run = disk.run(&format!("key check disk.img --user admin --json{more}"));
    let document = run.json();
    let verdict = document["result"]["verdict"].as_str().unwrap();
    assert_eq!(run.status, if verdict == "accepted" { 0 } else { 4 }, "{document}");
    assert_eq!(document["ok"], verdict == "accepted", "{document}");
    assert_eq!(document["error"].is_null(), verdict == "accepted", "{document}");
    assert_eq!(document["target"]["volume_id"], "0");
    document
}

#[test]
fn the_verdict_comes_with_its_reasons_and_the_next_command() {
    let disk = Disk::new(debian(""));
    let before = disk.digest();
    let found = check(&disk, "")["result"].clone();
    assert_eq!(
        (&found["verdict"], &found["user"]),
        (&"accepted".into(), &"admin".into()),
        "{found}"
    );
    assert_eq!(found["date"], "2025-06-15");
    assert!(!found["not_seen"].as_array().unwrap().is_empty());
    let key = &found["keys"][0];
    assert_eq!((&key["path"], &key["line"]), (&KEY_FILE.into(), &1.into()));
    assert_eq!((&key["verdict"], &key["comment"]), (&"accepted".into(), &"old@laptop".into()));
    assert_eq!(check(&disk, " --key old.pub")["result"]["verdict"], "accepted");

    let refused = check(&disk, " --key new.pub");
    let finding = &refused["result"]["findings"][0];
    assert_eq!((&finding["check"], &finding["severity"]), (&"key-line".into(), &"block".into()));
    assert_eq!((&finding["rule"], &finding["undecided"]), (&"LOGIN-39".into(), &false.into()));
    assert_eq!(refused["error"]["kind"], "refused");
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("`regain key add disk.img --user admin --key new.pub`"), "{hint}");
    // Of several keys the worst counts.
    assert_eq!(check(&disk, " --key old.pub --key new.pub")["result"]["verdict"], "refused");

    let run = disk.run("key check disk.img --user admin --key new.pub");
    assert_eq!(run.status, 4);
    assert!(run.stdout.starts_with("refused: admin with ssh-ed25519 SHA256:"), "{}", run.stdout);
    assert!(run.stdout.contains("(LOGIN-39) [key-line]"), "{}", run.stdout);
    assert!(
        run.stderr.contains("the target was not modified\nhint: `regain key add"),
        "{}",
        run.stderr
    );
    let run = disk.run("key check disk.img --user admin --key old.pub");
    assert!(run.stdout.starts_with("accepted: admin with ssh-ed25519 SHA256:"), "{}", run.stdout);
    assert_eq!((run.status, disk.digest()), (0, before));
}

#[test]
fn what_cannot_be_known_is_unknown_and_who_is_not_there_is_refused() {
    let disk = Disk::new(debian("Match Address 10.0.0.0/8\nPubkeyAuthentication no\n"));
    let found = check(&disk, " --key old.pub");
    assert_eq!(found["result"]["verdict"], "unknown");
    assert!(found["error"]["message"].as_str().unwrap().contains("is not known"), "{found}");
    let open = found["result"]["findings"].as_array().unwrap().iter();
    assert!(open.clone().any(|finding| finding["undecided"] == true), "{found}");
    let run = disk.run("key check disk.img --user ghost --key old.pub --json");
    let document = run.json();
    assert_eq!((run.status, &document["result"]["verdict"]), (4, &"refused".into()));
    assert_eq!(document["result"]["findings"][0]["check"], "user-exists");
    // Added all the same, and told.
    let added = disk.run("key add disk.img --user admin --key new.pub --no-undo --yes --json");
    assert_eq!(added.success()["result"]["users"][0]["verdict"], "unknown");
    assert!(added.stderr.contains("depends on the client"), "{}", added.stderr);
}

#[test]
fn fix_repairs_what_it_may_and_names_the_word_for_the_rest() {
    let mut nodes = debian("AllowUsers nobody\nPubkeyAuthentication no\n");
    nodes.directory("/home/admin", 0o777, 1000);
    nodes.file("/etc/shadow", "admin:!$6$x:19000:0:99999:7::100:\nroot:*:::::::\n", 0o640, 0);
    nodes.file("/etc/nologin", "", 0o644, 0);
    let disk = Disk::new(nodes);
    let before = disk.digest();
    let add = "key add disk.img --user admin --key new.pub --yes --undo-file u --json";
    for line in [add.to_owned(), format!("{add} --fix")] {
        let hint = disk.run(&line).failure(&[4])["hint"].as_str().unwrap().to_owned();
        assert!(hint.starts_with("add --fix-also conf-users: "), "{hint}");
    }
    let refused = check(&disk, " --key new.pub");
    let hint = refused["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("--key new.pub --fix-also conf-users`"), "{hint}");
    let offered = refused["result"]["findings"].as_array().unwrap().iter();
    let offered = offered.filter_map(|finding| finding["fix"].as_str()).collect::<Vec<_>>();
    assert!(offered.iter().any(|fix| fix.starts_with("`--fix-also conf-users`")), "{offered:?}");
    assert_eq!(disk.digest(), before);

    let done = disk.ok(&format!("{add} --fix-also conf-users"));
    assert_eq!(done["users"][0]["verdict"], "accepted", "{done}");
    let repaired = done["findings"].as_array().unwrap().iter();
    let repaired: Vec<&str> = repaired
        .filter(|finding| finding["message"].as_str().unwrap().starts_with("repaired: "))
        .map(|finding| finding["check"].as_str().unwrap())
        .collect();
    for check in ["strict-mode", "acct-expired", "nologin", "conf-pubkey", "conf-users"] {
        assert!(repaired.contains(&check), "{check}: {repaired:?}");
    }
    assert_eq!(disk.text("/etc/shadow"), "admin:!$6$x:19000:0:99999:7:::\nroot:*:::::::\n");
    let config = disk.text("/etc/ssh/sshd_config");
    let mut lines: Vec<&str> = config.lines().take(2).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["AllowUsers admin", "PubkeyAuthentication yes"]);
    assert!(
        config.ends_with("UsePAM yes\nAllowUsers nobody\nPubkeyAuthentication no\n"),
        "{config}"
    );
    oracle::assert_clean(&disk.scratch.join("disk.img"), 0, "the repaired disk");
    assert_eq!(check(&disk, " --key new.pub")["result"]["verdict"], "accepted");
    assert_eq!(disk.ok(&format!("{add} --fix"))["changed"], false);

    disk.ok("undo u disk.img --yes --json");
    assert_eq!(disk.digest(), before);
}

#[test]
fn an_edit_that_does_not_help_is_not_made_unless_forced_login_6() {
    let disk = Disk::new(debian("DenyUsers admin\n"));
    let before = disk.digest();
    let add = "key add disk.img --user admin --key new.pub --yes --no-undo --json";
    for more in ["", " --fix", " --fix-also conf-users"] {
        disk.run(&format!("{add}{more}")).failure(&[4]);
    }
    assert_eq!(disk.digest(), before);
    let forced = disk.ok(&format!("{add} --force"));
    assert_eq!(
        (&forced["changed"], &forced["users"][0]["verdict"]),
        (&true.into(), &"refused".into())
    );
    let run = disk.run("key add disk.img --user admin --key new.pub --fix-also nonsense --json");
    assert_eq!(run.failure(&[2])["kind"], "usage");
}
