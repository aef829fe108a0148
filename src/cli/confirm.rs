//! The question before the first write.

use super::output::Ui;
use crate::error::{Error, Refusal, Result};
use std::io::{self, Read as _};

/// Bound on the length of an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Shows `summary` on standard error and asks; returns if the answer is yes, or was given with `--yes`.
///
/// # Errors
/// * `Usage` - there is nobody to ask.
/// * `Refused` ([`Refusal::NotConfirmed`]) - the answer was not yes.
pub(crate) fn ask(ui: &Ui, summary: &str, has_yes: bool) -> Result<()> {
    if has_yes {
        return Ok(());
    }
    if !ui.can_ask() {
        let what = "standard input is no terminal, so nobody can be asked: add --yes to write, or \
                    --dry-run to look";
        return Err(Error::usage(what));
    }
    ui.say(summary);
    ui.say("Write this? [y/N] ");
    let (answer, is_whole) = read_line()?;
    if !is_whole {
        ui.say("\n");
    }
    if is_yes(&answer) {
        return Ok(());
    }
    Err(Refusal::NotConfirmed { detail: "the answer was not yes".to_owned() }.into())
}

/// What was typed, and whether the line was ended.
fn read_line() -> Result<(String, bool)> {
    let mut answer = Vec::new();
    for byte in io::stdin().lock().take(ANSWER_BYTES_MAX).bytes() {
        match byte? {
            b'\n' => return Ok((String::from_utf8_lossy(&answer).into_owned(), true)),
            other => answer.push(other),
        }
    }
    Ok((String::from_utf8_lossy(&answer).into_owned(), false))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in
            [("y", true), ("YES\r", true), ("", false), ("n", false), ("yeah", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }
}
