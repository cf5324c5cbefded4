//! Level-triggered `epoll`, with indices for tokens.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::retry_on_intr;

/// The most events that one wait brings.
const EVENTS: usize = 1024;

/// Waits for many sockets at once. A socket that is closed leaves by itself.
pub(crate) struct Poller {
    epoll: OwnedFd,
    ready: Vec<Event>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes to read, or the end of the stream.
    Read,
    /// That, or room to write.
    ReadWrite,
    /// Room to write only.
    Write,
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::ReadWrite => EventFlags::IN | EventFlags::OUT,
            Self::Write => EventFlags::OUT,
        }
    }
}

/// One socket that has something to do. An error or a hang-up shows as both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The index that it was added with.
    pub(crate) token: usize,
    /// A read will say something.
    pub(crate) readable: bool,
    /// A write will say something.
    pub(crate) writable: bool,
}

impl Poller {
    /// A poller without sockets.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            ready: Vec::with_capacity(EVENTS),
        })
    }

    /// Adds a socket.
    ///
    /// # Errors
    /// The socket is already here, or the system is out of memory.
    pub(crate) fn add(
        &self,
        socket: impl AsFd,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            socket,
            EventData::new_u64(token as u64),
            interest.flags(),
        )?)
    }

    /// Waits for something else on a socket.
    ///
    /// # Errors
    /// The socket is not here.
    pub(crate) fn modify(
        &self,
        socket: impl AsFd,
        token: usize,
        interest: Interest,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            socket,
            EventData::new_u64(token as u64),
            interest.flags(),
        )?)
    }

    /// Forgets a socket.
    ///
    /// # Errors
    /// The socket is not here.
    pub(crate) fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, socket)?)
    }

    /// Waits until something is ready, at the latest until `deadline`, and says how many sockets
    /// are.
    ///
    /// # Errors
    /// Only a fault of the program's own.
    pub(crate) fn wait(&mut self, deadline: Instant) -> io::Result<usize> {
        self.wait_for(deadline.saturating_duration_since(Instant::now()))
    }

    /// As [`Poller::wait`], but never sleeps.
    ///
    /// Waking a core that sleeps costs the one that wakes it, in a virtual machine several times as
    /// much as a request. With a load that sleeps, a server would pay for the load.
    ///
    /// # Errors
    /// As [`Poller::wait`].
    pub(crate) fn spin(&mut self, deadline: Instant) -> io::Result<usize> {
        loop {
            let count = self.wait_for(Duration::ZERO)?;
            if count > 0 || Instant::now() >= deadline {
                return Ok(count);
            }
        }
    }

    fn wait_for(&mut self, limit: Duration) -> io::Result<usize> {
        self.ready.clear();
        // A wait without a limit is what comes nearest to one that no `Timespec` can hold.
        let timeout = Timespec::try_from(limit).ok();
        let Self { epoll, ready } = self;
        Ok(retry_on_intr(|| {
            epoll::wait(&*epoll, spare_capacity(ready), timeout.as_ref())
        })?)
    }

    /// The socket at `position` of the last wait.
    pub(crate) fn ready(&self, position: usize) -> Ready {
        let Event { flags, data, .. } = self.ready[position];
        let fault = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Ready {
            token: usize::try_from(data.u64()).expect("tokens are indices"),
            readable: fault || flags.contains(EventFlags::IN),
            writable: fault || flags.contains(EventFlags::OUT),
        }
    }
}
