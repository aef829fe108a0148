//! The verdict after an edit: the same rules over the edited volume (LOGIN-6).

use super::key_add::KeyAddRequest;
use super::plan::{Outcome, Plan};
use crate::bytes::text::escape_limited;
use crate::error::{Error, Refusal, Result};
use crate::fs::FileSystem;
use crate::guest::linux::detect;
use crate::login::{Finding, Guest, Verdict, dedup};

/// What sshd will say to the new keys of one user.
#[derive(Debug, Clone)]
pub struct UserVerdict {
    /// Name as in passwd, unescaped.
    pub name: Vec<u8>,
    /// The answer to every key.
    pub verdict: Verdict,
    /// Why.
    pub findings: Vec<Finding>,
}

/// Judges the keys of `request` on `fs`, on which `plan` was carried out, for everybody whom it lets in.
///
/// # Errors
/// `Refused` if sshd refuses a key of somebody and nobody forced it; otherwise as the file system.
pub fn judge(
    fs: &dyn FileSystem,
    request: &KeyAddRequest,
    plan: &Plan,
) -> Result<Vec<UserVerdict>> {
    let system = detect(fs)?.ok_or_else(|| Error::not_found("a Linux system on this volume"))?;
    let guest = Guest::open(fs, &system, request.now)?;
    let options = request.options.as_deref().map(str::as_bytes);
    let mut verdicts = Vec::new();
    let is_let_in = |outcome| matches!(outcome, Outcome::Changes | Outcome::AlreadyPresent);
    for planned in plan.users.iter().filter(|user| is_let_in(user.outcome)) {
        let Some(user) = system.accounts.find(&planned.name) else { continue };
        let mut findings = Vec::new();
        for key in &request.keys {
            findings.extend(guest.check_key_with(user, key, options)?.findings);
        }
        dedup(&mut findings);
        let verdict = Verdict::of(&findings);
        if let Some(reason) = findings.iter().find(|f| f.is_blocking() && !request.force) {
            let (user, reason) = (escape_limited(&planned.name, 64), reason.to_string());
            return Err(Refusal::WouldNotAccept { user, reason }.into());
        }
        verdicts.push(UserVerdict { name: planned.name.clone(), verdict, findings });
    }
    Ok(verdicts)
}
