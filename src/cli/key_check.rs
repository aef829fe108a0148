//! `regain key check`: would sshd let this user in with this key?

use super::args::KeyCheck as Args;
use super::hints::shell_word;
use super::human::{add, styled};
use super::key_add::options_that_help;
use super::output::{Failure, Outcome, Styles, Ui};
use super::{edit_report, keys, target};
use crate::action::key_add::{self, KeyAddRequest};
use crate::action::key_check::{self, JudgedKey, KeyCheckRequest, UserCheck};
use crate::bytes::text::escape_limited;
use crate::error::{Context as _, Error, Refusal, Result};
use crate::fs::path::GuestPath;
use crate::guest::System;
use crate::guest::select::UserChoice;
use crate::login::{Finding, NOT_SEEN, Verdict};
use crate::report::Target;
use crate::report::change::Io;
use crate::report::check::{CheckedKey, KeyCheck};
use crate::session::{OpenVolume, Session, SessionVolume, clock};

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &Args) -> Outcome {
    let public_keys = keys::read_public_keys(ui, &args.key)?;
    let now = clock::edit_time(false)?;
    let user = args.user.as_ref().map(|user| user.clone().into());
    let request = KeyCheckRequest { user, keys: public_keys, now };
    let mut session = target::open(ui, &args.on, now)?;
    let mut report_target = target::report(&session);
    let outcome = Check { ui, args, request }.run(&mut session, &mut report_target);
    outcome.map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure.target.get_or_insert(report_target);
        failure
    })
}

/// One run of the command.
struct Check<'a> {
    ui: &'a Ui,
    args: &'a Args,
    request: KeyCheckRequest,
}

impl Check<'_> {
    fn run(&self, session: &mut Session, report_target: &mut Target) -> Outcome {
        let index = target::choose(self.ui, session, self.args.on.volume.as_deref())?;
        let volume = session.volume_at(index)?;
        report_target.volume_id = Some(volume.volume.id.clone());
        for warning in volume.warnings() {
            self.ui.warn(&warning);
        }
        let found = volume.read(|open| check_on(open, &self.request));
        let found = found.context(|| session.target_name())?;
        let mut result = report(&found, self.request.now);
        result.io = Io { bytes_read: session.bytes_read(), bytes_written: 0 };
        let text = || text(&found, &result, self.ui.styles);
        let Some(error) = refusal(&found) else {
            return Ok(self.ui.finish("key check", report_target, &result, text)?);
        };
        if !self.ui.is_json() {
            self.ui.print(&text())?;
        }
        let failure = Failure::from(error).hint(self.way_out(session, volume, &found));
        Err(Box::new(failure.with_result(&result)?))
    }

    /// The next command against a refusal.
    fn way_out(&self, session: &Session, volume: &SessionVolume, found: &UserCheck) -> String {
        let target = super::disks::session_arguments(session);
        let user = shell_word(&escape_limited(&found.user, 64));
        if found.verdict == Verdict::Unknown {
            return "look at what it depends on; nothing on this volume decides it".to_owned();
        }
        let key = match self.args.key.as_slice() {
            [] => "FILE".to_owned(),
            [key, ..] => shell_word(&super::shown(key)),
        };
        let add = format!("regain key add {target} --user {user} --key {key}");
        match self.repair(volume, found).as_deref() {
            Some("") => format!("`{add}` puts the key where it counts"),
            Some(options) => format!("`{add} {options}` repairs what is in the way"),
            None => format!("`regain inspect {target}` shows the users and every other way in"),
        }
    }

    /// The options with which `key add` leads to a login, if any do.
    fn repair(&self, volume: &SessionVolume, found: &UserCheck) -> Option<String> {
        let mut keys = self.request.keys.clone();
        if keys.is_empty() {
            keys.push(key_add::trial_key()?);
        }
        let users = UserChoice::Named(vec![found.user.clone()]);
        let request = KeyAddRequest::new(users, keys, self.request.now);
        let plan = |request: &KeyAddRequest| {
            volume.read(|open| key_add::plan(open.file_system(), request))
        };
        options_that_help(&plan, &request)
    }
}

fn check_on(open: &OpenVolume, request: &KeyCheckRequest) -> Result<UserCheck> {
    if let Ok(Some(System::Windows(_))) = &open.system {
        return Err(Error::unsupported("key check of a Windows system"));
    }
    key_check::check(open.file_system(), request)
}

/// The error behind any answer but yes.
fn refusal(found: &UserCheck) -> Option<Error> {
    let of_keys = found.keys.iter().flat_map(|key| &key.check.findings);
    let mut all = found.findings.iter().chain(of_keys);
    let user = escape_limited(&found.user, 64);
    let reason = |finding: Option<&Finding>| {
        finding.map_or_else(|| "see the reasons".to_owned(), ToString::to_string)
    };
    match found.verdict {
        Verdict::Accepted => None,
        Verdict::Refused => {
            let reason = reason(all.find(|finding| finding.is_blocking()));
            Some(Refusal::WouldNotAccept { user, reason }.into())
        }
        Verdict::Unknown => {
            let reason = reason(all.find(|finding| finding.is_undecided));
            Some(Refusal::NotDecided { user, reason }.into())
        }
    }
}

fn report(found: &UserCheck, now: crate::fs::Timestamp) -> KeyCheck {
    let date: String = clock::utc(now).chars().take_while(|&letter| letter != 'T').collect();
    let of_keys = found.keys.iter().flat_map(|key| &key.check.findings);
    let mut findings: Vec<Finding> = found.findings.iter().chain(of_keys).cloned().collect();
    crate::login::dedup(&mut findings);
    findings.sort_by_key(|finding| (finding.severity, !finding.is_undecided));
    KeyCheck {
        verdict: found.verdict.name(),
        user: found.user.clone().into(),
        date,
        findings: findings.iter().map(edit_report::finding).collect(),
        keys: found.keys.iter().map(key).collect(),
        not_seen: NOT_SEEN.to_vec(),
        io: Io::default(),
    }
}

fn key(judged: &JudgedKey) -> CheckedKey {
    let (path, line) = judged.place.clone().unzip();
    CheckedKey {
        verdict: judged.check.verdict.name(),
        fingerprint: judged.fingerprint.clone(),
        key_type: judged.shape.key_type.to_owned(),
        bits: judged.shape.bits,
        comment: judged.comment.clone().into(),
        path: path.as_ref().map(GuestPath::as_bytes).map(Into::into),
        line,
        findings: judged.check.findings.iter().map(edit_report::finding).collect(),
    }
}

/// The verdict first, then every reason.
fn text(found: &UserCheck, result: &KeyCheck, styles: Styles) -> String {
    let mut text = format!("{}: {}", word(found.verdict, styles), result.user.escaped());
    match found.keys.as_slice() {
        [only] => add(&mut text, format_args!(" with {}\n", described(only))),
        [] => text.push('\n'),
        several => add(&mut text, format_args!(", {} keys\n", several.len())),
    }
    text.push_str(&reasons(&found.findings, 2, styles));
    for judged in &found.keys {
        if found.keys.len() > 1 {
            let verdict = word(judged.check.verdict, styles);
            add(&mut text, format_args!("  {verdict}: {}\n", described(judged)));
        }
        let indent = if found.keys.len() > 1 { 4 } else { 2 };
        text.push_str(&reasons(&judged.check.findings, indent, styles));
    }
    add(&mut text, format_args!("date: {} UTC\n", result.date));
    add(&mut text, format_args!("not seen here: {}\n", NOT_SEEN.join("; ")));
    text
}

fn word(verdict: Verdict, styles: Styles) -> String {
    let style = match verdict {
        Verdict::Accepted => styles.good,
        Verdict::Refused => styles.bad,
        Verdict::Unknown => styles.warning,
    };
    styled(style, verdict)
}

fn described(judged: &JudgedKey) -> String {
    let comment = escape_limited(&judged.comment, 64);
    let comment = if comment.is_empty() { String::new() } else { format!(" {comment}") };
    let place = judged.place.as_ref().map(|(path, line)| format!(", {path}:{line}"));
    let place = place.unwrap_or_default();
    format!("{} {}{comment}{place}", judged.shape.key_type, judged.fingerprint)
}

/// A line for each reason, and one for what repairs it.
fn reasons(findings: &[Finding], indent: usize, styles: Styles) -> String {
    let mut text = String::new();
    let margin = " ".repeat(indent);
    for finding in findings {
        let (style, word) = match (finding.is_blocking(), finding.is_undecided) {
            (true, _) => (styles.bad, "against"),
            (false, true) => (styles.warning, "unknown"),
            (false, false) => (styles.faint, finding.severity.name()),
        };
        let word = styled(style, format_args!("{word:<7}"));
        add(&mut text, format_args!("{margin}{word}  {finding} [{}]\n", finding.check));
        if let Some(fix) = &finding.fix {
            add(&mut text, format_args!("{margin}         fix: {fix}\n"));
        }
    }
    text
}
