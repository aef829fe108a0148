//! `regain show`: what a patch changes, file by file and byte range by byte range.

use super::args::Show;
use super::directory;
use super::human::{self, Table, add, count, styled};
use super::output::{Outcome, Styles, Ui};
use crate::patch::{self, AnyPatch, Patch};
use crate::report::Target;
use crate::report::change::FileChange;
use crate::report::patch::{DiskIdentity, File, Identity, Run, Shown, VolumeIdentity};

/// Ranges that are listed without `-v`.
const RUNS_SHOWN_MAX: usize = 20;

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &Show) -> Outcome {
    let patch = match patch::load_any(&args.patch)? {
        AnyPatch::Bytes(patch) => patch,
        AnyPatch::Files(patch) => {
            return directory::show::run(ui, &super::shown(&args.patch), &patch);
        }
    };
    let result = report(&super::shown(&args.patch), &patch);
    let target = Target { size_bytes: Some(result.identity.size_bytes), ..Target::default() };
    ui.finish("show", &target, &result, || text(&result, ui.styles, ui.is_verbose()))?;
    Ok(())
}

fn report(path: &str, patch: &Patch) -> Shown {
    let description = patch.description();
    let identity = &description.identity;
    let run = |run: &patch::Run| {
        let (number, offset_bytes) = patch::parts::locate(identity, run.offset_bytes);
        Run {
            disk: (!identity.parts.is_empty()).then(|| number.saturating_add(1)),
            offset_bytes,
            size_bytes: run.len_bytes(),
            bytes_differing: run.bytes_changed(),
            labels: run.labels.clone(),
        }
    };
    let disk = |part: &patch::PartIdentity| DiskIdentity {
        path: part.name.clone(),
        size_bytes: part.size_bytes,
        table_guid: part.table_guid.clone(),
    };
    let volume = |volume: &patch::VolumeIdentity| VolumeIdentity {
        id: volume.id.clone(),
        offset_bytes: volume.offset_bytes,
        file_system: volume.file_system.clone(),
        uuid: volume.uuid.clone(),
    };
    Shown {
        path: path.to_owned(),
        made_by: description.regain_version.clone(),
        created: description.created.clone(),
        command: description.command.clone(),
        identity: Identity {
            size_bytes: identity.size_bytes,
            table_guid: identity.table_guid.clone(),
            volumes: identity.volumes.iter().map(volume).collect(),
            disks: identity.parts.iter().map(disk).collect(),
            directory: None,
        },
        files: description.files.iter().map(file).collect(),
        bytes_changed: patch.bytes_changed(),
        bytes_written: patch.len_bytes(),
        runs: patch.runs().iter().map(run).collect(),
        objects: Vec::new(),
    }
}

fn text(shown: &Shown, styles: Styles, is_verbose: bool) -> String {
    let mut text = format!(
        "{}: \"{}\" by regain {}, {}\n",
        styled(styles.strong, &shown.path),
        shown.command,
        shown.made_by,
        shown.created
    );
    text.push_str(&disks_text(&shown.identity));
    for volume in &shown.identity.volumes {
        add(&mut text, format_args!("  volume {}: {}", volume.id, volume.file_system));
        if let Some(uuid) = &volume.uuid {
            add(&mut text, format_args!(" {uuid}"));
        }
        text.push('\n');
    }
    text.push_str("\nFiles\n");
    let is_spread = shown.identity.volumes.len() > 1;
    for file in &shown.files {
        let volume = format!("{} (on volume {})", file.path, file.volume_id);
        let path = if is_spread { &volume } else { &file.path };
        text.push_str(&line(&file.action, path, &file.detail));
    }
    add(
        &mut text,
        format_args!(
            "\nBytes: {} differ, in {} of together {}\n",
            count(shown.bytes_changed, "byte"),
            count(crate::bytes::arith::len_u64(shown.runs.len()), "range"),
            human::size(shown.bytes_written)
        ),
    );
    text.push_str(&ranges(shown, styles, is_verbose));
    text
}

/// What the patch is for.
fn disks_text(identity: &Identity) -> String {
    let guid = |guid: &Option<String>| {
        guid.as_ref().map(|guid| format!(" with GUID {guid}")).unwrap_or_default()
    };
    if identity.disks.is_empty() {
        let size = exact_size(identity.size_bytes);
        return format!("for a disk of {size}{}\n", guid(&identity.table_guid));
    }
    let mut text = format!("for {} disks\n", identity.disks.len());
    for (number, disk) in (1..).zip(&identity.disks) {
        let size = exact_size(disk.size_bytes);
        let guid = guid(&disk.table_guid);
        add(&mut text, format_args!("  disk {number}: {}, {size}{guid}\n", disk.path));
    }
    text
}

fn file(note: &patch::FileNote) -> File {
    File {
        volume_id: note.volume.clone(),
        path: note.path.clone(),
        action: note.action.clone(),
        detail: note.detail.clone(),
    }
}

/// One line about a file that a patch changes.
pub(super) fn note_line(note: &patch::FileNote) -> String {
    line(&note.action, &note.path, &note.detail)
}

/// One line about each file that changes; pieces of one file that are changed for the same reason share one.
pub(super) fn file_lines(files: &[FileChange]) -> String {
    let mut lines: Vec<String> =
        files.iter().map(|file| line(&file.action, &file.path.escaped(), &file.detail)).collect();
    lines.dedup();
    lines.concat()
}

pub(super) fn line(action: &str, path: &str, detail: &str) -> String {
    let action = action.replace('_', " ");
    if detail.is_empty() {
        return format!("  {action:<16}  {path}\n");
    }
    format!("  {action:<16}  {path}: {detail}\n")
}

fn ranges(shown: &Shown, styles: Styles, is_verbose: bool) -> String {
    let mut table = Table::new(&["OFFSET", "SIZE", "DIFFER", "WHAT"]);
    let limit = if is_verbose { usize::MAX } else { RUNS_SHOWN_MAX };
    for run in shown.runs.iter().take(limit) {
        table.row([
            match run.disk {
                Some(number) => format!("{number}:{:#x}", run.offset_bytes),
                None => format!("{:#x}", run.offset_bytes),
            },
            run.size_bytes.to_string(),
            run.bytes_differing.to_string(),
            run.labels.join(", "),
        ]);
    }
    let mut text = table.render(2, styles.faint);
    let hidden = shown.runs.len().saturating_sub(limit);
    if hidden > 0 {
        add(&mut text, format_args!("  and {hidden} more; -v shows all\n"));
    }
    text
}

fn exact_size(bytes: u64) -> String {
    format!("{} ({bytes} bytes)", human::size(bytes))
}
