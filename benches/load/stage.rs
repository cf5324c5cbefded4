//! The servers of one slice.

use std::io;

use crate::procfs::{CpuTime, cpu_time};
use crate::server::{Place, Server, ServerSpec};
use crate::tls::Credentials;

/// One server, or several of one kind that are compared within a slice. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    servers: Vec<Server>,
}

impl Stage {
    /// Starts a server in each place.
    ///
    /// # Errors
    /// As [`Server::start`].
    ///
    /// # Panics
    /// There is no place.
    pub(crate) fn set(
        spec: &ServerSpec,
        places: &[Place],
        credentials: &Credentials,
    ) -> io::Result<Self> {
        assert!(!places.is_empty(), "a slice has a server");
        let start = |place| Server::start(spec, place, credentials);
        let servers = places.iter().map(start).collect::<io::Result<_>>()?;
        Ok(Self { servers })
    }

    /// The server of the first place.
    pub(crate) fn first(&self) -> &Server {
        &self.servers[0]
    }

    /// The servers of the first two places.
    ///
    /// # Panics
    /// There is only one.
    pub(crate) fn pair(&self) -> [&Server; 2] {
        [&self.servers[0], &self.servers[1]]
    }

    /// Adds to a fault of a scenario that a server has ended, if one has.
    pub(crate) fn explain(&mut self, fault: io::Error) -> io::Error {
        let servers = self.servers.iter_mut();
        servers.fold(fault, |fault, server| server.explain(fault))
    }

    /// The CPU times of all servers.
    ///
    /// # Errors
    /// One has ended.
    pub(crate) fn cpu_times(&self) -> io::Result<Vec<CpuTime>> {
        self.servers
            .iter()
            .map(|server| cpu_time(server.pid()))
            .collect()
    }
}
