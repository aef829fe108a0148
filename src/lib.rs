//! `regain` gets people back into machines they are locked out of, from the root disk alone. On Linux it says whether
//! sshd would take a key, adds, revokes and rotates keys, repairs what keeps people out, and sets passwords; on Windows
//! it adds, revokes and rotates the keys of the OpenSSH server, and has the system set a new password at its next boot.
//!
//! # What it promises, in this order
//!
//! 1. **It never makes things worse.** A volume is edited completely and correctly, or not at all; whatever
//!    happens in between, one command finishes or takes back the edit, to the bit.
//! 2. **It never lies.** What is called accepted, sshd on that volume will accept; what could not be decided
//!    is called unknown.
//! 3. **It touches nothing but what it said.** The plan names every file, the patch names every byte.
//! 4. **It trusts nothing on the volume**, which may be damaged, and may be hostile.
//! 5. **It needs nothing**: no privileges for images, no kernel driver, no network, no other program.
//! 6. **It is fast.** The cost follows the size of the edit, not of the volume.
//!
//! # The way of the data
//!
//! ```text
//!  read    target -> image -> disk -> volume -> fs -> guest -> action        bytes become meaning
//!  write   action -> fs (edit) -> overlay -> patch -> target                 meaning becomes bytes
//! ```
//!
//! The two ways meet only in [`disk::overlay`]: file-system code reads through it and writes into it, and
//! believes that it edits a disk. Nothing reaches a target until the finished overlay has been verified by
//! readers that did not make it, has been brought down to the disks and read back from there, has become a [`patch`], and
//! its undo record is durable.
//!
//! # Layers
//!
//! | module      | what it knows                                                       | uses                  |
//! |-------------|---------------------------------------------------------------------|-----------------------|
//! | [`cli`]     | arguments, questions, text; the only code that prints               | everything            |
//! | [`report`]  | the JSON contract: plain data                                       | bytes, error          |
//! | [`session`] | composes: target, volumes, overlays, action, verification, patch    | all below             |
//! | [`action`]  | what to change: check, plan, edit                                   | login, guest, hive, fs |
//! | [`patch`]   | bytes, and files, before and after: create, store, apply, undo      | image, disk           |
//! | [`login`]   | would sshd on this volume accept this key?                          | guest, fs             |
//! | [`guest`]   | who lives here: system and version, users, agents                   | hive, fs              |
//! | [`hive`]    | registry hives of Windows                                           | bytes, error          |
//! | [`fs`]      | file systems: ext, XFS, NTFS, Btrfs, directories; several as a tree | image, volume, disk   |
//! | [`volume`]  | partition tables, LVM, RAID, LUKS: where a volume lies on its disks | disk                  |
//! | [`image`]   | what a target is made of; the only opener for writing               | disk                  |
//! | [`disk`]    | address spaces: file, window, cache, overlay                        | bytes, error          |
//! | [`bytes`]   | fields, checked arithmetic, checksums, text; pure                   | error                 |
//! | [`error`]   | kinds of failure, with what and where                               |                       |
//!
//! # Vocabulary
//!
//! A *target* is what the user names: an image file or a block device, perhaps with further ones. A *disk* is the
//! address space inside, a *volume* one partition of it, all of it, or something made of such volumes: its *place*
//! is the recipe. An *edit* is made on an *overlay* of the volume, which is then brought down to the disks; its
//! *changed runs*, each with the bytes before and after, are a *patch*. The patch, made durable before the first
//! write, is the *undo record*. A *plan* is the list of file changes of an *action*; a *finding* is one statement
//! of the login rules, with the number of its rule. *Refused* means: it could be done, but must not be.
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::too_many_lines
    )
)]

pub mod action;
pub mod bytes;
pub mod cli;
pub mod disk;
pub mod error;
pub mod fs;
pub mod guest;
pub mod hive;
pub mod image;
pub mod login;
pub mod patch;
pub mod report;
pub mod session;
pub mod volume;
