//! What is kept by the names that clients ask for (SNI, RFC 6066 3).

use std::collections::HashMap;

use tokio_rustls::rustls::pki_types::DnsName;

use super::TlsConfigError;

/// What becomes of clients that ask for a name that is not served, for [`TlsServerBuilder::unknown_host`](super::TlsServerBuilder::unknown_host).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum UnknownHost {
    /// Clients that ask for another name, or for none, get the default certificate; most of them then
    /// find that it is not for the name, and leave. The default.
    #[default]
    Default,
    /// Clients that ask for a name that neither a [`host`](super::TlsServerBuilder::host) nor the default
    /// certificate has, or for none at all, are refused with the alert unrecognized_name, as haproxy's
    /// `strict-sni` and nginx's `ssl_reject_handshake` do: no certificate is shown to those who only
    /// know the address.
    Refuse,
}

/// One thing for each host name, or for all hosts one label below another (`*.b.example`). A name of its
/// own counts before the wildcard.
#[derive(Debug, Clone)]
pub(crate) struct Hosts<T> {
    named: HashMap<String, T>,
    /// By what is behind the star and its dot.
    below: HashMap<String, T>,
}

impl<T> Hosts<T> {
    pub(crate) fn new() -> Self {
        Self {
            named: HashMap::new(),
            below: HashMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, name: &str, value: T) -> Result<(), TlsConfigError> {
        check(name)?;
        let key = plain(name);
        let (hosts, key) = match key.strip_prefix("*.") {
            Some(parent) => (&mut self.below, parent),
            None => (&mut self.named, key.as_str()),
        };
        if hosts.insert(key.to_owned(), value).is_some() {
            return Err(TlsConfigError::DuplicateHost {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    /// What is kept for whoever asks for this name.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        let name = plain(name);
        let below = || self.below.get(name.split_once('.')?.1);
        self.named.get(&name).or_else(below)
    }

    /// What was inserted by exactly this name.
    pub(super) fn inserted(&mut self, name: &str) -> Option<&mut T> {
        let name = plain(name);
        match name.strip_prefix("*.") {
            Some(parent) => self.below.get_mut(parent),
            None => self.named.get_mut(&name),
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.named.values().chain(self.below.values())
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.named.values_mut().chain(self.below.values_mut())
    }
}

/// Refuses what nobody can ask for.
pub(super) fn check(name: &str) -> Result<(), TlsConfigError> {
    let plain = plain(name);
    let host = plain.strip_prefix("*.").unwrap_or(&plain);
    match DnsName::try_from(host) {
        Ok(_) => Ok(()),
        Err(_) => Err(TlsConfigError::BadName {
            name: name.to_owned(),
        }),
    }
}

/// Names differ neither by case nor by the dot of the root.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_its_own_counts_before_a_wildcard_which_is_for_one_label_only() {
        let mut hosts = Hosts::new();
        hosts.insert("a.b.example", 1).unwrap();
        hosts.insert("*.B.example", 2).unwrap();
        assert_eq!(hosts.get("A.b.example."), Some(&1));
        assert_eq!(hosts.get("x.b.example"), Some(&2));
        for other in [
            "b.example",
            "x.y.b.example",
            "example",
            "",
            ".b.example.org",
        ] {
            assert_eq!(hosts.get(other), None, "{other}");
        }
    }

    #[test]
    fn names_that_nobody_can_ask_for_are_refused() {
        for bad in [
            "",
            "*",
            "*.",
            "a.*.example",
            "**.example",
            "a b",
            "127.0.0.1",
            "a..b",
            "*.*.b",
        ] {
            let refused = Hosts::new().insert(bad, ()).unwrap_err();
            assert!(matches!(refused, TlsConfigError::BadName { name } if name == bad));
        }
        let mut hosts = Hosts::new();
        hosts.insert("a.example", ()).unwrap();
        let refused = hosts.insert("A.example.", ()).unwrap_err();
        assert!(matches!(refused, TlsConfigError::DuplicateHost { .. }));
    }
}
