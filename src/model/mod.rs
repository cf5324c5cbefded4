//! Models that `loom` runs through every order in which threads can meet:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p switchboard-core --lib model`.

mod claim;
mod gate;
mod slots;

/// Runs a model in every order with at most so many preemptions of a thread that could go on.
fn check(preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(model);
}
