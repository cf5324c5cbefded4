//! Lists of addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use switchboard::prelude::*;
use switchboard::{AcceptRate, AccessList, BufferSlots, RejectReason, ServerLimits};
use switchboard_tests::watch;

use super::{END, Greeter, HERE, Seen, next_rejected, simulate, visit};

#[test]
fn who_is_denied_gets_no_session_no_slot_no_place_and_no_word() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let mut events = watch(&pool);
        let slots = BufferSlots::new(2, 4096, true).unwrap();
        let made = Arc::new(AtomicUsize::new(0));
        let sessions = Arc::clone(&made);
        let listen = Listen::tcp(HERE)
            .lines()
            .slots(slots.clone())
            .accept_rate(AcceptRate::new(1, 1).unwrap())
            .max_per_ip(1)
            .at_limit(AtLimit::Answer("busy\n".into()))
            .access(AccessList::new().deny("10.6.0.0/16".parse().unwrap()));
        let server = pool
            .listen(listen, move |client| {
                sessions.fetch_add(1, SeqCst);
                Greeter { client }
            })
            .await
            .unwrap();
        for _ in 0..3 {
            let (peer, seen) = visit(net, "10.6.6.6").await;
            assert_eq!(seen, END);
            let told = next_rejected(&mut events).await;
            assert_eq!(told, (Some(peer.local_addr()), RejectReason::Denied));
        }
        assert_eq!((made.load(SeqCst), slots.available()), (0, 2));
        let (_peer, seen) = visit(net, "10.7.0.1").await;
        assert_eq!(seen, Seen::LetIn, "the token is still there");
        let info = server.info();
        assert_eq!((info.accepted, info.rejections.denied), (1, 3));
    });
}

#[test]
fn the_list_can_be_changed_for_new_peers() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let server = greet_open(&pool).await;
        let (mut old, seen) = visit(net, "10.6.6.6").await;
        assert_eq!(seen, Seen::LetIn);
        let only = AccessList::new()
            .allow("10.0.0.0/8".parse().unwrap())
            .deny("10.6.0.0/16".parse().unwrap());
        let limits = ServerLimits::new().access(only);
        server.set_limits(limits).unwrap();
        for (from, expected) in [
            ("10.6.6.6", END),
            ("10.1.1.1", Seen::LetIn),
            ("192.0.2.1", END),
            ("::ffff:10.1.1.1", Seen::LetIn),
        ] {
            assert_eq!(visit(net, from).await.1, expected, "{from}");
        }
        assert_eq!(super::sees(&mut old).await, Seen::Nothing, "it stays");
        let limits = ServerLimits::new().access(AccessList::new());
        server.set_limits(limits).unwrap();
        assert_eq!(visit(net, "192.0.2.1").await.1, Seen::LetIn);
    });
}

async fn greet_open(pool: &Pool) -> Server {
    super::greet(pool, Listen::tcp(HERE)).await
}
