//! A conversation over TLS in a world of its own, both sides in one pool: what each was told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::faults::{Action, Operation, Party};
use switchboard::testkit::{Faults, FaultyNet, Link, Simulation};
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{
    Cause, Client, Connect, ConnectError, ConnectionOptions, Listen, Pool, SessionContext, TlsError,
};
use tokio::time::sleep;

use crate::certificates::Authority;

/// Where the server listens.
pub const HOST: &str = "10.0.0.1:7000";
/// The server's end of the connection.
pub const SERVER: Party = Party::Accepted(0);
/// The client's end of the connection.
pub const CLIENT: Party = Party::Outbound(0);
/// In virtual time: longer than every timeout of a connection together.
const SETTLE: Duration = Duration::from_secs(300);

/// What the client says, and the server says again.
pub fn lines() -> Vec<String> {
    vec![
        "first".into(),
        "x".repeat(200),
        String::new(),
        "last".into(),
    ]
}

/// When it becomes TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// From the first byte.
    AtOnce,
    /// After a line that asks for it, and one that agrees.
    MidStream,
}

/// Both sides of TLS, made once for many conversations.
#[derive(Clone)]
pub struct Sides {
    /// Presents a certificate for 10.0.0.1.
    pub server: TlsServer,
    /// Trusts it.
    pub client: TlsClient,
}

impl Sides {
    /// Two that trust each other. Nothing is resumed, so every handshake is a whole one.
    pub fn new() -> Self {
        // Handshakes of one length each time: a byte of one has its place in all.
        let authority = Authority::of_fixed_sizes("test authority");
        let identity = authority.issue(&["10.0.0.1"]).identity();
        let server = TlsServer::builder(identity).resumption(false).build();
        let client = TlsClient::builder(authority.roots()).build();
        Self {
            server: server.unwrap(),
            client: client.unwrap(),
        }
    }

    /// Lets them talk.
    pub fn talk(&self, begin: Begin, faults: &Faults) -> Told {
        self.talk_over(Link::default(), begin, faults)
    }

    /// Lets them talk over a link.
    pub fn talk_over(&self, link: Link, begin: Begin, faults: &Faults) -> Told {
        let logs = (Log::default(), Log::default());
        let told = logs.clone();
        Simulation::seeded(0).link(link).run(|world| async move {
            let network = FaultyNet::new(world.net().clone(), faults.clone());
            let pool = Pool::builder().shards(0).network(network).start().unwrap();
            let (mut listen, mut connect) = (Listen::tcp(HOST), Connect::tcp(HOST));
            let (mut at_server, mut at_client) = (None, None);
            match begin {
                Begin::AtOnce => {
                    listen = listen.tls(self.server.clone());
                    connect = connect.tls(self.client.clone());
                }
                Begin::MidStream => {
                    at_server = Some(StartTls::server(self.server.clone()));
                    at_client = Some(StartTls::client(self.client.clone(), "10.0.0.1"));
                }
            }
            let idle = Duration::from_secs(20);
            let log = logs.0.clone();
            let listening = pool.listen(listen.idle_timeout(idle), move |client| {
                Talker::new(client, Role::Server, at_server.clone(), &log)
            });
            listening.await.unwrap();
            let log = logs.1.clone();
            let connecting = pool.connect(connect.idle_timeout(idle), move |client| {
                Talker::new(client, Role::Client, at_client.clone(), &log)
            });
            // Its session is told the same.
            let _ = connecting.await;
            sleep(SETTLE).await;
            let totals = pool.stop().await;
            assert_eq!(totals.live, 0, "{totals}");
            assert_eq!(
                totals.accepted + totals.connected,
                totals.closed_in_all(),
                "{totals}"
            );
        });
        Told {
            server: std::mem::take(&mut told.0.lock().unwrap()),
            client: std::mem::take(&mut told.1.lock().unwrap()),
        }
    }

    /// How many bytes one side reads in a conversation without faults.
    pub fn wire_length(&self, begin: Begin, side: Party) -> u64 {
        let read = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&read);
        let faults = Faults::none().on(side).script(move |_| {
            let seen = Arc::clone(&seen);
            move |operation| {
                if let Operation::Read { at, .. } = operation {
                    *seen.lock().unwrap() = at;
                }
                Action::Go
            }
        });
        self.talk(begin, &faults).assert_whole();
        let length = *read.lock().unwrap();
        assert!(length > 300, "{length}");
        length
    }
}

impl Default for Sides {
    fn default() -> Self {
        Self::new()
    }
}

/// What both sides were told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    /// The accepted connection; nothing if there was none.
    pub server: Vec<Event>,
    /// The outbound one.
    pub client: Vec<Event>,
}

/// One thing that a session was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was accepted or connected.
    Began,
    /// It is TLS now.
    Secured,
    /// A line.
    Line(String),
    /// The end, and the bytes that made no line.
    Closed(Cause, Vec<u8>),
    /// It never was a connection.
    Failed(ConnectError),
}

impl Eq for Event {}

impl Told {
    /// Whether everything was said, heard and ended in order.
    pub fn is_whole(&self) -> bool {
        let ends = [
            (&self.server, Cause::PeerFinished),
            (&self.client, Cause::LocalClose),
        ];
        ends.into_iter().all(|(told, cause)| {
            told.last() == Some(&Event::Closed(cause, Vec::new())) && said(told) == lines()
        })
    }

    /// Everything was said, heard and ended in order.
    #[track_caller]
    pub fn assert_whole(&self) {
        self.assert_honest();
        assert!(self.is_whole(), "{self:?}");
    }

    /// What holds whatever the network does: one beginning, one end, and in between nothing but a
    /// beginning of what was said, all of it protected.
    #[track_caller]
    pub fn assert_honest(&self) {
        for (told, plain) in [(&self.server, "starttls"), (&self.client, "go")] {
            let Some((last, before)) = told.split_last() else {
                // Nobody was accepted.
                continue;
            };
            assert!(is_end(last), "it has no end: {self:?}");
            assert!(!before.iter().any(is_end), "it ended twice: {self:?}");
            let secured = before.iter().position(|event| *event == Event::Secured);
            for (place, event) in before.iter().enumerate() {
                match event {
                    Event::Began => assert_eq!(place, 0, "{self:?}"),
                    Event::Line(line) if line == plain => {}
                    Event::Line(_) => {
                        assert!(secured.is_some_and(|secured| secured < place), "{self:?}");
                    }
                    _ => {}
                }
            }
            let said = said(told);
            assert!(lines().starts_with(&said), "not what was said: {self:?}");
            if let Event::Closed(_, unread) = last {
                let rest = lines()[said.len()..].join("\n");
                let rest = format!("{rest}\n").into_bytes();
                let plain = format!("{plain}\n").into_bytes();
                assert!(
                    rest.starts_with(unread) || secured.is_none() && plain.starts_with(unread),
                    "not what was said: {self:?}"
                );
            }
        }
    }

    /// The faults of TLS that ended it, at either side.
    pub fn tls_faults(&self) -> Vec<TlsError> {
        let ends = [&self.server, &self.client].map(|told| told.last());
        let fault = |end: &Event| match end {
            Event::Closed(Cause::Tls(fault), _) => Some(fault.clone()),
            Event::Failed(error) => error.tls.as_deref().cloned(),
            _ => None,
        };
        ends.into_iter().flatten().filter_map(fault).collect()
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::Closed(..) | Event::Failed(_))
}

/// The lines, without those that lead to TLS.
fn said(told: &[Event]) -> Vec<String> {
    let line = |event: &Event| match event {
        Event::Line(line) if !["starttls", "go"].contains(&line.as_str()) => Some(line.clone()),
        _ => None,
    };
    told.iter().filter_map(line).collect()
}

type Log = Arc<Mutex<Vec<Event>>>;

enum Role {
    Server,
    Client,
}

struct Talker {
    client: Client,
    role: Role,
    /// What is to be done before anything is said.
    upgrade: Option<StartTls>,
    heard: usize,
    log: Log,
}

impl Talker {
    fn new(client: Client, role: Role, upgrade: Option<StartTls>, log: &Log) -> Self {
        Self {
            client,
            role,
            upgrade,
            heard: 0,
            log: Arc::clone(log),
        }
    }

    fn note(&self, event: Event) {
        self.log.lock().unwrap().push(event);
    }

    /// Whoever is closing already needs no more lines, and takes none.
    fn listen(&self) {
        let _ = self.client.arm(RecvLine::once());
    }

    fn begin(&mut self) {
        self.note(Event::Began);
        match (&self.role, &self.upgrade) {
            (Role::Server, _) => {}
            (Role::Client, None) => self.speak(),
            (Role::Client, Some(_)) => self.say("starttls"),
        }
        self.listen();
    }

    fn speak(&self) {
        lines().iter().for_each(|line| self.say(line));
    }

    fn say(&self, line: &str) {
        // One that is lost by now tells its end.
        let _ = self.client.send_line(line);
    }
}

impl Actor for Talker {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Talker {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.begin();
    }
}

impl Handler<Connected> for Talker {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.begin();
    }
}

impl Handler<TlsStarted> for Talker {
    type Result = ();

    fn handle(&mut self, _: TlsStarted, _: &mut Self::Context) {
        self.note(Event::Secured);
    }
}

impl Handler<LineReceived> for Talker {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let line = String::from_utf8_lossy(&msg.line).into_owned();
        self.note(Event::Line(line.clone()));
        match (&self.role, self.upgrade.take()) {
            (Role::Server, Some(start)) => {
                self.say("go");
                // Refused when it is closing.
                let _ = self.client.start_tls(start);
            }
            (Role::Client, Some(start)) => {
                let _ = self.client.start_tls(start);
                self.speak();
            }
            (Role::Server, None) => self.say(&line),
            (Role::Client, None) => {
                self.heard += 1;
                if self.heard == lines().len() {
                    self.client.close();
                }
            }
        }
        self.listen();
    }
}

impl Handler<Closed> for Talker {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.note(Event::Closed(msg.detail.cause, msg.detail.unread.to_vec()));
    }
}

impl Handler<ConnectFailed> for Talker {
    type Result = ();

    fn handle(&mut self, msg: ConnectFailed, _: &mut Self::Context) {
        self.note(Event::Failed(*msg.error));
    }
}

switchboard::session!(Talker);
