//! The command line: types for clap, in the order in which help shows them.
//!
//! The first sentence of every option stands alone in `-h`; examples are in the long help of each command.

mod key;
mod password;

pub(crate) use key::{
    AddArgs, KeyAdd, KeyArgs, KeyCheck, KeyFormat, KeyList, KeyRevoke, KeyRotate, KeyType,
};
pub(crate) use password::{AgentArg, MethodArg, Password, PasswordReset, ResetArgs};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// What matters most, under every help of the program as a whole.
macro_rules! three_commands {
    () => {
        "FIRST STEPS
  regain inspect disk.img                         what is on the disk, and who can log in
  regain key add disk.img --key id_ed25519.pub    let its user in with this key; asks first
  regain password reset disk.img --generate       Linux: a new password for the serial console
  regain password reset win.img                   Windows: a new password at the next boot
  regain undo UNDO_FILE disk.img                  take a change back, to the last bit

  Instead of disk.img: a disk such as /dev/xvdf. To practise: regain demo"
    };
}

const THREE_COMMANDS: &str = three_commands!();

/// Gets you back into a machine from its detached root disk.
///
/// regain puts your SSH key onto the disk of a machine that you cannot log in to, or sets a new password: for
/// the serial console of Linux, or by Windows at its next boot. The disk is an image file or is attached to another machine, or its root is mounted there. Nothing is mounted by regain, and images need no root rights. Each change is
/// checked before it is written, happens wholly or not at all, and can be undone to the last bit.
#[derive(Debug, Parser)]
#[command(
    name = "regain",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = THREE_COMMANDS,
    after_long_help = concat!(three_commands!(), "

EXIT STATUS
  0  done, or nothing needed doing
  1  input/output or internal failure
  2  usage
  3  nothing to act on, or more than one candidate: choose with --user or --volume
  4  refused: unsafe to edit, or the key would not be accepted
  5  corrupt, unsupported, or over a limit
  6  the patch does not belong to this target or to its present state")
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Print exactly one JSON document on standard output, on success and on failure
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say less on standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more on standard error
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours; NO_COLOR is honoured
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: When,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Inspect(Inspect),
    #[command(subcommand)]
    Key(Key),
    #[command(subcommand)]
    Password(Password),
    Show(Show),
    Apply(Apply),
    Undo(Undo),
    UserData(UserData),
    Demo(Demo),
    Completions(Completions),
    Man(Man),
}

/// Lists, checks, adds, revokes and rotates SSH keys on a disk.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES
  regain key list disk.img
  regain key check disk.img --user admin --key id_ed25519.pub
  regain key add disk.img --key id_ed25519.pub
  regain key revoke disk.img --key exposed.pub
  regain key rotate disk.img --key id_ed25519.pub")]
pub(crate) enum Key {
    List(KeyList),
    Check(KeyCheck),
    Add(KeyAdd),
    Revoke(KeyRevoke),
    Rotate(KeyRotate),
}

/// What a command acts on.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// Disk image (raw, qcow2, VMDK, VHD, VHDX), block device (a whole disk or one partition), or mounted root
    ///
    /// Of a directory, as in /mnt/rescue, nothing outside is ever reached, whatever links in it say. A disk that is
    /// mounted, or used by a virtual machine, is refused before anything is written. `lsblk` lists the disks of this
    /// machine.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath)]
    pub(crate) target: PathBuf,
    /// Format of the image, if it is detected wrongly: raw, qcow2, vmdk, vhd, vhdx
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// File that the image may be made of although it lies in another directory; may be repeated
    ///
    /// An image can name any file of this machine as a part of itself: the base of an overlay, a data file. Those beside
    /// it are opened, others only if they are named here. The base of an overlay is only read.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) allow_backing: Vec<PathBuf>,
}

/// What belongs to the target besides itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArgs {
    /// Further disk that belongs to the target; may be repeated
    ///
    /// One with more of its logical volumes or of its RAID, with a home directory, or with the log of an XFS (which is
    /// only read).
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) device: Vec<PathBuf>,
}

/// Heading of the options that open encrypted volumes. Not that of all options that follow.
const ENCRYPTED: &str = "Encrypted volumes";

/// What opens encrypted volumes.
#[derive(Debug, Clone, Args)]
pub(crate) struct UnlockArgs {
    /// File with the passphrase of LUKS volumes in its first line; `-` is standard input
    ///
    /// The line break is no part of it. Without this and --luks-key-file it is asked for on the terminal.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = ENCRYPTED)]
    pub(crate) luks_passphrase_file: Option<PathBuf>,
    /// Key file of LUKS volumes: all of it is the key, with its last line break
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = ENCRYPTED)]
    pub(crate) luks_key_file: Option<PathBuf>,
}

/// A volume of a target that is looked into.
#[derive(Debug, Clone, Args)]
pub(crate) struct VolumeArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
    /// Volume to use when several hold a system: its number, GROUP/NAME, UUID or LABEL in `regain inspect`
    ///
    /// One of several systems on a Btrfs is chosen with its subvolume, as `regain inspect` shows it: `3:/@other`.
    #[arg(long, value_name = "ID")]
    pub(crate) volume: Option<String>,
}

/// Shows what is on a disk, who can log in, and every way back in.
///
/// Shows partitions, file systems and their health, the operating system, its users with their keys, and
/// what would be refused and why. Then every way back in with its state and the next command for it: a key,
/// the agents of AWS, Google and Azure, EC2 Instance Connect, cloud-init with what it will do at the next
/// boot, a password at the serial console. Writes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain inspect disk.img
  regain inspect first.qcow2 --device second.qcow2
      the logical volumes of both, and the systems on them
  regain inspect disk.img --json | jq '.result.systems[0].access_routes'
  regain inspect /dev/nvme1n1 --json | jq '.result.systems[0].users'")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) on: VolumeArgs,
}

/// How to write.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Writing")]
pub(crate) struct WriteArgs {
    /// Show what would change, and write nothing
    #[arg(long, conflicts_with = "patch_out")]
    pub(crate) dry_run: bool,
    /// Write the change to FILE, for `regain apply`, instead of to the disk
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) patch_out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) commit: CommitArgs,
    /// Fix the clock (at SOURCE_DATE_EPOCH, if set), so that equal input gives equal bytes
    #[arg(long)]
    pub(crate) reproducible: bool,
}

/// Undo file and confirmation.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Writing")]
pub(crate) struct CommitArgs {
    /// Where the undo file goes; never overwritten
    ///
    /// Default: `regain-undo-<UTC time>-<target name>.patch` in the current directory.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) undo_file: Option<PathBuf>,
    /// Keep no undo file (for throw-away images)
    #[arg(long, conflicts_with = "undo_file")]
    pub(crate) no_undo: bool,
    /// Ask no question; needed when standard input is no terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Explains a patch or undo file: which files it changes, and which bytes.
///
/// Writes nothing, and does not need the disk.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain key add disk.img --key k.pub --patch-out add.patch
  regain show add.patch")]
pub(crate) struct Show {
    /// Patch or undo file
    #[arg(value_name = "PATCH", value_hint = ValueHint::FilePath)]
    pub(crate) patch: PathBuf,
}

/// Writes a change that was made with --patch-out.
///
/// Only to the disk it was made for, and only if nothing else has changed there since. Also completes a run
/// that was interrupted.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain apply add.patch disk.img
  regain apply add.patch /dev/xvdf --yes --undo-file add.undo")]
pub(crate) struct Apply {
    /// Patch file
    #[arg(value_name = "PATCH", value_hint = ValueHint::FilePath)]
    pub(crate) patch: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) commit: CommitArgs,
}

/// Takes a change back: puts back the bytes from before.
///
/// Also takes back a run that was interrupted. The undo file is named at the end of `regain key add`.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain undo regain-undo-20260102T030405Z-disk.img.patch disk.img
  regain undo lvm.undo first.img --device second.img")]
pub(crate) struct Undo {
    /// Undo file, or patch
    #[arg(value_name = "PATCH", value_hint = ValueHint::FilePath)]
    pub(crate) patch: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    /// Ask no question; needed when standard input is no terminal
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Prints the cloud-init document that adds a key at the next start.
///
/// For a machine whose volume cannot be detached: stop it, set this as its user data, start it. Works
/// only where cloud-init is installed, enabled and reads user data, and only once per volume. The old
/// keys keep working. Remove the user data afterwards.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain user-data --key id_ed25519.pub --user ec2-user > user-data.txt")]
pub(crate) struct UserData {
    /// Public key file; `-` is standard input; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    pub(crate) key: Vec<PathBuf>,
    /// User to let in
    #[arg(long, value_name = "USER")]
    pub(crate) user: String,
}

/// Rescues a built-in root disk, and shows each step.
///
/// Unpacks a small root disk under DIR, locks its user out, gets back in with a new key, verifies it, and
/// takes it all back. Needs no other program and no privileges. Writes only under DIR.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain demo
  regain demo ./playground")]
pub(crate) struct Demo {
    /// Where to work; default: a new temporary directory
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain completions bash > /etc/bash_completion.d/regain
  regain completions zsh > ~/.zfunc/_regain")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Writes the manual pages into a directory.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain man /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// An existing directory
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,
}

impl Command {
    /// The name that JSON documents carry, as in "key add".
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Inspect(_) => "inspect",
            Self::Key(Key::List(_)) => "key list",
            Self::Key(Key::Check(_)) => "key check",
            Self::Key(Key::Add(_)) => "key add",
            Self::Key(Key::Revoke(_)) => "key revoke",
            Self::Key(Key::Rotate(_)) => "key rotate",
            Self::Password(Password::Reset(_)) => "password reset",
            Self::Show(_) => "show",
            Self::Apply(_) => "apply",
            Self::Undo(_) => "undo",
            Self::UserData(_) => "user-data",
            Self::Demo(_) => "demo",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }

    /// The target as it was given, for reports of failures.
    pub(crate) fn target(&self) -> Option<&std::path::Path> {
        match self {
            Self::Inspect(args) => Some(&args.on.target.target),
            Self::Key(Key::List(args)) => Some(&args.on.target.target),
            Self::Key(Key::Check(args)) => Some(&args.on.target.target),
            Self::Key(Key::Add(args)) => Some(&args.add.on.target.target),
            Self::Key(Key::Revoke(args)) => Some(&args.on.target.target),
            Self::Key(Key::Rotate(args)) => Some(&args.add.on.target.target),
            Self::Password(Password::Reset(args)) => Some(&args.on.target.target),
            Self::Apply(args) => Some(&args.target.target),
            Self::Undo(args) => Some(&args.target.target),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every help text, short and long, of every visible command fits a terminal of 100 columns.
    #[test]
    fn help_lines_fit() {
        fn check(mut command: clap::Command) {
            for help in [command.render_help(), command.render_long_help()] {
                for line in help.to_string().lines() {
                    assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
                }
            }
            for sub in command.get_subcommands().cloned() {
                check(sub);
            }
        }
        check(Cli::command().term_width(100));
    }
}
