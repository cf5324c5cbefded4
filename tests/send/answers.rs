//! Back-pressure on those who answer.

use std::io::Write;
use std::net::Shutdown;

use switchboard::message::*;
use switchboard::{ConnectionOptions, Listen};
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
