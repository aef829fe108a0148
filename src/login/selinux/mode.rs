//! Whether SELinux enforces its policy on the guest: the kernel command line first, then
//! `/etc/selinux/config` (LOGIN-82).

use crate::guest::linux::KernelCommandLine;
use crate::guest::linux::text::lines;

/// What SELinux does on the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Rules are enforced.
    Enforcing,
    /// Violations are logged only.
    Permissive,
    /// Off, or not installed.
    Disabled,
}

/// The mode, and what speaks against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    /// The mode.
    pub(super) mode: Mode,
    /// Why it may be another one.
    pub(super) doubt: Option<String>,
}

/// `/etc/selinux/config`, read as libselinux does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Config {
    /// What `SELINUX=` says.
    mode: Mode,
    /// What `SELINUXTYPE=` says: the name of the policy.
    pub(super) policy: String,
}

impl Config {
    pub(super) fn parse(content: &[u8]) -> Self {
        // Without a mode that is known the policy is loaded, and not enforced.
        let modes = lines(content).filter_map(|line| {
            let value = line.strip_prefix(b"SELINUX=")?.trim_ascii_start();
            let starts_with = |word: &str| {
                let head = value.get(..word.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
            };
            // What follows the word does not matter, and the first such line counts.
            if starts_with("enforcing") {
                Some(Mode::Enforcing)
            } else if starts_with("permissive") {
                Some(Mode::Permissive)
            } else {
                starts_with("disabled").then_some(Mode::Disabled)
            }
        });
        let mode = { modes }.next().unwrap_or(Mode::Permissive);
        let policies = lines(content).filter_map(|line| {
            let (head, value) = line.trim_ascii_start().split_at_checked(12)?;
            head.eq_ignore_ascii_case(b"SELINUXTYPE=").then(|| value.trim_ascii())
        });
        let policy = policies.last().and_then(|name| std::str::from_utf8(name).ok());
        let policy = policy.filter(|name| !name.contains('/') && !name.is_empty());
        Self { mode, policy: policy.unwrap_or("targeted").to_owned() }
    }
}

/// Decides the mode. `config` is that of `/etc/selinux/config`; without the file there is no SELinux.
pub(super) fn decide(config: Option<&Config>, line: &KernelCommandLine) -> Decided {
    let sure = |mode| Decided { mode, doubt: None };
    let Some(config) = config else { return sure(Mode::Disabled) };
    // Then no policy is loaded, whatever the command line says.
    if config.mode == Mode::Disabled {
        return sure(Mode::Disabled);
    }
    let mut said = vec![asked_for(&line.words, config.mode)];
    said.extend(line.alternatives.iter().map(|words| asked_for(words, config.mode)));
    let differs = said.iter().any(|mode| *mode != config.mode);
    let booted = said.first().copied().unwrap_or(config.mode);
    let is_agreed = said.iter().all(|mode| *mode == booted);
    let name = |mode| match mode {
        Mode::Enforcing => "enforcing",
        Mode::Permissive => "permissive",
        Mode::Disabled => "disabled",
    };
    if line.is_certain && is_agreed {
        return sure(booted);
    }
    // Without the files of the boot loader the config stands, unless something speaks against it.
    let doubt = differs.then(|| {
        let other = said.iter().find(|mode| **mode != config.mode).copied().unwrap_or(booted);
        format!(
            "SELinux is {} by its configuration and {} by {}, which may not be what boots",
            name(config.mode),
            name(other),
            line.source
        )
    });
    Decided { mode: config.mode, doubt }
}

/// The mode with these words on the command line and `config` otherwise.
fn asked_for(words: &[Vec<u8>], config: Mode) -> Mode {
    let value = |name: &str| {
        let line = KernelCommandLine {
            words: words.to_vec(),
            source: String::new(),
            is_certain: true,
            alternatives: Vec::new(),
        };
        line.value(name).map(<[u8]>::to_vec)
    };
    if value("selinux").and_then(|value| number(&value)) == Some(0) || has_other_module(&value) {
        return Mode::Disabled;
    }
    match value("enforcing").map(|value| number(&value).unwrap_or(0)) {
        Some(0) => Mode::Permissive,
        Some(_) => Mode::Enforcing,
        None => config,
    }
}

/// True if another security module stands in the way of SELinux: only one of the large ones can be active.
fn has_other_module(value: &impl Fn(&str) -> Option<Vec<u8>>) -> bool {
    if let Some(list) = value("lsm") {
        let large = |name: &&[u8]| matches!(*name, b"selinux" | b"apparmor" | b"smack");
        return list.split(|&byte| byte == b',').find(large) != Some(b"selinux");
    }
    value("security").is_some_and(|name| name != b"selinux")
}

/// A decimal or hexadecimal number.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, is_certain: bool) -> KernelCommandLine {
        KernelCommandLine {
            words: text.split(' ').map(|word| word.as_bytes().to_vec()).collect(),
            source: "/boot/grub2/grub.cfg".to_owned(),
            is_certain,
            alternatives: Vec::new(),
        }
    }

    #[test]
    fn the_configuration_is_read_as_by_libselinux_login_82() {
        for (content, mode, policy) in [
            ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", Mode::Enforcing, "targeted"),
            ("# SELINUX=enforcing\nSELINUX= Permissive # c\n", Mode::Permissive, "targeted"),
            ("SELINUX=disabled\nSELINUX=enforcing\n", Mode::Disabled, "targeted"),
            ("SELINUX=enforcingly\n SELINUXTYPE= mls \n", Mode::Enforcing, "mls"),
            (" SELINUX=disabled\nSELINUX=none\n", Mode::Permissive, "targeted"),
            (
                "SELINUX =enforcing\nselinuxtype=a\nSELINUXTYPE=default\r\n",
                Mode::Permissive,
                "default",
            ),
            ("SELINUXTYPE=../x\n", Mode::Permissive, "targeted"),
            ("", Mode::Permissive, "targeted"),
        ] {
            let config = Config::parse(content.as_bytes());
            assert_eq!((config.mode, config.policy.as_str()), (mode, policy), "{content}");
        }
    }

    #[test]
    fn the_command_line_comes_first_login_82() {
        let config = |text: &str| Some(Config::parse(format!("SELINUX={text}\n").as_bytes()));
        for (config, words, mode) in [
            (None, "enforcing=1", Mode::Disabled),
            (config("disabled"), "selinux=1 enforcing=1", Mode::Disabled),
            (config("enforcing"), "ro quiet", Mode::Enforcing),
            (config("enforcing"), "selinux=0", Mode::Disabled),
            (config("enforcing"), "selinux=0 selinux=1", Mode::Enforcing),
            (config("enforcing"), "enforcing=0", Mode::Permissive),
            (config("permissive"), "enforcing=1", Mode::Enforcing),
            (config("permissive"), "enforcing=x", Mode::Permissive),
            (config("permissive"), "enforcing=0x1 enforcing=0", Mode::Permissive),
            (config("enforcing"), "security=apparmor", Mode::Disabled),
            (config("enforcing"), "security=selinux", Mode::Enforcing),
            (config("enforcing"), "lsm=landlock,apparmor,selinux", Mode::Disabled),
            (config("enforcing"), "lsm=landlock,selinux,bpf", Mode::Enforcing),
            (config("enforcing"), "lsm=landlock", Mode::Disabled),
        ] {
            let decided = decide(config.as_ref(), &line(words, true));
            assert_eq!(decided, Decided { mode, doubt: None }, "{words}");
        }
    }

    #[test]
    fn what_may_not_boot_only_raises_a_doubt_login_82() {
        let config = Config::parse(b"SELINUX=enforcing\n");
        for (words, has_doubt) in [("quiet", false), ("selinux=0", true), ("enforcing=0", true)] {
            let decided = decide(Some(&config), &line(words, false));
            assert_eq!(decided.mode, Mode::Enforcing, "{words}");
            assert_eq!(decided.doubt.is_some(), has_doubt, "{words}");
        }
        let mut both = line("quiet", true);
        both.alternatives = vec![line("selinux=0", true).words];
        assert!(decide(Some(&config), &both).doubt.is_some());
        both.words = line("enforcing=0", true).words;
        both.alternatives = vec![line("enforcing=0 quiet", true).words];
        assert_eq!(decide(Some(&config), &both), Decided { mode: Mode::Permissive, doubt: None });
    }
}
