//! Sessions: how a user's actor is attached, what it may do wrong, and that nobody else notices.

mod errors;
mod failures;
mod handlers;
mod lifetime;
mod panics;
mod shards;
mod shared;
mod slots;
mod telemetry;

use std::collections::HashMap;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use actix::Supervised;
use switchboard::IntoSession;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc;

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
    type Context = SessionContext<Self>;

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
            ..
        } => Some((*client, *event, text.clone())),
        _ => None,
    })
    .await
}

/// One actor that serves many connections through [`Handlers`]. It answers lines, panics at the line
/// `panic`, stops at `stop`, and passes on what it is told.
struct Desk {
    clients: HashMap<ClientId, Client>,
    told: Recorder,
}

impl Desk {
    fn new(told: Recorder) -> Self {
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
        self.told.record(event);
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
        self.told.record(event);
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
    trace: &mut Probe,
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
