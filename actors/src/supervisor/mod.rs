//! Supervision: actors whose panics end nobody else, and supervisors that start them again.

mod guard;
mod spec;
mod tree;
mod vigil;

pub(crate) use guard::{Exit, guarded, panic_text, start_guarded, start_guarded_at, text_of};
pub(crate) use spec::Failure;
pub use spec::{ChildSpec, OnEscalation, Restart, Strategy, Supervise, SuperviseError};
pub use tree::{ChildStatus, Supervisor};
pub(crate) use tree::{Supervision, launch};
pub(crate) use vigil::{RestartRules, Vigil};
