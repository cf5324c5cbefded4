//! Who is told: a session of its own, one for many sockets, or several mailboxes; and what becomes of the
//! socket when it fails.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix::{ActorContext, AsyncContext};
use switchboard::message::*;
use switchboard::{Cause, CrashPolicy, Handlers, Interests, PoolEvent, Session};
use switchboard_tests::{Probe, Recorder, next_pool_event, until, watch, with_pool};

use super::*;

/// Records what it is told, and obeys: "panic", "stop".
struct Fragile {
    recorder: Recorder,
}

impl Actor for Fragile {
    type Context = Context<Self>;
}

impl Handler<DatagramReceived> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, ctx: &mut Self::Context) {
        match &*msg.data {
            b"panic" => panic!("as it was told"),
            b"stop" => ctx.stop(),
            _ => self.recorder.record(msg),
        }
    }
}

impl Handler<Adopted> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: Adopted, _: &mut Self::Context) {
        self.recorder.record(msg);
    }
}

impl Handler<Closed> for Fragile {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.recorder.record(msg);
    }
}

session!(Fragile);

/// One actor serves several sockets, and tells them apart by their ids.
#[test]
fn one_session_serves_several_sockets() {
    with_pool(async |pool| {
        let mut probe = Probe::new().partial();
        let session = Fragile {
            recorder: probe.recorder(),
        }
        .start();
        let mut sockets = Vec::new();
        for _ in 0..5 {
            let session = session.clone();
            sockets.push(
                pool.bind_udp(local(), move |_| session.clone())
                    .await
                    .unwrap(),
            );
        }
        let peer = peer();
        for udp in &sockets {
            for _ in 0..20 {
                peer.send_to(&udp.id().to_string().into_bytes(), address(udp))
                    .unwrap();
            }
        }
        let mut from = HashSet::new();
        for _ in 0..100 {
            let got = probe.expect::<DatagramReceived>().await;
            assert_eq!(*got.data, *got.client.to_string().into_bytes());
            from.insert(got.client);
        }
        assert_eq!(from.len(), 5);
        for udp in &sockets {
            udp.close();
            let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
            assert_eq!(closed.handle.id(), udp.id());
        }
        until(|| sockets.iter().all(|udp| udp.addr().is_none())).await;
    });
}

/// A mailbox that serves all of one event.
pub struct Desk(pub Recorder);

impl Actor for Desk {
    type Context = Context<Self>;
}

impl<E> Handler<E> for Desk
where
    E: actix::Message<Result = ()> + Into<ClientEvent>,
{
    type Result = ();

    fn handle(&mut self, event: E, _: &mut Self::Context) {
        self.0.record(event);
    }
}

/// Handlers in several mailboxes have all that comes, within the limits, and the end.
#[test]
fn handlers_are_told_everything() {
    with_pool(async |pool| {
        let (mut data, mut rest) = (Probe::new().partial(), Probe::new().partial());
        let (desk, office) = (Desk(data.recorder()).start(), Desk(rest.recorder()).start());
        let make = move |_| {
            Handlers::new()
                .datagram(desk.clone().recipient())
                .sent(office.clone().recipient())
                .closed(office.clone().recipient())
        };
        let bind = local().recv_limits(3, 1 << 20).recv_buffer_size(1 << 20);
        let udp = pool.bind_udp(bind, make).await.unwrap();
        let peer = peer();
        for number in 0..50_u32 {
            peer.send_to(&number.to_be_bytes(), address(&udp)).unwrap();
        }
        for number in 0..50_u32 {
            let got = data.expect::<DatagramReceived>().await;
            assert_eq!(*got.data, number.to_be_bytes());
        }
        udp.send_to_with("x", peer.local_addr().unwrap(), 1)
            .unwrap();
        rest.expect_sent(1).await;
        udp.close();
        rest.expect_closed(ClosedReason::ClosedByHost).await;
        until(|| udp.addr().is_none()).await;
    });
}

/// A panic closes the socket with reason Error, which the pool tells; what it sent goes out first.
#[test]
fn a_panic_closes_its_socket_only() {
    let totals = with_pool(async |pool| {
        let mut events = watch(&pool);
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let make = move |_| Fragile {
            recorder: recorder.clone(),
        };
        let fragile = pool.bind_udp(local(), make.clone()).await.unwrap();
        let neighbour = pool.bind_udp(local(), make).await.unwrap();
        let peer = peer();
        peer.send_to(b"panic", address(&fragile)).unwrap();
        let failed = next_pool_event(&mut events, |event| match event {
            PoolEvent::SessionFailed { event, text, .. } => Some((*event, text.clone())),
            _ => None,
        });
        assert_eq!(
            failed.await,
            (Some("DatagramReceived"), "as it was told".to_owned())
        );
        fragile.wait_closed().await;
        until(|| fragile.addr().is_none()).await;
        peer.send_to(b"hello", address(&neighbour)).unwrap();
        assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"hello");
        peer.send_to(b"stop", address(&neighbour)).unwrap();
        neighbour.wait_closed().await;
    });
    assert_eq!(
        (totals.opened, totals.closed[ClosedReason::Error as usize]),
        (2, 1),
        "{totals}"
    );
}

/// A session that is to be made again needs a factory that can be called again.
#[test]
fn a_session_that_can_be_made_once_only_is_not_to_be_restarted() {
    with_pool(async |pool| {
        let policy = CrashPolicy::Restart {
            max: 5,
            within: Duration::from_secs(60),
        };
        let bind = local().on_crash(policy);
        let refused = pool.bind_udp(bind, |udp| Echo { udp }).await.unwrap_err();
        assert_eq!(refused.source.kind(), ErrorKind::InvalidInput);
        assert!(
            refused.to_string().contains("bind_udp_supervised"),
            "{refused}"
        );
    });
}

/// With restarts the socket keeps its address and what has come, and the next session is told so.
#[test]
fn a_restarted_session_finds_the_datagrams_that_came() {
    with_pool(async |pool| {
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let make = move |_| {
            // The second one fails while it is made.
            assert_ne!(count.fetch_add(1, Ordering::Relaxed), 1, "a bad one");
            Fragile {
                recorder: recorder.clone(),
            }
        };
        let policy = CrashPolicy::Restart {
            max: 5,
            within: Duration::from_secs(60),
        };
        let udp = pool
            .bind_udp_supervised(local().on_crash(policy), make)
            .await
            .unwrap();
        let (peer, to) = (peer(), address(&udp));
        // All have come before the first is handled.
        udp.pause_reading();
        for data in [&b"one"[..], b"panic", b"two", b"", b"three"] {
            peer.send_to(data, to).unwrap();
        }
        udp.resume_reading();
        assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"one");
        let adopted = probe.expect::<Adopted>().await;
        assert_eq!((adopted.restarts, adopted.unread), (2, 8));
        for data in [&b"two"[..], b"", b"three"] {
            assert_eq!(&*probe.expect::<DatagramReceived>().await.data, data);
        }
        assert_eq!(made.load(Ordering::Relaxed), 3);
        peer.send_to(b"still the same", to).unwrap();
        probe.expect::<DatagramReceived>().await;
        for _ in 0..4 {
            peer.send_to(b"panic", to).unwrap();
        }
        for restarts in 3..=5 {
            assert_eq!(probe.expect::<Adopted>().await.restarts, restarts);
        }
        udp.wait_closed().await;
    });
}

/// A factory that always panics makes a socket that closes.
#[test]
fn a_factory_that_panics_closes_its_socket() {
    let totals = with_pool(async |pool| {
        for policy in [
            CrashPolicy::Close,
            CrashPolicy::Abort,
            CrashPolicy::Restart {
                max: 3,
                within: Duration::from_secs(60),
            },
        ] {
            let made = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&made);
            let make = move |udp| -> Echo {
                count.fetch_add(1, Ordering::Relaxed);
                let Udp { .. } = udp;
                panic!("no session today")
            };
            let udp = pool
                .bind_udp_supervised(local().on_crash(policy), make)
                .await
                .unwrap();
            udp.wait_closed().await;
            until(|| udp.addr().is_none()).await;
            let restarts = matches!(policy, CrashPolicy::Restart { .. });
            assert_eq!(made.load(Ordering::Relaxed), if restarts { 4 } else { 1 });
        }
    });
    assert_eq!(totals.closed[ClosedReason::Error as usize], 3);
}

/// A session that ends by itself takes its socket along; one that is gone already gets none.
#[test]
fn a_socket_without_its_session_closes() {
    with_pool(async |pool| {
        let mut probe = Probe::new().partial();
        let session = Fragile {
            recorder: probe.recorder(),
        }
        .start();
        let shared = session.clone();
        let make = move |_| shared.clone();
        let one = pool.bind_udp(local(), make.clone()).await.unwrap();
        let two = pool.bind_udp(local(), make.clone()).await.unwrap();
        let (peer, two_at) = (peer(), address(&two));
        peer.send_to(b"stop", address(&one)).unwrap();
        one.wait_closed().await;
        peer.send_to(b"is anybody there?", two_at).unwrap();
        two.wait_closed().await;
        until(|| !session.connected()).await;
        let three = pool.bind_udp(local(), make).await.unwrap();
        three.wait_closed().await;
        probe.no_more(Duration::from_millis(10)).await;
        assert!(Fragile::INTERESTS.contains(Interests::DATAGRAM));
        until(|| three.addr().is_none()).await;
    });
}

/// Closed while its session is made: the session hears of the end, and of nothing else.
#[test]
fn a_socket_that_its_factory_closes_tells_its_session() {
    with_pool(async |pool| {
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let make = move |udp: Udp| {
            udp.close();
            Fragile {
                recorder: recorder.clone(),
            }
        };
        pool.bind_udp(local(), make).await.unwrap();
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.cause, Cause::LocalClose);
    });
}

/// Echoes what it is told from within an interval too: commands of any origin reach the socket.
struct Ticking {
    udp: Udp,
    to: std::net::SocketAddr,
}

impl Actor for Ticking {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_millis(5), |session, _| {
            session.udp.send_to("tick", session.to).unwrap();
        });
    }
}

impl Handler<DatagramReceived> for Ticking {
    type Result = ();

    fn handle(&mut self, _: DatagramReceived, _: &mut Self::Context) {}
}

session!(Ticking);

#[test]
fn a_session_sends_outside_of_its_events() {
    with_pool(async |pool| {
        let peer = peer();
        let to = peer.local_addr().unwrap();
        let udp = pool
            .bind_udp(local(), move |udp| Ticking { udp, to })
            .await
            .unwrap();
        switchboard_tests::peer(move || {
            for _ in 0..5 {
                assert_eq!(received(&peer), b"tick");
            }
        })
        .await;
        udp.close();
        udp.wait_closed().await;
    });
}
