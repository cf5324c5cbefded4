//! Certificates made in the test.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SerialNumber, SignatureAlgorithm,
};
use switchboard::tls::{Identity, Roots};

/// An authority of the test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    algorithm: &'static SignatureAlgorithm,
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
        Self::signing_with(&PKCS_ECDSA_P256_SHA256, name)
    }

    /// One whose signatures all have the same length, those of whom it vouches for too.
    pub fn of_fixed_sizes(name: &str) -> Self {
        Self::signing_with(&PKCS_ED25519, name)
    }

    fn signing_with(algorithm: &'static SignatureAlgorithm, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer, algorithm }
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its certificate in DER.
    pub fn der(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
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
        let key = KeyPair::generate_for(self.algorithm).unwrap();
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
    // Of one length each time.
    params.serial_number = Some(SerialNumber::from(1));
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
