//! Where a datagram or a connection comes from or goes to, on whatever kind of socket.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The address of one end of a socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4 or IPv6. On a raw socket the port is 0.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(UnixName),
}

/// The name of a Unix socket.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// It has none: it was never bound.
    Unnamed,
    /// A file.
    Path(Arc<Path>),
    /// A name outside of the file system, which ends with its socket (Linux).
    Abstract(Arc<[u8]>),
}

/// Where a datagram is to go.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// An address.
    Address(Address),
    /// `name:port` (for raw sockets `name`), resolved for this datagram alone.
    Name(Arc<str>),
}

impl Address {
    /// The IP address and port; `None` for a Unix socket.
    #[must_use]
    pub const fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The file of a Unix socket; `None` for others and for those without a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(UnixName::Path(path)) => Some(path),
            Self::Inet(_) | Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for UnixName {
    /// An abstract name begins with `@`, as `ss` and `socat` write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("unnamed"),
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
        }
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl From<IpAddr> for Address {
    /// With port 0, as raw sockets have it.
    fn from(ip: IpAddr) -> Self {
        Self::Inet(SocketAddr::new(ip, 0))
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self::Unix(name)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(UnixName::Path(path.into()))
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(UnixName::Path(path.into()))
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        matches!(self, Self::Inet(address) if address == other)
    }
}

impl<T: Into<Address>> From<T> for Destination {
    fn from(address: T) -> Self {
        Self::Address(address.into())
    }
}

impl From<&str> for Destination {
    /// `address:port`, or a name that is resolved when it is sent to.
    fn from(text: &str) -> Self {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::Address(address.into());
        }
        text.parse::<IpAddr>()
            .map_or_else(|_| Self::Name(text.into()), |ip| Self::Address(ip.into()))
    }
}

impl From<String> for Destination {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&OsStr> for UnixName {
    fn from(path: &OsStr) -> Self {
        Self::Path(Path::new(path).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_their_systems_write_them() {
        let inet: SocketAddr = "127.0.0.1:53".parse().unwrap();
        assert_eq!(Address::from(inet).to_string(), "127.0.0.1:53");
        assert_eq!(
            Address::from(Path::new("/run/a.sock")).to_string(),
            "/run/a.sock"
        );
        assert_eq!(UnixName::Unnamed.to_string(), "unnamed");
        assert_eq!(
            UnixName::Abstract(b"bus\0x".as_slice().into()).to_string(),
            "@bus\\x00x"
        );
    }

    #[test]
    fn a_text_is_an_address_if_it_can_be() {
        assert!(matches!(
            Destination::from("[::1]:53"),
            Destination::Address(_)
        ));
        assert!(matches!(
            Destination::from("127.0.0.1"),
            Destination::Address(_)
        ));
        assert_eq!(
            Destination::from("localhost:53"),
            Destination::Name("localhost:53".into())
        );
    }
}
