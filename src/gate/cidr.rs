//! Ranges of addresses, and lists of them that say who may come in.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A range of addresses that have their first bits in common, as in `10.0.0.0/8` or `2001:db8::/32`
/// (RFC 4632, RFC 4291 section 2.3).
///
/// An IPv4 address that is written in IPv6 (`::ffff:10.0.0.1`), as an IPv6 socket shows its IPv4 peers,
/// counts as the IPv4 address that it is, here and wherever addresses are compared. Hence no IPv6 range
/// shorter than `::ffff:0:0/96`, not even `::/0`, has IPv4 peers in it.
///
/// ```
/// use switchboard_core::gate::Cidr;
///
/// let office: Cidr = "10.20.0.0/16".parse()?;
/// assert!(office.contains("10.20.3.4".parse().unwrap()));
/// assert!(office.contains("::ffff:10.20.3.4".parse().unwrap()));
/// let one: Cidr = "::1".parse()?;
/// assert_eq!(one.to_string(), "::1/128");
/// # Ok::<(), switchboard_core::gate::CidrError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

/// Why a text or a number is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidrError {
    /// What stands before the slash is no address.
    #[error("{text:?} is no IPv4 or IPv6 address")]
    Address {
        /// The part that is wrong.
        text: String,
    },
    /// What stands behind the slash is no number.
    #[error("{text:?} is no prefix length")]
    Length {
        /// The part that is wrong.
        text: String,
    },
    /// The family has no prefix of this length.
    #[error("a prefix of {length} bits is too long, the most is {most}")]
    TooLong {
        /// The length, in bits.
        length: u32,
        /// The longest of this family, in bits.
        most: u8,
    },
    /// The address has bits behind the prefix, so that one of the two must be a mistake.
    #[error("{address}/{length} has bits behind its prefix, the range is {range}")]
    HostBits {
        /// The address as it was given.
        address: IpAddr,
        /// The length as it was given, in bits.
        length: u8,
        /// The range that the address is in.
        range: Cidr,
    },
}

impl Cidr {
    /// The range that begins with this address.
    ///
    /// # Errors
    /// When the length is too long for the family, or the address has bits behind the prefix.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, CidrError> {
        let most = bits(address);
        if length > most {
            let length = length.into();
            return Err(CidrError::TooLong { length, most });
        }
        let (canonical, canonical_length) = canonical(address, length);
        let range = Self::containing(canonical, canonical_length);
        if range.network == canonical {
            Ok(range)
        } else {
            Err(CidrError::HostBits {
                address,
                length,
                range,
            })
        }
    }

    /// The range of this length that an address is in; all of it when the length is too long.
    pub(super) fn containing(address: IpAddr, length: u8) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32)));
                Ipv4Addr::from_bits(v4.to_bits() & mask.unwrap_or(0)).into()
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128)));
                Ipv6Addr::from_bits(v6.to_bits() & mask.unwrap_or(0)).into()
            }
        };
        let length = length.min(bits(network));
        Self { network, length }
    }

    /// The first address of the range.
    #[must_use]
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4()
            && Self::containing(address, self.length) == *self
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// A range of IPv4 addresses that is written in IPv6 becomes one of IPv4.
fn canonical(address: IpAddr, length: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), length.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(shorter)) if address.is_ipv6() => (v4, shorter),
        _ => (address, length),
    }
}

impl From<IpAddr> for Cidr {
    /// The range of this one address.
    fn from(address: IpAddr) -> Self {
        Self::containing(address, 128)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// Reads `address/length`, or an address alone.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrError::Address {
            text: address.into(),
        })?;
        let Some(length) = length else {
            return Ok(address.into());
        };
        let digits = (1..=3).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
        let number: Option<u32> = digits.then(|| length.parse().ok()).flatten();
        let number = number.ok_or_else(|| CidrError::Length {
            text: length.into(),
        })?;
        let most = bits(address);
        let length = u8::try_from(number).map_err(|_| CidrError::TooLong {
            length: number,
            most,
        })?;
        Self::new(address, length)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

/// Who may come in, by address. A list without entries lets everybody in.
///
/// An address in a denied range stays out, whatever else is said of it: deny wins. Of the others,
/// those in an allowed range come in; while no range is allowed at all, they all do. So a list that
/// only denies is a block list, and a list that only allows keeps everybody else out.
///
/// ```
/// use switchboard_core::gate::AccessList;
///
/// let list = AccessList::new().allow("10.0.0.0/8".parse()?).deny("10.6.6.0/24".parse()?);
/// assert!(list.allows("10.1.2.3".parse().unwrap()));
/// assert!(!list.allows("10.6.6.1".parse().unwrap()));
/// assert!(!list.allows("192.0.2.1".parse().unwrap()));
/// # Ok::<(), switchboard_core::gate::CidrError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a list lets nobody in or out until a listener has it"]
pub struct AccessList {
    allowed: Ranges,
    denied: Ranges,
}

impl AccessList {
    /// A list without entries.
    pub const fn new() -> Self {
        Self {
            allowed: Ranges::new(),
            denied: Ranges::new(),
        }
    }

    /// Lets this range in, and from the first one on nobody else.
    pub fn allow(mut self, range: Cidr) -> Self {
        self.allowed.insert(range);
        self
    }

    /// Keeps this range out, even where it is allowed.
    pub fn deny(mut self, range: Cidr) -> Self {
        self.denied.insert(range);
        self
    }

    /// Whether this address may come in. Takes time by the number of different prefix lengths, not by
    /// that of the ranges.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        !self.denied.contain(address)
            && (self.allowed.entries.is_empty() || self.allowed.contain(address))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges {
    entries: BTreeSet<Cidr>,
    /// The prefix lengths among them, by family: whether it is IPv4.
    lengths: BTreeSet<(bool, u8)>,
}

impl Ranges {
    const fn new() -> Self {
        Self {
            entries: BTreeSet::new(),
            lengths: BTreeSet::new(),
        }
    }

    fn insert(&mut self, range: Cidr) {
        self.lengths.insert((range.network.is_ipv4(), range.length));
        self.entries.insert(range);
    }

    fn contain(&self, address: IpAddr) -> bool {
        let family = (address.is_ipv4(), 0)..=(address.is_ipv4(), u8::MAX);
        self.lengths
            .range(family)
            .any(|(_, length)| self.entries.contains(&Cidr::containing(address, *length)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_read_and_written() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "1.2.3.4/32",
            "::/0",
            "2001:db8::/32",
        ] {
            assert_eq!(range(text).to_string(), text);
        }
        for (text, means) in [
            ("::1", "::1/128"),
            ("1.2.3.4", "1.2.3.4/32"),
            ("::ffff:1.2.3.4", "1.2.3.4/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(range(text).to_string(), means);
        }
        assert_eq!(
            (range("10.0.0.0/8").network(), range("10.0.0.0/8").length()),
            (address("10.0.0.0"), 8)
        );
    }

    #[test]
    fn what_is_no_range_says_which_part_is_wrong() {
        let error = |text: &str| text.parse::<Cidr>().unwrap_err();
        for text in ["", "10.0.0/8", "host/8", "10.0.0.0:80", " ::1", "/8"] {
            assert!(matches!(error(text), CidrError::Address { .. }), "{text:?}");
        }
        for text in [
            "::/", "::/x", "::/+8", "::/-1", "::/8/8", "::/0000", "::/ 8",
        ] {
            assert!(matches!(error(text), CidrError::Length { .. }), "{text:?}");
        }
        for (text, most) in [
            ("10.0.0.0/33", 32),
            ("::/129", 128),
            ("::/256", 128),
            ("::/999", 128),
        ] {
            let CidrError::TooLong { most: told, .. } = error(text) else {
                panic!("{text:?}");
            };
            assert_eq!(told, most);
        }
        let text = error("10.1.2.3/8").to_string();
        assert!(text.contains("the range is 10.0.0.0/8"), "{text}");
        assert!(matches!(
            error("2001:db8::1/32"),
            CidrError::HostBits { .. }
        ));
        assert!(matches!(
            error("::ffff:10.0.0.1/104"),
            CidrError::HostBits { .. }
        ));
    }

    #[test]
    fn deny_wins_and_an_empty_allow_list_allows_all() {
        let all = AccessList::new();
        let blocks = all.clone().deny(range("10.6.0.0/16"));
        let only = AccessList::new()
            .allow(range("10.0.0.0/8"))
            .allow(range("2001:db8::/32"))
            .deny(range("10.6.6.6"));
        for (who, [by_all, by_blocks, by_only]) in [
            ("10.1.1.1", [true, true, true]),
            ("10.6.1.1", [true, false, true]),
            ("10.6.6.6", [true, false, false]),
            ("::ffff:10.6.6.6", [true, false, false]),
            ("192.0.2.1", [true, true, false]),
            ("2001:db8::7", [true, true, true]),
            ("2001:db9::7", [true, true, false]),
        ] {
            let who = address(who);
            assert_eq!(
                [all.allows(who), blocks.allows(who), only.allows(who)],
                [by_all, by_blocks, by_only],
                "{who}"
            );
        }
        assert!(
            !all.deny(range("0.0.0.0/0"))
                .allows(address("::ffff:1.1.1.1"))
        );
        assert!(
            !AccessList::new()
                .allow(range("::/0"))
                .allows(address("1.1.1.1"))
        );
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
            any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        ]
    }

    proptest! {
        #[test]
        fn a_range_has_exactly_the_addresses_with_its_first_bits(
            one in any_address(), other in any_address(), length in 0_u8..=128, flip in 0_u8..128,
        ) {
            let range = Cidr::containing(one, length);
            prop_assert!(range.contains(one));
            prop_assert_eq!(range.to_string().parse::<Cidr>().unwrap(), range);
            let first = |address: IpAddr| -> String {
                let bits = match address.to_canonical() {
                    IpAddr::V4(v4) => format!("4:{:032b}", v4.to_bits()),
                    IpAddr::V6(v6) => format!("6:{:0128b}", v6.to_bits()),
                };
                bits.chars().take(2 + usize::from(length)).collect()
            };
            prop_assert_eq!(range.contains(other), first(one) == first(other));
            let near: IpAddr = match one {
                IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ (1 << (flip % 32))).into(),
                IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ (1 << flip)).into(),
            };
            prop_assert_eq!(range.contains(near), first(one) == first(near));
        }

        #[test]
        fn any_text_is_a_range_or_an_error(text in "[0-9a-f:./+ ]{0,24}") {
            if let Ok(range) = text.parse::<Cidr>() {
                prop_assert_eq!(range.to_string().parse::<Cidr>().unwrap(), range);
            }
        }
    }
}
