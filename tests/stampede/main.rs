//! A stampede: a hundred connections, of which something is killed all the time; then all is well.

mod real;
mod simulated;
