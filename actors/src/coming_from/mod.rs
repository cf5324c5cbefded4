//! "Coming from ...": for users of the five systems whose capabilities this crate re-implements, what to write here.
//!
//! Each page goes through one of them line by line: every class, method, event, property, constant and exception, what
//! to write instead, and the difference that bites. A line is shown by a block of code on the page, which is compiled
//! and, where it can, run as a test, or by the name of an integration test (`test: tests/suite::name`).
//!
//! The ids (XAS-36, AIO-08, ...) are rows of the list of capabilities that are owed to these systems. The same ids
//! stand in the documentation of what answers them, and in the names of the tests that prove it.
//!
//! | you used | what it is | read |
//! |---|---|---|
//! | XAsyncSockets | pooled sockets with callbacks, for Python and MicroPython | [Coming from XAsyncSockets](xasyncsockets/index.html) |
//! | uasyncio | MicroPython's coroutines, streams and datagrams | [Coming from uasyncio](uasyncio/index.html) |
//! | asyncore | Python's first event loop of channels | [Coming from asyncore](asyncore/index.html) |
//! | asyncio | Python's transports and protocols | [Coming from asyncio](asyncio/index.html) |
//! | asyncoro | coroutines over sockets (pycos) | [Coming from asyncoro](asyncoro/index.html) |

#[doc = include_str!("xasyncsockets.md")]
pub mod xasyncsockets {}

#[doc = include_str!("asyncore.md")]
pub mod asyncore {}

#[doc = include_str!("asyncio.md")]
pub mod asyncio {}

#[doc = include_str!("asyncoro.md")]
pub mod asyncoro {}

#[doc = include_str!("uasyncio.md")]
pub mod uasyncio {}
