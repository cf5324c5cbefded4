//! What is logged.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use actix::Running;
use actix_rt::Arbiter;
use switchboard::message::ClientEvent;
use switchboard::prelude::*;
use switchboard::tls::{TlsClient, TlsNetwork, TlsServer};
use switchboard::transport::{Network, TcpNetwork};
use switchboard::{
    Alarm, ChildSpec, ListenTarget, OnEscalation, Process, ReconnectConfig, SpawnProcess,
    Supervise, Suspend,
};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;
use tracing_subscriber::layer::{self, Layer, SubscriberExt};
use tracing_subscriber::registry::{self, LookupSpan};

use super::{Desk, Fault, Fragile, local, rest};

/// What peers send and nobody may log.
const SECRET: &str = "do-not-log-this";

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

impl Log {
    /// Whether this event was logged.
    fn has(&self, name: &str) -> bool {
        let events = self.events.lock().unwrap();
        events.iter().any(|event| event.name == name)
    }
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
    include_str!("../../actors/src/telemetry.rs")
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

/// Panics as soon as it runs, or never ends.
struct Hopeless {
    panics: bool,
}

impl Actor for Hopeless {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.panics {
            ctx.run_later(Duration::ZERO, |_, _| panic!("without hope"));
        }
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        Running::Continue
    }
}

/// A client that verifies nobody, and a server that writes down its keys and gets another certificate.
fn be_careless_with_tls() {
    let issued = certificates::self_signed(&["a.example"]);
    let client = TlsClient::danger_without_verification();
    client.build().unwrap();
    let server = TlsServer::builder(issued.identity()).key_log();
    let server = server.build().unwrap();
    server.reload(issued.identity()).unwrap();
}

/// Runs a child process, whose output is nobody's business.
async fn run_a_process(pool: &Pool) {
    let mut probe = Probe::new();
    let spawn = SpawnProcess::new("echo").arg(SECRET);
    let session = probe.session_for::<Process>();
    pool.spawn(spawn, session).await.unwrap();
    while !matches!(probe.next().await, ClientEvent::Closed(_)) {}
}

/// A connection that loses its link, tries twice, and gives up.
async fn lose_a_link(pool: &Pool) {
    let (there, address) = listener();
    let mut again = ReconnectConfig::default();
    again.backoff.min = Duration::from_millis(1);
    again.max_attempts = Some(3);
    let connect = Connect::tcp(address).lines().reconnect(again);
    let client = pool.connect(connect, |client| Echo { client }).await;
    drop(there);
    let client = client.unwrap();
    until(|| client.is_closed()).await;
}

/// A supervisor that starts a child again once, gives up, and has to kill another one.
async fn supervise_what_fails(pool: &Pool) {
    let stubborn = ChildSpec::actor("stubborn", || Hopeless { panics: false });
    let failing = ChildSpec::actor("failing", || Hopeless { panics: true });
    let house = Supervise::new("house")
        .child(stubborn.grace(Duration::from_millis(5)))
        .child(failing)
        .intensity(1, Duration::from_secs(60))
        .on_escalation(OnEscalation::StopChildren);
    let supervisor = pool.supervise(house).await.unwrap();
    until(|| !supervisor.is_running()).await;
}

/// Stops its thread's arbiter at one line, and blocks at another one until the test is done with it.
struct Trouble(Arc<Mutex<mpsc::Receiver<()>>>);

impl Actor for Trouble {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Trouble {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        if event.line.as_bytes() == b"stop" {
            Arbiter::current().stop();
        } else {
            // The blocking that the test is about.
            let _ = self.0.lock().unwrap().recv_timeout(PATIENCE);
        }
    }
}

session!(Trouble);

/// A pool whose only worker ends, is started again, and is left behind.
async fn trouble_a_worker() {
    let builder = Pool::builder().name("troubled").shards(0).workers(1);
    let pool = builder.start().unwrap();
    let (done, blocked) = mpsc::channel();
    let blocked = Arc::new(Mutex::new(blocked));
    let make = move |_| Trouble(Arc::clone(&blocked));
    let server = pool.listen(local().lines(), make).await.unwrap();
    let mut first = dial(server.local_addr());
    first.write_all(b"stop\n").unwrap();
    assert_eq!(rest(&first).await, b"");
    let mut second = dial(server.local_addr());
    second.write_all(b"block\n").unwrap();
    while pool.status().await.unwrap().workers[0].restarts == 0
        || pool.connections().await.unwrap()[0].activity.frames_in == 0
    {
        tokio::task::yield_now().await;
    }
    pool.stop_within(Duration::ZERO).await;
    done.send(()).unwrap();
}

/// A listener that is suspended and resumed, whose socket dies, and whose shard dies with a connection.
async fn fail_and_come_back(pool: &Pool) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listen = Listen::adopt(socket.try_clone().unwrap()).lines();
    let make = |client| Echo { client };
    let server = pool.listen(listen, make).await.unwrap();
    server.suspend(Suspend::StopAccepting).await.unwrap();
    server.resume().await.unwrap();
    let socket = socket2::SockRef::from(&socket)
        .shutdown(std::net::Shutdown::Both)
        .map(|()| socket);
    drop(socket);
    until(|| server.info().restarts == 1).await;
    let mut stream = dial(address);
    assert_eq!(exchange(&mut stream, b"line\n"), b"line\n");
    let clients = pool.connections().await.unwrap();
    let found = clients
        .iter()
        .find(|info| info.peer_addr == stream.local_addr().ok());
    let client = pool.connection(found.unwrap().id).await.unwrap();
    let stopping = client.with_socket(|_| actix_rt::Arbiter::current().stop());
    stopping.await;
    until(|| server.info().restarts == 2).await;
}

/// A peer that speaks no TLS to a network that does.
async fn fail_a_handshake(logs: &Log) {
    let authority = Authority::new("test authority");
    let server = TlsServer::builder(authority.issue(&["localhost"]).identity());
    let client = TlsClient::builder(authority.roots());
    let (server, client) = (server.build().unwrap(), client.build().unwrap());
    let network = TlsNetwork::new(TcpNetwork, server, client);
    let listening = network.listen(ListenTarget::new("127.0.0.1:0"));
    let mut listener = listening.await.unwrap();
    let mut peer = dial(listener.local_addr());
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut cx = TaskContext::from_waker(Waker::noop());
    until(|| {
        assert!(listener.poll_accept(&mut cx).is_pending());
        logs.has("handshake failed")
    })
    .await;
}

/// STYLE 7: what `telemetry` says is what is logged, under spans that tell whose it is, and nothing
/// that a peer has sent is ever in it.
#[test]
fn the_telemetry_table_is_true_and_no_payload_is_logged() {
    if !alone("telemetry::the_telemetry_table_is_true_and_no_payload_is_logged") {
        return;
    }
    let log = Log::default();
    let logs = log.clone();
    let subscriber = tracing_subscriber::registry().with(log.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    with(
        Pool::builder()
            .shards(1)
            .name("watched")
            .memory_budget(1 << 20),
        |pool| async move {
            let secret = format!("{SECRET}\n");
            let fault = Fault::Line;
            let listen = local().lines().max_connections(3).at_limit(AtLimit::Reject);
            let listen = listen.alarm(Alarm { high: 3, low: 0 });
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
            client.send(vec![0; 12 << 20]).unwrap();
            until(|| logs.has("memory pressure")).await;
            read_exact(&mut stream, 12 << 20);
            until(|| logs.has("memory relieved")).await;
            let failing = client.with_socket(|_| -> () { panic!("with the socket") });
            assert_eq!(failing.await, None);
            drop(there);
            let refused = pool.connect(Connect::tcp(address).lines(), |client| Echo { client });
            refused.await.unwrap_err();

            lose_a_link(&pool).await;
            run_a_process(&pool).await;
            supervise_what_fails(&pool).await;
            trouble_a_worker().await;
            be_careless_with_tls();
            fail_and_come_back(&pool).await;
            fail_a_handshake(&logs).await;

            let trace = Probe::new().partial();
            let told = trace.recorder();
            let closed = Handlers::new().closed(Desk::new(told).start().recipient());
            let stream = serve_with(&pool, local().lines(), move |_| closed.clone()).await;
            assert_eq!(rest(&stream).await, b"");
            pool.open_udp(BindUdp::send_only()).await.unwrap();
            pool.drain(Drain::within(Duration::ZERO).pace(1)).await;
        },
    );
    let (spans, events) = (log.spans.lock().unwrap(), log.events.lock().unwrap());
    let ours = |logged: &&Logged| logged.target.starts_with("switchboard");
    let documented = documented();
    assert_eq!(documented.len(), 47, "the tables are found");
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
    assert_eq!((count("pool"), count("server")), (2, 4));
    assert_eq!(
        count("connection"),
        12,
        "seven came in, three went out, a socket, a process"
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
        ("listening", 4),
        ("listener closed", 4),
        ("listener failed", 1),
        ("listener restarted", 3),
        ("listener suspended", 1),
        ("listener resumed", 1),
        ("shard failed", 1),
        ("shard restarted", 1),
        ("peer rejected", 1),
        ("alarm raised", 1),
        ("alarm cleared", 1),
        ("session panicked", 1),
        ("connected", 2),
        ("tls not verified", 1),
        ("tls key log", 1),
        ("tls reloaded", 1),
        ("disconnected", 1),
        ("reconnecting", 1),
        ("connection failed", 1),
        ("handshake failed", 1),
        ("connection closed", 11),
        ("opened", 2),
        ("process exited", 1),
        ("actor panicked", 1),
        ("child failed", 2),
        ("child restarted", 1),
        ("child killed", 1),
        ("escalated", 1),
        ("not adopted", 1),
        ("worker ended", 1),
        ("worker restarted", 1),
        ("worker left behind", 1),
        ("memory pressure", 1),
        ("memory relieved", 1),
        ("pool draining", 1),
        ("pool drained", 1),
        ("pool stopping", 2),
        ("pool stopped", 2),
    ] {
        assert_eq!(told(name).len(), times, "{name}");
    }
    // What is told of a connection is told inside its span.
    for name in [
        "connection closed",
        "connected",
        "session panicked",
        "process exited",
    ] {
        for event in told(name) {
            let (span, id) = &event.within[0];
            assert_eq!((span.as_str(), id), ("connection", &event.fields["id"]));
        }
    }
}
