//! Our side: an echo server over TLS, and a client that says one line. Both report what they are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use switchboard::prelude::*;
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{Background, Cause, ClosedDetail, ConnectError, ConnectPhase, TlsError, TlsInfo};
use switchboard_tests::PATIENCE;

/// What a session was told.
#[derive(Debug)]
pub enum Told {
    Secured(Arc<TlsInfo>),
    Data(Bytes),
    Closed(Box<ClosedDetail>),
    Failed(Box<ConnectError>),
}

/// Reports all that it is told; sends back what comes, or says something when TLS has started.
struct Witness {
    client: Client,
    /// `None`: sends back what comes.
    greeting: Option<&'static str>,
    told: Sender<Told>,
}

impl Witness {
    fn tell(&self, told: Told) {
        // A test that has seen enough no longer listens.
        let _ = self.told.send(told);
    }
}

impl Actor for Witness {
    type Context = SessionContext<Self>;
}

impl Handler<TlsStarted> for Witness {
    type Result = ();

    fn handle(&mut self, msg: TlsStarted, _: &mut Self::Context) {
        self.tell(Told::Secured(msg.tls));
        if let Some(greeting) = self.greeting {
            // Refused only when the connection is closing, here and below.
            let _ = self.client.send(greeting);
        }
    }
}

impl Handler<DataReceived> for Witness {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        if self.greeting.is_none() {
            let _ = self.client.send(msg.data.clone());
        }
        self.tell(Told::Data(msg.data));
    }
}

impl Handler<Closed> for Witness {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.tell(Told::Closed(msg.detail));
    }
}

impl Handler<ConnectFailed> for Witness {
    type Result = ();

    fn handle(&mut self, msg: ConnectFailed, _: &mut Self::Context) {
        self.tell(Told::Failed(msg.error));
    }
}

session!(Witness);

/// What our sessions were told.
pub struct Log(Receiver<Told>);

impl Log {
    /// The facts of the next connection that is secured.
    pub fn secured(&self) -> Arc<TlsInfo> {
        loop {
            match self.next() {
                Told::Secured(info) => return info,
                Told::Data(_) | Told::Closed(_) => {}
                Told::Failed(error) => panic!("{error}"),
            }
        }
    }

    /// How the next connection ends that does.
    pub fn closed(&self) -> ClosedDetail {
        loop {
            match self.next() {
                Told::Closed(detail) => return *detail,
                Told::Secured(_) | Told::Data(_) => {}
                Told::Failed(error) => panic!("{error}"),
            }
        }
    }

    /// Bytes up to the first LF.
    pub fn line(&self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            match self.next() {
                Told::Data(data) => line.extend_from_slice(&data),
                Told::Secured(_) => {}
                other => panic!("{other:?} instead of a line, behind {line:?}"),
            }
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// The TLS error that was the end of it, whichever event told it.
    pub fn failure(&self) -> TlsError {
        loop {
            match self.next() {
                Told::Secured(_) | Told::Data(_) => {}
                Told::Closed(detail) => match detail.cause {
                    Cause::Tls(error) => return error,
                    other => panic!("{other} is not a TLS error"),
                },
                Told::Failed(error) => {
                    assert_eq!(error.phase, ConnectPhase::Tls, "{error}");
                    return *error
                        .tls
                        .unwrap_or_else(|| panic!("{} is not TLS", error.message));
                }
            }
        }
    }

    /// The next connection ends, and the peer had said that it would: nothing is missing.
    pub fn ends_cleanly(&self) {
        let detail = self.closed();
        assert_eq!(detail.cause, Cause::PeerFinished, "{detail}");
        assert_eq!(detail.cut_short, None, "{detail}");
    }

    fn next(&self) -> Told {
        self.0
            .recv_timeout(PATIENCE)
            .expect("our session hears nothing")
    }
}

/// A server of ours that echoes over TLS.
pub struct Server {
    pub address: SocketAddr,
    pub log: Log,
    _pool: Background,
}

impl Server {
    pub fn start(tls: TlsServer) -> Self {
        let pool = Pool::builder().shards(1).background().unwrap();
        let (told, log) = mpsc::channel();
        let session = move |client| Witness {
            client,
            greeting: None,
            told: told.clone(),
        };
        let listen = Listen::tcp("127.0.0.1:0").tls(tls).data();
        let listening = pool.pool().listen(listen, session);
        let server = pool.block_on(listening).unwrap().unwrap();
        Self {
            address: server.local_addr(),
            log: Log(log),
            _pool: pool,
        }
    }
}

/// A client of ours, that says one line over TLS.
pub struct Dialled {
    pub client: Client,
    pub log: Log,
    _pool: Background,
}

impl Dialled {
    /// Connects, wants the peer to prove to be `name`, and says `line` as soon as TLS has started.
    pub fn start(address: &str, tls: TlsClient, name: &str, line: &'static str) -> Self {
        let pool = Pool::builder().shards(1).background().unwrap();
        let (told, log) = mpsc::channel();
        let (handle, client) = mpsc::channel();
        let session = move |client: Client| {
            let _ = handle.send(client.clone());
            Witness {
                client,
                greeting: Some(line),
                told,
            }
        };
        let connect = Connect::tcp(address).tls(tls).server_name(name).data();
        // How it goes is told to the session, too.
        let _ = pool.block_on(async { pool.pool().connect(connect, session).await.map(drop) });
        Self {
            client: client.recv_timeout(PATIENCE).unwrap(),
            log: Log(log),
            _pool: pool,
        }
    }
}
