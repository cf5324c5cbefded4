//! The test harness (feature `testkit`): the same actors over a real, an in-memory or a simulated
//! network.
