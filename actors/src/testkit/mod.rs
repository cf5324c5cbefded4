//! The test harness (feature `testkit`): the same actors over a real, an in-memory or a simulated
//! network.
//!
//! Sessions and the code that listens and connects stay as they are; only
//! [`PoolBuilder::network`](crate::PoolBuilder::network) says what is under them.
//!
//! | to | take |
//! |---|---|
//! | run everything in virtual time, decided by a seed, repeatable | [`Simulation`] |
//! | have listeners and connections without sockets | [`MemoryNet`], [`Link`] |
//! | break the network on purpose, real or not | [`Faults`], [`FaultyNet`], [`Rates`] |
//! | see and expect what a session is told | [`Probe`] |
//! | play a conversation, as either side | [`Script`] |
//! | give the same input in other pieces | [`CutPoints`] |
//! | find what is left over | [`LeakCheck`] |
//! | test a transport of your own | [`conformance`] |
//!
//! TLS is tested with all of them: listeners and connections that are given it, and
//! [`TlsNetwork`](crate::tls::TlsNetwork) over or under any network of these. Keys and ciphertext are others
//! in each run of a seed; what is sent, when, and what comes of it is the same where signatures have a
//! fixed length, as those of Ed25519 certificates have and those of ECDSA have not.
//!
//! A session is tested like this: a peer that breaks off in mid-line, and one that never speaks.
//!
//! ```
//! use std::time::Duration;
//! use switchboard::prelude::*;
//! use switchboard::testkit::{Probe, Simulation};
//! use tokio::io::AsyncWriteExt;
//!
//! Simulation::seeded(7).run(|world| async move {
//!     let pool = world.pool();
//!     let mut probe = Probe::new();
//!     let listen = Listen::tcp("10.0.0.1:7000").lines().idle_timeout(Duration::from_secs(3600));
//!     pool.listen(listen, probe.session()).await.unwrap();
//!
//!     let mut peer = world.net().connect("10.0.0.1:7000").await.unwrap();
//!     peer.write_all(b"a line\nhalf of ano").await.unwrap();
//!     probe.expect::<Accepted>().await;
//!     probe.expect_line("a line").await;
//!     peer.reset();
//!     let closed = probe.expect_closed(ClosedReason::Error).await;
//!     assert_eq!(&closed.detail.unread[..], b"half of ano");
//!
//!     let _silent = world.net().connect("10.0.0.1:7000").await.unwrap();
//!     probe.expect::<Accepted>().await;
//!     let day = Duration::from_secs(24 * 3600);
//!     probe.within(day).expect_closed(ClosedReason::Timeout).await;
//!     pool.stop().await;
//! });
//! ```

pub mod conformance;
mod cuts;
pub mod faults;
mod leaks;
mod memory;
mod probe;
mod script;
mod simulation;

pub use fastrand::Rng;

pub use cuts::CutPoints;
pub use faults::{Faults, FaultyNet, Rates};
pub use leaks::{Leak, LeakCheck};
pub use memory::{Link, MemoryListener, MemoryNet, MemoryStream};
pub use probe::{EventKind, FullProbeSession, Look, Probe, ProbeSession, Recorder};
pub use script::{Mismatch, MismatchKind, Played, Script, ScriptError, ScriptFault, Side, Step};
pub use simulation::{Simulation, World};
