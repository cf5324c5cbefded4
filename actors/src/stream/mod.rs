//! Straight-line use: a connection as two halves that are read and written in sequence.
//!
//! For code that was written for asyncio's or uasyncio's streams, and for every library that works on
//! [`tokio::io::AsyncRead`] and [`tokio::io::AsyncWrite`]. It is the same runtime as for sessions: a read is a
//! request to the connection's actor, and the pool sees, limits and drains the connection like any other.

mod error;
mod feeder;
mod halves;
mod joined;
mod open;
mod reader;
mod tcp_client;
mod writer;

pub use error::StreamError;
pub use feeder::{FeedError, Feeder};
pub use joined::{Stream, join};
pub use open::{IntoTask, Plain, Task, open_connection, start_server};
pub use reader::Reader;
pub use tcp_client::{DEFAULT_ATTEMPT, TcpClient, TcpClientError};
pub use writer::Writer;

/// The [`limit`](Reader::limit) of a reader, unless it is told otherwise, in bytes (AIO-29).
pub const DEFAULT_LIMIT: usize = 64 * 1024;
