//! `key add`: puts public keys where sshd will honour them (linux-login.md, section 16).
//!
//! The plan is made from bytes only and changes nothing. Each user is a result of its own (LOGIN-137); what sshd
//! would refuse is reported, and nothing changes for that user unless the caller forces it.

use super::draft::{Draft, Trial, insert_line};
use super::fix_login::{self, Also, Repairs};
use super::key_feed;
use super::key_place::{Place, find_place};
use super::plan::{Outcome, Plan, UserPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, FileSystem, Timestamp};
use crate::guest::linux::{User, detect};
use crate::guest::select::{self, UserChoice};
use crate::login::finding::{Finding, Severity};
use crate::login::key_options::{Authority, KeyOptions};
use crate::login::key_walk::{Hit, Question, walk};
use crate::login::way::{Obstacle, Repair};
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
    /// Repair this as well, which changes a policy or a lock.
    pub fix_also: BTreeSet<Also>,
    /// Change files even for users whose key would not be accepted.
    pub force: bool,
    /// The date that decides expiry, and nothing else.
    pub now: Timestamp,
}

impl KeyAddRequest {
    /// A request without options, repairs and force.
    pub fn new(users: UserChoice, keys: Vec<PublicKey>, now: Timestamp) -> Self {
        let fix_also = BTreeSet::new();
        Self { users, keys, options: None, fix: false, fix_also, force: false, now }
    }
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
    plan.changes = draft.into_changes();
    key_feed::add(&guest, &users, request, &mut plan)?;
    dedup(&mut plan.findings);
    plan.findings.sort_by_key(|finding| finding.severity);
    Ok(plan)
}

/// A key that nobody has, to ask what would become of one.
pub fn trial_key() -> Option<PublicKey> {
    let name = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice();
    PublicKey::new([name, &[0; 32]].concat(), "").ok()
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

fn has_command(options: &str) -> bool {
    KeyOptions::parse(options.as_bytes()).is_ok_and(|options| options.has_command)
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
        let has_command = request.options.as_deref().is_some_and(has_command);
        if let Some(place) = login.needs_command.as_ref().filter(|_| !has_command) {
            let message = "PermitRootLogin forced-commands-only: the line needs a command=";
            let finding = Finding::block(("conf-root", "LOGIN-63"), place, message);
            findings.push(finding.fixed_by("set it to prohibit-password"));
        }
        Ok(Self { guest, user, request, login, findings })
    }

    fn plan(mut self, draft: &mut Draft) -> Result<(UserPlan, Vec<Finding>)> {
        let mut tried = Trial::on(draft);
        let (guest, user) = (self.guest, self.user);
        let repairs =
            Repairs { guest, user, is_on: self.request.fix, also: &self.request.fix_also };
        repairs.apply(&mut self.findings, &mut tried)?;
        let place = find_place(self.guest, self.user, &self.login, self.request.fix, draft)?;
        let used = self.add_keys(&place, &mut tried)?;
        for path in &used.paths {
            self.check_way(path, &mut tried)?;
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

    /// Finds the line that decides (LOGIN-39, LOGIN-118, LOGIN-121, LOGIN-122).
    fn step(&mut self, key: &PublicKey, place: &Place, draft: &Trial<'_>) -> Result<Step> {
        // The target itself is repaired, or its defects are the result.
        let walk = walk(&Question {
            guest: self.guest,
            user: self.user,
            blob: key.blob(),
            files: &self.login.files,
            is_strict: self.login.is_strict,
            target: place.path.as_ref(),
            planned: &|path| draft.content(path).map(<[u8]>::to_vec),
        })?;
        self.findings.extend(walk.notes);
        self.findings.extend(walk.unknown);
        for (path, reason) in walk.unread.iter().filter(|(_, reason)| reason.is_blocking()) {
            let message = format!("the key is in it, but sshd does not read it: {reason}");
            self.findings.push(Finding::warn(("key-line", "LOGIN-51"), path, message));
        }
        for hit in &walk.hits {
            let Some(is_present) = self.decides(hit) else { continue };
            let path = hit.path.clone();
            self.describe_on_volume(&path)?;
            if is_present {
                return Ok(Step::Present { path });
            }
            if hit.is_shared {
                let message = "a line in this file, which all users share, decides first";
                let id = ("key-shadowed", "LOGIN-42");
                self.findings.push(Finding::block(id, &path, message));
                return Ok(Step::Append);
            }
            return Ok(Step::Insert { at: hit.range.start, path });
        }
        Ok(Step::Append)
    }

    /// Whether a line with the key decides: `Some(true)` if it is what was asked for, `Some(false)` if a line must
    /// go before it, `None` if sshd goes on.
    fn decides(&mut self, hit: &Hit) -> Option<bool> {
        let subject = hit.place();
        let wanted = self.request.options.as_deref().map(str::as_bytes);
        if wanted.is_some() && hit.options.as_deref() == wanted {
            return Some(true);
        }
        if !hit.limits.is_empty() || wanted.is_some() {
            let what =
                if hit.limits.is_empty() { "other options".into() } else { hit.limits.join(", ") };
            let message = format!("this line with the key has {what}; the new line goes before it");
            self.findings.push(Finding::info(("key-shadowed", "LOGIN-42"), subject, message));
            return Some(false);
        }
        if hit.is_conditional {
            let notes = hit.doubts.iter().filter(|doubt| doubt.rule == "LOGIN-40").cloned();
            let info = |doubt| Finding { severity: Severity::Info, is_undecided: false, ..doubt };
            self.findings.extend(notes.map(info));
            return None;
        }
        self.findings.extend(hit.doubts.iter().cloned());
        if hit.options.is_some() {
            let message = "the key is there with options that do not keep it from a shell";
            self.findings.push(Finding::info(("key-line", "LOGIN-121"), subject, message));
        }
        Some(true)
    }

    /// Describes a file that is there already.
    fn describe_on_volume(&mut self, path: &GuestPath) -> Result<()> {
        let fs = self.guest.fs;
        let Some(found) = find(fs, path)? else { return Ok(()) };
        let metadata = fs.metadata(found.node)?;
        let content = fs.read(found.node, FILE_BYTES_MAX)?;
        self.describe(path, &content, metadata.link_count);
        Ok(())
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

    /// Everything on the way to the file, and its repair.
    fn check_way(&mut self, path: &GuestPath, draft: &mut Trial<'_>) -> Result<()> {
        let also_immutable = self.request.fix_also.contains(&Also::Immutable);
        for obstacle in self.guest.way(self.user, path, self.login.is_strict)? {
            let Obstacle { mut finding, node, repair, is_automatic } = obstacle;
            let is_changed = node.as_ref().is_some_and(|node| draft.own.touches(node));
            if finding.check == "immutable" && is_changed && !also_immutable {
                finding.severity = Severity::Block;
                fix_login::offer(&mut finding, "writes it all the same; the flag stays");
            }
            let may_repair = is_automatic || self.request.fix;
            let what_repair = repair.as_ref().map(ToString::to_string);
            if let Some((node, repair)) = node.zip(repair).filter(|_| may_repair) {
                let what = repair.to_string();
                match repair {
                    Repair::Metadata(change) => draft.own.metadata(node, change),
                    Repair::Label(label) => draft.own.label(node, label.name, label.value),
                }
                fix_login::repaired(&mut finding, &what);
            } else if let Some(what) = what_repair {
                fix_login::offer(&mut finding, &what);
            }
            self.findings.push(finding);
        }
        Ok(())
    }
}
