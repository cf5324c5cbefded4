//! Back-pressure on those who answer.

use std::io::Write;
use std::net::Shutdown;

use switchboard::message::ClientEvent;
use switchboard::prelude::*;
use switchboard::{ConnectionOptions, Token};
use switchboard_tests::*;

use super::{ANY, KIB, MIB, clog, drain, ms, narrow, next_but_pauses};

/// A session that does not look after pauses is not overrun by what it answers.
#[test]
fn input_waits_while_writing_is_paused_unless_the_session_handles_pauses() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, narrow().lines()).await;
        let clogged = clog(&client).await;
        client.send([b'x'; 64 * KIB]).unwrap();
        assert!(client.info().activity.write_paused);
        stream.write_all(b"waits\n").unwrap();
        trace.no_more(ms(100)).await;
        let (_stream, _) = drain(stream, clogged + 64 * KIB).await;
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"waits");

        let (mut stream, client, mut trace) = serve_full(&pool, narrow().lines()).await;
        clog(&client).await;
        client.send([b'x'; 64 * KIB]).unwrap();
        stream.write_all(b"comes\n").unwrap();
        match next_but_pauses(&mut trace).await {
            ClientEvent::LineReceived(event) => assert_eq!(event.line.as_bytes(), b"comes"),
            other => panic!("unexpected {other:?}"),
        }
        assert!(client.info().activity.write_paused);
    });
}

/// AC-25: an echo that never looks at what it could not send.
#[test]
fn a_naive_echo_loses_nothing_when_its_peer_floods_and_reads_late() {
    const TOTAL: usize = 50 * MIB;
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).data();
        let stream = serve_with(&pool, listen, |client| NaiveEcho { client }).await;
        let script = pattern(TOTAL);
        let (mut stream, sent, script) = peer(move || {
            let sent = stuff(&stream, &script);
            (stream, sent, script)
        })
        .await;
        assert!(sent < TOTAL, "the flood was never held back");
        let info = pool.connections().await.unwrap().remove(0);
        let queued = info.activity.write_buffer;
        assert!(queued < MIB, "{queued} bytes of answers are queued");
        let mut writer = stream.try_clone().unwrap();
        let rest = std::thread::spawn(move || {
            writer.write_all(&script[sent..]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            script
        });
        let got = peer(move || read_all(&mut stream)).await;
        let script = rest.join().unwrap();
        assert_eq!(got.len(), script.len());
        assert!(got == script, "not the bytes that were sent");
    });
}

/// Answers a line, and says so when the answer was taken.
struct Reporting {
    client: Client,
}

impl Actor for Reporting {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Reporting {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let answer = Bytes::copy_from_slice(&event.line);
        self.client.send_with(answer, Token(7)).unwrap();
    }
}

impl Handler<Sent> for Reporting {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        assert_eq!(event.token, Token(7));
        self.client.send(" was sent\n").unwrap();
    }
}

session!(Reporting);

/// What the end of a turn writes is told at once, although nothing else happens.
#[test]
fn an_answer_that_is_written_at_the_end_of_its_turn_is_told() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Reporting { client });
        let address = server.await.unwrap().local_addr();
        peer(move || {
            let mut stream = dial(address);
            for line in ["one", "two", "three"] {
                writeln!(stream, "{line}").unwrap();
                let answer = format!("{line} was sent\n");
                assert_eq!(read_exact(&mut stream, answer.len()), answer.as_bytes());
            }
        })
        .await;
    });
}
