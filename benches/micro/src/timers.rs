//! Clocks: started, cleared, looked at, run out.

use std::hint::black_box;
use std::time::Duration;

use switchboard_core::receive::Receive;
use switchboard_core::{Event, IdleAction, IdleRule, Now};

use crate::wire::{LINES, Wire};
use crate::{Body, LINE, Rounds, each};

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "timers/receive",
        round: "a receive with a deadline: armed, looked at, cancelled, looked at",
        rounds: 20_000,
        setup: receive,
    },
    Body {
        name: "timers/idle",
        round: "a line under three idle clocks, each started anew",
        rounds: 10_000,
        setup: idle,
    },
    Body {
        name: "timers/due",
        round: "an idle clock that runs out, is told and starts anew",
        rounds: 20_000,
        setup: due,
    },
];

const RULE: IdleRule = IdleRule {
    after: Duration::from_secs(60),
    action: IdleAction::Report,
};

fn receive() -> Rounds {
    let mut config = Wire::lines();
    config.first_receive = None;
    let mut wire = Wire::open(config);
    let mut receive = Receive::once(LINES);
    receive.timeout = Some(Duration::from_secs(30));
    each(move || {
        let armed = wire.machine.arm(black_box(&receive), &mut wire.now);
        assert!(armed.is_ok() && wire.machine.poll_timeout().is_some());
        assert!(wire.machine.cancel_receive() && wire.machine.poll_timeout().is_none());
    })
}

fn idle() -> Rounds {
    let mut config = Wire::lines();
    config.idle_read = Some(RULE);
    config.idle_write = Some(RULE);
    config.idle = Some(RULE);
    let mut wire = Wire::open(config);
    each(move || {
        wire.come(&LINE);
        let event = wire.machine.poll_event(&mut wire.now);
        let Some((Event::Line(line), permit)) = event else {
            unreachable!("a line came");
        };
        black_box(line);
        wire.machine.give_back(permit, &mut wire.now);
        assert!(wire.machine.poll_timeout().is_some());
    })
}

fn due() -> Rounds {
    let mut config = Wire::lines();
    config.idle = Some(RULE);
    let mut wire = Wire::open(config);
    each(move || {
        let at = wire.machine.poll_timeout();
        let mut now = Now::at(at.expect("the clock runs"));
        wire.machine.handle_timeout(&mut now);
        let event = wire.machine.poll_event(&mut now);
        assert!(matches!(black_box(event), Some((Event::Idle(_), _))));
    })
}
