//! Every typed message: what a handle is told ([`command`]) and what a session is told ([`event`]).

pub mod command;
pub mod event;
pub mod pool;

pub use command::*;
pub use event::*;
pub use pool::*;

pub use crate::udp::{JoinMulticast, LeaveMulticast, SendTo};

#[cfg(feature = "tls")]
pub use crate::tls::StartTls;
