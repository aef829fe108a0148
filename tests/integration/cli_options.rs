//! Every option of the command line, and what must not be left behind when a run fails.

use crate::cli_commands::{Place, words};
use crate::support::tools;
use serde_json::Value;
use std::fs;

/// A second key; nobody has its private half.
const SECOND: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK6whEEwkmw5Zxp8Az0nT/TJaGMsr/e6aBKcXN76FKji second\n";

impl Place {
    fn debugfs(&self, command: &str) {
        let image = format!("{}?offset=1572864", self.scratch.join("root.img").display());
        tools::succeed("debugfs", &["-w", "-R", command, &image]);
    }

    fn fingerprints(&self) -> Vec<Value> {
        let listed = self.ok("key list root.img --json")["keys"].clone();
        listed.as_array().unwrap().iter().map(|key| key["fingerprint"].clone()).collect()
    }
}

#[test]
fn several_keys_from_files_and_standard_input_are_added_once_each() {
    let place = Place::new();
    let add = "key add root.img --key rescue_key.pub --key - --key rescue_key.pub --yes --json";
    let run = place.regain.run_with(&words(add), SECOND.as_bytes(), &[]);
    assert_eq!(run.success()["result"]["changed"], true);
    assert_eq!(place.fingerprints().len(), 3);
    assert_eq!(place.regain.run(&words(add)).failure(&[2, 4, 5])["target_modified"], false);
    let again = place.regain.run_with(&words(add), SECOND.as_bytes(), &[]).success();
    assert_eq!(again["result"]["changed"], false);
    assert_eq!(place.fingerprints().len(), 3);
}

#[test]
fn options_stand_in_front_of_the_key_and_nonsense_is_refused() {
    let place = Place::new();
    let mut add = words("key add root.img --key rescue_key.pub --yes --json --options");
    add.push("from=\"10.0.0.0/8\",no-pty");
    place.regain.run(&add).success();
    let keys = place.ok("key list root.img --json")["keys"].clone();
    assert_eq!(keys[1]["options"], "from=\"10.0.0.0/8\",no-pty");
    let last = add.len() - 1;
    for nonsense in ["from=\"unclosed", "not-an-option", "no-pty\nssh-rsa"] {
        let before = place.disk_digest();
        add[last] = nonsense;
        assert_eq!(place.regain.run(&add).failure(&[2])["kind"], "usage", "{nonsense:?}");
        assert_eq!(place.disk_digest(), before);
    }
}

#[test]
fn all_users_are_those_who_could_log_in() {
    let place = Place::new();
    let done = place.ok("key add root.img --key rescue_key.pub --all-users --yes --json");
    let users = done["users"].as_array().unwrap();
    assert!(users.iter().any(|user| user["name"] == "admin"), "{users:?}");
    for user in users {
        assert_eq!(user["outcome"], "changes", "{user}");
    }
    let listed = place.ok("key list root.img --json")["keys"].clone();
    assert_eq!(listed.as_array().unwrap().len(), users.len() + 1);
    let error = place.failed("key add root.img --key k --all-users --user admin --json", 2);
    assert!(error["message"].as_str().unwrap().contains("--all-users"), "{error}");
}

#[test]
fn force_adds_what_sshd_would_not_accept_and_fix_repairs_it() {
    let place = Place::new();
    place.debugfs("set_inode_field /home/admin mode 040777");
    let inspected = place.ok("inspect root.img --json");
    let route = &inspected["systems"][0]["access_routes"][0];
    assert!(route["command"].as_str().unwrap().ends_with("--fix"), "{route}");
    assert!(route["reason"].as_str().unwrap().contains("0777"), "{route}");
    let add = "key add root.img --key rescue_key.pub --yes --no-undo --json";
    let error = place.failed(add, 4);
    assert!(error["hint"].as_str().unwrap().starts_with("add --fix"), "{error}");
    let forced = place.ok(&format!("{add} --force"));
    assert_eq!(
        (&forced["changed"], &forced["findings"][0]["severity"]),
        (&true.into(), &"block".into())
    );
    assert_eq!(forced["changes"].as_array().unwrap().len(), 1);
    let inspected = place.ok("inspect root.img --json");
    let users = inspected["systems"][0]["users"].as_array().unwrap();
    let admin = users.iter().find(|user| user["name"] == "admin").unwrap();
    assert_eq!(admin["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn an_rsa_key_pair_is_made_and_works_with_ssh_keygen() {
    let place = Place::new();
    let made = place.ok("key add root.img --generate-key id --key-type rsa --yes --json");
    assert_eq!(made["generated_key"]["type"], "ssh-rsa");
    let private = place.scratch.join("id");
    let public = tools::succeed("ssh-keygen", &["-y", "-f", private.to_str().unwrap()]);
    let blob = public.split(' ').nth(1).unwrap().trim();
    assert!(made["generated_key"]["public_key"].as_str().unwrap().contains(blob));
    let keys = place.ok("key list root.img --json")["keys"].clone();
    assert_eq!((&keys[1]["type"], &keys[1]["bits"]), (&"ssh-rsa".into(), &4096.into()));
}

/// Whatever goes wrong before the first write, no key and no undo file stay behind, and the next run succeeds.
#[test]
fn a_run_that_fails_before_the_first_write_leaves_nothing_behind() {
    let place = Place::new();
    let files = || {
        let mut names = place.names("");
        names.sort();
        names
    };
    place.debugfs("set_inode_field /home/admin mode 040777");
    let before = files();
    let add = "key add root.img --generate-key id --json";
    for (more, statuses) in [
        ("--yes", vec![4]),
        ("--fix", vec![2]),
        ("--yes --fix --undo-file missing/undo", vec![1, 3]),
        ("--yes --fix --undo-file id", vec![4]),
        ("--yes --fix --undo-file id.pub", vec![4]),
        ("--yes --fix --undo-file root.img", vec![4]),
        ("--fix --patch-out missing/patch", vec![1, 3]),
        ("--yes --user nobody-is-called-this", vec![3]),
        ("--yes --volume 99", vec![3]),
    ] {
        place.regain.run(&words(&format!("{add} {more}"))).failure(&statuses);
        assert_eq!(files(), before, "{more}");
    }
    // Somebody else holds the image.
    let image = fs::File::open(place.scratch.join("root.img")).unwrap();
    image.lock().unwrap();
    let held = place.disk_digest();
    let error = place.failed(&format!("{add} --yes --fix"), 4);
    assert!(error["message"].as_str().unwrap().contains("in use"), "{error}");
    let line = "key add root.img --key rescue_key.pub --json --dry-run --fix";
    let foretold = place.regain.run(&words(line));
    foretold.success();
    let message = error["message"].as_str().unwrap();
    assert!(
        foretold.stderr.contains(&format!("writing would be refused: {message}")),
        "{foretold:?}"
    );
    assert_eq!((files(), place.disk_digest()), (before, held));
    drop(image);
    place.ok(&format!("{add} --yes --fix"));
    let error = place.failed(&format!("{add} --yes --fix"), 4);
    assert!(error["hint"].as_str().unwrap().contains("--key id.pub"), "{error}");
}

#[test]
fn two_runs_with_one_clock_give_one_patch() {
    let place = Place::new();
    let patch = |name: &str, clock: &str, more: &str| {
        let line = format!("key add root.img --key rescue_key.pub --patch-out {name} {more}--json");
        place.regain.run_with(&words(&line), b"", &[("SOURCE_DATE_EPOCH", clock)]).success();
        fs::read(place.scratch.join(name)).unwrap()
    };
    let one = patch("one", "1700000000", "");
    assert_eq!(one, patch("two", "1700000000", ""));
    assert_eq!(one, patch("three", "1700000000", "--reproducible "));
    assert!(one != patch("four", "1700000001", ""), "the clock is not used");
    let bad = "key add root.img --key rescue_key.pub --dry-run --json";
    let run = place.regain.run_with(&words(bad), b"", &[("SOURCE_DATE_EPOCH", "soon")]);
    assert_eq!(run.failure(&[2])["kind"], "usage");
}

#[test]
fn a_volume_is_chosen_by_number_uuid_or_label() {
    let place = Place::new();
    for name in ["1", "root", "5f3e6a10-0000-4000-8000-000000000001"] {
        let line =
            format!("key add root.img --key rescue_key.pub --dry-run --volume {name} --json");
        assert_eq!(place.ok(&line)["volume_id"], "1", "{name}");
    }
    for name in ["14", "0", "Root", ""] {
        let mut line = words("key add root.img --key rescue_key.pub --dry-run --json --volume");
        line.push(name);
        place.regain.run(&line).failure(&[3]);
    }
}

#[test]
fn colours_come_only_when_they_are_asked_for() {
    let place = Place::new();
    for line in ["inspect root.img", "key add root.img --key rescue_key.pub --dry-run", "show none"]
    {
        for (more, environment, is_coloured) in [
            ("", vec![], false),
            (" --color never", vec![], false),
            (" --color always", vec![], true),
            (" --color always", vec![("NO_COLOR", "1")], true),
            (" --color auto", vec![("CLICOLOR_FORCE", "1")], false),
        ] {
            let run = place.regain.run_with(&words(&format!("{line}{more}")), b"", &environment);
            let text = format!("{}{}", run.stdout, run.stderr);
            assert_eq!(text.contains('\u{1b}'), is_coloured, "{line}{more}: {text}");
        }
    }
}

#[test]
fn quiet_says_less_and_verbose_more_and_json_stays_one_document() {
    let place = Place::new();
    fs::rename(place.scratch.join("root.img"), place.scratch.join("whole.img")).unwrap();
    let mut bytes = fs::read(place.scratch.join("whole.img")).unwrap();
    bytes[512..1024].fill(0);
    fs::write(place.scratch.join("root.img"), bytes).unwrap();
    let line = "key add root.img --key rescue_key.pub --dry-run";
    let run = |more: &str| place.regain.run(&words(&format!("{line}{more}")));
    assert!(run("").stderr.contains("warning: "));
    assert_eq!(run(" -q").stderr, "");
    assert!(run(" -v").stderr.len() >= run("").stderr.len());
    for more in [" --json", " --json -q", " --json -v", " --json --color always"] {
        assert_eq!(run(more).success()["result"]["dry_run"], true, "{more}");
    }
    assert_eq!(run(" -q -v").status, 2);
    let plain = place.regain.run(&words("inspect root.img")).stdout;
    let verbose = place.regain.run(&words("inspect root.img -v")).stdout;
    assert!(!plain.contains("SHA256:") && verbose.contains("SHA256:"), "{verbose}");
}

#[test]
fn every_help_fits_the_terminal_and_has_an_example() {
    let place = Place::new();
    let commands = [
        "",
        "inspect ",
        "key ",
        "key add ",
        "key list ",
        "show ",
        "apply ",
        "undo ",
        "user-data ",
        "demo ",
        "completions ",
        "man ",
    ];
    for command in commands {
        let run =
            place.regain.run_with(&words(&format!("{command}--help")), b"", &[("COLUMNS", "100")]);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{command}");
        assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{command}");
        let needle = format!("\n  regain {command}");
        let needle = needle.trim_end();
        assert!(run.stdout.contains(needle), "{command}: no example in {}", run.stdout);
    }
    for (command, example) in [("", "regain key add disk.img"), ("key", "regain key list disk.img")]
    {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let run = place.regain.run(&arguments);
        assert_eq!((run.status, run.stdout.as_str()), (2, ""), "{command:?}");
        assert!(run.stderr.contains(example), "{}", run.stderr);
        assert_eq!(
            place.regain.run(&[command, "--json"][usize::from(command.is_empty())..]).status,
            2
        );
    }
}
