//! The handle of anything that has a session.

use switchboard_core::ClientId;

use crate::client::Client;
#[cfg(unix)]
use crate::process::Process;
use crate::states::{States, keeps_states};
use crate::udp::{Raw, Udp};

/// What an event that any kind of session may get is of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handle {
    /// A connection.
    Client(Client),
    /// A socket that moves datagrams.
    Udp(Udp),
    /// A raw IP socket.
    Raw(Raw),
    /// A child process.
    #[cfg(unix)]
    Process(Process),
}

impl Handle {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> ClientId {
        match self {
            Self::Client(client) => client.id(),
            Self::Udp(udp) => udp.id(),
            Self::Raw(raw) => raw.id(),
            #[cfg(unix)]
            Self::Process(process) => process.id(),
        }
    }

    /// The connection, if it is one.
    #[must_use]
    pub const fn client(&self) -> Option<&Client> {
        match self {
            Self::Client(client) => Some(client),
            _ => None,
        }
    }
}

impl Handle {
    fn states(&self) -> &States {
        match self {
            Self::Client(client) => &client.shared.states,
            Self::Udp(udp) => udp.states(),
            Self::Raw(raw) => raw.states(),
            #[cfg(unix)]
            Self::Process(process) => process.states(),
        }
    }
}

keeps_states!(Handle);

impl From<&Client> for Handle {
    fn from(client: &Client) -> Self {
        Self::Client(client.clone())
    }
}

impl From<Client> for Handle {
    fn from(client: Client) -> Self {
        Self::Client(client)
    }
}

impl From<Udp> for Handle {
    fn from(udp: Udp) -> Self {
        Self::Udp(udp)
    }
}

impl From<Raw> for Handle {
    fn from(raw: Raw) -> Self {
        Self::Raw(raw)
    }
}

#[cfg(unix)]
impl From<Process> for Handle {
    fn from(process: Process) -> Self {
        Self::Process(process)
    }
}

impl PartialEq<Client> for Handle {
    fn eq(&self, other: &Client) -> bool {
        self.client() == Some(other)
    }
}
