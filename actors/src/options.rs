//! What a listener and an outbound connection are made with: every option, its unit, its default.

mod admission;
mod bind_udp;
mod connect;
mod connection;
#[cfg(unix)]
mod inherited;
mod listen;
mod multicast;
mod place;
#[cfg(unix)]
mod spawn;
mod target;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod watch;

use switchboard_core::{ConfigError, ConnectionConfig};

pub(crate) use admission::AdmissionOptions;
pub use admission::AtLimit;
pub use bind_udp::BindUdp;
pub(crate) use bind_udp::{DatagramOptions, DatagramPlace};
pub use connect::Connect;
pub use connection::ConnectionOptions;
#[cfg(unix)]
pub use inherited::{InheritError, Inherited, WhichInherited};
pub use listen::Listen;
pub use multicast::{Interface, Multicast};
pub use place::{ConnectPlace, ListenPlace};
#[cfg(unix)]
pub use spawn::{SpawnProcess, Stdio};
pub use target::{ConnectTarget, ListenTarget, SocketOptions};
#[cfg(unix)]
pub use watch::WatchFd;

fn validate(config: &ConnectionConfig, socket: &SocketOptions) -> Result<(), String> {
    config
        .validate()
        .map_err(|error: ConfigError| error.to_string())?;
    if socket.keepalive.is_some_and(|after| after.is_zero()) {
        return Err("keepalive is zero; leave it out for none".into());
    }
    Ok(())
}
