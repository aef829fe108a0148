//! An inspection as text.

use super::{Show, Shown, mounts, windows};
use crate::cli::human::{self, Table, add, styled};
use crate::cli::key_list;
use crate::cli::output::Styles;
use crate::report::Text;
use crate::report::inspect::{CloudInit, Image, Inspection, System, User, Volume};
use crate::report::keys::Key;
use crate::session::SessionVolume;

fn disk_text(name: &str, image: &Image, styles: Styles) -> String {
    let table = match image.partition_table {
        "none" => "no partition table".to_owned(),
        name => format!("{} partition table", name.to_uppercase()),
    };
    let (name, size) = (styled(styles.strong, name), human::size(image.size_bytes));
    format!("{name}: {} disk, {size}, {table}\n", image.format)
}

/// What was found.
pub(super) fn text(shown: Shown<'_>, found: &Inspection, show: Show) -> String {
    let (session, styles) = (shown.session, show.styles);
    let mut text = match session.directory() {
        Some(_) => {
            let name = styled(styles.strong, session.target_name());
            format!("{name}: mounted directory, {}\n", human::size(found.image.size_bytes))
        }
        None => disk_text(&session.target_name(), &found.image, styles),
    };
    for disk in found.disks.iter().skip(1) {
        text.push_str(&disk_text(&disk.path, &disk.image, styles));
    }
    text.push('\n');
    text.push_str(&volumes_text(&found.volumes, styles));
    for system in &found.systems {
        text.push('\n');
        text.push_str(&system_text(system, show));
    }
    if found.systems.is_empty() {
        let is_hidden = shown.volumes().any(SessionVolume::may_hide_a_system);
        text.push_str(if is_hidden {
            "\nNo operating system found on what could be read.\n"
        } else {
            "\nNo operating system found.\n"
        });
    }
    for warning in found.warnings.iter().skip(session.table_warnings().len()) {
        add(&mut text, format_args!("\n{} {warning}\n", styled(styles.warning, "warning:")));
    }
    text
}

fn volumes_text(volumes: &[Volume], styles: Styles) -> String {
    let mut table =
        Table::new(&["VOLUME", "SIZE", "TYPE", "CONTENT", "LABEL", "HEALTH", "EDITABLE", "UUID"]);
    for volume in volumes {
        table.row([
            volume.id.clone(),
            human::size(volume.size_bytes),
            type_of(volume),
            volume.file_system.clone().unwrap_or_default(),
            volume.label.as_ref().map(Text::escaped).unwrap_or_default(),
            volume.health.unwrap_or_default().replace('_', " "),
            if volume.writable { "yes".to_owned() } else { "no".to_owned() },
            volume.uuid.clone().unwrap_or_default(),
        ]);
    }
    let mut text = table.render(0, styles.faint);
    let is_known = |volume: &&Volume| volume.file_system.is_some() || !volume.parents.is_empty();
    for volume in volumes.iter().filter(is_known) {
        if let Some(reason) = &volume.reason {
            add(&mut text, format_args!("  volume {}: {reason}\n", volume.id));
        }
    }
    text
}

/// What a volume is, and on which others it lies.
fn type_of(volume: &Volume) -> String {
    match volume.parents.as_slice() {
        [] => volume.partition_type.clone(),
        parents => format!("{} on {}", volume.partition_type, parents.join(", ")),
    }
}

fn users_text(users: &[User], styles: Styles) -> String {
    let mut table = Table::new(&["USER", "UID", "HOME", "SHELL", "KEYS", ""]);
    for user in users {
        table.row([
            user.name.escaped(),
            user.uid.map(|uid| uid.to_string()).unwrap_or_default(),
            user.home.as_ref().map(Text::escaped).unwrap_or_default(),
            user.shell.as_ref().map(Text::escaped).unwrap_or_default(),
            user.keys.len().to_string(),
            if user.is_default { "default user".to_owned() } else { " ".to_owned() },
        ]);
    }
    table.render(2, styles.faint)
}

fn cloud_init_text(found: &CloudInit) -> String {
    let mut text = String::from("  cloud-init: ");
    match (&found.reason, &found.instance_id) {
        (Some(reason), _) => add(&mut text, format_args!("off, {reason}\n")),
        (None, Some(id)) => {
            add(&mut text, format_args!("leaves this disk alone in instance {}\n", id.escaped()));
        }
        (None, None) => text.push_str("has not run yet: the next boot is that of a new instance\n"),
    }
    for line in &found.on_a_new_instance {
        add(&mut text, format_args!("    in another instance it {line}\n"));
    }
    text
}

fn system_text(system: &System, show: Show) -> String {
    let styles = show.styles;
    let name = format!("{} {}", system.name.escaped(), system.version.escaped());
    let mut facts = vec![name.trim().to_owned()];
    facts.extend(system.arch.clone());
    facts.extend(system.host_name.as_ref().map(|host| format!("host \"{}\"", host.escaped())));
    let subvolume = system.subvolume.as_ref();
    let subvolume = subvolume.map(|path| format!(", subvolume {}", path.escaped()));
    let title = format!("System on volume {}{}", system.volume_id, subvolume.unwrap_or_default());
    let mut text = format!("{}: {}\n", styled(styles.strong, title), facts.join(", "));
    text.push_str(&mounts::text(system));
    match &system.windows {
        Some(facts) => text.push_str(&windows::text(system, facts, styles)),
        None => text.push_str(&users_text(&system.users, styles)),
    }
    if show.has_keys {
        let keys: Vec<Key> = system.users.iter().flat_map(|user| user.keys.clone()).collect();
        text.push_str(&key_list::table(&keys).render(2, styles.faint));
    }
    if !system.agents.is_empty() && system.windows.is_none() {
        add(&mut text, format_args!("  agents: {}\n", system.agents.join(", ")));
    }
    if let Some(found) = &system.cloud_init {
        text.push_str(&cloud_init_text(found));
    }
    add(&mut text, format_args!("  {}\n", styled(styles.strong, "ways back in")));
    for route in &system.access_routes {
        let mark =
            if route.available { styled(styles.good, "yes") } else { styled(styles.bad, "no") };
        let is_named = route.next_command.is_empty();
        let what = if is_named { &route.route } else { &route.next_command };
        add(&mut text, format_args!("    {mark:<3}  {what}\n"));
        if let Some(reason) = &route.reason {
            add(&mut text, format_args!("         {reason}\n"));
        }
    }
    text
}
