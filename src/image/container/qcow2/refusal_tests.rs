//! What is refused, and what is damage.

use super::testing::{Bench, MIB, Verdict, check, disk, noise};
use super::tests::read_all;
use crate::disk::medium::Medium as _;
use crate::error::{ErrorKind, Refusal};
use crate::image::{self, Options, writable};
use std::slice::from_ref;

#[track_caller]
fn error_of(bench: &Bench, name: &str) -> crate::error::Error {
    let error = image::open(&bench.path(name), None).unwrap_err();
    assert!(error.to_string().starts_with(bench.path(name).to_str().unwrap()), "{error}");
    error
}

/// formats.md 7: what would be cipher text, or is packed in a way that we do not read.
#[test]
fn unreadable_features_are_refused_by_name() {
    let bench = Bench::new();
    bench.put("secret", b"password");
    let object = "secret,id=s,file=secret";
    for (name, options, words) in [
        (
            "luks",
            "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
            "LUKS encryption",
        ),
        ("zstd", "compression_type=zstd", "zstd compression"),
        ("extended", "extended_l2=on", "extended L2 entries"),
    ] {
        let create = ["create", "-q", "--object", object, "-f", "qcow2", "-o", options, name, "1M"];
        bench.run("qemu-img", &create);
        let error = error_of(&bench, name);
        assert_eq!(error.kind_name(), "unsupported");
        assert!(error.to_string().ends_with(&format!("a qcow2 image with {words}")), "{error}");
    }
}

/// They can be looked at, but not written.
#[test]
fn marked_images_are_only_read() {
    let bench = Bench::new();
    let content = disk(MIB);
    bench.put("source.raw", &content);
    for (bit, words) in [(1, "marked as dirty"), (2, "marked as corrupt"), (3, "marked as corrupt")]
    {
        let name = format!("image {bit}");
        bench.convert("source.raw", &name, &["-o", "lazy_refcounts=on"]);
        let file =
            std::fs::File::options().append(true).read(true).open(bench.path(&name)).unwrap();
        let mut header = std::fs::read(bench.path(&name)).unwrap();
        header[79] |= bit;
        drop(file);
        std::fs::remove_file(bench.path(&name)).unwrap();
        bench.put(&name, &header);
        assert!(read_all(&bench.path(&name), 4096) == content);
        let image = image::open(&bench.path(&name), None).unwrap();
        let error = writable::open(&image).unwrap_err();
        let ErrorKind::Refused(refusal) = error.kind() else { panic!("{error}") };
        assert_eq!(image.not_writable.as_ref(), Some(refusal));
        assert!(matches!(refusal, Refusal::ContainerNeedsCheck { .. }));
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// formats.md 7: a base that is a file of the host.
#[test]
fn a_base_outside_is_opened_only_if_it_is_named() {
    let bench = Bench::new();
    let elsewhere = Bench::new();
    let content = disk(MIB);
    let outside = elsewhere.put("base.raw", &content);
    let text = outside.to_str().unwrap();
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
    bench.run("qemu-img", &[&create[..], &[text, "image"]].concat());
    let error = error_of(&bench, "image");
    assert_eq!(error.kind_name(), "refused");
    assert!(error.to_string().ends_with("it is not in the directory of the image"), "{error}");
    let allowed = [outside.clone()];
    let options = Options { allowed_files: &allowed, ..Options::default() };
    let image = image::open_with(&bench.path("image"), &options).unwrap();
    assert!(image.disk.read_vec(0, MIB).unwrap() == content);
    // A write goes to the overlay alone.
    let mut medium = writable::open(&image).unwrap();
    medium.write_at(0, &[1; 512]).unwrap();
    medium.sync().unwrap();
    drop(medium);
    assert!(std::fs::read(&outside).unwrap() == content);
    assert_eq!(check(&bench.path("image")), Verdict::Clean);
    for name in ["json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}", "nbd://host/disk"] {
        bench.run("qemu-img", &["rebase", "-u", "-F", "raw", "-b", name, "image"]);
        let error = error_of(&bench, "image");
        assert!(error.to_string().ends_with("not what names a protocol"), "{error}");
    }
}

#[test]
fn a_format_that_is_not_named_is_not_guessed() {
    let bench = Bench::new();
    bench.put("base.raw", &disk(MIB));
    bench.convert("base.raw", "base.qcow2", &[]);
    for base in ["base.raw", "base.qcow2"] {
        let name = format!("over {base}");
        let create = ["create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", base, &name, "1M"];
        bench.run("qemu-img", &create);
        // The tool insists on a format; older ones did not.
        let mut bytes = std::fs::read(bench.path(&name)).unwrap();
        let at = bytes.windows(4).position(|bytes| bytes == 0xe279_2acau32.to_be_bytes()).unwrap();
        bytes[at..at + 4].copy_from_slice(&[1; 4]);
        std::fs::remove_file(bench.path(&name)).unwrap();
        bench.put(&name, &bytes);
        let opened = image::open(&bench.path(&name), None);
        if base == "base.raw" {
            opened.unwrap();
            continue;
        }
        let error = opened.unwrap_err();
        assert!(error.to_string().contains("looks like qcow2, but the overlay does not say so"));
    }
    bench.run("qemu-img", &["rebase", "-u", "-F", "vmdk", "-b", "base.raw", "over base.raw"]);
    let error = error_of(&bench, "over base.raw");
    assert!(error.to_string().ends_with("a backing file of format vmdk"), "{error}");
}

/// A chain that leads back to itself, and one that is too long.
#[test]
fn chains_are_bounded() {
    let bench = Bench::new();
    for (name, base) in [("a", "b"), ("b", "a")] {
        let create = ["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, name, "1M"];
        bench.run("qemu-img", &create);
    }
    assert!(error_of(&bench, "a").to_string().ends_with("the image is made of it already"));
    bench.run("qemu-img", &["create", "-q", "-f", "qcow2", "0", "1M"]);
    let first = std::fs::read(bench.path("a")).unwrap();
    for number in 1..=33 {
        // The same image but for the name of its base.
        let mut bytes = first.clone();
        let at = bytes.windows(6).rposition(|_| true).map_or(0, |_| name_place(&bytes));
        let name = (number - 1).to_string();
        bytes[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        bench.put(&number.to_string(), &bytes);
    }
    image::open(&bench.path("31"), None).unwrap();
    let error = image::open(&bench.path("33"), None).unwrap_err();
    assert_eq!(error.kind_name(), "limit");
}

fn name_place(header: &[u8]) -> usize {
    u64::from_be_bytes(header[8..16].try_into().unwrap()) as usize
}

/// Every byte of the header and of the tables gets other values: an error or some data, never a panic, and never a
/// write outside the image.
#[test]
fn hostile_structures_are_errors() {
    let bench = Bench::new();
    bench.put("source.raw", &disk(256 << 10));
    bench.convert("source.raw", "image", &["-c", "-o", "cluster_size=4k"]);
    let good = std::fs::read(bench.path("image")).unwrap();
    let entry = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let l1 = entry(40) as usize;
    let l2 = (entry(l1) & 0x00ff_ffff_ffff_fe00) as usize;
    let reftable = entry(48) as usize;
    let block = entry(reftable) as usize;
    let header = (0..200).map(|at| (at, 1));
    let tables = [l1, l2, l2 + 40, reftable, block, block + 8].map(|at| (at, 8));
    let hostile = bench.path("hostile");
    let (mut opened, mut failed) = (0, 0);
    for (at, len) in header.chain(tables) {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at..at + len].fill(value);
            let _ = std::fs::remove_file(&hostile);
            bench.put("hostile", &bytes);
            let Ok(image) = image::open(&hostile, None) else {
                failed += 1;
                continue;
            };
            opened += 1;
            let len = image.disk.len_bytes().min(1 << 20);
            for start in (0..len).step_by(4096) {
                let mut buffer = vec![0; (len - start).min(4096) as usize];
                let _ = image.disk.read_at(start, &mut buffer);
            }
            let Ok(mut medium) = writable::open(&image) else { continue };
            let _ = medium.write_at(0, &[1; 512]).and_then(|()| medium.write_at(65_536, &[2; 512]));
            let _ = medium.sync();
        }
    }
    assert!(opened > 200 && failed > 100, "{opened} {failed}");
}

/// Data of the guest that lie on a structure, and a cluster with two references, are not written.
#[test]
fn tables_that_contradict_each_other_are_not_written() {
    let bench = Bench::new();
    bench.put("source.raw", &noise(1, 256 << 10));
    bench.convert("source.raw", "image", &["-o", "cluster_size=4k"]);
    let good = std::fs::read(bench.path("image")).unwrap();
    let entry = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let offset = |entry: u64| (entry & 0x00ff_ffff_ffff_fe00) as usize;
    let (l1, reftable) = (entry(40), entry(48));
    let l2 = offset(entry(l1 as usize));
    let block = offset(entry(reftable as usize));
    let data = offset(entry(l2));
    let change = |name: &str, at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        let image = image::open(&bench.put(name, &changed), None).unwrap();
        let planned = image.can_write(&[8192..8704, 0..512]).unwrap_err();
        let mut medium = writable::open(&image).unwrap();
        let error = medium.write_at(0, &[7; 512]).and_then(|()| medium.sync()).unwrap_err();
        drop(medium);
        assert!(std::fs::read(bench.path(name)).unwrap() == changed, "{name}");
        assert!(planned.to_string().ends_with(&error.to_string()), "{planned}");
        error
    };
    for (name, target) in
        [("l1", l1), ("reftable", reftable), ("block", block as u64), ("header", 0)]
    {
        // 0 is the header, but as an entry it is nothing; one with COPIED is still not a data cluster there.
        if target != 0 {
            let error = change(name, l2, &(target | 1 << 63).to_be_bytes());
            assert!(error.to_string().contains("lie on a structure of the image"), "{error}");
        }
    }
    for count in [0u16, 2] {
        let error =
            change(&format!("count {count}"), block + data / 4096 * 2, &count.to_be_bytes());
        assert!(error.to_string().contains(&format!("the reference count {count}")), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::ContainerNeedsCheck { .. })));
    }
}

#[test]
fn damaged_bitmaps_are_found_before_the_write() {
    let bench = Bench::new();
    bench.put("source.raw", &disk(64 << 10));
    bench.convert("source.raw", "image", &[]);
    bench.run("qemu-img", &["bitmap", "--add", "image", "backup"]);
    let mut bytes = std::fs::read(bench.path("image")).unwrap();
    let at = bytes.windows(4).position(|four| four == 0x2385_2875_u32.to_be_bytes()).unwrap();
    // More bitmaps than the directory has.
    bytes[at + 8..at + 12].copy_from_slice(&9u32.to_be_bytes());
    let image = image::open(&bench.put("damaged", &bytes), None).unwrap();
    assert_eq!(image.can_write(from_ref(&(0..512))).unwrap_err().kind_name(), "corrupt");
    let mut medium = writable::open(&image).unwrap();
    assert_eq!(medium.write_at(0, &[1; 512]).unwrap_err().kind_name(), "corrupt");
    drop(medium);
    assert!(std::fs::read(bench.path("damaged")).unwrap() == bytes);
}
