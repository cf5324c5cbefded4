//! What is known about TLS: the facts of a connection that speaks it, and what can go wrong.
//!
//! Plain data: the handshake itself, and everything that needs a TLS library, is on the upper floor.

use std::fmt;
use std::io;

use bytes::Bytes;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

/// A cipher suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cipher {
    /// Its name in the registry of the IANA.
    pub name: &'static str,
    /// How many secret bits its key has.
    pub bits: u16,
}

/// The facts of a connection that speaks TLS (XAS-56, AIO-02).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version that both sides agreed on.
    pub version: TlsVersion,
    /// The cipher suite that both sides agreed on.
    pub cipher: Cipher,
    /// The protocol that both sides agreed on (ALPN), if they did.
    pub alpn: Option<Bytes>,
    /// The name that the client asked for (SNI): what this side asked for where it is the client.
    pub server_name: Option<String>,
    /// The peer's certificates in DER, its own one first; none if it did not present any.
    pub peer_certificates: Vec<Bytes>,
    /// Whether an earlier session was resumed, so that no certificate was sent anew.
    pub resumed: bool,
}

impl TlsInfo {
    /// Facts of which nothing optional is known.
    #[must_use]
    pub const fn new(version: TlsVersion, cipher: Cipher) -> Self {
        Self {
            version,
            cipher,
            alpn: None,
            server_name: None,
            peer_certificates: Vec::new(),
            resumed: false,
        }
    }
}

impl fmt::Display for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.cipher.name)?;
        if self.resumed {
            f.write_str(", resumed")?;
        }
        Ok(())
    }
}

/// What went wrong with TLS. It travels inside an [`io::Error`] and is found again with
/// [`of`](Self::of).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// What came instead of a handshake is not TLS: plain HTTP to a TLS port, or a plain server.
    #[error("peer does not speak TLS")]
    NotTls,
    /// The peer closed before the handshake was complete.
    #[error("peer closed during the TLS handshake")]
    HandshakeEof,
    /// The stream ended without the peer's close_notify: what came may not be all that it sent
    /// (RFC 8446 6.1).
    #[error("peer closed without close_notify, the stream may be truncated")]
    Truncated,
    /// The peer's certificate was not accepted here.
    #[error("peer's certificate is not accepted: {0}")]
    Certificate(CertificateError),
    /// The peer presented no certificate, and one is required.
    #[error("peer presented no certificate")]
    NoCertificate,
    /// The client asked for a name that is not served here.
    #[error("no certificate for the name {}", .name.as_deref().unwrap_or("(none given)"))]
    UnknownHost {
        /// The name, if the client gave one.
        name: Option<String>,
    },
    /// Both sides have no version, cipher suite, or other parameter in common.
    #[error("nothing in common with the peer: {what}")]
    Incompatible {
        /// Of what kind.
        what: String,
    },
    /// Both sides have no application protocol in common (ALPN, RFC 7301).
    #[error("no application protocol in common with the peer")]
    NoProtocol,
    /// The peer ended it with this alert (RFC 8446 6.2): often it did not accept our certificate, or
    /// misses one.
    #[error("peer sent the alert {name} ({code})")]
    Alert {
        /// The alert's number.
        code: u8,
        /// The alert's name as in the RFC, such as `unknown_ca`.
        name: &'static str,
    },
    /// What came is not a valid record: garbage, or a record that was changed on its way.
    #[error("peer sent an invalid TLS record: {what}")]
    BadRecord {
        /// What was found wrong.
        what: String,
    },
    /// The peer broke a rule of the protocol in another way.
    #[error("peer broke the TLS protocol: {what}")]
    Protocol {
        /// What was found wrong.
        what: String,
    },
    /// Something failed on this side.
    #[error("TLS failed here: {what}")]
    Local {
        /// What it was.
        what: String,
    },
}

/// Why a certificate was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it is not valid yet")]
    NotYetValid,
    /// It does not bear the name that was asked for.
    #[error("it is not for the name {expected}, but for {}", names(.presented))]
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// The names that it is for.
        presented: Vec<String>,
    },
    /// Nobody who is trusted has signed it.
    #[error("its issuer is not trusted")]
    UnknownIssuer,
    /// It has signed itself, and is not trusted as it is.
    #[error("it is self-signed")]
    SelfSigned,
    /// It was withdrawn.
    #[error("it was revoked")]
    Revoked,
    /// It is none of those that were pinned.
    #[error("it is not the pinned one")]
    NotPinned,
    /// It is for another purpose.
    #[error("it is for another purpose")]
    WrongPurpose,
    /// A signature in its chain, or in the handshake, is wrong.
    #[error("a signature is wrong")]
    BadSignature,
    /// It is signed in a way that is not supported here.
    #[error("it is signed in a way that is not supported")]
    UnsupportedAlgorithm,
    /// It demands something that is not understood here (a critical extension).
    #[error("it has a critical extension that is not understood")]
    UnknownExtension,
    /// Those who have signed it were not entitled to, or there are too many of them.
    #[error("its chain breaks a rule: {what}")]
    BadChain {
        /// Which one.
        what: String,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    BadEncoding,
    /// Something else.
    #[error("{what}")]
    Other {
        /// What it was.
        what: String,
    },
}

/// Shows the names of a certificate, of which there may be many.
fn names(names: &[String]) -> String {
    const SHOWN: usize = 4;
    match names {
        [] => "no name (a common name does not count)".to_owned(),
        names if names.len() <= SHOWN => names.join(", "),
        names => format!("{} and more", names[..SHOWN].join(", ")),
    }
}

impl TlsError {
    /// The one inside of an I/O error, if that is what it was.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        let kind = match &error {
            TlsError::HandshakeEof | TlsError::Truncated => io::ErrorKind::UnexpectedEof,
            TlsError::Local { .. } => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_again_in_an_io_error() {
        let error = io::Error::from(TlsError::Truncated);
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(TlsError::of(&error), Some(&TlsError::Truncated));
        assert_eq!(TlsError::of(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
