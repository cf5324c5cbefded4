//! What an error of the TLS library means.

use std::io;

use switchboard_core::{CertificateError as Refused, TlsError};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, InvalidMessage};

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

fn of_certificate(refused: &CertificateError, stage: &Stage) -> Refused {
    use CertificateError as C;
    match refused {
        C::Expired | C::ExpiredContext { .. } => Refused::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => Refused::NotYetValid,
        C::NotValidForName | C::NotValidForNameContext { .. } => Refused::WrongName {
            expected: match stage {
                Stage::Asking { name } => name.clone(),
                _ => String::new(),
            },
        },
        C::UnknownIssuer => Refused::UnknownIssuer,
        C::Revoked => Refused::Revoked,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => Refused::WrongPurpose,
        C::BadSignature => Refused::BadSignature,
        C::BadEncoding => Refused::BadEncoding,
        other => Refused::Other {
            what: other.to_string(),
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
