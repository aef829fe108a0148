//! `regain show` for the patch of a directory.

use super::super::human::{Table, add, count, styled};
use super::super::output::{Outcome, Styles, Ui};
use super::super::show::line;
use crate::bytes::text::escape;
use crate::image::directory::record::{Content, How, Record, Side};
use crate::image::directory::stat::Kind;
use crate::patch::files::{FilePatch, bytes_changed};
use crate::report::Target;
use crate::report::patch::{DirectoryIdentity, File, Identity, Object, Shown};

/// Runs the command.
pub(in crate::cli) fn run(ui: &Ui, path: &str, patch: &FilePatch) -> Outcome {
    let shown = report(path, patch);
    let target = Target { kind: Some("directory"), ..Target::default() };
    ui.finish("show", &target, &shown, || text(&shown, ui.styles))?;
    Ok(())
}

fn report(path: &str, patch: &FilePatch) -> Shown {
    let description = patch.description();
    let directory = &description.directory;
    let file = |note: &crate::patch::FileNote| File {
        volume_id: note.volume.clone(),
        path: note.path.clone(),
        action: note.action.clone(),
        detail: note.detail.clone(),
    };
    Shown {
        path: path.to_owned(),
        made_by: description.regain_version.clone(),
        created: description.created.clone(),
        command: description.command.clone(),
        identity: Identity {
            size_bytes: 0,
            table_guid: None,
            volumes: Vec::new(),
            disks: Vec::new(),
            directory: Some(DirectoryIdentity {
                file_system: directory.file_system.clone(),
                uuid: directory.uuid.clone(),
                machine_id: directory.machine_id.clone(),
            }),
        },
        files: description.files.iter().map(file).collect(),
        bytes_changed: patch.bytes_changed(),
        bytes_written: patch
            .records()
            .iter()
            .filter_map(|record| record.after.as_ref())
            .fold(0, |sum, side| sum.saturating_add(side.content_bytes())),
        runs: Vec::new(),
        objects: patch.records().iter().map(object).collect(),
    }
}

fn object(record: &Record) -> Object {
    Object {
        path: escape(&record.path),
        change: match record.how {
            How::Create => "create",
            How::Replace => "replace",
            How::Remove => "remove",
            How::Metadata => "set_metadata",
            How::InPlace => "overwrite",
            How::Times => "set_time",
        },
        bytes_differing: bytes_changed(record),
        before: record.before.as_ref().map(describe),
        after: record.after.as_ref().map(describe),
    }
}

/// An object in a few words, as in `file 0600 1000:1000, 81 bytes, security.selinux`.
fn describe(side: &Side) -> String {
    let kind = match side.kind {
        Kind::Directory => "directory",
        Kind::Symlink => "link",
        _ => "file",
    };
    let mut text = format!("{kind} {:04o} {}:{}", side.mode, side.uid, side.gid);
    match &side.content {
        Content::Same => {}
        Content::Whole(bytes) if side.kind == Kind::Symlink => {
            add(&mut text, format_args!(" -> {}", escape(bytes)));
        }
        Content::Whole(bytes) => {
            let count = count(crate::bytes::arith::len_u64(bytes.len()), "byte");
            add(&mut text, format_args!(", {count}"));
        }
        Content::Pieces { size_bytes, .. } => {
            add(&mut text, format_args!(", {}", count(*size_bytes, "byte")));
        }
    }
    for (name, _) in &side.xattrs {
        add(&mut text, format_args!(", {}", escape(name)));
    }
    text
}

fn text(shown: &Shown, styles: Styles) -> String {
    let head = styled(styles.strong, &shown.path);
    let (command, version, created) = (&shown.command, &shown.made_by, &shown.created);
    let mut text = format!("{head}: \"{command}\" by regain {version}, {created}\n");
    if let Some(directory) = &shown.identity.directory {
        add(&mut text, format_args!("for a directory on {}", directory.file_system));
        if let Some(uuid) = &directory.uuid {
            add(&mut text, format_args!(" {uuid}"));
        }
        if let Some(id) = &directory.machine_id {
            add(&mut text, format_args!(" with machine-id {id}"));
        }
        text.push('\n');
    }
    text.push_str("\nFiles\n");
    for file in &shown.files {
        text.push_str(&line(&file.action, &file.path, &file.detail));
    }
    add(&mut text, format_args!("\nBytes: {} differ\n", count(shown.bytes_changed, "byte")));
    let mut table = Table::new(&["CHANGE", "DIFFER", "PATH", "BEFORE", "AFTER"]);
    for object in &shown.objects {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            object.change.replace('_', " "),
            object.bytes_differing.to_string(),
            object.path.clone(),
            side(&object.before),
            side(&object.after),
        ]);
    }
    text.push_str(&table.render(2, styles.faint));
    text
}
