//! Repairs of the configuration of sshd: one line in a place where it wins (LOGIN-144, LOGIN-145).
//!
//! The first value counts, so the line goes into a drop-in that is read before everything else, or to the very
//! top of the main file. A value that a matching Match block sets beats both: that is reported, not changed.

use super::{Answer, Repairs};
use crate::action::draft::{Trial, insert_line};
use crate::bytes::text::escape_limited;
use crate::error::Result;
use crate::fs::path::{GuestPath, find, read_file};
use crate::fs::{NewNode, NodeKind};
use crate::guest::linux::text::TEXT_BYTES_MAX;
use crate::login::finding::Finding;
use crate::login::pattern::{expand, is_glob};
use crate::login::selinux::{LABEL_NAME, label_of};
use crate::login::sshd_config::Directive;

/// The main files in sshd's order (LOGIN-10).
const MAIN_FILES: [&str; 2] = ["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config"];
/// Our own drop-in.
const DROP_IN: &str = "00-regain.conf";
/// Why a value in a Match block stays.
const IN_MATCH: &str = "a Match block sets it, which only an edit of that block can change";
/// Why an option of the unit stays (LOGIN-11).
const ON_COMMAND_LINE: &str = "an option of the command line sets it: edit the unit of sshd";
/// Names that stand in a configuration without quotes.
const PLAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

impl Repairs<'_> {
    /// Gives `keyword` the value `value`.
    pub(super) fn set_keyword(
        &self,
        keyword: &str,
        value: &str,
        draft: &mut Trial<'_>,
    ) -> Result<Answer> {
        let lower = keyword.to_ascii_lowercase();
        let settings = self.guest.settings(self.user);
        let deciding = settings.iter().filter_map(|effective| effective.first(&lower));
        let deciding: Vec<_> = deciding.collect();
        if deciding.iter().any(|directive| !directive.is_global()) {
            return Ok(Answer::No(Some(IN_MATCH)));
        }
        if deciding.iter().any(|directive| directive.is_command_line) {
            return Ok(Answer::No(Some(ON_COMMAND_LINE)));
        }
        let before = deciding.first().map_or_else(
            || format!("the default of {keyword}"),
            |directive| {
                let words = directive.arguments.join(b" ".as_slice());
                format!("{keyword} {}", escape_limited(&words, 128))
            },
        );
        let line = format!("{keyword} {value}");
        let place = self.add_line(&line, draft)?;
        Ok(place.map_or(Answer::No(None), |place| {
            Answer::becomes(&before, &format!("{line} in {place}"))
        }))
    }

    /// Extends AllowUsers, if that is what keeps the user out.
    pub(super) fn allow_user(&self, finding: &Finding, draft: &mut Trial<'_>) -> Result<Answer> {
        let settings = self.guest.settings(self.user);
        let lists = settings.iter().map(|effective| effective.all("allowusers"));
        let lists: Vec<_> = lists.filter(|list| !list.is_empty()).collect();
        let is_about = |list: &Vec<&Directive>| list.first().map(|d| d.place.to_string());
        if !lists.iter().any(|list| is_about(list).is_some_and(|place| place == finding.subject)) {
            return Ok(Answer::No(Some("no added line overrides this one: edit it")));
        }
        if lists.iter().flatten().any(|directive| !directive.is_global()) {
            return Ok(Answer::No(Some(IN_MATCH)));
        }
        let name = &self.user.name;
        if name.is_empty() || !name.iter().all(|byte| PLAIN.contains(byte)) {
            return Ok(Answer::No(Some("the name of the user cannot stand in such a list")));
        }
        let line = format!("AllowUsers {}", self.user.display_name());
        let place = self.add_line(&line, draft)?;
        let added = |place| Answer::Done(format!("{line} is added in {place}"));
        Ok(place.map_or(Answer::No(None), added))
    }

    /// Lifts what takes the place of a shell: the keyword whose line the finding is about.
    pub(super) fn lift_force(&self, finding: &Finding, draft: &mut Trial<'_>) -> Result<Answer> {
        let keywords =
            [("ForceCommand", "none"), ("ChrootDirectory", "none"), ("PermitTTY", "yes")];
        let settings = self.guest.settings(self.user);
        for (keyword, value) in keywords {
            let lower = keyword.to_ascii_lowercase();
            let mut deciding = settings.iter().filter_map(|effective| effective.first(&lower));
            if deciding.any(|directive| directive.place.to_string() == finding.subject) {
                return self.set_keyword(keyword, value, draft);
            }
        }
        Ok(Answer::No(None))
    }

    /// Puts `line` where it is read first, and says where that is; `None` if there is no such place.
    fn add_line(&self, line: &str, draft: &mut Trial<'_>) -> Result<Option<GuestPath>> {
        let Some((path, new)) = self.place(draft)? else { return Ok(None) };
        let stored = read_file(self.guest.fs, &path, TEXT_BYTES_MAX)?;
        let planned = draft.content(&path).map(<[u8]>::to_vec);
        let mut content = planned.or_else(|| stored.clone()).unwrap_or_default();
        let text = format!("{line}\n");
        let is_there = content.split_inclusive(|&byte| byte == b'\n').any(|l| l == text.as_bytes());
        if !is_there {
            insert_line(&mut content, 0, text.as_bytes())?;
            draft.own.file(path.clone(), stored, new, content, vec![format!("adds {line}")]);
        }
        Ok(Some(path))
    }

    /// The file whose first line wins: a drop-in, new or our own, or else the main file. Real path, and how it is
    /// made if it is new; `None` without any configuration.
    fn place(&self, draft: &Trial<'_>) -> Result<Option<(GuestPath, NewNode)>> {
        let fs = self.guest.fs;
        let mains = match &self.guest.config.daemon.command_line.config_file {
            Some(named) => named.iter().cloned().collect(),
            None => MAIN_FILES.map(GuestPath::new).to_vec(),
        };
        for main in mains {
            let Some(found) = find(fs, &main)? else { continue };
            let content = fs.read(found.node, TEXT_BYTES_MAX)?;
            let drop_in = match first_include(&content) {
                Some(pattern) => self.drop_in(&pattern, draft)?,
                None => None,
            };
            let Some(path) = drop_in else {
                return Ok(Some((found.real_path, NewNode::default())));
            };
            let mut xattrs = self.guest.labels.for_new(fs, &path, NodeKind::File, None)?;
            if xattrs.is_empty()
                && self.guest.labels.are_needed()
                && let Some(mut value) = label_of(fs, found.node)?
            {
                value.push(0);
                xattrs.push(crate::fs::Xattr { name: LABEL_NAME.to_vec(), value });
            }
            return Ok(Some((path, NewNode { mode: 0o600, uid: 0, gid: 0, xattrs })));
        }
        Ok(None)
    }

    /// Our drop-in under `pattern`, as in `/etc/ssh/sshd_config.d/*.conf`; `None` if it would not be read first.
    fn drop_in(&self, pattern: &GuestPath, draft: &Trial<'_>) -> Result<Option<GuestPath>> {
        let directory = pattern.parent().unwrap_or_else(GuestPath::root);
        if pattern.file_name() != b"*.conf" || is_glob(directory.as_bytes()) {
            return Ok(None);
        }
        let fs = self.guest.fs;
        let Some(found) = find(fs, &directory)? else { return Ok(None) };
        if fs.metadata(found.node)?.kind != NodeKind::Directory {
            return Ok(None);
        }
        let path = found.real_path.join(DROP_IN);
        let others = expand(fs, pattern)?;
        let is_first = others.iter().all(|other| other.file_name() >= DROP_IN.as_bytes());
        let is_ours = others.iter().any(|other| other.file_name() == DROP_IN.as_bytes());
        let is_free = is_ours || draft.content(&path).is_some() || find(fs, &path)?.is_none();
        Ok((is_first && is_free).then_some(path))
    }
}

/// The first pattern of an Include that is the first directive of `content`. A line that is written in an unusual
/// way counts as something else: then the main file takes the line, which is as good.
fn first_include(content: &[u8]) -> Option<GuestPath> {
    let lines = content.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with(b"#"))?;
    let mut words = first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let is_include = words.next()?.eq_ignore_ascii_case(b"include");
    let pattern = words.next().filter(|word| is_include && !word.contains(&b'"'))?;
    Some(if pattern.starts_with(b"/") {
        GuestPath::new(pattern)
    } else {
        GuestPath::new("/etc/ssh").join(pattern)
    })
}
