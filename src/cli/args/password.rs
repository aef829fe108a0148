//! Arguments of `regain password reset`.

use super::{VolumeArgs, WriteArgs};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Sets a new password.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES
  regain password reset linux.img --user admin --generate
  regain password reset win.img
  regain password reset win.img --method startup-script --user Administrator --generate")]
pub(crate) enum Password {
    Reset(PasswordReset),
}

/// Sets a new password: on Linux for the serial console, on Windows at its next boot.
///
/// Linux: the line of the user in /etc/shadow gets a hash of the kind that the system uses (yescrypt or
/// SHA-512 crypt), is unlocked, and starts to age today. Needs --password-file or --generate. What the
/// password does not help against is told: no login on a serial line, an expired account, a shell that ends
/// at once; and whether the SSH server takes passwords, because then this opens the network door, too.
///
/// Windows: the agent of the cloud that is installed (EC2Launch v2, EC2Launch v1 or EC2Config) is told to set
/// a new random password, which only the private key of the launch key pair can decrypt. If that key is lost,
/// or there is no agent, a start-up script can set a password of your own. Domain controllers are refused.
///
/// What will happen is told before the question. Running it a second time changes nothing, unless a new
/// password was asked for with --generate.
///
/// Experimental, which means not proven on real systems yet: EC2Launch v1; EC2Launch v2 whose configuration
/// says another type than random; a password of your own that an agent sets; --method startup-script on
/// Windows Server 2022 and 2025; --method setup.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain password reset linux.img --generate
      the default user of a Linux system gets a new password, which is shown once at the end
  regain password reset linux.img --user admin --password-file pw.txt
      a password of your own for a named user
  regain password reset win.img
      the agent that is installed sets a random password; asks before writing
  regain password reset /dev/xvdf --agent ec2launch-v2 --yes
      this agent or none, without a question
  regain password reset win.img --method startup-script --generate
      a start-up script sets a new password, which is shown once at the end
  regain password reset win.img --method startup-script --user alice --password-file pw.txt
      a password of your own for another local user, who becomes an administrator
  regain password reset disk.img --dry-run
      shows what would change")]
pub(crate) struct PasswordReset {
    #[command(flatten)]
    pub(crate) on: VolumeArgs,
    #[command(flatten)]
    pub(crate) how: ResetArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Who sets which password.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Password")]
pub(crate) struct ResetArgs {
    /// Account; default: on Linux the default user, on Windows the built-in administrator
    ///
    /// On Windows another account needs --method startup-script or setup.
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// File with the password; `-` is standard input; experimental with --method agent
    ///
    /// One line of UTF-8. On Linux only its hash is written. Windows needs the password in clear text until
    /// the script has run; so do the patch and the undo file, which only you can read.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// Make a strong password, and show it once at the end; experimental with --method agent
    #[arg(long, conflicts_with = "password_file")]
    pub(crate) generate: bool,
    /// Linux only: also empty the day of expiry of an account that has expired
    #[arg(long)]
    pub(crate) fix: bool,
    /// Linux only: set the password although it would not let the user in
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) windows: WindowsResetArgs,
}

/// What has a meaning on Windows only.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Password, Windows only")]
pub(crate) struct WindowsResetArgs {
    /// The agent whose state is changed; default: auto; ec2launch-v1 is experimental
    #[arg(long, value_enum, value_name = "AGENT")]
    pub(crate) agent: Option<AgentArg>,
    /// Who sets the password; default: agent
    #[arg(long, value_enum, value_name = "METHOD")]
    pub(crate) method: Option<MethodArg>,
    /// Also have the service of the agent start at boot again, if it is disabled
    #[arg(long)]
    pub(crate) enable_service: bool,
    /// Go on although the log of the NTFS volume is not clean; what only the log knows is lost
    ///
    /// The log is emptied, and the volume marked so that Windows checks it at the next boot. Better: start
    /// the machine, stop it normally, and try again. Hibernated volumes stay refused.
    #[arg(long)]
    pub(crate) clear_ntfs_log: bool,
}

/// An agent by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AgentArg {
    /// The first that is installed, in the order below
    Auto,
    /// EC2Launch v2
    Ec2launchV2,
    /// EC2Launch v1 (experimental)
    Ec2launchV1,
    /// EC2Config
    Ec2config,
}

/// A method by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// The agent; it makes a random password unless one is given
    Agent,
    /// A script of the local group policy, which removes itself
    StartupScript,
    /// The command of Windows Setup (experimental)
    Setup,
}
