//! Sessions: how a user's actor is attached, what it may do wrong, and that nobody else notices.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use actix::{Supervised, WeakAddr};
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{
    ArmError, BufferSlots, Cause, ConfigError, ConnectPhase, Encoding, Error, Fifo, IntoSession,
    ListenPhase, SendRefusal, SlotError, SlotsError, StartError,
};
use switchboard_tests::*;
use tokio::sync::mpsc;
use tracing_subscriber::layer::{self, Layer, SubscriberExt};
use tracing_subscriber::registry::{self, LookupSpan};

const MIB: usize = 1024 * 1024;
const SHORT: Duration = Duration::from_millis(10);

fn local() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

/// What a session may do wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Started,
    Line,
    /// The panic's payload panics when it is dropped.
    Payload,
    /// In a timer, a while after the line.
    Later,
    /// After the connection was closed by the same handler.
    AfterClose,
    Closed,
    Stopped,
    Drop,
}

/// Echoes lines; at the line `panic` it does what is wrong with it.
struct Fragile {
    client: Client,
    fault: Fault,
}

impl Fragile {
    fn here(&self, fault: Fault) {
        assert!(self.fault != fault, "in {fault:?}");
    }
}

impl Actor for Fragile {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.here(Fault::Started);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.here(Fault::Stopped);
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.here(Fault::Drop);
    }
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("a payload was dropped");
    }
}

impl Handler<LineReceived> for Fragile {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        if event.line.as_bytes() != b"panic" {
            self.client.send_line(&event.line).unwrap();
            return;
        }
        self.here(Fault::Line);
        match self.fault {
            Fault::Payload => panic_any(PanicsWhenDropped),
            Fault::Later => {
                ctx.run_later(Duration::from_millis(5), |session, _| {
                    session.here(Fault::Later);
                });
            }
            Fault::AfterClose => {
                self.client.close();
                panic!("in AfterClose");
            }
            _ => {
                self.client.close();
            }
        }
    }
}

impl Handler<Closed> for Fragile {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        self.here(Fault::Closed);
    }
}

session!(Fragile);

/// The next failure of a session that the pool tells.
async fn failure(
    events: &mut mpsc::UnboundedReceiver<PoolEvent>,
) -> (ClientId, Option<&'static str>, String) {
    next_pool_event(events, |event| match event {
        PoolEvent::SessionFailed {
            client,
            event,
            text,
        } => Some((*client, *event, text.clone())),
        _ => None,
    })
    .await
}

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

/// One actor that serves many connections through [`Handlers`]. It answers lines, panics at the line
/// `panic`, stops at `stop`, and passes on what it is told.
struct Desk {
    clients: HashMap<ClientId, Client>,
    told: mpsc::UnboundedSender<ClientEvent>,
}

impl Desk {
    fn new(told: mpsc::UnboundedSender<ClientEvent>) -> Self {
        Self {
            clients: HashMap::new(),
            told,
        }
    }
}

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Supervised for Desk {}

impl Handler<Accepted> for Desk {
    type Result = ();

    fn handle(&mut self, event: Accepted, _: &mut Self::Context) {
        self.clients.insert(event.client, event.handle.clone());
        let _ = self.told.send(ClientEvent::Accepted(event));
    }
}

impl Handler<LineReceived> for Desk {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        match event.line.as_bytes() {
            b"panic" => panic!("the desk falls over"),
            b"stop" => ctx.stop(),
            _ => {
                let _ = self.clients[&event.client].send_line(&event.line);
            }
        }
    }
}

impl Handler<Closed> for Desk {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.clients.remove(&event.client);
        let _ = self.told.send(ClientEvent::Closed(event));
    }
}

session!(Desk);

/// Starts an actor that survives its panics, as a supervisor of the user's own would.
fn start_surviving<A>(actor: A) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let mut future = Context::new().into_future(actor);
    let address = future.address();
    actix_rt::spawn(std::future::poll_fn(move |cx| {
        loop {
            let poll = AssertUnwindSafe(|| Future::poll(Pin::new(&mut future), cx));
            match catch_unwind(poll) {
                Ok(poll) => return poll,
                Err(_) if future.restart() => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    }));
    address
}

/// Writes and reads back, beside the actors of this thread.
async fn say(stream: &TcpStream, bytes: &'static [u8]) -> Vec<u8> {
    let mut stream = stream.try_clone().unwrap();
    peer(move || exchange(&mut stream, bytes)).await
}

/// Everything until the end, read beside the actors of this thread.
async fn rest(stream: &TcpStream) -> Vec<u8> {
    let mut stream = stream.try_clone().unwrap();
    peer(move || read_all(&mut stream)).await
}

fn all_to(desk: &Addr<Desk>) -> Handlers {
    Handlers::new()
        .accepted(desk.clone().recipient())
        .line(desk.clone().recipient())
        .closed(desk.clone().recipient())
}

/// Three peers of one desk, accepted in this order.
async fn three<S: IntoSession>(
    pool: &Pool,
    trace: &mut Trace,
    session: impl Fn(Client) -> S + Send + Sync + 'static,
) -> (Server, Vec<TcpStream>, Vec<ClientId>) {
    let server = pool.listen(local().lines(), session).await.unwrap();
    let (mut peers, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        peers.push(dial(server.local_addr()));
        ids.push(expect!(trace, Accepted).client);
    }
    for stream in &peers {
        assert_eq!(say(stream, b"hello\n").await, b"hello\n");
    }
    (server, peers, ids)
}

/// XAS-22, T-06: three connections share one actor, which panics at a line of the second and lives.
#[test]
fn a_panic_of_a_shared_handler_ends_the_connection_that_caused_it() {
    with_pool(|pool| async move {
        let mut events = watch(&pool);
        let (told, mut trace) = trace();
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
        let (told, mut trace) = trace();
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
        let (told, mut trace) = trace();
        let handlers = all_to(&Desk::new(told).start());
        let (_, mut peers, ids) = three(&pool, &mut trace, move |_| handlers.clone()).await;
        // The desk is on this thread, and waits for as long as this does not await.
        peers[1].write_all(b"panic\n").unwrap();
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

/// T-06: the same for an address of a session.
#[test]
fn a_shared_session_that_dies_takes_its_connections_with_it() {
    let totals = with_pool(|pool| async move {
        let mut events = watch(&pool);
        let (told, mut trace) = trace();
        let desk = Desk::new(told).start();
        let (_, mut peers, ids) = three(&pool, &mut trace, move |_| desk.clone()).await;
        peers[1].write_all(b"panic\n").unwrap();
        assert_eq!(rest(&peers[1]).await, b"");
        let told = failure(&mut events).await;
        assert_eq!((told.0, told.1), (ids[1], Some("LineReceived")));
        assert_eq!(told.2, "the desk falls over");
        for number in [0, 2] {
            peers[number].write_all(b"anybody?\n").unwrap();
            assert_eq!(rest(&peers[number]).await, b"");
        }
        // A connection for an actor that is gone is closed as it opens.
    });
    assert_eq!(totals.closed, [1, 2, 0, 0]);
}

/// An address that serves many: the events of all of them come to one actor, each with its id.
#[test]
fn one_address_serves_many_connections() {
    let totals = with_pool(|pool| async move {
        let (told, mut trace) = trace();
        let desk = Desk::new(told).start();
        let address = desk.clone();
        let (_, peers, ids) = three(&pool, &mut trace, move |_| address.clone()).await;
        drop(peers);
        let mut closed: Vec<_> = [
            expect!(trace, Closed),
            expect!(trace, Closed),
            expect!(trace, Closed),
        ]
        .iter()
        .map(|event| event.client)
        .collect();
        closed.sort();
        assert_eq!(closed, ids);
        assert!(desk.connected(), "it is the user's, and stays");
    });
    assert_eq!(totals.closed, [0, 0, 3, 0]);
}

/// A dead address is nobody to give a connection to (XAS-26).
#[test]
fn a_connection_for_an_actor_that_is_gone_ends_at_once() {
    with_pool(|pool| async move {
        let (told, _trace) = trace();
        let desk = Desk::new(told).start();
        let gone: WeakAddr<Desk> = desk.downgrade();
        let address = desk.clone();
        let server = pool
            .listen(local().lines(), move |_| address.clone())
            .await
            .unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"stop\n").unwrap();
        assert_eq!(rest(&stream).await, b"");
        until(|| server.info().closed == [0, 1, 0, 0]).await;
        let late = dial(server.local_addr());
        assert_eq!(rest(&late).await, b"");
        until(|| server.info().closed == [0, 2, 0, 0]).await;
        assert!(!desk.connected() && gone.upgrade().is_none_or(|desk| !desk.connected()));
    });
}

/// Only data, and nothing else.
struct OnlyData {
    client: Client,
}

impl Actor for OnlyData {
    type Context = Context<Self>;
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
            let (told, mut trace) = trace();
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
        let (told, mut trace) = trace();
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
        let (told, mut trace) = trace();
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

/// Says good-bye and goes, without closing anything.
struct Leaves {
    client: Client,
    told: mpsc::UnboundedSender<&'static str>,
}

impl Actor for Leaves {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        let _ = self.told.send("stopped");
    }
}

impl Handler<LineReceived> for Leaves {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        if event.line.as_bytes() == b"leave" {
            self.client.send(vec![b'x'; 3_000_000]).unwrap();
            ctx.stop();
        } else {
            let _ = self.told.send("line");
        }
    }
}

impl Handler<Closed> for Leaves {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        let _ = self.told.send("closed");
    }
}

session!(Leaves);

/// A session that stops itself: what it has sent is sent, then the connection is closed by us. What
/// comes after that is told to nobody.
#[test]
fn a_session_that_stops_itself_closes_its_connection_after_flushing() {
    let (told, mut seen) = mpsc::unbounded_channel();
    let totals = with_pool(|pool| async move {
        let make = move |client| Leaves {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"leave\nunheard\nunheard\n").unwrap();
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got.len(), 3_000_000);
        until(|| server.info().closed == [0, 1, 0, 0]).await;
    });
    assert_eq!(totals.closed, [0, 1, 0, 0]);
    assert_eq!(seen.try_recv(), Ok("stopped"));
    assert!(seen.try_recv().is_err());
}

/// A session that lives for one connection ends after its `Closed`, and not before.
#[test]
fn a_session_ends_after_it_was_told_the_end() {
    let (told, mut seen) = mpsc::unbounded_channel();
    with_pool(|pool| async move {
        let make = move |client| Leaves {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"hello\n").unwrap();
        drop(stream);
        until(|| server.info().closed[2] == 1).await;
    });
    let order: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
    assert_eq!(order, ["line", "closed", "stopped"]);
}

/// Takes its time over the end, and has a timer that would keep it alive for ever.
struct Lasts {
    told: mpsc::UnboundedSender<&'static str>,
}

impl Actor for Lasts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_secs(3600), |_, _| {});
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let _ = self.told.send("stopped");
    }
}

impl Handler<Closed> for Lasts {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Closed, _: &mut Self::Context) -> Self::Result {
        let work = tokio::time::sleep(Duration::from_millis(5)).into_actor(self);
        AtomicResponse::new(Box::pin(work.map(|(), session, _| {
            let _ = session.told.send("closed");
        })))
    }
}

session!(Lasts);

/// A session whose last handler awaits is let finish, and ends then.
#[test]
fn a_session_that_awaits_in_closed_ends_after_that() {
    with_pool(|pool| async move {
        let (told, mut seen) = mpsc::unbounded_channel();
        let make = move |_| Lasts { told: told.clone() };
        let stream = serve_with(&pool, local().idle_timeout(SHORT), make).await;
        assert_eq!(rest(&stream).await, b"");
        for expected in ["closed", "stopped"] {
            let next = tokio::time::timeout(PATIENCE, seen.recv()).await;
            assert_eq!(next.expect("the session stays"), Some(expected));
        }
    });
}

/// XAS-21: values of the user's own, kept with the connection.
#[derive(Debug, Clone, PartialEq)]
struct Visits(Vec<String>);

#[derive(Debug, Clone, PartialEq)]
struct Name(&'static str);

struct Keeps {
    client: Client,
    told: mpsc::UnboundedSender<(Visits, Name)>,
}

impl Actor for Keeps {
    type Context = Context<Self>;
}

impl Handler<Accepted> for Keeps {
    type Result = ();

    fn handle(&mut self, event: Accepted, _: &mut Self::Context) {
        assert_eq!(event.handle.state::<Visits>(), None);
        assert_eq!(event.handle.set_state(Visits(Vec::new())), None);
        assert_eq!(event.handle.set_state(Name("first")), None);
        let earlier = event.handle.set_state(Name("second"));
        assert_eq!(earlier, Some(Name("first")), "one per type");
    }
}

impl Handler<LineReceived> for Keeps {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let count = self.client.with_state(|visits: &mut Visits| {
            visits.0.push(event.line.text().unwrap().into_owned());
            visits.0.len()
        });
        self.client.send(format!("{}\n", count.unwrap())).unwrap();
    }
}

impl Handler<Closed> for Keeps {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let visits = event.handle.take_state::<Visits>().unwrap();
        assert_eq!(event.handle.take_state::<Visits>(), None);
        let _ = self.told.send((visits, event.handle.state().unwrap()));
    }
}

session!(Keeps);

#[test]
fn xas_21_state_is_kept_from_accepted_to_closed() {
    with_pool(|pool| async move {
        let (told, mut seen) = mpsc::unbounded_channel();
        let make = move |client| Keeps {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut first = dial(server.local_addr());
        assert_eq!(exchange(&mut first, b"a\n"), b"1\n");
        assert_eq!(exchange(&mut first, b"b\n"), b"2\n");
        let mut second = dial(server.local_addr());
        assert_eq!(exchange(&mut second, b"c\n"), b"1\n", "each has its own");
        drop(first);
        let kept = tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap();
        let visits = Visits(vec!["a".into(), "b".into()]);
        assert_eq!(kept, Some((visits, Name("second"))));
    });
}

/// XAS-66: slots bound the connections of all listeners that share them.
#[test]
fn xas_66_two_servers_share_four_slots() {
    let slots = BufferSlots::new(4, 4096, true).unwrap();
    let shared = slots.clone();
    with_pool(|pool| async move {
        let mut events = watch(&pool);
        let listen = || {
            local()
                .lines()
                .slots(shared.clone())
                .at_limit(AtLimit::Reject)
        };
        let make = |client| Echo { client };
        let one = pool.listen(listen(), make).await.unwrap();
        let two = pool.listen(listen(), make).await.unwrap();
        let mut first = dial(one.local_addr());
        let mut second = dial(two.local_addr());
        assert_eq!(exchange(&mut first, b"1\n"), b"1\n");
        assert_eq!(exchange(&mut second, b"2\n"), b"2\n");
        assert_eq!(shared.available(), 0);
        for server in [&one, &two] {
            let mut third = dial(server.local_addr());
            assert_eq!(read_all(&mut third), b"");
            let rejected = next_pool_event(&mut events, |event| match event {
                PoolEvent::AcceptRejected { server, peer_addr } => Some((*server, *peer_addr)),
                _ => None,
            });
            let peer_addr = third.local_addr().ok();
            assert_eq!(rejected.await, (server.id(), peer_addr));
        }
        // A place that the first listener gives back is one for the second.
        drop(first);
        until(|| shared.available() == 2).await;
        let mut third = dial(two.local_addr());
        assert_eq!(exchange(&mut third, b"3\n"), b"3\n");
        assert_eq!(shared.available(), 0);
        assert_eq!((one.info().rejected, two.info().rejected), (1, 1));
    });
    assert_eq!(slots.available(), 4, "every slot came back");
}

/// T-23: slots come back on every path, a panic included.
#[test]
fn t_23_slots_come_back_from_connections_that_fail() {
    let slots = BufferSlots::new(2, 256, false).unwrap();
    let shared = slots.clone();
    with_pool(|pool| async move {
        for fault in [Fault::Line, Fault::Started, Fault::Drop, Fault::Closed] {
            let make = move |client| Fragile { client, fault };
            let listen = local().lines().slots(shared.clone());
            let server = pool.listen(listen, make).await.unwrap();
            let mut stream = dial(server.local_addr());
            stream.write_all(b"panic\n").unwrap();
            assert_eq!(read_all(&mut stream), b"");
            drop(stream);
            until(|| shared.available() == 2).await;
        }
        let (mut stream, client, _trace) =
            serve(&pool, local().lines().slots(shared.clone())).await;
        // With the send slot away: lent out, and being sent.
        let mut slot = client.take_send_slot().unwrap();
        slot[..3].copy_from_slice(b"abc");
        slot.send(3, None).unwrap();
        assert_eq!(read_exact(&mut stream, 3), b"abc");
        let lent = client.take_send_slot().unwrap();
        client.abort();
        until(|| shared.available() == 2).await;
        drop(lent);
        assert_eq!(shared.available(), 2);
    });
    assert_eq!(slots.available(), 2);
}

/// XAS-68: every error of the crate turns into the one that covers them all, and says in one line
/// what was wrong.
#[test]
fn xas_68_each_error_is_produced_and_covered() {
    let mut seen: Vec<Error> = Vec::new();
    // Without a system around it a pool with threads cannot start.
    seen.push(Pool::builder().shards(1).start().unwrap_err().into());
    assert!(matches!(seen[0], Error::Start(StartError::NoSystem)));
    seen.push(Pool::builder().shards(1 << 20).start().unwrap_err().into());
    seen.push(BufferSlots::new(0, 256, true).unwrap_err().into());
    seen.push(BufferSlots::new(1, 255, true).unwrap_err().into());
    assert!(matches!(seen[2], Error::Slots(SlotsError::NoSlots)));
    seen.push(Fifo::<u8>::new().get().unwrap_err().into());
    seen.push(Encoding::for_label("klingon").unwrap_err().into());
    let told = &mut seen;
    with_pool(|pool| async move {
        let seen = told;
        // A server that cannot be.
        let make = |client| Echo { client };
        for (listen, phase) in [
            (local().lines().backlog(0), ListenPhase::Options),
            (
                Listen::tcp("no.such.name.invalid:1").lines(),
                ListenPhase::Resolve,
            ),
            (Listen::tcp("192.0.2.1:1").lines(), ListenPhase::Bind),
        ] {
            let error = pool.listen(listen, make).await.unwrap_err();
            assert_eq!(error.phase, phase, "{error}");
            seen.push(error.into());
        }
        // A connection that cannot be.
        let (listener, closed) = listener();
        drop(listener);
        let zero = Duration::ZERO;
        for (connect, phase) in [
            (Connect::tcp(closed).timeout(zero), ConnectPhase::Options),
            (
                Connect::tcp("no.such.name.invalid:1"),
                ConnectPhase::Resolve,
            ),
            (
                Connect::tcp(closed).local_addr("192.0.2.1:0".parse().unwrap()),
                ConnectPhase::Local,
            ),
            (Connect::tcp(closed), ConnectPhase::Connect),
        ] {
            let connecting = pool.connect(connect.lines(), |client| Echo { client });
            let error = connecting.await.unwrap_err();
            assert_eq!(error.phase, phase, "{error}");
            seen.push(error.into());
        }
        // Settings that cannot be.
        for change in [
            |listen: &mut Listen| listen.config_mut().recv_buffer = 1,
            |listen: &mut Listen| listen.config_mut().max_message = usize::MAX,
            |listen: &mut Listen| listen.config_mut().flush_timeout = Duration::ZERO,
            |listen: &mut Listen| listen.config_mut().write_high = 1,
        ] {
            let mut listen = local().lines();
            change(&mut listen);
            let error: ConfigError = listen.config_mut().validate().unwrap_err();
            seen.push(error.into());
            let error = pool.listen(listen, make).await.unwrap_err();
            assert_eq!(error.phase, ListenPhase::Options);
        }
        // A connection that is asked for what it cannot do.
        let listen = local().write_capacity(MIB).max_message(100);
        let (stream, client, mut trace) = serve(&pool, listen).await;
        let refusals = [
            client.send("").unwrap_err().refusal,
            client.send(vec![0; 2 * MIB]).unwrap_err().refusal,
            client.send_msg(vec![0; 101], None).unwrap_err().refusal,
        ];
        assert_eq!(refusals[0], SendRefusal::Empty);
        assert!(matches!(refusals[1], SendRefusal::Full { .. }));
        assert!(matches!(refusals[2], SendRefusal::MessageTooLong { .. }));
        seen.extend(refusals.map(Error::from));
        let too_much = std::num::NonZeroUsize::new(17 * MIB).unwrap();
        let five = std::num::NonZeroUsize::new(5).unwrap();
        for receive in [
            RecvData::exact(too_much),
            RecvData::exact(five).timeout(Duration::ZERO),
        ] {
            seen.push(client.arm(receive).unwrap_err().into());
        }
        let empty = client.arm(RecvUntil::delimiter("")).unwrap_err();
        assert_eq!(empty, ArmError::EmptyDelimiter);
        seen.push(empty.into());
        client.arm(RecvLine::once()).unwrap();
        let twice = client.arm(RecvLine::once()).unwrap_err();
        assert_eq!(twice, ArmError::AlreadyReceiving);
        seen.push(twice.into());
        assert!(client.cancel_recv());
        let slot = client.take_send_slot().unwrap();
        let busy = client.take_send_slot().unwrap_err();
        assert_eq!(busy, SlotError::Busy);
        seen.push(busy.into());
        let bad = slot.send(0, None).unwrap_err();
        assert!(matches!(bad, SlotError::BadSize { asked: 0, .. }));
        seen.push(bad.into());
        seen.push(
            client
                .set_write_limits(Some(1), Some(2))
                .unwrap_err()
                .into(),
        );
        client.write_eof().unwrap();
        let finished = client.send("x").unwrap_err();
        assert_eq!(finished.refusal, SendRefusal::WriteClosed);
        assert_eq!(finished.payload, "x", "what was refused comes back");
        seen.push(finished.into());
        client.close();
        drop(stream);
        expect!(trace, Closed);
        seen.push(client.arm(RecvLine::once()).unwrap_err().into());
        let slot = client.take_send_slot().unwrap_err();
        assert_eq!(slot, SlotError::Refused(SendRefusal::Closed));
        seen.push(slot.into());

        // A peer that has finished, with a session that keeps the connection open.
        let (stream, client, mut trace) = serve_full(&pool, local().lines()).await;
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        let error = client.arm(RecvLine::once()).unwrap_err();
        assert_eq!(error, ArmError::PeerFinished);
        seen.push(error.into());
        client.close();

        // More notices than may wait, behind bytes that the peer does not take.
        let (_stream, client, _trace) = serve(&pool, local()).await;
        client.send(vec![0; 12 * MIB]).unwrap();
        let refused = (0..100_000_u64).find_map(|n| client.send_with("x", n).err());
        let refused = refused.unwrap();
        assert!(refused.is_full());
        assert!(matches!(
            refused.refusal,
            SendRefusal::TooManyNotices { limit: 65_536 }
        ));
        seen.push(refused.into());
        client.abort();

        // A pool that is stopped.
        pool.stop().await;
        seen.push(pool.status().await.unwrap_err().into());
        let error = pool.listen(local().lines(), make).await.unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::NotConnected);
        let connecting = pool.connect(Connect::tcp(closed).lines(), |client| Echo { client });
        assert!(connecting.await.is_err());
    });
    seen.push(std::io::Error::other("the system's own").into());
    assert!(seen.len() > 30);
    for error in seen {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        assert!(text.starts_with(|c: char| !c.is_uppercase()), "{text}");
    }
}

/// The middle one: what the machine does besides may stretch a few.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Answers each line after having blocked its thread for as many milliseconds as the line says.
struct Slow {
    client: Client,
}

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Slow {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let time = event.line.text().unwrap().parse().unwrap();
        // The work that this test is about.
        std::thread::sleep(Duration::from_millis(time));
        let _ = self.client.send_line(&event.line);
    }
}

session!(Slow);

/// XAS-10.
#[test]
fn xas_10_a_slow_handler_delays_nobody_on_another_shard() {
    with(Pool::builder().shards(2), |pool| async move {
        let make = |client| Slow { client };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut slow = dial(server.local_addr());
        let mut quick = dial(server.local_addr());
        assert_eq!(exchange(&mut slow, b"0\n"), b"0\n");
        assert_eq!(exchange(&mut quick, b"0\n"), b"0\n");
        let shards: Vec<_> = pool
            .connections()
            .await
            .unwrap()
            .iter()
            .map(|info| info.id.shard())
            .collect();
        assert_ne!(shards[0], shards[1], "they live on different threads");
        let start = Instant::now();
        slow.write_all(b"1000\n").unwrap();
        let times = peer(move || {
            let one = |_| {
                let start = Instant::now();
                assert_eq!(exchange(&mut quick, b"0\n"), b"0\n");
                start.elapsed()
            };
            (0..20).map(one).collect()
        })
        .await;
        assert!(start.elapsed() < Duration::from_millis(1000));
        let usual = median(times);
        assert!(usual < Duration::from_millis(50), "{usual:?}");
        let got = peer(move || read_exact(&mut slow, 5)).await;
        assert_eq!(got, b"1000\n");
        assert!(start.elapsed() >= Duration::from_millis(1000));
    });
}

/// Checks that numbered lines come in order, and answers each.
struct InOrder {
    client: Client,
    next: u32,
}

impl Actor for InOrder {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for InOrder {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        assert_eq!(event.line.text().unwrap(), self.next.to_string());
        self.next += 1;
        self.client.send_line(&event.line).unwrap();
    }
}

session!(InOrder);

/// XAS-09, T-26.
#[test]
fn xas_09_order_within_a_connection_is_strict_on_any_number_of_shards() {
    const LINES: u32 = 2_000;
    const PEERS: usize = 8;
    for shards in [0, 1, 2, 4] {
        let totals = with(Pool::builder().shards(shards), |pool| async move {
            let make = |client| InOrder { client, next: 0 };
            let server = pool.listen(local().lines(), make).await.unwrap();
            let address = server.local_addr();
            let talk = move || {
                let mut stream = dial(address);
                let mut writer = stream.try_clone().unwrap();
                let lines: String = (0..LINES).map(|n| format!("{n}\n")).collect();
                let expected = lines.clone();
                let writing = std::thread::spawn(move || {
                    for piece in lines.as_bytes().chunks(777) {
                        writer.write_all(piece).unwrap();
                    }
                });
                let got = read_exact(&mut stream, expected.len());
                writing.join().unwrap();
                assert!(got == expected.as_bytes(), "the answers are out of order");
            };
            let peers: Vec<_> = (0..PEERS).map(|_| std::thread::spawn(talk)).collect();
            peer(|| {
                for peer in peers {
                    peer.join().unwrap();
                }
            })
            .await;
            let info = server.info();
            assert_eq!(info.accepted, PEERS as u64);
        });
        assert_eq!(totals.closed[0], 0, "a session was told something else");
    }
}

/// Stops the pool at the first line.
struct Stops {
    client: Client,
    told: mpsc::UnboundedSender<ClientId>,
}

impl Actor for Stops {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Stops {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        self.client.send("stopping\n").unwrap();
        drop(self.client.pool().stop());
    }
}

impl Handler<Closed> for Stops {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        assert_eq!(event.detail.cause, Cause::PoolStopped);
        let _ = self.told.send(event.client);
    }
}

session!(Stops);

/// XAS-11, T-25.
#[test]
fn xas_11_a_stop_from_inside_a_handler_completes_and_tells_everybody() {
    let (told, mut seen) = mpsc::unbounded_channel();
    with(Pool::builder().shards(2), |pool| async move {
        let make = move |client| Stops {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut peers: Vec<_> = (0..10).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().accepted == 10).await;
        let start = Instant::now();
        peers[3].write_all(b"now\n").unwrap();
        let totals = pool.stopped().await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(totals.closed, [0, 10, 0, 0]);
        assert!(!pool.is_running());
        for (number, stream) in peers.iter_mut().enumerate() {
            let last = if number == 3 { &b"stopping\n"[..] } else { b"" };
            assert_eq!(read_all(stream), last);
        }
    });
    let mut closed: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
    closed.sort();
    closed.dedup();
    assert_eq!(closed.len(), 10);
}

/// AC-02.
#[test]
fn ac_02_stopping_one_pool_leaves_another_alone() {
    with_pool(|pool| async move {
        let other = Pool::builder().name("other").shards(1).start().unwrap();
        let make = |client| Echo { client };
        let stays = pool.listen(local().lines(), make).await.unwrap();
        let goes = other.listen(local().lines(), make).await.unwrap();
        let mut here = dial(stays.local_addr());
        let mut there = dial(goes.local_addr());
        assert_eq!(exchange(&mut here, b"1\n"), b"1\n");
        assert_eq!(exchange(&mut there, b"2\n"), b"2\n");
        let totals = other.stop().await;
        assert_eq!(totals.closed, [0, 1, 0, 0]);
        assert_eq!(read_all(&mut there), b"");
        assert!(TcpStream::connect(goes.local_addr()).is_err());
        assert_eq!(exchange(&mut here, b"3\n"), b"3\n");
        let mut fresh = dial(stays.local_addr());
        assert_eq!(exchange(&mut fresh, b"4\n"), b"4\n");
        assert!(pool.is_running() && !other.is_running());
    });
}

/// A handler that awaits before the next event may come.
struct Awaits {
    client: Client,
    inside: Arc<Mutex<u32>>,
}

impl Actor for Awaits {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Awaits {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) -> Self::Result {
        *self.inside.lock().unwrap() += 1;
        let work = tokio::time::sleep(Duration::from_millis(2)).into_actor(self);
        AtomicResponse::new(Box::pin(work.map(move |(), session, _| {
            let mut inside = session.inside.lock().unwrap();
            assert_eq!(*inside, 1, "another line came meanwhile");
            *inside -= 1;
            session.client.send_line(&event.line).unwrap();
        })))
    }
}

session!(Awaits);

/// Events behind a handler that awaits wait for it, and none of them is lost.
#[test]
fn events_wait_for_a_handler_that_awaits() {
    with_pool(|pool| async move {
        let make = |client| Awaits {
            client,
            inside: Arc::default(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
        stream.write_all(lines.as_bytes()).unwrap();
        let length = lines.len();
        let got = peer(move || read_exact(&mut stream, length)).await;
        assert_eq!(got, lines.as_bytes());
    });
}

/// DESIGN 3.8: however many messages one connection's actor gets, others have their turn.
#[test]
fn a_flood_of_messages_to_one_connection_starves_nobody() {
    with_pool(|pool| async move {
        let (_flooded, client, _trace) = serve(&pool, local().lines()).await;
        let server = pool
            .listen(local().lines(), |client| Echo { client })
            .await
            .unwrap();
        let mut neighbour = dial(server.local_addr());
        assert_eq!(exchange(&mut neighbour, b"hello\n"), b"hello\n");
        let address = client.addr().unwrap();
        let flood = std::thread::spawn(move || {
            for _ in 0..300_000 {
                address.do_send(GetInfo {});
            }
            address
        });
        let times = peer(move || {
            let mut times = Vec::new();
            while !flood.is_finished() {
                let start = Instant::now();
                assert_eq!(exchange(&mut neighbour, b"here\n"), b"here\n");
                times.push(start.elapsed());
            }
            flood.join().unwrap();
            times
        })
        .await;
        assert!(times.len() > 10, "{} turns in all", times.len());
        let usual = median(times);
        assert!(usual < Duration::from_millis(50), "{usual:?}");
    });
}

/// One span or event, as a subscriber sees it.
#[derive(Debug, Clone)]
struct Logged {
    /// The span's name, or the event's message.
    name: String,
    level: tracing::Level,
    target: String,
    fields: BTreeMap<String, String>,
    /// The spans around it, the innermost first, each with its id field.
    within: Vec<(String, String)>,
}

/// Keeps everything that is logged.
#[derive(Clone, Default)]
struct Log {
    spans: Arc<Mutex<Vec<Logged>>>,
    events: Arc<Mutex<Vec<Logged>>>,
}

/// The id field of a span, kept with it.
struct IdField(String);

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

fn logged(
    metadata: &tracing::Metadata<'_>,
    fields: Fields,
    within: Vec<(String, String)>,
) -> Logged {
    Logged {
        name: metadata.name().into(),
        level: *metadata.level(),
        target: metadata.target().into(),
        fields: fields.0,
        within,
    }
}

impl<S> Layer<S> for Log
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        ctx: layer::Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = ctx.span(id).unwrap();
        let own = fields.0.get("id").cloned().unwrap_or_default();
        span.extensions_mut().insert(IdField(own));
        let within = span.parent().map(|parent| around(parent.scope()));
        let span = logged(attributes.metadata(), fields, within.unwrap_or_default());
        self.spans.lock().unwrap().push(span);
    }

    fn on_event(&self, event: &tracing::Event<'_>, ctx: layer::Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let within = ctx.event_scope(event).map(around).unwrap_or_default();
        let message = fields.0.remove("message").unwrap_or_default();
        let mut event = logged(event.metadata(), fields, within);
        event.name = message;
        self.events.lock().unwrap().push(event);
    }
}

fn around<'a, S: LookupSpan<'a>>(scope: registry::Scope<'a, S>) -> Vec<(String, String)> {
    scope
        .map(|span| {
            let id = span.extensions().get::<IdField>().unwrap().0.clone();
            (span.name().into(), id)
        })
        .collect()
}

/// The rows of the tables in the documentation of `telemetry`: names, level, fields.
fn documented() -> Vec<(Vec<String>, String, Vec<String>)> {
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    include_str!("../actors/src/telemetry.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"))
        .map(|row| {
            let mut cells = row.split(" | ");
            let names = quoted(&format!("`{}", cells.next().unwrap()));
            let level = cells.next().unwrap().to_owned();
            (names, level, quoted(cells.next().unwrap()))
        })
        .collect()
}

/// STYLE 7: what `telemetry` says is what is logged, under spans that tell whose it is, and nothing
/// that a peer has sent is ever in it.
#[test]
fn the_telemetry_table_is_true_and_no_payload_is_logged() {
    const SECRET: &str = "do-not-log-this";
    if !alone("the_telemetry_table_is_true_and_no_payload_is_logged") {
        return;
    }
    let log = Log::default();
    let subscriber = tracing_subscriber::registry().with(log.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    with(
        Pool::builder().shards(1).name("watched"),
        |pool| async move {
            let secret = format!("{SECRET}\n");
            let fault = Fault::Line;
            let listen = local().lines().max_connections(3).at_limit(AtLimit::Reject);
            let make = move |client| Fragile { client, fault };
            let server = pool.listen(listen, make).await.unwrap();
            let mut peers: Vec<_> = (0..3).map(|_| dial(server.local_addr())).collect();
            for stream in &mut peers {
                assert_eq!(exchange(stream, secret.as_bytes()), secret.as_bytes());
            }
            assert_eq!(read_all(&mut dial(server.local_addr())), b"");
            peers[0].write_all(b"panic\n").unwrap();
            assert_eq!(read_all(&mut peers[0]), b"");
            reset_on_close(&peers[1]);
            peers[1].write_all(SECRET.as_bytes()).unwrap();
            drop(peers);
            until(|| server.info().live == 0).await;

            let (there, address) = listener();
            let connecting = pool.connect(Connect::tcp(address).lines(), |client| Echo { client });
            let (mut stream, _) = there.accept().unwrap();
            let client = connecting.await.unwrap();
            assert_eq!(exchange(&mut stream, secret.as_bytes()), secret.as_bytes());
            let failing = client.with_socket(|_| -> () { panic!("with the socket") });
            assert_eq!(failing.await, None);
            drop(there);
            let refused = pool.connect(Connect::tcp(address).lines(), |client| Echo { client });
            refused.await.unwrap_err();

            let (told, _trace) = trace();
            let closed = Handlers::new().closed(Desk::new(told).start().recipient());
            let stream = serve_with(&pool, local().lines(), move |_| closed.clone()).await;
            assert_eq!(rest(&stream).await, b"");
        },
    );
    let (spans, events) = (log.spans.lock().unwrap(), log.events.lock().unwrap());
    let ours = |logged: &&Logged| logged.target.starts_with("switchboard");
    let documented = documented();
    assert_eq!(documented.len(), 17, "the tables are found");
    for logged in spans.iter().chain(events.iter()).filter(ours) {
        assert_eq!(logged.target, "switchboard");
        assert!(!format!("{logged:?}").contains(SECRET), "{logged:?}");
        let named = |name: &String| match name.as_str() {
            // Its counters follow.
            "pool stopped" => logged.name.starts_with(name),
            name => name == logged.name,
        };
        let (_, level, fields) = documented
            .iter()
            .find(|(names, ..)| names.iter().any(named))
            .unwrap_or_else(|| panic!("{logged:?} is not documented"));
        assert_eq!(logged.level.to_string().to_lowercase(), *level);
        let known = |field: &String| fields.contains(field);
        assert!(logged.fields.keys().all(known), "{logged:?}");
    }
    let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((count("pool"), count("server")), (1, 2));
    assert_eq!(
        count("connection"),
        6,
        "three and one came in, two went out"
    );
    for span in spans.iter().filter(ours) {
        let (_, _, fields) = documented
            .iter()
            .find(|(names, ..)| names.contains(&span.name))
            .unwrap();
        assert_eq!(span.fields.len(), fields.len(), "{span:?}");
        let outermost = span.within.last().map(|(name, _)| name.as_str());
        assert_eq!(outermost.is_none(), span.name == "pool");
        assert!(outermost.is_none_or(|name| name == "pool"), "{span:?}");
    }
    let told = |name: &str| {
        let found: Vec<_> = events
            .iter()
            .filter(|event| event.name.starts_with(name))
            .collect();
        assert!(!found.is_empty(), "{name} is never told");
        found
    };
    for (name, times) in [
        ("listening", 2),
        ("listener closed", 2),
        ("peer rejected", 1),
        ("session panicked", 1),
        ("connected", 1),
        ("connection failed", 1),
        ("connection closed", 5),
        ("actor panicked", 1),
        ("not adopted", 1),
        ("pool stopping", 1),
        ("pool stopped", 1),
    ] {
        assert_eq!(told(name).len(), times, "{name}");
    }
    // What is told of a connection is told inside its span.
    for name in ["connection closed", "connected", "session panicked"] {
        for event in told(name) {
            let (span, id) = &event.within[0];
            assert_eq!((span.as_str(), id), ("connection", &event.fields["id"]));
        }
    }
}
