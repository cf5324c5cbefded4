//! The names that are answered for, and their addresses.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use domain::base::ToName;
use domain::base::name::ToLabelIter;

/// A name of its own bytes. Equal whatever its letters' case.
pub type Name = domain::base::Name<Bytes>;

/// The longest name of a zone, as it is sent: so that an answer with its SOA record fits 512 bytes,
/// whatever the question (12 bytes of header, 259 of question, 60 + 10 + 63 + 71 + 20 of SOA without
/// any compression, 11 of EDNS).
const LONGEST_ORIGIN: usize = 60;
/// The longest other name, and how many addresses it may have: then all of them fit 512 bytes too
/// (12 + 132 + 10 * 28 + 11, and at the zone's own name another 60).
const LONGEST_NAME: usize = 128;
const MOST_ADDRESSES: usize = 10;

/// The addresses of one name; none where there is only a name below it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Addresses {
    pub v4: Vec<Ipv4Addr>,
    pub v6: Vec<Ipv6Addr>,
}

/// What a name is to a zone.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// It is another zone's.
    Outside,
    /// It does not exist.
    Nothing,
    /// It exists, perhaps without any address.
    Name(&'a Addresses),
}

#[derive(Debug)]
pub struct Zone {
    origin: Name,
    names: HashMap<Name, Addresses>,
}

impl Zone {
    /// A zone in which only its own name exists. The error says what is wrong with that.
    pub fn new(origin: &str) -> Result<Self, String> {
        let origin = name(origin)?;
        if origin.len() > LONGEST_ORIGIN {
            return Err(format!("{origin} is too long for a zone"));
        }
        let names = HashMap::from([(origin.clone(), Addresses::default())]);
        Ok(Self { origin, names })
    }

    /// Adds what `NAME=ADDR` says. The error says why it cannot.
    pub fn add(&mut self, record: &str) -> Result<(), String> {
        let (text, address) = record
            .split_once('=')
            .ok_or_else(|| format!("{record} is not NAME=ADDR"))?;
        let address: IpAddr = address
            .parse()
            .map_err(|_| format!("{record}: {address} is not an IP address"))?;
        let name = name(text)?;
        if !name.ends_with(&self.origin) {
            return Err(format!("{text} is not in the zone {}", self.origin));
        }
        if name.len() > LONGEST_NAME {
            return Err(format!("{text} is too long"));
        }
        // A name above another exists too, if only because of that (RFC 8020).
        for above in name.iter_suffixes() {
            if above.ends_with(&self.origin) {
                self.names.entry(above.to_bytes()).or_default();
            }
        }
        let addresses = self.names.entry(name).or_default();
        if addresses.v4.len() + addresses.v6.len() == MOST_ADDRESSES {
            return Err(format!("{text} has more than {MOST_ADDRESSES} addresses"));
        }
        match address {
            IpAddr::V4(address) => addresses.v4.push(address),
            IpAddr::V6(address) => addresses.v6.push(address),
        }
        Ok(())
    }

    pub const fn origin(&self) -> &Name {
        &self.origin
    }

    pub fn find(&self, name: &impl ToName) -> Found<'_> {
        if !ToLabelIter::ends_with(name, &self.origin) {
            return Found::Outside;
        }
        let found = self.names.get(&name.to_bytes());
        found.map_or(Found::Nothing, Found::Name)
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::bytes_from_str(text).map_err(|error| format!("{text:?} is not a name: {error}"))
}
