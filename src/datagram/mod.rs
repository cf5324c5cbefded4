//! The machine of a socket that moves datagrams: UDP, Unix datagrams, raw IP.

mod error;

pub use error::{DatagramError, DatagramRefusal};
