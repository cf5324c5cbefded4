//! `switchboard-core`: the pure half of switchboard.
//!
//! Bytes, time and commands go in; bytes, deadlines and events come out. Nothing in here awaits,
//! opens a socket, reads a clock, logs, or knows what an actor is, so every rule of a connection can
//! be tested without any of them. The upper floor, the crate `switchboard`, moves bytes and messages
//! and never decides a protocol question.
//!
//! Reading order: [`connection`] (the machine), [`frame`] (where a frame ends), [`reason`] (why a
//! connection ended), [`config`] (every knob), [`datagram`] (the other machine), [`stream`] (what a reader holds), then [`slots`] and
//! [`gate`] (bounded memory, bounded admission) and [`budget`] (what all hold together).
#![forbid(unsafe_code)]

pub mod address;
pub mod budget;
pub mod config;
pub mod connection;
pub mod datagram;
pub mod encoding;
pub mod error;
pub mod fifo;
pub mod frame;
pub mod gate;
pub mod id;
pub mod line;
#[cfg(all(test, loom))]
mod model;
pub mod now;
pub mod payload;
pub mod process;
pub mod reason;
pub mod receive;
pub mod restart;
pub mod slots;
pub mod stream;
mod sync;
pub mod tls;

pub use address::{Address, Destination, UnixName};
pub use budget::{Budget, Share};
pub use config::{
    ConfigError, ConnectionConfig, CrashPolicy, IdleAction, IdleRule, RateRule, ReconnectConfig,
};
pub use connection::{Access, Connection, ConnectionState, Event, Interests};
pub use datagram::{DatagramConfig, DatagramError, DatagramEvent, DatagramRefusal, Datagrams};
pub use encoding::{Encoding, Label, Undecodable, UnknownEncoding};
pub use error::{
    ArmError, ConnectError, ConnectPhase, LimitsError, SendError, SendRefusal, SlotError,
    StartTlsError,
};
pub use fifo::{Fifo, FifoEmpty};
pub use frame::{FrameError, LineRule};
pub use gate::{
    AcceptBackoff, AcceptFault, AcceptRate, AccessList, Alarm, AlarmError, Cidr, CidrError, Gate,
    GatePass, PrefixGate, PrefixLengths, PrefixPass, RateError, RejectReason,
};
pub use id::{ClientId, IdSource, ServerId, Token};
pub use line::{AsLine, Line, LineEnding};
pub use now::Now;
pub use payload::Payload;
pub use reason::{Cause, ClosePhase, ClosedDetail, ClosedReason, IoOperation, TimeoutKind};
pub use receive::{OnTimeout, Receive, ReceiveKind, Repeat};
pub use restart::{Backoff, BackoffConfig, BackoffError, Intensity};
pub use slots::{BufferSlot, BufferSlots, SlotsError};
pub use stream::{StreamBuffer, Taken};
pub use tls::{CertificateError, Cipher, TlsError, TlsInfo, TlsVersion};
