//! What a configuration may ask about a client, and every client that makes a difference (LOGIN-3).
//!
//! Networks are decided exactly: between the borders of all networks that a configuration names every address
//! is like every other, so one address of each stretch stands for all. What cannot be decided that way, as a
//! host name or an odd pattern, is a fact that may hold or not, the same one wherever it is written the same
//! way. So every client that exists is covered; a few that do not exist may be, which never makes an answer
//! too certain.
//!
//! Bounds: [`CLIENTS_MAX`], [`WORK_MAX`].

use super::address::{Network, Point};
use super::listening::Listening;
use super::pattern::matches;
use std::collections::{BTreeMap, BTreeSet};

/// Bound on the clients that are told apart for one user.
const CLIENTS_MAX: usize = 2048;
/// Bound on clients times questions for one user.
const WORK_MAX: usize = 200_000;

/// One thing that a list asks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// The answer is known.
    Is(bool),
    /// The remote address lies in a network.
    From(Network),
    /// The local address does.
    At(Network),
    /// Something that is not known, by its kind and text.
    Fact(Fact),
}

/// Something about a client that is not decided further.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fact(&'static str, Vec<u8>);

/// A list of items with `!` negation, as sshd walks it: a negated hit makes it false at once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct List(Vec<(bool, Term)>);

/// A question about the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    One(List),
    /// `user@hosts`: the list of addresses must not deny, that of names neither, and one must hit.
    AddressOrName(List, List),
    Port(u16),
}

impl Question {
    /// `Match Address`, `Match LocalAddress`.
    pub(super) fn address(list: &[u8], is_local: bool) -> Self {
        Self(Kind::One(address_list(list, is_local)))
    }

    /// `Match Host`.
    pub(super) fn host(list: &[u8], listening: &Listening) -> Self {
        Self(Kind::One(host_list(list, listening)))
    }

    /// `Match LocalPort`.
    pub(super) fn port(port: u16) -> Self {
        Self(Kind::Port(port))
    }

    /// A list of something that is not known at all.
    pub(super) fn unknown(kind: &'static str, list: &[u8]) -> Self {
        Self(Kind::One(List(vec![(false, Term::Fact(Fact(kind, list.to_vec())))])))
    }

    /// The hosts of `user@hosts`.
    pub(super) fn user_hosts(hosts: &[u8], listening: &Listening) -> Self {
        Self(Kind::AddressOrName(address_list(hosts, false), host_list(hosts, listening)))
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        let (one, other) = match &self.0 {
            Kind::One(list) => (Some(list), None),
            Kind::AddressOrName(address, name) => (Some(address), Some(name)),
            Kind::Port(_) => (None, None),
        };
        one.into_iter().chain(other)
    }
}

fn items(list: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    list.split(|&byte| byte == b',').map(|item| match item.strip_prefix(b"!") {
        Some(item) => (true, item),
        None => (false, item),
    })
}

fn address_list(list: &[u8], is_local: bool) -> List {
    let inside = if is_local { Term::At } else { Term::From };
    let kind = if is_local { "local address" } else { "address" };
    let term = |item: &[u8]| match Network::parse(item) {
        Ok(Some(network)) => inside(network),
        _ => address_pattern(item, kind, inside),
    };
    List(items(list).map(|(is_negated, item)| (is_negated, term(item))).collect())
}

/// A wildcard pattern against the text of an address.
fn address_pattern(pattern: &[u8], kind: &'static str, inside: fn(Network) -> Term) -> Term {
    if !pattern.is_empty() && pattern.iter().all(|&byte| byte == b'*') {
        return Term::Is(true);
    }
    if let Some(network) = Network::of_pattern(pattern) {
        return inside(network);
    }
    let is_of_address = |byte: &u8| byte.is_ascii_hexdigit() || b".:*?".contains(byte);
    if pattern.is_empty() || !pattern.iter().all(is_of_address) {
        return Term::Is(false);
    }
    Term::Fact(Fact(kind, pattern.to_vec()))
}

fn host_list(list: &[u8], listening: &Listening) -> List {
    let term = |item: &[u8]| {
        let pattern = item.to_ascii_lowercase();
        if !pattern.is_empty() && pattern.iter().all(|&byte| byte == b'*') {
            return Term::Is(true);
        }
        if listening.uses_dns {
            return Term::Fact(Fact("host", pattern));
        }
        // The name is the text of the address: an address must be written as sshd writes it.
        match Network::parse(&pattern) {
            Ok(Some(network)) if network.is_host() && !pattern.contains(&b'/') => {
                let is_text = |text: String| text.as_bytes() == pattern.as_slice();
                let parsed = super::address::parse_address(&pattern);
                if parsed.is_some_and(|address| is_text(address.to_string())) {
                    Term::From(network)
                } else {
                    Term::Is(false)
                }
            }
            Ok(None) => address_pattern(&pattern, "address", Term::From),
            _ => Term::Is(false),
        }
    };
    // Names are compared in lower case, and a list longer than sshd's buffer matches nothing.
    List(items(list).map(|(is_negated, item)| (is_negated, term(item))).collect())
}

/// One client, as far as a configuration can tell it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    remote: Point,
    local: Point,
    port: Option<u16>,
    facts: BTreeMap<Fact, bool>,
}

impl Client {
    /// The answer for this client.
    pub(super) fn answers(&self, question: &Question) -> bool {
        match &question.0 {
            Kind::One(list) => self.walk(list) == Some(true),
            Kind::AddressOrName(address, name) => {
                let answers = [self.walk(address), self.walk(name)];
                !answers.contains(&Some(false)) && answers.contains(&Some(true))
            }
            Kind::Port(port) => match self.port {
                Some(known) => known == *port,
                None => self.holds(&port_fact(*port)),
            },
        }
    }

    /// `Some(false)` for a negated hit, `None` without any hit.
    fn walk(&self, list: &List) -> Option<bool> {
        let mut found = None;
        for (is_negated, term) in &list.0 {
            let is_hit = match term {
                Term::Is(answer) => *answer,
                Term::From(network) => network.contains(self.remote),
                Term::At(network) => network.contains(self.local),
                Term::Fact(fact) => self.holds(fact),
            };
            if is_hit && *is_negated {
                return Some(false);
            }
            found = found.or(is_hit.then_some(true));
        }
        found
    }

    fn holds(&self, fact: &Fact) -> bool {
        self.facts.get(fact) == Some(&true)
    }
}

fn port_fact(port: u16) -> Fact {
    Fact("port", port.to_string().into_bytes())
}

/// Every client that makes a difference to `questions`; `None` if there are too many.
pub(super) fn all(questions: &[&Question], listening: &Listening) -> Option<Vec<Client>> {
    let mut remote = BTreeSet::new();
    let mut local = BTreeSet::new();
    let mut facts = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for question in questions {
        if let Kind::Port(port) = question.0 {
            ports.insert(port);
        }
        for (_, term) in question.lists().flat_map(|list| &list.0) {
            match term {
                Term::Is(_) => {}
                Term::From(network) => drop(remote.insert(*network)),
                Term::At(network) => drop(local.insert(*network)),
                Term::Fact(fact) => drop(facts.insert(fact.clone())),
            }
        }
    }
    let remote = stretches(&remote);
    let local = match &listening.addresses {
        Some(known) if !known.is_empty() => known.iter().map(Network::start).collect(),
        _ => stretches(&local),
    };
    let ports: Vec<Option<u16>> = match &listening.ports {
        Some(known) if !known.is_empty() => known.iter().map(|&port| Some(port)).collect(),
        _ => {
            facts.extend(ports.into_iter().map(port_fact));
            vec![None]
        }
    };
    let facts: Vec<Fact> = facts.into_iter().collect();
    let assignments = 1usize.checked_shl(u32::try_from(facts.len()).ok()?)?;
    let count = remote.len().checked_mul(local.len())?.checked_mul(ports.len())?;
    let count = count.checked_mul(assignments)?;
    if count > CLIENTS_MAX || count.checked_mul(questions.len())? > WORK_MAX {
        return None;
    }
    let mut clients = Vec::new();
    for assignment in 0..assignments {
        let is_set = |bit: usize| {
            u32::try_from(bit)
                .is_ok_and(|bit| assignment.checked_shr(bit).is_some_and(|b| b & 1 == 1))
        };
        let facts: BTreeMap<Fact, bool> =
            facts.iter().enumerate().map(|(bit, fact)| (fact.clone(), is_set(bit))).collect();
        for &remote in &remote {
            for &local in &local {
                let with = |&port| Client { remote, local, port, facts: facts.clone() };
                clients.extend(ports.iter().map(with));
            }
        }
    }
    Some(clients)
}

#[cfg(test)]
impl Client {
    /// A client as sshd sees it: every fact has its answer.
    pub(super) fn of(
        (host, remote, local, port): (&str, &str, &str, u16),
        questions: &[&Question],
    ) -> Self {
        let at = |text: &str| Network::parse(text.as_bytes()).unwrap().unwrap().start();
        let fact = |fact: &Fact| {
            let text = match fact.0 {
                "host" => host,
                "address" => remote,
                "local address" => local,
                "port" => &port.to_string(),
                other => panic!("{other}"),
            };
            (fact.clone(), matches(&fact.1, text.as_bytes()))
        };
        let terms = questions.iter().flat_map(|question| question.lists());
        let facts = terms.flat_map(|list| &list.0).filter_map(|(_, term)| match term {
            Term::Fact(known) => Some(fact(known)),
            _ => None,
        });
        Self { remote: at(remote), local: at(local), port: Some(port), facts: facts.collect() }
    }
}

/// A client that no list names, for when there are too many to tell apart.
pub(super) fn stranger() -> Client {
    let [origin, _] = Point::ORIGINS;
    Client { remote: origin, local: origin, port: None, facts: BTreeMap::new() }
}

/// One address of every stretch between the borders of `networks`, each with another answer.
fn stretches(networks: &BTreeSet<Network>) -> Vec<Point> {
    if networks.is_empty() {
        return Point::ORIGINS.into_iter().take(1).collect();
    }
    let starts = networks.iter().map(Network::start);
    let ends = networks.iter().filter_map(Network::after);
    let points: BTreeSet<Point> = Point::ORIGINS.into_iter().chain(starts).chain(ends).collect();
    if points.len() > CLIENTS_MAX {
        // Too many in any case.
        return points.into_iter().collect();
    }
    let mut seen = BTreeSet::new();
    let answers = |point: &Point| networks.iter().map(|n| n.contains(*point)).collect::<Vec<_>>();
    points.into_iter().filter(|point| seen.insert(answers(point))).collect()
}

/// True if `pattern` fits the text of the release whatever the vendor appended to it.
pub(super) fn version_answer(list: &[u8], release_text: &str) -> Option<bool> {
    let answer = |text: &str| {
        let mut found = false;
        for (is_negated, item) in items(list) {
            if matches(item, text.as_bytes()) {
                if is_negated {
                    return false;
                }
                found = true;
            }
        }
        found
    };
    let plain = answer(release_text);
    (plain == answer(&format!("{release_text} Vendor-1"))).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers that clients can give to questions about their address, each combination once.
    fn combinations(lists: &[&str]) -> BTreeSet<String> {
        let listening = Listening::default();
        let questions: Vec<Question> =
            lists.iter().map(|list| Question::address(list.as_bytes(), false)).collect();
        let questions: Vec<&Question> = questions.iter().collect();
        let clients = all(&questions, &listening).unwrap();
        let shown = |client: &Client| {
            questions
                .iter()
                .map(|question| if client.answers(question) { '1' } else { '0' })
                .collect()
        };
        clients.iter().map(shown).collect()
    }

    #[test]
    fn only_combinations_that_exist_are_told_apart_login_3() {
        for (lists, expected) in [
            (vec!["10.0.0.0/8"], "0 1"),
            (vec!["10.0.0.0/8", "10.0.0.0/8"], "00 11"),
            (vec!["10.0.0.0/8", "*,!10.0.0.0/8"], "01 10"),
            (vec!["10.0.0.0/8", "10.1.0.0/16"], "00 10 11"),
            (vec!["10.1.0.0/16", "10.*"], "00 01 11"),
            (vec!["10.0.0.0/8", "192.0.2.0/24"], "00 01 10"),
            (vec!["10.0.0.0/8", "2001:db8::/32"], "00 01 10"),
            (vec!["0.0.0.0/0", "::/0"], "01 10"),
            (vec!["*"], "1"),
            (vec!["*.example.com"], "0"),
            (vec!["10.0.0.*,!10.0.0.7", "10.0.0.7"], "00 01 10"),
            (vec!["1*.2", "1*.2", "!1*.2,*"], "001 110"),
            (vec!["10.0.0.0/25", "10.0.0.128/25", "10.0.0.0/24"], "000 011 101"),
        ] {
            let expected = expected.split(' ').map(str::to_owned).collect();
            assert_eq!(combinations(&lists), expected, "{lists:?}");
        }
    }

    #[test]
    fn without_dns_the_name_is_the_address_login_61() {
        for (list, uses_dns, expected) in [
            ("*.example.com", false, "0"),
            ("*.example.com", true, "0 1"),
            ("*", true, "1"),
            ("10.0.0.1", false, "0 1"),
            ("010.0.0.1", false, "0"),
            ("10.0.0.0/8", false, "0"),
            ("10.*", false, "0 1"),
        ] {
            let listening = Listening { uses_dns, ..Listening::default() };
            let question = Question::host(list.as_bytes(), &listening);
            let clients = all(&[&question], &listening).unwrap();
            let answers: BTreeSet<_> = clients.iter().map(|c| c.answers(&question)).collect();
            let shown: Vec<_> =
                answers.iter().map(|&answer| u8::from(answer).to_string()).collect();
            assert_eq!(shown.join(" "), expected, "{list} {uses_dns}");
        }
    }

    #[test]
    fn a_denied_address_denies_the_user_whatever_its_name_login_61() {
        let listening = Listening { uses_dns: true, ..Listening::default() };
        let question = Question::user_hosts(b"*.example.com,!10.0.0.0/8", &listening);
        let inside = Question::address(b"10.0.0.0/8", false);
        let clients = all(&[&question, &inside], &listening).unwrap();
        assert!(clients.iter().all(|c| !(c.answers(&question) && c.answers(&inside))));
        assert!(clients.iter().any(|c| c.answers(&question)));
    }

    #[test]
    fn ports_are_certain_where_the_configuration_names_them_login_3() {
        let question = Question::port(22);
        for (ports, expected) in [
            (Some(vec![22]), vec![true]),
            (Some(vec![2222]), vec![false]),
            (Some(vec![22, 2222]), vec![true, false]),
            (None, vec![false, true]),
        ] {
            let listening = Listening { ports, ..Listening::default() };
            let clients = all(&[&question], &listening).unwrap();
            let answers: Vec<_> = clients.iter().map(|c| c.answers(&question)).collect();
            assert_eq!(answers, expected);
        }
    }

    #[test]
    fn too_many_facts_are_given_up() {
        let listening = Listening { uses_dns: true, ..Listening::default() };
        let hosts: Vec<Question> =
            (0..12).map(|n| Question::host(format!("h{n}").as_bytes(), &listening)).collect();
        assert!(all(&hosts.iter().take(11).collect::<Vec<_>>(), &listening).is_some());
        assert!(all(&hosts.iter().collect::<Vec<_>>(), &listening).is_none());
    }

    #[test]
    fn a_version_is_decided_unless_the_vendor_matters() {
        for (list, expected) in [
            ("OpenSSH_10.*", Some(true)),
            ("OpenSSH_9.*", Some(false)),
            ("OpenSSH_10.0p1", None),
            ("*,!OpenSSH_10.*", Some(false)),
        ] {
            assert_eq!(version_answer(list.as_bytes(), "OpenSSH_10.0p1"), expected, "{list}");
        }
    }
}
