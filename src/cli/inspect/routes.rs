//! The ways back into a Linux system: adding a key, and what else is on its volume.

use crate::action::key_add::{self, KeyAddRequest};
use crate::cli::disks::session_arguments;
use crate::cli::hints::shell_word;
use crate::error::Result;
use crate::guest::linux;
use crate::guest::linux::routes::{Route, RouteKind, RouteState, find_routes};
use crate::guest::select::UserChoice;
use crate::image::in_use::{Look, in_use_report};
use crate::report::inspect::AccessRoute;
use crate::session::{Session, SessionVolume, clock};
use std::collections::BTreeSet;

/// What `key add` would say without `--user`, and whether `--fix` is what it takes.
fn key_add_refusal(volume: &SessionVolume) -> Result<Option<(String, bool)>> {
    let plan = |fix| volume.read(|open| key_add::plan(open.file_system(), &trial_request(fix)?));
    let Some(error) = plan(false)?.refusal() else { return Ok(None) };
    let is_repaired = plan(true).is_ok_and(|plan| plan.refusal().is_none());
    Ok(Some((error.to_string(), is_repaired)))
}

/// A request for a key that nobody has: nothing comes of it.
fn trial_request(fix: bool) -> Result<KeyAddRequest> {
    let key = key_add::trial_key().ok_or_else(|| std::io::Error::other("no key for a trial"))?;
    Ok(KeyAddRequest {
        users: UserChoice::Default,
        keys: vec![key],
        options: None,
        fix,
        fix_also: BTreeSet::new(),
        force: false,
        now: clock::now(),
    })
}

/// The target, and the volume where it must be named, as words of a command.
pub(super) fn target_words(session: &Session, volume: &SessionVolume) -> String {
    let name = session_arguments(session);
    let count = session.volumes.iter().map(SessionVolume::systems_count).sum::<usize>();
    let id = volume.system_id();
    if count <= 1 && id == volume.volume.id {
        return name;
    }
    format!("{name} --volume {}", shell_word(&id))
}

/// Why nothing on this volume can be written, or on a disk that an edit of its system may write.
pub(super) fn reason_against_writing(session: &Session, volume: &SessionVolume) -> Option<String> {
    let disks = session.disks_of_system(volume);
    let mut in_use = disks
        .into_iter()
        .filter_map(|disk| in_use_report(&disk.image, Look::Thorough).ok().flatten());
    let reason = volume.reason_against_writing();
    reason.or_else(|| in_use.next().map(|refusal| refusal.to_string()))
}

/// Every way back in, our own first.
pub(super) fn access_routes(
    session: &Session,
    volume: &SessionVolume,
    system: &linux::System,
    default_user: Result<Vec<u8>>,
) -> Vec<AccessRoute> {
    let target = target_words(session, volume);
    let against_writing = reason_against_writing(session, volume);
    let is_named = default_user.is_ok();
    let user = if is_named { "" } else { " --user USER" };
    let name = default_user.as_ref().map_or("USER".to_owned(), |name| {
        shell_word(&crate::bytes::text::escape_limited(name, 64))
    });
    let command = format!("regain key add {target}{user} --key FILE");
    let mut add = AccessRoute::new("key-add", "key add", against_writing.is_none(), None, command);
    add.reason = against_writing.clone().or_else(|| default_user.err().map(|e| e.to_string()));
    if add.reason.is_none() {
        match key_add_refusal(volume) {
            Ok(None) => {}
            Ok(Some((reason, true))) => {
                add.command.push_str(" --fix");
                add.reason = Some(format!("needs --fix: {reason}"));
            }
            Ok(Some((reason, false))) => {
                (add.available, add.reason) = (false, Some(reason));
            }
            Err(error) => (add.available, add.reason) = (false, Some(error.to_string())),
        }
    }
    let (reason, command) = (add.reason.clone(), add.command.clone());
    let state = if !add.available {
        "off"
    } else if reason.is_some() {
        "needs_step"
    } else {
        "ready"
    };
    let mut routes = vec![AccessRoute { state, detail: reason, next_command: command, ..add }];
    let found = volume.read(|open| Ok(find_routes(open.file_system(), system)));
    let words = Words { target, user: name, instance: instance(system) };
    routes.extend(found.unwrap_or_default().into_iter().map(|route| {
        let is_closed = route.kind == RouteKind::SerialConsole && against_writing.is_some();
        words.route(route, is_closed)
    }));
    routes
}

/// The instance id of EC2 that cloud-init saw last, or a word in its place.
fn instance(system: &linux::System) -> String {
    let id = system.instance_id.as_ref().filter(|id| id.starts_with(b"i-"));
    id.map_or("ID".to_owned(), |id| shell_word(&crate::bytes::text::escape_limited(id, 64)))
}

/// What the commands for other ways are made of.
struct Words {
    target: String,
    user: String,
    instance: String,
}

impl Words {
    /// The way for the report. With `is_closed` the disk cannot be written, so no step on it helps.
    fn route(&self, route: Route, is_closed: bool) -> AccessRoute {
        let Self { target, user, instance } = self;
        let reset = || format!("regain password reset {target} --user {user} --generate");
        let (id, name, command, next) = match route.kind {
            RouteKind::Ssm => {
                let next = format!("aws ssm start-session --target {instance}");
                ("ssm-agent", "amazon-ssm-agent", String::new(), next)
            }
            RouteKind::InstanceConnect => {
                let next = format!(
                    "aws ec2-instance-connect ssh --instance-id {instance} --os-user {user}"
                );
                ("instance-connect", "ec2-instance-connect", String::new(), next)
            }
            RouteKind::CloudInit => {
                let own = format!("regain user-data --key FILE --user {user}");
                ("cloud-init", "cloud-init", own.clone(), own)
            }
            RouteKind::SerialConsole if route.state == RouteState::Ready => {
                let next = format!(
                    "aws ec2-instance-connect send-serial-console-ssh-public-key --instance-id \
                     {instance} --serial-port 0 --ssh-public-key file://KEY.pub"
                );
                ("serial-console", "serial console", reset(), next)
            }
            RouteKind::SerialConsole => ("serial-console", "serial console", reset(), reset()),
            RouteKind::GoogleAgent => {
                let next = format!("gcloud compute ssh {user}@INSTANCE");
                ("google-agent", "google-guest-agent", String::new(), next)
            }
            RouteKind::AzureAgent => {
                let next = format!(
                    "az vm user update --resource-group GROUP --name VM --username {user} \
                     --ssh-key-value FILE"
                );
                ("azure-agent", "waagent", String::new(), next)
            }
        };
        let available =
            route.state != RouteState::Off && !(is_closed && route.state == RouteState::NeedsStep);
        let mut made = AccessRoute::new(id, name, available, Some(route.detail), command);
        made.state = if available { route.state.word() } else { RouteState::Off.word() };
        made.next_command = next;
        made
    }
}
