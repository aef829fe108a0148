//! Images laid into encrypted volumes, as an ordinary user: `cryptsetup` formats, and `qemu-img` encrypts and decrypts.
//!
//! qemu knows version 1. A version 2 with sectors of 512 bytes has the same cipher text if it has the same volume key
//! and the same place for the payload, so its header is put in front of what qemu wrote. Larger sectors are written by
//! the product; a unit test compares that with sectors that cryptsetup encrypted.

use super::sparse;
use super::tools;
use regain::disk::memory::MemoryDisk;
use regain::disk::overlay::Overlay;
use regain::disk::{Disk as _, DiskEdit};
use regain::volume::luks::{Header, Secret};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What opens every container.
pub(crate) const PASSPHRASE: &str = "open sesame";

/// Where the payload starts, in bytes.
pub(crate) const PAYLOAD_BYTES: u64 = 2 << 20;

/// What a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// LUKS1.
    First,
    /// LUKS2, PBKDF2, sectors of 512 bytes.
    Second,
    /// LUKS2, Argon2id, sectors of 4096 bytes. For small images.
    LargeSectors,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::First, Self::Second, Self::LargeSectors];
}

/// The passphrase in a file in `directory`.
pub(crate) fn passphrase_file(directory: &Path) -> PathBuf {
    let path = directory.join("passphrase");
    if !path.exists() {
        fs::write(&path, PASSPHRASE).unwrap();
    }
    path
}

/// Encrypts the file `image`, which has whole sectors of 4096 bytes, into the new file `container`.
pub(crate) fn put(image: &Path, kind: Kind, container: &Path) {
    let len_bytes = fs::metadata(image).unwrap().len();
    File::create(container).unwrap().set_len(PAYLOAD_BYTES + len_bytes).unwrap();
    let passphrase = passphrase_file(container.parent().unwrap());
    match kind {
        Kind::First => {
            format(container, &passphrase, &["--type", "luks1"]);
            qemu_encrypts(image, container, &passphrase);
        }
        Kind::Second => {
            let key = container.with_extension("key");
            format(container, &passphrase, &["--type", "luks1"]);
            qemu_encrypts(image, container, &passphrase);
            dump_key(container, &passphrase, &key);
            let header = container.with_extension("header");
            File::create(&header).unwrap().set_len(PAYLOAD_BYTES + 4096).unwrap();
            format(&header, &passphrase, &second(&key));
            copy(&header, container, 0, PAYLOAD_BYTES);
            fs::remove_file(header).unwrap();
            fs::remove_file(key).unwrap();
        }
        Kind::LargeSectors => {
            let large = ["--type", "luks2", "--sector-size", "4096", "--pbkdf-memory", "32"];
            let large = [large.as_slice(), &SMALL, &["--pbkdf-force-iterations", "4"]].concat();
            cryptsetup_format(container, &passphrase, &large);
            let (overlay, clear) = unlock(container);
            clear.write_at(0, &sparse::read(image), "a test").unwrap();
            let all = overlay.read_vec(0, overlay.len_bytes() as usize).unwrap();
            sparse::write(container, &all);
        }
    }
}

/// Decrypts `len_bytes` of `container` into the file `image`.
pub(crate) fn take(container: &Path, kind: Kind, len_bytes: u64, image: &Path) {
    let passphrase = passphrase_file(container.parent().unwrap());
    match kind {
        Kind::First => qemu_decrypts(container, &passphrase, image),
        Kind::Second => {
            let [key, twin] = ["key", "twin"].map(|name| container.with_extension(name));
            dump_key(container, &passphrase, &key);
            File::create(&twin).unwrap().set_len(fs::metadata(container).unwrap().len()).unwrap();
            let key_file = key.to_str().unwrap();
            format(&twin, &passphrase, &["--type", "luks1", "--volume-key-file", key_file]);
            copy(container, &twin, PAYLOAD_BYTES, len_bytes);
            qemu_decrypts(&twin, &passphrase, image);
            fs::remove_file(twin).unwrap();
            fs::remove_file(key).unwrap();
        }
        Kind::LargeSectors => {
            let (_, clear) = unlock(container);
            sparse::write(image, &clear.read_vec(0, len_bytes as usize).unwrap());
        }
    }
    File::options().write(true).open(image).unwrap().set_len(len_bytes).unwrap();
}

/// The container in memory, and its clear text.
pub(crate) fn unlock(container: &Path) -> (Arc<Overlay>, Arc<dyn DiskEdit>) {
    let overlay = Arc::new(Overlay::new(Arc::new(MemoryDisk::new(sparse::read(container)))));
    let secret = Secret::new(PASSPHRASE.as_bytes().to_vec().into());
    let unlocked =
        Header::read(overlay.as_ref()).unwrap().unlock(overlay.as_ref(), &secret).unwrap();
    let clear = unlocked.over(overlay.clone()).unwrap();
    (overlay, clear)
}

/// The smallest version 2 with two slots; its payload starts at [`PAYLOAD_BYTES`].
const SMALL: [&str; 6] =
    ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "512k", "--offset", "4096"];

fn second(key: &Path) -> Vec<&str> {
    let mut options = vec!["--type", "luks2", "--sector-size", "512", "--volume-key-file"];
    options.push(key.to_str().unwrap());
    options.extend(SMALL);
    options
}

fn format(container: &Path, passphrase: &Path, options: &[&str]) {
    let fast = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    cryptsetup_format(container, passphrase, &[options, &fast].concat());
}

fn cryptsetup_format(container: &Path, passphrase: &Path, options: &[&str]) {
    let [container, passphrase] = [container, passphrase].map(|path| path.to_str().unwrap());
    let start = ["-q", "luksFormat", "--key-size", "512", "--key-file", passphrase];
    tools::succeed("cryptsetup", &[start.as_slice(), options, &[container]].concat());
}

fn dump_key(container: &Path, passphrase: &Path, key: &Path) {
    let [container, passphrase, key] =
        [container, passphrase, key].map(|path| path.to_str().unwrap());
    let start = ["-q", "luksDump", "--dump-volume-key", "--key-file", passphrase];
    let rest = ["--volume-key-file", key, container];
    tools::succeed("cryptsetup", &[start.as_slice(), &rest].concat());
}

fn options_of(container: &Path) -> String {
    format!("driver=luks,key-secret=it,file.filename={}", container.display())
}

fn qemu_encrypts(image: &Path, container: &Path, passphrase: &Path) {
    let secret = format!("secret,id=it,file={}", passphrase.display());
    let (image, options) = (image.to_str().unwrap(), options_of(container));
    let start = ["convert", "-n", "--object", &secret, "-f", "raw", image];
    tools::succeed("qemu-img", &[start.as_slice(), &["--target-image-opts", &options]].concat());
}

fn qemu_decrypts(container: &Path, passphrase: &Path, image: &Path) {
    let secret = format!("secret,id=it,file={}", passphrase.display());
    let (image, options) = (image.to_str().unwrap(), options_of(container));
    let start = ["convert", "--object", &secret, "--image-opts", &options];
    tools::succeed("qemu-img", &[start.as_slice(), &["-O", "raw", image]].concat());
}

fn copy(from: &Path, to: &Path, start: u64, len_bytes: u64) {
    let mut bytes = vec![0; len_bytes as usize];
    File::open(from).unwrap().read_exact_at(&mut bytes, start).unwrap();
    File::options().write(true).open(to).unwrap().write_all_at(&bytes, start).unwrap();
}
