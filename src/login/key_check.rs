//! The answer of sshd to one user with one key over a volume as it is (LOGIN-1 to LOGIN-3).

use super::agreement::agree;
use super::finding::Finding;
use super::key_files::KeyFile;
use super::key_walk::{Hit, Question, Walk, walk};
use super::match_block::Effective;
use super::{Guest, PublicKey, Verdict, algorithms, dedup};
use crate::error::Result;
use crate::fs::path::GuestPath;
use crate::guest::linux::User;

/// Text in the `command=` by which cloud-init turns a user away (LOGIN-43).
const TURNED_AWAY: &[u8] = b"Please login as the user";
/// The command of EC2 Instance Connect, which knows only keys that were just sent through its service
/// (LOGIN-35).
const INSTANCE_CONNECT: &[u8] = b"/eic_run_authorized_keys";

/// What sshd says to one key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCheck {
    /// The answer.
    pub verdict: Verdict,
    /// Every reason, the worst first, each once.
    pub findings: Vec<Finding>,
    /// Real path and line number of the line that decides, if there is one.
    pub deciding_line: Option<(GuestPath, u64)>,
}

/// The key that is asked about.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    user: &'a User,
    blob: &'a [u8],
    /// Options that are wanted on its line, so that they speak against nothing.
    options: Option<&'a [u8]>,
}

impl Guest<'_> {
    /// Judges `key` for `user` on the volume as it is.
    ///
    /// # Errors
    /// As the file system; `Limit` for files beyond every reason.
    pub fn check_key(&self, user: &User, key: &PublicKey) -> Result<KeyCheck> {
        self.check_key_with(user, key, None)
    }

    /// As [`Guest::check_key`]; a line with exactly these `options` is what the caller wants, so that their
    /// limits speak against nothing.
    ///
    /// # Errors
    /// As [`Guest::check_key`].
    pub fn check_key_with(
        &self,
        user: &User,
        key: &PublicKey,
        options: Option<&[u8]>,
    ) -> Result<KeyCheck> {
        let asked = Asked { user, blob: key.blob(), options };
        let mut by_client = Vec::new();
        let mut deciding_line = None;
        for (index, effective) in self.settings(user).iter().enumerate() {
            let (files, mut found) = self.client_findings(user, effective)?;
            found.extend(algorithms::key_findings(self, effective, key));
            let walk = asked.walk(self, &files, effective.flag("strictmodes", true))?;
            if index == 0 {
                deciding_line = walk.deciding().map(|hit| (hit.path.clone(), hit.line));
            }
            found.extend(asked.line_findings(effective, walk));
            by_client.push(found);
        }
        let mut findings = self.user_findings(user)?;
        findings.extend(agree(&by_client));
        Ok(KeyCheck::new(findings, deciding_line))
    }
}

impl KeyCheck {
    fn new(mut findings: Vec<Finding>, deciding_line: Option<(GuestPath, u64)>) -> Self {
        dedup(&mut findings);
        findings.sort_by_key(|finding| (finding.severity, !finding.is_undecided));
        Self { verdict: Verdict::of(&findings), findings, deciding_line }
    }

    /// The answer to a key that sshd takes from nobody (LOGIN-81), found at `subject`.
    pub fn of_useless_key(subject: &str, reason: &str) -> Self {
        let finding = Finding::block(("key-type", "LOGIN-81"), subject, reason);
        Self::new(vec![finding], None)
    }
}

impl Asked<'_> {
    fn walk(&self, guest: &Guest<'_>, files: &[KeyFile], is_strict: bool) -> Result<Walk> {
        let (user, blob) = (self.user, self.blob);
        walk(&Question { guest, user, blob, files, is_strict, target: None, planned: &|_| None })
    }

    /// What follows from the lines with the key under one set of values.
    fn line_findings(&self, effective: &Effective<'_>, walk: Walk) -> Vec<Finding> {
        let mut findings = command_finding(effective);
        let is_certain = walk.is_certain() && walk.unknown.is_empty();
        let against: Vec<Option<Finding>> =
            walk.hits.iter().map(|hit| self.against(effective, hit)).collect();
        let may_refuse = !is_certain || against.iter().any(Option::is_some);
        let may_accept = against.iter().any(Option::is_none) || !walk.unknown.is_empty();
        let is_open = may_refuse && may_accept;
        let by_command = has_command_source(effective);
        if walk.hits.is_empty() {
            findings.extend(self.absent(&walk, by_command));
        }
        for (hit, against) in walk.hits.iter().zip(against) {
            findings.extend(hit.doubts.iter().cloned().map(|doubt| lower(doubt, is_open)));
            findings.extend(against.map(|finding| weaken(finding, is_open)));
            findings.extend(note(hit));
        }
        findings.extend(walk.unknown.into_iter().map(|doubt| lower(doubt, is_open)));
        if !walk.hits.is_empty() {
            findings.extend(walk.unread.iter().filter(|(_, f)| f.is_blocking()).map(unread));
        }
        findings.extend(walk.notes);
        findings
    }

    /// Why the key is refused when no line with it counts. `by_command` is the line of a command that may know
    /// the key as well.
    fn absent(&self, walk: &Walk, by_command: Option<String>) -> Vec<Finding> {
        let may_come = by_command.is_some() || !walk.unknown.is_empty();
        let mut findings: Vec<Finding> =
            walk.unread.iter().map(|(_, finding)| weaken(finding.clone(), may_come)).collect();
        if let Some(place) = by_command {
            let message =
                "the key is in no file that sshd reads; AuthorizedKeysCommand may know it";
            findings.push(Finding::undecided(("key-line", "LOGIN-26"), place, message));
        } else if walk.unread.is_empty() && walk.unknown.is_empty() {
            let has_dead_lines = walk.notes.iter().any(|note| note.rule == "LOGIN-40");
            let message = if has_dead_lines {
                "no line with the key counts"
            } else {
                "the key is in no file that sshd reads"
            };
            let name = self.user.display_name();
            let finding = Finding::block(("key-line", "LOGIN-39"), name, message);
            findings.push(finding.fixed_by("`regain key add` puts it there"));
        }
        findings
    }

    /// What the options of a line say against the login if it is the one that decides.
    fn against(&self, effective: &Effective<'_>, hit: &Hit) -> Option<Finding> {
        let has_command = hit.limits.contains(&"command=");
        if let Some(place) = needs_command(self.user, effective) {
            let message = "PermitRootLogin forced-commands-only: the line needs a command=";
            let finding = Finding::block(("conf-root", "LOGIN-63"), place, message);
            return (!has_command).then(|| finding.fixed_by("set it to prohibit-password"));
        }
        if !has_command || (self.options.is_some() && self.options == hit.options.as_deref()) {
            return None;
        }
        let turns_away = hit.options.as_deref().is_some_and(|options| {
            options.windows(TURNED_AWAY.len()).any(|window| window == TURNED_AWAY)
        });
        let message = if turns_away {
            "this line decides, and its command= only tells to log in as another user"
        } else {
            "this line decides, and its command= runs in place of a shell"
        };
        let finding = Finding::block(("key-shadowed", "LOGIN-42"), hit.place(), message);
        Some(finding.fixed_by("`regain key add` puts a line without options before it"))
    }
}

/// A command that sshd asks for keys as well (LOGIN-26, LOGIN-27).
fn command_finding(effective: &Effective<'_>) -> Vec<Finding> {
    let Some(place) = has_command_source(effective) else { return Vec::new() };
    let message = "AuthorizedKeysCommand may give the key too; up to OpenSSH 8.0 it comes first, and \
                   its options count";
    vec![Finding::warn(("writers", "LOGIN-27"), place, message)]
}

/// The line with a command that may know any key.
fn has_command_source(effective: &Effective<'_>) -> Option<String> {
    let directive = effective.first("authorizedkeyscommand")?;
    let program = directive.arguments.first()?;
    let is_none = program.eq_ignore_ascii_case(b"none") || program.ends_with(INSTANCE_CONNECT);
    (!is_none).then(|| directive.place.to_string())
}

/// The line that lets root in only with a forced command (LOGIN-63), if `user` is meant by it.
pub(super) fn needs_command(user: &User, effective: &Effective<'_>) -> Option<String> {
    let directive = effective.first("permitrootlogin").filter(|_| user.uid == 0)?;
    let value = effective.value("permitrootlogin")?;
    (value == b"forced-commands-only").then(|| directive.place.to_string())
}

/// Options of the deciding line that leave a shell, but not all of it (LOGIN-42, LOGIN-121).
fn note(hit: &Hit) -> Option<Finding> {
    hit.options.as_ref().filter(|_| hit.doubts.is_empty())?;
    let others: Vec<&str> = hit.limits.iter().copied().filter(|&l| l != "command=").collect();
    if others.is_empty() {
        let message = "the key stands there with options";
        return Some(Finding::info(("key-line", "LOGIN-121"), hit.place(), message));
    }
    let message = format!("the line has {}: the session has its limits", others.join(", "));
    Some(Finding::warn(("key-shadowed", "LOGIN-42"), hit.place(), message))
}

fn unread((path, finding): &(GuestPath, Finding)) -> Finding {
    let message = format!("the key is in it, but sshd does not read it: {finding}");
    Finding::warn(("key-line", "LOGIN-51"), path, message)
}

/// A doubt that decides nothing is a note.
fn lower(doubt: Finding, decides: bool) -> Finding {
    if decides {
        return doubt;
    }
    Finding { severity: super::Severity::Info, is_undecided: false, ..doubt }
}

/// A reason that holds only if something is so that nobody knows leaves the answer open.
fn weaken(finding: Finding, is_open: bool) -> Finding {
    if !(is_open && finding.is_blocking()) {
        return finding;
    }
    Finding { severity: super::Severity::Warn, is_undecided: true, ..finding }
}
