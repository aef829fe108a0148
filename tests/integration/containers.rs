//! Key added and taken back in images of every container format, with `qemu-img` as the judge.
//!
//! Every story asserts: what `qemu-img convert` gets out of the edited image is, byte for byte, what the same edit makes
//! of the same disk as a raw image (and that is clean for e2fsck); `qemu-img check` finds nothing, where it knows the
//! format; after `undo` the disk is exactly as before. Package: qemu-utils.

use crate::support::image::ImageBuilder;
use crate::support::regain::Regain;
use crate::support::scratch::Scratch;
use crate::support::{digest, oracle, root, tools};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A directory with `source.img`, a raw disk, and `key.pub`.
struct Bench {
    scratch: Scratch,
    regain: Regain,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        ImageBuilder::new("ext4", 8).nodes(root::with_key()).build_in(&scratch, "source.img");
        std::fs::write(scratch.join("key.pub"), root::NEW_KEY).unwrap();
        let regain = Regain::new(scratch.path());
        Self { scratch, regain }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    #[track_caller]
    fn qemu_img(&self, arguments: &[&str]) {
        let mut command = tools::command("qemu-img");
        let output = command.current_dir(self.scratch.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn convert(&self, options: &[&str], name: &str) {
        let arguments = [&["convert", "-f", "raw"], options, &["source.img", name]].concat();
        self.qemu_img(&arguments);
    }

    /// The content of the image as a raw file.
    fn raw_of(&self, name: &str, format: &str, to: &str) -> PathBuf {
        self.qemu_img(&["convert", "-f", format, "-O", "raw", name, to]);
        self.path(to)
    }

    fn add(&self, name: &str, more: &[&str]) -> crate::support::regain::Run {
        self.regain.key_add(Path::new(name), root::USER, Path::new("key.pub"), more)
    }

    /// The whole story of the image `name`, whose format qemu calls `format`. `more` are options for every command.
    #[track_caller]
    fn story(&self, name: &str, format: &str, more: &[&str]) -> Value {
        let has_check = matches!(format, "qcow2" | "vmdk" | "vhdx");
        let check = || {
            if has_check {
                self.qemu_img(&["check", "-q", "-f", format, name]);
            }
        };
        let before = self.raw_of(name, format, "before.raw");
        tools::copy_sparse(&before, &self.path("model.raw"));
        let document = self.add(name, more).success();
        assert_eq!(document["result"]["changed"], true, "{name}: {document}");
        let model = self.add("model.raw", &[]).success();
        assert_eq!(document["result"]["patch"], model["result"]["patch"], "{name}");

        let after = self.raw_of(name, format, "after.raw");
        assert_eq!(digest::of_file(&after), digest::of_file(&self.path("model.raw")), "{name}");
        oracle::assert_clean(&after, 0, name);
        check();

        let undo = document["result"]["undo_command"].as_str().unwrap();
        let undo: Vec<&str> = undo.split(' ').skip(1).chain(["--yes", "--json"]).collect();
        self.regain.run(&undo).success();
        let restored = self.raw_of(name, format, "restored.raw");
        assert_eq!(digest::of_file(&restored), digest::of_file(&before), "{name}: undo");
        check();
        // And again: nothing is left to be done.
        assert_eq!(self.regain.run(&undo).success()["result"]["io"]["bytes_written"], 0);
        document
    }
}

#[test]
fn qcow2_of_every_layout() {
    let bench = Bench::new();
    for (name, options) in [
        ("plain.qcow2", &[][..]),
        ("v2.qcow2", &["-o", "compat=0.10"]),
        ("compressed.qcow2", &["-c"]),
        ("small.qcow2", &["-o", "cluster_size=512"]),
        ("large.qcow2", &["-o", "cluster_size=2M"]),
        ("lazy.qcow2", &["-o", "lazy_refcounts=on"]),
        ("external.qcow2", &["-o", "data_file=external.data,data_file_raw=on"]),
    ] {
        bench.convert(&[&["-O", "qcow2"], options].concat(), name);
        let document = bench.story(name, "qcow2", &[]);
        assert_eq!(document["target"]["format"], "qcow2");
        assert_eq!(document["target"]["size_bytes"], 8 << 20);
    }
}

#[test]
fn qcow2_overlays_and_snapshots() {
    let bench = Bench::new();
    bench.convert(&["-O", "qcow2", "-c"], "base.qcow2");
    for (name, base, format) in
        [("over-raw.qcow2", "source.img", "raw"), ("over-qcow2.qcow2", "base.qcow2", "qcow2")]
    {
        let digest_before = digest::of_file(&bench.path(base));
        bench.qemu_img(&["create", "-q", "-f", "qcow2", "-b", base, "-F", format, name]);
        bench.story(name, "qcow2", &[]);
        assert_eq!(digest::of_file(&bench.path(base)), digest_before, "{base}");
    }
    bench.convert(&["-O", "qcow2"], "snapshots.qcow2");
    bench.qemu_img(&["snapshot", "-c", "first", "snapshots.qcow2"]);
    let document = bench.story("snapshots.qcow2", "qcow2", &[]);
    assert_eq!(
        document["result"]["warnings"][0],
        "snapshots.qcow2: 1 internal snapshot keeps the content from before the edit"
    );
    bench.qemu_img(&[
        "convert",
        "-l",
        "snapshot.name=first",
        "-O",
        "raw",
        "snapshots.qcow2",
        "first.raw",
    ]);
    assert_eq!(
        digest::of_file(&bench.path("first.raw")),
        digest::of_file(&bench.path("source.img"))
    );
}

#[test]
fn vmdk_vhd_and_vhdx() {
    let bench = Bench::new();
    for (name, options, format) in [
        ("sparse.vmdk", "subformat=monolithicSparse", "vmdk"),
        ("flat.vmdk", "subformat=monolithicFlat", "vmdk"),
        ("split-sparse.vmdk", "subformat=twoGbMaxExtentSparse", "vmdk"),
        ("split-flat.vmdk", "subformat=twoGbMaxExtentFlat", "vmdk"),
        ("fixed.vhd", "subformat=fixed", "vpc"),
        ("dynamic.vhd", "subformat=dynamic", "vpc"),
        ("fixed.vhdx", "subformat=fixed", "vhdx"),
        ("dynamic.vhdx", "subformat=dynamic", "vhdx"),
    ] {
        bench.convert(&["-O", format, "-o", options], name);
        let document = bench.story(name, format, &[]);
        let expected = if format == "vpc" { "vhd" } else { format };
        assert_eq!(document["target"]["format"], expected, "{name}");
    }
}

/// formats.md 7: an image that names a file of the host gets it only if its user names it, too.
#[test]
fn a_base_elsewhere_has_to_be_named() {
    let bench = Bench::new();
    let elsewhere = Scratch::new();
    let base = elsewhere.join("base.img");
    tools::copy_sparse(&bench.path("source.img"), &base);
    let text = base.to_str().unwrap();
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-b", text, "-F", "raw", "overlay.qcow2"]);
    for command in ["inspect", "key list"] {
        let words: Vec<&str> = command.split(' ').chain(["overlay.qcow2", "--json"]).collect();
        let error = bench.regain.run(&words).failure(&[4]);
        let message = error["message"].as_str().unwrap();
        assert!(
            message.ends_with(&format!("{text}: it is not in the directory of the image")),
            "{message}"
        );
        assert!(error["hint"].as_str().unwrap().ends_with("name it: --allow-backing PATH"));
    }
    bench.story("overlay.qcow2", "qcow2", &["--allow-backing", text]);
    assert_eq!(digest::of_file(&base), digest::of_file(&bench.path("source.img")));
    // Allowing one file allows no other.
    bench.qemu_img(&[
        "rebase",
        "-u",
        "-f",
        "qcow2",
        "-b",
        "/etc/passwd",
        "-F",
        "raw",
        "overlay.qcow2",
    ]);
    bench
        .regain
        .run(&["inspect", "overlay.qcow2", "--allow-backing", text, "--json"])
        .failure(&[4]);
    bench.qemu_img(&["rebase", "-u", "-f", "qcow2", "-b", "json:{}", "-F", "raw", "overlay.qcow2"]);
    let error = bench.regain.run(&["inspect", "overlay.qcow2", "--json"]).failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("only files can be followed"), "{error}");
}

#[test]
fn what_cannot_be_edited_says_which_command_helps() {
    let bench = Bench::new();
    std::fs::write(bench.path("secret"), "password").unwrap();
    let secret = ["--object", "secret,id=s,file=secret"];
    let luks = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    for (name, options, words, hint) in [
        (
            "zstd.qcow2",
            vec!["-O", "qcow2", "-o", "compression_type=zstd", "-c"],
            "zstd compression",
            "convert",
        ),
        ("l2.qcow2", vec!["-O", "qcow2", "-o", "extended_l2=on"], "extended L2 entries", "convert"),
        (
            "luks.qcow2",
            [&secret[..], &["-O", "qcow2", "-o", luks]].concat(),
            "LUKS encryption",
            "decrypt",
        ),
        (
            "stream.vmdk",
            vec!["-O", "vmdk", "-o", "subformat=streamOptimized"],
            "stream-optimized VMDK",
            "convert",
        ),
        ("old.vdi", vec!["-O", "vdi"], "VDI images are not supported", "convert"),
    ] {
        bench.convert(&options, name);
        let before = digest::of_file(&bench.path(name));
        let status = if name == "stream.vmdk" { 4 } else { 5 };
        let error = bench.add(name, &[]).failure(&[status]);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        let expected = match hint {
            "decrypt" => format!(
                "decrypt it first: qemu-img convert -p -O raw --object secret,id=key,file=PASSPHRASE_FILE \
                 --image-opts driver=qcow2,file.filename={name},encrypt.key-secret=key {name}.raw"
            ),
            _ => format!("convert it first: qemu-img convert -p -O raw {name} {name}.raw"),
        };
        assert_eq!(error["hint"], expected.as_str(), "{name}");
        if status == 4 {
            let inspected = bench.regain.run(&["inspect", name, "--json"]).success();
            let volume = &inspected["result"]["volumes"][0];
            assert_eq!(
                (&volume["file_system"], &volume["writable"]),
                (&"ext4".into(), &false.into())
            );
            assert!(volume["reason"].as_str().unwrap().contains(words), "{volume}");
        }
        assert_eq!(digest::of_file(&bench.path(name)), before);
        let command =
            expected.split_once(": qemu-img ").unwrap().1.replace("PASSPHRASE_FILE", "secret");
        bench.qemu_img(&command.split(' ').collect::<Vec<_>>());
        bench.add(&format!("{name}.raw"), &[]).success();
    }
    let mut archive = tools::command("tar");
    std::fs::write(bench.path("machine.ovf"), "<Envelope/>").unwrap();
    let made = archive.current_dir(bench.scratch.path()).args([
        "-cf",
        "m.ova",
        "machine.ovf",
        "stream.vmdk",
    ]);
    assert!(made.status().unwrap().success());
    let error = bench.add("m.ova", &[]).failure(&[5]);
    assert_eq!(error["message"], "m.ova: OVA appliances are not supported yet");
    assert!(
        error["hint"].as_str().unwrap().starts_with("unpack it first: tar -xf m.ova, then"),
        "{error}"
    );
}

/// It can be looked at; an edit names the repair, and works after it.
#[test]
fn a_dirty_image_is_read_and_repaired_before_it_is_written() {
    let bench = Bench::new();
    bench.convert(&["-O", "qcow2", "-o", "lazy_refcounts=on"], "dirty.qcow2");
    let mut bytes = std::fs::read(bench.path("dirty.qcow2")).unwrap();
    bytes[79] |= 1;
    std::fs::write(bench.path("dirty.qcow2"), bytes).unwrap();
    let inspected = bench.regain.run(&["inspect", "dirty.qcow2", "--json"]).success();
    let volume = &inspected["result"]["volumes"][0];
    assert_eq!((&volume["file_system"], &volume["writable"]), (&"ext4".into(), &false.into()));
    assert!(volume["reason"].as_str().unwrap().contains("marked as dirty"), "{volume}");
    let error = bench.add("dirty.qcow2", &[]).failure(&[4]);
    assert_eq!(error["hint"], "repair it, best a copy: qemu-img check -r all dirty.qcow2");
    bench.qemu_img(&["check", "-q", "-r", "all", "dirty.qcow2"]);
    bench.story("dirty.qcow2", "qcow2", &[]);
}

#[test]
fn an_undo_file_is_none_of_the_files_of_the_image() {
    let bench = Bench::new();
    bench.convert(&["-O", "vmdk", "-o", "subformat=monolithicFlat"], "flat.vmdk");
    let error = bench.add("flat.vmdk", &["--undo-file", "flat-flat.vmdk"]).failure(&[4]);
    assert!(error["message"].as_str().unwrap().contains("flat-flat.vmdk"), "{error}");
}

/// A machine that runs from the image keeps it, whichever of its files is asked for.
#[test]
fn the_locks_of_qemu_are_respected() {
    use std::io::{BufRead as _, Write as _};
    let bench = Bench::new();
    bench.convert(&["-O", "qcow2"], "disk.qcow2");
    let mut command = tools::command("qemu-io");
    let mut machine = command
        .args(["-f", "qcow2", "disk.qcow2"])
        .current_dir(bench.scratch.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    machine.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
    let mut answer = Vec::new();
    std::io::BufReader::new(machine.stdout.as_mut().unwrap())
        .read_until(b'B', &mut answer)
        .unwrap();
    let error = bench.add("disk.qcow2", &[]).failure(&[4]);
    machine.stdin.take();
    machine.wait().unwrap();
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("disk.qcow2 is in use by qemu-io (pid "), "{message}");
    bench.story("disk.qcow2", "qcow2", &[]);
}
