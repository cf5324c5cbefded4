//! PEM that people have, and what they are told of it.

use switchboard::tls::{Identity, Roots, TlsConfigError, TlsServer};
use switchboard_tests::certificates::Authority;

fn refusal(certificates: &str, key: &str) -> TlsConfigError {
    let built = Identity::from_pem(certificates, key).map(TlsServer::builder);
    built.and_then(|builder| builder.build()).unwrap_err()
}

/// As a key is that came through an environment variable.
#[test]
fn a_key_that_cannot_be_read_is_not_shown() {
    let issued = Authority::new("ours").issue(&["localhost"]);
    let one_line = issued.key.replace(['\n', '\r'], "");
    let no_begin = one_line.replace("KEY-----", "KEY---");
    let no_end = issued.key.replace("-----END", "");
    for key in [one_line, no_begin, no_end] {
        let error = refusal(&issued.certificate, &key);
        let (shown, debugged) = (error.to_string(), format!("{error:?}"));
        assert!(shown.len() < 100 && debugged.len() < 150, "{debugged}");
    }
}

#[test]
fn a_key_that_needs_a_password_is_called_encrypted() {
    let issued = Authority::new("ours").issue(&["localhost"]);
    let newer = issued.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                 DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for key in [&newer, older] {
        let error = refusal(&issued.certificate, key);
        assert!(
            matches!(error, TlsConfigError::EncryptedKey { .. }),
            "{error}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_place_and_as_ones_own() {
    let junk = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    let roots = Roots::from_pem(junk).unwrap_err().to_string();
    assert!(roots.contains("the certificates given"), "{roots}");
    let identity = refusal(junk, &Authority::new("ours").issue(&["localhost"]).key);
    for error in [roots, identity.to_string()] {
        assert!(!error.contains("peer"), "{error}");
    }
}
