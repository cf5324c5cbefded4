//! Panics: who is told of them, and who does not notice.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Duration;

use switchboard::Cause;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;

use super::{Desk, Fault, Fragile, all_to, failure, local, rest, say, start_surviving, three};

/// XAS-22, AC-09.
#[test]
fn xas_22_a_handler_that_panics_on_line_2_ends_its_own_connection_only() {
    let totals = with_pool(|pool| async move {
        let mut events = watch(&pool);
        let fault = Fault::Line;
        let make = move |client| Fragile { client, fault };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut peers: Vec<_> = (0..3).map(|_| dial(server.local_addr())).collect();
        for stream in &mut peers {
            assert_eq!(exchange(stream, b"line 1\n"), b"line 1\n");
        }
        let name = peers[1].local_addr().unwrap();
        let connections = pool.connections().await.unwrap();
        let broken = connections
            .iter()
            .find(|info| info.peer_addr == Some(name))
            .unwrap()
            .id;
        peers[1].write_all(b"panic\nline 3\n").unwrap();
        assert_eq!(read_all(&mut peers[1]), b"", "an end, not a reset");
        let (client, event, text) = failure(&mut events).await;
        assert_eq!(client, broken);
        assert_eq!(event, Some("LineReceived"));
        assert_eq!(text, "in Line");
        for number in [0, 2] {
            let got = exchange(&mut peers[number], b"still here\n");
            assert_eq!(got, b"still here\n");
        }
        let mut fresh = dial(server.local_addr());
        assert_eq!(exchange(&mut fresh, b"new\n"), b"new\n");
        until(|| server.info().closed == [1, 0, 0, 0]).await;
    });
    assert_eq!(totals.closed[0], 1);
}

/// XAS-22, T-04, AC-09: a panic anywhere in a session is told once, with what is known of it, and the
/// peer sees an orderly end.
#[test]
fn xas_22_wherever_a_session_panics_it_is_told_once_and_the_connection_ends() {
    let totals = with_pool(|pool| async move {
        for (fault, event, text) in [
            (Fault::Started, None, "in Started"),
            (Fault::Line, Some("LineReceived"), "in Line"),
            (
                Fault::Payload,
                Some("LineReceived"),
                "a panic without a text",
            ),
            (Fault::Later, None, "in Later"),
            (Fault::AfterClose, Some("LineReceived"), "in AfterClose"),
            (Fault::Closed, Some("Closed"), "in Closed"),
            (Fault::Stopped, None, "in Stopped"),
            (Fault::Drop, None, "in Drop"),
        ] {
            let mut events = watch(&pool);
            let make = move |client| Fragile { client, fault };
            let server = pool.listen(local().lines(), make).await.unwrap();
            let mut stream = dial(server.local_addr());
            stream.write_all(b"panic\n").unwrap();
            assert_eq!(read_all(&mut stream), b"", "{fault:?}");
            drop(stream);
            let told = failure(&mut events).await;
            assert_eq!((told.1, told.2.as_str()), (event, text), "{fault:?}");
            server.close().await;
            // A second report of the same would come before this one.
            let opened = local().lines();
            pool.listen(opened, |client| Fragile {
                client,
                fault: Fault::None,
            })
            .await
            .unwrap();
            next_pool_event(&mut events, |event| match event {
                PoolEvent::SessionFailed { text, .. } => panic!("told again: {text}"),
                PoolEvent::ServerOpened { server: other, .. } => {
                    (*other != server.id()).then_some(())
                }
                _ => None,
            })
            .await;
        }
    });
    // The first four were what ended the connection; the others came after it was closing.
    assert_eq!(totals.closed, [4, 4, 0, 0]);
}

/// XAS-22: a factory that panics spoils its own connection.
#[test]
fn xas_22_a_factory_that_panics_spoils_one_connection() {
    let totals = with_pool(|pool| async move {
        let mut events = watch(&pool);
        let first = Mutex::new(true);
        let make = move |client| {
            let first = std::mem::take(&mut *first.lock().unwrap());
            assert!(!first, "no session today");
            Echo { client }
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut unlucky = dial(server.local_addr());
        assert_eq!(read_all(&mut unlucky), b"");
        let told = failure(&mut events).await;
        assert_eq!((told.1, told.2.as_str()), (None, "no session today"));
        let mut next = dial(server.local_addr());
        assert_eq!(exchange(&mut next, b"hello\n"), b"hello\n");
    });
    assert_eq!(totals.closed[0], 1);
}

/// XAS-22, outbound: the attempt fails, and it is told why.
#[test]
fn xas_22_a_factory_that_panics_fails_its_connect() {
    let totals = with_pool(|pool| async move {
        let mut events = watch(&pool);
        let (_listener, address) = listener();
        let connect = Connect::tcp(address).lines();
        let connecting = pool.connect(connect, |client| -> Echo {
            panic!("no session for {}", client.id().as_u64() > 0);
        });
        let id = connecting.id();
        assert!(connecting.await.is_err());
        let told = failure(&mut events).await;
        assert_eq!((told.0, told.1), (id, None));
        assert_eq!(told.2, "no session for true");
    });
    assert_eq!(totals.connect_failed, 1);
}

/// A closure that is lent the socket is the user's code too.
#[test]
fn a_panic_with_the_socket_in_hand_ends_one_connection() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        let (mut other, _other, mut others) = serve(&pool, local().lines()).await;
        let answer = client
            .with_socket(|socket| {
                let _ = socket.tcp_nodelay().unwrap();
                panic!("with the socket in hand");
            })
            .await;
        assert_eq!(answer, None::<()>);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::Error);
        assert_eq!(closed.detail.cause, Cause::RuntimeFailed);
        peer(move || {
            // However the system puts it, it is over.
            let _ = stream.read(&mut [0; 1]);
        })
        .await;
        other.write_all(b"fine\n").unwrap();
        assert_eq!(expect!(others, LineReceived).line.as_bytes(), b"fine");
    });
}

/// XAS-22, T-06: three connections share one actor, which panics at a line of the second and lives.
#[test]
fn a_panic_of_a_shared_handler_ends_the_connection_that_caused_it() {
    with_pool(|pool| async move {
        let mut events = watch(&pool);
        let mut trace = Probe::new();
        let told = trace.recorder();
        let desk = start_surviving(Desk::new(told));
        let handlers = all_to(&desk);
        let (_, mut peers, ids) = three(&pool, &mut trace, move |_| handlers.clone()).await;
        peers[1].write_all(b"panic\n").unwrap();
        assert_eq!(rest(&peers[1]).await, b"");
        let (client, event, _) = failure(&mut events).await;
        assert_eq!((client, event), (ids[1], Some("LineReceived")));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.client, ids[1]);
        assert_eq!(closed.reason, ClosedReason::Error);
        assert!(matches!(
            closed.detail.cause,
            Cause::SessionPanicked {
                event: Some("LineReceived"),
                ..
            }
        ));
        for number in [0, 2] {
            let got = say(&peers[number], b"still here\n").await;
            assert_eq!(got, b"still here\n");
        }
        assert!(trace.so_far().is_empty());
    });
}

/// T-06: the same with an actor that nobody supervises. It is gone with its panic, and with it the
/// other connections, each when there is next something to tell it; none of them is leaked.
#[test]
fn a_shared_handler_that_dies_takes_its_connections_with_it() {
    let totals = with_pool(|pool| async move {
        let mut trace = Probe::new();
        let told = trace.recorder();
        let handlers = all_to(&Desk::new(told).start());
        let (server, mut peers, _) = three(&pool, &mut trace, move |_| handlers.clone()).await;
        peers[1].write_all(b"panic\n").unwrap();
        assert_eq!(rest(&peers[1]).await, b"");
        for (noticed, number) in [(0, 0), (1, 2)] {
            // Nothing was to be told to the others, so they have not noticed yet.
            until(|| server.info().closed == [1, noticed, 0, 0]).await;
            assert_eq!(server.info().live, 2 - noticed);
            peers[number].write_all(b"anybody?\n").unwrap();
            assert_eq!(rest(&peers[number]).await, b"");
        }
    });
    assert_eq!(totals.closed, [1, 2, 0, 0]);
}

/// T-06: the lines of others that waited behind the fatal one are nobody's fault; their connections
/// close because nobody is left.
#[test]
fn lines_behind_a_fatal_one_are_not_blamed() {
    let totals = with_pool(|pool| async move {
        let mut events = watch(&pool);
        let mut trace = Probe::new();
        let told = trace.recorder();
        let handlers = all_to(&Desk::new(told).start());
        let (_, mut peers, ids) = three(&pool, &mut trace, move |_| handlers.clone()).await;
        // The desk is on this thread, and waits for as long as this does not await.
        peers[1].write_all(b"panic\n").unwrap();
        // Until it is in its mailbox, before the others.
        std::thread::sleep(Duration::from_millis(20));
        peers[0].write_all(b"anybody?\n").unwrap();
        peers[2].write_all(b"anybody?\nhello?\n").unwrap();
        // Until the lines are in its mailbox, which nothing tells.
        std::thread::sleep(Duration::from_millis(50));
        for stream in &peers {
            assert_eq!(rest(stream).await, b"");
        }
        assert_eq!(failure(&mut events).await.0, ids[1]);
    });
    assert_eq!(totals.closed, [1, 2, 0, 0]);
}
