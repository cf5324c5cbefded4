//! What a close sends, and what does not close.

use std::io::Write;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Connect, ConnectionOptions, SessionContext};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::connect;

/// AC-19.
#[test]
fn ac_19_a_close_sends_what_is_queued_and_then_finishes() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let client = connecting.await.unwrap();
        let bytes: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
        client.send(bytes.clone()).unwrap();
        assert!(client.close());
        let read = peer(move || read_all(&mut listener.accept().unwrap().0)).await;
        assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
        expect!(trace, Connected);
        assert_eq!(expect!(trace, Closed).detail.unsent, 0);
    });
}

/// Passes lines on and holds no handle.
struct Handleless {
    lines: mpsc::UnboundedSender<LineReceived>,
}

impl Actor for Handleless {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Handleless {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.lines.send(msg).unwrap();
    }
}

switchboard::session!(Handleless);

/// AC-19: asyncore closes what is garbage.
#[test]
fn ac_19_dropping_every_handle_leaves_the_connection_open() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let (lines, mut seen) = mpsc::unbounded_channel();
        let client = pool
            .connect(Connect::tcp(address).lines(), |_| Handleless { lines })
            .await
            .unwrap();
        drop(client);
        let mut stream = peer(move || listener.accept().unwrap().0).await;
        for round in 0..3 {
            writeln!(stream, "line {round}").unwrap();
            let line = tokio::time::timeout(PATIENCE, seen.recv());
            let line = line.await.unwrap().unwrap();
            // The one handle that there is now is gone at the end of this statement.
            let found = pool.connection(line.client).await.unwrap();
            found.send_line(&line.line).unwrap();
            drop(found);
            assert_eq!(
                read_exact(&mut stream, 7),
                format!("line {round}\n").as_bytes()
            );
        }
    });
}
