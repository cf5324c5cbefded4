//! The test harness (feature `testkit`): the same actors over a real, an in-memory or a simulated
//! network.

mod leaks;
mod memory;
mod simulation;

pub use fastrand::Rng;

pub use leaks::{Leak, LeakCheck};
pub use memory::{Link, MemoryListener, MemoryNet, MemoryStream};
pub use simulation::{Simulation, World};
