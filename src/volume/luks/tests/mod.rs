//! LUKS on volumes that cryptsetup formats.

mod bounds;
mod hostile;
mod refused;
mod tools;

use super::{Header, Secret, Segment, Unlocked};
use crate::disk::Disk as _;
use crate::disk::memory::MemoryDisk;
use crate::disk::overlay::Overlay;
use crate::disk::testing::{directory, program};
use crate::error::Error;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// What opens every volume here.
const PASSPHRASE: &[u8] = b"open sesame";

/// The payload of every volume here, in bytes.
const PAYLOAD: usize = 256 * 1024;

/// Key derivations that cost nothing.
const FAST_ARGON2: [&str; 6] =
    ["--pbkdf-force-iterations", "4", "--pbkdf-memory", "32", "--pbkdf-parallel", "2"];
const FAST_PBKDF2: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
const SMALL: [&str; 6] =
    ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "512k", "--offset", "2048"];

/// A volume as cryptsetup formats it.
struct Formatted {
    image: Vec<u8>,
    /// As cryptsetup shows it.
    volume_key: Vec<u8>,
}

impl Formatted {
    fn disk(&self) -> MemoryDisk {
        MemoryDisk::new(self.image.clone())
    }

    fn overlay(&self) -> Arc<Overlay> {
        Arc::new(Overlay::new(Arc::new(self.disk())))
    }

    fn header(&self) -> Header {
        Header::read(&self.disk()).unwrap()
    }

    fn unlock(&self) -> crate::error::Result<Unlocked> {
        self.header().unlock(&self.disk(), &secret(PASSPHRASE))
    }
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(Zeroizing::new(bytes.to_vec()))
}

fn cryptsetup(arguments: &[&str]) {
    let output = Command::new(program("cryptsetup")).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cryptsetup {arguments:?}: {errors}");
}

fn format(options: &[&[&str]]) -> Formatted {
    let directory = directory();
    let [image, file, key] = ["image", "file", "key"]
        .map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    crate::disk::testing::write_sparse(
        &MemoryDisk::new(vec![0; (3 << 20) + PAYLOAD]),
        image.as_ref(),
    );
    crate::disk::testing::write_sparse(&MemoryDisk::new(PASSPHRASE.to_vec()), file.as_ref());
    let options: Vec<&str> = options.concat();
    cryptsetup(
        &[&["-q", "luksFormat", "--key-file", &file], options.as_slice(), &[&image]].concat(),
    );
    let dump =
        ["-q", "luksDump", "--dump-volume-key", "--volume-key-file", &key, "--key-file", &file];
    cryptsetup(&[dump.as_slice(), &[&image]].concat());
    Formatted { image: std::fs::read(image).unwrap(), volume_key: std::fs::read(key).unwrap() }
}

/// A version 2 with one slot, Argon2id and sectors of 4096 bytes.
fn second() -> &'static Formatted {
    static FORMATTED: OnceLock<Formatted> = OnceLock::new();
    FORMATTED.get_or_init(|| {
        let options =
            ["--type", "luks2", "--key-size", "256", "--sector-size", "4096", "--label", "root"];
        format(&[&options, &SMALL, &FAST_ARGON2])
    })
}

/// A version 1 with one slot.
fn first() -> &'static Formatted {
    static FORMATTED: OnceLock<Formatted> = OnceLock::new();
    FORMATTED.get_or_init(|| format(&[&["--type", "luks1", "--key-size", "512"], &FAST_PBKDF2]))
}

fn reason(error: &Error) -> String {
    assert_eq!(error.kind_name(), "refused", "{error}");
    error.to_string()
}

#[test]
fn every_kind_that_cryptsetup_makes_opens_with_the_same_key() {
    let luks1 = ["--type", "luks1"];
    let luks2 = [["--type", "luks2"].as_slice(), &SMALL].concat();
    let argon2i = [["--pbkdf", "argon2i"].as_slice(), &FAST_ARGON2].concat();
    let argon2id = [["--pbkdf", "argon2id"].as_slice(), &FAST_ARGON2].concat();
    for options in [
        [luks1.as_slice(), &FAST_PBKDF2, &["--hash", "sha1", "--key-size", "256"]],
        [&luks1, &FAST_PBKDF2, &["--hash", "sha512", "--key-size", "512"]],
        [&luks2, &FAST_PBKDF2, &["--hash", "sha1", "--key-size", "512", "--sector-size", "512"]],
        [&luks2, &FAST_PBKDF2, &["--hash", "sha512", "--key-size", "256", "--sector-size", "1024"]],
        [&luks2, &argon2i, &["--hash", "sha256", "--key-size", "256", "--sector-size", "2048"]],
        [&luks2, &argon2id, &["--hash", "sha512", "--key-size", "512", "--sector-size", "4096"]],
    ] {
        let formatted = format(&options);
        let header = formatted.header();
        assert!(
            header.obstacle().is_none() && header.warnings.is_empty(),
            "{options:?}: {header:?}"
        );
        let unlocked = formatted.unlock().unwrap();
        let known = Unlocked::with_key(&formatted.volume_key, header.segment.clone().unwrap());
        let [ours, theirs] = [unlocked, known].map(|unlocked| {
            unlocked.over(formatted.overlay()).unwrap().read_vec(0, 16384).unwrap()
        });
        assert!(ours == theirs, "{options:?}");
        let error = header.unlock(&formatted.disk(), &secret(b"open barley")).unwrap_err();
        assert!(reason(&error).contains("the 1 key slot does not open"), "{error}");
    }
}

#[test]
fn sectors_that_cryptsetup_encrypted_are_decrypted_and_encrypted_to_the_same() {
    let cipher_text = include_bytes!("../../../../fixtures/luks/sector-4096.bin");
    let key = include_bytes!("../../../../fixtures/luks/sector-4096.key");
    // The fixture starts with the ninth sector.
    let mut image = vec![0; 8 * 4096];
    image.extend(cipher_text);
    let segment = Segment {
        offset_bytes: 0,
        size_bytes: None,
        sector_bytes: 4096,
        iv_tweak: 0,
        key_bytes: 64,
    };
    let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(image))));
    let disk = Unlocked::with_key(key, segment).over(overlay.clone()).unwrap();
    let clear = disk.read_vec(8 * 4096, 4 * 4096).unwrap();
    for (number, sector) in (64..96).zip(clear.chunks(512)) {
        let expected = format!("{:<512}", format!("clear {number:08}"));
        assert!(sector == expected.as_bytes(), "{number}");
    }
    disk.write_at(8 * 4096, &[0; 4 * 4096], "a test").unwrap();
    assert!(overlay.read_vec(8 * 4096, 4 * 4096).unwrap() != cipher_text);
    disk.write_at(8 * 4096, &clear, "a test").unwrap();
    assert!(overlay.read_vec(8 * 4096, 4 * 4096).unwrap() == cipher_text);
}

#[test]
fn writes_of_every_shape_are_read_back_and_stay_in_their_sectors() {
    for (formatted, sector) in [(first(), 512_u64), (second(), 4096)] {
        let overlay = formatted.overlay();
        let disk = formatted.unlock().unwrap().over(overlay.clone()).unwrap();
        let len = disk.len_bytes() as usize;
        let payload_start = formatted.image.len() - len;
        assert_eq!(u64::from(disk.sector_size_bytes()), sector);
        let mut model = disk.read_vec(0, len).unwrap();
        let mut seed = 3_u64;
        for round in 0..120_usize {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = [1, 512, 513, 4096, 70_000, 131_072][round % 6];
            let at = (seed >> 20) as usize % (len - size + 1);
            let at = if round % 4 == 0 { at / 4096 * 4096 } else { at };
            let before = overlay.savepoint();
            let bytes = vec![round as u8; size];
            disk.write_at(at as u64, &bytes, "a test").unwrap();
            if round % 7 == 0 {
                overlay.roll_back(before);
                continue;
            }
            model[at..at + size].copy_from_slice(&bytes);
            let (from, to) = (at.saturating_sub(600), (at + size + 600).min(len));
            assert!(disk.read_vec(from as u64, to - from).unwrap() == model[from..to], "{round}");
        }
        assert!(disk.read_vec(0, len).unwrap() == model);
        // A single byte changes one encrypted sector, and nothing before the payload.
        let overlay = formatted.overlay();
        let disk = formatted.unlock().unwrap().over(overlay.clone()).unwrap();
        disk.write_at(5000, b"x", "inode 5").unwrap();
        // XTS changes the 16 bytes around it, so of a larger sector only these 512 bytes.
        let start = payload_start as u64 + 5000 / 512 * 512;
        assert_eq!(overlay.written(), vec![start..start + 512]);
        let changes = overlay.changes().unwrap();
        assert_eq!(changes[0].labels, ["inode 5"]);
        assert!(disk.write_at(len as u64, b"x", "a test").is_err());
        assert!(disk.read_vec(len as u64 - 1, 2).is_err());
    }
}

#[test]
fn any_slot_opens_the_volume() {
    let directory = directory();
    let [image, old, new] = ["image", "old", "new"]
        .map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    let write = crate::disk::testing::write_sparse;
    write(&second().disk(), image.as_ref());
    write(&MemoryDisk::new(PASSPHRASE.to_vec()), old.as_ref());
    write(&MemoryDisk::new(b"key\nfile\0".to_vec()), new.as_ref());
    let add = ["-q", "luksAddKey", "--key-file", &old, &image, &new];
    cryptsetup(&[add.as_slice(), &FAST_PBKDF2].concat());
    let disk = MemoryDisk::new(std::fs::read(image).unwrap());
    let header = Header::read(&disk).unwrap();
    assert_eq!((header.version, header.label.as_slice()), (2, b"root".as_slice()));
    assert_eq!(header.unlock(&disk, &secret(b"key\nfile\0")).unwrap().keyslot(), 1);
    assert_eq!(header.unlock(&disk, &secret(PASSPHRASE)).unwrap().keyslot(), 0);
    let error = header.unlock(&disk, &secret(b"key")).unwrap_err();
    assert!(reason(&error).contains("none of the 2 key slots opens"), "{error}");
}

#[test]
fn keys_are_never_shown() {
    for formatted in [first(), second()] {
        let unlocked = formatted.unlock().unwrap();
        let empty = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(vec![0; (2 << 20) + 4096]))));
        let clear = unlocked.over(empty).unwrap();
        let shown = format!("{unlocked:?} {:?} {clear:?}", secret(PASSPHRASE));
        assert!(shown.contains("Xts(..)") && shown.contains("Secret(..)"));
        for part in formatted.volume_key.windows(4).chain(PASSPHRASE.windows(4)) {
            let listed = format!("{part:?}");
            assert!(!shown.contains(listed.trim_matches(['[', ']'])), "{listed}");
        }
    }
}
