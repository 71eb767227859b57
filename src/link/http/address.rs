//! Which addresses are in this house and which are on the internet.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Which addresses a fetch may connect to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressPolicy {
    Any,
    /// Refuses loopback, private, link-local and other special addresses: a page named by a stranger must not reach
    /// the router, a cloud's metadata server or this gateway itself.
    PublicOnly,
}

impl AddressPolicy {
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::PublicOnly => is_public(address),
        }
    }
}

/// Whether `url` names something in this house: a loopback, private or link-local address, a `.local` name, or a name
/// without a dot.
pub fn is_local_host(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match parse_ip(host) {
        Some(address) => is_local(address),
        None => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.')
                || [".local", ".localhost", ".lan", ".home.arpa"].iter().any(|zone| name.ends_with(zone))
        }
    }
}

/// The address in a URL's host, with or without the brackets of IPv6.
pub(super) fn parse_ip(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared_by_carrier = a == 100 && (64..128).contains(&b);
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && (18..20).contains(&b);
    !(v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || shared_by_carrier
        || protocol_assignments
        || benchmarking)
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    // Global unicast is 2000::/3; of it, 2001::/23 is for protocols (Teredo among them) and 2001:db8::/32 for books.
    (0x2000..0x4000).contains(&first) && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
}

/// The IPv4 address that an IPv6 address stands for: compatible, NAT64, 6to4.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = v6.segments();
    let join = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// Every address of a name was refused by the policy.
#[derive(Debug)]
pub(super) struct AddressDenied;

impl fmt::Display for AddressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to an address that is not on the public internet")
    }
}

impl Error for AddressDenied {}

/// Resolves names and drops what the policy refuses, so that the address which was checked is the one connected to.
pub(super) struct GuardedResolver(pub(super) AddressPolicy);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found.into_iter().filter(|address| policy.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(AddressDenied.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_on_the_internet_are_refused() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "192.0.2.1",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::c0a8:101",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "64:ff9b:1::1",
            "100::1",
        ] {
            let address: IpAddr = text.parse().expect("test address");
            assert!(!AddressPolicy::PublicOnly.allows(address), "{text}");
            assert!(AddressPolicy::Any.allows(address), "{text}");
        }
    }

    #[test]
    fn addresses_on_the_internet_are_allowed() {
        for text in ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111", "64:ff9b::808:808"] {
            assert!(AddressPolicy::PublicOnly.allows(text.parse().expect("test address")), "{text}");
        }
    }

    #[test]
    fn a_host_of_this_house_is_recognized() {
        for (url, local) in [
            ("http://127.0.0.1:11434/v1", true),
            ("http://192.168.1.5:8080", true),
            ("http://169.254.3.4/", true),
            ("http://[::1]:8080/", true),
            ("http://[fe80::1]/", true),
            ("http://[fd00::1]/", true),
            ("http://nas:8080/v1", true),
            ("http://NAS.local./v1", true),
            ("http://localhost/", true),
            ("http://2130706433/", true),
            ("https://api.openai.com/v1", false),
            ("http://8.8.8.8/", false),
            ("http://local.example.com/", false),
        ] {
            assert_eq!(is_local_host(&Url::parse(url).expect("test url")), local, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn an_address_of_this_house_is_never_public(bits in proptest::prelude::any::<u128>(), four in proptest::prelude::any::<u32>()) {
            for address in [IpAddr::from(Ipv6Addr::from_bits(bits)), IpAddr::from(Ipv4Addr::from_bits(four)), IpAddr::from(Ipv4Addr::from_bits(four).to_ipv6_mapped())] {
                proptest::prop_assert!(!(is_local(address) && is_public(address)));
            }
        }
    }
}
