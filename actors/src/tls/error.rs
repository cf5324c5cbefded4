//! What can be wrong with the settings of TLS.

use std::io;
use std::path::PathBuf;

/// Why settings of TLS were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// A file could not be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate in what was given.
    #[error("there is no certificate in {place}")]
    NoCertificate {
        /// The file, or what else it was.
        place: String,
    },
    /// There is no private key in what was given.
    #[error("there is no private key in {place}")]
    NoKey {
        /// The file, or what else it was.
        place: String,
    },
    /// What was given is not PEM.
    #[error("{place} is not valid PEM: {why}")]
    Pem {
        /// The file, or what else it was.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system has no root certificates, or they cannot be read.
    #[error("no root certificates of the system: {why}")]
    NoSystemRoots {
        /// What failed.
        why: String,
    },
    /// A certificate or a key cannot be used: they do not belong together, or are of an unknown kind.
    #[error("certificate or key cannot be used: {why}")]
    Unusable {
        /// What is wrong with it.
        why: String,
    },
    /// A name is neither that of a host nor an address.
    #[error("{name:?} is no host name")]
    BadName {
        /// The name.
        name: String,
    },
    /// A handshake would have no time.
    #[error("a timeout of zero never lets a handshake complete")]
    ZeroTimeout,
}
