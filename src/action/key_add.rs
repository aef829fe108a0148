//! `key add`: puts public keys where sshd will honour them (linux-login.md, section 16).
//!
//! The plan is made from bytes only and changes nothing. Each user is a result of its own
//! (LOGIN-137); what
//! sshd would refuse is reported, and nothing changes for that user unless the caller forces it.

use super::draft::{Draft, Trial, insert_line};
use super::key_place::{Place, chain, find_place};
use super::plan::{Outcome, Plan, UserPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, FileSystem, NodeKind, Timestamp};
use crate::guest::linux::fstab::is_below;
use crate::guest::linux::{User, detect};
use crate::guest::select::{self, UserChoice};
use crate::login::authorized_keys::{KeyLine, key_lines};
use crate::login::finding::{Finding, Severity};
use crate::login::key_options::{Authority, KeyOptions};
use crate::login::selinux::{is_unreadable, label_of, type_of};
use crate::login::strict_modes::problems;
use crate::login::{Guest, PublicKey, UserLogin, dedup};
use std::collections::BTreeSet;

/// Size above which a key file is odd, in bytes (LOGIN-128).
const SIZE_WARNED_BYTES: usize = 1024 * 1024;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct KeyAddRequest {
    /// For whom.
    pub users: UserChoice,
    /// The keys, at least one.
    pub keys: Vec<PublicKey>,
    /// Options for the added lines, checked against LOGIN-41.
    pub options: Option<String>,
    /// Repair what `--fix` may repair.
    pub fix: bool,
    /// Change files even for users whose key would not be accepted.
    pub force: bool,
    /// The date that decides expiry, and nothing else.
    pub now: Timestamp,
}

/// Plans the edit.
///
/// # Errors
/// * `NotFound`, `Ambiguous` - no Linux system, no such user, several users;
/// * `Usage` - no key, or options that sshd would not understand;
/// * `Refused`, `Limit`, `Corrupt` - the key file of the only user cannot be edited;
/// * what makes sshd refuse the key is no error here but in [`Plan::refusal`].
pub fn plan(fs: &dyn FileSystem, request: &KeyAddRequest) -> Result<Plan> {
    check_options(request.options.as_deref(), request.now)?;
    if request.keys.is_empty() {
        return Err(Error::usage("no key was given"));
    }
    let system = detect(fs)?.ok_or_else(|| Error::not_found("a Linux system on this volume"))?;
    let guest = Guest::open(fs, &system, request.now)?;
    let users = select::users(fs, &system, &request.users, &guest)?;
    let mut plan = Plan::default();
    let mut draft = Draft::default();
    for user in &users {
        let planned = UserEdit::new(&guest, user, request).and_then(|edit| edit.plan(&mut draft));
        match planned {
            Ok((user, findings)) => {
                plan.users.push(user);
                plan.findings.extend(findings);
            }
            Err(error) if users.len() > 1 && !matches!(error.kind(), ErrorKind::Io(_)) => {
                let reason = error.to_string();
                let id = ("key-line", "LOGIN-137");
                plan.findings.push(Finding::block(id, user.display_name(), reason.clone()));
                plan.users.push(UserPlan {
                    name: user.name.clone(),
                    path: None,
                    outcome: Outcome::Refused,
                    reason: Some(reason),
                });
            }
            Err(error) => return Err(error),
        }
    }
    dedup(&mut plan.findings);
    plan.findings.sort_by_key(|finding| finding.severity);
    plan.changes = draft.into_changes();
    Ok(plan)
}

/// Checks the caller's options (LOGIN-119, LOGIN-41): a line with them must let somebody in.
pub(super) fn check_options(options: Option<&str>, now: Timestamp) -> Result<()> {
    let Some(options) = options else { return Ok(()) };
    if options.chars().any(char::is_control) {
        return Err(Error::usage("--options has control characters or line breaks"));
    }
    let parsed = KeyOptions::parse(options.as_bytes());
    let parsed = parsed.map_err(|reason| Error::usage(format!("--options: {reason}")))?;
    match parsed.authority(now) {
        Authority::No(reason) => {
            Err(Error::usage(format!("--options: sshd would not use the line: {reason}")))
        }
        Authority::Yes | Authority::Depends(_) => Ok(()),
    }
}

/// The edit for one user under way.
struct UserEdit<'a> {
    guest: &'a Guest<'a>,
    user: &'a User,
    request: &'a KeyAddRequest,
    login: UserLogin,
    findings: Vec<Finding>,
}

/// The files that hold or will hold the keys of one user.
#[derive(Default)]
struct Used {
    paths: BTreeSet<GuestPath>,
    /// The one to show: a file that changes, else one that holds a key.
    shown: Option<GuestPath>,
    /// True if some key goes to the end of the target.
    needs_place: bool,
}

/// What becomes of one key.
enum Step {
    /// It is there already.
    Present { path: GuestPath },
    /// A line goes into the file at `path`, before the byte `at`.
    Insert { path: GuestPath, at: usize },
    /// A line goes to the end of the target.
    Append,
}

impl<'a> UserEdit<'a> {
    fn new(guest: &'a Guest<'a>, user: &'a User, request: &'a KeyAddRequest) -> Result<Self> {
        let login = guest.user_login(user)?;
        let mut findings = login.findings.clone();
        for key in &request.keys {
            findings.extend(guest.key_findings(user, key));
        }
        Ok(Self { guest, user, request, login, findings })
    }

    fn plan(mut self, draft: &mut Draft) -> Result<(UserPlan, Vec<Finding>)> {
        let mut tried = Trial::on(draft);
        let place = find_place(self.guest, self.user, &self.login, self.request.fix, draft)?;
        let used = self.add_keys(&place, &mut tried)?;
        for path in &used.paths {
            self.findings.extend(self.guest.mount_finding(path));
            self.check_chain(path, &mut tried)?;
        }
        if used.needs_place {
            self.findings.extend(place.findings.iter().cloned());
        }
        let path = used.shown;
        let reason = self.findings.iter().find(|f| f.is_blocking()).map(ToString::to_string);
        let is_refused = (reason.is_some() && !self.request.force) || path.is_none();
        let is_shared = path.as_ref().is_some_and(|path| draft.touches(path));
        let outcome = if is_refused {
            Outcome::Refused
        } else if tried.own.is_changed || is_shared {
            Outcome::Changes
        } else {
            Outcome::AlreadyPresent
        };
        let own = tried.own;
        if !is_refused {
            draft.merge(own)?;
        }
        let name = self.user.name.clone();
        dedup(&mut self.findings);
        Ok((UserPlan { name, path, outcome, reason }, self.findings))
    }

    /// Puts every key into `draft`, and says which files hold or will hold them.
    fn add_keys(&mut self, place: &Place, draft: &mut Trial<'_>) -> Result<Used> {
        let mut used = Used::default();
        for key in &self.request.keys {
            match self.step(key, place, draft)? {
                Step::Present { path } => {
                    used.shown.get_or_insert_with(|| path.clone());
                    used.paths.insert(path);
                }
                Step::Insert { path, at } => {
                    self.insert(&path, at, key, draft)?;
                    used.shown = Some(path.clone());
                    used.paths.insert(path);
                }
                Step::Append => {
                    used.needs_place = true;
                    let Some(path) = &place.path else { continue };
                    place.create_directories(draft);
                    self.append(path, place, key, draft)?;
                    used.shown = Some(path.clone());
                    used.paths.insert(path.clone());
                }
            }
        }
        Ok(used)
    }

    /// Reads the files in sshd's order and finds the line that decides (LOGIN-39, LOGIN-118,
    /// LOGIN-121,
    /// LOGIN-122).
    fn step(&mut self, key: &PublicKey, place: &Place, draft: &Trial<'_>) -> Result<Step> {
        for file in self.login.files.clone() {
            let Some((path, content)) = self.content(&file.path, draft)? else { continue };
            // The target itself is repaired, or its defects are the result.
            if place.path.as_ref() != Some(&path) && self.is_unread(&path, key, &content)? {
                continue;
            }
            for line in key_lines(&content).filter(|line| line.blob == key.blob()) {
                let Some(is_present) = self.decides(&line, &path) else { continue };
                if is_present {
                    return Ok(Step::Present { path });
                }
                if file.is_shared {
                    let message = "a line in this file, which all users share, decides first";
                    let id = ("key-shadowed", "LOGIN-42");
                    self.findings.push(Finding::block(id, &path, message));
                    return Ok(Step::Append);
                }
                return Ok(Step::Insert { at: line.range.start, path });
            }
        }
        Ok(Step::Append)
    }

    /// True if sshd does not read a file that holds the key: then its lines decide nothing.
    fn is_unread(&mut self, path: &GuestPath, key: &PublicKey, content: &[u8]) -> Result<bool> {
        if !key_lines(content).any(|line| line.blob == key.blob()) {
            return Ok(false);
        }
        let chain = chain(self.guest.fs, path)?;
        let problems = problems(self.guest, self.user, &chain, self.login.is_strict)?;
        let reasons = problems.into_iter().map(|problem| problem.finding);
        let mut reasons = reasons.chain(self.guest.mount_finding(path));
        let Some(reason) = reasons.find(Finding::is_blocking) else { return Ok(false) };
        let message = format!("the key is in it, but sshd does not read it: {reason}");
        self.findings.push(Finding::warn(("key-line", "LOGIN-51"), path, message));
        Ok(true)
    }

    /// Whether a line with the key decides: `Some(true)` if it is what was asked for, `Some(false)`
    /// if a line
    /// must go before it, `None` if sshd goes on.
    fn decides(&mut self, line: &KeyLine<'_>, path: &GuestPath) -> Option<bool> {
        let subject = format!("{path}:{}", line.number);
        let wanted = self.request.options.as_deref().map(str::as_bytes);
        if wanted.is_some() && line.options == wanted {
            return Some(true);
        }
        let id = ("key-line", "LOGIN-40");
        let options = match line.authority(self.guest.now) {
            Authority::No(reason) => {
                let message = format!("this line with the key does not count: {reason}");
                self.findings.push(Finding::info(id, subject, message));
                return None;
            }
            _ => line.parsed_options().ok()?,
        };
        let shadowing = options.shadowing();
        if !shadowing.is_empty() || wanted.is_some() {
            let what =
                if shadowing.is_empty() { "other options".into() } else { shadowing.join(", ") };
            let message = format!("this line with the key has {what}; the new line goes before it");
            self.findings.push(Finding::info(("key-shadowed", "LOGIN-42"), subject, message));
            return Some(false);
        }
        if let Authority::Depends(reason) = line.authority(self.guest.now) {
            let message = format!("whether this line with the key counts depends on {reason}");
            self.findings.push(Finding::info(id, subject, message));
            return None;
        }
        if line.options.is_some() {
            let message = "the key is there with options that do not keep it from a shell";
            self.findings.push(Finding::info(("key-line", "LOGIN-121"), subject, message));
        }
        Some(true)
    }

    /// Real path and content of a key file, as it will be; `None` if there is none.
    fn content(
        &mut self,
        path: &GuestPath,
        draft: &Trial<'_>,
    ) -> Result<Option<(GuestPath, Vec<u8>)>> {
        let fs = self.guest.fs;
        let found = match find(fs, path) {
            Ok(found) => found,
            Err(error) => {
                let id = ("key-line", "LOGIN-132");
                self.findings.push(Finding::warn(id, path, error.to_string()));
                None
            }
        };
        let real = found.as_ref().map_or_else(|| path.clone(), |found| found.real_path.clone());
        if let Some(content) = draft.content(&real) {
            return Ok(Some((real.clone(), content.to_vec())));
        }
        let Some(found) = found else { return Ok(None) };
        let metadata = fs.metadata(found.node)?;
        if metadata.kind != NodeKind::File {
            let message = format!("it is a {}: sshd does not read it", metadata.kind);
            self.findings.push(Finding::warn(("key-line", "LOGIN-50"), &real, message));
            return Ok(None);
        }
        let content = fs.read(found.node, FILE_BYTES_MAX);
        let content = crate::error::Context::context(content, || real.to_string())?;
        self.describe(&real, &content, metadata.link_count);
        Ok(Some((real, content)))
    }

    /// Oddities of a key file that people should know (LOGIN-126 to LOGIN-128, LOGIN-133).
    fn describe(&mut self, path: &GuestPath, content: &[u8], link_count: u32) {
        let mut warn = |rule, message: &str| {
            self.findings.push(Finding::warn(("key-line", rule), path, message));
        };
        if content.len() > SIZE_WARNED_BYTES {
            warn("LOGIN-128", "the file is larger than 1 MiB");
        }
        if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") {
            warn("LOGIN-126", "the file is UTF-16: no line in it works");
        } else if content.contains(&0) {
            warn("LOGIN-126", "the file holds NUL bytes: lines with them do not work");
        } else if content.starts_with(b"\xef\xbb\xbf") {
            warn(
                "LOGIN-46",
                "the file starts with a byte order mark: its first line does not work",
            );
        }
        if link_count > 1 {
            warn("LOGIN-133", "the file has other names, which change too");
        }
    }

    fn line_and_detail(&self, key: &PublicKey) -> (Vec<u8>, String) {
        let line = key.to_line(self.request.options.as_deref());
        (line, format!("adds {}", key.display_name()))
    }

    fn insert(
        &mut self,
        path: &GuestPath,
        at: usize,
        key: &PublicKey,
        draft: &mut Trial<'_>,
    ) -> Result<()> {
        let before = self.before(path)?;
        let drafted = draft.content(path).map(<[u8]>::to_vec);
        let mut content = drafted.or_else(|| before.clone()).unwrap_or_default();
        let (line, detail) = self.line_and_detail(key);
        insert_line(&mut content, at, &line)?;
        let detail = format!("{detail} before a line with options");
        draft.own.file(path.clone(), before, crate::fs::NewNode::default(), content, vec![detail]);
        Ok(())
    }

    fn append(
        &mut self,
        path: &GuestPath,
        place: &Place,
        key: &PublicKey,
        draft: &mut Trial<'_>,
    ) -> Result<()> {
        let before = self.before(path)?;
        if let Some(content) = &before {
            let links = find(self.guest.fs, path)?.map(|found| self.guest.fs.metadata(found.node));
            let links = links.transpose()?.map_or(1, |metadata| metadata.link_count);
            self.describe(path, content, links);
        }
        let drafted = draft.content(path).map(<[u8]>::to_vec);
        let mut content = drafted.or_else(|| before.clone()).unwrap_or_default();
        let (line, detail) = self.line_and_detail(key);
        let end = content.len();
        insert_line(&mut content, end, &line)?;
        draft.own.file(path.clone(), before, place.new_file.clone(), content, vec![detail]);
        Ok(())
    }

    /// The content of an existing file at a real path, for the comparison with what it becomes.
    fn before(&self, path: &GuestPath) -> Result<Option<Vec<u8>>> {
        let content = crate::fs::path::read_file(self.guest.fs, path, FILE_BYTES_MAX);
        crate::error::Context::context(content, || path.to_string())
    }

    /// StrictModes, readability, flags and labels on the way to the file, and their repair.
    fn check_chain(&mut self, path: &GuestPath, draft: &mut Trial<'_>) -> Result<()> {
        let chain = chain(self.guest.fs, path)?;
        for problem in problems(self.guest, self.user, &chain, self.login.is_strict)? {
            let mut finding = problem.finding;
            if let Some((path, change)) = problem.repair.filter(|_| self.request.fix) {
                draft.own.metadata(path, change);
                finding.severity = Severity::Info;
                finding.message.push_str(" (repaired by this plan)");
            }
            self.findings.push(finding);
        }
        for node in &chain {
            let is_changed = draft.own.touches(&node.path);
            self.check_flags(is_changed, &node.path, &node.metadata);
            self.check_label(node, draft)?;
        }
        Ok(())
    }

    fn check_flags(&mut self, is_changed: bool, path: &GuestPath, metadata: &crate::fs::Metadata) {
        let flags = metadata.flags;
        if flags.is_encrypted {
            let message = "it is encrypted (fscrypt): sshd cannot read it before a login";
            self.findings.push(Finding::block(("home-crypt", "LOGIN-T4"), path, message));
        }
        let flag = match (flags.is_immutable, flags.is_append_only) {
            (true, _) => "immutable",
            (false, true) => "append-only",
            (false, false) => return,
        };
        let message = format!("it has the {flag} flag; agents on the guest cannot change it");
        let severity = if is_changed { Severity::Block } else { Severity::Info };
        self.findings.push(Finding::new(("immutable", "LOGIN-134"), severity, path, message));
    }

    /// A label that sshd may not read is replaced by the one of the rules (LOGIN-83, LOGIN-94).
    fn check_label(
        &mut self,
        node: &crate::login::strict_modes::ChainNode,
        draft: &mut Trial<'_>,
    ) -> Result<()> {
        let labels = &self.guest.labels;
        if !labels.are_needed() {
            return Ok(());
        }
        let home = self.guest.real_home(self.user)?;
        let is_own = home.as_ref().is_some_and(|home| is_below(&node.path, home));
        let is_above_home = home.as_ref().is_some_and(|home| is_below(home, &node.path));
        let label = label_of(self.guest.fs, node.node)?;
        if label.is_none() && (is_above_home || !is_own) {
            let message = "it has no SELinux label, which sshd may not be allowed to pass";
            self.findings.push(Finding::warn(("selinux-file", "LOGIN-94"), &node.path, message));
            return Ok(());
        }
        let found = label.unwrap_or_else(|| b"::unlabeled_t".to_vec());
        // The directory of all homes has a label that no home may have.
        let is_root_of_homes = is_above_home && !is_own && type_of(&found) == b"home_root_t";
        if is_root_of_homes || !is_unreadable(&found, self.user.uid) {
            return Ok(());
        }
        let kind = node.metadata.kind;
        let wanted = labels.for_new(self.guest.fs, &node.path, kind, None)?;
        let found = crate::bytes::text::escape_limited(&found, 128);
        let id = ("selinux-file", "LOGIN-83");
        let message = format!("sshd may not read the SELinux label {found}");
        match wanted.into_iter().next() {
            Some(label) if is_own && (!is_above_home || self.request.fix) => {
                draft.own.label(node.path.clone(), label.name, label.value);
                let message = format!("{message} (repaired by this plan)");
                self.findings.push(Finding::info(id, &node.path, message));
            }
            _ if labels.mode == crate::login::selinux::Mode::Enforcing => {
                let finding = Finding::block(id, &node.path, message);
                self.findings.push(finding.fixed_by("restorecon, or an empty /.autorelabel"));
            }
            _ => self.findings.push(Finding::info(id, &node.path, message)),
        }
        Ok(())
    }
}
