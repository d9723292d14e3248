//! Which addresses are of the public network. Everything else is refused unless a grant names the address itself.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, where it is not of the public network; None where it is. Own interfaces are the host's to know.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c, d) {
        (0, ..) => "unspecified",
        (127, ..) => "loopback",
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => "private",
        // Metadata of cloud machines, but for what lies in a range below: Azure's, in the middle of the public space.
        (169, 254, ..) | (100, 100, 100, 200) | (168, 63, 129, 16) => "link-local or metadata",
        (100, 64..=127, ..) => "carrier-grade nat",
        (192, 0, 0, _) | (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => "reserved",
        (192, 88, 99, _) => "6to4",
        (198, 18..=19, ..) => "benchmarking",
        (224..=239, ..) => "multicast",
        (240..=255, ..) => "reserved",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("unspecified");
    }
    if address.is_loopback() {
        return Some("loopback");
    }
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] => "an ipv4 address in disguise (mapped)",
        [0x64, 0xff9b, ..] => "an ipv4 address in disguise (nat64)",
        [0x2002, ..] => "an ipv4 address in disguise (6to4)",
        [0x2001, 0, ..] => "an ipv4 address in disguise (teredo)",
        [0x2001, second, ..] if second < 0x200 => "reserved",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "reserved",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfc00..=0xfdff, ..] => "private",
        [0xff00..=0xffff, ..] => "multicast",
        // The only block that is given out (RFC 4291, IANA).
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

/// The resource that a grant names it by: `addr:10/1/2/3`, so that `addr:10/1/**` is a range, or `addr6:fd00/ec2/…`.
pub fn resource(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let parts = address.octets().map(|part| part.to_string());
            format!("addr:{}", parts.join("/"))
        }
        IpAddr::V6(address) => {
            let parts = address.segments().map(|part| format!("{part:x}"));
            format!("addr6:{}", parts.join("/"))
        }
    }
}
