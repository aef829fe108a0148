//! Volumes as `cryptsetup` makes them in ways that are less common.

use super::{
    FAST_ARGON2, FAST_PBKDF2, Formatted, Header, PASSPHRASE, SMALL, cryptsetup, directory, format,
    reason, second, secret,
};
use crate::disk::Disk as _;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::testing::write_sparse;
use crate::error::VolumeObstacle;
use std::sync::Arc;

/// Runs `cryptsetup` on a copy of `formatted`; `{}` in an argument is it, `{old}` its key file, `{new}` one with `key`.
fn changed(formatted: &Formatted, key: &[u8], arguments: &[&str]) -> MemoryDisk {
    let directory = directory();
    let [image, old, new] = ["image", "old", "new"]
        .map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    write_sparse(&formatted.disk(), image.as_ref());
    write_sparse(&MemoryDisk::new(PASSPHRASE.to_vec()), old.as_ref());
    write_sparse(&MemoryDisk::new(key.to_vec()), new.as_ref());
    let put =
        |text: &&str| text.replace("{}", &image).replace("{old}", &old).replace("{new}", &new);
    let arguments: Vec<String> = arguments.iter().map(put).collect();
    cryptsetup(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    MemoryDisk::new(std::fs::read(image).unwrap())
}

fn add<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["-q", "luksAddKey", "--key-file", "{old}"], more, &FAST_PBKDF2, &["{}", "{new}"]].concat()
}

#[test]
fn a_slot_with_another_cipher_stands_beside_one_that_opens() {
    let other = ["--keyslot-cipher", "aes-cbc-essiv:sha256", "--keyslot-key-size", "256"];
    let disk = changed(second(), b"other", &add(&other));
    let header = Header::read(&disk).unwrap();
    assert!(header.obstacle().is_none());
    assert_eq!(header.unlock(&disk, &secret(PASSPHRASE)).unwrap().keyslot(), 0);
    let error = header.unlock(&disk, &secret(b"other")).unwrap_err();
    let reason = reason(&error);
    assert!(reason.contains("the 1 key slot does not open"), "{reason}");
    let named = "slot 1 was not tried: its area is encrypted with aes-cbc-essiv:sha256";
    assert!(reason.contains(named), "{reason}");
}

#[test]
fn a_key_file_counts_to_its_last_byte() {
    for key in [b"line\n".as_slice(), b"\n", b"a\r\n", b"\0a\0\n", &[0xff; 8192]] {
        let disk = changed(second(), key, &add(&[]));
        let header = Header::read(&disk).unwrap();
        assert_eq!(header.unlock(&disk, &secret(key)).unwrap().keyslot(), 1, "{key:?}");
        for wrong in [&key[..key.len() - 1], &[key, b"\n"].concat()] {
            assert!(header.unlock(&disk, &secret(wrong)).is_err(), "{wrong:?}");
        }
    }
    // An empty one: cryptsetup takes it, so whoever has one gets in.
    let disk = changed(second(), b"", &add(&[]));
    assert_eq!(Header::read(&disk).unwrap().unlock(&disk, &secret(b"")).unwrap().keyslot(), 1);
}

#[test]
fn slots_are_tried_by_their_priority() {
    let disk = changed(second(), b"other", &add(&[]));
    let numbers = |disk: &MemoryDisk| -> Vec<u32> {
        Header::read(disk).unwrap().keyslots.iter().map(|slot| slot.number).collect()
    };
    assert_eq!(numbers(&disk), [0, 1]);
    let two = Formatted { image: disk.read_vec(0, disk.len_bytes() as usize).unwrap(), ..empty() };
    for (slot, priority, order) in [("1", "prefer", [1, 0]), ("0", "ignore", [1, 0])] {
        let config = ["config", "{}", "--key-slot", slot, "--priority", priority];
        assert_eq!(numbers(&changed(&two, b"", &config)), order, "{priority}");
    }
}

fn empty() -> Formatted {
    Formatted { image: Vec::new(), volume_key: Vec::new() }
}

#[test]
fn a_detached_header_is_named() {
    for kind in [["--type", "luks1"], ["--type", "luks2"]] {
        let directory = directory();
        let [image, header, key] = ["image", "header", "key"]
            .map(|name| directory.path().join(name).to_str().unwrap().to_owned());
        write_sparse(&MemoryDisk::new(vec![0; 1 << 20]), image.as_ref());
        write_sparse(&MemoryDisk::new(vec![0; 4 << 20]), header.as_ref());
        write_sparse(&MemoryDisk::new(PASSPHRASE.to_vec()), key.as_ref());
        let start = ["-q", "luksFormat", "--key-file", &key, "--header", &header];
        cryptsetup(&[&start, kind.as_slice(), &FAST_PBKDF2, &[&image]].concat());
        let disk = MemoryDisk::new(std::fs::read(header).unwrap());
        let error = Header::read(&disk).unwrap().obstacle().unwrap();
        assert!(reason(&error).contains("its header is detached"), "{error}");
        // The data alone are noise.
        assert!(Header::read(&MemoryDisk::new(std::fs::read(image).unwrap())).is_err());
    }
}

#[test]
fn a_reencryption_that_began_is_named() {
    let begin = ["-q", "reencrypt", "--init-only", "--encrypt", "--key-file", "{old}"];
    let options = ["--type", "luks2", "--reduce-device-size", "2m", "{}"];
    let plain = Formatted { image: vec![0; 8 << 20], ..empty() };
    let fast = [SMALL[..4].as_ref(), &FAST_ARGON2].concat();
    let disk = changed(&plain, b"", &[begin.as_slice(), &fast, &options].concat());
    let error = Header::read(&disk).unwrap().obstacle().unwrap();
    assert!(reason(&error).contains("its reencryption is not finished"), "{error}");
    assert!(error.to_string().contains("reencrypt"), "{error}");
    let error = Header::read(&disk).unwrap().unlock(&disk, &secret(PASSPHRASE)).unwrap_err();
    assert!(reason(&error).contains("reencryption"), "{error}");
}

#[test]
fn headers_of_every_size_are_read_and_one_that_lost_its_start() {
    for size in ["16k", "64k", "1m", "4m"] {
        let options = ["--type", "luks2", "--luks2-metadata-size", size];
        let more = ["--luks2-keyslots-size", "256k", "--offset", "32768"];
        let formatted = format_large(&[&options, &more, &FAST_ARGON2]);
        let header = formatted.header();
        assert_eq!(header.warnings, [""; 0], "{size}");
        assert!(header.unlock(&formatted.disk(), &secret(PASSPHRASE)).is_ok(), "{size}");
        let mut image = formatted.image.clone();
        image[..4096].fill(0);
        let disk = MemoryDisk::new(image);
        let header = Header::read(&disk).unwrap();
        assert_eq!(header.warnings, ["a copy of the header is missing"], "{size}");
        assert!(header.unlock(&disk, &secret(PASSPHRASE)).is_ok(), "{size}");
    }
}

fn format_large(options: &[&[&str]]) -> Formatted {
    let directory = directory();
    let [image, key] =
        ["image", "key"].map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    write_sparse(&MemoryDisk::new(vec![0; 17 << 20]), image.as_ref());
    write_sparse(&MemoryDisk::new(PASSPHRASE.to_vec()), key.as_ref());
    let start = ["-q", "luksFormat", "--key-file", &key];
    cryptsetup(&[start.as_slice(), &options.concat(), &[&image]].concat());
    Formatted { image: std::fs::read(image).unwrap(), ..empty() }
}

/// Which hashes this cryptsetup has, and which of them are known.
#[test]
fn every_hash_of_version_1_opens_or_is_named() {
    for (hash, is_known) in [
        ("sha1", true),
        ("sha256", true),
        ("sha512", true),
        ("sha224", false),
        ("sha384", false),
        ("ripemd160", false),
        ("whirlpool", false),
        ("sha3-256", false),
    ] {
        let formatted =
            format(&[&["--type", "luks1", "--key-size", "256", "--hash", hash], &FAST_PBKDF2]);
        let opened = formatted.unlock();
        if is_known {
            let clear = opened.unwrap().over(Arc::new(Overlay::new(Arc::new(formatted.disk()))));
            assert!(clear.is_ok(), "{hash}");
            let error =
                formatted.header().unlock(&formatted.disk(), &secret(b"open sesam")).unwrap_err();
            assert!(reason(&error).contains("the 1 key slot does not open"), "{hash}: {error}");
        } else {
            let error = opened.unwrap_err();
            let named = format!("slot 0 was not tried: its hash is {hash}");
            assert!(reason(&error).contains(&named), "{hash}: {error}");
            let crate::error::ErrorKind::Refused(refusal) = error.kind() else { panic!("{error}") };
            let is_layout = matches!(
                refusal,
                crate::error::Refusal::UnsuitableVolume { obstacle: VolumeObstacle::Layout, .. }
            );
            assert!(is_layout, "{error}");
        }
    }
}
