//! Where a listener listens and an outbound connection goes to.

use std::fmt;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchboard_core::{Address, UnixName};

/// Where to listen. A text is an address of TCP, a path is a Unix socket. It is shown as it was written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ListenPlace {
    /// TCP at `address:port` or `name:port`, IPv4 or IPv6; port 0 takes a free one.
    Tcp(String),
    /// A Unix stream socket.
    Unix(UnixName),
    /// A TCP socket that listens already, to be taken over instead of opening one.
    AdoptedTcp(Arc<std::net::TcpListener>),
    /// A Unix stream socket that listens already. Its file stays when it closes.
    #[cfg(unix)]
    AdoptedUnix(Arc<UnixListener>),
}

/// Where to connect. A text is an address of TCP, a path is a Unix socket. It is shown as it was written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ConnectPlace {
    /// TCP to `address:port` or `name:port`; all addresses of a name are tried in order (AMB-06).
    Tcp(String),
    /// A Unix stream socket.
    Unix(UnixName),
    /// A TCP connection that exists already, to be taken over instead of opening one.
    AdoptedTcp(Arc<std::net::TcpStream>),
    /// A Unix connection that exists already.
    #[cfg(unix)]
    AdoptedUnix(Arc<UnixStream>),
}

impl ListenPlace {
    /// Whether it is one of Unix sockets, whose peers have no IP addresses.
    #[must_use]
    pub const fn is_unix(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::AdoptedTcp(_) => false,
            Self::Unix(_) => true,
            #[cfg(unix)]
            Self::AdoptedUnix(_) => true,
        }
    }
}

impl ConnectPlace {
    /// Whether it is a Unix socket, which has no host.
    #[must_use]
    pub const fn is_unix(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::AdoptedTcp(_) => false,
            Self::Unix(_) => true,
            #[cfg(unix)]
            Self::AdoptedUnix(_) => true,
        }
    }

    /// Whether the connection exists already.
    #[must_use]
    pub const fn is_adopted(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::AdoptedTcp(_) => true,
            #[cfg(unix)]
            Self::AdoptedUnix(_) => true,
        }
    }
}

const ADOPTED: &str = "an adopted socket";

impl fmt::Display for ListenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(name) => name.fmt(f),
            Self::AdoptedTcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str(ADOPTED),
            },
            #[cfg(unix)]
            Self::AdoptedUnix(listener) => match crate::transport::unix_local(&**listener) {
                Ok(name) => name.fmt(f),
                Err(_) => f.write_str(ADOPTED),
            },
        }
    }
}

impl fmt::Display for ConnectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(name) => name.fmt(f),
            Self::AdoptedTcp(stream) => match stream.peer_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str(ADOPTED),
            },
            #[cfg(unix)]
            Self::AdoptedUnix(stream) => match crate::transport::unix_peer(&**stream) {
                Ok(UnixName::Unnamed) | Err(_) => f.write_str(ADOPTED),
                Ok(name) => name.fmt(f),
            },
        }
    }
}

macro_rules! from {
    ($($place:ident)*) => {
        $(
            impl From<String> for $place {
                fn from(address: String) -> Self {
                    Self::Tcp(address)
                }
            }

            impl From<&String> for $place {
                fn from(address: &String) -> Self {
                    Self::Tcp(address.clone())
                }
            }

            impl From<&str> for $place {
                fn from(address: &str) -> Self {
                    Self::Tcp(address.to_owned())
                }
            }

            impl From<&Path> for $place {
                fn from(path: &Path) -> Self {
                    Self::Unix(UnixName::Path(path.into()))
                }
            }

            impl From<PathBuf> for $place {
                fn from(path: PathBuf) -> Self {
                    Self::Unix(UnixName::Path(path.into()))
                }
            }

            impl From<UnixName> for $place {
                fn from(name: UnixName) -> Self {
                    Self::Unix(name)
                }
            }

            impl From<Address> for $place {
                fn from(address: Address) -> Self {
                    match address {
                        Address::Inet(address) => Self::Tcp(address.to_string()),
                        Address::Unix(name) => Self::Unix(name),
                    }
                }
            }
        )*
    };
}

from!(ListenPlace ConnectPlace);
