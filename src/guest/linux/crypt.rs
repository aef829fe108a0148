//! Password hashes of `/etc/shadow`: which kind a system uses, making one, and checking one
//! (crypt(5), LOGIN-113).
//!
//! Made are SHA-512 crypt (`$6$`), which every glibc and libxcrypt knows, and yescrypt (`$y$`) where
//! the volume both uses it and has a libcrypt that knows it. Checked are the same two. A hash comes
//! from the volume, so its cost is bounded before it is computed.

use super::text::{TEXT_BYTES_MAX, lines, required};
use crate::error::{Error, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FileSystem, NodeKind};
use sha_crypt::{PasswordHasher as _, PasswordVerifier as _, ShaCrypt};
use std::collections::BTreeSet;
use yescrypt::Yescrypt;

/// Bytes of a salt: yescrypt takes all of them, SHA-512 crypt the first [`SHA_SALT_BYTES`].
pub const SALT_BYTES: usize = 16;
/// Sixteen characters of a SHA-512 crypt salt.
const SHA_SALT_BYTES: usize = 12;
/// Rounds of SHA-512 crypt above which a hash from the volume is not computed; the default is 5000.
const ROUNDS_MAX: u32 = 1_000_000;
/// Memory of yescrypt above which a hash from the volume is not computed, in bytes; the default
/// takes 16 MiB.
const YESCRYPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Length of a hash above which it is none of ours.
const HASH_BYTES_MAX: usize = 256;
/// Size of a libcrypt above which it is not looked at, in bytes.
const LIBRARY_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bound on the directories of libraries, and on the libcrypts in them.
const LIBRARIES_MAX: usize = 64;
/// Bound on the lines of a PAM file or of login.defs that are looked at.
const LINES_MAX: usize = 4096;

/// A kind of hash that is made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// SHA-512 crypt, `$6$`.
    Sha512,
    /// yescrypt, `$y$`.
    Yescrypt,
}

impl Scheme {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha512 => "SHA-512 crypt",
            Self::Yescrypt => "yescrypt",
        }
    }

    /// The kind that a word of PAM or login.defs names, in any case.
    fn from_word(word: &[u8]) -> Option<Self> {
        if word.eq_ignore_ascii_case(b"yescrypt") {
            return Some(Self::Yescrypt);
        }
        // Every other kind, such as blowfish or md5, gives way to the one that all systems know.
        let others = ["sha512", "sha256", "md5", "des", "blowfish", "bigcrypt", "gost_yescrypt"];
        others
            .iter()
            .any(|other| word.eq_ignore_ascii_case(other.as_bytes()))
            .then_some(Self::Sha512)
    }
}

/// Whether a password belongs to a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The hash is of a kind, or so costly, that it is not computed here.
    Unknown,
}

/// The hash of `password`, as it stands in field 2 of shadow.
///
/// # Errors
/// `Io` if the password cannot be hashed, which no length that we take leads to.
pub fn hash(scheme: Scheme, password: &[u8], salt: [u8; SALT_BYTES]) -> Result<String> {
    let failed = |error| Error::from(std::io::Error::other(format!("hashing failed: {error}")));
    match scheme {
        Scheme::Sha512 => {
            let salt = salt.get(..SHA_SALT_BYTES).unwrap_or_default();
            let made = ShaCrypt::SHA512.hash_password_with_salt(password, salt).map_err(failed)?;
            // The default number of rounds goes without saying, and old parsers prefer that.
            Ok(made.as_str().replacen("rounds=5000$", "", 1))
        }
        Scheme::Yescrypt => {
            let made = Yescrypt::default().hash_password_with_salt(password, &salt);
            Ok(made.map_err(failed)?.as_str().to_owned())
        }
    }
}

/// Whether `password` belongs to `hash`.
pub fn verify(password: &[u8], hash: &[u8]) -> Match {
    let Some(text) = std::str::from_utf8(hash).ok().filter(|text| text.len() <= HASH_BYTES_MAX)
    else {
        return Match::Unknown;
    };
    let result = match text.get(..3) {
        Some("$6$" | "$5$") if rounds(text) <= ROUNDS_MAX => {
            ShaCrypt::SHA512.verify_password(password, text)
        }
        Some("$y$") if is_affordable(text) => Yescrypt::default().verify_password(password, text),
        _ => return Match::Unknown,
    };
    match result {
        Ok(()) => Match::Yes,
        Err(sha_crypt::password_hash::Error::PasswordInvalid) => Match::No,
        Err(_) => Match::Unknown,
    }
}

/// The rounds of a SHA crypt hash; the largest number if they cannot be read.
fn rounds(hash: &str) -> u32 {
    let settings = hash.split('$').nth(2).unwrap_or_default();
    match settings.strip_prefix("rounds=") {
        Some(number) => number.parse().unwrap_or(u32::MAX),
        None => 0,
    }
}

/// True if the parameters of a yescrypt hash are the plain three (kind, memory, block size), and
/// affordable.
fn is_affordable(hash: &str) -> bool {
    let settings = hash.split('$').nth(2).unwrap_or_default();
    let Ok(parameters) = settings.parse::<yescrypt::Params>() else { return false };
    let block_bytes = u64::from(parameters.r()).saturating_mul(128);
    let memory_bytes = parameters.n().saturating_mul(block_bytes);
    settings.len() == 3 && parameters.p() == 1 && memory_bytes <= YESCRYPT_BYTES_MAX
}

/// True if a field is a hash, as opposed to `*`, `!`, `x` or nothing.
pub fn is_hash(field: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"./$=,_-+".contains(byte);
    // The shortest one is that of DES, with 13 characters.
    field.len() >= 13 && field.iter().all(is_plain)
}

/// The kind of hash that a system uses, and what says so. `shadow` is the content of the shadow
/// file.
///
/// # Errors
/// As the file system.
pub fn scheme_of(fs: &dyn FileSystem, shadow: &[u8]) -> Result<(Scheme, String)> {
    let Some((wanted, evidence)) = wanted(fs, shadow)? else {
        return Ok((Scheme::Sha512, "nothing says which, and all systems know it".into()));
    };
    if wanted == Scheme::Sha512 {
        return Ok((wanted, evidence));
    }
    if super::text::exists(fs, "/etc/system-fips") {
        return Ok((Scheme::Sha512, "FIPS mode does not allow yescrypt".into()));
    }
    if !libcrypt_knows_yescrypt(fs)? {
        let reason = format!("{evidence}, but no libcrypt on this volume knows yescrypt");
        return Ok((Scheme::Sha512, reason));
    }
    Ok((wanted, evidence))
}

fn wanted(fs: &dyn FileSystem, shadow: &[u8]) -> Result<Option<(Scheme, String)>> {
    for path in ["common-password", "common-password-pc", "system-auth", "password-auth"] {
        let path = format!("/etc/pam.d/{path}");
        let content = required(fs, &path, TEXT_BYTES_MAX)?.unwrap_or_default();
        if let Some((scheme, line)) = of_pam(&content) {
            return Ok(Some((scheme, format!("{path}:{line}"))));
        }
    }
    let settings = required(fs, "/etc/login.defs", TEXT_BYTES_MAX)?.unwrap_or_default();
    for (line, number) in lines(&settings).take(LINES_MAX).zip(1u64..) {
        let mut words = words(line);
        if words.next() == Some(b"ENCRYPT_METHOD")
            && let Some(scheme) = words.next().and_then(Scheme::from_word)
        {
            return Ok(Some((scheme, format!("/etc/login.defs:{number}"))));
        }
    }
    Ok(of_shadow(shadow).map(|scheme| (scheme, "the other hashes in /etc/shadow".to_owned())))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The kind that the line of pam_unix for changing a password names, and the number of that line.
fn of_pam(content: &[u8]) -> Option<(Scheme, u64)> {
    for (line, number) in lines(content).take(LINES_MAX).zip(1u64..) {
        let mut words = words(line);
        let kind = words.next().unwrap_or_default();
        if !kind.strip_prefix(b"-").unwrap_or(kind).eq_ignore_ascii_case(b"password") {
            continue;
        }
        if !words.by_ref().any(|word| word.ends_with(b"pam_unix.so")) {
            continue;
        }
        if let Some(scheme) = words.find_map(Scheme::from_word) {
            return Some((scheme, number));
        }
    }
    None
}

/// The kind of the hashes that are there; SHA-512 unless all are yescrypt.
fn of_shadow(content: &[u8]) -> Option<Scheme> {
    let fields = lines(content).filter_map(|line| line.split(|&byte| byte == b':').nth(1));
    let mut hashes = fields.filter(|field| is_hash(field)).peekable();
    hashes.peek()?;
    let is_yescrypt = hashes.all(|hash| hash.starts_with(b"$y$"));
    Some(if is_yescrypt { Scheme::Yescrypt } else { Scheme::Sha512 })
}

/// True if there is a libcrypt, and every one knows yescrypt.
fn libcrypt_knows_yescrypt(fs: &dyn FileSystem) -> Result<bool> {
    let mut directories: Vec<GuestPath> = Vec::new();
    for base in ["/usr/lib64", "/usr/lib", "/lib64", "/lib"] {
        let base = GuestPath::new(base);
        let Ok(Some(found)) = find(fs, &base) else { continue };
        // A directory of libraries has thousands of names; only those of an architecture count.
        let names = ["x86_64", "aarch64", "i386", "arm", "riscv64", "s390x", "powerpc64le"];
        for name in names {
            for abi in ["gnu", "gnueabihf"] {
                directories.push(found.real_path.join(format!("{name}-linux-{abi}")));
            }
        }
        directories.push(found.real_path);
    }
    let mut seen = BTreeSet::new();
    let mut answers = Vec::new();
    for directory in directories.iter().take(LIBRARIES_MAX) {
        for name in ["libcrypt.so.1", "libcrypt.so.1.1", "libcrypt.so.2"] {
            let Ok(Some(found)) = find(fs, &directory.join(name)) else { continue };
            let metadata = fs.metadata(found.node)?;
            if metadata.kind != NodeKind::File || !seen.insert(found.node) {
                continue;
            }
            let content = match metadata.size_bytes {
                size_bytes if size_bytes > LIBRARY_BYTES_MAX => Vec::new(),
                _ => fs.read(found.node, LIBRARY_BYTES_MAX)?,
            };
            answers.push(content.windows(4).any(|bytes| bytes == b"$y$\0"));
        }
    }
    Ok(!answers.is_empty() && answers.into_iter().all(|knows| knows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    const SALT: [u8; SALT_BYTES] = *b"0123456789abcdef";

    /// What crypt(3) says to a password and a hash, by openssl or by the library of this machine.
    fn of_python(password: &str, setting: &str) -> String {
        let program = "import ctypes,sys\n\
                       lib=ctypes.CDLL('libcrypt.so.1')\n\
                       lib.crypt.restype=ctypes.c_char_p\n\
                       print(lib.crypt(sys.argv[1].encode(),sys.argv[2].encode()).decode())";
        let output = std::process::Command::new("python3")
            .args(["-c", program, password, setting])
            .output()
            .expect("python3 is missing: run tests/run");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn the_library_of_this_machine_computes_the_same_hashes_login_113() {
        for password in ["secret", "", "p\u{e4}ss w\u{f6}rd:!", &"x".repeat(127)] {
            for scheme in [Scheme::Sha512, Scheme::Yescrypt] {
                let made = hash(scheme, password.as_bytes(), SALT).unwrap();
                assert_eq!(of_python(password, &made), made, "{password:?}");
                assert_eq!(verify(password.as_bytes(), made.as_bytes()), Match::Yes);
                assert_eq!(verify(b"other", made.as_bytes()), Match::No);
                assert!(is_hash(made.as_bytes()));
            }
        }
    }

    #[test]
    fn hashes_of_other_programs_are_understood() {
        for setting in
            ["$6$abc", "$6$rounds=1000$saltsaltsaltsalt", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1"]
        {
            let theirs = of_python("secret", setting);
            assert_eq!(verify(b"secret", theirs.as_bytes()), Match::Yes, "{theirs}");
            assert_eq!(verify(b"Secret", theirs.as_bytes()), Match::No, "{theirs}");
        }
        let arguments = ["passwd", "-6", "-salt", "abcdefgh", "secret"];
        let output = std::process::Command::new("openssl").args(arguments).output();
        let theirs = String::from_utf8(output.unwrap().stdout).unwrap();
        assert_eq!(verify(b"secret", theirs.trim_end().as_bytes()), Match::Yes, "{theirs}");
    }

    #[test]
    fn costly_and_odd_hashes_are_not_computed() {
        for hash in [
            "",
            "*",
            "!",
            "x",
            "$1$abc$def",
            "$6$",
            "$6$rounds=999999999$salt$x",
            "$6$rounds=99999999999999$salt$x",
            "$y$jzT$salt$x",
            "$y$j9z$salt$x",
            "$y$j9T1$salt$x",
            "$y$$$",
            "$y$",
            &"$6$".repeat(1000),
        ] {
            assert_eq!(verify(b"secret", hash.as_bytes()), Match::Unknown, "{hash}");
        }
        assert_eq!(verify(b"secret", b"$6$\xff\xfe"), Match::Unknown);
        assert!(!is_hash(b"*") && !is_hash(b"!!") && !is_hash(b"!$6$aaaaaaaaaaaaaaaaaaaaa"));
    }

    #[test]
    fn the_kind_of_the_volume_is_found() {
        let pam = "password\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\n";
        let el = "# comment\npassword    sufficient    pam_unix.so sha512 shadow nullok\n";
        let is_auth = "auth required pam_unix.so yescrypt\n";
        let knows: &[u8] = b"\x7fELF...$y$\0$2a$\0";
        let knows_not: &[u8] = b"\x7fELF...$6$\0$5$\0";
        let modern = "root:$y$j9T$aaaaaaaa$bbbbbbbb:1::::::\n";
        let old = "root:$6$aaaaaaaa$bbbbbbbb:1::::::\nx:!$y$j9T$aaaaaaaa$bbbb:1::::::\n";
        for (path, content, library, shadow, expected) in [
            ("/etc/pam.d/common-password", pam, knows, "", Scheme::Yescrypt),
            ("/etc/pam.d/common-password", pam, knows_not, "", Scheme::Sha512),
            ("/etc/pam.d/system-auth", el, knows, modern, Scheme::Sha512),
            ("/etc/pam.d/system-auth", is_auth, knows, old, Scheme::Sha512),
            ("/etc/login.defs", "ENCRYPT_METHOD YESCRYPT\n", knows, old, Scheme::Yescrypt),
            ("/etc/login.defs", "#ENCRYPT_METHOD SHA512\n", knows, modern, Scheme::Yescrypt),
            ("/etc/login.defs", "ENCRYPT_METHOD sha512\n", knows, modern, Scheme::Sha512),
            ("/etc/motd", "", knows, "root:*:1::::::\n", Scheme::Sha512),
        ] {
            let mut tree = MemoryTree::new();
            tree.file(path, 0, 0o644, content.as_bytes())
                .file("/usr/lib/x86_64-linux-gnu/libcrypt.so.1.1.0", 0, 0o644, library)
                .link("/usr/lib/x86_64-linux-gnu/libcrypt.so.1", "libcrypt.so.1.1.0")
                .link("/lib", "usr/lib");
            let (found, evidence) = scheme_of(&tree, shadow.as_bytes()).unwrap();
            assert_eq!(found, expected, "{path} {content} {shadow}: {evidence}");
        }
    }
}
