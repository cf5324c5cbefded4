//! TLS on both sides, from the first byte or in mid-stream (XAS-54, XAS-55, AIO-40, ACO-01).
//!
//! [`TlsServer`] and [`TlsClient`] are what a handshake needs, built once and shared by all connections.
//! A listener or a connection that is given one speaks TLS from the first byte; a connection in use is
//! upgraded by [`Client::start_tls`](crate::Client::start_tls). The handshake runs in the connection's own
//! actor: one that stalls holds up nobody, and ends with its timeout. What the two sides agreed on is told
//! with [`TlsStarted`](crate::message::TlsStarted), and in [`ClientInfo`](crate::ClientInfo).
//!
//! [`TlsNetwork`] puts it under a whole pool instead.
//!
//! The protocol is rustls's, the cryptography that of the [`Provider`] that was named, never a default of
//! the process.

mod below;
mod client;
mod error;
mod fault;
mod handshake;
mod hosts;
mod identity;
mod network;
mod provider;
mod roots;
mod server;
mod settings;
mod start;
mod table;
mod transport;
mod verify;

pub use client::{TlsClient, TlsClientBuilder};
pub use error::TlsConfigError;
pub use hosts::UnknownHost;
pub use identity::Identity;
pub use network::{HANDSHAKES, TlsNetwork};
pub use provider::{Provider, fingerprint};
pub use roots::Roots;
pub use server::{TlsServer, TlsServerBuilder};
pub use start::{StartTls, TlsConfig};
pub use verify::ClientAuth;

pub(crate) use handshake::{Asked, Failed, Handshake};
pub(crate) use hosts::Hosts;
pub(crate) use start::{Secure, Upgrade};

use std::time::Duration;

/// How long a handshake may take, where nothing else is said.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
