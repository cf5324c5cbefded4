//! Unix sockets as places to listen at and to connect to.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;

#[cfg(any(target_os = "linux", target_os = "android"))]
use switchboard_core::UnixName;

use super::{Connect, ConnectPlace, Listen, ListenPlace};

/// Unix stream sockets (AC-12, AMB-16). Their connections give the same events and take the same commands
/// as those of TCP; [`Client::peer_credentials`](crate::Client::peer_credentials) says who the peer is.
///
/// The peers have no IP addresses: `peer_addr` and `local_addr` are `None`, [`Client::peer`](crate::Client::peer)
/// and [`Client::local`](crate::Client::local) tell the names. [`access`](Self::access),
/// [`max_per_ip`](Self::max_per_ip), [`max_per_prefix`](Self::max_per_prefix) and [`only_v6`](Self::only_v6)
/// are refused; nodelay, keepalive and `reuse_addr` change nothing.
///
/// There is no reset: an abort drops what we have not sent yet, and the peer reads what we have sent
/// before, then an end, or ECONNRESET if bytes of its own were unread here.
impl Listen {
    /// Listens on a Unix socket whose name is this file.
    ///
    /// The listener holds a lock on the file of this name with `.lock` behind it, as long as it lives; both
    /// files are removed when it closes, the socket's only if it is still its own. So what is there
    /// already is told apart: with the lock held the address is in use; a socket that nobody accepts on is
    /// left over from a process that died, and replaced; one that somebody accepts on without our lock,
    /// which is found out by connecting to it for a moment, is in use. Whatever is no socket is never
    /// removed, and an error. The directory must be writable. A relative path goes by the working
    /// directory of the moment.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::at(path.as_ref())
    }

    /// Listens on a Unix socket with a name outside of the file system, which ends with its socket
    /// (Linux). Anybody on the machine may connect to it; see
    /// [`Client::peer_credentials`](crate::Client::peer_credentials).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn unix_abstract(name: impl AsRef<[u8]>) -> Self {
        Self::at(UnixName::Abstract(name.as_ref().into()))
    }

    /// Takes over a Unix socket that listens already; its file is not ours, and stays (ACO-01). One that
    /// does not listen is refused when it is to be opened. When its port is closed by a suspension and opened
    /// again, its file is a new one, and ours.
    pub fn adopt_unix(listener: UnixListener) -> Self {
        Self::at(ListenPlace::AdoptedUnix(Arc::new(listener)))
    }

    /// The permission bits of the socket's file, such as `0o660`: who may write to it may connect. They are
    /// set before anybody can connect. Without a file of its own it is refused. Default: as the umask of
    /// the process says.
    pub const fn permissions(mut self, mode: u32) -> Self {
        self.target.permissions = Some(mode);
        self
    }
}

/// Unix stream sockets (AC-12, AMB-16).
impl Connect {
    /// Connects to the Unix socket whose name is this file. While its backlog is full it is tried again,
    /// for as long as [`timeout`](Self::timeout) says.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::to(path.as_ref())
    }

    /// Connects to a Unix socket with a name outside of the file system (Linux).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn unix_abstract(name: impl AsRef<[u8]>) -> Self {
        Self::to(UnixName::Abstract(name.as_ref().into()))
    }

    /// Takes over a Unix connection that exists already, such as one end of a pair (ACO-01). Its session is
    /// told [`Connected`](crate::message::Connected).
    pub fn adopt_unix(stream: UnixStream) -> Self {
        Self::to(ConnectPlace::AdoptedUnix(Arc::new(stream)))
    }
}
