//! `LaunchConfig.json` of EC2Launch v1: where the password comes from, what else will happen, and
//! the edits of it.
//!
//! Format: JSON (RFC 8259), read leniently: any encoding, comments, keys in any case (WIN-65). The
//! agent itself takes a file that it cannot read, or that lacks a required key, for absent, and then
//! makes a random password (WIN-62): so the edit to `Random` is right either way, and a password of
//! the caller is refused in such a file. Edits change bytes in place and are verified by parsing
//! again.
//!
//! Experimental: a password of the caller (WIN-66, WIN-127).

mod edit;
mod tokens;

use super::{Text, TextDefect};
use crate::guest::windows::format::password::Weakness;
use std::fmt;
use std::ops::Range;
use tokens::{BRACKETS_MAX, Property, STRUCTURE_MAX, Tokens};

/// Keys without which the agent ignores the file (WIN-62).
const REQUIRED_KEYS: [&str; 5] =
    ["setComputerName", "setWallpaper", "addDnsSuffixList", "extendBootVolumeSize", TYPE_KEY];
const TYPE_KEY: &str = "adminPasswordType";
const PASSWORD_KEY: &str = "adminPassword";

/// A parsed `LaunchConfig.json`.
pub struct LaunchConfig {
    /// `adminPasswordType`.
    pub source: LaunchPasswordSource,
    /// True if user data run again (WIN-67).
    pub handles_user_data: bool,
    /// True if the computer is renamed and restarted (WIN-67).
    pub renames_computer: bool,
    /// Required keys that are not there. If there are any, the agent ignores the file (WIN-62).
    pub missing_keys: Vec<&'static str>,
    /// False if a strict parser refuses the file, as with a comment in it. The agent then ignores it.
    pub is_strict_json: bool,
    text: Text,
    tokens: Tokens,
    kind: Option<Property>,
    password: Option<Property>,
}

/// Where the password comes from (WIN-61).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchPasswordSource {
    /// The agent makes one.
    Random,
    /// From `adminPassword`.
    Specify {
        /// False if it is empty: the agent then makes a random one.
        has_password: bool,
    },
    /// The account is not touched.
    DoNothing,
    /// A word that the agent does not know.
    Other,
    /// There is no type.
    Missing,
}

/// Why `LaunchConfig.json` cannot be read or edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchConfigDefect {
    /// No text.
    #[error(transparent)]
    Text(#[from] TextDefect),
    /// No JSON, even for a lenient reader.
    #[error("it is no valid JSON: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// More brackets than the bound, so that nothing can be nested deeper than that.
    #[error("it has more than {BRACKETS_MAX} opening brackets")]
    TooDeep,
    /// More commas, colons and brackets than the bound.
    #[error("it has more than {STRUCTURE_MAX} commas, colons and brackets")]
    TooLarge,
    /// The outermost value is no object.
    #[error("it is not a JSON object")]
    NoObject,
    /// A key that counts is there twice.
    #[error("it has the key {name} twice")]
    DuplicateKey {
        /// The key.
        name: &'static str,
    },
    /// The type is none of the known words.
    #[error("its {TYPE_KEY} is unknown")]
    UnknownType,
    /// The agent would not read the file, so that a password in it does not count.
    #[error("the agent ignores the file, as it is incomplete or no strict JSON")]
    Ignored,
    /// The password is no text.
    #[error("its {PASSWORD_KEY} is not a string")]
    PasswordForm,
    /// The agent would replace the password by a random one (WIN-61).
    #[error("the agent would not take the password: {0}")]
    Weak(Weakness),
    /// The changed file says something else than was meant: an error of ours.
    #[error("the changed file does not read as intended")]
    NotVerified,
}

impl fmt::Debug for LaunchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaunchConfig")
            .field("source", &self.source)
            .field("handles_user_data", &self.handles_user_data)
            .field("renames_computer", &self.renames_computer)
            .field("missing_keys", &self.missing_keys)
            .field("is_strict_json", &self.is_strict_json)
            .finish_non_exhaustive()
    }
}

impl LaunchConfig {
    /// Parses a file.
    ///
    /// # Errors
    /// [`LaunchConfigDefect`] if it is damaged or unusual.
    pub fn parse(bytes: &[u8]) -> Result<Self, LaunchConfigDefect> {
        let text = Text::decode(bytes)?;
        let tokens = Tokens::parse(text.as_str())?;
        let kind = tokens.property(TYPE_KEY)?;
        let password = tokens.property(PASSWORD_KEY)?;
        let has_password =
            password.as_ref().and_then(|p| p.text.as_deref()).is_some_and(|text| !text.is_empty());
        let word =
            kind.as_ref().map(|p| p.text.as_deref().unwrap_or_default().to_ascii_lowercase());
        let source = match word.as_deref() {
            None => LaunchPasswordSource::Missing,
            Some("random") => LaunchPasswordSource::Random,
            Some("specify") => LaunchPasswordSource::Specify { has_password },
            Some("donothing") => LaunchPasswordSource::DoNothing,
            Some(_) => LaunchPasswordSource::Other,
        };
        let is_true = |name| {
            Ok::<_, LaunchConfigDefect>(
                tokens.property(name)?.is_some_and(|property| property.is_true),
            )
        };
        let mut missing_keys = Vec::new();
        for name in REQUIRED_KEYS {
            if tokens.property(name)?.is_none() {
                missing_keys.push(name);
            }
        }
        Ok(Self {
            source,
            handles_user_data: is_true("handleUserData")?,
            renames_computer: is_true("setComputerName")?,
            missing_keys,
            is_strict_json: serde_json::from_str::<serde::de::IgnoredAny>(text.as_str()).is_ok(),
            text,
            tokens,
            kind,
            password,
        })
    }

    /// True if the agent takes the file for absent and uses its defaults: a random password, and user
    /// data run (WIN-62).
    pub fn is_ignored(&self) -> bool {
        !self.is_strict_json || !self.missing_keys.is_empty()
    }
}

/// Range of a token in the text, in bytes.
type Span = Range<usize>;

#[cfg(test)]
mod tests;
