//! The command line: types for clap, in the order in which help shows them.
//!
//! The first sentence of every option stands alone in `-h`; examples are in the long help of each command.

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
/// the serial console of Linux, or by Windows at its next boot. The disk is an image file or is attached to another machine. Nothing is mounted, and images need no root rights. Each change is
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
    /// Disk image, or block device (a whole disk or one partition)
    ///
    /// What is mounted, or used by a virtual machine, is refused before anything is written. `lsblk` lists
    /// the disks of this machine.
    #[arg(value_name = "TARGET", value_hint = ValueHint::FilePath)]
    pub(crate) target: PathBuf,
    /// Format of the image, if it is detected wrongly: raw
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
}

/// What belongs to the target besides itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceArgs {
    /// Further disk that belongs to the target, such as that of an external log; may be repeated
    ///
    /// It is only read. An XFS whose log lies on another disk can be edited if that log is given and clean.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) device: Vec<PathBuf>,
}

/// Which volume of the target.
#[derive(Debug, Clone, Args)]
pub(crate) struct VolumeArg {
    /// Partition to use when several hold a system: its number, UUID or LABEL in `regain inspect`
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
  regain inspect disk.img --json | jq '.result.systems[0].access_routes'
  regain inspect /dev/nvme1n1 --json | jq '.result.systems[0].users'")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
}

/// Lists every SSH key that may log in.
///
/// Shows user, type, bits, SHA-256 fingerprint, comment, options, file and line of every key in the files
/// that the SSH server on this disk would read, certificate authorities among them, and says what else
/// lets keys in. A line that the server passes over is marked. Whether the account and its files are in
/// order is not looked at. Writes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain key list disk.img
  regain key list disk.img --user admin --json")]
pub(crate) struct KeyList {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
    /// Only the keys of this user; may be repeated
    #[arg(long, value_name = "USER")]
    pub(crate) user: Vec<String>,
}

/// Says whether the SSH server on a disk would let a user in with a key, and why not.
///
/// Works out what the server of this disk answers: accepted, refused, or unknown where that depends on
/// something that is not on the disk, such as the address of the client. Every reason has its file and line
/// and what repairs it. Without --key every key in the files of the user is judged. Writes nothing.
///
/// The exit status is 0 if the key is accepted (of several: every one; without --key: some key), and 4 if it
/// is refused or if the answer is not known. The JSON document has `result` in each case.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain key check disk.img --user admin --key id_ed25519.pub
  regain key check disk.img --user admin
      every key that is there already
  regain key check disk.img --user admin --json | jq -r '.result.findings[] | .subject + .message'")]
pub(crate) struct KeyCheck {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
    /// Who wants to log in; default: the one default user of the system
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Public key file; `-` is standard input; may be repeated; default: every key of the user
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Vec<PathBuf>,
}

/// Adds public keys for a user, so that this user can log in again.
///
/// Works out the change in memory, has it checked by a second reader, shows what would be written, and
/// asks. Then it saves an undo file, writes the changed bytes, reads them back and compares. Running it a
/// second time changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain key add disk.img --key id_ed25519.pub
      the one default user, by the rules of the distribution; asks before writing
  regain key add /dev/xvdf --user admin --key new.pub --yes
      a named user on a device, without a question
  regain key add disk.img --key k.pub --fix
      also repairs what would keep it out, such as modes or an expired account; says what it changes
  regain key add disk.img --generate-key ./rescue_key
      makes a key pair first
  regain key add disk.img --key k.pub --dry-run
      shows what would change
  regain key add disk.img --key k.pub --patch-out add.patch
      writes the change to a file, to look at with `regain show` and write with `regain apply`
  regain key add win.img --key k.pub
      Windows with an OpenSSH server: the key of its administrators")]
pub(crate) struct KeyAdd {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Takes keys out of every file in which the SSH server would honour them.
///
/// For an exposed key: without --user it goes for every user, old keys of the machine's first start
/// included. Whole lines go, whatever their options; every other byte stays. A certificate authority goes
/// only if it is named. The last key that works for a user stays, unless --force is given. What no edit of
/// the disk can revoke is told: commands that print keys, agents that add them at boot. Running it a second
/// time changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain key revoke disk.img --key exposed.pub
      from every user; asks before writing
  regain key revoke disk.img --fingerprint SHA256:uNiVztksCsDhcc0u9e8BrrIuXrcXpv2x6oHYS+hbQTQ
      by the fingerprint that `regain key list` shows; MD5 is understood too
  regain key revoke /dev/xvdf --all --user guest --force --yes
      every key of one user, who can then not log in with a key any more
  regain key revoke disk.img --key exposed.pub --dry-run
      shows where the key stands and what would change")]
pub(crate) struct KeyRevoke {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
    #[command(flatten)]
    pub(crate) which: RevokeArgs,
    #[command(flatten)]
    pub(crate) who: RevokeUsers,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// The keys to take out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Keys")]
#[group(required = true, multiple = true)]
pub(crate) struct RevokeArgs {
    /// Fingerprint as in `regain key list`: SHA256:... or MD5:aa:bb:...; may be repeated
    #[arg(long, value_name = "FP")]
    pub(crate) fingerprint: Vec<String>,
    /// Public key file; `-` is standard input; may be repeated
    ///
    /// In the forms that `regain key add` takes, and of any type.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Vec<PathBuf>,
    /// Every key, but no certificate authority
    #[arg(long, conflicts_with_all = ["fingerprint", "key"])]
    pub(crate) all: bool,
}

/// Whose keys are taken out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Users")]
pub(crate) struct RevokeUsers {
    /// Only in the files of this user; may be repeated; default: every user
    #[arg(long, value_name = "USER", conflicts_with = "all_users")]
    pub(crate) user: Vec<String>,
    /// Every user, which is the default
    #[arg(long)]
    pub(crate) all_users: bool,
    /// Take the last key that works for a user, too
    #[arg(long)]
    pub(crate) force: bool,
}

/// Puts new keys in the place of all others of a user.
///
/// Adds the keys as `regain key add` does, makes sure that the SSH server will accept them, and takes every
/// other key of the user out, in one change. If a new key would not be accepted, or somebody else would
/// lose the last key that works, nothing changes, unless --force is given. Certificate authorities stay,
/// and are told. Running it a second time changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain key rotate disk.img --key new.pub
      the one default user; asks before writing
  regain key rotate disk.img --user admin --generate-key ./admin_key --yes
      makes a key pair first
  regain key rotate disk.img --all-users --key new.pub --dry-run
      shows what would change for everybody")]
pub(crate) struct KeyRotate {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    #[command(flatten)]
    pub(crate) who: WhoArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// The keys to add.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArgs {
    /// Public key file; `-` is standard input; may be repeated
    ///
    /// OpenSSH lines, RFC 4716, or PEM/PKCS#8. A private key is accepted only if its public half can be
    /// read without a passphrase; it is never stored or printed, and a warning says so.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        required_unless_present = "generate_key"
    )]
    pub(crate) key: Vec<PathBuf>,
    /// Make a new key pair, write the private key to PATH (mode 0600), and add its public half
    ///
    /// PATH is never overwritten. The public half is also written to PATH.pub.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "dry_run")]
    pub(crate) generate_key: Option<PathBuf>,
    /// Type of the new key pair
    #[arg(long, value_enum, value_name = "TYPE", requires = "generate_key", default_value_t)]
    pub(crate) key_type: KeyType,
    /// Form of the file with the private key
    #[arg(long, value_enum, value_name = "FORM", requires = "generate_key", default_value_t)]
    pub(crate) key_format: KeyFormat,
    /// File with a passphrase that encrypts the private key; `-` is standard input
    ///
    /// Its first line, in UTF-8.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "generate_key")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Ask for the passphrase on the terminal, twice
    #[arg(long, requires = "generate_key", conflicts_with = "passphrase_file")]
    pub(crate) passphrase_prompt: bool,
    /// Options in front of the added key, as in `from="10.0.0.0/8"` (man sshd, AUTHORIZED_KEYS)
    #[arg(long, value_name = "STR")]
    pub(crate) options: Option<String>,
}

/// Type of a new key pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyType {
    /// Ed25519
    #[default]
    Ed25519,
    /// RSA with 4096 bits, for sshd before 6.5
    Rsa,
}

/// Form of a private key file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyFormat {
    /// As ssh-keygen writes it
    #[default]
    Openssh,
    /// PKCS#8 in PEM, as OpenSSL writes it
    Pem,
    /// PuTTY's own, version 3, for PuTTY 0.75 and later
    Ppk,
}

/// The users to let in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Users")]
pub(crate) struct WhoArgs {
    /// User to let in; may be repeated; default: the one default user of the system
    #[arg(long, value_name = "USER", conflicts_with = "all_users")]
    pub(crate) user: Vec<String>,
    /// Every user who could log in
    #[arg(long)]
    pub(crate) all_users: bool,
    /// Also repair what would keep the SSH server from accepting the key; every repair is listed
    #[arg(long)]
    pub(crate) fix: bool,
    /// Repair this as well, which changes a policy or a lock; may be repeated; goes with --fix
    #[arg(long, value_enum, value_name = "CHECK")]
    pub(crate) fix_also: Vec<FixAlso>,
    /// Add the key although the SSH server would not accept it
    #[arg(long)]
    pub(crate) force: bool,
}

/// What --fix leaves alone unless it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FixAlso {
    /// AllowUsers gets the user
    ConfUsers,
    /// AuthenticationMethods asks for the key alone
    ConfMethods,
    /// No ForceCommand, no ChrootDirectory, a terminal
    ConfForce,
    /// The lock of the password (`!`) becomes `*`, which no password matches either
    UserLocked,
    /// The SSH server starts at boot
    SshdEnabled,
    /// A file with the immutable or append-only flag is written; the flag stays
    Immutable,
}

impl From<FixAlso> for crate::action::fix_login::Also {
    fn from(word: FixAlso) -> Self {
        match word {
            FixAlso::ConfUsers => Self::ConfUsers,
            FixAlso::ConfMethods => Self::ConfMethods,
            FixAlso::ConfForce => Self::ConfForce,
            FixAlso::UserLocked => Self::UserLocked,
            FixAlso::SshdEnabled => Self::SshdEnabled,
            FixAlso::Immutable => Self::Immutable,
        }
    }
}

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
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) volume: VolumeArg,
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
    pub(crate) commit: CommitArgs,
}

/// Takes a change back: puts back the bytes from before.
///
/// Also takes back a run that was interrupted. The undo file is named at the end of `regain key add`.
#[derive(Debug, Args)]
#[command(after_long_help = "EXAMPLES
  regain undo regain-undo-20260102T030405Z-disk.img.patch disk.img")]
pub(crate) struct Undo {
    /// Undo file, or patch
    #[arg(value_name = "PATCH", value_hint = ValueHint::FilePath)]
    pub(crate) patch: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
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
            Self::Inspect(args) => Some(&args.target.target),
            Self::Key(Key::List(args)) => Some(&args.target.target),
            Self::Key(Key::Check(args)) => Some(&args.target.target),
            Self::Key(Key::Add(args)) => Some(&args.target.target),
            Self::Key(Key::Revoke(args)) => Some(&args.target.target),
            Self::Key(Key::Rotate(args)) => Some(&args.target.target),
            Self::Password(Password::Reset(args)) => Some(&args.target.target),
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
