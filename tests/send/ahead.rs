//! What a session sends in its turn: nobody can tell how it is queued, wherever they look from.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::tls::TlsServer;
use switchboard::{
    Client, ConnectionOptions, CrashPolicy, LineEnding, Listen, Pool, SendRefusal, Token, session,
};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

use super::{ANY, KIB};

/// Does this with every line, in its turn.
type Act = dyn Fn(&Client, &LineReceived, &mut Context<Acting>) + Send + Sync;

/// A session that does as the test says, and tells what it hears.
struct Acting {
    client: Client,
    act: Arc<Act>,
    hears: Sender<Heard>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Paused,
    Resumed,
    Sent(Token, usize),
    /// Accepted and not sent, and sent.
    Closed(usize, u64),
}

impl Actor for Acting {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Acting {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        (self.act)(&self.client, &event, ctx);
    }
}

impl Handler<WritePaused> for Acting {
    type Result = ();

    fn handle(&mut self, _: WritePaused, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Paused);
    }
}

impl Handler<WriteResumed> for Acting {
    type Result = ();

    fn handle(&mut self, _: WriteResumed, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Resumed);
    }
}

impl Handler<Sent> for Acting {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Sent(event.token, event.bytes));
    }
}

impl Handler<Closed> for Acting {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let detail = &event.detail;
        let _ = self
            .hears
            .send(Heard::Closed(detail.unsent, detail.bytes_out));
    }
}

session!(Acting);

/// A peer of a session that does this with every line, and what the session hears.
async fn acting(
    pool: &Pool,
    listen: Listen,
    act: impl Fn(&Client, &LineReceived, &mut Context<Acting>) + Send + Sync + 'static,
) -> (TcpStream, Receiver<Heard>) {
    let (hears, heard) = mpsc::channel();
    let act: Arc<Act> = Arc::new(act);
    let make = move |client| Acting {
        client,
        act: Arc::clone(&act),
        hears: hears.clone(),
    };
    (serve_with(pool, listen, make).await, heard)
}

fn lines() -> Listen {
    Listen::tcp(ANY).lines()
}

/// Says one line; then all that the session sends until it closes.
async fn say(mut stream: TcpStream, line: &'static str) -> Vec<u8> {
    peer(move || {
        stream.write_all(line.as_bytes()).unwrap();
        read_all(&mut stream)
    })
    .await
}

async fn hear(heard: Receiver<Heard>, count: usize) -> Vec<Heard> {
    peer(move || {
        (0..count)
            .map(|_| heard.recv_timeout(PATIENCE).unwrap())
            .collect()
    })
    .await
}

/// Another thread, to which the session gives its client with a number, and which says when it is done with it.
struct Other {
    jobs: Mutex<Sender<(Client, usize)>>,
    dones: Mutex<Receiver<()>>,
}

impl Other {
    fn new(does: impl Fn(Client, usize) + Send + 'static) -> Self {
        let (give, jobs) = mpsc::channel::<(Client, usize)>();
        let (done, dones) = mpsc::channel();
        thread::spawn(move || {
            for (client, number) in jobs {
                does(client, number);
                let _ = done.send(());
            }
        });
        Self {
            jobs: Mutex::new(give),
            dones: Mutex::new(dones),
        }
    }

    fn tell(&self, client: &Client, number: usize) {
        let jobs = self.jobs.lock().unwrap();
        jobs.send((client.clone(), number)).unwrap();
    }

    fn wait(&self) {
        let dones = self.dones.lock().unwrap();
        dones.recv_timeout(PATIENCE).unwrap();
    }
}

/// The order of sends is that of cause and effect, whoever sends.
#[test]
fn what_is_sent_because_of_a_send_stands_behind_it() {
    const SENDS: usize = 3_000;
    with_pool(|pool| async move {
        for wait_for_each in [1, 7, usize::MAX] {
            let other = Other::new(|client, number| match number % 2 {
                0 => client.send_line(&format!("other {number}")).unwrap(),
                _ => client.send(format!("other {number}\n")).unwrap(),
            });
            let (stream, _heard) = acting(&pool, lines(), move |client, _, _| {
                let mut waits = 0;
                for number in 0..SENDS {
                    match number % 3 {
                        0 => client.send(format!("own {number}\n")).unwrap(),
                        _ => client.send_line(&format!("own {number}")).unwrap(),
                    }
                    other.tell(client, number);
                    waits += 1;
                    if number % wait_for_each == 0 {
                        (0..waits).for_each(|_| other.wait());
                        waits = 0;
                    }
                }
                (0..waits).for_each(|_| other.wait());
                client.close();
            })
            .await;
            let got = String::from_utf8(say(stream, "go\n").await).unwrap();
            let (mut own, mut others) = (0, 0);
            for line in got.lines() {
                let (who, number) = line.split_once(' ').expect("a whole line");
                let number: usize = number.parse().unwrap();
                if who == "own" {
                    assert_eq!(number, own, "{wait_for_each}");
                    let answered = own.saturating_sub(1) / wait_for_each * wait_for_each;
                    assert!(own == 0 || others > answered, "{wait_for_each}: {number}");
                    own += 1;
                } else {
                    assert_eq!((who, number), ("other", others), "{wait_for_each}");
                    assert!(own > others, "{wait_for_each}: {number} before its cause");
                    others += 1;
                }
            }
            assert_eq!((own, others), (SENDS, SENDS));
        }
    });
}

/// Whoever looks at a connection sees all that its session has sent before, queued or out.
#[test]
fn whoever_looks_sees_all_that_was_sent() {
    const BURSTS: usize = 300;
    const LINES: usize = 40;
    with_pool(|pool| async move {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let ended = Arc::new(AtomicBool::new(false));
        let (handles, handle) = mpsc::channel();
        let (mut stream, _heard) = acting(&pool, lines(), move |client, event, _| {
            let _ = handles.send(client.clone());
            for _ in 0..3 {
                client.send_line(&event.line).unwrap();
                counted.fetch_add(event.line.len() + 1, Ordering::SeqCst);
            }
        })
        .await;
        let ends = Arc::clone(&ended);
        let looking = thread::spawn(move || {
            let client = handle.recv_timeout(PATIENCE).unwrap();
            let mut looks = 0;
            while !ends.load(Ordering::SeqCst) {
                let before = sent.load(Ordering::SeqCst);
                let activity = client.info().activity;
                let seen = activity.bytes_out as usize + activity.write_buffer;
                // The line under way is not counted yet.
                let after = sent.load(Ordering::SeqCst) + 10;
                assert!(
                    (before..=after).contains(&seen),
                    "{before} {seen} {after}: {activity:?}"
                );
                let queued = client.write_buffer_size();
                assert!(queued <= sent.load(Ordering::SeqCst) + 10);
                looks += 1;
            }
            assert!(looks > 0);
        });
        peer(move || {
            for burst in 0..BURSTS {
                let numbers = burst * LINES..(burst + 1) * LINES;
                let burst: String = numbers.clone().map(|n| format!("{n}\n")).collect();
                let answer: String = numbers.map(|n| format!("{n}\n").repeat(3)).collect();
                stream.write_all(burst.as_bytes()).unwrap();
                let got = read_exact(&mut stream, answer.len());
                assert_eq!(String::from_utf8(got).unwrap(), answer);
            }
        })
        .await;
        ended.store(true, Ordering::SeqCst);
        peer(move || looking.join().unwrap()).await;
    });
}

/// The session itself, in its turn.
#[test]
fn a_session_sees_what_it_has_sent() {
    with_pool(|pool| async move {
        let (stream, _heard) = acting(&pool, lines(), |client, _, _| {
            for count in 1..100 {
                client.send("12345").unwrap();
                if count % 3 == 0 {
                    assert_eq!(client.write_buffer_size(), 5 * count);
                    assert_eq!(client.info().activity.write_buffer, 5 * count);
                }
            }
            client.close();
        })
        .await;
        assert_eq!(say(stream, "go\n").await, b"12345".repeat(99));
    });
}

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

/// AIO-09, AIO-10.
#[test]
fn aio_09_a_session_is_told_and_refused_at_the_very_marks_in_its_turn() {
    with_pool(|pool| async move {
        for last in ["", "x"] {
            let listen = lines().write_limits(100, 10).write_capacity(150);
            let (mut stream, heard) = acting(&pool, listen, move |client, _, _| {
                for count in 1..=10 {
                    client.send_line("123456789").unwrap();
                    assert_eq!(client.write_buffer_size(), 10 * count);
                }
                assert!(!client.info().activity.write_paused);
                if last.is_empty() {
                    return;
                }
                client.send(last).unwrap();
                assert!(client.info().activity.write_paused);
                for _ in 0..4 {
                    client.send_line("123456789").unwrap();
                }
                let full = |asked| SendRefusal::Full {
                    queued: 141,
                    capacity: 150,
                    asked,
                };
                assert_eq!(client.send_line("123456789"), Err(full(10)));
                client.send("123456789").unwrap();
                assert!(client.send_line("").is_err());
            })
            .await;
            let mut expected = b"123456789\n".repeat(10);
            if !last.is_empty() {
                expected.extend(b"x");
                expected.extend(b"123456789\n".repeat(4));
                expected.extend(b"123456789");
            }
            let got = peer(move || {
                stream.write_all(b"go\n").unwrap();
                let got = read_exact(&mut stream, expected.len());
                assert_eq!(got, expected);
                stream
            })
            .await;
            drop(got);
            let out = if last.is_empty() { 100 } else { 150 };
            let closed = Heard::Closed(0, out);
            if last.is_empty() {
                assert_eq!(hear(heard, 1).await, [closed], "nothing was told");
            } else {
                let told = hear(heard, 3).await;
                assert_eq!(told, [Heard::Paused, Heard::Resumed, closed]);
            }
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

/// Every way to send, one behind the other in one turn.
#[test]
fn all_ways_to_send_keep_their_order_in_a_turn() {
    with_pool(|pool| async move {
        let long = Arc::new("l".repeat(9 * KIB));
        let text = Arc::clone(&long);
        let listen = lines().line_ending(LineEnding::CrLf);
        let (stream, heard) = acting(&pool, listen, move |client, event, _| {
            for token in 0..3 {
                client.send_line("text").unwrap();
                client.send_line(&event.line).unwrap();
                client.send("a").unwrap();
                client.send(Bytes::from_static(b"b")).unwrap();
                client.send_msg("cd", None).unwrap();
                client.send("e").unwrap();
                client.send_with("f", token).unwrap();
                client.send(text.as_bytes().to_vec()).unwrap();
                client.send("g").unwrap();
                assert!(client.send("").is_err());
                client.send(vec![b'm'; 513]).unwrap();
                client.send(vec![b's'; 512]).unwrap();
                let parts = vec![Bytes::from_static(b"h"), Bytes::from_static(b"i")];
                client.send_many(parts, None).unwrap();
                client.send_line("").unwrap();
                assert_eq!(client.try_send(b"j").unwrap(), 1);
                client.send_line(&*"x".repeat(511)).unwrap();
                client.send("z").unwrap();
            }
            client.close();
        })
        .await;
        let got = say(stream, "got\n").await;
        let round = format!(
            "text\r\ngot\nab\0\0\0\x02cdef{long}g{}{}hi\r\nj{}\r\nz",
            "m".repeat(513),
            "s".repeat(512),
            "x".repeat(511)
        );
        assert!(got == round.repeat(3).as_bytes(), "out of order");
        let told = hear(heard, 4).await;
        let sent = |token| Heard::Sent(Token(token), 1);
        let closed = Heard::Closed(0, got.len() as u64);
        assert_eq!(told, [sent(0), sent(1), sent(2), closed]);
    });
}

/// AC-06.
#[cfg(target_os = "linux")]
#[test]
fn ac_06_an_urgent_byte_stands_where_it_was_sent_in_a_turn() {
    with_pool(|pool| async move {
        let (stream, heard) = acting(&pool, lines(), |client, _, _| {
            client.send("before").unwrap();
            client.send_urgent_with(b'!', 1).unwrap();
            client.send_line("behind").unwrap();
            client.close();
        })
        .await;
        socket2::SockRef::from(&stream)
            .set_out_of_band_inline(true)
            .unwrap();
        assert_eq!(say(stream, "go\n").await, b"before!behind\n");
        let told = hear(heard, 2).await;
        assert_eq!(told, [Heard::Sent(Token(1), 1), Heard::Closed(0, 14)]);
    });
}

#[test]
fn twenty_thousand_lines_of_one_turn_come_whole_and_in_order() {
    const LINES: usize = 20_000;
    with_pool(|pool| async move {
        let (stream, _heard) = acting(&pool, lines(), |client, _, _| {
            for number in 0..LINES {
                client.send_line(&number.to_string()).unwrap();
            }
            client.close();
        })
        .await;
        let expected: String = (0..LINES).map(|number| format!("{number}\n")).collect();
        assert!(say(stream, "go\n").await == expected.as_bytes());
    });
}

/// AC-25: the system takes a part of what a turn has sent, or nothing.
#[test]
fn short_answers_come_whole_to_a_peer_that_floods_and_reads_late() {
    const LINES: usize = 400_000;
    with_pool(|pool| async move {
        let listen = lines().send_buffer_size(128 * KIB);
        let (handles, handle) = mpsc::channel();
        let make = move |client: Client| {
            handles.send(client.clone()).unwrap();
            Echo { client }
        };
        let stream = serve_with(&pool, listen, make).await;
        let socket = socket2::SockRef::from(&stream);
        socket.set_recv_buffer_size(256 * KIB).unwrap();
        let script: String = (0..LINES).map(|number| format!("{number}\n")).collect();
        let (mut stream, sent, script) = peer(move || {
            let sent = stuff(&stream, script.as_bytes());
            (stream, sent, script)
        })
        .await;
        let client = peer(move || handle.recv_timeout(PATIENCE).unwrap()).await;
        until(|| client.info().activity.write_paused).await;
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&script.as_bytes()[sent..]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            script
        });
        let got = peer(move || read_all(&mut stream)).await;
        let script = writing.join().unwrap();
        assert!(got == script.as_bytes(), "not the lines that were sent");
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

/// In the turn of one connection its session sends on others too, of this thread and of others.
#[test]
fn a_turn_sends_on_other_connections_too() {
    const SENDS: usize = 2_000;
    for shards in [1, 2] {
        with(Pool::builder().shards(shards), |pool| async move {
            let everybody: Arc<Mutex<Vec<Client>>> = Arc::default();
            let all = Arc::clone(&everybody);
            let act = move |client: &Client, event: &LineReceived, _: &mut Context<Acting>| {
                let mut all = all.lock().unwrap();
                if event.line.as_bytes() == b"here" {
                    all.push(client.clone());
                    client.send_line("welcome").unwrap();
                    return;
                }
                for number in 0..SENDS {
                    for (place, one) in all.iter().enumerate() {
                        one.send_line(&format!("{place} {number}")).unwrap();
                    }
                }
                all.iter().for_each(|one| assert!(one.close()));
            };
            let (hears, _heard) = mpsc::channel();
            let act: Arc<Act> = Arc::new(act);
            let make = move |client| Acting {
                client,
                act: Arc::clone(&act),
                hears: hears.clone(),
            };
            let server = pool.listen(lines(), make).await.unwrap();
            let address = server.local_addr();
            peer(move || {
                let mut streams: Vec<_> = (0..4).map(|_| dial(address)).collect();
                for stream in &mut streams {
                    stream.write_all(b"here\n").unwrap();
                    assert_eq!(read_exact(stream, 8), b"welcome\n");
                }
                streams[1].write_all(b"go\n").unwrap();
                for (place, stream) in streams.iter_mut().enumerate() {
                    let got = String::from_utf8(read_all(stream)).unwrap();
                    let numbers = 0..SENDS;
                    let expected: String = numbers
                        .map(|number| format!("{place} {number}\n"))
                        .collect();
                    assert!(got == expected, "{place}");
                }
            })
            .await;
        });
    }
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
