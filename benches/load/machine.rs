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
    pin_to_any(&[core])
}

/// Keeps the calling thread, and those that it will make, on some cores. Allocates nothing when it succeeds.
///
/// # Errors
/// The machine has no such core, or the process may not use it.
pub(crate) fn pin_to_any(cores: &[usize]) -> io::Result<()> {
    let mut only = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no core {core}"),
            ));
        }
        only.set(*core);
    }
    Ok(sched_setaffinity(None, &only)?)
}

/// How many descriptors a process may have, this one and its children.
pub(crate) fn most_open_files() -> usize {
    let maximum = getrlimit(Resource::Nofile).maximum;
    maximum.map_or(usize::MAX, |most| {
        usize::try_from(most).unwrap_or(usize::MAX)
    })
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
