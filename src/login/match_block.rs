//! Match blocks and the values that count for one user (LOGIN-17, LOGIN-18, LOGIN-22 to LOGIN-24).
//!
//! A condition on the client cannot be decided offline; it is evaluated both ways (LOGIN-3).

use super::pattern::matches_list;
use super::sshd_config::{Block, Directive, SshdConfig};

/// Bound on the nesting of blocks through includes; sshd's include depth.
const NESTING_MAX: usize = 16;
/// Client-dependent blocks that are tried one by one; more are tried only together.
const CLIENT_BLOCKS_MAX: usize = 16;

/// One condition of a Match line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Criterion {
    Always,
    Never,
    User(Vec<u8>),
    Group(Vec<u8>),
    /// Depends on the client or the connection.
    Client(Vec<u8>),
}

impl Criterion {
    /// Parses the arguments of `Match`.
    pub(super) fn parse_all(arguments: &[Vec<u8>]) -> Result<Vec<Self>, String> {
        let mut criteria = Vec::new();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let equals = word.iter().position(|&byte| byte == b'=');
            let (name, inline) = match equals {
                Some(at) => (word.get(..at), word.get(at.saturating_add(1)..)),
                None => (Some(word.as_slice()), None),
            };
            let name = name.unwrap_or_default().to_ascii_lowercase();
            if name == b"all" {
                return match (arguments.len(), inline) {
                    (1, None) => Ok(vec![Self::Always]),
                    _ => Err("Match all stands with other conditions".to_owned()),
                };
            }
            // An existing user is what we ask about.
            if name == b"invalid-user" {
                criteria.push(Self::Never);
                continue;
            }
            let value = inline.or_else(|| words.next().map(Vec::as_slice));
            let missing = || "a condition of Match has no value".to_owned();
            let value = value.filter(|value| !value.is_empty()).ok_or_else(missing)?.to_vec();
            criteria.push(match name.as_slice() {
                b"user" => Self::User(value),
                b"group" => Self::Group(value),
                b"host" | b"address" | b"localaddress" | b"localport" | b"rdomain" | b"version" => {
                    Self::Client(value)
                }
                _ => return Err("Match has an unknown condition".to_owned()),
            });
        }
        Ok(criteria)
    }
}

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Subject {
    /// User name.
    pub name: Vec<u8>,
    /// Names of all groups.
    pub groups: Vec<Vec<u8>>,
}

/// The values that count for one user and one assumption about the client.
#[derive(Debug, Clone)]
pub struct Effective<'a> {
    config: &'a SshdConfig,
    is_active: Vec<bool>,
}

impl SshdConfig {
    /// The settings for `subject`: once for every assumption about the client that may matter. The
    /// first one
    /// assumes that no client-dependent block matches.
    pub fn effective(&self, subject: &Subject) -> Vec<Effective<'_>> {
        let clients: Vec<usize> = self
            .blocks
            .iter()
            .enumerate()
            .filter(|(_, block)| block.criteria.iter().any(|c| matches!(c, Criterion::Client(_))))
            .map(|(index, _)| index)
            .collect();
        let mut assumptions: Vec<Vec<usize>> = vec![Vec::new()];
        if !clients.is_empty() {
            assumptions.push(clients.clone());
        }
        if clients.len() > 1 {
            assumptions.extend(clients.iter().take(CLIENT_BLOCKS_MAX).map(|&index| vec![index]));
        }
        let evaluate = |assumed: Vec<usize>| {
            let is_active = (0..self.blocks.len())
                .map(|index| is_active(&self.blocks, index, subject, &assumed))
                .collect();
            Effective { config: self, is_active }
        };
        assumptions.into_iter().map(evaluate).collect()
    }

    /// The lines of the client-dependent Match blocks, for people.
    pub fn client_blocks(&self) -> impl Iterator<Item = String> {
        let depends =
            |block: &&Block| block.criteria.iter().any(|c| matches!(c, Criterion::Client(_)));
        self.blocks.iter().filter(depends).map(|block| block.place.to_string())
    }
}

fn is_active(blocks: &[Block], index: usize, subject: &Subject, assumed: &[usize]) -> bool {
    let mut next = Some(index);
    for _ in 0..=NESTING_MAX {
        let Some(index) = next else { return true };
        let Some(block) = blocks.get(index) else { return false };
        let holds = |criterion: &Criterion| match criterion {
            Criterion::Always => true,
            Criterion::Never => false,
            Criterion::User(list) => matches_list(list, &subject.name) == Some(true),
            Criterion::Group(list) => group_matches(list, &subject.groups),
            Criterion::Client(_) => assumed.contains(&index),
        };
        if !block.criteria.iter().all(holds) {
            return false;
        }
        next = block.parent;
    }
    false
}

fn group_matches(list: &[u8], groups: &[Vec<u8>]) -> bool {
    let mut hits = groups.iter().filter_map(|group| matches_list(list, group)).peekable();
    hits.peek().is_some() && hits.all(|hit| hit)
}

impl<'a> Effective<'a> {
    /// The directive that sets `keyword` (in lower case): the first in a matching block, else the
    /// first global
    /// one (LOGIN-17, LOGIN-22).
    pub fn first(&self, keyword: &str) -> Option<&'a Directive> {
        self.all(keyword).into_iter().next()
    }

    /// All directives that count for a keyword whose lines add up (LOGIN-18); matching blocks
    /// replace the
    /// global ones.
    pub fn all(&self, keyword: &str) -> Vec<&'a Directive> {
        let wanted = || self.config.directives_of(keyword);
        let is_active = |block: usize| self.is_active.get(block) == Some(&true);
        let matched: Vec<_> = wanted().filter(|found| found.block.is_some_and(is_active)).collect();
        if matched.is_empty() {
            wanted().filter(|found| found.block.is_none()).collect()
        } else {
            matched
        }
    }

    /// The first argument of the deciding directive in lower case.
    pub fn value(&self, keyword: &str) -> Option<Vec<u8>> {
        Some(self.first(keyword)?.arguments.first()?.to_ascii_lowercase())
    }

    /// A yes/no setting.
    pub fn flag(&self, keyword: &str, default: bool) -> bool {
        match self.value(keyword).as_deref() {
            Some(b"yes") => true,
            Some(b"no") => false,
            _ => default,
        }
    }

    /// All arguments of all directives that count for a list.
    pub fn list(&self, keyword: &str) -> Vec<&'a [u8]> {
        let directives = self.all(keyword).into_iter();
        directives.flat_map(|found| found.arguments.iter().map(Vec::as_slice)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::memory::MemoryTree;

    fn values(text: &str, keyword: &str) -> Vec<Vec<String>> {
        let mut tree = MemoryTree::new();
        tree.file("/etc/ssh/sshd_config", 0, 0o644, text.as_bytes());
        let config = SshdConfig::read(&tree).unwrap();
        let subject = Subject { name: b"a".to_vec(), groups: vec![b"a".to_vec(), b"g".to_vec()] };
        let shown = |found: &Effective<'_>| {
            let list = found.list(keyword);
            list.iter().map(|v| String::from_utf8_lossy(v).into_owned()).collect()
        };
        config.effective(&subject).iter().map(shown).collect()
    }

    #[test]
    fn matching_blocks_replace_global_values_login_22() {
        for (text, expected) in [
            ("AllowUsers x\nAllowUsers y\n", "x y"),
            ("AllowUsers x\nMatch User a\nAllowUsers y\nMatch User a\nAllowUsers z\n", "y z"),
            ("AllowUsers x\nMatch User b\nAllowUsers y\nMatch all\nAllowUsers z\n", "z"),
            ("AllowUsers x\nMatch Group g,h\nAllowUsers y\n", "y"),
            ("AllowUsers x\nMatch Group *,!g\nAllowUsers y\n", "x"),
            ("AllowUsers x\nMatch User *,!a\nAllowUsers y\n", "x"),
            ("AllowUsers x\nMatch User a Group h\nAllowUsers y\n", "x"),
            ("AllowUsers x\nMatch user=a\nAllowUsers y\n", "y"),
            ("AllowUsers x\nMatch invalid-user\nAllowUsers y\n", "x"),
        ] {
            let found = values(text, "allowusers");
            assert_eq!(
                found,
                [expected.split(' ').map(str::to_owned).collect::<Vec<_>>()],
                "{text}"
            );
        }
    }

    #[test]
    fn client_conditions_are_evaluated_both_ways_login_3() {
        let text = "AllowUsers x\nMatch Address 10.0.0.0/8\nAllowUsers y\nMatch User b Host *\nAllowUsers z\n";
        let found = values(text, "allowusers");
        assert_eq!(found.first(), Some(&vec!["x".to_owned()]));
        assert_eq!(found.get(1), Some(&vec!["y".to_owned()]));
    }

    #[test]
    fn an_include_inside_a_block_belongs_to_it_login_23() {
        let mut tree = MemoryTree::new();
        tree.file("/etc/ssh/sshd_config", 0, 0o644, b"Match User b\nInclude x\nAllowUsers y\n")
            .file("/etc/ssh/x", 0, 0o644, b"AllowUsers z\nMatch all\nDenyUsers a\n");
        let config = SshdConfig::read(&tree).unwrap();
        let subject = Subject { name: b"a".to_vec(), groups: Vec::new() };
        let effective = config.effective(&subject);
        assert!(effective[0].list("allowusers").is_empty());
        assert!(effective[0].list("denyusers").is_empty());
        let subject = Subject { name: b"b".to_vec(), groups: Vec::new() };
        let effective = config.effective(&subject);
        assert_eq!(effective[0].list("allowusers"), [b"z".as_slice(), b"y"]);
        assert_eq!(effective[0].list("denyusers"), [b"a"]);
    }
}
