//! Who accepts a certificate, and says exactly why not.

use std::sync::Arc;

use switchboard_core::CertificateError as Refused;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::identity::unusable;
use super::{Provider, Roots, TlsConfigError};

/// Whether a server asks its clients for certificates, and which it accepts.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum ClientAuth {
    /// None is asked for. The default.
    #[default]
    None,
    /// One is asked for. A client without one is let in; one whose certificate is not trusted is not.
    Optional(Roots),
    /// One is demanded, and must be trusted.
    Required(Roots),
}

impl ClientAuth {
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsConfigError> {
        let by = |roots: &Roots| {
            WebPkiClientVerifier::builder_with_provider(roots.store(), Arc::clone(provider))
        };
        let (verifier, roots) = match self {
            Self::None => return Ok(WebPkiClientVerifier::no_client_auth()),
            Self::Optional(roots) => (by(roots).allow_unauthenticated().build(), roots),
            Self::Required(roots) => (by(roots).build(), roots),
        };
        Ok(Arc::new(Exact {
            inner: verifier.map_err(unusable)?,
            roots: roots.store(),
        }))
    }
}

/// Whom a client accepts as its server.
#[derive(Debug, Clone)]
pub(super) enum Trust {
    Roots(Roots),
    Pinned(Vec<[u8; 32]>),
    Anyone,
}

impl Trust {
    pub(super) fn verifier(
        self,
        named: Provider,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, TlsConfigError> {
        let pins = match self {
            Self::Roots(roots) => {
                let provider = Arc::clone(provider);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots.store(), provider);
                let verifier: Arc<dyn ServerCertVerifier> = verifier.build().map_err(unusable)?;
                let (inner, roots) = (verifier, roots.store());
                return Ok(Arc::new(Exact { inner, roots }));
            }
            Self::Pinned(pins) if pins.is_empty() => return Err(TlsConfigError::NoPin),
            Self::Pinned(pins) => Some(pins),
            Self::Anyone => None,
        };
        Ok(Arc::new(Unchained {
            pins,
            named,
            provider: Arc::clone(provider),
        }))
    }
}

/// Decides as the one inside does, but for two things. A certificate that is one of the roots itself is
/// accepted as what it is, also when it is marked as that of an authority, as `openssl req -x509` makes
/// them: the library refuses such a one in that place. And certificates that have signed themselves are
/// named so, where the library calls them issued by somebody unknown.
#[derive(Debug)]
struct Exact<V: ?Sized> {
    inner: Arc<V>,
    roots: Arc<RootCertStore>,
}

impl ServerCertVerifier for Exact<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .or_else(|error| {
                exactly(error, end_entity, &self.roots)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl ClientCertVerifier for Exact<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.inner
            .verify_client_cert(end_entity, intermediates, now)
            .or_else(|error| {
                exactly(error, end_entity, &self.roots)?;
                Ok(ClientCertVerified::assertion())
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts servers without looking for an issuer, a name or a time. That they have the key of their
/// certificate is verified all the same.
#[derive(Debug)]
struct Unchained {
    /// Only these certificates; `None`: any.
    pins: Option<Vec<[u8; 32]>>,
    named: Provider,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unchained {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.pins {
            Some(pins) if !pins.contains(&self.named.sha_256(end_entity)) => {
                Err(refused(Refused::NotPinned))
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// What the library found, put exactly; nothing, if the certificate is a root itself.
fn exactly(
    error: Error,
    end_entity: &CertificateDer<'_>,
    roots: &RootCertStore,
) -> Result<(), Error> {
    let authority = match &error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => false,
        Error::InvalidCertificate(CertificateError::Other(OtherError(other)))
            if matches!(other.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            true
        }
        _ => return Err(error),
    };
    let self_signed =
        webpki::EndEntityCert::try_from(end_entity).is_ok_and(|it| it.issuer() == it.subject());
    if !self_signed {
        return Err(error);
    }
    // That it is marked as an authority's is found after its time was looked at, so that is in order.
    if authority && is_root(end_entity, roots) {
        return Ok(());
    }
    Err(refused(Refused::SelfSigned))
}

/// Whether it has the name and the key of a root. Who presents it has to prove that it has the key. One
/// that may not vouch for every host could vouch here for itself as any.
fn is_root(certificate: &CertificateDer<'_>, roots: &RootCertStore) -> bool {
    webpki::anchor_from_trusted_cert(certificate).is_ok_and(|it| {
        roots.roots.iter().any(|root| {
            root.subject == it.subject
                && root.subject_public_key_info == it.subject_public_key_info
                && root.name_constraints.is_none()
        })
    })
}

/// The peer is sent the alert certificate_unknown.
fn refused(why: Refused) -> Error {
    CertificateError::Other(OtherError(Arc::new(why))).into()
}
