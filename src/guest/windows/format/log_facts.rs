//! What the log of an agent says of its instance: ids and versions, for people (WIN-8, WIN-52).
//!
//! The logs have no published format, so only what cannot be mistaken is taken: an instance id, a version behind
//! `EC2Launch v2 service v`, and the two lines that name the image. The last one counts.

use super::agent_log::decode;

/// Bound on a value that is returned, in characters.
const VALUE_CHARACTERS_MAX: usize = 128;
/// Number of hexadecimal digits of an instance id, long and short form.
const ID_DIGITS: [usize; 2] = [17, 8];

/// What was found; not escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogFacts {
    /// As in `i-0123456789abcdef0`.
    pub instance_id: Option<String>,
    /// As in `Windows_Server-2019-English-Full-Base`.
    pub image_name: Option<String>,
    /// As in `2019.01.10`.
    pub image_version: Option<String>,
    /// As in `2.0.1702`, of EC2Launch v2.
    pub agent_version: Option<String>,
}

impl LogFacts {
    /// Reads the end of a log, which may start anywhere in a line or character.
    pub fn read(tail: &[u8]) -> Self {
        let mut facts = Self::default();
        for line in decode(tail).split(['\n', '\r']) {
            facts.instance_id = instance_id(line).or(facts.instance_id);
            facts.image_name = behind(line, "AMI Origin Name:").or(facts.image_name);
            facts.image_version = behind(line, "AMI Origin Version:").or(facts.image_version);
            facts.agent_version = agent_version(line).or(facts.agent_version);
        }
        facts
    }

    /// What is known here, and what `other` knows besides.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            instance_id: self.instance_id.or(other.instance_id),
            image_name: self.image_name.or(other.image_name),
            image_version: self.image_version.or(other.image_version),
            agent_version: self.agent_version.or(other.agent_version),
        }
    }
}

fn behind(line: &str, name: &str) -> Option<String> {
    let (_, value) = line.split_once(name)?;
    let value: String = value.trim().chars().take(VALUE_CHARACTERS_MAX).collect();
    (!value.is_empty()).then_some(value)
}

fn instance_id(line: &str) -> Option<String> {
    line.match_indices("i-").find_map(|(at, _)| {
        let before = line.get(..at)?.chars().next_back();
        let digits = line.get(at.saturating_add(2)..)?;
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        let follows = digits.get(end..)?.chars().next();
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '-');
        let is_id = ID_DIGITS.contains(&end) && !is_word(before) && !is_word(follows);
        is_id.then(|| digits.get(..end).map(|digits| format!("i-{digits}"))).flatten()
    })
}

fn agent_version(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("EC2Launch v2 service v")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest.get(..end)?.trim_end_matches('.');
    (!version.is_empty() && version.len() <= VALUE_CHARACTERS_MAX).then(|| version.to_owned())
}

/// `ModuleVersion` of a PowerShell module manifest, as in `Ec2Launch.psd1` (WIN-54).
pub fn module_version(manifest: &str) -> Option<String> {
    let lines = manifest.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let value = lines.filter_map(|line| line.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("ModuleVersion").then_some(value)
    })?;
    let value = value.trim().trim_matches(['\'', '"']);
    let is_version = value.chars().all(|c| c.is_ascii_digit() || c == '.');
    (is_version && !value.is_empty() && value.len() <= VALUE_CHARACTERS_MAX)
        .then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_and_the_last_counts_win_8() {
        let log = "2026/01/31 10:00:00Z: AMI Origin Version: 2019.01.10\r\n2026/01/31 10:00:00Z: AMI Origin \
                   Name: Windows_Server-2019\r\nid i-0123456789abcdef0.\r\nLaunch: EC2Launch v2 service \
                   v2.0.1702\r\nInstance-ID: i-0aaaaaaaaaaaaaaa1\r\n";
        let expected = LogFacts {
            instance_id: Some("i-0aaaaaaaaaaaaaaa1".to_owned()),
            image_name: Some("Windows_Server-2019".to_owned()),
            image_version: Some("2019.01.10".to_owned()),
            agent_version: Some("2.0.1702".to_owned()),
        };
        assert_eq!(LogFacts::read(log.as_bytes()), expected);
        let utf16: Vec<u8> = log.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(LogFacts::read(&utf16), expected);
        for line in [
            "ami-0123456789abcdef0",
            "i-0123",
            "i-0123456789abcdef01",
            "xi-01234567",
            "i-01234567-x",
        ] {
            assert_eq!(LogFacts::read(line.as_bytes()).instance_id, None, "{line}");
        }
        assert_eq!(LogFacts::read(b"i-01234567").instance_id.as_deref(), Some("i-01234567"));
        assert_eq!(
            LogFacts::read(b"EC2Launch v2 service v\nAMI Origin Name: \n"),
            LogFacts::default()
        );
    }

    #[test]
    fn the_version_of_a_module_is_a_version_win_54() {
        for (manifest, expected) in [
            ("@{\r\n  ModuleVersion = '1.3.2004256'\r\n}", Some("1.3.2004256")),
            ("#ModuleVersion = '9'\nmoduleversion=\"1.0\"", Some("1.0")),
            ("ModuleVersion = $x", None),
            ("", None),
        ] {
            assert_eq!(module_version(manifest).as_deref(), expected, "{manifest}");
        }
    }
}
