//! What a measure asks of the machine: a core for the server, a core for the load, and enough
//! descriptors.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Who runs where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The core of the server under test.
    pub(crate) server: usize,
    /// The core of the load generator.
    pub(crate) load: usize,
}

/// Keeps the calling thread on one core. Allocates nothing when it succeeds.
///
/// # Errors
/// The machine has no such core, or the process may not use it.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("no core {core}"),
        ));
    }
    let mut only = CpuSet::new();
    only.set(core);
    Ok(sched_setaffinity(None, &only)?)
}

/// Raises the soft limit of open files to the hard limit; children inherit it.
///
/// # Errors
/// The system refused.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}
