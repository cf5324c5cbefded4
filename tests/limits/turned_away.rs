//! How peers are turned away.

use std::io::{ErrorKind, Read, Write};

use switchboard::prelude::*;
use switchboard::{BufferSlots, RejectReason};
use switchboard_tests::*;

use super::{END, HERE, Seen, adds_up, greet, next_rejected, simulate, visit};

fn answer() -> AtLimit {
    AtLimit::Answer("busy\n".into())
}

#[test]
fn each_policy_is_what_the_peer_sees() {
    simulate(async |world| {
        let net = world.net();
        for (policy, expected) in [
            (AtLimit::Reject, END),
            (AtLimit::Reset, Seen::Reset),
            (answer(), Seen::End(b"busy\n".to_vec())),
        ] {
            let pool = world.pool();
            let mut events = watch(&pool);
            let listen = Listen::tcp(HERE).max_connections(1).at_limit(policy);
            let server = greet(&pool, listen).await;
            let (_first, seen) = visit(net, "10.1.0.1").await;
            assert_eq!(seen, Seen::LetIn);
            let (second, seen) = visit(net, "10.1.0.1").await;
            assert_eq!(seen, expected);
            let told = next_rejected(&mut events).await;
            assert_eq!(told, (Some(second.local_addr()), RejectReason::Limit));
            let info = server.info();
            assert_eq!((info.rejected, info.rejections.limit), (1, 1));
            pool.stop().await;
        }
    });
}

/// XAS-25: the reason tells which stock was empty.
#[test]
fn xas_25_peers_without_slots_are_counted_apart() {
    simulate(async |world| {
        let pool = world.pool();
        let slots = BufferSlots::new(3, 4096, true).unwrap();
        let listen = Listen::tcp(HERE).slots(slots.clone()).at_limit(answer());
        let server = greet(&pool, listen).await;
        let (first, seen) = visit(world.net(), "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        let (_, seen) = visit(world.net(), "10.1.0.1").await;
        assert_eq!(seen, Seen::End(b"busy\n".to_vec()));
        assert_eq!(slots.available(), 1, "the one that is left stays");
        drop(first);
        super::settle().await;
        assert_eq!(slots.available(), 3);
        let info = server.info();
        assert_eq!((info.rejected, info.rejections.slots), (1, 1));
        assert!(adds_up(&info));
    });
}

/// What a peer has sent that nobody reads would make a plain close a reset, which could destroy the
/// answer.
#[test]
fn a_peer_that_has_spoken_already_sees_an_end_and_the_whole_answer() {
    for policy in [AtLimit::Reject, AtLimit::Reset, answer()] {
        with_pool(async |pool| {
            let (waiting, address) = listener();
            let mut first = dial(address);
            let mut second = dial(address);
            second.write_all(&pattern(5000)).unwrap();
            let listen = Listen::adopt(waiting).max_connections(1);
            let server = greet(&pool, listen.at_limit(policy.clone())).await;
            peer(move || {
                assert_eq!(read_exact(&mut first, 6), b"hello\n");
                match policy {
                    AtLimit::Reset => {
                        let error = second.read(&mut [0; 9]).unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    }
                    AtLimit::Answer(answer) => assert_eq!(read_all(&mut second), answer),
                    _ => assert_eq!(read_all(&mut second), b""),
                }
            })
            .await;
            assert_eq!(server.info().rejections.limit, 1);
        });
    }
}
