//! Passwords for Windows accounts: made, checked, kept out of every output, and wiped.
//!
//! The complexity rule is that of Microsoft's "Password must meet complexity requirements"
//! (Windows security policy settings): three of five kinds of characters, and not the account's
//! name. EC2Launch v1 wants three of four classes (WIN-61), which is the stricter count. Length
//! limit: 127 UTF-16 units, the most that the logon dialogue takes. Not known offline: the minimum
//! length, age and history of the machine's own policy.

use crate::error::Result;
use ssh_key::rand_core::{OsRng, RngCore};
use std::fmt;
use zeroize::Zeroizing;

/// Bound on the length of a password, in UTF-16 units.
pub const PASSWORD_UNITS_MAX: usize = 127;
/// Length of a generated password in characters: about 118 bits.
pub const GENERATED_CHARACTERS: usize = 20;

/// Characters that cannot be mistaken for one another when they are read from a screen, by class.
const READABLE: [&[u8]; 4] =
    [b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"abcdefghijkmnopqrstuvwxyz", b"23456789", b"-_.+#@"];
/// Bound on the tries for a password with all classes. One try succeeds in four of five cases.
const TRIES_MAX: usize = 1000;
/// Classes that WIN-61 and the policy of Windows ask for.
const CLASSES_MIN: usize = 3;
/// Account names shorter than this are not looked for in the password (Microsoft, as above).
const NAME_CHARACTERS_MIN: usize = 3;

/// A password. Never shown by `Debug`, wiped from memory when dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordDefect {
    /// Nothing.
    #[error("the password is empty")]
    Empty,
    /// Longer than [`PASSWORD_UNITS_MAX`].
    #[error("the password has {actual} UTF-16 units, more than the limit of {PASSWORD_UNITS_MAX}")]
    TooLong {
        /// Its length in UTF-16 units.
        actual: usize,
    },
    /// A character that cannot be typed, such as a tab or a second line.
    #[error("the password has a control character at position {position}")]
    Control {
        /// Index of the character, from 1.
        position: usize,
    },
    /// Bytes that are no UTF-8.
    #[error("the password is not valid UTF-8")]
    NotUtf8,
}

/// Why Windows or an agent would not take a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Fewer than three of the four classes.
    #[error(
        "it has {actual} of the four kinds upper case, lower case, digit and other, but Windows \
         asks for {CLASSES_MIN}"
    )]
    FewClasses {
        /// How many there are.
        actual: usize,
    },
    /// The name of the account is part of it.
    #[error("it contains the name of the account")]
    HasAccountName,
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Password {}

impl Password {
    /// Takes text as a password.
    ///
    /// # Errors
    /// [`PasswordDefect`] if no Windows account can have it.
    pub fn new(text: &str) -> Result<Self, PasswordDefect> {
        let actual = text.encode_utf16().count();
        if actual == 0 {
            return Err(PasswordDefect::Empty);
        }
        if actual > PASSWORD_UNITS_MAX {
            return Err(PasswordDefect::TooLong { actual });
        }
        if let Some(position) = text.chars().position(|character| {
            character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
        }) {
            return Err(PasswordDefect::Control { position: position.saturating_add(1) });
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Takes the content of a password file or of the standard input: UTF-8, without a byte order
    /// mark and one line end at its end, if there are any.
    ///
    /// # Errors
    /// [`PasswordDefect`] if no Windows account can have it.
    pub fn from_file(bytes: &[u8]) -> Result<Self, PasswordDefect> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Self::new(std::str::from_utf8(bytes).map_err(|_| PasswordDefect::NotUtf8)?)
    }

    /// Makes a strong password with the random numbers of the operating system.
    ///
    /// # Errors
    /// `Io` if it has none.
    pub fn generate() -> Result<Self> {
        Self::generate_with(&mut OsRng)
    }

    /// Makes a strong password: [`GENERATED_CHARACTERS`] readable characters, all classes present.
    ///
    /// # Errors
    /// `Io` if `random` fails or is not random.
    pub fn generate_with(random: &mut dyn RngCore) -> Result<Self> {
        for _ in 0..TRIES_MAX {
            let candidate = random_text(random)?;
            if READABLE.iter().all(|class| candidate.bytes().any(|byte| class.contains(&byte))) {
                return Ok(Self(candidate));
            }
        }
        Err(std::io::Error::other("the source of random numbers is not random").into())
    }

    /// The password itself. Only for what must hold it: never for a message, a log or a report.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many of the classes upper case, lower case, digit and other it has, as WIN-61 counts.
    pub fn class_count(&self) -> usize {
        let classes: [fn(char) -> bool; 4] = [
            char::is_uppercase,
            char::is_lowercase,
            |character| character.is_ascii_digit(),
            |character| !character.is_alphanumeric(),
        ];
        classes.into_iter().filter(|class| self.0.chars().any(*class)).count()
    }

    /// Checks what Windows asks for whatever the policy: three classes, and not the account's name.
    ///
    /// # Errors
    /// [`Weakness`]: the password would be refused, or replaced by a random one.
    pub fn check_complexity(&self, account: &str) -> Result<(), Weakness> {
        let actual = self.class_count();
        if actual < CLASSES_MIN {
            return Err(Weakness::FewClasses { actual });
        }
        let is_long = account.chars().count() >= NAME_CHARACTERS_MIN;
        let lower = Zeroizing::new(self.0.to_lowercase());
        if is_long && lower.contains(&account.to_lowercase()) {
            return Err(Weakness::HasAccountName);
        }
        Ok(())
    }
}

fn random_text(random: &mut dyn RngCore) -> Result<Zeroizing<String>> {
    let alphabet = READABLE.concat();
    // The largest multiple of the alphabet's size in a byte, so that no character is preferred.
    let fair = 256usize.saturating_sub(256usize.checked_rem(alphabet.len()).unwrap_or(0));
    let mut text = Zeroizing::new(String::with_capacity(GENERATED_CHARACTERS));
    let mut bytes = Zeroizing::new([0; 64]);
    for _ in 0..TRIES_MAX {
        random.try_fill_bytes(bytes.as_mut_slice()).map_err(std::io::Error::other)?;
        for byte in bytes.iter().map(|&byte| usize::from(byte)).filter(|&byte| byte < fair) {
            let index = byte.checked_rem(alphabet.len()).unwrap_or(0);
            text.extend(alphabet.get(index).map(|&byte| char::from(byte)));
            if text.len() >= GENERATED_CHARACTERS {
                return Ok(text);
            }
        }
    }
    Err(std::io::Error::other("the source of random numbers is not random").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_no_account_can_have_is_refused() {
        let long = "\u{1f600}".repeat(64);
        for (text, expected) in [
            ("", Some(PasswordDefect::Empty)),
            ("a", None),
            (" a b ", None),
            ("\u{e4}\u{1f600}", None),
            (&"x".repeat(127), None),
            (&"x".repeat(128), Some(PasswordDefect::TooLong { actual: 128 })),
            (&long, Some(PasswordDefect::TooLong { actual: 128 })),
            ("a\tb", Some(PasswordDefect::Control { position: 2 })),
            ("a\nb", Some(PasswordDefect::Control { position: 2 })),
            ("\u{85}", Some(PasswordDefect::Control { position: 1 })),
            ("\0", Some(PasswordDefect::Control { position: 1 })),
            ("a\u{2028}", Some(PasswordDefect::Control { position: 2 })),
        ] {
            assert_eq!(Password::new(text).err(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_file_may_end_its_line() {
        for (bytes, expected) in [
            (b"secret".as_slice(), Ok("secret")),
            (b"secret\n", Ok("secret")),
            (b"secret\r\n", Ok("secret")),
            (b"\xef\xbb\xbfsecret \r\n", Ok("secret ")),
            (b"\n", Err(PasswordDefect::Empty)),
            (b"secret\n\n", Err(PasswordDefect::Control { position: 7 })),
            (b"a\nb\n", Err(PasswordDefect::Control { position: 2 })),
            (b"\xff\xfes\0", Err(PasswordDefect::NotUtf8)),
        ] {
            let found = Password::from_file(bytes);
            assert_eq!(found.as_ref().map(Password::expose).map_err(|defect| *defect), expected);
        }
    }

    #[test]
    fn generated_passwords_are_strong_and_differ() {
        let mut seen = BTreeSet::new();
        let mut characters = BTreeSet::new();
        for _ in 0..200 {
            let password = Password::generate().unwrap();
            assert_eq!(password.expose().len(), GENERATED_CHARACTERS);
            assert_eq!(password.class_count(), 4);
            assert_eq!(password.check_complexity("Administrator"), Ok(()));
            characters.extend(password.expose().bytes());
            assert!(seen.insert(password.expose().to_owned()));
        }
        let mut alphabet = READABLE.concat();
        alphabet.sort_unstable();
        assert_eq!(characters.into_iter().collect::<Vec<_>>(), alphabet, "all are used");
    }

    /// Gives the same byte for ever.
    struct Stuck(u8);

    impl RngCore for Stuck {
        fn next_u32(&mut self) -> u32 {
            self.0.into()
        }
        fn next_u64(&mut self) -> u64 {
            self.0.into()
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), ssh_key::rand_core::Error> {
            self.fill_bytes(bytes);
            Ok(())
        }
    }

    #[test]
    fn a_stuck_source_is_an_error() {
        for byte in [0, 255] {
            let error = Password::generate_with(&mut Stuck(byte)).unwrap_err();
            assert!(error.to_string().contains("not random"), "{error}");
        }
    }

    #[test]
    fn complexity_is_that_of_windows() {
        // WIN-61: three of four classes.
        for (text, account, expected) in [
            ("Passw0rd", "Administrator", Ok(())),
            ("password!1", "Administrator", Ok(())),
            ("PASSWORD 1", "x", Ok(())),
            ("password1", "x", Err(Weakness::FewClasses { actual: 2 })),
            ("password", "x", Err(Weakness::FewClasses { actual: 1 })),
            ("\u{4e00}\u{4e00}", "x", Err(Weakness::FewClasses { actual: 0 })),
            ("xADMINistrator1!", "Administrator", Err(Weakness::HasAccountName)),
            ("Jo-2345", "Jo", Ok(())),
        ] {
            let password = Password::new(text).unwrap();
            assert_eq!(password.check_complexity(account), expected, "{text}");
        }
    }

    #[test]
    fn debug_tells_nothing() {
        let password = Password::new("secret").unwrap();
        assert_eq!(format!("{password:?}"), "Password");
        assert_eq!(format!("{:?}", Some(password)), "Some(Password)");
    }
}
