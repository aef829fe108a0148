//! A mounted root directory as the target: the whole life of a key and a password, kills, patches.

use crate::support::regain::{CLOCK_SECONDS, Regain, Run};
use crate::support::rng::Rng;
use crate::support::root::{NEW_KEY, OLD_KEY};
use crate::support::rooted::{KEY_FILE, Rooted, assert_same};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) fn run(rooted: &Rooted, line: &str) -> Run {
    let words: Vec<&str> = line.split(' ').collect();
    Regain::new(rooted.scratch.path()).run(&words)
}

fn ok(rooted: &Rooted, line: &str) -> Value {
    run(rooted, line).success()["result"].take()
}

/// Everything that an editing command does, and the way back to the very beginning.
#[test]
fn keys_and_passwords_come_and_go_and_everything_is_taken_back() {
    let rooted = Rooted::new();
    let (before, host) = (rooted.inventory(), rooted.host());
    let document = run(&rooted, "inspect root --json").success();
    assert_eq!(document["target"]["kind"], "directory");
    let result = &document["result"];
    assert_eq!(result["image"]["format"], "directory");
    assert_eq!(
        (&result["volumes"][0]["id"], &result["volumes"][0]["writable"]),
        (&json!("0"), &json!(true))
    );
    assert_eq!(result["systems"][0]["name"], "Debian GNU/Linux");
    assert_eq!(
        result["systems"][0]["access_routes"][0]["command"],
        "regain key add root --key FILE"
    );
    assert_same(&rooted.inventory(), &before, "after inspect");

    run(&rooted, "key check root --user admin --key key.pub --json").failure(&[4]);
    let add = "key add root --user admin --key key.pub --json --yes";
    let plan = ok(&rooted, "key add root --user admin --key key.pub --json --dry-run");
    assert_eq!((&plan["changed"], &plan["undo_file"]), (&json!(true), &Value::Null));
    assert_same(&rooted.inventory(), &before, "after a dry run");

    let added = ok(&rooted, &format!("{add} --undo-file undo1"));
    assert_eq!((&added["changed"], &added["verified_by"]), (&json!(true), &json!("own reader")));
    assert_eq!(added["users"][0]["verdict"], "accepted", "{added}");
    assert_eq!(added["undo_command"], "regain undo undo1 root");
    assert_eq!(rooted.read(KEY_FILE), format!("{OLD_KEY}{NEW_KEY}"));
    let file = fs::metadata(rooted.root().join(KEY_FILE)).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o600, rooted.uid, rooted.gid));
    assert_eq!(file.mtime(), CLOCK_SECONDS);
    let with_key = rooted.inventory();
    assert_eq!(with_key.len(), before.len(), "something is left behind");
    let again = ok(&rooted, add);
    assert_eq!((&again["changed"], &again["undo_file"]), (&json!(false), &Value::Null));
    assert_same(&rooted.inventory(), &with_key, "after the second run");
    let check = ok(&rooted, "key check root --user admin --key key.pub --json");
    assert_eq!(check["verdict"], "accepted", "{check}");
    let keys = ok(&rooted, "key list root --json");
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);

    let rotated =
        ok(&rooted, "key rotate root --user admin --key key.pub --json --yes --undo-file undo2");
    assert_eq!(rotated["changed"], true);
    assert_eq!(rooted.read(KEY_FILE), NEW_KEY);
    run(&rooted, "key revoke root --user admin --all --json --yes").failure(&[4]);
    let revoked = ok(&rooted, "key revoke root --all --force --json --yes --undo-file undo3");
    assert_eq!(revoked["changed"], true);
    assert_eq!(rooted.read(KEY_FILE), "");

    fs::write(rooted.scratch.join("password"), "correct horse battery\n").unwrap();
    let reset = "password reset root --user admin --password-file password --force --json --yes";
    let reset = run(&rooted, &format!("{reset} --undo-file undo4"));
    let reset = if reset.status == 2 {
        run(
            &rooted,
            "password reset root --user admin --password-file password --json --yes --undo-file undo4",
        )
    } else {
        reset
    };
    if reset.status == 0 {
        assert!(!rooted.read("etc/shadow").contains("admin:!:"));
        let shadow = fs::metadata(rooted.root().join("etc/shadow")).unwrap();
        assert_eq!(shadow.mode() & 0o7777, 0o640);
        run(&rooted, "undo undo4 root --yes --json").success();
    }
    for name in ["undo3", "undo2", "undo1"] {
        let undone = run(&rooted, &format!("undo {name} root --yes --json")).success();
        assert_eq!(undone["result"]["state_before"], "applied", "{name}");
        let again = run(&rooted, &format!("undo {name} root --yes --json")).success();
        assert_eq!(again["result"]["changed"], false, "{name}");
    }
    assert_same(&rooted.inventory(), &before, "after every undo");
    assert_same(&rooted.host(), &host, "the host");
}

/// What is in the way is repaired in the same transaction.
#[test]
fn repairs_are_part_of_the_edit() {
    let rooted = Rooted::new();
    let mode = |path: &str| fs::metadata(rooted.root().join(path)).unwrap().mode() & 0o7777;
    let open = fs::Permissions::from_mode;
    fs::set_permissions(rooted.root().join("home/admin"), open(0o777)).unwrap();
    fs::set_permissions(rooted.root().join(KEY_FILE), open(0o666)).unwrap();
    let before = rooted.inventory();
    let add = "key add root --user admin --key key.pub --json --yes --undo-file undo";
    run(&rooted, add).failure(&[4]);
    assert_same(&rooted.inventory(), &before, "after the refusal");
    let added = ok(&rooted, &format!("{add} --fix"));
    assert_eq!(added["users"][0]["verdict"], "accepted", "{added}");
    assert_eq!((mode("home/admin") & 0o22, mode(KEY_FILE) & 0o22), (0, 0));
    run(&rooted, "undo undo root --yes --json").success();
    assert_same(&rooted.inventory(), &before, "after the undo");
}

#[test]
fn a_patch_is_made_shown_applied_and_taken_back() {
    let rooted = Rooted::new();
    let before = rooted.inventory();
    let made = ok(&rooted, "key add root --user admin --key key.pub --json --patch-out p");
    assert_eq!(made["patch"]["apply_command"], "regain apply p root");
    assert_same(&rooted.inventory(), &before, "after making a patch");
    let shown = ok(&rooted, "show p --json");
    let id = &shown["identity"]["directory"]["machine_id"];
    assert_eq!(id, "0123456789abcdef0123456789abcdef");
    let object = &shown["objects"][0];
    assert_eq!(
        (&object["path"], &object["change"]),
        (&json!(format!("/{KEY_FILE}")), &json!("replace"))
    );
    let text = run(&rooted, "show p").stdout;
    assert!(text.contains("machine-id") && text.contains("0600"), "{text}");
    for (state, changed) in [("unapplied", true), ("applied", false)] {
        let line = "apply p root --yes --json --no-undo";
        let applied = run(&rooted, line).success()["result"].take();
        assert_eq!(
            (&applied["state_before"], &applied["changed"]),
            (&json!(state), &json!(changed))
        );
        assert_eq!(rooted.read(KEY_FILE), format!("{OLD_KEY}{NEW_KEY}"));
    }
    run(&rooted, "undo p root --yes --json").success();
    assert_same(&rooted.inventory(), &before, "after the undo");
    fs::write(rooted.root().join(KEY_FILE), "somebody else's\n").unwrap();
    let changed = rooted.inventory();
    for line in ["apply p root --yes --json", "undo p root --yes --json"] {
        let error = run(&rooted, line).failure(&[6]);
        assert!(error["message"].as_str().unwrap().contains(KEY_FILE), "{error}");
    }
    assert_same(&rooted.inventory(), &changed, "after the mismatch");
    assert!(
        !fs::read_dir(rooted.scratch.path()).unwrap().any(|entry| {
            entry.unwrap().file_name().to_str().unwrap().starts_with("regain-undo-")
        })
    );
}

/// A patch belongs to one machine, and to a directory.
#[test]
fn a_patch_of_another_system_or_of_a_disk_does_not_fit() {
    let rooted = Rooted::new();
    ok(&rooted, "key add root --user admin --key key.pub --json --patch-out p");
    let id = rooted.root().join("etc/machine-id");
    fs::remove_file(&id).unwrap();
    fs::write(&id, "ffffffffffffffffffffffffffffffff\n").unwrap();
    let error = run(&rooted, "apply p root --yes --json").failure(&[6]);
    assert!(error["message"].as_str().unwrap().contains("machine-id"), "{error}");
    fs::write(rooted.scratch.join("disk.img"), [0; 4096]).unwrap();
    let error = run(&rooted, "apply p disk.img --yes --json").failure(&[6]);
    assert!(error["message"].as_str().unwrap().contains("directory"), "{error}");
}

#[test]
fn what_cannot_be_a_target_is_refused_and_nothing_is_put_inside() {
    let rooted = Rooted::new();
    let before = rooted.inventory();
    for (line, status, word) in [
        ("inspect / --json", 4, "running system"),
        ("inspect /proc/self/root --json", 4, "running system"),
        ("inspect /proc/self --json", 5, "proc"),
        ("inspect root --format raw --json", 2, "--format"),
        ("key add root/home --key key.pub --yes --json", 3, "operating system"),
        ("key add root --user admin --key key.pub --yes --json --undo-file root/undo", 4, "itself"),
        ("key add root --user admin --key key.pub --json --patch-out root/etc/p", 4, "itself"),
        ("key add root --user admin --generate-key root/id --yes --json", 4, "itself"),
    ] {
        let error = run(&rooted, line).failure(&[status]);
        assert!(error["message"].as_str().unwrap().contains(word), "{line}: {error}");
    }
    assert_same(&rooted.inventory(), &before, "after the refusals");
}

/// A mount that fstab names and nobody has mounted below the target: said, with the command that helps.
#[test]
fn a_home_that_is_not_mounted_is_told_with_its_remedy() {
    let rooted = Rooted::new();
    let fstab = "LABEL=root / ext4 defaults 0 1\nLABEL=home /home ext4 defaults 0 2\n";
    fs::write(rooted.root().join("etc/fstab"), fstab).unwrap();
    let before = rooted.inventory();
    let document = run(&rooted, "key add root --user admin --key key.pub --yes --json");
    let error = document.failure(&[4]);
    let text = document.stdout.clone() + &document.stderr;
    assert!(text.contains("mount LABEL=home root/home"), "{error}: {text}");
    assert_same(&rooted.inventory(), &before, "after the refusal");
}

/// Killed at any moment, the edit is finished or taken back.
#[test]
fn killed_anywhere_it_is_finished_or_taken_back() {
    let rooted = Rooted::new();
    let seed = std::env::var("REGAIN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: REGAIN_SEED={seed} repeats the choices");
    let mut rng = Rng::new(seed);
    let before = rooted.inventory();
    ok(&rooted, "key add root --user admin --key key.pub --json --patch-out p");
    ok(&rooted, "apply p root --yes --json --no-undo");
    let after = rooted.inventory();
    for round in 0..24 {
        let way = if round % 2 == 0 { "undo p root --yes" } else { "apply p root --yes --no-undo" };
        let mut child = Command::new(env!("CARGO_BIN_EXE_regain"))
            .args(way.split(' '))
            .current_dir(rooted.scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // How far it comes in so many looks is up to the host; every outcome must do.
        for _ in 0..rng.below(4000) {
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
        let state = ok(&rooted, "apply p root --yes --json --no-undo");
        assert_ne!(state["state_before"], "foreign");
        assert_same(&rooted.inventory(), &after, "finished after a kill");
        if round % 2 == 1 {
            ok(&rooted, "undo p root --yes --json");
            assert_same(&rooted.inventory(), &before, "taken back after a kill");
        }
    }
}

/// The path of a directory may be anything.
#[test]
fn a_target_with_an_odd_name_works() {
    let rooted = Rooted::new();
    let odd = rooted.scratch.join("a b\\040c'\n");
    fs::rename(rooted.root(), &odd).unwrap();
    let key = rooted.scratch.join("key.pub");
    let regain = Regain::new(rooted.scratch.path());
    let added = regain.key_add(Path::new("a b\\040c'\n"), "admin", &key, &["--undo-file", "undo"]);
    assert_eq!(added.success()["result"]["changed"], true);
    let undone = regain.run(&["undo", "undo", "a b\\040c'\n", "--yes", "--json"]);
    assert_eq!(undone.success()["result"]["state_before"], "applied");
}
