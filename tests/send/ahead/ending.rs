//! However a turn or the connection ends, it is known what became of what was sent.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard::tls::TlsServer;
use switchboard::{CrashPolicy, SendRefusal};
use switchboard_tests::certificates::Authority;

use super::*;

/// XAS-23.
#[test]
fn xas_23_a_session_that_heard_of_an_end_by_another_thread_is_refused() {
    with_pool(|pool| async move {
        type End = fn(&Client);
        let ends: [(End, SendRefusal); 3] = [
            (|client| assert!(client.close()), SendRefusal::Closed),
            (
                |client| client.write_eof().unwrap(),
                SendRefusal::WriteClosed,
            ),
            (|client| assert!(client.abort()), SendRefusal::Closed),
        ];
        for (number, (end, refusal)) in ends.into_iter().enumerate() {
            let other = Other::new(move |client, _| end(&client));
            let (stream, heard) = acting(&pool, lines(), move |client, _, _| {
                for _ in 0..10 {
                    client.send_line("before").unwrap();
                }
                other.tell(client, 0);
                other.wait();
                assert_eq!(client.send_line("after"), Err(refusal));
                assert_eq!(client.send("after").unwrap_err().refusal, refusal);
                client.close();
            })
            .await;
            if number == 2 {
                let mut stream = stream;
                stream.write_all(b"go\n").unwrap();
                assert_eq!(hear(heard, 1).await, [Heard::Closed(70, 0)]);
                continue;
            }
            assert_eq!(say(stream, "go\n").await, b"before\n".repeat(10));
            assert_eq!(hear(heard, 1).await, [Heard::Closed(0, 70)]);
        }
    });
}

/// A close that drops what is queued leaves no hole: the peer gets the beginning of what was sent, and the rest
/// is unsent.
#[test]
fn a_close_without_flush_by_another_thread_leaves_no_hole() {
    with_pool(|pool| async move {
        for _ in 0..300 {
            let accepted = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&accepted);
            let other = Other::new(|client, _| {
                while client.write_buffer_size() < 200 {
                    thread::yield_now();
                }
                client.close_with(false, None);
            });
            let (stream, heard) = acting(&pool, lines(), move |client, _, _| {
                other.tell(client, 0);
                let mut number = 0;
                loop {
                    let line = format!("{number}\n");
                    match client.send(line.clone()) {
                        Ok(()) => count.fetch_add(line.len(), Ordering::SeqCst),
                        Err(error) if error.refusal == SendRefusal::Closed => break,
                        // It is not on its way out before the turn has ended.
                        Err(_) => continue,
                    };
                    number += 1;
                }
            })
            .await;
            let got = say(stream, "go\n").await;
            let sent: String = (0..got.len()).map(|n| format!("{n}\n")).collect();
            assert!(sent.as_bytes().starts_with(&got), "there is a hole");
            let unsent = accepted.load(Ordering::SeqCst) - got.len();
            let closed = Heard::Closed(unsent, got.len() as u64);
            // Pauses come before it.
            peer(move || while heard.recv_timeout(PATIENCE).unwrap() != closed {}).await;
        }
    });
}

/// AC-09: what it has sent is sent first; or nobody may take it for an answer.
#[test]
fn ac_09_what_a_handler_sent_before_it_panicked_is_flushed() {
    with_pool(|pool| async move {
        let act = |client: &Client, event: &LineReceived, _: &mut Context<Acting>| {
            client.send_line(&event.line).unwrap();
            client.send("and more").unwrap();
            assert_ne!(event.line.as_bytes(), b"panic", "in the test");
        };
        let (stream, _heard) = acting(&pool, lines(), act).await;
        let got = say(stream, "one\npanic\nthree\n").await;
        assert_eq!(got, b"one\nand morepanic\nand more");
        // Another session goes on.
        let within = PATIENCE;
        let listen = lines().on_crash(CrashPolicy::Restart { max: 9, within });
        let (mut stream, _heard) = acting(&pool, listen, act).await;
        let got = peer(move || {
            stream.write_all(b"one\npanic\nthree\n").unwrap();
            read_exact(&mut stream, 40)
        })
        .await;
        assert_eq!(got, b"one\nand morepanic\nand morethree\nand more");
    });
}

/// Plain is what was sent before, however it was sent; what comes behind is never sent in plain.
#[test]
fn tls_begins_behind_what_was_sent_in_the_turn() {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["localhost"]).identity();
    let tls = TlsServer::builder(identity).build().unwrap();
    with_pool(|pool| async move {
        let (mut stream, heard) = acting(&pool, lines(), move |client, _, _| {
            client.send_line("one").unwrap();
            client.send_line("two").unwrap();
            client.cancel_recv();
            client.start_tls(StartTls::server(tls.clone())).unwrap();
            client.send_line("secret").unwrap();
            client.send_line("more").unwrap();
        })
        .await;
        let got = peer(move || {
            stream.write_all(b"go\n").unwrap();
            let plain = read_exact(&mut stream, 8);
            stream.shutdown(Shutdown::Write).unwrap();
            [plain, read_all(&mut stream)].concat()
        })
        .await;
        assert!(got.starts_with(b"one\ntwo\n"));
        assert!(
            !got.windows(4)
                .any(|four| four == b"secr" || four == b"more")
        );
        let told = hear(heard, 1).await;
        assert!(matches!(told[..], [Heard::Closed(12, _)]), "{told:?}");
    });
}

/// However a handler ends its turn or its connection.
#[test]
fn what_a_handler_has_sent_goes_out_however_its_turn_ends() {
    with_pool(|pool| async move {
        let (stream, heard) = acting(&pool, lines(), |client, event, ctx| {
            client.send_line(&event.line).unwrap();
            match event.line.as_bytes() {
                b"wait" => {
                    let client = client.clone();
                    let waits = async move {
                        tokio::task::yield_now().await;
                        client.send_line("waited").unwrap();
                    };
                    ctx.wait(fut::wrap_future(waits));
                }
                b"stop" => ctx.stop(),
                _ => {}
            }
        })
        .await;
        let got = say(stream, "a\nwait\nb\nstop\nc\n").await;
        assert_eq!(got, b"a\nwait\nwaited\nb\nstop\n");
        assert!(heard.try_recv().is_err(), "it was told nothing");

        // What was sent before an abort is unsent.
        let (mut stream, heard) = acting(&pool, lines(), |client, _, _| {
            client.send("12345").unwrap();
            client.abort();
            assert!(client.send("6").is_err());
        })
        .await;
        stream.write_all(b"go\n").unwrap();
        assert_eq!(hear(heard, 1).await, [Heard::Closed(5, 0)]);
    });
}
