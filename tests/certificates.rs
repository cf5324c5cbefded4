//! Certificates made in the test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use switchboard::tls::{Identity, Roots};

/// An authority of the test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The certificate in DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// One that nobody else knows.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Whoever trusts it.
    pub fn roots(&self) -> Roots {
        Roots::from_pem(self.pem()).unwrap()
    }

    /// A certificate for these names, with both purposes.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(params(names))
    }

    /// A certificate as these parameters say.
    pub fn issue_with(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

/// The parameters of a certificate for these names, with both purposes.
pub fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// A certificate that has signed itself.
pub fn self_signed(names: &[&str]) -> Issued {
    let key = KeyPair::generate().unwrap();
    let certificate = params(names).self_signed(&key).unwrap();
    Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
    }
}

impl Issued {
    /// As what a side of TLS presents.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key).unwrap()
    }
}
