//! Root disks that lie in logical volumes, on one disk or on several.

use crate::support::lvm::{self, Lay};
use crate::support::scratch::Scratch;
use crate::support::stack_bench::{self, StackBench};
use crate::support::{sparse, tools};
use std::path::{Path, PathBuf};

/// A root in a logical volume that is laid as `lay` says, and its length.
fn in_lvm(lay: Lay) -> (StackBench, u64) {
    let scratch = Scratch::new();
    let image = stack_bench::ext4_root(&scratch);
    let len_bytes = image.metadata().unwrap().len();
    let disks = lvm::put(&image, lay, scratch.path());
    (StackBench::new(scratch, disks), len_bytes)
}

#[test]
fn a_root_in_a_logical_volume_is_edited_and_undone() {
    for lay in Lay::ALL {
        let (bench, len_bytes) = in_lvm(lay);
        let changed: &[usize] = match lay {
            Lay::Linear => &[0],
            // All that is edited lies in the first half, which is on the second disk.
            Lay::TwoDisks => &[1],
            Lay::Striped => &[0, 1],
        };
        let take = |disks: &[PathBuf], to: &Path| lvm::take(disks, lay, len_bytes, to);
        bench.prove("group/root", changed, &take);
    }
}

/// The order of the disks is the user's business: LVM tells them apart, and the patch keeps the order.
#[test]
fn the_disks_may_come_in_any_order() {
    let (bench, len_bytes) = in_lvm(Lay::Striped);
    let reversed: Vec<PathBuf> = bench.disks().iter().rev().cloned().collect();
    let scratch = Scratch::new();
    let bench = {
        let disks = reversed.iter().map(|disk| {
            let to = scratch.join(disk.file_name().unwrap().to_str().unwrap());
            std::fs::copy(disk, &to).unwrap();
            to
        });
        let disks = disks.collect();
        StackBench::new(scratch, disks)
    };
    let take = |disks: &[PathBuf], to: &Path| {
        let in_order: Vec<PathBuf> = disks.iter().rev().cloned().collect();
        lvm::take(&in_order, Lay::Striped, len_bytes, to);
    };
    bench.prove("group/root", &[0, 1], &take);
}

#[test]
fn a_group_that_lacks_a_disk_is_refused_with_the_option_that_helps() {
    let (bench, _) = in_lvm(Lay::TwoDisks);
    let disks = bench.disks();
    for given in [&disks[..1], &disks[1..]] {
        let key = bench.scratch().join("new.pub");
        let more = ["--user", "admin", "--key", key.to_str().unwrap(), "--yes"];
        let error = bench.run_on(given, "key add", &more).failure(&[4]);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("volume group/root"), "{message}");
        assert!(message.contains("is missing"), "{message}");
        assert!(error["hint"].as_str().unwrap().contains("--device PATH"), "{error}");
        let listed = bench.run_on(given, "inspect", &[]).success();
        let volumes = listed["result"]["volumes"].as_array().unwrap();
        let root = volumes.iter().find(|volume| volume["id"] == "group/root").unwrap();
        assert_eq!((&root["writable"], &root["source"]), (&false.into(), &"logical_volume".into()));
    }
    bench.assert_untouched("refused");
}

#[test]
fn inspect_shows_the_layers_and_the_disks() {
    let (bench, _) = in_lvm(Lay::Striped);
    let found = bench.run("inspect", &[]).success();
    let result = &found["result"];
    let paths: Vec<&str> = bench.disks().iter().map(|disk| disk.to_str().unwrap()).collect();
    let shown =
        result["disks"].as_array().unwrap().iter().map(|disk| disk["path"].as_str().unwrap());
    assert_eq!(shown.collect::<Vec<_>>(), paths);
    let of = |id: &str| {
        let mut volumes = result["volumes"].as_array().unwrap().iter();
        volumes
            .find(|volume| volume["id"] == id)
            .unwrap_or_else(|| panic!("{id}: {result}"))
            .clone()
    };
    assert_eq!(of("0")["reason"], "a physical volume of the group group");
    assert_eq!((of("0")["disk"].as_u64(), of("2:0")["disk"].as_u64()), (Some(1), Some(2)));
    let root = of("group/root");
    assert_eq!(root["parents"], serde_json::json!(["2:0", "0"]));
    assert_eq!((&root["file_system"], &root["writable"]), (&"ext4".into(), &true.into()));
    assert!(root["offset_bytes"].is_null() && root["disk"].is_null(), "{root}");
    assert_eq!(result["systems"][0]["volume_id"], "group/root");
    let route = result["systems"][0]["access_routes"][0]["command"].as_str().unwrap();
    assert!(route.contains(&format!("{} --device {}", paths[0], paths[1])), "{route}");
    // Every name of the volume chooses it.
    for name in ["group/root", "/dev/group/root", "/dev/mapper/group-root"] {
        let chosen = bench.run("key list", &["--volume", name]).success();
        assert_eq!(chosen["target"]["volume_id"], "group/root", "{name}");
    }
}

/// A patch of two disks is for these two, in any order, and for nothing else.
#[test]
fn a_patch_of_two_disks_knows_both() {
    let (bench, len_bytes) = in_lvm(Lay::Striped);
    let disks = bench.disks();
    let patch = bench.scratch().join("two.patch");
    let patch = patch.to_str().unwrap();
    let made = bench.key_add(&["--patch-out", patch]).success();
    bench.assert_untouched("patch made");
    let command = made["result"]["patch"]["apply_command"].as_str().unwrap();
    let (first, second) = (disks[0].to_str().unwrap(), disks[1].to_str().unwrap());
    assert_eq!(command, format!("regain apply {patch} {first} --device {second}"));
    let shown = bench.run_on(&[patch.into()], "show", &[]).success();
    let identity = &shown["result"]["identity"];
    assert_eq!(identity["disks"][1]["path"], second);
    let runs = shown["result"]["runs"].as_array().unwrap().iter();
    let on = runs.map(|run| run["disk"].as_u64().unwrap());
    assert_eq!(on.collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
    let other = bench.scratch().join("root.img");
    let wrong: [(&[&str], i32, &str); 4] = [
        (&[first], 6, "the patch is for 2 disks, 1 given"),
        (&[first, first], 2, "is given twice"),
        (&[first, second, other.to_str().unwrap()], 6, "the patch is for 2 disks, 3 given"),
        (&[first, other.to_str().unwrap()], 6, "disk size in bytes is"),
    ];
    for (given, status, reason) in wrong {
        let command = format!("regain apply {patch} {}", given.join(" --device "));
        let error = bench.run_printed(&command).failure(&[status]);
        assert!(error["message"].as_str().unwrap().contains(reason), "{given:?}: {error}");
        bench.assert_untouched(reason);
    }
    let applied = bench.run_printed(command).success();
    assert_eq!(applied["result"]["state_before"], "unapplied");
    let edited = bench.scratch().join("edited.img");
    lvm::take(disks, Lay::Striped, len_bytes, &edited);
    assert!(stack_bench::key_file(&edited).contains("rescue@bench"));
    let reversed = format!("{second} --device {first}");
    for command in [command.to_owned(), format!("regain apply {patch} {reversed}")] {
        let again = bench.run_printed(&command).success();
        assert_eq!(
            (&again["result"]["changed"], &again["result"]["state_before"]),
            (&false.into(), &"applied".into())
        );
    }
    let undo_file = applied["result"]["undo_file"].as_str().unwrap();
    bench.run_printed(&format!("regain undo {undo_file} {reversed}")).success();
    bench.assert_untouched("undone in another order");
    // What the program says about a half of it names both.
    let again = bench.run_printed(&format!("regain apply {patch} {reversed}")).success();
    assert_eq!(again["result"]["state_before"], "unapplied");
    bench.undo(&again);
}

/// Two disks may have one size and no table: then what they hold tells which is which.
#[test]
fn disks_that_are_copies_of_a_group_are_not_chosen_between() {
    let (bench, _) = in_lvm(Lay::Linear);
    let copy = bench.scratch().join("copy");
    tools::copy_sparse(&bench.disks()[0], &copy);
    let given = [bench.disks()[0].clone(), copy.clone()];
    let key = bench.scratch().join("new.pub");
    let more = ["--user", "admin", "--key", key.to_str().unwrap(), "--yes"];
    for given in [given.clone(), [given[1].clone(), given[0].clone()]] {
        let error = bench.run_on(&given, "key add", &more).failure(&[2, 3, 4]);
        assert!(error["message"].as_str().unwrap().contains("given more than once"), "{error}");
    }
    bench.assert_untouched("refused");
    assert_eq!(sparse::digest(&copy), sparse::digest(&bench.disks()[0]));
}

#[test]
fn damage_to_the_only_metadata_is_told() {
    let (bench, _) = in_lvm(Lay::Linear);
    let mut bytes = sparse::read(&bench.disks()[0]);
    bytes[4096 + 600] ^= 1;
    let damaged = bench.scratch().join("damaged");
    sparse::write(&damaged, &bytes);
    let found = bench.run_on(&[damaged], "inspect", &[]).success();
    let reason = found["result"]["volumes"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("a physical volume: ") && reason.contains("checksum"), "{reason}");
}
