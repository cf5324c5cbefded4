//! What is handled, and by whom.

use std::io::Write;
use std::time::{Duration, Instant};

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{ArmError, Cause, ListenPhase};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{Desk, local, rest};

/// Only data, and nothing else.
struct OnlyData {
    client: Client,
}

impl Actor for OnlyData {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for OnlyData {
    type Result = ();

    fn handle(&mut self, event: DataReceived, _: &mut Self::Context) {
        let _ = self.client.send(event.data);
    }
}

session!(OnlyData);

/// AIO-34.
#[test]
fn aio_34_an_actor_that_handles_data_only_works() {
    let totals = with_pool(|pool| async move {
        let make = |client| OnlyData { client };
        let server = pool.listen(local().data(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        let bytes = pattern(100_000);
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(&pattern(100_000)).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let got = peer(move || read_all(&mut stream)).await;
        writing.join().unwrap();
        assert!(got == bytes);
    });
    assert_eq!(totals.closed, [0, 0, 1, 0]);
}

/// A receive whose event the session does not handle is refused where it is asked for.
#[test]
fn aio_34_what_a_session_does_not_handle_cannot_be_armed() {
    with_pool(|pool| async move {
        let refused = pool.listen(local().lines(), |client| OnlyData { client });
        let error = refused.await.unwrap_err();
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("LineReceived"), "{error}");

        let (_stream, client, _trace) = {
            let mut trace = Probe::new();
            let told = trace.recorder();
            let line_only = Handlers::new().accepted(Desk::new(told).start().recipient());
            let server = pool.listen(local(), move |_| line_only.clone()).await;
            let stream = dial(server.unwrap().local_addr());
            (stream, expect!(trace, Accepted).handle, trace)
        };
        let event = "DataReceived";
        let error = client.arm(RecvData::available()).unwrap_err();
        assert_eq!(error, ArmError::NoHandler { event });
    });
}

/// A preset that the given handlers cannot take closes the connection, since it cannot be told before.
#[test]
fn a_preset_receive_that_no_handler_takes_closes_with_an_error() {
    with_pool(|pool| async move {
        let mut trace = Probe::new().partial();
        let told = trace.recorder();
        let desk = Desk::new(told).start();
        let handlers = Handlers::new().closed(desk.recipient());
        let server = pool
            .listen(local().lines(), move |_| handlers.clone())
            .await
            .unwrap();
        let stream = dial(server.local_addr());
        assert_eq!(rest(&stream).await, b"");
        let closed = expect!(trace, Closed);
        let event = "LineReceived";
        assert_eq!(closed.detail.cause, Cause::NoHandler { event });
        assert_eq!(closed.reason, ClosedReason::Error);
    });
}

/// One kind of event, passed on with the name of the actor that was told.
macro_rules! clerk {
    ($clerk:ident: $event:ident) => {
        struct $clerk(mpsc::UnboundedSender<(&'static str, ClientEvent)>);

        impl Actor for $clerk {
            type Context = Context<Self>;
        }

        impl Handler<$event> for $clerk {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                let _ = self
                    .0
                    .send((stringify!($clerk), ClientEvent::$event(event)));
            }
        }
    };
}

clerk!(Opener: Accepted);
clerk!(Reader: LineReceived);
clerk!(Biller: Sent);
clerk!(Closer: Closed);
clerk!(TimeKeeper: Closed);

/// What the next clerk was told.
async fn next_told(
    told: &mut mpsc::UnboundedReceiver<(&'static str, ClientEvent)>,
) -> (&'static str, ClientEvent) {
    tokio::time::timeout(PATIENCE, told.recv())
        .await
        .expect("nobody is told")
        .unwrap()
}

/// AIO-34: each event to an actor of its own.
#[test]
fn handlers_give_each_event_to_its_own_actor() {
    with_pool(|pool| async move {
        let (sender, mut told) = mpsc::unbounded_channel();
        let handlers = Handlers::new()
            .accepted(Opener(sender.clone()).start().recipient())
            .line(Reader(sender.clone()).start().recipient())
            .sent(Biller(sender.clone()).start().recipient())
            .closed(Closer(sender).start().recipient());
        let server = pool
            .listen(local().lines(), move |_| handlers.clone())
            .await
            .unwrap();
        let mut stream = dial(server.local_addr());
        let (who, event) = next_told(&mut told).await;
        let ClientEvent::Accepted(accepted) = event else {
            panic!("{event:?}");
        };
        assert_eq!(who, "Opener");
        // More lines than may be with the handlers at once.
        let lines: String = (0..300).map(|n| format!("{n}\n")).collect();
        stream.write_all(lines.as_bytes()).unwrap();
        for n in 0..300 {
            let (who, event) = next_told(&mut told).await;
            let ClientEvent::LineReceived(line) = event else {
                panic!("{event:?}");
            };
            assert_eq!(who, "Reader");
            assert_eq!(line.client, accepted.client);
            assert_eq!(line.line.text().unwrap(), n.to_string());
        }
        accepted.handle.send_with("thanks", 5_u64).unwrap();
        let (who, event) = next_told(&mut told).await;
        assert!(matches!(event, ClientEvent::Sent(_)), "{event:?}");
        assert_eq!(who, "Biller");
        assert_eq!(read_exact(&mut stream, 6), b"thanks");
        drop(stream);
        let (who, event) = next_told(&mut told).await;
        assert!(matches!(event, ClientEvent::Closed(_)), "{event:?}");
        assert_eq!(who, "Closer");
    });
}

/// AMB-14: one handler for one reason, another one for the rest.
#[test]
fn amb_14_closed_goes_to_the_handler_of_its_reason() {
    with_pool(|pool| async move {
        let (sender, mut told) = mpsc::unbounded_channel();
        let handlers = Handlers::new()
            .line(Reader(sender.clone()).start().recipient())
            .closed_by(
                ClosedReason::Timeout,
                TimeKeeper(sender.clone()).start().recipient(),
            )
            .closed(Closer(sender.clone()).start().recipient());
        let timeout = Duration::from_millis(100);
        let listen = local().receive(RecvLine::once().timeout(timeout));
        let server = pool
            .listen(listen, move |_| handlers.clone())
            .await
            .unwrap();
        let slow = dial(server.local_addr());
        let (who, event) = next_told(&mut told).await;
        assert!(matches!(event, ClientEvent::Closed(closed)
            if closed.reason == ClosedReason::Timeout));
        assert_eq!(who, "TimeKeeper");
        drop(slow);
        drop(dial(server.local_addr()));
        let (who, event) = next_told(&mut told).await;
        assert!(matches!(event, ClientEvent::Closed(closed)
            if closed.reason == ClosedReason::ClosedByPeer));
        assert_eq!(who, "Closer");

        // Alone, a filter hears of its own reason and of no other.
        let only = Handlers::new()
            .line(Reader(sender.clone()).start().recipient())
            .closed_by(
                ClosedReason::ClosedByPeer,
                Closer(sender).start().recipient(),
            );
        let listen = local().receive(RecvLine::once().timeout(timeout));
        let server = pool.listen(listen, move |_| only.clone()).await.unwrap();
        let slow = dial(server.local_addr());
        assert_eq!(rest(&slow).await, b"");
        drop(dial(server.local_addr()));
        let (_, event) = next_told(&mut told).await;
        assert!(matches!(event, ClientEvent::Closed(closed)
            if closed.reason == ClosedReason::ClosedByPeer));
    });
}

/// T-06, XAS-19: when the actor of one event is gone, that of `Closed` is still told.
#[test]
fn handlers_that_live_are_told_the_end_when_another_one_is_gone() {
    with_pool(|pool| async move {
        let mut trace = Probe::new();
        let told = trace.recorder();
        let (sender, mut clerks) = mpsc::unbounded_channel();
        let desk = Desk::new(told).start();
        let handlers = Handlers::new()
            .accepted(desk.clone().recipient())
            .line(desk.recipient())
            .closed(Closer(sender).start().recipient());
        let server = pool
            .listen(local().lines(), move |_| handlers.clone())
            .await
            .unwrap();
        for (line, reason) in [
            (&b"stop\n"[..], ClosedReason::ClosedByHost),
            // Nobody is there any more from the start.
            (b"anybody?\n", ClosedReason::ClosedByHost),
        ] {
            let mut stream = dial(server.local_addr());
            if line == b"stop\n" {
                expect!(trace, Accepted);
            }
            stream.write_all(line).unwrap();
            // The one that stopped notices no earlier than at the next line.
            let _ = stream.write_all(b"next\n");
            assert_eq!(rest(&stream).await, b"");
            let (_, event) = next_told(&mut clerks).await;
            let ClientEvent::Closed(closed) = event else {
                panic!("{event:?}");
            };
            assert_eq!(closed.reason, reason);
            assert_eq!(closed.detail.cause, Cause::SessionStopped);
        }
    });
}

/// XAS-26, AC-10: nobody to give it to.
#[test]
fn xas_26_without_any_handler_the_peer_sees_the_end_at_once() {
    let totals = with_pool(|pool| async move {
        let server = pool.listen(local(), |_| Handlers::new()).await.unwrap();
        let start = Instant::now();
        let mut stream = dial(server.local_addr());
        assert_eq!(read_all(&mut stream), b"");
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
        until(|| server.info().closed == [0, 1, 0, 0]).await;
    });
    assert_eq!(totals.closed, [0, 1, 0, 0]);
}
