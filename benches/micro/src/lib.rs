//! Small loops, each over one thing that a connection does. `benches/micro.rs` times them with criterion,
//! `counts` counts their instructions under callgrind, so both speak of the same work.

pub mod actors;
pub mod datagrams;
pub mod framing;
pub mod machine;
pub mod outbox;
pub mod stream;
pub mod timers;
mod wire;

/// How many frames come together where several do.
pub const TOGETHER: usize = 64;

/// A line of 64 bytes with its ending.
pub const LINE: [u8; 64] = {
    let mut line = [b'x'; 64];
    line[63] = b'\n';
    line
};

/// One loop.
#[derive(Debug, Clone, Copy)]
pub struct Body {
    /// Group and name.
    pub name: &'static str,
    /// What one round of it is.
    pub round: &'static str,
    /// How many rounds are counted; some ten million instructions.
    pub rounds: u64,
    /// Makes everything that the rounds share.
    pub setup: fn() -> Rounds,
}

/// Does so many rounds.
pub type Rounds = Box<dyn FnMut(u64)>;

/// All loops, group after group.
pub fn all() -> impl Iterator<Item = &'static Body> {
    [
        framing::BODIES,
        stream::BODIES,
        outbox::BODIES,
        timers::BODIES,
        machine::BODIES,
        datagrams::BODIES,
        actors::BODIES,
    ]
    .into_iter()
    .flatten()
}

/// Repeats what is one round.
fn each(mut round: impl FnMut() + 'static) -> Rounds {
    Box::new(move |rounds| (0..rounds).for_each(|_| round()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_body_does_its_rounds_and_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for body in all() {
            assert!(names.insert(body.name), "{} is there twice", body.name);
            let mut rounds = (body.setup)();
            rounds(3);
            rounds(2);
        }
    }
}
