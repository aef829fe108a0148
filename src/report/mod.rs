//! The JSON contract: what every command reports, as plain data.
//!
//! Names and shapes are those of `spec/cli.md`, section "JSON": snake_case, sizes and offsets with their
//! unit, and text from a volume that is not UTF-8 as `{"base64": "..."}` ([`Text`]). Fields are only ever
//! added; a removal would need a new [`SCHEMA`].
//!
//! Not handled here: how a report is shown to people. That is `cli::human`.

pub mod change;
pub mod check;
pub mod inspect;
pub mod keys;
pub mod patch;

use crate::error::{Error, ErrorKind};
use base64ct::{Base64, Encoding as _};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use std::fmt;

/// Name and version of the contract; the first field of every document.
pub const SCHEMA: &str = "regain/1";

/// The document of a command that succeeded.
#[derive(Debug, Serialize)]
pub struct Success<'a, R> {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The command without its arguments, as in "key add".
    pub command: &'a str,
    /// Version of the program.
    pub regain_version: &'static str,
    /// `true`.
    pub ok: bool,
    /// What the command acted on.
    pub target: &'a Target,
    /// What it found or did: one type per command.
    pub result: &'a R,
}

impl<'a, R> Success<'a, R> {
    /// Wraps the result of `command` on `target`.
    pub fn new(command: &'a str, target: &'a Target, result: &'a R) -> Self {
        let regain_version = env!("CARGO_PKG_VERSION");
        Self { schema: SCHEMA, command, regain_version, ok: true, target, result }
    }
}

/// The document of a command that failed.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The command without its arguments; empty if none was recognised.
    pub command: &'a str,
    /// Version of the program.
    pub regain_version: &'static str,
    /// `false`.
    pub ok: bool,
    /// What the command would have acted on, as far as it was known.
    pub target: &'a Target,
    /// What it found all the same, as for a key that is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a serde_json::Value>,
    /// What went wrong.
    pub error: ErrorReport,
}

impl<'a> Failure<'a> {
    /// Wraps the failure of `command` on `target`.
    pub fn new(command: &'a str, target: &'a Target, error: ErrorReport) -> Self {
        let regain_version = env!("CARGO_PKG_VERSION");
        Self { schema: SCHEMA, command, regain_version, ok: false, target, result: None, error }
    }
}

/// An error as data.
#[derive(Debug, Serialize)]
pub struct ErrorReport {
    /// `io`, `not_found`, `ambiguous`, `unsupported`, `corrupt`, `refused`, `mismatch`, `limit`, `usage`.
    pub kind: &'static str,
    /// Exit status of the program.
    pub exit_status: u8,
    /// The whole message in one line.
    pub message: String,
    /// The layers of the message, outermost first; then every further reason.
    pub causes: Vec<String>,
    /// What to do next, in one sentence.
    pub hint: String,
    /// True if a byte may have reached the target.
    pub target_modified: bool,
    /// The choices, if the kind is `ambiguous`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}

impl ErrorReport {
    /// Describes `error`, with `hint` and further reasons.
    pub fn new(error: &Error, hint: String, further: &[String]) -> Self {
        let mut causes: Vec<String> = error.context_chain().map(str::to_owned).collect();
        causes.push(error.kind().to_string());
        causes.extend(further.iter().cloned());
        let candidates = match error.kind() {
            ErrorKind::Ambiguous { candidates, .. } => candidates.clone(),
            _ => Vec::new(),
        };
        Self {
            kind: error.kind_name(),
            exit_status: error.exit_status(),
            message: error.to_string(),
            causes,
            hint,
            target_modified: error.target_modified(),
            candidates,
        }
    }
}

/// What a command acts on. Every field is absent until it is known.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Target {
    /// The target as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `image` or `block_device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Container format: `raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Size of the disk inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The volume that was chosen, as `inspect` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

impl Target {
    /// A target of which only the name is known.
    pub fn named(path: impl Into<String>) -> Self {
        Self { path: Some(path.into()), ..Self::default() }
    }
}

/// Text that came from a volume or a patch, and is perhaps not UTF-8.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(pub Vec<u8>);

impl Text {
    /// The text for people: escaped, so that nothing in it reaches the terminal as a control sequence.
    pub fn escaped(&self) -> String {
        crate::bytes::text::escape(&self.0)
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<Vec<u8>>> From<T> for Text {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.escaped())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &Base64::encode_string(&self.0))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Context as _, Refusal};

    #[test]
    fn text_that_is_not_utf8_becomes_base64() {
        let texts = [Text::from("Zo\u{eb}"), Text::from(b"\xff\x00a".to_vec())];
        let json = serde_json::to_string(&texts).unwrap();
        assert_eq!(json, r#"["Zoë",{"base64":"/wBh"}]"#);
    }

    #[test]
    fn a_failure_has_the_fields_of_the_contract() {
        let error: crate::error::Result<()> = Err(Refusal::Hibernated.into());
        let error = error.context(|| "volume 1".to_owned()).unwrap_err();
        let report = ErrorReport::new(&error, "do this".to_owned(), &["further".to_owned()]);
        let target = Target::named("disk.img");
        let json = serde_json::to_value(Failure::new("key add", &target, report)).unwrap();
        let expected = serde_json::json!({
            "schema": "regain/1", "command": "key add", "ok": false,
            "regain_version": env!("CARGO_PKG_VERSION"), "target": {"path": "disk.img"},
            "error": {
                "kind": "refused", "exit_status": 4, "hint": "do this", "target_modified": false,
                "message": "volume 1: the system on it is hibernated",
                "causes": ["volume 1", "the system on it is hibernated", "further"],
            },
        });
        assert_eq!(json, expected);
    }
}
