//! A session for each peer of one socket.

mod ending;
mod places;
mod serving;

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{Cause, Peers, TimeoutKind};

use super::recording::{beside, run_simply, until};
use super::{address, peer};

/// Answers its peer with how many datagrams there were and the last one; some words are orders.
struct Conversation {
    peer: Udp,
    count: u32,
    log: Log,
}

/// Who was told what.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(ClientId, String)>>>);

impl Log {
    fn note(&self, id: ClientId, what: impl Into<String>) {
        self.0.lock().unwrap().push((id, what.into()));
    }

    fn all(&self) -> Vec<(ClientId, String)> {
        self.0.lock().unwrap().clone()
    }

    fn of(&self, what: &str) -> Vec<ClientId> {
        let told = self.all();
        let of = told.iter().filter(|(_, event)| event == what);
        of.map(|(id, _)| *id).collect()
    }

    fn session(&self) -> impl Fn(Udp) -> Conversation + Send + Sync + 'static + use<> {
        let log = self.clone();
        move |peer| {
            log.note(peer.id(), "made");
            Conversation {
                peer,
                count: 0,
                log: log.clone(),
            }
        }
    }
}

impl Actor for Conversation {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Conversation {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, ctx: &mut Self::Context) {
        assert_eq!(self.peer.peer_addr().as_ref(), Some(&msg.from));
        self.count += 1;
        match &*msg.data {
            b"boom" => std::panic::resume_unwind(Box::new("as it was told")),
            b"pause" => self.peer.pause_reading(),
            b"sleep" => {
                // A session that is slow, and not its thread.
                let asleep = tokio::time::sleep(Duration::from_millis(1_000));
                ctx.wait(asleep.into_actor(self));
            }
            _ => {}
        }
        let text = format!("{}:{}", self.count, String::from_utf8_lossy(&msg.data));
        let _ = self.peer.send(text);
        if *msg.data == *b"bye" {
            self.peer.close();
        }
    }
}

impl Handler<Draining> for Conversation {
    type Result = ();

    fn handle(&mut self, _: Draining, _: &mut Self::Context) {
        self.log.note(self.peer.id(), "draining");
        self.peer.send("leaving").unwrap();
        self.peer.close();
    }
}

impl Handler<Adopted> for Conversation {
    type Result = ();

    fn handle(&mut self, _: Adopted, _: &mut Self::Context) {
        self.log.note(self.peer.id(), "adopted");
    }
}

impl Handler<Closed> for Conversation {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.log.note(self.peer.id(), format!("{:?}", msg.reason));
        if let Cause::Timeout { kind, .. } = msg.detail.cause {
            assert_eq!(kind, TimeoutKind::Idle);
            self.log.note(self.peer.id(), "idle");
        }
    }
}

session!(Conversation);

async fn serve(pool: &Pool, peers: Peers) -> (Udp, Log) {
    let log = Log::default();
    let bind = BindUdp::new("127.0.0.1:0");
    let udp = pool.serve_udp(bind, peers, log.session()).await.unwrap();
    (udp, log)
}

fn dial(to: SocketAddr) -> UdpSocket {
    let peer = peer();
    peer.connect(to).unwrap();
    peer
}

fn hear(peer: &UdpSocket) -> String {
    let mut received = [0; 2048];
    let count = peer.recv(&mut received).unwrap();
    String::from_utf8_lossy(&received[..count]).into_owned()
}

fn ask(peer: &UdpSocket, text: &str) -> String {
    peer.send(text.as_bytes()).unwrap();
    hear(peer)
}
