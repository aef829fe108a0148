//! What cloud-init did on this volume, and what it will do at the next boot (LOGIN-96 to LOGIN-101,
//! VOL-43, VOL-44).
//!
//! Only a few settings are looked for, at the top level of the configuration and by their names. Not handled:
//! configuration that comes from the datasource, vendor data, a cloud-init in a virtual environment.

use super::KernelCommandLine;
use super::cloud_init::configuration_files;
use super::service::unit_start;
use super::text::{exists, lines, optional, sorted_names};
use crate::fs::FileSystem;
use crate::fs::path::{GuestPath, find};

/// Bound on the lines of one file that are looked at.
const LINES_MAX: usize = 20_000;
/// Bound on the names of a list.
const NAMES_MAX: usize = 64;

/// Its program, by distribution.
const PROGRAMS: [&str; 2] = ["/usr/bin/cloud-init", "/usr/local/bin/cloud-init"];

/// The state of cloud-init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInit {
    /// The program.
    pub evidence: &'static str,
    /// Why it does not run at boot, if it does not.
    pub off: Option<String>,
    /// `manual_cache_clean`: it trusts what it knows, whatever instance it wakes up in (LOGIN-100).
    pub is_pinned: bool,
    /// The sources that its configuration allows; none if it does not say, and all are tried.
    pub sources: Option<Vec<String>>,
    /// The source of the last boot, as in `DataSourceEc2Local`.
    pub last_source: Option<String>,
    /// The instance that it saw last.
    pub instance_id: Option<Vec<u8>>,
    /// What it did once and never does again, as in `config_users_groups.once`.
    pub once: Vec<String>,
    /// `ssh_deletekeys`: a new instance gets new host keys.
    pub deletes_host_keys: bool,
    /// `disable_root`: root's key of the metadata only tells people to log in as somebody else.
    pub disables_root: bool,
}

impl CloudInit {
    /// Looks at it; `None` if it is not installed.
    pub fn read(fs: &dyn FileSystem) -> Option<Self> {
        let evidence = PROGRAMS.into_iter().find(|path| exists(fs, path))?;
        let mut settings = Settings::default();
        for path in configuration_files(fs) {
            settings.take(&optional(fs, &path, &mut Vec::new()).unwrap_or_default());
        }
        let first_line = |path: &str| {
            let content = optional(fs, path, &mut Vec::new())?;
            let line = lines(&content).next()?.trim_ascii().to_vec();
            (!line.is_empty() && line.len() <= 255).then_some(line)
        };
        let source = first_line("/var/lib/cloud/instance/datasource")
            .or_else(|| first_line("/var/lib/cloud/data/previous-datasource"));
        Some(Self {
            evidence,
            off: off(fs),
            is_pinned: settings.is_pinned,
            sources: settings.sources,
            last_source: source.map(|line| crate::bytes::text::escape_limited(&line, 64)),
            instance_id: first_line("/var/lib/cloud/data/instance-id"),
            once: semaphores(fs),
            deletes_host_keys: !settings.keeps_host_keys,
            disables_root: !settings.enables_root,
        })
    }

    /// True if user data of EC2 reach it, as far as the volume says: the last boot used that source, or the
    /// configuration allows it.
    pub fn reads_ec2(&self) -> bool {
        let is_last = self.last_source.as_ref().is_some_and(|source| source.contains("Ec2"));
        let is_allowed =
            self.sources.as_ref().is_none_or(|sources| sources.iter().any(|name| name == "Ec2"));
        is_allowed && (is_last || self.last_source.is_none())
    }

    /// True if the document of VOL-43 did its work once, and will not again (VOL-44).
    pub fn has_used_users_groups(&self) -> bool {
        self.once.iter().any(|name| name == "config_users_groups.once")
    }

    /// What runs again on an instance with another id (LOGIN-97).
    pub fn on_a_new_instance(&self) -> Vec<&'static str> {
        if self.off.is_some() || self.is_pinned {
            return Vec::new();
        }
        let mut does = Vec::new();
        if self.deletes_host_keys {
            does.push("deletes the host keys and makes new ones");
        }
        does.push("adds the keys of the metadata to its default user");
        does.push("sets its users up again, with locked passwords and their rights in sudoers.d");
        does.push("sets PasswordAuthentication if its configuration says so");
        does
    }
}

/// Why cloud-init does not run (LOGIN-100).
fn off(fs: &dyn FileSystem) -> Option<String> {
    let file = "/etc/cloud/cloud-init.disabled";
    if exists(fs, file) {
        return Some(format!("{file} exists"));
    }
    let line = KernelCommandLine::read(fs);
    if line.value("cloud-init") == Some(b"disabled") {
        return Some(format!("cloud-init=disabled in {}", line.source));
    }
    let units = ["cloud-init.service", "cloud-init-main.service", "cloud-init-network.service"];
    let mut masked = units.iter().map(|unit| unit_start(fs, unit, false));
    let found = masked.find(|start| start.word() == "masked")?;
    match found {
        super::service::Start::Masked(mask) => Some(format!("{mask} masks it")),
        _ => None,
    }
}

/// Markers of what was done once for ever.
fn semaphores(fs: &dyn FileSystem) -> Vec<String> {
    let Ok(Some(found)) = find(fs, &GuestPath::new("/var/lib/cloud/sem")) else {
        return Vec::new();
    };
    let names = sorted_names(fs, found.node).unwrap_or_default();
    let names = names.into_iter().filter(|name| name.ends_with(b".once")).take(NAMES_MAX);
    names.map(|name| crate::bytes::text::escape_limited(&name, 128)).collect()
}

#[derive(Default)]
struct Settings {
    is_pinned: bool,
    keeps_host_keys: bool,
    enables_root: bool,
    sources: Option<Vec<String>>,
}

impl Settings {
    /// Takes one file; a later one wins.
    fn take(&mut self, content: &[u8]) {
        let mut all = lines(content).take(LINES_MAX).peekable();
        while let Some(line) = all.next() {
            let Some((key, value)) = top_level(line) else { continue };
            match key {
                b"manual_cache_clean" => self.is_pinned = is_true(value),
                b"ssh_deletekeys" => self.keeps_host_keys = !is_true(value),
                b"disable_root" => self.enables_root = !is_true(value),
                b"datasource_list" => {
                    let mut text = value.to_vec();
                    // The list goes on while lines are indented, start with a dash, or the bracket is open.
                    while let Some(next) = all.peek() {
                        let is_open = text.starts_with(b"[") && !text.contains(&b']');
                        let goes_on = next.starts_with(b" ") || next.starts_with(b"-");
                        if !(is_open || goes_on) || text.len() > 4096 {
                            break;
                        }
                        text.push(b',');
                        text.extend_from_slice(next.trim_ascii());
                        all.next();
                    }
                    self.sources = Some(names(&text));
                }
                _ => {}
            }
        }
    }
}

/// Key and value of a line without indentation.
fn top_level(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = line.first()?;
    if !first.is_ascii_alphabetic() {
        return None;
    }
    let colon = line.iter().position(|&byte| byte == b':')?;
    let value = line.get(colon.saturating_add(1)..).unwrap_or_default();
    let value = value.split(|&byte| byte == b'#').next().unwrap_or_default();
    Some((line.get(..colon)?.trim_ascii(), value.trim_ascii()))
}

fn is_true(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    [b"true".as_slice(), b"yes", b"on", b"1"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// The names of a list, however it is written.
fn names(text: &[u8]) -> Vec<String> {
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || b"[],-'\"".contains(byte);
    let words = text.split(is_separator).filter(|word| !word.is_empty()).take(NAMES_MAX);
    words.map(|word| crate::bytes::text::escape_limited(word, 64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn state(files: &[(&str, &str)]) -> Option<CloudInit> {
        let mut tree = MemoryTree::new();
        for (path, content) in files {
            tree.file(path, 0, 0o644, content.as_bytes());
        }
        CloudInit::read(&tree)
    }

    const PROGRAM: (&str, &str) = ("/usr/bin/cloud-init", "");

    #[test]
    fn what_it_knows_is_read() {
        assert_eq!(state(&[]), None);
        let found = state(&[
            PROGRAM,
            ("/etc/cloud/cloud.cfg", "users:\n  - default\ndisable_root: true\n"),
            ("/etc/cloud/cloud.cfg.d/90.cfg", "datasource_list: [ NoCloud,\n 'Ec2', None ]\n"),
            ("/var/lib/cloud/data/instance-id", "i-0123\n"),
            ("/var/lib/cloud/instance/datasource", "DataSourceEc2Local: DataSourceEc2Local\n"),
            ("/var/lib/cloud/sem/config_users_groups.once", ""),
            ("/var/lib/cloud/sem/other", ""),
        ])
        .unwrap();
        assert_eq!(found.sources.as_deref().unwrap(), ["NoCloud", "Ec2", "None"]);
        assert!(found.reads_ec2() && found.has_used_users_groups() && found.off.is_none());
        assert!(found.deletes_host_keys && found.disables_root && !found.is_pinned);
        assert_eq!(found.instance_id.as_deref(), Some(b"i-0123".as_slice()));
        assert_eq!(found.once, ["config_users_groups.once"]);
        assert_eq!(found.on_a_new_instance().len(), 4);
    }

    #[test]
    fn user_data_reach_it_only_by_the_right_source_vol_43() {
        for (list, last, expected) in [
            ("", "", true),
            ("datasource_list:\n  - Ec2\n  - None\n", "", true),
            ("datasource_list:\n- Azure\nother: Ec2\n", "", false),
            ("datasource_list: [Ec2]\n", "DataSourceNone", false),
            ("", "DataSourceEc2", true),
        ] {
            let found = state(&[
                PROGRAM,
                ("/etc/cloud/cloud.cfg", list),
                ("/var/lib/cloud/data/previous-datasource", last),
            ]);
            assert_eq!(found.unwrap().reads_ec2(), expected, "{list} {last}");
        }
    }

    #[test]
    fn it_can_be_off_or_pinned_login_100() {
        let off = state(&[PROGRAM, ("/etc/cloud/cloud-init.disabled", "")]).unwrap();
        assert_eq!(off.off.as_deref(), Some("/etc/cloud/cloud-init.disabled exists"));
        assert!(off.on_a_new_instance().is_empty());
        let off = state(&[PROGRAM, ("/etc/kernel/cmdline", "root=x cloud-init=disabled\n")]);
        assert!(off.unwrap().off.unwrap().starts_with("cloud-init=disabled"));
        let masked = ("/etc/systemd/system/cloud-init.service", "");
        assert!(state(&[PROGRAM, masked]).unwrap().off.unwrap().ends_with("masks it"));
        let config = "manual_cache_clean: True # x\nssh_deletekeys: 0\ndisable_root: false\n";
        let found = state(&[PROGRAM, ("/etc/cloud/cloud.cfg", config)]).unwrap();
        assert!(found.is_pinned && !found.deletes_host_keys && !found.disables_root);
        assert!(found.on_a_new_instance().is_empty());
    }
}
