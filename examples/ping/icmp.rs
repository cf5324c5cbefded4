//! ICMP echo: the packets of ping (RFC 792 for IPv4, RFC 4443 for IPv6).

use std::net::IpAddr;

/// Type, code, checksum, identifier, sequence number.
pub const HEADER: usize = 8;
/// The shortest IPv4 header.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// Which of the two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V4,
    V6,
}

impl Version {
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The number of ICMP in an IP header.
    pub const fn protocol(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 58,
        }
    }

    const fn echo_request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    const fn echo_reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

/// A packet that says something about an echo.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Whose it is.
    pub id: u16,
    pub sequence: u16,
    pub message: Message<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The answer.
    Reply {
        payload: &'a [u8],
        /// How many more routers it could have passed; not told of IPv6.
        ttl: Option<u8>,
    },
    /// A router, or the host, says that the request did not arrive.
    Undelivered(&'static str),
}

/// An echo request as a raw socket takes it. That of IPv6 fills in the checksum.
pub fn request(version: Version, id: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + payload.len());
    packet.extend([version.echo_request(), 0, 0, 0]);
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(payload);
    if version == Version::V4 {
        let sum = checksum(&packet);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// What a raw socket gave, if it is about an echo: of IPv4 with the IP header, of IPv6 without.
///
/// A packet of IPv4 must have a good checksum; that of IPv6 was checked by the system.
pub fn parse(version: Version, bytes: &[u8]) -> Option<Packet<'_>> {
    let (ttl, icmp) = match version {
        Version::V4 => {
            let ttl = *bytes.get(8)?;
            let icmp = behind_ipv4(bytes)?;
            if checksum(icmp) != 0 {
                return None;
            }
            (Some(ttl), icmp)
        }
        Version::V6 => (None, bytes),
    };
    let (header, payload) = icmp.split_first_chunk::<HEADER>()?;
    let [kind, code, _, _, rest @ ..] = *header;
    if kind == version.echo_reply() {
        return Some(packet(rest, Message::Reply { payload, ttl }));
    }
    let why = undelivered(version, kind, code)?;
    // Behind the header comes the packet that it is about, as far as there was room.
    let about = match version {
        Version::V4 => behind_ipv4(payload)?,
        Version::V6 => payload.get(IPV6_HEADER..)?,
    };
    let [kind, _, _, _, rest @ ..] = *about.first_chunk::<HEADER>()?;
    (kind == version.echo_request()).then(|| packet(rest, Message::Undelivered(why)))
}

/// The checksum of RFC 1071: 0 for a packet that holds a good one.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u64::from(u16::from_be_bytes([pair[0], low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("the carries are folded in")
}

fn packet([id_high, id_low, high, low]: [u8; 4], message: Message<'_>) -> Packet<'_> {
    Packet {
        id: u16::from_be_bytes([id_high, id_low]),
        sequence: u16::from_be_bytes([high, low]),
        message,
    }
}

/// What is behind an IPv4 header, if that says that it is ICMP.
fn behind_ipv4(bytes: &[u8]) -> Option<&[u8]> {
    let first = *bytes.first()?;
    let length = usize::from(first & 0x0f) * 4;
    let is_icmp = *bytes.get(9)? == Version::V4.protocol();
    (first >> 4 == 4 && length >= IPV4_HEADER && is_icmp).then(|| bytes.get(length..))?
}

/// What a message other than a reply means, in ping's words.
const fn undelivered(version: Version, kind: u8, code: u8) -> Option<&'static str> {
    Some(match (version, kind, code) {
        (Version::V4, 3, 0) => "Destination Net Unreachable",
        (Version::V4, 3, 1) => "Destination Host Unreachable",
        (Version::V4, 3, 2) => "Destination Protocol Unreachable",
        (Version::V4, 3, 3) => "Destination Port Unreachable",
        (Version::V4, 3, 4) => "Frag needed and DF set",
        (Version::V4, 3, 9 | 10 | 13) => "Packet filtered",
        (Version::V4, 3, _) => "Destination Unreachable",
        (Version::V4, 11, 0) => "Time to live exceeded",
        (Version::V4, 11, _) => "Frag reassembly time exceeded",
        (Version::V6, 1, 0) => "Destination unreachable: No route",
        (Version::V6, 1, 1) => "Destination unreachable: Administratively prohibited",
        (Version::V6, 1, 3) => "Destination unreachable: Address unreachable",
        (Version::V6, 1, 4) => "Destination unreachable: Port unreachable",
        (Version::V6, 1, _) => "Destination unreachable",
        (Version::V6, 2, _) => "Packet too big",
        (Version::V6, 3, 0) => "Time exceeded: Hop limit",
        (Version::V6, 3, _) => "Time exceeded: Defragmentation failure",
        _ => return None,
    })
}
