//! What is told of an edit: the question before it, and the parts of its report.

use super::disks::Disks;
use super::human::{self, add, count};
use super::show;
use crate::action::{FileChange, UserPlan};
use crate::bytes::arith::len_u64;
use crate::fs::path::GuestPath;
use crate::login::Finding;
use crate::patch::Patch;
use crate::report::change::{self, Change};
use crate::session::Session;
use std::path::Path;

/// What is asked before the first write.
pub(super) fn question(
    disks: &Disks<'_>,
    system: Option<String>,
    patch: &Patch,
    result: &Change,
    undo_path: Option<&Path>,
) -> String {
    let mut text = format!("About to write to {}, ", disks.name());
    let system = system.map(|system| format!(" ({system})")).unwrap_or_default();
    add(&mut text, format_args!("volume {}{system}:\n", result.volume_id));
    text.push_str(&show::file_lines(&result.changes));
    add(
        &mut text,
        format_args!(
            "  {} in {}, verified by {}\n",
            count(patch.bytes_changed(), "byte"),
            count(len_u64(patch.runs().len()), "range"),
            result.verified_by.as_deref().unwrap_or("nobody")
        ),
    );
    match undo_path {
        Some(path) => add(&mut text, format_args!("  undo file: {}\n", super::shown(path))),
        None => text.push_str("  no undo file, as asked for\n"),
    }
    text
}

/// One line about the bytes of a change.
pub(super) fn bytes_line(result: &Change) -> String {
    let Some(patch) = &result.patch else { return String::new() };
    let reader = result.verified_by.as_deref().unwrap_or("nobody");
    let mut text = format!(
        "  {} in {}, verified by {reader}",
        count(patch.bytes_changed, "byte"),
        count(patch.runs, patch.unit)
    );
    if result.io.bytes_written > 0 {
        let written = human::size(result.io.bytes_written);
        add(&mut text, format_args!("; {written} written, read back and compared"));
    }
    text.push('\n');
    text
}

/// What is to be said of the images before an edit.
pub(super) fn image_warnings(session: &Session) -> impl Iterator<Item = String> {
    session.disks().flat_map(|disk| {
        let name = super::shown(&disk.image.path);
        disk.image.warnings.iter().map(move |warning| format!("{name}: {warning}"))
    })
}

/// A user for the report.
pub(super) fn user(plan: &UserPlan) -> change::ChangedUser {
    change::ChangedUser {
        name: plan.name.clone().into(),
        outcome: plan.outcome.name(),
        reason: plan.reason.clone(),
        verdict: None,
        path: plan.path.as_ref().map(GuestPath::as_bytes).unwrap_or_default().into(),
    }
}

/// A changed file for the report.
pub(super) fn file_change(change: &FileChange) -> change::FileChange {
    change::FileChange {
        path: change.path().as_bytes().into(),
        action: change.action_name().to_owned(),
        detail: change.detail().to_owned(),
    }
}

/// A finding for the report.
pub(super) fn finding(finding: &Finding) -> change::Finding {
    change::Finding {
        rule: finding.rule.to_owned(),
        check: finding.check,
        severity: finding.severity.name(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
        fix: finding.fix.clone(),
        undecided: finding.is_undecided,
    }
}
