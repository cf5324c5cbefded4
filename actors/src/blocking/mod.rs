//! The same calls from any thread, without async: for scripts, tests, and programs of plain threads (ACO-02).
//!
//! Each call blocks its thread until the answer is there. Connections are those of everywhere else, in a pool
//! that runs in the background, on one thread: it starts with the first call of [`connect`] or [`listen`], stops
//! with the last handle of what they gave, and starts anew after that. The handle of any other pool's connection
//! can be used in the same way: `blocking::Client::from(client)`.
//!
//! Threads on which async code runs must not block, since the rest of that code would stand still, perhaps the
//! connection itself: there every call here fails at once with an error that says so (`InsideAsync`). In
//! [`spawn_blocking`](tokio::task::spawn_blocking) it may block, and so may sessions on
//! [workers](crate::PoolBuilder::workers).
//!
//! ```
//! use switchboard::{Connect, Listen, blocking};
//!
//! let listener = blocking::listen(Listen::tcp("127.0.0.1:0"))?;
//! let address = listener.local_addr();
//! let server = std::thread::spawn(move || {
//!     let client = listener.accept()?;
//!     let line = client.recv_line()?;
//!     client.sent_line(&line)?;
//!     Ok::<_, std::io::Error>(())
//! });
//! let client = blocking::connect(Connect::tcp(address))?;
//! client.sent("hello\n")?;
//! assert_eq!(client.recv_line()?.as_bytes(), b"hello");
//! # server.join().expect("no panic")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Datagrams have no blocking calls here: a [`UdpSocket`](std::net::UdpSocket) of the standard library has them.

mod client;
mod error;
mod listener;
mod runtime;
mod stream;
mod wait;

use std::sync::Arc;

use crate::options::{Connect, Listen};

pub use client::Client;
pub use error::{AcceptError, ClosedError, OpenError};
pub use listener::Listener;
use runtime::Runtime;

/// Opens a connection, and waits until it is established or cannot be; how long that may take is an option of
/// [`Connect`]. As with [`Pool::open`](crate::Pool::open) it has no session, and stays open for sending when the peer
/// finishes.
///
/// # Errors
/// When it cannot be established, when the background pool cannot be started, and on a thread that runs async
/// code.
pub fn connect(connect: Connect) -> Result<Client, OpenError> {
    let runtime = Runtime::running()?;
    let opening = runtime.pool().open(connect);
    let client = wait::for_ever(opening)?;
    Ok(Client::opened(client, runtime))
}

/// Opens a listener that takes a peer whenever it is [asked](Listener::accept) to (ACO-03).
///
/// # Errors
/// When the address cannot be had, when the background pool cannot be started, and on a thread that runs async
/// code.
pub fn listen(listen: Listen) -> Result<Listener, OpenError> {
    let runtime = Runtime::running()?;
    let opening = runtime.pool().open_listener(listen);
    let acceptor = wait::for_ever(opening)?;
    Ok(Listener::new(Arc::new(acceptor), runtime))
}
