//! What asyncio calls extra information, by its names.

use bytes::Bytes;
use switchboard_core::{Address, Cipher, TlsVersion};

#[cfg(feature = "tls")]
use crate::tls::TlsConfig;

use super::Client;

/// What [`Client::extra_info`] found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ExtraInfo {
    /// An address: what `peername` and `sockname` are, also on Unix sockets.
    Address(Address),
    /// What `cipher` is: three facts, as in Python.
    Cipher {
        /// Its name in the registry of the IANA.
        name: &'static str,
        /// The version of TLS that it is used with.
        version: TlsVersion,
        /// How many secret bits its key has.
        bits: u16,
    },
    /// What `peercert` is: the peer's own certificate in DER.
    Certificate(Bytes),
    /// What `sslcontext` is: what the handshake was done with.
    #[cfg(feature = "tls")]
    TlsConfig(TlsConfig),
}

/// Asking in asyncio's words.
impl Client {
    /// A fact by the name that asyncio's `get_extra_info` has for it (AIO-02): `peername`, `sockname`,
    /// `cipher`, `peercert` and `sslcontext`. `None`: it is not known, the connection has no such thing,
    /// or the name is not known; give your default with `unwrap_or`. `compression` is always `None`, since
    /// rustls never compresses. The socket itself is lent by [`with_socket`](Self::with_socket), and
    /// [`info`](Self::info) has all of this with types.
    #[must_use]
    pub fn extra_info(&self, name: &str) -> Option<ExtraInfo> {
        let tls = || self.shared.lock().machine.tls().cloned();
        match name {
            "peername" => self.peer().map(ExtraInfo::Address),
            "sockname" => self.local().map(ExtraInfo::Address),
            "cipher" => tls().map(|tls| {
                let Cipher { name, bits } = tls.cipher;
                let version = tls.version;
                ExtraInfo::Cipher {
                    name,
                    version,
                    bits,
                }
            }),
            "peercert" => tls()?
                .peer_certificates
                .first()
                .cloned()
                .map(ExtraInfo::Certificate),
            #[cfg(feature = "tls")]
            "sslcontext" => {
                let core = self.shared.lock();
                // An earlier link may have had one.
                let done_with = core.rare.as_ref().and_then(|rare| rare.tls_config.clone());
                let config = core.machine.tls().and(done_with).map(|config| *config);
                drop(core);
                config.map(ExtraInfo::TlsConfig)
            }
            _ => None,
        }
    }
}
