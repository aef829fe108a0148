//! `regain key list`: every authorized key on a volume.

use super::args::KeyList as Args;
use super::edit_report;
use super::human::Table;
use super::output::{Outcome, Styles, Ui};
use super::target;
use crate::action::{key_list, windows_key};
use crate::error::{Context as _, Result};
use crate::guest::System;
use crate::login::{Finding, Severity};
use crate::report::Target;
use crate::report::change::Io;
use crate::report::keys::{Key, KeyList};
use crate::session::{Session, SessionVolume, clock};

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &Args) -> Outcome {
    let mut session = target::open(ui, &args.on, clock::now())?;
    let mut report_target = target::report(&session);
    let outcome = list_target(ui, args, &mut session, &mut report_target);
    outcome.map_err(|mut failure| {
        failure.volume = target::failed_volume(&session, report_target.volume_id.as_deref());
        failure
    })
}

fn list_target(ui: &Ui, args: &Args, session: &mut Session, report_target: &mut Target) -> Outcome {
    let index = target::choose(ui, session, args.on.volume.as_deref())?;
    let volume = session.volume_at(index)?;
    report_target.volume_id = Some(volume.volume.id.clone());
    let names: Vec<Vec<u8>> = args.user.iter().map(|name| name.clone().into()).collect();
    let listed = list(volume, (!names.is_empty()).then_some(names.as_slice()));
    let mut result = listed.context(|| session.target_name())?;
    result.io.bytes_read = session.bytes_read();
    for warning in &result.warnings {
        ui.warn(warning);
    }
    for finding in result.findings.iter().filter(|finding| finding.severity == "info") {
        ui.note(&format!("{}: {} ({})", finding.subject, finding.message, finding.rule));
    }
    ui.finish("key list", report_target, &result, || text(&result, ui.styles))?;
    Ok(())
}

/// The keys of the users called `names`, or of all, on an open volume.
pub(super) fn list(volume: &SessionVolume, names: Option<&[Vec<u8>]>) -> Result<KeyList> {
    let listed = volume.read(|open| match &open.system {
        Ok(Some(System::Windows(_))) => windows_key::list(open.file_system(), names, clock::now()),
        _ => key_list::list(open.file_system(), names, clock::now()),
    })?;
    let is_warning = |finding: &&Finding| finding.severity != Severity::Info;
    Ok(KeyList {
        keys: listed.keys.into_iter().map(key).collect(),
        warnings: listed.findings.iter().filter(is_warning).map(ToString::to_string).collect(),
        findings: listed.findings.iter().map(edit_report::finding).collect(),
        io: Io::default(),
    })
}

fn key(listed: key_list::ListedKey) -> Key {
    Key {
        user: listed.user.into(),
        path: listed.path.as_bytes().into(),
        line: listed.line,
        key_type: listed.key_type.to_owned(),
        bits: listed.bits,
        fingerprint: listed.fingerprint,
        md5: listed.md5,
        is_authority: listed.is_authority,
        counts: listed.counts,
        reason: listed.reason,
        comment: listed.comment.into(),
        options: listed.options.unwrap_or_default().into(),
    }
}

fn text(listed: &KeyList, styles: Styles) -> String {
    if listed.keys.is_empty() {
        return "no authorized keys\n".to_owned();
    }
    table(&listed.keys).render(0, styles.faint)
}

/// The keys for people, a line each; with a column of notes if one of them needs it.
pub(super) fn table(keys: &[Key]) -> Table {
    let names = ["USER", "TYPE", "BITS", "FINGERPRINT", "COMMENT", "OPTIONS", "PLACE", "NOTE"];
    let has_notes = keys.iter().any(|key| !note(key).is_empty());
    let (plain, _) = names.split_at(names.len().saturating_sub(1));
    let mut table = Table::new(if has_notes { &names } else { plain });
    for key in keys {
        let [user, key_type, bits, fingerprint, comment, options, place] = cells(key);
        if has_notes {
            let note = note(key);
            table.row([user, key_type, bits, fingerprint, comment, options, place, note]);
        } else {
            table.row([user, key_type, bits, fingerprint, comment, options, place]);
        }
    }
    table
}

fn cells(key: &Key) -> [String; 7] {
    [
        key.user.escaped(),
        key.key_type.clone(),
        key.bits.map(|bits| bits.to_string()).unwrap_or_default(),
        key.fingerprint.clone(),
        key.comment.escaped(),
        key.options.escaped(),
        format!("{}:{}", key.path.escaped(), key.line),
    ]
}

/// What sets a line apart from a plain key.
fn note(key: &Key) -> String {
    match (&key.reason, key.is_authority, key.counts) {
        (_, true, _) => "certificate authority".to_owned(),
        (Some(reason), false, true) => reason.clone(),
        (Some(reason), false, false) => format!("does not count: {reason}"),
        (None, false, _) => String::new(),
    }
}
