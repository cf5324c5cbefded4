//! One session of many connections: what it sends in the turn of one, on that one and on all.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::time::Duration;

use switchboard::{Cause, CrashPolicy, Handlers};

use super::*;

/// Where the session is, and how it hears of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In their turns, on their own thread.
    Home,
    /// In their turns, on another thread.
    Elsewhere,
    /// Each event by itself, on their own thread.
    Mailboxes,
}

const PLACES: [Place; 3] = [Place::Home, Place::Elsewhere, Place::Mailboxes];

/// Does this with every line: all the connections in the order in which they came, and whose line it is.
type ActForAll = dyn Fn(&[Client], usize, &LineReceived, &mut Context<Desk>) + Send + Sync;

/// The one session.
struct Desk {
    clients: Vec<Client>,
    act: Arc<ActForAll>,
    hears: Sender<(usize, Heard)>,
}

impl Desk {
    fn place(&self, id: switchboard::ClientId) -> usize {
        let found = self.clients.iter().position(|client| client.id() == id);
        found.expect("it was told of this one first")
    }
}

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<Accepted> for Desk {
    type Result = ();

    fn handle(&mut self, event: Accepted, _: &mut Self::Context) {
        event.handle.send_line("welcome").unwrap();
        self.clients.push(event.handle.clone());
    }
}

impl Handler<LineReceived> for Desk {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        let act = Arc::clone(&self.act);
        act(&self.clients, self.place(event.client), &event, ctx);
    }
}

impl Handler<Sent> for Desk {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        let heard = Heard::Sent(event.token, event.bytes);
        let _ = self.hears.send((self.place(event.client), heard));
    }
}

impl Handler<Closed> for Desk {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let heard = Heard::Closed(event.detail.unsent, event.detail.bytes_out);
        let _ = self.hears.send((self.place(event.client), heard));
    }
}

session!(Desk);

/// So many peers of one session there, in the order in which it knows them, and what it hears of each.
async fn desk(
    pool: &Pool,
    (listen, place): (Listen, Place),
    peers: usize,
    act: impl Fn(&[Client], usize, &LineReceived, &mut Context<Desk>) + Send + Sync + 'static,
) -> (Vec<TcpStream>, Receiver<(usize, Heard)>) {
    let (hears, heard) = mpsc::channel();
    let act: Arc<ActForAll> = Arc::new(act);
    let made = move || Desk {
        clients: Vec::new(),
        act: Arc::clone(&act),
        hears: hears.clone(),
    };
    let there = match place {
        Place::Elsewhere => Some(made().start()),
        // The first connection starts it, on its thread; so does the next one if it is gone.
        Place::Home | Place::Mailboxes => None,
    };
    let there = Mutex::new(there);
    let shared = move || {
        let mut there = there.lock().unwrap();
        let address = there.take().filter(Addr::connected);
        there
            .insert(address.unwrap_or_else(|| made().start()))
            .clone()
    };
    let server = match place {
        Place::Home | Place::Elsewhere => pool.listen(listen, move |_| shared()).await,
        Place::Mailboxes => pool.listen(listen, move |_| each_event(&shared())).await,
    };
    let address = server.unwrap().local_addr();
    let streams = peer(move || (0..peers).map(|_| welcomed(address)).collect());
    (streams.await, heard)
}

fn each_event(desk: &Addr<Desk>) -> Handlers {
    Handlers::new()
        .accepted(desk.clone().recipient())
        .line(desk.clone().recipient())
        .sent(desk.clone().recipient())
        .closed(desk.clone().recipient())
}

/// A peer that the session knows of.
fn welcomed(address: SocketAddr) -> TcpStream {
    let mut stream = dial(address);
    assert_eq!(read_exact(&mut stream, 8), b"welcome\n");
    stream
}

/// Says so many numbers, and gives the lines that come meanwhile, `count` of them.
fn converse(stream: &TcpStream, numbers: usize, count: usize) -> Vec<String> {
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || {
        let said: String = (0..numbers).map(|number| format!("{number}\n")).collect();
        for piece in said.as_bytes().chunks(777) {
            writer.write_all(piece).unwrap();
        }
    });
    let lines = BufReader::new(stream).lines();
    let got = lines.take(count).map(Result::unwrap).collect();
    writing.join().unwrap();
    got
}

/// What the session sends on a connection in its own turns has its order, what it sends there in the turns of
/// others has its own, and every notice comes once.
#[test]
fn a_session_of_many_sends_on_each_in_order_and_loses_nothing() {
    const PEERS: usize = 4;
    const LINES: usize = 1_500;
    const EACH: usize = 5;
    for place in PLACES {
        with_pool(|pool| async move {
            let (streams, heard) = desk(&pool, (lines(), place), PEERS, |all, who, event, _| {
                let number: usize = event.line.text().unwrap().parse().unwrap();
                let (own, next) = (&all[who], &all[(who + 1) % all.len()]);
                own.send_line(&event.line).unwrap();
                next.send_line(&format!("from {number}")).unwrap();
                own.send(format!("more {number}\n")).unwrap();
                if number.is_multiple_of(EACH) {
                    let told = format!("told {number}\n");
                    own.send_with(told, number as u64).unwrap();
                }
                own.send_line("end").unwrap();
            })
            .await;
            let expected: Vec<String> = (0..LINES)
                .flat_map(|number| {
                    let told = number
                        .is_multiple_of(EACH)
                        .then(|| format!("told {number}"));
                    let before = [number.to_string(), format!("more {number}")];
                    before.into_iter().chain(told).chain(["end".into()])
                })
                .collect();
            let count = expected.len() + LINES;
            let of_next: Vec<String> = (0..LINES).map(|number| format!("from {number}")).collect();
            let talking: Vec<_> = streams
                .into_iter()
                .map(|stream| thread::spawn(move || (converse(&stream, LINES, count), stream)))
                .collect();
            let talked = peer(|| talking.into_iter().map(|one| one.join().unwrap()).collect());
            let talked: Vec<(Vec<String>, TcpStream)> = talked.await;
            let mut sizes = Vec::new();
            for (got, _) in &talked {
                sizes.push(8 + got.iter().map(|line| line.len() as u64 + 1).sum::<u64>());
                let (next, own): (Vec<_>, Vec<_>) = got
                    .iter()
                    .cloned()
                    .partition(|line| line.starts_with("from "));
                assert!(own == expected, "{place:?}: its own lines");
                assert!(next == of_next, "{place:?}: those of its neighbour");
            }
            // They leave only when all have heard everything.
            drop(talked);
            let told = peer(move || {
                let count = PEERS * (LINES / EACH + 1);
                (0..count)
                    .map(|_| heard.recv_timeout(PATIENCE).unwrap())
                    .collect()
            });
            let told: Vec<(usize, Heard)> = told.await;
            for (who, size) in sizes.into_iter().enumerate() {
                let of_one = told.iter().filter(|(whose, _)| *whose == who);
                let sent = (0..LINES).step_by(EACH).map(|number| {
                    let length = format!("told {number}\n").len();
                    Heard::Sent(Token(number as u64), length)
                });
                let expected = sent.chain([Heard::Closed(0, size)]);
                assert!(
                    of_one
                        .map(|(_, heard)| heard)
                        .eq(&expected.collect::<Vec<_>>())
                );
            }
        });
    }
}

/// Whoever reads late gets all that was accepted for it, in its own turns and in those of others.
#[test]
fn a_session_of_many_loses_nothing_that_it_sent_to_one_who_reads_late() {
    const LINES: usize = 3_000;
    for place in PLACES {
        with_pool(|pool| async move {
            let accepted = Arc::new(Mutex::new(String::new()));
            let kept = Arc::clone(&accepted);
            let listen = narrow_lines();
            let (streams, heard) = desk(&pool, (listen, place), 3, move |all, who, event, _| {
                let mut kept = kept.lock().unwrap();
                for place in 0..4 {
                    let text = event.line.text().unwrap();
                    let line = format!("{who} {place} {text} {}", "x".repeat(100));
                    // What is refused is not missed.
                    if all[0].send_line(&line).is_ok() {
                        kept.push_str(&line);
                        kept.push('\n');
                    }
                }
                if event.line.as_bytes() == b"end" {
                    all[0].close();
                } else if who > 0 {
                    all[who].send_line(&event.line).unwrap();
                }
            })
            .await;
            let mut streams = streams.into_iter();
            let [mut late, one, two] = [(); 3].map(|()| streams.next().unwrap());
            let said: String = (0..LINES).map(|number| format!("{number}\n")).collect();
            late.set_nonblocking(true).unwrap();
            // As much as is taken at once; a line that is cut off is none.
            let _ = late.write(said.as_bytes());
            late.set_nonblocking(false).unwrap();
            let quick = [one, two]
                .map(|stream| thread::spawn(move || (converse(&stream, LINES, LINES), stream)));
            let quick = peer(|| quick.map(|one| one.join().unwrap())).await;
            let numbers: Vec<_> = (0..LINES).map(|number| number.to_string()).collect();
            assert!(quick.iter().all(|(got, _)| *got == numbers), "{place:?}");
            let [(_, first), (_, mut last)] = quick;
            last.write_all(b"end\n").unwrap();
            let got = peer(move || read_all(&mut late)).await;
            let accepted = accepted.lock().unwrap().clone();
            assert!(got == accepted.as_bytes(), "{place:?}: {}", got.len());
            assert!(got.len() > 64 * KIB, "nobody was late");
            drop((first, last));
            let told: HashMap<usize, Heard> = peer(move || {
                let next = |_| heard.recv_timeout(PATIENCE).unwrap();
                (0..3).map(next).collect()
            })
            .await;
            assert_eq!(told[&0], Heard::Closed(0, 8 + got.len() as u64));
        });
    }
}

/// Connections that soon have nowhere to put what a peer does not read.
fn narrow_lines() -> Listen {
    lines().send_buffer_size(32 * KIB).write_capacity(128 * KIB)
}

/// AC-09: its panic is that of one connection, whose policy it meets; the others end in order.
#[test]
fn ac_09_what_a_session_of_many_sent_before_it_panicked_goes_out_on_all() {
    for (policy, place) in [
        (CrashPolicy::Close, Place::Home),
        (CrashPolicy::Close, Place::Elsewhere),
        (CrashPolicy::Abort, Place::Home),
        (CrashPolicy::Abort, Place::Elsewhere),
    ] {
        let totals = with_pool(|pool| async move {
            let (handles, handle) = mpsc::channel();
            let listen = lines().on_crash(policy);
            let (streams, _heard) = desk(&pool, (listen, place), 3, move |all, who, event, _| {
                let _ = handles.send(all[who].clone());
                for number in 0..10 {
                    all.iter()
                        .for_each(|one| one.send_line(&number.to_string()).unwrap());
                }
                if event.line.as_bytes() == b"panic" {
                    resume_unwind(Box::new("as it was told"));
                }
            })
            .await;
            let numbers = b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n";
            let streams = peer(move || {
                let mut streams = streams;
                streams[1].write_all(b"panic\n").unwrap();
                for number in [0, 2] {
                    assert_eq!(read_exact(&mut streams[number], 20), numbers);
                    // It notices no earlier that its session is gone.
                    streams[number].write_all(b"anybody?\n").unwrap();
                    assert_eq!(read_all(&mut streams[number]), b"", "{policy:?}");
                }
                streams
            })
            .await;
            let client = handle.try_recv().unwrap();
            let detail = client.closed().await.unwrap();
            assert!(matches!(detail.cause, Cause::SessionPanicked { .. }));
            assert_eq!(detail.bytes_out + detail.unsent as u64, 8 + 20);
            let mut broken = streams.into_iter().nth(1).unwrap();
            peer(move || {
                let mut got = Vec::new();
                let end = broken.read_to_end(&mut got);
                match policy {
                    CrashPolicy::Abort => assert!(end.is_err(), "not reset"),
                    _ => assert_eq!((end.unwrap(), &got[..]), (20, &numbers[..])),
                }
                assert_eq!(got.len() as u64, detail.bytes_out - 8, "{place:?}");
            })
            .await;
        });
        assert_eq!(totals.closed, [1, 2, 0, 0]);
    }
}

/// AC-09: each connection goes to another session, with what the one before has sent on it.
#[test]
fn ac_09_what_a_session_of_many_sent_stays_when_another_one_takes_over() {
    let within = Duration::from_secs(60);
    with_pool(|pool| async move {
        let listen = lines().on_crash(CrashPolicy::Restart { max: 9, within });
        let place = (listen, Place::Home);
        let (streams, _heard) = desk(&pool, place, 1, |all, who, event, _| {
            all[who].send_line(&event.line).unwrap();
            all[who].send("and more ").unwrap();
            if event.line.as_bytes() == b"panic" {
                resume_unwind(Box::new("as it was told"));
            }
        })
        .await;
        peer(move || {
            let mut stream = &streams[0];
            stream.write_all(b"one\npanic\n").unwrap();
            let mut got = vec![0; 28];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(got, b"one\nand more panic\nand more ");
        })
        .await;
    });
}

/// However it stops.
#[test]
fn what_a_session_of_many_sent_before_it_stopped_goes_out() {
    for place in [Place::Home, Place::Elsewhere] {
        let totals = with_pool(|pool| async move {
            let (streams, _heard) = desk(&pool, (lines(), place), 2, |all, _, event, ctx| {
                all.iter()
                    .for_each(|one| one.send_line(&event.line).unwrap());
                if event.line.as_bytes() == b"stop" {
                    ctx.stop();
                    all.iter().for_each(|one| one.send_line("last").unwrap());
                }
            })
            .await;
            peer(move || {
                let [mut one, mut other] = <[TcpStream; 2]>::try_from(streams).unwrap();
                one.write_all(b"a\nstop\nnever\n").unwrap();
                assert_eq!(read_all(&mut one), b"a\nstop\nlast\n");
                assert_eq!(read_exact(&mut other, 12), b"a\nstop\nlast\n");
                other.write_all(b"anybody?\n").unwrap();
                assert_eq!(read_all(&mut other), b"");
            })
            .await;
        });
        assert_eq!(totals.closed, [0, 2, 0, 0]);
    }
}
