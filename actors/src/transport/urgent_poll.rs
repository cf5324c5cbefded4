//! Notices urgent bytes (AC-06) on many sockets at once.
//!
//! The runtime waits for bytes and for room, not for urgent bytes, and waits for a descriptor once only. So
//! they have an epoll of their own, which the runtime waits for as a whole: a socket costs no other
//! descriptor, and nothing while none comes.

use std::io;

use socket2::SockRef;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{UrgentDoor, UrgentPoll};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;

    use rustix::event::Timespec;
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    use rustix::io::Errno;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{SockRef, io};
    use crate::transport::register::register;

    /// How many sockets are told of in one go.
    const BATCH: usize = 64;

    /// Waits for urgent bytes on sockets that are known by numbers.
    pub(crate) struct UrgentPoll(AsyncFd<OwnedFd>);

    /// Its descriptor, before any thread waits for it.
    pub(crate) struct UrgentDoor(OwnedFd);

    impl UrgentDoor {
        pub(crate) fn open() -> io::Result<Self> {
            Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
        }
    }

    impl UrgentPoll {
        /// Waits on the calling thread.
        pub(crate) fn at(door: UrgentDoor) -> io::Result<Self> {
            Ok(Self(register(door.0, Interest::READABLE)?))
        }

        /// Looks out on a socket from now on; what has come already counts.
        pub(crate) fn add(&self, socket: &SockRef<'_>, id: u64) -> io::Result<()> {
            let events = EventFlags::PRI | EventFlags::ET;
            Ok(epoll::add(
                &self.0,
                &**socket,
                EventData::new_u64(id),
                events,
            )?)
        }

        /// Closing it does the same, unless it has another descriptor somewhere.
        pub(crate) fn remove(&self, socket: &SockRef<'_>) {
            let _ = epoll::delete(&self.0, &**socket);
        }

        /// Waits for urgent bytes, and says where some have come.
        pub(crate) async fn next(&self) -> io::Result<Vec<u64>> {
            loop {
                let mut ready = self.0.readable().await?;
                let mut room = [MaybeUninit::uninit(); BATCH];
                let at_once = Timespec::default();
                let events = match epoll::wait(&self.0, &mut room, Some(&at_once)) {
                    Ok((events, _)) => events,
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                };
                if events.len() < BATCH {
                    ready.clear_ready();
                }
                // The end of a connection is told too, and is not what was asked for.
                let ids: Vec<_> = events
                    .iter()
                    .filter(|event| ({ event.flags }).contains(EventFlags::PRI))
                    .map(|event| { event.data }.u64())
                    .collect();
                if !ids.is_empty() {
                    return Ok(ids);
                }
            }
        }
    }
}

/// There are no urgent bytes here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) enum UrgentPoll {}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) enum UrgentDoor {}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl UrgentDoor {
    pub(crate) fn open() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl UrgentPoll {
    pub(crate) fn at(door: UrgentDoor) -> io::Result<Self> {
        match door {}
    }

    pub(crate) fn add(&self, _: &SockRef<'_>, _: u64) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn remove(&self, _: &SockRef<'_>) {
        match *self {}
    }

    pub(crate) async fn next(&self) -> io::Result<Vec<u64>> {
        match *self {}
    }
}
