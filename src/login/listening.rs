//! Where sshd listens, and how it names clients: what the global part of a configuration says about both.

use super::address::Network;
use super::match_block::Effective;
use super::sshd_config::SshdConfig;

/// What is known of the place where sshd listens and how it names clients.
#[derive(Debug, Clone, Default)]
pub(super) struct Listening {
    /// True if sshd asks for the name of a client; else its name is its address.
    pub(super) uses_dns: bool,
    /// The ports, if all are known.
    pub(super) ports: Option<Vec<u16>>,
    /// The local addresses, if all are known.
    pub(super) addresses: Option<Vec<Network>>,
}

impl Listening {
    /// As far as the global part of a configuration says.
    pub(super) fn of(config: &SshdConfig) -> Self {
        let global = Effective::global(config);
        let uses_dns = global.flag("usedns", false);
        let command_line = &config.daemon.command_line;
        let mut ports = command_line.ports.clone();
        if ports.is_empty() {
            ports = global.list("port").into_iter().filter_map(port).collect();
        }
        if ports.is_empty() {
            ports.push(22);
        }
        let given: Vec<_> = global.list("listenaddress").into_iter().map(listen_address).collect();
        // A socket unit has ports and addresses of its own; a name is not resolved here.
        if command_line.is_socket_activated || given.iter().any(Option::is_none) {
            return Self { uses_dns, ports: None, addresses: None };
        }
        let given: Vec<_> = given.into_iter().flatten().collect();
        let is_one = |address: &Network| !address.is_unspecified();
        let addresses: Vec<Network> = given.iter().map(|(address, _)| *address).collect();
        let is_certain = !addresses.is_empty() && addresses.iter().all(is_one);
        if !given.is_empty() {
            let common = std::mem::take(&mut ports);
            for (_, port) in &given {
                match port {
                    Some(port) => ports.push(*port),
                    None => ports.extend(&common),
                }
            }
        }
        let addresses = is_certain.then_some(addresses);
        Self { uses_dns, ports: Some(ports), addresses }
    }
}

/// The number of a port, or of the service `ssh`.
pub(super) fn port(text: &[u8]) -> Option<u16> {
    match text {
        b"ssh" => Some(22),
        digits => std::str::from_utf8(digits).ok()?.parse().ok(),
    }
}

/// `address`, `address:port`, `[address]:port`; `None` for names.
fn listen_address(text: &[u8]) -> Option<(Network, Option<u16>)> {
    let whole = |text: &[u8]| Network::parse(text).ok().flatten().filter(Network::is_host);
    if let Some(address) = whole(text) {
        return Some((address, None));
    }
    let colon = text.iter().rposition(|&byte| byte == b':');
    let (address, rest) = text.split_at(colon.unwrap_or(text.len()));
    let (address, port_text) =
        if text.ends_with(b"]") { (text, None) } else { (address, rest.strip_prefix(b":")) };
    let inner = address.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]"));
    let address = whole(inner.unwrap_or(address))?;
    match port_text {
        None => Some((address, None)),
        Some(text) => Some((address, Some(port(text)?))),
    }
}
