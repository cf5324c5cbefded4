//! What happens in a world, drawn from its seed.

use std::time::Duration;

use switchboard::testkit::Rng;

use super::session::Kind;

/// The most steps of a world.
const MOST_STEPS: usize = 120;

/// One thing that happens. Connections and peers are counted in the order in which they came; a number
/// beyond the last one begins again at the first.
#[derive(Debug, Clone)]
pub enum Step {
    Wait(Duration),
    PeerConnects {
        kind: Kind,
    },
    WeConnect {
        kind: Kind,
    },
    /// To a peer that can go and come back, over as many links as it takes.
    WeStayConnected {
        kind: Kind,
    },
    /// The peer that we stay connected with takes links, or refuses them.
    FarServes {
        on: bool,
    },
    PeerSends {
        peer: usize,
        bytes: usize,
    },
    PeerReads {
        peer: usize,
        on: bool,
    },
    PeerFinishes {
        peer: usize,
    },
    PeerResets {
        peer: usize,
    },
    PeerDrops {
        peer: usize,
    },
    Send {
        of: usize,
        bytes: usize,
        tracked: bool,
    },
    TrySend {
        of: usize,
        bytes: usize,
    },
    Pause {
        of: usize,
    },
    Resume {
        of: usize,
    },
    WriteEof {
        of: usize,
    },
    Close {
        of: usize,
        flush: bool,
    },
    Abort {
        of: usize,
    },
    /// Its reading is paused, and its peer goes.
    Desert {
        of: usize,
        resets: bool,
    },
    /// The session panics at its next event, and so many of its successors do.
    Panic {
        of: usize,
        successors: u32,
    },
    /// The session ends by itself at its next event.
    StopSession {
        of: usize,
    },
}

pub(super) fn draw(rng: &mut Rng) -> Vec<Step> {
    let count = rng.usize(10..MOST_STEPS);
    let mut connections = 1;
    let mut steps = vec![Step::PeerConnects {
        kind: Kind::draw(rng),
    }];
    for _ in 0..count {
        let of = rng.usize(0..connections);
        let step = match rng.u8(0..100) {
            0..10 => Step::PeerConnects {
                kind: Kind::draw(rng),
            },
            10..12 => Step::WeConnect {
                kind: Kind::draw(rng),
            },
            12..15 => Step::WeStayConnected {
                kind: Kind::draw(rng),
            },
            15..16 => Step::FarServes { on: rng.bool() },
            16..34 => Step::PeerSends {
                peer: of,
                bytes: size(rng),
            },
            34..54 => Step::Send {
                of,
                bytes: size(rng),
                tracked: rng.bool(),
            },
            54..58 => Step::TrySend {
                of,
                bytes: size(rng),
            },
            58..66 => Step::PeerReads {
                peer: of,
                on: rng.bool(),
            },
            66..69 => Step::Pause { of },
            69..72 => Step::Resume { of },
            72..74 => Step::Desert {
                of,
                resets: rng.bool(),
            },
            74..76 => Step::PeerFinishes { peer: of },
            76..77 => Step::PeerResets { peer: of },
            77..78 => Step::PeerDrops { peer: of },
            78..79 => Step::WriteEof { of },
            79..81 => Step::Close {
                of,
                flush: rng.u8(0..4) > 0,
            },
            81..82 => Step::Abort { of },
            82..85 => Step::Panic {
                of,
                successors: rng.u32(0..4),
            },
            85..86 => Step::StopSession { of },
            _ => Step::Wait(Duration::from_micros(1 << rng.u32(0..23))),
        };
        if matches!(
            step,
            Step::PeerConnects { .. } | Step::WeConnect { .. } | Step::WeStayConnected { .. }
        ) {
            connections += 1;
        }
        steps.push(step);
    }
    steps
}

/// Mostly small, sometimes more than a window or an outbox holds.
fn size(rng: &mut Rng) -> usize {
    let most = 1 << rng.u32(1..17);
    rng.usize(1..=most)
}
