//! The machine of datagrams.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use switchboard_core::{
    Address, DatagramConfig, DatagramEvent, Datagrams, Destination, Interests, Now,
};

use crate::{Body, LINE, Rounds, each};

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "datagrams/ping-pong",
        round: "a datagram of 64 bytes there and back",
        rounds: 10_000,
        setup: || echo(1),
    },
    Body {
        name: "datagrams/batch",
        round: "16 datagrams of 64 bytes that come together, there and back",
        rounds: 1_000,
        setup: || echo(16),
    },
];

fn echo(together: usize) -> Rounds {
    let mut now = Now::at(Instant::now());
    let config = Arc::new(DatagramConfig::default());
    let mut machine = Datagrams::new(config, false, &mut now);
    machine.adopt(Interests::DATAGRAM, &mut now);
    let peer = Address::from(SocketAddr::from(([127, 0, 0, 1], 9)));
    let data = Bytes::from_static(&LINE);
    each(move || {
        machine.begin_round();
        assert!(machine.read_wish() >= together);
        for _ in 0..together {
            machine.handle_datagram(peer.clone(), data.clone(), false, &mut now);
        }
        while machine.has_event() {
            let event = machine.poll_event(&mut now);
            let Some((DatagramEvent::Received { from, data, .. }, permit)) = event else {
                unreachable!("datagrams came");
            };
            let to = Destination::Address(from);
            let sent = machine.send(black_box(data), Some(to), None, &mut now);
            assert!(sent.is_ok(), "there is room");
            machine.give_back(permit, &mut now);
        }
        let mut taken = 0;
        while machine.poll_send().is_some() {
            machine.handle_sent(&mut now);
            taken += 1;
        }
        drop(machine.take_spent());
        assert_eq!(taken, together);
        black_box(machine.poll_timeout());
    })
}
