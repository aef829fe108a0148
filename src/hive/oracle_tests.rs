//! Hives before readers and writers that are not ours: dissect.regf, regipy and hivex.
//!
//! The Python libraries come from `fixtures/hive/tools`, hivexsh and hivexml from the package libhivex-bin.
//! `REGAIN_HIVES=DIRECTORY` names hives of real machines for the campaign at the end.

#![expect(clippy::disallowed_methods, reason = "tests write their own files")]

use super::testing::hive_build::{
    HiveShape, TestEntry, TestKey, build, encode_log, encode_old_log,
};
use super::testing::*;
use super::{Data, FileTime, Hive, Replay, ValueKind};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds after which a program is stopped.
const SECONDS_MAX: &str = "120";

/// Runs a program and gives what it printed.
fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("input");
    std::fs::write(&script, input).unwrap();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", SECONDS_MAX, program]).args(arguments);
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/hive-python");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command.stdin(Stdio::from(std::fs::File::open(&script).unwrap()));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{program} {arguments:?} (packages python3, libhivex-bin; fixtures/hive/tools): {errors}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn python(arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/hive/read.py");
    run("python3", &[&[script.to_str().unwrap()], arguments].concat(), "")
}

/// A file of a test.
struct File {
    directory: tempfile::TempDir,
}

impl File {
    fn new(bytes: &[u8]) -> Self {
        let file = Self { directory: tempfile::tempdir().unwrap() };
        std::fs::write(file.path("hive"), bytes).unwrap();
        file
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// One key as the Python libraries show it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    path: String,
    micros: Option<u64>,
    class: Option<String>,
    values: Vec<(String, String, String)>,
}

fn shown_by(library: &str, hive: &str) -> Vec<Shown> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = |line: &str| {
        let line: Json = serde_json::from_str(line).unwrap();
        let values = line["values"].as_array().unwrap().iter();
        Shown {
            path: text(&line["path"]),
            micros: line["micros"].as_u64(),
            class: line["class"].as_str().map(str::to_owned),
            values: values
                .map(|value| (text(&value[0]), text(&value[1]), text(&value[2])))
                .collect(),
        }
    };
    let mut keys: Vec<_> = python(&[library, hive]).lines().map(line).collect();
    keys.sort();
    keys
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What dissect.regf should show: data as they are stored.
fn as_dissect(key: &TestKey, path: &str, all: &mut Vec<Shown>) {
    let value = |value: &hive_build::TestValue| {
        let name = if value.name.is_empty() { "(Default)".to_owned() } else { value.name.clone() };
        (name, value.kind.to_string(), hex(&value.data))
    };
    all.push(Shown {
        path: path.to_owned(),
        micros: Some(key.written / 10),
        class: key.class.clone(),
        values: key.values.iter().map(value).collect(),
    });
    for subkey in &key.subkeys {
        as_dissect(subkey, &format!("{path}\\{}", subkey.name), all);
    }
}

/// All readers say what `model` says.
fn assert_read_alike(hive: &File, name: &str, model: &TestKey) {
    let mut expected = Vec::new();
    as_dissect(model, "", &mut expected);
    expected.sort();
    similar(&shown_by("dissect", &hive.text(name)), &expected);
    let ours = open(&hive.bytes(name)).unwrap();
    assert_eq!(read_all(&ours).unwrap(), sorted(model));
    assert_hivex_agrees(hive, name, model);
    assert_regipy_agrees(hive, name, model);
}

/// Equal but for how times are rounded, with the first difference for people.
fn similar(found: &[Shown], expected: &[Shown]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((&found.path, &found.class), (&expected.path, &expected.class));
        assert_eq!(found.values, expected.values, "{}", found.path);
        let (found, expected) = (found.micros.unwrap(), expected.micros.unwrap());
        assert!(found.abs_diff(expected) < 3, "{found} {expected}");
    }
    assert_eq!(found.len(), expected.len());
}

/// regipy shows data by their types; those of numbers and plain bytes are compared. It replaces characters of
/// names that are stored in one byte and not ASCII.
fn assert_regipy_agrees(hive: &File, name: &str, model: &TestKey) {
    let found = shown_by("regipy", &hive.text(name));
    let mut expected = Vec::new();
    as_dissect(model, "", &mut expected);
    for key in &mut expected {
        key.path = key.path.replace(|letter| ('\u{80}'..'\u{100}').contains(&letter), "\u{fffd}");
    }
    expected.sort();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((&found.path, &found.class), (&expected.path, &expected.class));
        assert_eq!(found.values.len(), expected.values.len(), "{}", found.path);
        for (found, expected) in found.values.iter().zip(&expected.values) {
            match expected.1.as_str() {
                "4" => {
                    let bytes = u32::from_str_radix(&expected.2, 16).unwrap().swap_bytes();
                    assert_eq!((found.1.as_str(), &found.2), ("REG_DWORD", &bytes.to_string()));
                }
                "3" => assert_eq!((found.1.as_str(), &found.2), ("REG_BINARY", &expected.2)),
                _ => {}
            }
        }
    }
}

/// hivexml lists the same keys and values, with the data that XML can show as they are.
fn assert_hivex_agrees(hive: &File, name: &str, model: &TestKey) {
    let text = run("hivexml", &[&hive.text(name)], "");
    let document = roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element().children().find(|node| node.has_tag_name("node")).unwrap();
    compare_node(root, &sorted(model));
}

fn compare_node(node: roxmltree::Node<'_, '_>, key: &TestKey) {
    assert_eq!(node.attribute("name"), Some(key.name.as_str()));
    let values: Vec<_> = node.children().filter(|child| child.has_tag_name("value")).collect();
    assert_eq!(values.len(), key.values.len(), "{}", key.name);
    for (found, value) in values.iter().zip(&key.values) {
        assert_eq!(found.attribute("key").unwrap_or(""), value.name);
        let data = Data { kind: ValueKind::from(value.kind), bytes: value.data.clone() };
        let expected = match found.attribute("type").unwrap() {
            "string" | "expand" => data.as_text().unwrap(),
            "int32" | "int64" if data.kind != ValueKind::DwordBigEndian => {
                data.as_u64().unwrap().to_string()
            }
            _ => continue,
        };
        assert_eq!(found.attribute("value"), Some(expected.as_str()), "{}", value.name);
    }
    let mut subkeys: Vec<_> = node.children().filter(|child| child.has_tag_name("node")).collect();
    subkeys.sort_by_key(|node| hive_build::upper(node.attribute("name").unwrap_or("")));
    assert_eq!(subkeys.len(), key.subkeys.len(), "{}", key.name);
    for (node, subkey) in subkeys.into_iter().zip(&key.subkeys) {
        compare_node(node, subkey);
    }
}

/// The sample with times, without what one of the readers cannot show.
fn plain_sample() -> TestKey {
    let mut root = sample();
    root.written = 132_726_537_727_906_426;
    root
}

/// Edits of every sort, and the model of them.
fn edit(hive: &mut Hive<'_>, model: &mut TestKey) {
    let written = FileTime(133_000_000_000_000_000);
    let root = hive.root().unwrap();
    let setup = hive.create_subkey(&root, "Setup", written).unwrap();
    let mut made = TestKey { written: written.0, ..TestKey::new("Setup") };
    for (name, data) in [
        ("SetupType", Data::dword(2)),
        ("CmdLine", Data::text("cmd.exe /c C:\\reset.cmd")),
        ("CmdLine", Data::text("")),
        ("CmdLine", Data::text("cmd.exe /c C:\\Windows\\Temp\\reset-the-password.cmd")),
        ("Large", Data::binary(&[0x5a; 16_344])),
        ("\u{416}", Data::binary(&[1, 2, 3])),
    ] {
        hive.set_value(&setup, name, &data, Some(written)).unwrap();
        made.values.retain(|value| value.name != name);
        made = made.value(name, data.kind.into(), &data.bytes);
    }
    for index in 0..30 {
        let name = format!("{{{:08X}}}", 0x9e37_79b1u32.wrapping_mul(index));
        hive.create_subkey(&setup, &name, written).unwrap();
        made = made.subkey(TestKey { written: written.0, ..TestKey::new(&name) });
    }
    model.subkeys.push(made);
    model.written = written.0;
    let types = model.subkeys.iter_mut().find(|key| key.name == "Types").unwrap();
    for value in &mut types.values {
        let data = match value.name.as_str() {
            // Big data become small, small become larger, inline and back.
            "Big" => Data::binary(b"small now"),
            "Number" => Data::binary(&[7; 300]),
            "Bytes" => Data::dword(9),
            _ => continue,
        };
        let key = hive.key("Types").unwrap().unwrap();
        hive.set_value(&key, &value.name, &data, None).unwrap();
        (value.kind, value.data) = (data.kind.into(), data.bytes);
    }
    let key = hive.key("Types").unwrap().unwrap();
    let segments = hive.value(&key, "Two segments").unwrap().unwrap();
    hive.overwrite_data(&segments, 16_342, &[1, 2, 3]).unwrap();
    let value = types.values.iter_mut().find(|value| value.name == "Two segments").unwrap();
    value.data[16_342..16_345].copy_from_slice(&[1, 2, 3]);
}

#[test]
fn edited_hives_are_read_alike_by_everybody() {
    for shape in [
        HiveShape { hole_bytes: 60, ..HiveShape::default() },
        HiveShape { minor: 6, leaf_max: 40, tail_bytes: 5000, ..HiveShape::default() },
    ] {
        let mut model = plain_sample();
        let before = build(&model, &shape).bytes;
        let file = File::new(&before);
        assert_read_alike(&file, "hive", &model);
        let mut hive = open(&before).unwrap();
        edit(&mut hive, &mut model);
        let after = applied(&before, &hive.finish().unwrap());
        assert_eq!(hive_check::check(&after), sorted(&model));
        std::fs::write(file.path("after"), after).unwrap();
        assert_read_alike(&file, "after", &model);
    }
}

/// A hive that hivex has laid out, edited by us, and then by hivex again.
#[test]
fn hives_by_hivex_are_edited_and_edited_again_by_it() {
    let file = File::new(&build(&TestKey::new("ROOT"), &HiveShape::default()).bytes);
    let mut script = "add Here\ncd Here\nsetval 3\nStart\ndword:2\nName\nstring:Amazon EC2Launch\n\
                      Bytes\nhex:3:00,01,02\n"
        .to_owned();
    for index in 0..60 {
        write!(script, "add key{index}\ncd key{index}\nsetval 1\nn\ndword:{index}\ncd ..\n")
            .unwrap();
    }
    run("hivexsh", &["-w", &file.text("hive")], &format!("{script}commit\n"));
    let bytes = file.bytes("hive");
    let mut hive = open(&bytes).unwrap();
    let mut model = read_all(&hive).unwrap();
    assert_eq!(model.subkeys[0].subkeys.len(), 60);
    assert_read_alike(&file, "hive", &model);
    assert_eq!(hive.get("here\\KEY17", "N").unwrap().unwrap().as_u32(), Some(17));
    let here = hive.key("Here").unwrap().unwrap();
    let start = hive.value(&here, "Start").unwrap().unwrap();
    hive.set_dword(&start, 4).unwrap();
    hive.set_value(&here, "Name", &Data::text("a longer name than before"), None).unwrap();
    let made = hive.create_subkey(&here, "key100", FileTime(0)).unwrap();
    hive.set_value(&made, "n", &Data::dword(100), None).unwrap();
    let after = applied(&bytes, &hive.finish().unwrap());
    let found = &mut model.subkeys[0];
    found.written = 0;
    for value in &mut found.values {
        match value.name.as_str() {
            "Start" => value.data = vec![4, 0, 0, 0],
            "Name" => value.data = Data::text("a longer name than before").bytes,
            _ => {}
        }
    }
    found.subkeys.push(TestKey::new("key100").dword("n", 100));
    std::fs::write(file.path("after"), after).unwrap();
    assert_read_alike(&file, "after", &sorted(&model));
    let more = "cd Here\nadd key200\ncd key200\nsetval 1\nn\ndword:200\ncommit\n";
    run("hivexsh", &["-w", &file.text("after")], more);
    let again = open(&file.bytes("after")).unwrap();
    assert_eq!(again.get("Here\\key200", "n").unwrap().unwrap().as_u32(), Some(200));
    assert_eq!(again.get("Here\\key100", "n").unwrap().unwrap().as_u32(), Some(100));
}

/// The bins data as they are after replay.
fn replayed_bins(hive: &Hive<'_>) -> Vec<u8> {
    let pages = 0..hive.pages.bins_bytes() / 4096;
    pages.flat_map(|page| hive.pages.page(page).unwrap().to_vec()).collect()
}

/// The bins data that regipy makes of a hive and its logs, the later log first, and its number of pages.
fn replayed_by_regipy(before: &[u8], logs: &[Vec<u8>]) -> (Vec<u8>, u64) {
    let file = File::new(before);
    let mut arguments = vec!["replay".to_owned(), file.text("hive"), file.text("out")];
    for (index, log) in logs.iter().enumerate() {
        std::fs::write(file.path(&format!("log{index}")), log).unwrap();
        arguments.push(file.text(&format!("log{index}")));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pages = python(&arguments).trim().parse().unwrap();
    (file.bytes("out").split_off(4096), pages)
}

/// WIN-91, WIN-95: regipy gives the same bytes.
#[test]
fn replays_give_the_bytes_that_regipy_gives() {
    let shape = HiveShape { primary: 21, secondary: 20, ..HiveShape::default() };
    let model = plain_sample();
    let before = build(&model, &shape).bytes;
    let bins_bytes = before.len() as u32 - 4096;
    // The same keys with other numbers: the same cells.
    let mut other = model.clone();
    for (index, key) in other.subkeys[0].subkeys.iter_mut().enumerate() {
        key.values[0].data = (index as u32 + 1000).to_le_bytes().to_vec();
        key.written = 77;
    }
    let after = build(&other, &shape).bytes;
    assert_eq!(before.len(), after.len());
    let differing = |unit: usize| -> Vec<u32> {
        let pages = before[4096..].chunks(unit).zip(after[4096..].chunks(unit)).enumerate();
        pages.filter(|(_, (one, two))| one != two).map(|(index, _)| index as u32).collect()
    };
    let entry = |sequence: u32, pages: &[u32]| {
        let page = |page: &u32| {
            let at = 4096 + *page as usize * 4096;
            (page * 4096, after[at..at + 4096].to_vec())
        };
        TestEntry { sequence, flags: 0, bins_bytes, pages: pages.iter().map(page).collect() }
    };
    let pages = differing(4096);
    assert!(pages.len() >= 3, "{pages:?}");
    let one = encode_log(&before, 30, &[entry(30, &pages[..1]), entry(31, &pages[1..2])]);
    let two = encode_log(&before, 32, &[entry(32, &pages[2..])]);
    let old = encode_old_log(&before, 21, &differing(512), &after);
    for (logs, count) in [(vec![two, one], pages.len()), (vec![old], differing(512).len())] {
        let hive = open_with(&before, &logs).unwrap();
        let (bins, pages) = replayed_by_regipy(&before, &logs);
        assert_eq!(pages, count as u64);
        assert!(replayed_bins(&hive) == bins && bins == after[4096..], "the bytes differ");
    }
}

/// Keys and values of a hive edited by us, as dissect.regf shows them before and after.
fn edit_a_real_hive(name: &str, before: &[u8], logs: &[Vec<u8>]) {
    let mut hive = open_with(before, logs).unwrap();
    let mut model = read_all(&hive).unwrap();
    let written = FileTime(133_000_000_000_000_000);
    let file = File::new(before);
    if logs.is_empty() {
        // What the strict reader demands of our edits, Windows fulfils.
        assert_eq!(hive_check::check(before), sorted(&model));
        let mut expected = Vec::new();
        as_dissect(&model, "", &mut expected);
        expected.sort();
        similar(&shown_by("dissect", &file.text("hive")), &expected);
    }
    let root = hive.root().unwrap();
    let made = hive.create_subkey(&root, "Made by a test", written).unwrap();
    hive.set_value(&made, "CmdLine", &Data::text("cmd.exe"), Some(written)).unwrap();
    hive.set_value(&made, "Large", &Data::binary(&[9; 16_000]), Some(written)).unwrap();
    let made = TestKey { written: written.0, ..TestKey::new("Made by a test") };
    let made = made.text("CmdLine", "cmd.exe").value("Large", 3, &[9; 16_000]);
    model.subkeys.push(made);
    model.written = written.0;
    let changes = hive.finish().unwrap();
    let after = applied(before, &changes);
    assert_eq!(hive_check::check(&after), sorted(&model), "{name}");
    std::fs::write(file.path("after"), after).unwrap();
    let mut expected = Vec::new();
    as_dissect(&model, "", &mut expected);
    expected.sort();
    similar(&shown_by("dissect", &file.text("after")), &expected);
    let again = open(&file.bytes("after")).unwrap();
    assert_eq!(read_all(&again).unwrap(), sorted(&model), "{name}");
    assert_eq!(again.replayed(), None);
}

/// WIN-93, with the data of mkorman90/regipy (`regipy_tests/data`, decompressed). Counts were measured with
/// regipy 6.5.0.
#[test]
#[ignore = "campaign: needs REGAIN_HIVES, a directory with the hives of regipy's tests"]
fn campaign_hives_of_real_machines() {
    let directory = std::env::var_os("REGAIN_HIVES").map(PathBuf::from);
    let directory = directory.expect("REGAIN_HIVES names no directory");
    let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
    for (name, logs, entries, pages, last_sequence) in [
        ("SYSTEM_B", vec!["SYSTEM_B.LOG2", "SYSTEM_B.LOG1"], 24, 315, 2130),
        ("UsrClass.dat", vec!["UsrClass.dat.LOG2", "UsrClass.dat.LOG1"], 14, 158, 300),
        ("transactions_NTUSER.DAT", vec!["transactions_ntuser.dat.log1"], 23, 132, 588),
    ] {
        let before = read(name);
        let logs: Vec<Vec<u8>> = logs.into_iter().map(read).collect();
        let hive = open_with(&before, &logs).unwrap();
        assert_eq!(hive.replayed(), Some(Replay { entries, pages, last_sequence }), "{name}");
        let (bins, counted) = replayed_by_regipy(&before, &logs);
        let ours = replayed_bins(&hive);
        assert_eq!(counted, pages, "{name}");
        assert!(bins[..ours.len()] == ours, "{name}: the bytes differ");
        edit_a_real_hive(name, &before, &logs);
    }
    let stale = ["transactions_ntuser.dat.log1", "transactions_ntuser.dat.log2"].map(read);
    let hive = open_with(&read("transactions_NTUSER.DAT"), &stale).unwrap();
    assert_eq!(hive.replayed().unwrap().entries, 23);
    for name in ["BCD", "NTUSER.DAT", "NTUSER-WSL.DAT", "SAM", "SYSTEM", "ntuser_software_partial"]
    {
        edit_a_real_hive(name, &read(name), &[]);
    }
}
