//! What a session cannot take.

use std::io::Write;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{ArmError, Cause, ClosedReason, ConnectionOptions, Handlers, Listen};
use switchboard_tests::*;

use super::{ANY, first_of};

/// Takes bytes, and nothing else.
struct BytesOnly {
    events: Recorder,
}

impl Actor for BytesOnly {
    type Context = Context<Self>;
}

impl Handler<DataReceived> for BytesOnly {
    type Result = ();

    fn handle(&mut self, event: DataReceived, _: &mut Self::Context) {
        self.events.record(event);
    }
}

impl Handler<Closed> for BytesOnly {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.events.record(event);
    }
}

switchboard::session!(BytesOnly);

/// A clear error, never silence.
#[test]
fn arming_what_the_session_does_not_handle_is_refused_by_name() {
    with_pool(|pool| async move {
        let mut seen = Probe::new().partial();
        let events = seen.recorder();
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |_| BytesOnly {
            events: events.clone(),
        })
        .await;
        let client = first_of(&pool).await;
        for (refused, event) in [
            (client.arm(RecvLine::once()), "LineReceived"),
            (client.arm(RecvMsg::once()), "MessageReceived"),
            (client.set_interest(true, false), "Readable"),
            (client.set_interest(false, true), "Writable"),
        ] {
            assert_eq!(refused, Err(ArmError::NoHandler { event }));
        }
        client.arm(RecvData::available()).unwrap();
        peer.write_all(b"fine").unwrap();
        assert_eq!(expect!(seen, DataReceived).data, "fine");
    });
}

/// The same when the receive is preset.
#[test]
fn listening_for_what_the_session_does_not_handle_is_refused_by_name() {
    with_pool(|pool| async move {
        let seen = Probe::new().partial();
        let events = seen.recorder();
        let session = move |_| BytesOnly {
            events: events.clone(),
        };
        let error = pool.listen(Listen::tcp(ANY).lines(), session).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("does not handle LineReceived"), "{error}");
    });
}

/// What a list of recipients takes is only known when a peer is there.
#[test]
fn handlers_that_cannot_take_the_preset_receive_end_the_connection_by_name() {
    with_pool(|pool| async move {
        let mut seen = Probe::new().partial();
        let events = seen.recorder();
        let address = BytesOnly { events }.start();
        let mut peer = serve_with(&pool, Listen::tcp(ANY).lines(), move |_| {
            let handlers = Handlers::new().data(address.clone().recipient());
            handlers.closed(address.clone().recipient())
        })
        .await;
        let closed = expect!(seen, Closed);
        assert_eq!(closed.reason, ClosedReason::Error);
        let event = "LineReceived";
        assert_eq!(closed.detail.cause, Cause::NoHandler { event });
        drop(closed);
        assert_eq!(read_all(&mut peer), b"");
    });
}
