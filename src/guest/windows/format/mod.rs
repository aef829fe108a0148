//! Files and registry values of a Windows guest that a password reset reads or changes.
//!
//! Pure: bytes in, a value or a typed defect out, no I/O. What would change is always a list of
//! [`ByteChange`], never a new serialisation: everything that is not meant stays as it is, to the
//! byte. After every change the text is parsed again, and what was meant must be the only
//! difference (WIN-46).
//!
//! | module            | what                                                        | rules             |
//! |-------------------|-------------------------------------------------------------|-------------------|
//! | [`text`]          | encodings, and the way back from text to bytes              | WIN-49, 65, 83    |
//! | [`change`]        | bytes to be replaced                                        | WIN-T3            |
//! | [`password`]      | passwords: made, checked, never shown                       | WIN-61            |
//! | [`agent_config`]  | `agent-config.yml` of EC2Launch v2                          | WIN-43 to WIN-50  |
//! | [`launch_config`] | `LaunchConfig.json` of EC2Launch v1                         | WIN-56 to WIN-67  |
//! | [`ec2config`]     | `config.xml` of EC2Config                                   | WIN-79 to WIN-85  |
//! | [`task_cache`]    | the scheduled task of EC2Launch v1 in the registry          | WIN-68 to WIN-77  |
//! | [`group_policy`]  | fallback F1: `gpt.ini` and `scripts.ini`                    | WIN-115 to 118    |
//! | [`startup_script`]| the script of fallbacks F1 and F2                           | WIN-118, WIN-119  |
//! | [`setup_key`]     | fallback F2: values of `SYSTEM\Setup`                       | WIN-119           |
//! | [`agent_log`]     | the last password event in a log of an agent                | WIN-8, WIN-64     |

pub mod agent_config;
pub mod agent_log;
pub mod change;
pub mod ec2config;
pub mod group_policy;
pub mod launch_config;
pub mod log_facts;
pub mod password;
mod quoted;
pub mod setup_key;
pub mod startup_script;
pub mod task_cache;
pub mod text;

pub use change::ByteChange;
pub use password::Password;
pub use text::{CONFIG_BYTES_MAX, Encoding, Text, TextDefect};

use crate::error::{Error, Refusal};

/// The refusal for a file of the guest that is not as an edit needs it.
///
/// `path` is the guest path, already escaped; `defect` is any defect of this module.
pub fn refused(path: &str, defect: &impl std::fmt::Display) -> Error {
    Refusal::UnsuitableFile { path: path.to_owned(), reason: defect.to_string() }.into()
}
