//! Multicast groups.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::{InterfaceIndexOrAddress, SockRef};

/// A multicast group, and the interface on which it is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multicast {
    group: IpAddr,
    interface: Interface,
}

/// A network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// Whichever the system's routes say.
    #[default]
    Any,
    /// The one that has this IPv4 address.
    Address(Ipv4Addr),
    /// The one with this number, as `ip link` shows it.
    Index(u32),
}

impl Multicast {
    /// This group, on whichever interface the system's routes say.
    pub fn group(group: impl Into<IpAddr>) -> Self {
        Self {
            group: group.into(),
            interface: Interface::Any,
        }
    }

    /// On this interface. IPv6 knows interfaces by their number only.
    #[must_use]
    pub const fn on(mut self, interface: Interface) -> Self {
        self.interface = interface;
        self
    }

    pub(crate) fn validate(&self) -> io::Result<()> {
        if !self.group.is_multicast() {
            return Err(invalid(format!("{} is no multicast group", self.group)));
        }
        match (self.group, self.interface) {
            (IpAddr::V6(_), Interface::Address(_)) => {
                Err(invalid("an IPv6 group needs the number of the interface"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn join(&self, socket: &SockRef<'_>) -> io::Result<()> {
        self.validate()?;
        match self.group {
            IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &self.interface.v4()),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, self.interface.index()),
        }
    }

    pub(crate) fn leave(&self, socket: &SockRef<'_>) -> io::Result<()> {
        self.validate()?;
        match self.group {
            IpAddr::V4(group) => socket.leave_multicast_v4_n(&group, &self.interface.v4()),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, self.interface.index()),
        }
    }
}

impl Interface {
    const fn v4(self) -> InterfaceIndexOrAddress {
        match self {
            Self::Any => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
            Self::Address(address) => InterfaceIndexOrAddress::Address(address),
            Self::Index(index) => InterfaceIndexOrAddress::Index(index),
        }
    }

    const fn index(self) -> u32 {
        match self {
            Self::Any | Self::Address(_) => 0,
            Self::Index(index) => index,
        }
    }

    /// Sends multicast datagrams out through this interface.
    pub(crate) fn use_for(self, socket: &SockRef<'_>, v6: bool) -> io::Result<()> {
        match (v6, self) {
            (true, Self::Address(_)) => Err(invalid("IPv6 knows interfaces by their number only")),
            (true, _) => socket.set_multicast_if_v6(self.index()),
            (false, Self::Index(index)) => send_through(socket, index),
            (false, Self::Address(address)) => socket.set_multicast_if_v4(&address),
            (false, Self::Any) => socket.set_multicast_if_v4(&Ipv4Addr::UNSPECIFIED),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn send_through(socket: &SockRef<'_>, index: u32) -> io::Result<()> {
    use rustix::net::sockopt::set_ip_multicast_if_with_ifindex;

    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
    Ok(set_ip_multicast_if_with_ifindex(
        &**socket, &ANY, &ANY, index,
    )?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send_through(_: &SockRef<'_>, _: u32) -> io::Result<()> {
    Err(invalid(
        "here IPv4 knows the interface to send through by its address only",
    ))
}

impl From<Ipv4Addr> for Multicast {
    fn from(group: Ipv4Addr) -> Self {
        Self::group(group)
    }
}

impl From<Ipv6Addr> for Multicast {
    fn from(group: Ipv6Addr) -> Self {
        Self::group(group)
    }
}

impl From<IpAddr> for Multicast {
    fn from(group: IpAddr) -> Self {
        Self::group(group)
    }
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why.into())
}
