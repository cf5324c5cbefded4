//! What carries the datagrams of one socket.

#[cfg(unix)]
mod calls;
#[cfg(not(unix))]
#[path = "calls_off.rs"]
mod calls;
#[cfg(unix)]
mod descriptor;
mod drops;
mod inet;
mod payload;
mod shares;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use switchboard_core::Address;
use tokio::io::ReadBuf;

#[cfg(unix)]
pub(crate) use descriptor::{RawSocket, UnixSocket, system_name, unix_address};
pub(crate) use inet::InetSocket;
pub(crate) use payload::payload;
pub(crate) use shares::Shares;

/// A socket that moves datagrams. It may be used from any thread, by one at a time.
pub(crate) trait DatagramSocket: fmt::Debug + Send {
    /// Receives one datagram; what does not fit is lost.
    ///
    /// # Errors
    /// What the system says; most of it is about earlier datagrams, and the socket lives on.
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        datagram: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>>;

    /// Sends one datagram; `to` is `None` for the peer that it is connected to.
    ///
    /// # Errors
    /// What the system says. `WouldBlock`: it cannot be waited for, and is to be tried again after a pause.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<()>>;

    /// Our own address; `None`: it is not bound.
    fn local_addr(&self) -> Option<Address>;

    /// From now on only this peer is sent to and received from.
    ///
    /// # Errors
    /// What the system says.
    fn connect(&self, peer: &Address) -> io::Result<()>;

    /// The socket, for options; `None` for a share of another one's.
    fn socket(&self) -> Option<SockRef<'_>>;

    /// A share of it that sends to one peer only, and receives nothing by itself; `None` where there is no
    /// such thing. It is counted among `shares`.
    fn share(&self, _: &Address, _: &Arc<Shares>) -> Option<Box<dyn DatagramSocket>> {
        None
    }

    /// How many datagrams the system has thrown away since nobody took them; `None` where it does not
    /// tell.
    fn kernel_drops(&self) -> Option<u64> {
        drops::of(&self.socket()?)
    }
}

thread_local! {
    /// What datagrams are received into, before they are copied to memory of their size.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends out the thread's memory for one datagram of at most so many bytes and one more, by which a
/// longer one is known.
pub(crate) fn with_scratch<R>(size: usize, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    let needed = size.saturating_add(1);
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < needed {
            scratch.resize(needed, 0);
        }
        use_it(&mut scratch[..needed])
    })
}
