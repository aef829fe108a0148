//! The truth about logins: a Debian root is altered in many ways, its own sshd is asked with a real client, and
//! `key check` must have said the same from the bytes alone. Where it says no and can help, `key add --fix` must
//! turn sshd's no into a yes, and `undo` must bring back every byte.
//!
//! Needs root, for chroot and for the owners of files: `tests/run` uses sudo where it must.
//! `REGAIN_LOGIN_ONLY=part-of-an-id` runs a part of the table, `REGAIN_LOGIN_SHOW=1` shows every row.

use crate::end_to_end::give_devices;
use crate::login_scenarios::{self, Claim, KeyKind, Repair, Scenario};
use crate::support::login_server::{self, Answers, Reply};
use crate::support::login_tree::{self, BaseTree, Step, Words};
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{sparse, tools};
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Scenarios at a time: a login is mostly waiting, for acknowledgements and for sshd's delay after a failure.
const WORKERS: usize = 8;
/// The least number of rows that the table must have.
const ROWS_MIN: usize = 120;
/// Where the client comes from; the second only where the answer depends on it.
const ADDRESSES: [&str; 2] = ["127.0.0.1", "127.0.0.2"];
/// Size of an image with the tree.
const IMAGE_SIZE: &str = "32M";

#[test]
fn key_check_says_what_the_sshd_of_the_disk_says() {
    let yard = Yard::new();
    let start = Instant::now();
    let rows = chosen();
    let outcomes = yard.each(&rows, |scenario, place| yard.judge(scenario, place));
    let wrong: Vec<&String> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    println!("{} scenarios in {:.1} s", rows.len(), start.elapsed().as_secs_f32());
    let listed = wrong.iter().map(|text| text.as_str()).collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {} disagree:\n\n{listed}", wrong.len(), rows.len());
}

#[test]
fn the_table_is_large_enough_and_every_id_is_there_once() {
    let mut ids: Vec<&str> = login_scenarios::all().iter().map(|scenario| scenario.id).collect();
    assert!(ids.len() >= ROWS_MIN, "{}", ids.len());
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

/// The part of the table that is asked for.
fn chosen() -> Vec<Scenario> {
    let only = std::env::var("REGAIN_LOGIN_ONLY").unwrap_or_default();
    login_scenarios::all()
        .into_iter()
        .filter(|row| only.split(',').any(|part| row.id.contains(part)))
        .collect()
}

/// What all scenarios share.
struct Yard {
    scratch: Scratch,
    base: BaseTree,
    now: i64,
    shows: bool,
}

impl Yard {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "needs root: run tests/run, which uses sudo");
        let scratch = Scratch::new();
        let base = BaseTree::new(&scratch);
        for kind in KeyKind::ALL {
            for name in ["key", "other"] {
                key_pair(&scratch.join(&format!("{kind:?}-{name}")), kind);
            }
        }
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let shows = std::env::var_os("REGAIN_LOGIN_SHOW").is_some();
        Self { scratch, base, now: i64::try_from(now).unwrap(), shows }
    }

    /// Runs `judge` for every row, each in a directory of its own; the results in the order of the rows.
    fn each<T: Send>(
        &self,
        rows: &[Scenario],
        judge: impl Fn(&Scenario, &Path) -> T + Sync,
    ) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let place = self.scratch.join(row.id);
                        std::fs::create_dir(&place).unwrap();
                        let result = judge(row, &place);
                        std::fs::remove_dir_all(&place).unwrap();
                        results.lock().unwrap().push((row.id, result));
                    }
                });
            }
        });
        let mut results = results.into_inner().unwrap();
        let position = |id: &str| rows.iter().position(|row| row.id == id);
        results.sort_by_key(|(id, _)| position(id));
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// The private half of the scenario's key.
    fn key(&self, kind: KeyKind) -> PathBuf {
        self.scratch.join(&format!("{kind:?}-key"))
    }

    fn words(&self, kind: KeyKind) -> Words {
        let files = ["key", "other"];
        let files = files.map(|name| self.scratch.join(&format!("{kind:?}-{name}.pub")));
        let [key, other] = [&files[0], &files[1]].map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            text.split(' ').take(2).collect::<Vec<_>>().join(" ").trim_end().to_owned()
        });
        Words { key, other, files, now: self.now }
    }

    /// The tree of a scenario, altered, and the image of it.
    fn build(&self, scenario: &Scenario, place: &Path) -> (PathBuf, PathBuf) {
        let (root, image) = (place.join("root"), place.join("disk.img"));
        self.base.copy_to(&root);
        let words = self.words(scenario.key);
        login_tree::alter(&root, &access(scenario.user), &words);
        login_tree::alter(&root, &scenario.steps, &words);
        let names = [root.to_str().unwrap(), image.to_str().unwrap()];
        let options =
            ["-q", "-F", "-t", "ext4", "-b", "4096", "-d", names[0], names[1], IMAGE_SIZE];
        tools::succeed("mke2fs", &options);
        give_top(&root, &image);
        (root, image)
    }

    /// What the real sshd says about the tree at `root`.
    fn ask(&self, scenario: &Scenario, root: &Path) -> Answers {
        let count = if scenario.claim == Claim::ByClient { 2 } else { 1 };
        login_server::ask(root, scenario.user, &self.key(scenario.key), &ADDRESSES[..count])
    }

    /// Runs `regain` on an image, today.
    fn regain(&self, place: &Path, arguments: &[&str]) -> Value {
        let now = self.now.to_string();
        let environment = [("SOURCE_DATE_EPOCH", now.as_str())];
        Regain::new(place).run_with(arguments, b"", &environment).json()
    }

    /// One row: what is wrong with it, if anything.
    fn judge(&self, scenario: &Scenario, place: &Path) -> Result<(), String> {
        let start = Instant::now();
        let (root, image) = self.build(scenario, place);
        let built = start.elapsed();
        let answers = self.ask(scenario, &root);
        let asked = start.elapsed();
        let key = self.key(scenario.key).with_extension("pub");
        let names = [image.to_str().unwrap(), key.to_str().unwrap()];
        let more = ["--user", scenario.user, "--key", names[1], "--json"];
        let document = self.regain(place, &[&["key", "check", names[0]], &more[..]].concat());
        let row = Row { scenario, answers: &answers, document: &document };
        let needs_repair = scenario.repair != Repair::None;
        let mut judged = row.judge();
        if judged.is_ok() && needs_repair {
            judged = self.repair(scenario, place, &image);
        }
        if self.shows {
            let words = judged.as_ref().err().map_or("", String::as_str);
            println!("{built:.1?} {asked:.1?} {:.1?} {} {words}", start.elapsed(), row.line());
        }
        judged
    }
}

impl Yard {
    /// `--fix` turns sshd's no into a yes, and `undo` brings back every byte.
    fn repair(&self, scenario: &Scenario, place: &Path, image: &Path) -> Result<(), String> {
        let id = scenario.id;
        let before = sparse::digest(image);
        let key = self.key(scenario.key).with_extension("pub");
        let names = [image.to_str().unwrap(), key.to_str().unwrap()];
        let mut add = vec!["key", "add", names[0], "--user", scenario.user, "--key", names[1]];
        add.extend(["--fix", "--yes", "--json"]);
        if let Repair::FixAlso(check) = scenario.repair {
            add.extend(["--fix-also", check]);
        }
        let document = self.regain(place, &add);
        let Some(undo_file) = document["result"]["undo_file"].as_str() else {
            return Err(format!("{id}: --fix did not repair it: {document}"));
        };
        let edited = place.join("edited");
        extract(image, &edited, scenario);
        let answers = self.ask(scenario, &edited);
        if answers.replies != [Reply::Accepted] {
            return Err(format!("{id}: refused after --fix: {document}\n{}", answers.log));
        }
        let undone = self.regain(place, &["undo", undo_file, names[0], "--yes", "--json"]);
        if sparse::digest(image) != before {
            return Err(format!("{id}: undo did not bring back every byte: {undone}"));
        }
        Ok(())
    }
}

/// Mode and owner of the top directory, which mke2fs does not take from the tree.
fn give_top(root: &Path, image: &Path) {
    let top = std::fs::metadata(root).unwrap();
    for (field, value) in [("mode", top.mode()), ("uid", top.uid()), ("gid", top.gid())] {
        let command = format!("sif / {field} 0{value:o}");
        tools::succeed("debugfs", &["-w", "-R", &command, image.to_str().unwrap()]);
    }
}

/// The tree on the edited image, by an outside reader, which leaves out devices and access control lists.
fn extract(image: &Path, root: &Path, scenario: &Scenario) {
    std::fs::create_dir(root).unwrap();
    let (volume, name) = (image.to_str().unwrap(), root.to_str().unwrap());
    tools::succeed("debugfs", &["-R", &format!("rdump / {name}"), volume]);
    for step in &scenario.steps {
        if let Step::Acl(path, _) = step {
            let list = root.with_extension("acl");
            let name = "system.posix_acl_access";
            let command = format!("ea_get -f {} {path} {name}", list.to_str().unwrap());
            tools::succeed("debugfs", &["-R", &command, volume]);
            let value = std::fs::read(&list).unwrap();
            let at = root.join(path.trim_start_matches('/'));
            rustix::fs::setxattr(&at, name, &value, rustix::fs::XattrFlags::empty()).unwrap();
        }
    }
    give_devices(root);
}

/// The key in the usual place of a user.
fn access(user: &str) -> Vec<Step> {
    use login_scenarios::{KEYS, SSH};
    let (ssh, keys, owner) = match user {
        "root" => ("/root/.ssh", "/root/.ssh/authorized_keys", 0),
        _ => (SSH, KEYS, 1000),
    };
    vec![
        Step::Directory(ssh, 0o700, owner),
        Step::File(keys, "{key} new\n"),
        Step::Mode(keys, 0o600),
        Step::Owner(keys, owner, owner),
    ]
}

fn key_pair(path: &Path, kind: KeyKind) {
    let [name, bits] = kind.type_and_bits();
    let file = path.to_str().unwrap();
    tools::succeed(
        "ssh-keygen",
        &["-q", "-t", name, "-b", bits, "-N", "", "-C", "new", "-f", file],
    );
}

/// A scenario and both answers to it.
struct Row<'a> {
    scenario: &'a Scenario,
    answers: &'a Answers,
    document: &'a Value,
}

impl Row<'_> {
    fn judge(&self) -> Result<(), String> {
        let Self { scenario, answers, .. } = self;
        let told = match answers.replies[..] {
            [Reply::Accepted] => Claim::Accepted,
            [Reply::AcceptedThenDies] => Claim::Dies,
            [one, other] if one != other => Claim::ByClient,
            _ => Claim::Refused,
        };
        let is_shadowed = (told, scenario.claim) == (Claim::Dies, Claim::Shadowed);
        if told != scenario.claim && !is_shadowed {
            return self.wrong(&format!("we claim {:?}, sshd says {told:?}", scenario.claim));
        }
        if told == Claim::Refused && !answers.log.contains(scenario.says) {
            return self.wrong(&format!("sshd refuses without {:?}", scenario.says));
        }
        let expected = match scenario.claim {
            Claim::Accepted | Claim::Dies => "accepted",
            Claim::Refused | Claim::Shadowed => "refused",
            Claim::ByClient => "unknown",
        };
        let verdict = self.document["result"]["verdict"].as_str().unwrap_or("nothing");
        let may_be_unknown = scenario.may_be_unknown.is_some() && verdict == "unknown";
        let is_stricter = scenario.is_stricter.is_some();
        if (expected, verdict, is_stricter) == ("accepted", "refused", true) {
            return Ok(());
        }
        if verdict != expected && !may_be_unknown {
            return self.wrong(&format!("sshd: {expected}, key check: {verdict}"));
        }
        if verdict == "refused" && !self.blocking_rules().any(|r| scenario.rules.contains(&r)) {
            return self.wrong(&format!("refused, but not by one of {:?}", scenario.rules));
        }
        Ok(())
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.document["result"]["findings"].as_array().into_iter().flatten()
    }

    fn blocking_rules(&self) -> impl Iterator<Item = &str> {
        let blocks = self.findings().filter(|finding| finding["severity"] == "block");
        blocks.filter_map(|finding| finding["rule"].as_str())
    }

    fn wrong(&self, what: &str) -> Result<(), String> {
        let findings: Vec<String> = self.findings().map(Value::to_string).collect();
        let findings = findings.join("\n  ");
        let log: Vec<&str> = self.answers.log.lines().filter(|line| is_telling(line)).collect();
        let (id, log) = (self.scenario.id, log.join("\n  "));
        let error = &self.document["error"];
        Err(format!("{id}: {what}\n  {error}\n  {findings}\n  sshd:\n  {log}"))
    }

    /// One line for the reader.
    fn line(&self) -> String {
        let rules: Vec<&str> = self.blocking_rules().collect();
        let verdict = &self.document["result"]["verdict"];
        format!("{}: {:?} {verdict} {rules:?}", self.scenario.id, self.answers.replies)
    }
}

/// Lines of the log that say why.
fn is_telling(line: &str) -> bool {
    const ROUTINE: [&str; 14] = [
        "SSH2_MSG",
        "kex",
        "KEX",
        "rekey",
        "inetd",
        "rexec",
        "private host key",
        "sshd version",
        "_set_uid",
        "version string",
        "software version",
        "compat_banner",
        "packet",
        "PAM: setting",
    ];
    !ROUTINE.iter().any(|word| line.contains(word))
}
