//! What an error of the TLS library means.

use std::io;

use switchboard_core::{CertificateError as Refused, TlsError};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, InvalidMessage, OtherError};

/// A fatal alert in plain: the name that was asked for is not known here (RFC 6066 3).
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// How far a connection had come.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Nothing of the peer was understood yet.
    Hello,
    /// The rest of the handshake, as the server.
    Handshake,
    /// The handshake, as the client that asks for this name.
    Asking { name: String },
    /// In use.
    Open,
}

/// The error that a user is told, which has a [`TlsError`] inside unless it is the system's.
pub(super) fn of(error: io::Error, stage: Stage) -> io::Error {
    let fault = match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(error) => of_rustls(error, &stage),
        None if error.kind() == io::ErrorKind::UnexpectedEof => match stage {
            Stage::Open => TlsError::Truncated,
            _ => TlsError::HandshakeEof,
        },
        None => return error,
    };
    fault.into()
}

fn of_rustls(error: &rustls::Error, stage: &Stage) -> TlsError {
    use rustls::Error as E;
    let what = || error.to_string();
    match error {
        E::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) if matches!(stage, Stage::Hello | Stage::Asking { .. }) => TlsError::NotTls,
        E::InvalidMessage(_) | E::DecryptError | E::PeerSentOversizedRecord => {
            TlsError::BadRecord { what: what() }
        }
        E::AlertReceived(alert) => TlsError::Alert {
            code: u8::from(*alert),
            name: alert_name(*alert),
        },
        E::NoCertificatesPresented => TlsError::NoCertificate,
        E::NoApplicationProtocol => TlsError::NoProtocol,
        E::PeerIncompatible(_) => TlsError::Incompatible { what: what() },
        E::InvalidCertificate(refused) => TlsError::Certificate(of_certificate(refused, stage)),
        E::InappropriateMessage { .. }
        | E::InappropriateHandshakeMessage { .. }
        | E::PeerMisbehaved(_) => TlsError::Protocol { what: what() },
        _ => TlsError::Local { what: what() },
    }
}

/// What is wrong with a certificate that nobody has presented yet.
pub(super) fn refusal(refused: &CertificateError) -> Refused {
    of_certificate(refused, &Stage::Open)
}

fn of_certificate(refused: &CertificateError, stage: &Stage) -> Refused {
    use CertificateError as C;
    match refused {
        C::Expired | C::ExpiredContext { .. } => Refused::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => Refused::NotYetValid,
        C::NotValidForName => wrong_name(stage, &[]),
        C::NotValidForNameContext { presented, .. } => wrong_name(stage, presented),
        C::UnknownIssuer => Refused::UnknownIssuer,
        C::Revoked => Refused::Revoked,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => Refused::WrongPurpose,
        C::BadSignature => Refused::BadSignature,
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Refused::UnsupportedAlgorithm
        }
        C::UnhandledCriticalExtension => Refused::UnknownExtension,
        C::BadEncoding => Refused::BadEncoding,
        C::Other(OtherError(other)) => {
            if let Some(refused) = other.downcast_ref::<Refused>() {
                refused.clone()
            } else if let Some(error) = other.downcast_ref::<webpki::Error>() {
                of_webpki(error)
            } else {
                Refused::Other {
                    what: other.to_string(),
                }
            }
        }
        other => Refused::Other {
            what: other.to_string(),
        },
    }
}

fn wrong_name(stage: &Stage, presented: &[String]) -> Refused {
    let expected = match stage {
        Stage::Asking { name } => name.clone(),
        _ => String::new(),
    };
    // They come as `DnsName("a.example")` and `IpAddress(192.0.2.1)`, among names of other kinds.
    let bare = |name: &String| {
        let (kind, name) = name.strip_suffix(')')?.split_once('(')?;
        let is_host = matches!(kind, "DnsName" | "IpAddress");
        is_host.then(|| name.trim_matches('"').to_owned())
    };
    Refused::WrongName {
        expected,
        presented: presented.iter().filter_map(bare).collect(),
    }
}

/// What the library passes on as it is.
fn of_webpki(error: &webpki::Error) -> Refused {
    use webpki::Error as E;
    match error {
        E::CaUsedAsEndEntity => Refused::WrongPurpose,
        E::SignatureAlgorithmMismatch => Refused::BadSignature,
        E::UnsupportedCriticalExtension => Refused::UnknownExtension,
        E::EndEntityUsedAsCa
        | E::NameConstraintViolation
        | E::PathLenConstraintViolated
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumNameConstraintComparisonsExceeded => Refused::BadChain {
            what: error.to_string(),
        },
        E::EmptyEkuExtension
        | E::ExtensionValueInvalid
        | E::InvalidNetworkMaskConstraint
        | E::InvalidSerialNumber
        | E::MalformedDnsIdentifier
        | E::MalformedExtensions
        | E::MalformedNameConstraint => Refused::BadEncoding,
        // As `openssl x509 -req` makes them when it is given no extensions.
        E::UnsupportedCertVersion => Refused::Other {
            what: "it is of an older version than 3, which has no names of hosts".to_owned(),
        },
        error => Refused::Other {
            what: error.to_string(),
        },
    }
}

/// The alert's name as the RFCs spell it.
const fn alert_name(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::CloseNotify => "close_notify",
        A::UnexpectedMessage => "unexpected_message",
        A::BadRecordMac => "bad_record_mac",
        A::RecordOverflow => "record_overflow",
        A::HandshakeFailure => "handshake_failure",
        A::NoCertificate => "no_certificate",
        A::BadCertificate => "bad_certificate",
        A::UnsupportedCertificate => "unsupported_certificate",
        A::CertificateRevoked => "certificate_revoked",
        A::CertificateExpired => "certificate_expired",
        A::CertificateUnknown => "certificate_unknown",
        A::IllegalParameter => "illegal_parameter",
        A::UnknownCA => "unknown_ca",
        A::AccessDenied => "access_denied",
        A::DecodeError => "decode_error",
        A::DecryptError => "decrypt_error",
        A::ProtocolVersion => "protocol_version",
        A::InsufficientSecurity => "insufficient_security",
        A::InternalError => "internal_error",
        A::InappropriateFallback => "inappropriate_fallback",
        A::UserCanceled => "user_canceled",
        A::NoRenegotiation => "no_renegotiation",
        A::MissingExtension => "missing_extension",
        A::UnsupportedExtension => "unsupported_extension",
        A::UnrecognisedName => "unrecognized_name",
        A::BadCertificateStatusResponse => "bad_certificate_status_response",
        A::UnknownPSKIdentity => "unknown_psk_identity",
        A::CertificateRequired => "certificate_required",
        A::NoApplicationProtocol => "no_application_protocol",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_kind_of_refusal_has_a_name() {
        use CertificateError as C;
        use webpki::Error as E;
        let passed_on = |error: E| C::Other(OtherError(Arc::new(error)));
        let long = Refused::BadChain {
            what: E::MaximumPathDepthExceeded.to_string(),
        };
        for (refused, named) in [
            (C::Expired, Refused::Expired),
            (C::NotValidYet, Refused::NotYetValid),
            (C::UnknownIssuer, Refused::UnknownIssuer),
            (C::Revoked, Refused::Revoked),
            (C::InvalidPurpose, Refused::WrongPurpose),
            (C::BadSignature, Refused::BadSignature),
            (C::BadEncoding, Refused::BadEncoding),
            (C::UnhandledCriticalExtension, Refused::UnknownExtension),
            (passed_on(E::CaUsedAsEndEntity), Refused::WrongPurpose),
            (passed_on(E::MaximumPathDepthExceeded), long),
            (passed_on(E::MalformedExtensions), Refused::BadEncoding),
            (
                passed_on(E::SignatureAlgorithmMismatch),
                Refused::BadSignature,
            ),
            (
                C::Other(OtherError(Arc::new(Refused::NotPinned))),
                Refused::NotPinned,
            ),
        ] {
            assert_eq!(
                of_certificate(&refused, &Stage::Handshake),
                named,
                "{refused:?}"
            );
        }
        let other = of_certificate(&C::UnknownRevocationStatus, &Stage::Handshake);
        assert!(matches!(other, Refused::Other { .. }));
    }

    #[test]
    fn a_wrong_name_is_told_with_the_names_that_would_have_been_right() {
        let asking = Stage::Asking {
            name: "a.example".to_owned(),
        };
        let presented = ["DnsName(\"b.example\")", "IpAddress(192.0.2.1)"].map(str::to_owned);
        assert_eq!(
            wrong_name(&asking, &presented).to_string(),
            "it is not for the name a.example, but for b.example, 192.0.2.1"
        );
        assert_eq!(
            wrong_name(&asking, &[]).to_string(),
            "it is not for the name a.example, but for no name (a common name does not count)"
        );
    }
}
