//! The boundary between plain and protected, for sessions of every form on whatever threads they are.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::Arbiter;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::{Link, Simulation};
use switchboard::tls::TlsServer;
use switchboard::{Cause, StartTlsError, TlsError};
use switchboard_tests::*;
use tokio::io::AsyncWriteExt;

use super::pair;

/// What the handlers of a test were told, in the order in which they were done with it.
type Book = Arc<Mutex<Vec<String>>>;

/// A session, or one handler of several.
struct Clerk {
    book: Book,
}

impl Actor for Clerk {
    type Context = Context<Self>;
}

impl Handler<Accepted> for Clerk {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {}
}

impl Handler<LineReceived> for Clerk {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        // Busy for a while, so that others find it at work.
        let until = Instant::now() + Duration::from_micros(30);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let line = msg.line.text().unwrap().into_owned();
        self.book.lock().unwrap().push(line);
    }
}

impl Handler<TlsStarted> for Clerk {
    type Result = ();

    fn handle(&mut self, _: TlsStarted, _: &mut Self::Context) {
        self.book.lock().unwrap().push("TLS".into());
    }
}

session!(Clerk);

/// What has the events of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Home,
    Worker,
    /// One actor for all, on another thread.
    Shared,
    /// Lines go to one thread, what is told of TLS to another.
    Handlers,
}

/// Asks for TLS again and again, from a thread of its own, until it is granted; says what was handed back.
async fn insist(client: Client, tls: TlsServer) -> String {
    peer(move || {
        let mut back = String::new();
        loop {
            client.cancel_recv();
            match client.start_tls(StartTls::server(tls.clone())) {
                Ok(()) => return back,
                Err(StartTlsError::Plaintext { data }) => {
                    back.push_str(std::str::from_utf8(&data).unwrap());
                }
                Err(StartTlsError::FramesPending { frames }) => assert!(frames > 0),
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

async fn attack(pool: Pool, form: Form, round: usize) {
    const LINES: usize = 120;
    let (server, client) = pair();
    let book: Book = Arc::default();
    let mut near = Probe::new();
    let there = Arc::clone(&book);
    let listen = Listen::tcp("127.0.0.1:0").lines();
    let listen = listen.on_workers(form == Form::Worker);
    let arbiters = [Arbiter::new(), Arbiter::new()];
    let seat: Arc<Mutex<Option<Client>>> = Arc::default();
    let taken = Arc::clone(&seat);
    let take = move |client| *taken.lock().unwrap() = Some(client);
    let address = match form {
        Form::Home | Form::Worker => {
            let make = move |client| {
                take(client);
                Clerk {
                    book: Arc::clone(&there),
                }
            };
            pool.listen(listen, make).await
        }
        Form::Shared => {
            let clerk = Clerk { book: there };
            let clerk = Clerk::start_in_arbiter(&arbiters[0].handle(), move |_| clerk);
            let make = move |client| {
                take(client);
                clerk.clone()
            };
            pool.listen(listen, make).await
        }
        Form::Handlers => {
            let [lines, tls] = [0, 1].map(|thread| {
                let clerk = Clerk {
                    book: Arc::clone(&there),
                };
                Clerk::start_in_arbiter(&arbiters[thread].handle(), move |_| clerk)
            });
            let handlers = Handlers::new()
                .line(lines.recipient())
                .tls_started(tls.recipient());
            let make = move |client| {
                take(client);
                handlers.clone()
            };
            pool.listen(listen, make).await
        }
    }
    .unwrap()
    .local_addr();
    let near_client = pool
        .connect(Connect::tcp(address), near.full_session())
        .await
        .unwrap();
    expect!(near, Connected);
    let plain: String = (0..LINES).map(|n| format!("plain {n}\n")).collect();
    near_client.send(plain.as_str()).unwrap();
    until(|| {
        // All of it has come, and some of it may be handled already.
        let seat = seat.lock().unwrap();
        let came = seat.as_ref().map(|far| far.info().activity.bytes_in);
        came == Some(plain.len() as u64)
    })
    .await;
    let far = seat.lock().unwrap().take().unwrap();
    if round.is_multiple_of(2) {
        until(|| !book.lock().unwrap().is_empty()).await;
    }
    let back = insist(far.clone(), server).await;
    near_client
        .start_tls(StartTls::client(client, "localhost"))
        .unwrap();
    near_client.send("protected 0\nprotected 1\n").unwrap();
    far.arm(RecvLine::once().always()).unwrap();
    expect!(near, TlsStarted);
    until(|| {
        let book = book.lock().unwrap();
        let told = |what| book.iter().any(|told| told == what);
        told("TLS") && told("protected 1")
    })
    .await;

    let told = book.lock().unwrap().clone();
    let is_plain = |line: &&String| line.starts_with("plain");
    let (before, after) = told.split_at(told.iter().position(|told| told == "TLS").unwrap());
    assert_eq!(after.iter().find(is_plain), None, "{form:?}");
    if form != Form::Handlers {
        // Between two mailboxes there is no order.
        assert_eq!(after, ["TLS", "protected 0", "protected 1"], "{form:?}");
    }
    let handled = before.iter().filter(is_plain);
    let handled: String = handled.map(|line| format!("{line}\n")).collect();
    assert_eq!(handled + &back, plain, "{form:?}: each once, here or there");
    near_client.close();
    loop {
        if let ClientEvent::Closed(_) = near.next().await {
            break;
        }
    }
    for arbiter in &arbiters {
        arbiter.stop();
    }
}

fn attacks(form: Form) {
    let builder = Pool::builder()
        .shards(1)
        .workers(usize::from(form == Form::Worker));
    with(builder, |pool| async move {
        for round in 0..12 {
            attack(pool.clone(), form, round).await;
        }
    });
}

/// T-12, trap 9: whoever asks for TLS, and when, no plain line is handled behind `TlsStarted`, and none
/// is lost.
#[test]
fn t_12_no_plain_line_is_handled_behind_the_boundary_at_home() {
    attacks(Form::Home);
}

/// T-12.
#[test]
fn t_12_no_plain_line_is_handled_behind_the_boundary_on_a_worker() {
    attacks(Form::Worker);
}

/// T-12.
#[test]
fn t_12_no_plain_line_is_handled_behind_the_boundary_by_a_shared_actor() {
    attacks(Form::Shared);
}

/// T-12: the handler of lines and the one that is told of TLS are on threads of their own.
#[test]
fn t_12_no_plain_line_is_handled_behind_the_boundary_by_handlers() {
    attacks(Form::Handlers);
}

const HOST: &str = "10.0.0.1:7000";

/// Trap 9 (CVE-2021-23222 and its kind, lori's guard): a man in the middle puts commands behind the
/// STARTTLS of another. They are handed back, whether they came with it or late, and never handled.
#[test]
fn trap_09_commands_that_were_injected_before_the_handshake_are_never_handled() {
    for late in [false, true] {
        Simulation::seeded(9).run(|world| async move {
            let (server, _) = pair();
            let mut far = Probe::new();
            let pool = world.pool();
            pool.listen(Listen::tcp(HOST), far.full_session())
                .await
                .unwrap();
            let mut stream = world.net().connect(HOST).await.unwrap();
            let client = expect!(far, Accepted).handle;
            client.arm(RecvLine::once()).unwrap();
            let (command, injected) = (b"STARTTLS\r\n", b"MAIL FROM:<mallory>\r\n");
            let first = if late {
                command.to_vec()
            } else {
                [&command[..], injected].concat()
            };
            stream.write_all(&first).await.unwrap();
            assert_eq!(&*expect!(far, LineReceived).line, b"STARTTLS");
            if late {
                client.start_tls(StartTls::server(server)).unwrap();
                client.arm(RecvLine::once().always()).unwrap();
                stream.write_all(injected).await.unwrap();
                let closed = expect!(far, Closed);
                assert_eq!(closed.detail.cause, Cause::Tls(TlsError::NotTls));
                assert!(closed.detail.unread.is_empty());
            } else {
                let data = Bytes::from_static(injected);
                let refused = client.start_tls(StartTls::server(server));
                assert_eq!(refused, Err(StartTlsError::Plaintext { data }));
                client.arm(RecvLine::once().always()).unwrap();
                far.no_more(Duration::from_secs(60)).await;
                client.close();
                assert!(expect!(far, Closed).detail.unread.is_empty());
            }
            drop(stream);
            pool.stop().await;
            far.finish();
        });
    }
}

/// Trap 9 (cpython #142352, uvloop #707): the handshake's first bytes come with the command, in one piece
/// or cut anywhere, and are not lost.
#[test]
fn trap_09_a_hello_that_comes_with_the_command_is_not_lost() {
    for chunk in [1, 7, 100, 64 * 1024] {
        let link = Link::default().chunk(chunk);
        Simulation::seeded(9).link(link).run(|world| async move {
            let (server, client) = pair();
            let (mut near, mut far) = (Probe::new(), Probe::new());
            let pool = world.pool();
            pool.listen(Listen::tcp(HOST), far.full_session())
                .await
                .unwrap();
            let one = pool
                .connect(Connect::tcp(HOST), near.full_session())
                .await
                .unwrap();
            expect!(near, Connected);
            let other = expect!(far, Accepted).handle;
            // It does not wait for an answer.
            one.send_line("STARTTLS").unwrap();
            one.start_tls(StartTls::client(client, "localhost"))
                .unwrap();
            one.send_line("at once").unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            other.arm(RecvLine::once()).unwrap();
            assert_eq!(&*expect!(far, LineReceived).line, b"STARTTLS");
            other.start_tls(StartTls::server(server)).unwrap();
            other.arm(RecvLine::once()).unwrap();
            expect!(near, TlsStarted);
            expect!(far, TlsStarted);
            assert_eq!(&*expect!(far, LineReceived).line, b"at once");
            other.close();
            expect!(near, PeerFinished);
            expect!(near, Closed);
            expect!(far, Closed);
            near.finish();
            far.finish();
        });
    }
}

/// Is busy with each line until it is let go on.
struct Busy {
    book: Book,
    go_on: std::sync::mpsc::Receiver<()>,
}

impl Actor for Busy {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Busy {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.go_on.recv().unwrap();
        let line = msg.line.text().unwrap().into_owned();
        self.book.lock().unwrap().push(line);
    }
}

/// T-12: TLS is asked for while a handler of another mailbox still has a plain line in its hands.
#[test]
fn t_12_a_plain_line_at_work_holds_the_handshake_up() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (book, arbiter) = (Book::default(), Arbiter::new());
        let (let_go, go_on) = std::sync::mpsc::channel();
        let busy = Busy {
            book: Arc::clone(&book),
            go_on,
        };
        let busy = Busy::start_in_arbiter(&arbiter.handle(), move |_| busy);
        let clerk = Clerk {
            book: Arc::clone(&book),
        };
        let handlers = Handlers::new()
            .line(busy.recipient())
            .tls_started(clerk.start().recipient());
        let seat: Arc<Mutex<Option<Client>>> = Arc::default();
        let taken = Arc::clone(&seat);
        let make = move |client| {
            *taken.lock().unwrap() = Some(client);
            handlers.clone()
        };
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let address = pool.listen(listen, make).await.unwrap().local_addr();
        let mut near = Probe::new();
        let one = pool
            .connect(Connect::tcp(address), near.full_session())
            .await
            .unwrap();
        expect!(near, Connected);
        one.send("plain\n").unwrap();
        until(|| {
            let seat = seat.lock().unwrap();
            seat.as_ref()
                .is_some_and(|far| far.info().activity.frames_in == 1)
        })
        .await;
        let other = seat.lock().unwrap().take().unwrap();
        other.cancel_recv();
        other.start_tls(StartTls::server(server)).unwrap();
        one.start_tls(StartTls::client(client, "localhost"))
            .unwrap();
        // Much longer than a handshake takes.
        near.no_more(Duration::from_millis(150)).await;
        assert!(book.lock().unwrap().is_empty());
        let_go.send(()).unwrap();
        expect!(near, TlsStarted);
        until(|| book.lock().unwrap().len() == 2).await;
        assert_eq!(*book.lock().unwrap(), ["plain", "TLS"]);
        one.close();
        expect!(near, Closed);
        arbiter.stop();
    });
}
