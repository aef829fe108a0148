//! Where everything that is printed goes: standard output for the result, standard error for the rest.
//!
//! A reader that closes standard output early (`| head`) has what it wanted, so a broken pipe there is no
//! failure. Text from a volume must be escaped before it comes here.

use super::args::{Common, When};
use super::failed_volume::FailedVolume;
use super::hints;
use super::human::{add, styled};
use crate::error::{Error, Result};
use crate::report::{self, ErrorReport, Target};
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

/// A failure on its way to the user, with what was known of the target and what else there is to say.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// As far as it was known.
    pub(crate) target: Option<Target>,
    /// The volume it is about.
    pub(crate) volume: FailedVolume,
    /// Reasons beyond the message.
    pub(crate) further: Vec<String>,
    /// Instead of the general hint for this kind of error.
    pub(crate) hint: Option<String>,
    /// State of the target, if it may have been written to.
    pub(crate) state: Option<String>,
    /// The result of a command whose answer is no.
    pub(crate) result: Option<serde_json::Value>,
}

impl Failure {
    /// Adds the result, for the JSON document.
    ///
    /// # Errors
    /// `Io` if it cannot be put into words.
    pub(crate) fn with_result<R: Serialize>(mut self, result: &R) -> Result<Self> {
        self.result = Some(serde_json::to_value(result).map_err(io::Error::from)?);
        Ok(self)
    }

    /// Replaces the general hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            target: None,
            volume: FailedVolume::default(),
            further: Vec::new(),
            hint: None,
            state: None,
            result: None,
        }
    }
}

/// What a command gives back: nothing, because the result is printed already, or a failure.
pub(crate) type Outcome<T = ()> = std::result::Result<T, Box<Failure>>;

impl<E: Into<Error>> From<E> for Box<Failure> {
    fn from(error: E) -> Self {
        Box::new(error.into().into())
    }
}

/// Styles of a stream; plain where colours are off.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Styles {
    pub(crate) strong: Style,
    pub(crate) good: Style,
    pub(crate) warning: Style,
    pub(crate) bad: Style,
    pub(crate) faint: Style,
}

impl Styles {
    fn coloured() -> Self {
        Self {
            strong: Style::new().bold(),
            good: AnsiColor::Green.on_default(),
            warning: AnsiColor::Yellow.on_default(),
            bad: AnsiColor::Red.on_default().bold(),
            faint: Style::new().dimmed(),
        }
    }

    fn choose(when: When, is_terminal: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match when {
            When::Always => Self::coloured(),
            When::Auto if is_terminal && !no_color => Self::coloured(),
            When::Auto | When::Never => Self::default(),
        }
    }
}

/// The two streams, and how to use them.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the streams")]
pub(crate) struct Ui {
    is_json: bool,
    is_quiet: bool,
    verbosity: u8,
    /// Styles of standard output.
    pub(crate) styles: Styles,
    error_styles: Styles,
    error_is_terminal: bool,
    input_is_terminal: bool,
    out: RefCell<Box<dyn Write>>,
    error: RefCell<Box<dyn Write>>,
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui").field("is_json", &self.is_json).finish_non_exhaustive()
    }
}

impl Ui {
    /// The streams of the process.
    pub(crate) fn new(common: &Common) -> Self {
        Self {
            is_json: common.json,
            is_quiet: common.quiet,
            verbosity: common.verbose,
            styles: Styles::choose(common.color, io::stdout().is_terminal()),
            error_styles: Styles::choose(common.color, io::stderr().is_terminal()),
            error_is_terminal: io::stderr().is_terminal(),
            input_is_terminal: io::stdin().is_terminal(),
            out: RefCell::new(Box::new(io::stdout())),
            error: RefCell::new(Box::new(io::stderr())),
        }
    }

    /// Streams that end in `out` and know no terminal, for a command inside a command.
    pub(crate) fn within(out: Box<dyn Write>, error: Box<dyn Write>, styles: Styles) -> Self {
        Self {
            is_json: false,
            is_quiet: true,
            verbosity: 0,
            styles,
            error_styles: styles,
            error_is_terminal: false,
            input_is_terminal: false,
            out: RefCell::new(out),
            error: RefCell::new(error),
        }
    }

    /// True if the result is one JSON document.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// True with `-v`.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbosity > 0
    }

    /// True if a person can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        self.input_is_terminal
    }

    /// True if progress may be drawn.
    pub(crate) fn can_draw(&self) -> bool {
        self.error_is_terminal && !self.is_quiet && !self.is_json
    }

    /// Prints `text` on standard output as it is.
    ///
    /// # Errors
    /// `Io`, but not for a broken pipe.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut out = self.out.borrow_mut();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Prints the result of a command: the document, or the text.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub(crate) fn finish<R: Serialize>(
        &self,
        command: &str,
        target: &Target,
        result: &R,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.is_json {
            return self.print(&document(&report::Success::new(command, target, result))?);
        }
        self.print(&text())
    }

    /// Prints a failure: a few lines on standard error, and the document if one is wanted.
    pub(crate) fn fail(&self, command: &str, target: &Target, failure: &Failure) {
        let error = &failure.error;
        let target = failure.target.as_ref().unwrap_or(target);
        let path = target.path.as_deref();
        let hint = failure
            .hint
            .clone()
            .unwrap_or_else(|| hints::hint(error, command, path, &failure.volume));
        self.say(&self.failure_text(failure, &hint));
        if self.is_json {
            let report = ErrorReport::new(error, hint, &failure.further);
            // Nothing can be done about a standard output that fails while a failure is reported.
            let mut failed = report::Failure::new(command, target, report);
            failed.result = failure.result.as_ref();
            let printed = document(&failed);
            let _ = printed.and_then(|document| self.print(&document));
        }
    }

    fn failure_text(&self, failure: &Failure, hint: &str) -> String {
        let error = &failure.error;
        let styles = self.error_styles;
        let mut text = format!("{} {error}\n", styled(styles.bad, "error:"));
        let said = error.to_string();
        for reason in failure.further.iter().filter(|reason| !said.ends_with(reason.as_str())) {
            add(&mut text, format_args!("  - {reason}\n"));
        }
        let state = match (&failure.state, error.target_modified()) {
            (Some(state), _) => state.as_str(),
            (None, false) => "the target was not modified",
            (None, true) => "the target was modified, but not completely",
        };
        add(&mut text, format_args!("{state}\n{} {hint}\n", styled(styles.strong, "hint:")));
        text
    }

    /// Prints a warning on standard error, unless told to be quiet.
    pub(crate) fn warn(&self, text: &str) {
        if !self.is_quiet {
            self.say(&format!("{} {text}\n", styled(self.error_styles.warning, "warning:")));
        }
    }

    /// Prints what the user should know although nothing is wrong, unless told to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet {
            self.say(&format!("{} {text}\n", styled(self.error_styles.strong, "note:")));
        }
    }

    /// Prints a line about what is going on, with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbosity > 0 {
            self.say(&format!("{}\n", styled(self.error_styles.faint, text)));
        }
    }

    /// Prints on standard error, whatever was asked for.
    pub(crate) fn say(&self, text: &str) {
        let mut error = self.error.borrow_mut();
        // Nobody is left to be told that standard error fails.
        let _ = error.write_all(text.as_bytes()).and_then(|()| error.flush());
    }
}

/// One JSON document with a final newline.
fn document<T: Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    text.push('\n');
    Ok(text)
}
