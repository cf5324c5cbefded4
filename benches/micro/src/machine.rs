//! The whole machine, driven as its contract says: bytes in, lines to the session, replies out.

use std::hint::black_box;

use switchboard_core::connection::{ReadWish, Requested};
use switchboard_core::receive::Receive;
use switchboard_core::{ConnectionState, Event};

use crate::wire::{LINES, Wire};
use crate::{Body, LINE, Rounds, TOGETHER, each};

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "machine/ping-pong",
        round: "a line of 64 bytes there and back",
        rounds: 10_000,
        setup: ping_pong,
    },
    Body {
        name: "machine/pipelined",
        round: "64 lines that come together, there and back",
        rounds: 500,
        setup: pipelined,
    },
    Body {
        name: "machine/request",
        round: "a line that is asked for, comes and is fetched",
        rounds: 10_000,
        setup: request,
    },
    Body {
        name: "machine/life",
        round: "accepted, adopted, a line there and back, the peer's end, closed",
        rounds: 2_000,
        setup: || each(life),
    },
];

/// A line comes and goes back.
fn exchange(wire: &mut Wire) {
    assert_eq!(wire.machine.read_wish(), ReadWish::Data);
    wire.come(&LINE);
    assert!(wire.machine.has_event());
    let event = wire.machine.poll_event(&mut wire.now);
    let Some((Event::Line(line), permit)) = event else {
        unreachable!("a line came");
    };
    let sent = wire.machine.send_line(black_box(&line), None);
    assert!(sent.is_ok(), "there is room");
    drop(line);
    wire.machine.give_back(permit, &mut wire.now);
    assert_eq!(wire.flush(usize::MAX), LINE.len());
    black_box(wire.machine.poll_timeout());
}

fn ping_pong() -> Rounds {
    let mut wire = Wire::open(Wire::lines());
    each(move || exchange(&mut wire))
}

fn pipelined() -> Rounds {
    let mut wire = Wire::open(Wire::lines());
    let burst = LINE.repeat(TOGETHER);
    each(move || {
        wire.come(&burst);
        let batch = wire.machine.poll_batch(&mut wire.now);
        let batch = batch.expect("lines came");
        let mut position = 0;
        while let Some((line, permit)) = batch.line(position) {
            let sent = wire.machine.send_line(black_box(&line), None);
            assert!(sent.is_ok(), "there is room");
            drop(line);
            wire.machine.give_back(permit, &mut wire.now);
            position += 1;
        }
        assert_eq!(position, TOGETHER);
        wire.machine.end_batch(position, &mut wire.now);
        assert_eq!(wire.flush(usize::MAX), burst.len());
        black_box(wire.machine.poll_timeout());
    })
}

fn request() -> Rounds {
    let mut config = Wire::lines();
    config.first_receive = None;
    let mut wire = Wire::open(config);
    let receive = Receive::once(LINES);
    each(move || {
        let asked = wire.machine.request(black_box(&receive), &mut wire.now);
        assert!(asked.is_ok() && !wire.machine.is_request_due());
        wire.come(&LINE);
        assert!(wire.machine.is_request_due());
        let frame = wire.machine.poll_request(&mut wire.now);
        assert!(matches!(
            black_box(frame),
            Some(Requested::Frame(Event::Line(_)))
        ));
    })
}

fn life() {
    let mut wire = Wire::open(Wire::lines());
    exchange(&mut wire);
    wire.machine.handle_eof(&mut wire.now);
    while wire.machine.wants_finish() {
        wire.machine.handle_finished(&mut wire.now);
    }
    while let Some((event, permit)) = wire.machine.poll_event(&mut wire.now) {
        black_box(event);
        wire.machine.give_back(permit, &mut wire.now);
    }
    assert_eq!(wire.machine.state(), ConnectionState::Closed);
}
