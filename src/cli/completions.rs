//! `regain completions` and `regain man`: both are made from the definition of the command line.

use super::args::{Cli, Completions, Man};
use super::output::{Outcome, Ui};
use crate::error::{Context as _, Error};
use crate::report::Target;
use clap::CommandFactory as _;
use serde::Serialize;
use std::io::Write as _;
use std::path::Path;

#[derive(Debug, Serialize)]
struct Script {
    shell: String,
    script: String,
}

#[derive(Debug, Serialize)]
struct Pages {
    files: Vec<String>,
}

/// Prints the completion script of a shell.
pub(crate) fn completions(ui: &Ui, args: &Completions) -> Outcome {
    let mut script = Vec::new();
    let mut command = Cli::command();
    clap_complete::generate(args.shell, &mut command, "regain", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let result = Script { shell: args.shell.to_string(), script };
    ui.finish("completions", &Target::default(), &result, || result.script.clone())?;
    Ok(())
}

/// Writes one manual page per command.
pub(crate) fn man(ui: &Ui, args: &Man) -> Outcome {
    if !args.directory.is_dir() {
        let what = format!("{} is no directory", args.directory.display());
        return Err(Error::not_found(what).into());
    }
    let mut command = Cli::command();
    command.build();
    let mut files = Vec::new();
    write_pages(&args.directory, &command, &mut files)?;
    let result = Pages { files };
    ui.finish("man", &Target::default(), &result, || {
        let mut text = result.files.join("\n");
        text.push('\n');
        text
    })?;
    Ok(())
}

fn write_pages(
    directory: &Path,
    command: &clap::Command,
    files: &mut Vec<String>,
) -> crate::error::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let mut bytes = Vec::new();
    page.render(&mut bytes)?;
    let path = directory.join(page.get_filename());
    store(directory, &path, &bytes).context(|| path.display().to_string())?;
    files.push(path.display().to_string());
    for sub in command.get_subcommands() {
        write_pages(directory, sub, files)?;
    }
    Ok(())
}

/// Puts a page in place, over an older one.
fn store(directory: &Path, path: &Path, bytes: &[u8]) -> crate::error::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = tempfile::Builder::new()
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
