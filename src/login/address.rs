//! Addresses and networks as sshd writes them in lists (LOGIN-24, LOGIN-61).

use std::net::{IpAddr, Ipv4Addr};

/// Bound on the text of a network, as in sshd; longer text is a wildcard pattern.
const TEXT_BYTES_MAX: usize = 63;

/// A network: an address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Network {
    is_v6: bool,
    /// The address as a number, and the last one.
    first: u128,
    last: u128,
}

/// A prefix that is longer than the address, or bits set behind it: sshd refuses the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadPrefix;

impl Network {
    /// Parses an address or a network; `None` if it is neither, and then a wildcard pattern for sshd.
    pub(super) fn parse(text: &[u8]) -> Result<Option<Self>, BadPrefix> {
        if text.len() > TEXT_BYTES_MAX {
            return Ok(None);
        }
        let slash = text.iter().position(|&byte| byte == b'/');
        let (address, prefix) = match slash {
            Some(at) => (text.get(..at), text.get(at.saturating_add(1)..)),
            None => (Some(text), None),
        };
        let prefix = match prefix {
            None => None,
            Some(digits) => match number(digits, 10).filter(|&bits| bits <= 128) {
                None => return Ok(None),
                bits => bits,
            },
        };
        let Some(address) = parse_address(address.unwrap_or_default()) else { return Ok(None) };
        let (is_v6, first, bits) = match address {
            IpAddr::V4(address) => (false, u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (true, address.to_bits(), 128),
        };
        let host_bits = match prefix {
            None => 0,
            Some(prefix) => u32::try_from(bits)
                .ok()
                .zip(u32::try_from(prefix).ok())
                .and_then(|(bits, prefix)| bits.checked_sub(prefix))
                .ok_or(BadPrefix)?,
        };
        let hosts = 1u128.checked_shl(host_bits).map_or(u128::MAX, |count| count.saturating_sub(1));
        if first & hosts != 0 {
            return Err(BadPrefix);
        }
        Ok(Some(Self { is_v6, first, last: first | hosts }))
    }

    /// The network of a wildcard pattern like `10.1.*`, which stands for whole parts of an IPv4 address.
    pub(super) fn of_pattern(pattern: &[u8]) -> Option<Self> {
        let start = pattern.strip_suffix(b"*")?.strip_suffix(b".")?;
        let parts: Vec<&[u8]> = start.split(|&byte| byte == b'.').collect();
        let missing = 4usize.checked_sub(parts.len()).filter(|&missing| missing > 0)?;
        let mut first = 0u128;
        for part in parts {
            // As inet_ntop(3) writes it: no leading zeros.
            let value =
                number(part, 10).filter(|&v| v <= 255 && v.to_string().as_bytes() == part)?;
            first = (first << 8) | u128::from(value);
        }
        let bits = u32::try_from(missing).ok()?.checked_mul(8)?;
        let first = first.checked_shl(bits)?;
        let hosts = 1u128.checked_shl(bits)?.saturating_sub(1);
        Some(Self { is_v6: false, first, last: first | hosts })
    }

    /// True if `point` lies in the network.
    pub(super) fn contains(&self, point: Point) -> bool {
        self.is_v6 == point.is_v6 && (self.first..=self.last).contains(&point.address)
    }

    /// Its first address.
    pub(super) fn start(&self) -> Point {
        Point { is_v6: self.is_v6, address: self.first }
    }

    /// The address behind it, if there is one.
    pub(super) fn after(&self) -> Option<Point> {
        let end = if self.is_v6 { u128::MAX } else { u128::from(u32::MAX) };
        let address = self.last.checked_add(1).filter(|&next| next <= end)?;
        Some(Point { is_v6: self.is_v6, address })
    }

    /// True for `0.0.0.0` and `::`, which stand for every address of the machine.
    pub(super) fn is_unspecified(&self) -> bool {
        self.last == 0
    }

    /// True if it is one address.
    pub(super) fn is_host(&self) -> bool {
        self.first == self.last
    }
}

/// One address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Point {
    is_v6: bool,
    address: u128,
}

impl Point {
    /// The first addresses of both families.
    pub(super) const ORIGINS: [Self; 2] =
        [Self { is_v6: false, address: 0 }, Self { is_v6: true, address: 0 }];
}

/// An address as getaddrinfo(3) takes numeric ones: IPv6, or IPv4 with one to four parts.
pub(super) fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let parts: Vec<&str> = text.split('.').collect();
    let (last, leading) = parts.split_last()?;
    let mut address = 0u64;
    for part in leading {
        address = address.checked_mul(256)?.checked_add(c_number(part).filter(|&v| v <= 255)?)?;
    }
    let rest_bytes = 4usize.checked_sub(leading.len())?;
    let width = u32::try_from(rest_bytes).ok()?.checked_mul(8).filter(|&bits| bits > 0)?;
    let last = c_number(last).filter(|&value| value.checked_shr(width) == Some(0))?;
    let address = address.checked_shl(width)? | last;
    Some(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(address).ok()?)))
}

/// Decimal, octal with `0`, hexadecimal with `0x`.
fn c_number(text: &str) -> Option<u64> {
    match text.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => number(digits, 8),
        digits => number(digits, 10),
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    if text.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Point {
        Network::parse(text.as_bytes()).unwrap().unwrap().start()
    }

    #[test]
    fn networks_are_read_as_sshd_reads_them_login_24() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::1", "1.2.3.4"),
            ("10.1", "10.0.0.1", "10.1.0.0"),
            ("010.0.0.0/8", "8.1.1.1", "10.0.0.0"),
            ("0x7f000001", "127.0.0.1", "127.0.0.2"),
        ] {
            let network = Network::parse(text.as_bytes()).unwrap().unwrap();
            assert!(network.contains(at(inside)) && !network.contains(at(outside)), "{text}");
        }
        for text in ["10.0.0.1/8", "10.0.0.0/33", "2001:db8::1/32", "10/8"] {
            assert_eq!(Network::parse(text.as_bytes()), Err(BadPrefix), "{text}");
        }
        for text in ["*", "10.0.0.*", "host", "10.0.0.0/129", "10.0.0.0/", "1.2.3.4.5", "", "300.1"]
        {
            assert_eq!(Network::parse(text.as_bytes()), Ok(None), "{text}");
        }
    }

    #[test]
    fn patterns_of_whole_parts_are_networks() {
        for (pattern, network) in
            [("10.*", "10.0.0.0/8"), ("10.1.*", "10.1.0.0/16"), ("10.1.2.*", "10.1.2.0/24")]
        {
            let expected = Network::parse(network.as_bytes()).unwrap();
            assert_eq!(Network::of_pattern(pattern.as_bytes()), expected, "{pattern}");
        }
        for pattern in ["*", ".*", "10*", "010.*", "1.2.3.4.*", "a.*", "10.?.*", "256.*", "+1.*"] {
            assert_eq!(Network::of_pattern(pattern.as_bytes()), None, "{pattern}");
        }
    }

    #[test]
    fn the_address_behind_a_network_is_the_next_one() {
        let after = |text: &str| Network::parse(text.as_bytes()).unwrap().unwrap().after();
        assert_eq!(after("10.0.0.0/8"), Some(at("11.0.0.0")));
        assert_eq!(after("255.0.0.0/8"), None);
        assert_eq!(after("ffff::/16"), None);
        assert_eq!(after("::"), Some(at("::1")));
    }
}
