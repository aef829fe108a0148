//! Ways back in other than a key in a file: which are there, in which state (LOGIN-T5, LOGIN-114).

use super::System;
use super::accounts::ACCOUNTS_BYTES_MAX;
use super::cloud_state::CloudInit;
use super::console::{kernel_consoles, serial_logins};
use super::crypt::is_hash;
use super::kernel_command_line::KernelCommandLine;
use super::service::{Start, start_of};
use super::text::{exists, lines, sorted_names};
use super::unit_file::assignments;
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find, read_file};

/// Bound on the drop-ins of sshd that are looked at.
const FILES_MAX: usize = 256;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// The agent of AWS Systems Manager.
    Ssm,
    /// EC2 Instance Connect.
    InstanceConnect,
    /// User data for cloud-init.
    CloudInit,
    /// A password at a serial console.
    SerialConsole,
    /// The guest agent of Google.
    GoogleAgent,
    /// The agent of Azure.
    AzureAgent,
}

/// How far it is from working.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteState {
    /// All that the volume can give is there.
    Ready,
    /// One step on this volume is missing.
    NeedsStep,
    /// It is there, but does not run.
    Off,
}

impl RouteState {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NeedsStep => "needs_step",
            Self::Off => "off",
        }
    }
}

/// One way back in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Which.
    pub kind: RouteKind,
    /// Its state.
    pub state: RouteState,
    /// What says so, and what else it needs; escaped.
    pub detail: String,
}

impl Route {
    fn new(kind: RouteKind, state: RouteState, detail: impl Into<String>) -> Self {
        Self { kind, state, detail: detail.into() }
    }
}

/// Every way whose traces are on the volume, and the serial console.
pub fn find_routes(fs: &dyn FileSystem, system: &System) -> Vec<Route> {
    let is_first_boot = !system.has_machine_id;
    let mut routes = Vec::new();
    routes.extend(agent(fs, is_first_boot, &SSM));
    routes.extend(instance_connect(fs, is_first_boot));
    routes.extend(CloudInit::read(fs).map(|state| cloud_init(&state)));
    routes.push(serial_console(fs, system));
    routes.extend(agent(fs, is_first_boot, &GOOGLE));
    routes.extend(agent(fs, is_first_boot, &AZURE));
    routes
}

/// An agent that is a service.
struct AgentRoute {
    kind: RouteKind,
    /// Paths that say that it is installed.
    programs: &'static [&'static str],
    /// Names of its unit.
    units: &'static [&'static str],
    needs: &'static str,
}

const SSM: AgentRoute = AgentRoute {
    kind: RouteKind::Ssm,
    programs: &["/usr/bin/amazon-ssm-agent", "/snap/amazon-ssm-agent", "/var/lib/snapd/snaps"],
    units: &["amazon-ssm-agent", "snap.amazon-ssm-agent.amazon-ssm-agent"],
    needs: "an instance role for Systems Manager, and network",
};
const GOOGLE: AgentRoute = AgentRoute {
    kind: RouteKind::GoogleAgent,
    programs: &["/usr/bin/google_guest_agent", "/usr/bin/google_guest_agent_manager"],
    units: &["google-guest-agent", "google-guest-agent-manager"],
    needs: "a key in the metadata of the instance or project; it writes that key itself",
};
const AZURE: AgentRoute = AgentRoute {
    kind: RouteKind::AzureAgent,
    programs: &["/usr/sbin/waagent", "/usr/bin/waagent"],
    units: &["walinuxagent", "waagent"],
    needs: "the VMAccess extension",
};

fn agent(fs: &dyn FileSystem, is_first_boot: bool, agent: &AgentRoute) -> Option<Route> {
    let found = agent.programs.iter().find(|path| is_installed(fs, path))?;
    let (state, what) = match start_of(fs, agent.units, is_first_boot) {
        Start::Enabled(evidence) | Start::Preset(evidence) => {
            (RouteState::Ready, format!("starts at boot, by {evidence}"))
        }
        Start::Disabled(evidence) => (RouteState::Off, format!("is not enabled ({evidence})")),
        Start::Masked(mask) => (RouteState::Off, format!("is masked by {mask}")),
        Start::Missing => (RouteState::Off, "has no unit that starts it".to_owned()),
    };
    Some(Route::new(agent.kind, state, format!("{found} {what}; needs {}", agent.needs)))
}

/// A path, or in the directory of snaps a file of the SSM agent.
fn is_installed(fs: &dyn FileSystem, path: &str) -> bool {
    if path != "/var/lib/snapd/snaps" {
        return exists(fs, path);
    }
    let Ok(Some(found)) = find(fs, &GuestPath::new(path)) else { return false };
    let names = sorted_names(fs, found.node).unwrap_or_default();
    names.iter().any(|name| name.starts_with(b"amazon-ssm-agent_"))
}

/// The command that EC2 Instance Connect has sshd run.
const EIC: &[u8] = b"eic_run_authorized_keys";

fn instance_connect(fs: &dyn FileSystem, is_first_boot: bool) -> Option<Route> {
    let programs = ["/opt/aws/bin/eic_run_authorized_keys", "/usr/share/ec2-instance-connect"];
    let program = programs.into_iter().find(|path| exists(fs, path))?;
    let Some(place) = instance_connect_place(fs) else {
        let detail =
            format!("{program} is there, but sshd does not run it (AuthorizedKeysCommand)");
        return Some(Route::new(RouteKind::InstanceConnect, RouteState::Off, detail));
    };
    let start = start_of(fs, &["sshd", "ssh"], is_first_boot);
    let state = if start.is_at_boot() { RouteState::Ready } else { RouteState::Off };
    let detail = format!(
        "sshd runs it, by {place}; sshd is {}; needs IAM permission, network, and an account that sshd \
         does not refuse",
        start.word()
    );
    Some(Route::new(RouteKind::InstanceConnect, state, detail))
}

/// The line that has sshd ask EC2 Instance Connect.
fn instance_connect_place(fs: &dyn FileSystem) -> Option<String> {
    let mut files = vec![GuestPath::new("/etc/ssh/sshd_config")];
    let directory = GuestPath::new("/etc/ssh/sshd_config.d");
    if let Ok(Some(found)) = find(fs, &directory) {
        let names = sorted_names(fs, found.node).unwrap_or_default();
        files.extend(names.into_iter().map(|name| directory.join(name)));
    }
    for path in files.into_iter().take(FILES_MAX) {
        let content = read_file(fs, &path, super::text::TEXT_BYTES_MAX).ok().flatten();
        for (line, number) in lines(&content.unwrap_or_default()).zip(1u64..) {
            if !line.trim_ascii_start().starts_with(b"#") && contains(line, EIC) {
                return Some(format!("{path}:{number}"));
            }
        }
    }
    let units = ["ssh.service", "sshd.service"];
    let mut all = units.iter().flat_map(|unit| assignments(fs, unit));
    all.find(|line| contains(&line.value, EIC)).map(|line| line.place)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn cloud_init(found: &CloudInit) -> Route {
    let kind = RouteKind::CloudInit;
    if let Some(off) = &found.off {
        return Route::new(kind, RouteState::Off, format!("does not run: {off}"));
    }
    let sources = || {
        let list = found.sources.clone().unwrap_or_default().join(", ");
        let last = found.last_source.clone().unwrap_or_else(|| "none".to_owned());
        format!("it allows the sources {list}, and used last: {last}")
    };
    if !found.reads_ec2() {
        let detail = format!("user data of EC2 do not reach it: {}", sources());
        return Route::new(kind, RouteState::Off, detail);
    }
    let needs = "needs a stop, new user data, and a start";
    if found.has_used_users_groups() {
        let detail = format!(
            "the document of `regain user-data` did its work on this volume before, and does nothing \
             again: put `always` in the place of `once`; {needs}"
        );
        return Route::new(kind, RouteState::NeedsStep, detail);
    }
    Route::new(kind, RouteState::Ready, format!("{} runs at boot; {needs}", found.evidence))
}

/// A login on a serial line, and somebody with a password.
fn serial_console(fs: &dyn FileSystem, system: &System) -> Route {
    let kind = RouteKind::SerialConsole;
    let logins = serial_logins(fs, &kernel_consoles(&KernelCommandLine::read(fs)));
    let names = users_with_password(fs, system);
    let users = match names.as_slice() {
        [] => "nobody has a password".to_owned(),
        names => format!("{} may log in with a password", names.join(", ")),
    };
    let Some(login) = logins.first() else {
        let detail = format!("no login on a serial line was found; {users}");
        return Route::new(kind, RouteState::Off, detail);
    };
    let state = if names.is_empty() { RouteState::NeedsStep } else { RouteState::Ready };
    let detail = format!("{} shows a login, by {}; {users}", login.terminal, login.evidence);
    Route::new(kind, state, detail)
}

/// Who has a hash that is not locked, and a shell.
fn users_with_password(fs: &dyn FileSystem, system: &System) -> Vec<String> {
    let shadow = GuestPath::new("/etc/shadow");
    let content = read_file(fs, &shadow, ACCOUNTS_BYTES_MAX).ok().flatten().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for line in lines(&content) {
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(name), Some(hash)) = (fields.next(), fields.next()) else { continue };
        let user = system.accounts.find(name).filter(|user| !user.has_no_login_shell());
        if let Some(user) = user.filter(|_| is_hash(hash) && names.len() < 16) {
            names.push(user.display_name());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;
    use crate::guest::linux::detect;

    fn tree() -> MemoryTree {
        let mut tree = MemoryTree::new();
        tree.file("/etc/passwd", 0, 0o644, b"root:x:0:0::/root:/bin/sh\na:x:9:9::/a:/bin/false\n")
            .file("/etc/shadow", 0, 0o600, b"root:*:1::::::\na:$6$aaaaaaaa$bbbbbbbb:1::::::\n")
            .file("/etc/os-release", 0, 0o644, b"ID=amzn\n")
            .file("/etc/machine-id", 0, 0o644, b"0123456789abcdef0123456789abcdef\n")
            .directory("/bin", 0, 0o755)
            .file("/usr/lib/systemd/systemd", 0, 0o755, b"");
        tree
    }

    fn routes(tree: &MemoryTree) -> Vec<(RouteKind, RouteState)> {
        let system = detect(tree).unwrap().unwrap();
        find_routes(tree, &system).into_iter().map(|route| (route.kind, route.state)).collect()
    }

    fn unit(tree: &mut MemoryTree, name: &str, is_enabled: bool) {
        tree.file(&format!("/usr/lib/systemd/system/{name}.service"), 0, 0o644, b"[Unit]\n");
        if is_enabled {
            let link = format!("/etc/systemd/system/multi-user.target.wants/{name}.service");
            tree.link(&link, "/x");
        }
    }

    #[test]
    fn agents_are_ready_only_if_they_start_login_t5() {
        let console = (RouteKind::SerialConsole, RouteState::Off);
        assert_eq!(routes(&tree()), [console]);
        for (program, name, kind) in [
            ("/usr/bin/amazon-ssm-agent", "amazon-ssm-agent", RouteKind::Ssm),
            (
                "/var/lib/snapd/snaps/amazon-ssm-agent_9.snap",
                "snap.amazon-ssm-agent.amazon-ssm-agent",
                RouteKind::Ssm,
            ),
            ("/usr/bin/google_guest_agent", "google-guest-agent", RouteKind::GoogleAgent),
            ("/usr/sbin/waagent", "walinuxagent", RouteKind::AzureAgent),
        ] {
            let mut tree = tree();
            tree.file(program, 0, 0o755, b"");
            assert!(routes(&tree).contains(&(kind, RouteState::Off)), "{program}");
            unit(&mut tree, name, false);
            assert!(routes(&tree).contains(&(kind, RouteState::Off)), "{program}");
            unit(&mut tree, name, true);
            assert!(routes(&tree).contains(&(kind, RouteState::Ready)), "{program}");
            tree.link(&format!("/etc/systemd/system/{name}.service"), "/dev/null");
            assert!(routes(&tree).contains(&(kind, RouteState::Off)), "{program}");
        }
    }

    #[test]
    fn instance_connect_needs_its_line_and_sshd_login_114() {
        let kind = RouteKind::InstanceConnect;
        let mut tree = tree();
        tree.file("/opt/aws/bin/eic_run_authorized_keys", 0, 0o755, b"");
        assert_eq!(routes(&tree)[0], (kind, RouteState::Off));
        let line = b"#AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\n";
        tree.file("/etc/ssh/sshd_config", 0, 0o600, line);
        unit(&mut tree, "sshd", true);
        assert_eq!(routes(&tree)[0], (kind, RouteState::Off), "a comment");
        tree.file("/etc/ssh/sshd_config", 0, 0o600, &line[1..]);
        assert_eq!(routes(&tree)[0], (kind, RouteState::Ready));
        let drop_in = b"[Service]\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand \
                        /usr/share/ec2-instance-connect/eic_run_authorized_keys %%u %%f\"\n";
        tree.file("/etc/ssh/sshd_config", 0, 0o600, b"").file(
            "/usr/lib/systemd/system/sshd.service.d/ec2-instance-connect.conf",
            0,
            0o644,
            drop_in,
        );
        assert_eq!(routes(&tree)[0], (kind, RouteState::Ready));
    }

    #[test]
    fn the_serial_console_needs_a_login_and_a_password_login_113() {
        let kind = RouteKind::SerialConsole;
        let mut tree = tree();
        let link = "/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service";
        tree.link(link, "/x");
        assert_eq!(routes(&tree), [(kind, RouteState::NeedsStep)], "the shell of a ends at once");
        tree.file("/etc/shadow", 0, 0o600, b"root:$6$aaaaaaaa$bbbbbbbb:1::::::\n");
        assert_eq!(routes(&tree), [(kind, RouteState::Ready)]);
        tree.file("/etc/shadow", 0, 0o600, b"root:!$6$aaaaaaaa$bbbbbbbb:1::::::\n");
        assert_eq!(routes(&tree), [(kind, RouteState::NeedsStep)]);
    }

    #[test]
    fn cloud_init_works_once_vol_44() {
        let kind = RouteKind::CloudInit;
        let mut tree = tree();
        tree.file("/usr/bin/cloud-init", 0, 0o755, b"");
        assert_eq!(routes(&tree)[0], (kind, RouteState::Ready));
        tree.file("/var/lib/cloud/sem/config_users_groups.once", 0, 0o644, b"");
        assert_eq!(routes(&tree)[0], (kind, RouteState::NeedsStep));
        tree.file("/etc/cloud/cloud.cfg", 0, 0o644, b"datasource_list: [ NoCloud ]\n");
        assert_eq!(routes(&tree)[0], (kind, RouteState::Off));
    }
}
