//! Match blocks and the values that count for one user (LOGIN-17, LOGIN-18, LOGIN-22 to LOGIN-24).
//!
//! What depends on the client cannot be decided offline: the values are found for every client that makes a
//! difference (LOGIN-3; [`super::client`]).

mod criterion;

pub(super) use criterion::{Asked, Criterion};

use super::client::{self, Client, Question};
use super::daemon::Release;
use super::finding::Finding;
use super::keyword;
use super::listening::port;
use super::pattern::{matches, matches_list};
use super::sshd_config::{Block, Directive, SshdConfig};
use super::value::split_host;
use crate::guest::linux::Accounts;
use std::collections::{BTreeMap, BTreeSet};

/// Who logs in.
#[derive(Debug, Clone)]
pub struct Subject {
    /// User name.
    pub name: Vec<u8>,
    /// Names of all groups.
    pub groups: Vec<Vec<u8>>,
}

/// The values that count for one user and one kind of client.
#[derive(Debug, Clone)]
pub struct Effective<'a> {
    config: &'a SshdConfig,
    is_active: Vec<bool>,
    client: Client,
}

/// What a user's login can depend on: blocks that may be active, and questions about the client.
struct Conditions<'a> {
    config: &'a SshdConfig,
    /// Blocks whose other conditions all hold, with what they ask about the client, outer blocks included.
    blocks: Vec<(usize, Vec<Question>)>,
    /// Hosts of `user@hosts` patterns that name the user.
    hosts: Vec<Question>,
}

impl SshdConfig {
    /// The settings for `subject`: once for every kind of client that makes a difference. The first one is
    /// that for which the fewest client-dependent blocks are active.
    pub fn effective(&self, subject: &Subject) -> Vec<Effective<'_>> {
        let conditions = self.conditions(subject);
        let clients = client::all(&conditions.questions(), &self.listening);
        let clients = clients.unwrap_or_else(|| vec![client::stranger()]);
        let mut seen = BTreeSet::new();
        let mut kinds = Vec::new();
        for client in clients {
            let answers = conditions.answers(&client);
            if seen.insert(answers.clone()) {
                let count = conditions.active(&client).count();
                kinds.push((count, conditions.effective(client)));
            }
        }
        kinds.sort_by_key(|(count, _)| *count);
        kinds.into_iter().map(|(_, effective)| effective).collect()
    }

    /// The settings for `subject` and one client, and whether [`SshdConfig::effective`] has them.
    #[cfg(test)]
    pub(super) fn effective_for(
        &self,
        subject: &Subject,
        client: (&str, &str, &str, u16),
    ) -> (Effective<'_>, bool) {
        let conditions = self.conditions(subject);
        let client = Client::of(client, &conditions.questions());
        let found = conditions.effective(client);
        let is_foreseen = self.effective(subject).iter().any(|e| e.is_active == found.is_active);
        (found, is_foreseen)
    }

    /// How names of clients are found.
    #[cfg(test)]
    pub(super) fn uses_dns(&self) -> bool {
        self.listening.uses_dns
    }

    /// What cannot be decided about the conditions that matter to `subject`.
    pub fn client_findings(&self, subject: &Subject) -> Vec<Finding> {
        let conditions = self.conditions(subject);
        let mut findings = Vec::new();
        let id = ("conf-match", "LOGIN-3");
        if client::all(&conditions.questions(), &self.listening).is_none() {
            let places = self.client_blocks().take(4).collect::<Vec<_>>().join(", ");
            let message = "too many conditions on the client to look at every combination";
            findings.push(Finding::undecided(id, places, message));
        }
        let asks = |block: &&Block| {
            let is_domain = |c: &Criterion| matches!(c, Criterion::Client(Asked::RoutingDomain, _));
            block.criteria.iter().any(is_domain)
        };
        if let Some(block) = self.blocks.iter().find(asks) {
            let message = "Match RDomain ends a connection that has no routing domain";
            findings.push(Finding::undecided(id, &block.place, message));
        }
        findings
    }

    /// A Match line that asks for a group which only another name service can know, if there is one that may put
    /// the user into it (LOGIN-24).
    pub fn group_finding(&self, accounts: &Accounts) -> Option<Finding> {
        let others = accounts.services.other_groups().join(", ");
        let is_foreign = |item: &[u8]| {
            let pattern = item.strip_prefix(b"!").unwrap_or(item);
            !accounts.groups.iter().any(|group| matches(pattern, &group.name))
        };
        let asks = |criterion: &Criterion| match criterion {
            Criterion::Group(list) => list.split(|&byte| byte == b',').any(is_foreign),
            _ => false,
        };
        let block = self.blocks.iter().find(|block| block.criteria.iter().any(asks))?;
        let message = format!("Match Group names groups that {others} may know");
        let finding = Finding::undecided(("conf-match", "LOGIN-24"), &block.place, message);
        (!others.is_empty()).then_some(finding)
    }

    /// The lines of the client-dependent Match blocks, for people.
    pub fn client_blocks(&self) -> impl Iterator<Item = String> {
        let depends =
            |block: &&Block| block.criteria.iter().any(|c| matches!(c, Criterion::Client(..)));
        self.blocks.iter().filter(depends).map(|block| block.place.to_string())
    }

    fn conditions(&self, subject: &Subject) -> Conditions<'_> {
        let mut blocks: Vec<(usize, Vec<Question>)> = Vec::new();
        let mut known: BTreeMap<usize, Option<Vec<Question>>> = BTreeMap::new();
        for (index, block) in self.blocks.iter().enumerate() {
            // A block stands behind the ones around it.
            let outer = block
                .parent
                .map_or(Some(Vec::new()), |parent| known.get(&parent).cloned().flatten());
            let asked = outer.and_then(|outer| self.asks(block, subject, outer));
            if let Some(questions) = &asked {
                blocks.push((index, questions.clone()));
            }
            known.insert(index, asked);
        }
        let words = ["allowusers", "denyusers"].into_iter().flat_map(|k| self.directives_of(k));
        let words = words.flat_map(|directive| &directive.arguments);
        let release = self.daemon.release;
        let hosts = words.filter_map(|word| {
            let (user, hosts) = split_host(word, release);
            hosts.filter(|_| matches(user, &subject.name))
        });
        let hosts = hosts.map(|hosts| Question::user_hosts(hosts, &self.listening)).collect();
        Conditions { config: self, blocks, hosts }
    }

    /// What a block asks about the client besides `outer`; `None` if it cannot be active for `subject`.
    fn asks(
        &self,
        block: &Block,
        subject: &Subject,
        outer: Vec<Question>,
    ) -> Option<Vec<Question>> {
        let mut questions = outer;
        for criterion in &block.criteria {
            let holds = match criterion {
                Criterion::Always => true,
                Criterion::Never => false,
                Criterion::User(list) => matches_list(list, &subject.name) == Some(true),
                Criterion::Group(list) => group_matches(list, &subject.groups),
                Criterion::Client(asked, list) => {
                    questions.push(self.question(*asked, list));
                    true
                }
            };
            if !holds {
                return None;
            }
        }
        Some(questions)
    }

    fn question(&self, asked: Asked, list: &[u8]) -> Question {
        match asked {
            Asked::Host => Question::host(list, &self.listening),
            Asked::Address => Question::address(list, false),
            Asked::LocalAddress => Question::address(list, true),
            Asked::LocalPort => match port(list) {
                Some(port) => Question::port(port),
                None => Question::unknown("port", list),
            },
            Asked::RoutingDomain => Question::unknown("routing domain", list),
            Asked::Version => {
                let text = match self.daemon.release {
                    Release::Known(version) => Some(format!("OpenSSH_{version}p1")),
                    _ => None,
                };
                match text.and_then(|text| client::version_answer(list, &text)) {
                    Some(true) => Question::address(b"*", false),
                    Some(false) => Question::address(b"!*", false),
                    None => Question::unknown("version", list),
                }
            }
        }
    }
}

impl<'a> Conditions<'a> {
    fn questions(&self) -> Vec<&Question> {
        let blocks = self.blocks.iter().flat_map(|(_, questions)| questions);
        blocks.chain(&self.hosts).collect()
    }

    /// The blocks that are active for a client.
    fn active(&self, client: &Client) -> impl Iterator<Item = usize> {
        let is_active = |(_, asked): &&(usize, Vec<Question>)| {
            asked.iter().all(|question| client.answers(question))
        };
        self.blocks.iter().filter(is_active).map(|(index, _)| *index)
    }

    /// Everything that depends on the client.
    fn answers(&self, client: &Client) -> (Vec<usize>, Vec<bool>) {
        let hosts = self.hosts.iter().map(|question| client.answers(question));
        (self.active(client).collect(), hosts.collect())
    }

    fn effective(&self, client: Client) -> Effective<'a> {
        let mut is_active = vec![false; self.config.blocks.len()];
        for index in self.active(&client) {
            if let Some(flag) = is_active.get_mut(index) {
                *flag = true;
            }
        }
        Effective { config: self.config, is_active, client }
    }
}

fn group_matches(list: &[u8], groups: &[Vec<u8>]) -> bool {
    let mut hits = groups.iter().filter_map(|group| matches_list(list, group)).peekable();
    hits.peek().is_some() && hits.all(|hit| hit)
}

impl<'a> Effective<'a> {
    /// The values that count before anybody connects: those of the global part.
    pub(super) fn global(config: &'a SshdConfig) -> Self {
        Self { config, is_active: Vec::new(), client: client::stranger() }
    }

    /// The directive that sets `keyword` (in lower case): the first in a matching block, else the first global
    /// one (LOGIN-17, LOGIN-22).
    pub fn first(&self, keyword: &str) -> Option<&'a Directive> {
        self.all(keyword).into_iter().next()
    }

    /// The directive that sets `keyword` when sshd starts, before anybody connects.
    pub(super) fn at_start(&self, keyword: &str) -> Option<&'a Directive> {
        self.config.directives_of(keyword).find(|found| self.config.is_always_active(found.block))
    }

    /// All directives that count for a keyword whose lines add up (LOGIN-18); matching blocks replace the
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

    /// The first argument of the deciding directive in lower case, else the default of this sshd where it is
    /// known ([`super::daemon::Daemon::default_value`]).
    pub fn value(&self, keyword: &str) -> Option<Vec<u8>> {
        match self.first(keyword) {
            Some(found) => Some(found.arguments.first()?.to_ascii_lowercase()),
            None => {
                self.config.daemon.default_value(keyword).map(|value| value.as_bytes().to_vec())
            }
        }
    }

    /// A yes/no setting; `default` is for keywords whose default depends neither on release nor on vendor.
    pub fn flag(&self, keyword: &str, default: bool) -> bool {
        match self.value(keyword).as_deref() {
            Some(b"yes") => true,
            Some(b"no") => false,
            _ => default,
        }
    }

    /// The release of the sshd that reads these values.
    pub fn release(&self) -> Release {
        self.config.daemon.release
    }

    /// All arguments of all directives that count for a list.
    pub fn list(&self, keyword: &str) -> Vec<&'a [u8]> {
        let all = self.all(keyword).into_iter();
        let directives = all.take(if keyword::adds_up(keyword) { usize::MAX } else { 1 });
        directives.flat_map(|found| found.arguments.iter().map(Vec::as_slice)).collect()
    }

    /// True if AllowUsers or DenyUsers (`keyword`) names the user for this kind of client (LOGIN-60,
    /// LOGIN-61).
    pub fn names_user(&self, keyword: &str, name: &[u8]) -> bool {
        let release = self.config.daemon.release;
        self.list(keyword).into_iter().any(|word| {
            let (user, hosts) = split_host(word, release);
            let fits =
                |hosts| self.client.answers(&Question::user_hosts(hosts, &self.config.listening));
            matches(user, name) && hosts.is_none_or(fits)
        })
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
