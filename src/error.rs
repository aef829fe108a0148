//! The one public error of the library, and the data inside it.
//!
//! Three families must never be confused: [`ErrorKind::Unsupported`] is our limitation,
//! [`ErrorKind::Corrupt`] is damage on the volume, [`ErrorKind::Refused`] is a volume that could be
//! edited but must not be. Each kind maps to one exit status and one JSON `kind` (see
//! [`Error::exit_status`], [`Error::kind_name`]).
//!
//! Context is added once per layer with [`Context::context`], outermost last, so that a message reads
//! *disk.img: volume 2 (ext4 "root"): inode 131: extent node at 0x8a000: depth 7 exceeds 5*.
//! Not handled here: what to do about a refusal. Remedies are sentences for people and live in `cli`.

use std::fmt;
use std::io;

/// What a function of this library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with its kind and the layers it passed through.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    /// Innermost first.
    context: Vec<String>,
    /// True once a byte may have reached the target.
    target_modified: bool,
}

/// The kinds of [`Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Reading or writing failed on the host.
    Io(io::Error),
    /// There is nothing to act on: no system, no user, no such volume.
    NotFound(String),
    /// More than one thing fits, and choosing would be guessing.
    Ambiguous {
        /// What is ambiguous, as in "several users could be meant".
        what: String,
        /// The candidates, as the user would name them on the command line.
        candidates: Vec<String>,
    },
    /// A format or feature that regain does not know.
    Unsupported(String),
    /// The volume, the disk or the patch file is damaged.
    Corrupt(Corrupt),
    /// Editing would be unsafe, or the result would not help.
    Refused(Refusal),
    /// A patch does not belong to this target or to its present state.
    Mismatch(String),
    /// A named bound was exceeded.
    Limit {
        /// What is bounded, with its unit, as in "size of /etc/passwd in bytes".
        what: String,
        /// The bound.
        limit: u64,
        /// What was found.
        actual: u64,
    },
    /// The command line makes no sense.
    Usage(String),
}

/// Damage: which structure, where on the disk, belonging to what, and what is wrong with it.
#[derive(Debug)]
pub struct Corrupt {
    /// The format's own name of the structure, as in "extent tree node".
    pub structure: &'static str,
    /// Byte offset of the structure in the address space of the layer that found it, when known.
    pub offset_bytes: Option<u64>,
    /// The object it belongs to, as in "inode 131", when known.
    pub object: Option<String>,
    /// The defect: an error of the format's own closed enum, or of [`crate::bytes`].
    pub defect: Box<dyn std::error::Error + Send + Sync>,
}

impl Corrupt {
    /// Describes damage to `structure`.
    pub fn new(
        structure: &'static str,
        defect: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { structure, offset_bytes: None, object: None, defect: defect.into() }
    }

    /// Adds where the structure starts, in bytes.
    #[must_use]
    pub fn at(mut self, offset_bytes: u64) -> Self {
        self.offset_bytes = Some(offset_bytes);
        self
    }

    /// Adds the object that the structure belongs to, as in "inode 131".
    #[must_use]
    pub fn of(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        write!(f, "{}", self.structure)?;
        if let Some(offset) = self.offset_bytes {
            write!(f, " at {offset:#x}")?;
        }
        write!(f, ": {}", self.defect)
    }
}

/// Why an edit is refused although the volume can be read.
///
/// Each reason has one remedy sentence in `cli`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The journal or log needs a replay that regain cannot do.
    #[error("the journal is not clean and cannot be replayed here: {detail}")]
    DirtyLog {
        /// What stands in the way.
        detail: String,
    },
    /// The journal or log lies on another device, which was not given.
    #[error("the journal is on another device{detail}")]
    LogElsewhere {
        /// Why it is in none of those that were given, as in ": /dev/sdb holds none"; else empty.
        detail: String,
    },
    /// The machine was suspended to disk.
    #[error("the system on it is hibernated")]
    Hibernated,
    /// The data are cipher text.
    #[error("{what} is encrypted")]
    Encrypted {
        /// The volume, directory or file.
        what: String,
    },
    /// The data are cipher text that a passphrase opens, and none was given.
    #[error("{what} is encrypted, and no passphrase was given")]
    Locked {
        /// The volume.
        what: String,
    },
    /// Somebody else uses the target.
    #[error("{what} is in use{}", holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    InUse {
        /// The target.
        what: String,
        /// Who holds it, where it can be known.
        holder: Option<String>,
    },
    /// Feature bits that are in no list of ours.
    #[error("unknown file-system feature {}", names.join(", "))]
    UnknownFeature {
        /// The bits, as in "incompat 0x40000000".
        names: Vec<String>,
    },
    /// A feature that can be read but is not proven for writing.
    #[error("editing with {feature} is not supported")]
    NotWritable {
        /// The feature, file system or format by the name its tools use.
        feature: String,
    },
    /// The file system is marked as having errors, or a structure that the edit needs fails its check.
    #[error("the file system needs a check: {detail}")]
    NeedsCheck {
        /// Which check failed.
        detail: String,
    },
    /// The target cannot be written at all.
    #[error("{what} is read-only")]
    ReadOnly {
        /// The target.
        what: String,
    },
    /// The directory lies on a mount that cannot be written.
    #[error("{what} is mounted read-only")]
    MountedReadOnly {
        /// The target, or what of it.
        what: String,
        /// The mount point on the host.
        mount: String,
    },
    /// The target is a directory on a file system whose edits might not last, or not be in one step.
    #[error("a directory on {type_name} is not edited: {why}")]
    ForeignMount {
        /// The file system, as the kernel names it.
        type_name: String,
        /// Why not.
        why: &'static str,
    },
    /// The target is the root of the machine on which regain runs.
    #[error("it is the root of the running system")]
    RunningSystem,
    /// A snapshot, or another subvolume that must not change.
    #[error("the subvolume {path} is read-only")]
    ReadOnlySubvolume {
        /// Its path below the top of the file system, escaped.
        path: String,
    },
    /// No room for the edit.
    #[error("no free {what}: {needed} needed, {available} available")]
    NoSpace {
        /// "blocks of 4096 bytes", "inodes", ...
        what: String,
        /// How many the edit needs.
        needed: u64,
        /// How many are free.
        available: u64,
    },
    /// The file carries a flag that forbids the edit.
    #[error("{path} has the {flag} flag")]
    ProtectedFile {
        /// Guest path or inode, already escaped.
        path: String,
        /// "immutable" or "append-only".
        flag: &'static str,
    },
    /// The path leads to something that the edit must not touch.
    #[error("{path}: {reason}")]
    UnsuitableFile {
        /// Guest path, already escaped.
        path: String,
        /// Why, as in "is a directory".
        reason: String,
    },
    /// sshd would not accept the key even after the edit.
    #[error("sshd would not accept the key for {user}: {reason}")]
    WouldNotAccept {
        /// The user.
        user: String,
        /// The first blocking reason.
        reason: String,
    },
    /// Nobody could log in as the user any more.
    #[error("{user} would be left without a working key: {reason}")]
    LastKey {
        /// The user.
        user: String,
        /// Which key it is.
        reason: String,
    },
    /// Whether sshd accepts the key depends on something that is not on the volume.
    #[error("whether sshd accepts the key for {user} is not known: {reason}")]
    NotDecided {
        /// The user.
        user: String,
        /// The first open question.
        reason: String,
    },
    /// A password would not let its user in.
    #[error("a password would not let {user} in: {reason}")]
    NoPasswordLogin {
        /// The user.
        user: String,
        /// The first blocking reason.
        reason: String,
    },
    /// No local account has a password there.
    #[error("the system is a domain controller ({evidence}), which has no local accounts")]
    DomainController {
        /// What says so.
        evidence: String,
    },
    /// Nothing on the volume could reset the password at the next boot.
    #[error("no agent that could reset the password: {detail}")]
    NoAgent {
        /// What was looked for, and what is there of it.
        detail: String,
    },
    /// The agent is there, but is not as the reset needs it.
    #[error("{agent} cannot reset the password: {reason}")]
    AgentUnusable {
        /// The agent.
        agent: String,
        /// What is missing or different.
        reason: String,
    },
    /// The service that would do it is turned off.
    #[error("the service {service} is disabled, so nothing would happen at the next boot")]
    ServiceDisabled {
        /// The service.
        service: String,
    },
    /// Nobody could log in through SSH.
    #[error("no OpenSSH server to log in to: {reason}")]
    NoSshServer {
        /// What is missing or turned off.
        reason: String,
    },
    /// A key that no current sshd accepts, or that is too weak.
    #[error("{key}: {reason}")]
    UnsuitableKey {
        /// Where the key came from.
        key: String,
        /// Why it is refused.
        reason: String,
    },
    /// A host file exists that would have been overwritten.
    #[error("{path} exists already and is never overwritten")]
    FileExists {
        /// Host path.
        path: String,
    },
    /// A container refers to a file of the host that it must not refer to.
    #[error("{file}: {reason}")]
    ForeignFile {
        /// The file as the container names it, already escaped.
        file: String,
        /// Why it is not followed.
        reason: String,
    },
    /// A container that does not say what a file that it refers to is.
    #[error("{file}: {reason}")]
    UnknownBackingFormat {
        /// The file as the container names it, already escaped.
        file: String,
        /// What speaks against guessing.
        reason: String,
        /// The format that it looks like.
        found: &'static str,
    },
    /// A container that its own tool has to repair first.
    #[error("{what}")]
    ContainerNeedsCheck {
        /// What is wrong, as in "a qcow2 image that is marked as dirty".
        what: String,
    },
    /// A container that can be read, but not be written in place.
    #[error("{what}")]
    ContainerNotWritable {
        /// The feature by the name its tools use, as in "a stream-optimized VMDK (compressed) ...".
        what: String,
    },
    /// What lies between the disks and the file system stands in the way.
    #[error("{what}: {reason}")]
    UnsuitableVolume {
        /// The volume, as in "the logical volume".
        what: String,
        /// The kind of obstacle, on which the remedy depends.
        obstacle: VolumeObstacle,
        /// Why, safe to print.
        reason: String,
    },
    /// An independent reader disagrees with the finished edit.
    #[error("the finished edit failed verification: {detail}")]
    NotVerified {
        /// What differs.
        detail: String,
    },
    /// The question before writing was answered with no, or could not be asked.
    #[error("not confirmed: {detail}")]
    NotConfirmed {
        /// Why there was no yes.
        detail: String,
    },
}

/// What keeps a logical volume, a mirror or an encrypted volume from being edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VolumeObstacle {
    /// Its type, level or cipher is one that regain does not know.
    Layout,
    /// Disks of it were not given.
    Incomplete,
    /// It is exported, or other hosts use it as well.
    Shared,
    /// Snapshots depend on it.
    Snapshot,
    /// A move, reshape, rebuild or reencryption is not finished.
    Unfinished,
    /// The copies of its data may differ.
    OutOfSync,
    /// Its metadata are damaged or out of date in a part.
    Damaged,
    /// It is marked read-only.
    ReadOnly,
    /// No key slot opens with the passphrase.
    WrongPassphrase,
    /// No key slot takes a passphrase.
    NoPassphrase,
}

impl Error {
    /// Makes an error of `kind` without context.
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, context: Vec::new(), target_modified: false }))
    }

    /// Makes a [`ErrorKind::NotFound`].
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound(what.into()))
    }

    /// Makes a [`ErrorKind::Unsupported`].
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported(what.into()))
    }

    /// Makes a [`ErrorKind::Usage`].
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage(what.into()))
    }

    /// Makes a [`ErrorKind::Mismatch`].
    pub fn mismatch(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Mismatch(what.into()))
    }

    /// Makes a [`ErrorKind::Limit`].
    pub fn limit(what: impl Into<String>, limit: u64, actual: u64) -> Self {
        Self::new(ErrorKind::Limit { what: what.into(), limit, actual })
    }

    /// The kind.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The layers that the error passed through, outermost first.
    pub fn context_chain(&self) -> impl Iterator<Item = &str> {
        self.0.context.iter().rev().map(String::as_str)
    }

    /// True if a byte may have reached the target before the failure.
    pub fn target_modified(&self) -> bool {
        self.0.target_modified
    }

    /// Records that the target may be partly written.
    #[must_use]
    pub fn after_first_write(mut self) -> Self {
        self.0.target_modified = true;
        self
    }

    /// The exit status of the contract (`spec/cli.md`, "Exit status").
    pub fn exit_status(&self) -> u8 {
        match self.kind() {
            ErrorKind::Io(_) => 1,
            ErrorKind::Usage(_) => 2,
            ErrorKind::NotFound(_) | ErrorKind::Ambiguous { .. } => 3,
            ErrorKind::Refused(_) => 4,
            ErrorKind::Corrupt(_) | ErrorKind::Unsupported(_) | ErrorKind::Limit { .. } => 5,
            ErrorKind::Mismatch(_) => 6,
        }
    }

    /// The JSON `kind` of the contract (`spec/cli.md`, "JSON").
    pub fn kind_name(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Io(_) => "io",
            ErrorKind::NotFound(_) => "not_found",
            ErrorKind::Ambiguous { .. } => "ambiguous",
            ErrorKind::Unsupported(_) => "unsupported",
            ErrorKind::Corrupt(_) => "corrupt",
            ErrorKind::Refused(_) => "refused",
            ErrorKind::Mismatch(_) => "mismatch",
            ErrorKind::Limit { .. } => "limit",
            ErrorKind::Usage(_) => "usage",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotFound(what)
            | Self::Unsupported(what)
            | Self::Mismatch(what)
            | Self::Usage(what) => f.write_str(what),
            Self::Ambiguous { what, candidates } => write!(f, "{what}: {}", candidates.join(", ")),
            Self::Corrupt(corrupt) => write!(f, "{corrupt}"),
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Limit { what, limit, actual } => {
                write!(f, "{what} is {actual}, more than the limit of {limit}")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for layer in self.context_chain() {
            write!(f, "{layer}: ")?;
        }
        write!(f, "{}", self.kind())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Io(error) => Some(error),
            ErrorKind::Corrupt(corrupt) => Some(corrupt.defect.as_ref()),
            ErrorKind::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::new(ErrorKind::Io(error))
    }
}

impl From<Corrupt> for Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::new(ErrorKind::Corrupt(corrupt))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(ErrorKind::Refused(refusal))
    }
}

/// Adds the layer that an error passed through.
pub trait Context<T> {
    /// Prefixes the error with `layer`, which is only computed on failure.
    ///
    /// # Errors
    /// The error of `self`, with one more layer.
    fn context<L: Into<String>>(self, layer: impl FnOnce() -> L) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context<L: Into<String>>(self, layer: impl FnOnce() -> L) -> Result<T> {
        self.map_err(|error| {
            let (mut error, layer) = (error.into(), layer().into());
            // Two layers may speak of the same file.
            if error.0.context.last() != Some(&layer) {
                error.0.context.push(layer);
            }
            error
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("depth {0} exceeds 5")]
    struct Depth(u16);

    #[test]
    fn context_reads_from_the_outside_in() {
        let inner: Result<()> =
            Err(Corrupt::new("extent tree node", Depth(7)).at(0x8a000).of("inode 131").into());
        let error = inner.context(|| "volume 2").context(|| "disk.img").unwrap_err();
        assert_eq!(
            error.to_string(),
            "disk.img: volume 2: inode 131: extent tree node at 0x8a000: depth 7 exceeds 5"
        );
        assert_eq!((error.exit_status(), error.kind_name()), (5, "corrupt"));
        assert!(!error.target_modified());
    }

    #[test]
    fn a_refusal_names_its_holder_only_when_known() {
        let known = Refusal::InUse { what: "/dev/sdb".into(), holder: Some("dm-0".into()) };
        assert_eq!(known.to_string(), "/dev/sdb is in use by dm-0");
        let unknown = Refusal::InUse { what: "/dev/sdb".into(), holder: None };
        assert_eq!(unknown.to_string(), "/dev/sdb is in use");
    }
}
