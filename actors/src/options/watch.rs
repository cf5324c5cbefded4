//! The options of a channel over descriptors that are there already.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd};

use switchboard_core::{Access, ConnectionConfig};

use crate::transport::{Descriptor, WatchError, Watched};

use super::{Connect, ConnectionOptions, SocketOptions};

/// A channel over a descriptor that the program has: a pipe, a FIFO, a terminal, a serial line, a stream
/// socket, for [`Pool::watch_fd`](crate::Pool::watch_fd) (AC-21).
///
/// **The descriptor is duplicated at once**; the caller may close his own, and must do so if it writes a
/// pipe: the reader sees the end when all who write have closed (AC-22). Nobody else notices that ours never
/// blocks. Pipes, and the terminals of logins, are opened anew for that (Linux), and sockets need nothing.
/// For a FIFO, a serial line, the master of a terminal and a terminal of somebody else, `O_NONBLOCK` is set
/// on what the caller has too, and cleared when the channel closes.
///
/// What the descriptor is open for decides: on one that is open for reading only, sends and
/// [`write_eof`](crate::Client::write_eof) are refused with [`SendRefusal::ReadOnly`]; on one that is open
/// for writing only, receives with [`ArmError::WriteOnly`]. If whoever would read has gone, a channel that
/// is only written ends by itself (Linux), and a send by a broken pipe; there is no signal.
///
/// `write_eof` closes the descriptor that is only written, and finishes a socket. A terminal, one
/// descriptor for both ways, has no end to be told. Closing does not read on, unless it is a socket: what
/// is left there is for others. TLS, [`reconnect`](Connect::reconnect) and the options of sockets are
/// refused.
///
/// [`SendRefusal::ReadOnly`]: crate::SendRefusal::ReadOnly
/// [`ArmError::WriteOnly`]: crate::ArmError::WriteOnly
#[derive(Debug)]
#[must_use = "nothing is watched until it is given to a pool"]
pub struct WatchFd {
    connect: Connect,
}

impl WatchFd {
    /// Watches it in the way that it is open for.
    ///
    /// # Errors
    /// See [`WatchError`]: a regular file, above all, cannot be waited for.
    pub fn new(fd: impl AsFd) -> Result<Self, WatchError> {
        let name = name(&fd);
        let watched = Watched::one(Descriptor::new(fd, None)?);
        Ok(Self::of(name, watched))
    }

    /// Reads from one and writes to the other, as one channel.
    ///
    /// # Errors
    /// See [`WatchError`]; also when one is not open for that.
    pub fn read_write(read: impl AsFd, write: impl AsFd) -> Result<Self, WatchError> {
        let name = format_args!("{} and {}", name(&read), name(&write)).to_string();
        let read = Descriptor::new(read, Some(Access::ReadOnly))?;
        let write = Descriptor::new(write, Some(Access::WriteOnly))?;
        Ok(Self::of(name, Watched::pair(read, write)))
    }

    /// Standard input, for reading only. What was read through [`std::io::stdin`] before, and is in its
    /// buffer, is not seen.
    ///
    /// # Errors
    /// See [`WatchError`]; `program < file` is one.
    pub fn stdin() -> Result<Self, WatchError> {
        let stdin = Descriptor::new(std::io::stdin(), Some(Access::ReadOnly))?;
        Ok(Self::of("standard input", Watched::one(stdin)))
    }

    /// Standard input and standard output as one channel.
    ///
    /// # Errors
    /// See [`WatchError`]; `program > file` is one.
    pub fn stdio() -> Result<Self, WatchError> {
        let read = Descriptor::new(std::io::stdin(), Some(Access::ReadOnly))?;
        let write = Descriptor::new(std::io::stdout(), Some(Access::WriteOnly))?;
        let name = "standard input and output";
        Ok(Self::of(name, Watched::pair(read, write)))
    }

    fn of(name: impl fmt::Display, watched: Watched) -> Self {
        Self {
            connect: Connect::watch(name, watched),
        }
    }

    pub(crate) fn into_connect(self) -> Connect {
        self.connect
    }
}

impl ConnectionOptions for WatchFd {
    fn on_workers(mut self, yes: bool) -> Self {
        self.connect = self.connect.on_workers(yes);
        self
    }

    fn config_mut(&mut self) -> &mut ConnectionConfig {
        self.connect.config_mut()
    }

    fn socket_mut(&mut self) -> &mut SocketOptions {
        self.connect.socket_mut()
    }
}

fn name(fd: &impl AsFd) -> String {
    format!("descriptor {}", fd.as_fd().as_raw_fd())
}
