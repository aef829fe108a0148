//! The real program, killed between its writes: what it leaves can always be finished and taken back.
//!
//! Nothing here waits for a time: the program is killed (SIGKILL) as soon as the file shows that it has come to
//! a place chosen at random. How much further it comes is up to the host, and every outcome must do.

use crate::cli_commands::{Place, words};
use crate::support::digest;
use crate::support::regain::Regain;
use crate::support::rng::Rng;
use crate::support::scratch::Scratch;
use regain::disk::overlay::Change;
use regain::patch::{self, Description, Patch, TargetIdentity};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Rounds of the large patch, one half of them for undo.
const ROUNDS: u64 = 16;

/// Rounds of `key add`.
const KEY_ROUNDS: u64 = 16;

const RUN_COUNT: u64 = 800;
const RUN_BYTES: usize = 4096;
/// Distance of two runs, so that they stay apart.
const STEP_BYTES: u64 = 2 * RUN_BYTES as u64;

fn start(directory: &Path, line: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_regain"))
        .args(words(line))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the program as soon as `has_come` is true; it may also end by itself.
fn kill_when(mut child: Child, has_come: impl Fn() -> bool) {
    while child.try_wait().unwrap().is_none() {
        if has_come() {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();
}

fn seed() -> u64 {
    let seed = std::env::var("REGAIN_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: REGAIN_SEED={seed} repeats the choices");
    seed
}

fn large_patch(directory: &Path) -> Vec<u8> {
    let before: Vec<u8> = (0..RUN_COUNT * STEP_BYTES).map(|at| (at % 251) as u8).collect();
    let change = |index: u64| {
        let offset_bytes = index * STEP_BYTES;
        let start = offset_bytes as usize;
        let before = before[start..start + RUN_BYTES].to_vec();
        let after = before.iter().map(|byte| !byte).collect();
        Change { offset_bytes, before, after, labels: vec!["test".to_owned()] }
    };
    let description = Description {
        regain_version: "0.1.0".to_owned(),
        created: "2000-01-01T00:00:00Z".to_owned(),
        command: "test".to_owned(),
        identity: TargetIdentity {
            size_bytes: before.len() as u64,
            sector_size_bytes: 512,
            table_guid: None,
            volumes: Vec::new(),
            parts: Vec::new(),
        },
        files: Vec::new(),
    };
    let patch = Patch::new(description, (0..RUN_COUNT).map(change).collect()).unwrap();
    patch::store(&patch, &directory.join("p")).unwrap();
    before
}

#[test]
fn a_large_patch_is_finished_or_taken_back_after_a_kill_anywhere() {
    let scratch = Scratch::new();
    // The patch is held in memory as a whole.
    let regain = Regain::new(scratch.path()).with_memory(1024 * 1024);
    let before = large_patch(scratch.path());
    let disk = scratch.join("disk.img");
    std::fs::write(&disk, &before).unwrap();
    regain.run(&words("apply p disk.img --yes --no-undo --json")).success();
    let after = std::fs::read(&disk).unwrap();
    let digests = [digest::of_bytes(&before), digest::of_bytes(&after)];
    let mut rng = Rng::new(seed());
    let mut partial = 0;
    // On a busy machine a kill may come late: then more rounds, until one was in the middle.
    for round in 0..ROUNDS * 10 {
        if round >= ROUNDS && partial > 0 {
            break;
        }
        let (line, from, to) = if round % 2 == 0 {
            ("apply p disk.img --yes --no-undo", &before, &after)
        } else {
            ("undo p disk.img --yes", &after, &before)
        };
        std::fs::write(&disk, from).unwrap();
        // In the first half, so that there is something left to write.
        let place = rng.below(RUN_COUNT / 2) * STEP_BYTES;
        let wanted = to[place as usize];
        let file = File::open(&disk).unwrap();
        let has_come = || {
            let mut byte = [0];
            file.read_exact_at(&mut byte, place).unwrap();
            byte[0] == wanted
        };
        kill_when(start(scratch.path(), line), has_come);
        let left = std::fs::read(&disk).unwrap();
        partial += u32::from(left != before && left != after);
        let finish = ["undo p disk.img --yes --json", "apply p disk.img --yes --no-undo --json"];
        for side in [rng.index(2), rng.index(2)] {
            std::fs::write(&disk, &left).unwrap();
            let state =
                regain.run(&words(finish[side])).success()["result"]["state_before"].clone();
            assert_ne!(state, "foreign", "round {round}");
            assert_eq!(digest::of_file(&disk), digests[side], "round {round}");
        }
    }
    println!("{partial} rounds were killed in the middle");
    assert!(partial > 0, "no round was killed in the middle");
}

/// Killed from the moment on that the undo file is there, or a write shows: if there is no undo file, nothing has
/// changed; if there is one, it takes everything back, and the same command succeeds afterwards.
#[test]
fn key_add_can_be_taken_back_after_a_kill_anywhere() {
    let place = Place::new();
    let disk = place.scratch.join("root.img");
    let before = std::fs::read(&disk).unwrap();
    let undo_file = place.scratch.join("u");
    let add = "key add root.img --key rescue_key.pub --yes --undo-file u";
    place.ok(&format!("{add} --json"));
    let runs = place.ok("show u --json")["runs"].clone();
    let runs = runs.as_array().unwrap();
    let after = std::fs::read(&disk).unwrap();
    let mut rng = Rng::new(seed());
    for round in 0..KEY_ROUNDS {
        std::fs::write(&disk, &before).unwrap();
        std::fs::remove_file(&undo_file).unwrap();
        let run = &runs[rng.index(runs.len())];
        let start_byte = run["offset_bytes"].as_u64().unwrap();
        let size = run["size_bytes"].as_u64().unwrap() as usize;
        let old = before[start_byte as usize..][..size].to_vec();
        let file = File::open(&disk).unwrap();
        let waits_for_undo = round % 2 == 0;
        let has_come = || {
            let mut now = vec![0; size];
            file.read_exact_at(&mut now, start_byte).unwrap();
            if waits_for_undo { undo_file.exists() } else { now != old }
        };
        kill_when(start(place.scratch.path(), add), has_come);
        if undo_file.exists() {
            place.ok("undo u root.img --yes --json");
            assert_eq!(place.disk_digest(), place.digest, "round {round}");
            place.ok("apply u root.img --yes --no-undo --json");
            // The clock of the run that was killed is not that of the tests.
            assert_eq!(place.fingerprint_count(), 2, "round {round}");
        } else {
            assert_eq!(place.disk_digest(), place.digest, "round {round}");
            std::fs::write(&disk, &before).unwrap();
            place.ok(&format!("{add} --json"));
            assert!(std::fs::read(&disk).unwrap() == after, "round {round}");
        }
    }
    assert!(place.names(".regain-").len() as u64 <= KEY_ROUNDS);
}

impl Place {
    fn fingerprint_count(&self) -> usize {
        self.ok("key list root.img --json")["keys"].as_array().unwrap().len()
    }
}
