//! Commands of later versions: a clear answer in place of a guess at a misspelling.

use super::output::Failure;
use crate::error::Error;

/// The commands that the contract names and this version does not have, with what helps today.
const LATER: [(&str, &str); 1] = [(
    "key check",
    "`regain key add TARGET --key FILE --dry-run` says what would keep sshd from accepting a key",
)];

/// The name of the later command that `words` (arguments without options) start with, and the answer to it.
pub(super) fn answer(words: &[&str]) -> Option<(&'static str, Failure)> {
    let (name, hint) = LATER.iter().find(|(name, _)| {
        let mut name = name.split(' ');
        name.clone().count() <= words.len() && words.iter().zip(&mut name).all(|(a, b)| *a == b)
    })?;
    let error = Error::unsupported(format!("`regain {name}` is not supported yet"));
    Some((name, Failure::from(error).hint(*hint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_commands_are_known_with_any_arguments() {
        for (words, expected) in [
            (["key", "check", "disk"].as_slice(), Some("key check")),
            (&["key", "add"], None),
            (&["password", "reset"], None),
        ] {
            assert_eq!(answer(words).map(|(name, _)| name), expected);
        }
    }
}
