//! `key add` and `key list` on Windows: the key files of its OpenSSH server (table WIN-T6, last row).
//!
//! Members of the administrators share one file, everybody else has one below the profile. The server ignores a
//! file that anybody else may change, so a new one gets a descriptor of its own (WIN-113).

use super::key_add::{KeyAddRequest, check_options};
use super::key_list::KeyList;
use super::{FileChange, Outcome, Plan, UserPlan};
use crate::error::{Error, Refusal, Result};
use crate::fs::path::{GuestPath, find};
use crate::fs::{FILE_BYTES_MAX, FileSystem, NTFS_ACL_NAME, NodeKind, Timestamp};
use crate::guest::select::UserChoice;
use crate::guest::windows::open_ssh::{KeySettings, key_file};
use crate::guest::windows::registry::Registry;
use crate::guest::windows::security::{
    FULL_CONTROL, NodeUse, READ_AND_EXECUTE, Sid, new_node, who_else_may_change,
};
use crate::guest::windows::users::{self, Profile, User};
use crate::guest::windows::{System, detect, hive_path};
use crate::login::authorized_keys::key_lines;
use crate::login::{Finding, dedup};

/// The rule of all this.
const RULE: &str = "WIN-T6";

/// Where keys of one user stand.
pub(super) struct Place {
    pub(super) user: User,
    pub(super) path: GuestPath,
    /// The account that may change the file besides the system and the administrators.
    owner: Option<Sid>,
}

/// A volume with an OpenSSH server.
pub(super) struct Server<'a> {
    pub(super) fs: &'a dyn FileSystem,
    pub(super) system: System,
    settings: KeySettings,
    administrators: Vec<Sid>,
    profiles: Vec<Profile>,
}

impl<'a> Server<'a> {
    pub(super) fn open(fs: &'a dyn FileSystem) -> Result<Self> {
        let system = detect(fs)?.ok_or_else(|| Error::not_found("a Windows system"))?;
        let sam = Registry::open(fs, &hive_path("SAM"))?;
        let administrators = users::administrators(&sam)?.unwrap_or_default();
        let profiles = users::profiles(&Registry::open(fs, &hive_path("SOFTWARE"))?)?;
        let settings = KeySettings::read(fs)?;
        Ok(Self { fs, system, settings, administrators, profiles })
    }

    /// Fails unless somebody can log in through the server after the next boot.
    fn check(&self) -> Result<()> {
        let reason = match &self.system.open_ssh {
            None => Some("it is not installed".to_owned()),
            Some(open_ssh) => open_ssh.reason_against(),
        };
        let reason = reason.or_else(|| {
            let off = "PubkeyAuthentication is off in sshd_config";
            (!self.settings.allows_keys).then(|| off.to_owned())
        });
        reason.map_or(Ok(()), |reason| Err(Refusal::NoSshServer { reason }.into()))
    }

    fn is_administrator(&self, user: &User) -> bool {
        user.rid == users::ADMINISTRATOR_RID
            || self.administrators.iter().any(|sid| sid.is_account() && sid.rid() == Some(user.rid))
    }

    /// The built-in administrator, or the users by name.
    pub(super) fn users(&self, choice: &UserChoice) -> Result<Vec<User>> {
        match choice {
            UserChoice::Default => Ok(vec![self.system.administrator().cloned().unwrap_or(User {
                name: "Administrator".to_owned(),
                rid: users::ADMINISTRATOR_RID,
            })]),
            UserChoice::Named(names) => names.iter().map(|name| self.user(name)).collect(),
            UserChoice::All => Err(Error::usage("on Windows name the users, with --user")),
        }
    }

    fn user(&self, name: &[u8]) -> Result<User> {
        let shown = crate::bytes::text::escape_limited(name, 64);
        let name = String::from_utf8_lossy(name).to_lowercase();
        let found = self.system.users.iter().find(|user| user.name.to_lowercase() == name);
        found.cloned().ok_or_else(|| {
            Error::not_found(format!(
                "no local user {shown} (users of a domain are not on this disk)"
            ))
        })
    }

    /// Where the keys of a user stand.
    pub(super) fn place(&self, user: &User) -> Result<Place> {
        let is_administrator = self.is_administrator(user);
        if let Some(line) = self.settings.unknown_lines.first() {
            let reason = format!("line {line} decides more than regain can evaluate");
            let path = crate::guest::windows::open_ssh::CONFIG.to_owned();
            return Err(Refusal::UnsuitableFile { path, reason }.into());
        }
        let settings = &self.settings;
        let value =
            if is_administrator { &settings.administrators_file } else { &settings.personal_file };
        let profile = self.profiles.iter().find(|profile| profile.sid.rid() == Some(user.rid));
        let path = key_file(value, profile.map(|profile| &profile.path)).ok_or_else(|| {
            let value = crate::bytes::text::escape_limited(value.as_bytes(), 128);
            let why = if profile.is_none() { " (the user has no profile yet)" } else { "" };
            let reason = format!("its key file {value} is no place on this volume{why}");
            let user = crate::bytes::text::escape_limited(user.name.as_bytes(), 64);
            Error::from(Refusal::WouldNotAccept { user, reason })
        })?;
        let is_personal =
            profile.is_some_and(|profile| path.as_bytes().starts_with(profile.path.as_bytes()));
        let owner = profile.filter(|_| is_personal).map(|profile| profile.sid.clone());
        Ok(Place { user: user.clone(), path, owner })
    }
}

/// Plans the edit.
///
/// # Errors
/// * `NotFound` - no Windows system, no such local user;
/// * `Usage` - no key, bad options, all users;
/// * `Refused` - no OpenSSH server that starts, a configuration that cannot be evaluated, a key file that is no
///   text;
/// * otherwise as the file system and the hives.
pub fn plan(fs: &dyn FileSystem, request: &KeyAddRequest) -> Result<Plan> {
    check_options(request.options.as_deref(), request.now)?;
    if request.keys.is_empty() {
        return Err(Error::usage("no key was given"));
    }
    let server = Server::open(fs)?;
    server.check()?;
    let mut plan = Plan::default();
    for user in server.users(&request.users)? {
        let place = server.place(&user)?;
        if plan.changes.iter().any(|change| *change.path() == place.path) {
            // Another administrator, and the same file.
            let (name, path) = (place.user.name.into_bytes(), Some(place.path));
            plan.users.push(UserPlan { name, path, outcome: Outcome::Changes, reason: None });
            continue;
        }
        plan_place(&server, &place, request, &mut plan)?;
    }
    tell(&server, &mut plan);
    dedup(&mut plan.findings);
    plan.findings.sort_by_key(|finding| finding.severity);
    Ok(plan)
}

fn plan_place(
    server: &Server<'_>,
    place: &Place,
    request: &KeyAddRequest,
    plan: &mut Plan,
) -> Result<()> {
    let found = find(server.fs, &place.path)?;
    let path = found.as_ref().map_or_else(|| place.path.clone(), |found| found.real_path.clone());
    let mut before = None;
    let mut unsafe_for: Vec<String> = Vec::new();
    if let Some(found) = found {
        let kind = server.fs.metadata(found.node)?.kind;
        if kind != NodeKind::File {
            return Err(unsuitable(&path, &format!("is a {kind}, not a key file")));
        }
        let content = server.fs.read(found.node, FILE_BYTES_MAX)?;
        if content.contains(&0) || content.starts_with(b"\xff\xfe") {
            return Err(unsuitable(&path, "is no UTF-8 text, and sshd does not read it"));
        }
        let trusted: Vec<Sid> = place.owner.iter().cloned().collect();
        if let Some(descriptor) = server.fs.xattr(found.node, NTFS_ACL_NAME)? {
            unsafe_for = who_else_may_change(&descriptor, &trusted)?;
        }
        before = Some(content);
    }
    let after = with_keys(before.as_deref().unwrap_or_default(), request);
    let mut reason = None;
    if !unsafe_for.is_empty() {
        let others = unsafe_for.join(", ");
        let message = format!("sshd ignores this file, because others may change it: {others}");
        let id = ("key-file-access", RULE);
        if request.fix {
            plan.findings.push(Finding::info(id, &path, format!("{message} (repaired)")));
        } else {
            let finding = Finding::block(id, &path, message);
            reason = Some(finding.to_string());
            plan.findings
                .push(finding.fixed_by("--fix makes the file anew, for administrators only"));
        }
    }
    let is_made_anew = request.fix && !unsafe_for.is_empty();
    let name = place.user.name.clone().into_bytes();
    let outcome = if reason.is_some() && !request.force {
        Outcome::Refused
    } else if before.as_ref() == Some(&after) && !is_made_anew {
        Outcome::AlreadyPresent
    } else {
        change(server, place, &path, before, after, is_made_anew, plan)?;
        Outcome::Changes
    };
    plan.users.push(UserPlan { name, path: Some(path), outcome, reason });
    Ok(())
}

/// Plans a new content of the file at `path`, and the directories that it needs.
fn change(
    server: &Server<'_>,
    place: &Place,
    path: &GuestPath,
    before: Option<Vec<u8>>,
    after: Vec<u8>,
    is_made_anew: bool,
    plan: &mut Plan,
) -> Result<()> {
    let further: Vec<(Sid, u32)> =
        place.owner.iter().map(|sid| (sid.clone(), FULL_CONTROL)).collect();
    let path = path.clone();
    let detail = "for the system and administrators only".to_owned();
    let before = match before {
        Some(_) if is_made_anew => {
            let detail = "made anew with a safe list of access".to_owned();
            plan.changes.push(FileChange::Remove { path: path.clone(), detail });
            None
        }
        before => before,
    };
    let Some(before) = before else {
        make_directory(server.fs, place, path.parent().as_ref(), plan)?;
        let new = new_node(NodeUse::File, &further)?;
        plan.changes.push(FileChange::CreateFile { path, new, content: after, detail });
        return Ok(());
    };
    let detail = "key added".to_owned();
    plan.changes.push(match after.strip_prefix(before.as_slice()) {
        Some(bytes) => FileChange::Append { path, bytes: bytes.to_vec(), detail },
        None => FileChange::Replace { path, content: after, detail },
    });
    Ok(())
}

/// Plans the directory of a key file, if it is missing; what is above it must be there.
fn make_directory(
    fs: &dyn FileSystem,
    place: &Place,
    path: Option<&GuestPath>,
    plan: &mut Plan,
) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    if find(fs, path)?.is_some() {
        return Ok(());
    }
    let above = path.parent().unwrap_or_else(GuestPath::root);
    if find(fs, &above)?.is_none() {
        return Err(unsuitable(&above, "is missing"));
    }
    let further = match &place.owner {
        Some(sid) => (sid.clone(), FULL_CONTROL),
        // As the server makes it at its first start.
        None => (Sid::authenticated_users(), READ_AND_EXECUTE),
    };
    let new = new_node(NodeUse::Directory, &[further])?;
    let detail = "as the OpenSSH server makes it".to_owned();
    plan.changes.push(FileChange::CreateDirectory { path: path.clone(), new, detail });
    Ok(())
}

fn tell(server: &Server<'_>, plan: &mut Plan) {
    let shared: Vec<GuestPath> =
        plan.users.iter().filter_map(|user| user.path.clone()).filter(is_shared).collect();
    for path in shared {
        let message = "every member of the administrators can log in with the keys in this file";
        plan.findings.push(Finding::warn(("key-file-shared", RULE), path, message));
    }
    if let Some(line) = server.settings.access_lines.first() {
        let subject = format!("{}:{line}", crate::guest::windows::open_ssh::CONFIG);
        let message = "lets in or keeps out users or groups: not evaluated";
        plan.findings.push(Finding::warn(("ssh-config", RULE), subject, message));
    }
    let message =
        "not decided here: the firewall of the system and of the cloud, the version of sshd";
    let name = server.system.full_name();
    plan.findings.push(Finding::info(("routes", RULE), name, message));
}

fn is_shared(path: &GuestPath) -> bool {
    path.as_bytes().to_ascii_lowercase().starts_with(b"/programdata/")
}

/// `content` with a line for every key that is not in it, in front of a line with other options.
fn with_keys(content: &[u8], request: &KeyAddRequest) -> Vec<u8> {
    let mut content = content.to_vec();
    let has_crlf = content.windows(2).any(|pair| pair == b"\r\n");
    let wanted = request.options.as_deref().map(str::as_bytes);
    for key in &request.keys {
        let same = key_lines(&content)
            .find(|line| line.blob == key.blob())
            .map(|line| (line.options == wanted, line.range.start));
        let at = match same {
            Some((true, _)) => continue,
            Some((false, start)) => start,
            None => content.len(),
        };
        let mut line = key.to_line(request.options.as_deref());
        if has_crlf {
            line.truncate(line.trim_ascii_end().len());
            line.extend(b"\r\n");
        }
        let tail = content.split_off(at);
        if content.last().is_some_and(|&byte| byte != b'\n') {
            content.extend(if has_crlf { b"\r\n".as_slice() } else { b"\n" });
        }
        content.extend(line);
        content.extend(tail);
    }
    content
}

fn unsuitable(path: &GuestPath, reason: &str) -> Error {
    Refusal::UnsuitableFile { path: path.to_string(), reason: reason.to_owned() }.into()
}

/// Lists the keys of the named users, or of the administrators and everybody with a profile.
///
/// # Errors
/// `NotFound` without a Windows system or such a user; `Limit` above the bound on keys; as the file system and
/// the hives.
pub fn list(fs: &dyn FileSystem, names: Option<&[Vec<u8>]>, now: Timestamp) -> Result<KeyList> {
    let server = Server::open(fs)?;
    let users = match names {
        Some(names) => server.users(&UserChoice::Named(names.to_vec()))?,
        None => server.system.users.clone(),
    };
    let mut list = KeyList::default();
    let mut seen = Vec::new();
    for user in users {
        let Ok(place) = server.place(&user) else { continue };
        // The file of the administrators is listed once, unless somebody is named.
        if names.is_none() && seen.contains(&place.path) {
            continue;
        }
        take_file(fs, &place, now, &mut list)?;
        seen.push(place.path);
    }
    if let Err(error) = server.check() {
        let name = server.system.full_name();
        list.findings.push(Finding::warn(("ssh-server", RULE), name, error.to_string()));
    }
    Ok(list)
}

fn take_file(fs: &dyn FileSystem, place: &Place, now: Timestamp, list: &mut KeyList) -> Result<()> {
    let Some(found) = find(fs, &place.path)? else { return Ok(()) };
    if fs.metadata(found.node)?.kind != NodeKind::File {
        return Ok(());
    }
    let content = fs.read(found.node, FILE_BYTES_MAX)?;
    list.take_lines(place.user.name.as_bytes(), &found.real_path, &content, now)
}
