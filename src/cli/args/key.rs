//! Arguments of the commands of `regain key`.

use super::{VolumeArgs, WriteArgs};
use clap::{Args, ValueEnum, ValueHint};
use std::path::PathBuf;

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
    pub(crate) on: VolumeArgs,
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
    pub(crate) on: VolumeArgs,
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
  regain key add /mnt/rescue --key k.pub
      below a mounted root
  regain key add first.qcow2 --device second.qcow2 --luks-passphrase-file secret --key k.pub
      a logical volume on two encrypted disks
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
    pub(crate) add: AddArgs,
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
    pub(crate) on: VolumeArgs,
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
    pub(crate) add: AddArgs,
}

/// Which keys are added for whom, which is the same for `key add` and `key rotate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) on: VolumeArgs,
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
