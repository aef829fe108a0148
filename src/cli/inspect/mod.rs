//! `regain inspect`: what is on a disk, who can log in, and every way back in.

mod mounts;
mod routes;
mod text;
mod windows;

use super::args::Inspect;
use super::output::{Outcome, Styles, Ui};
use super::{key_list, target};
use crate::error::{Error, Result};
use crate::fs::path::GuestPath;
use crate::guest::select::{self, UserChoice};
use crate::guest::{self, linux};
use crate::login::Guest;
use crate::report::change::Io;
use crate::report::inspect::{CloudInit, Disk, Image, Inspection, System, User, Volume};
use crate::report::keys::Key;
use crate::session::{Session, SessionDisk, SessionVolume, clock};
use crate::volume::place::DiskIndex;

/// Runs the command.
pub(crate) fn run(ui: &Ui, args: &Inspect) -> Outcome {
    let mut session = target::open(ui, &args.on, clock::now())?;
    let mut report_target = target::report(&session);
    let only = match &args.on.volume {
        Some(wanted) => Some(session.find_system(wanted)?),
        None => None,
    };
    report_target.volume_id = match only {
        Some(only) => Some(session.volume_at(only)?.volume.id.clone()),
        None => None,
    };
    let result = inspection(&mut session, only)?;
    let show = Show { styles: ui.styles, has_keys: ui.is_verbose() };
    let shown = Shown { session: &session, only };
    ui.finish("inspect", &report_target, &result, || text::text(shown, &result, show))?;
    Ok(())
}

/// What is inspected: all volumes of a session, or one.
#[derive(Debug, Clone, Copy)]
struct Shown<'a> {
    session: &'a Session,
    only: Option<usize>,
}

impl<'a> Shown<'a> {
    fn volumes(self) -> impl Iterator<Item = &'a SessionVolume> {
        let is_shown = move |index: usize| self.only.is_none_or(|only| only == index);
        let volumes = self.session.volumes.iter().enumerate();
        volumes.filter(move |(index, _)| is_shown(*index)).map(|(_, volume)| volume)
    }
}

/// How to show an inspection to people.
#[derive(Debug, Clone, Copy)]
struct Show {
    styles: Styles,
    /// List every key.
    has_keys: bool,
}

fn inspection(session: &mut Session, only: Option<usize>) -> Result<Inspection> {
    let mut warnings = session.table_warnings();
    let shown = Shown { session, only };
    let volumes = shown.volumes().map(|it| volume(session, it)).collect();
    let mut systems = Vec::new();
    let all = 0..session.volumes.len();
    for index in all.filter(|index| only.is_none_or(|only| only == *index)) {
        warnings.extend(session.volume_at(index)?.warnings());
        systems.extend(systems_of(session, index, &mut warnings)?);
    }
    let images: Vec<Image> = session.disks().map(image).collect();
    let paths = session.disks().map(SessionDisk::name);
    let disk = |(path, image): (String, &Image)| Disk { path, image: image.clone() };
    let disks: Vec<Disk> = paths.zip(&images).map(disk).collect();
    Ok(Inspection {
        image: session.target_disk().map_or_else(|| directory_image(session), image),
        disks: if disks.len() > 1 { disks } else { Vec::new() },
        volumes,
        systems,
        warnings,
        io: Io { bytes_read: session.bytes_read(), bytes_written: 0 },
    })
}

/// The system on the volume at `index`; all of them if it holds several and none was chosen.
fn systems_of(
    session: &mut Session,
    index: usize,
    warnings: &mut Vec<String>,
) -> Result<Vec<System>> {
    let volume = session.volume_at(index)?;
    if volume.system().is_some() {
        return Ok(system_of(session, volume, warnings).into_iter().collect());
    }
    let mut systems = Vec::new();
    for root in volume.roots().to_vec() {
        session.mount_root(index, &root.directory)?;
        systems.extend(system_of(session, session.volume_at(index)?, warnings));
    }
    Ok(systems)
}

fn system_of(
    session: &Session,
    volume: &SessionVolume,
    warnings: &mut Vec<String>,
) -> Option<System> {
    Some(match volume.system()? {
        guest::System::Linux(found) => system(session, volume, found, warnings),
        guest::System::Windows(found) => windows::system(session, volume, found, warnings),
    })
}

fn image(disk: &SessionDisk) -> Image {
    Image {
        format: disk.image.format.to_string(),
        size_bytes: disk.image.disk.len_bytes(),
        sector_size_bytes: disk.layout.sector_size_bytes,
        partition_table: disk.layout.table.name(),
        table_guid: disk.layout.table_guid.map(|guid| guid.to_string()),
    }
}

/// What stands for the disk where the target is a directory, which has no table and no sectors.
fn directory_image(session: &Session) -> Image {
    Image {
        format: "directory".to_owned(),
        size_bytes: session.directory().map_or(0, |directory| directory.size_bytes()),
        sector_size_bytes: 0,
        partition_table: "none",
        table_guid: None,
    }
}

fn volume(session: &Session, volume: &SessionVolume) -> Volume {
    let reason = volume.reason_against_writing();
    let probe = volume.probe.as_ref();
    let parents = volume.parents.iter().filter_map(|&parent| session.volumes.get(parent));
    let disks = volume.place.disks();
    let only_disk = disks.first().filter(|_| disks.len() == 1 && session.disks().count() > 1);
    Volume {
        id: volume.volume.id.clone(),
        source: volume.source.name(),
        parents: parents.map(|parent| parent.volume.id.clone()).collect(),
        disk: only_disk.map(|DiskIndex(index)| index.saturating_add(1)),
        offset_bytes: volume.place.start().map(|(_, offset_bytes)| offset_bytes),
        size_bytes: volume.volume.size_bytes,
        partition_type: volume.volume.type_label.clone(),
        partition_name: volume.volume.name.clone().into(),
        file_system: volume.type_name().map(str::to_owned),
        label: probe.map(|probe| probe.label.clone().into()),
        uuid: probe.map(|probe| probe.uuid.clone()),
        health: volume.health(),
        writable: reason.is_none(),
        reason,
    }
}

fn system(
    session: &Session,
    volume: &SessionVolume,
    system: &linux::System,
    warnings: &mut Vec<String>,
) -> System {
    warnings.extend(system.warnings.iter().cloned());
    let keys = match key_list::list(volume, None) {
        Ok(listed) => {
            warnings.extend(listed.warnings);
            listed.keys
        }
        Err(error) => {
            warnings.push(format!("keys of {}: {error}", volume.describe()));
            Vec::new()
        }
    };
    let default_user = default_user(volume, system);
    let cloud_init = volume.read(|open| Ok(linux::CloudInit::read(open.file_system())));
    let cloud_init = cloud_init.ok().flatten().map(cloud_init_report);
    let default_name = default_user.as_ref().ok().map(Vec::as_slice);
    System {
        volume_id: volume.volume.id.clone(),
        subvolume: volume.root_subvolume().map(|path| path.as_bytes().into()),
        family: "linux",
        name: name_of(system).into(),
        version: system.os.version_id.clone().into(),
        arch: system.arch.map(str::to_owned),
        host_name: system.host_name.clone().map(Into::into),
        users: users(system, &keys, default_name),
        agents: system.agents.iter().map(|agent| agent.name.to_owned()).collect(),
        access_routes: routes::access_routes(session, volume, system, default_user),
        mounts: mounts::report(session, volume),
        cloud_init,
        windows: None,
    }
}

fn cloud_init_report(found: linux::CloudInit) -> CloudInit {
    CloudInit {
        enabled: found.off.is_none(),
        on_a_new_instance: found.on_a_new_instance(),
        reason: found.off,
        instance_id: found.instance_id.map(Into::into),
        last_source: found.last_source,
        sources: found.sources,
        once: found.once,
    }
}

/// `NAME` of os-release, or what comes closest.
fn name_of(system: &linux::System) -> Vec<u8> {
    if system.os.name.is_empty() { system.full_name().to_vec() } else { system.os.name.clone() }
}

/// The user whom `key add` takes without `--user`, or why there is none.
fn default_user(volume: &SessionVolume, system: &linux::System) -> Result<Vec<u8>> {
    volume.read(|open| {
        let guest = Guest::open(open.file_system(), system, clock::now())?;
        let users = select::users(open.file_system(), system, &UserChoice::Default, &guest)?;
        let user = users.first().ok_or_else(|| Error::not_found("no user who could log in"))?;
        Ok(user.name.clone())
    })
}

/// The users who could be meant: people, and everybody with a key.
fn users(system: &linux::System, keys: &[Key], default_name: Option<&[u8]>) -> Vec<User> {
    let mut users = Vec::new();
    for user in &system.accounts.users {
        let own: Vec<Key> = keys.iter().filter(|key| key.user.0 == user.name).cloned().collect();
        let is_default = default_name == Some(user.name.as_slice());
        let can_log_in = !user.has_no_login_shell();
        let is_person = (system.accounts.uid_min..=system.accounts.uid_max).contains(&user.uid);
        if own.is_empty() && !is_default && !(can_log_in && (is_person || user.uid == 0)) {
            continue;
        }
        users.push(User {
            name: user.name.clone().into(),
            uid: Some(user.uid),
            rid: None,
            home: Some(user.home.as_ref().map(GuestPath::as_bytes).unwrap_or_default().into()),
            shell: Some(user.effective_shell().into()),
            is_default,
            keys: own,
        });
    }
    users
}
