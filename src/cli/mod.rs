//! The command line: arguments, questions, progress, and one file per command. The only code that prints.
//!
//! [`run`] never panics on what it is given and always ends with one of the exit statuses of the contract.

mod apply;
mod args;
mod commit;
mod completions;
mod confirm;
mod container_hints;
mod demo;
mod directory;
mod disks;
mod edit;
mod edit_report;
mod failed_volume;
mod hints;
mod host_file;
mod human;
mod inspect;
mod key_add;
mod key_check;
mod key_list;
mod key_revoke;
mod keys;
mod output;
mod passphrase;
mod password_reset;
mod progress;
mod refusal_hints;
mod show;
mod target;
mod unlock;
mod user_data;
mod volume_hints;

use crate::error::Error;
use crate::report::Target;
use args::{Cli, Command, Common, Key, Password, When};
use clap::Parser as _;
use output::{Failure, Outcome, Ui};
use std::ffi::OsString;
use std::path::Path;

/// Runs one command line, program name included, and gives the exit status.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => run_parsed(&cli),
        Err(error) => refuse(&error, &arguments),
    }
}

fn run_parsed(cli: &Cli) -> u8 {
    let ui = Ui::new(&cli.common);
    run_with(&ui, &cli.command)
}

/// Runs a command with its result and its failure on the streams of `ui`.
fn run_with(ui: &Ui, command: &Command) -> u8 {
    let target = command.target().map(shown).map(Target::named).unwrap_or_default();
    finish(ui, command.name(), &target, dispatch(ui, command))
}

fn finish(ui: &Ui, command: &str, target: &Target, outcome: Outcome) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            ui.fail(command, target, &failure);
            failure.error.exit_status()
        }
    }
}

fn dispatch(ui: &Ui, command: &Command) -> Outcome {
    match command {
        Command::Inspect(args) => inspect::run(ui, args),
        Command::Key(Key::List(args)) => key_list::run(ui, args),
        Command::Key(Key::Check(args)) => key_check::run(ui, args),
        Command::Key(Key::Add(args)) => key_add::run(ui, args),
        Command::Key(Key::Revoke(args)) => key_revoke::run(ui, args),
        Command::Key(Key::Rotate(args)) => key_add::rotate(ui, args),
        Command::Password(Password::Reset(args)) => password_reset::run(ui, args),
        Command::Show(args) => show::run(ui, args),
        Command::Apply(args) => apply::apply(ui, args),
        Command::Undo(args) => apply::undo(ui, args),
        Command::UserData(args) => user_data::run(ui, args),
        Command::Demo(args) => demo::run(ui, args),
        Command::Completions(args) => completions::completions(ui, args),
        Command::Man(args) => completions::man(ui, args),
    }
}

/// Answers arguments that clap does not accept, and the wish for help.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> u8 {
    let json = wants_json(arguments);
    let common = Common { json, quiet: false, verbose: 0, color: When::Auto };
    let ui = Ui::new(&common);
    let text = error.render();
    if !error.use_stderr() {
        let printed = ui.print(&text.to_string()).map_err(Into::into);
        return finish(&ui, "", &Target::default(), printed);
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !json {
        ui.say(&text.to_string());
        return 2;
    }
    let (message, tip) = message_of(&text.to_string());
    let mut failure = Failure::from(Error::usage(message));
    failure.hint = tip;
    finish(&ui, &command_of(arguments), &Target::default(), Err(Box::new(failure)))
}

/// The message of clap in one line, and its tip.
fn message_of(text: &str) -> (String, Option<String>) {
    let mut paragraphs = text.split("\n\n").map(one_line);
    let first = paragraphs.next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(&first).to_owned();
    let tip = paragraphs.find_map(|text| text.strip_prefix("tip: ").map(str::to_owned));
    (message, tip)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|a| a == "--json")
}

/// The command that was meant, from arguments that do not parse.
fn command_of(arguments: &[OsString]) -> String {
    use clap::CommandFactory as _;
    let root = Cli::command();
    let mut words = Vec::new();
    let mut within = &root;
    for argument in plain_words(arguments) {
        if let Some(sub) = within.find_subcommand(argument) {
            words.push(argument);
            within = sub;
        }
    }
    words.join(" ")
}

/// The arguments that are no options, as far as that can be told from them alone.
fn plain_words(arguments: &[OsString]) -> Vec<&str> {
    let words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    words.filter(|word| !word.starts_with('-')).collect()
}

/// A host path as one safe line of text.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    crate::bytes::text::escape(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_command_is_known_although_the_arguments_are_wrong() {
        for (line, expected) in [
            ("regain key add --nonsense", "key add"),
            ("regain --json inspect", "inspect"),
            ("regain nonsense", ""),
        ] {
            assert_eq!(command_of(&words(line)), expected, "{line}");
        }
    }

    #[test]
    fn clap_messages_become_one_line_and_a_tip() {
        let error = Cli::try_parse_from(words("regain inspct")).unwrap_err();
        let (message, tip) = message_of(&error.render().to_string());
        assert_eq!(message, "unrecognized subcommand 'inspct'");
        assert!(tip.is_some_and(|tip| tip.contains("'inspect'")));
    }

    #[test]
    fn json_is_wanted_only_before_the_end_of_options() {
        assert!(wants_json(&words("regain key revoke x --json")));
        assert!(!wants_json(&words("regain inspect -- --json")));
    }
}
