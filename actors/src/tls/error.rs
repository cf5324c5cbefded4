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
    /// The private key needs a password, which cannot be given here: decrypt it first, as
    /// `openssl pkey -in key.pem -out plain.pem` does.
    #[error("the private key in {place} is encrypted, decrypt it first")]
    EncryptedKey {
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
    /// Certificate and key do not belong together; of a chain it is the first certificate that counts.
    #[error("the key is not the one of the certificate, which is the first of a chain")]
    KeyMismatch,
    /// A name is not that of a host, or of all hosts one label below another (`*.b.example`).
    #[error("{name:?} is no host name")]
    BadName {
        /// The name.
        name: String,
    },
    /// A name was given twice.
    #[error("the host {name:?} is there twice")]
    DuplicateHost {
        /// The name.
        name: String,
    },
    /// A certificate is not for the host that it is to serve.
    #[error("the certificate is not for the host {name:?}")]
    WrongHost {
        /// The host.
        name: String,
    },
    /// No host of this name is there to be changed.
    #[error("there is no host {name:?}")]
    NoSuchHost {
        /// The name.
        name: String,
    },
    /// An application protocol (ALPN) has no name or one of more than 255 bytes, or all of them together
    /// have more than 65,535 bytes.
    #[error("application protocols need names of 1 to 255 bytes, and 65535 bytes together at most")]
    BadProtocol,
    /// Of the versions that were asked for there is none.
    #[error("no version of TLS is left")]
    NoVersion,
    /// No certificate was pinned, so that no server could ever be accepted.
    #[error("no certificate is pinned")]
    NoPin,
    /// A handshake would have no time.
    #[error("a timeout of zero never lets a handshake complete")]
    ZeroTimeout,
}
