//! Urgent bytes between and within TLS records: thrown away, and the records stay whole.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use switchboard::message::*;
use switchboard::testkit::Probe;
use switchboard::tls::{TlsClient, TlsNetwork, TlsServer};
use switchboard::transport::TcpNetwork;
use switchboard::{Connect, ConnectionOptions, Listen, Pool};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

use crate::peers::send_urgent;

const ANY: &str = "127.0.0.1:0";

fn pair() -> (TlsServer, TlsClient) {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
    (
        TlsServer::builder(identity).build().unwrap(),
        TlsClient::builder(authority.roots()).build().unwrap(),
    )
}

/// Puts an urgent byte into the middle of the next bytes of a direction when it is asked to. A second one
/// before the first was read past would become a part of the stream.
struct Relay {
    address: SocketAddr,
    there: Arc<AtomicBool>,
    back: Arc<AtomicBool>,
}

impl Relay {
    /// One connection to there, with an urgent byte in the first bytes of each direction.
    fn start(to: SocketAddr) -> Self {
        let (listener, address) = listener();
        let relay = Self {
            address,
            there: Arc::new(AtomicBool::new(true)),
            back: Arc::new(AtomicBool::new(true)),
        };
        let (there, back) = (Arc::clone(&relay.there), Arc::clone(&relay.back));
        std::thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let far = dial(to);
            let others = (far.try_clone().unwrap(), near.try_clone().unwrap());
            std::thread::spawn(move || carry(others.0, others.1, &back));
            carry(near, far, &there);
        });
        relay
    }

    fn inject(&self) {
        self.there.store(true, SeqCst);
        self.back.store(true, SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, inject: &AtomicBool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let (first, second) = bytes[..count].split_at(count / 2);
        if to.write_all(first).is_err() {
            break;
        }
        if inject.swap(false, SeqCst) {
            send_urgent(&to, b'!');
        }
        if to.write_all(second).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

async fn talk(relay: &Relay, client: &switchboard::Client, probe: &mut Probe) {
    for _ in 0..50 {
        relay.inject();
        client.send_line("protected").unwrap();
        probe.expect_line("protected").await;
    }
}

/// XAS-70: in the handshake too.
#[test]
fn xas_70_an_urgent_byte_within_tls_holds_nothing_up() {
    for _ in 0..5 {
        with_pool(|pool| async move {
            let (server, client) = pair();
            let listen = Listen::tcp(ANY).lines().tls(server);
            let echo = |client| Echo { client };
            let server = pool.listen(listen, echo).await.unwrap();
            let relay = Relay::start(server.local_addr());
            let mut probe = Probe::new();
            let connect = Connect::tcp(relay.address).lines().tls(client);
            let client = pool.connect(connect, probe.session()).await.unwrap();
            let _ = expect!(probe, Connected);
            let _ = expect!(probe, TlsStarted);
            talk(&relay, &client, &mut probe).await;
            client.close();
            let _ = expect!(probe, Closed);
        });
    }
}

/// XAS-70.
#[test]
fn xas_70_an_urgent_byte_within_a_network_of_tls_holds_nothing_up() {
    let (server, client) = pair();
    let net = TlsNetwork::new(TcpNetwork, server, client);
    with(Pool::builder().shards(2).network(net), |pool| async move {
        let echo = |client| Echo { client };
        let server = pool.listen(Listen::tcp(ANY).lines(), echo).await.unwrap();
        let relay = Relay::start(server.local_addr());
        let mut probe = Probe::new();
        let connect = Connect::tcp(relay.address).lines();
        let client = pool.connect(connect, probe.session()).await.unwrap();
        let _ = expect!(probe, Connected);
        let _ = expect!(probe, TlsStarted);
        talk(&relay, &client, &mut probe).await;
        client.close();
        let _ = expect!(probe, Closed);
    });
}

/// AC-06, XAS-70: urgent bytes are told before the upgrade and not after it.
#[test]
fn ac_06_what_is_told_in_plain_is_thrown_away_after_an_upgrade() {
    with_pool(|pool| async move {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let listen = pool.listen(Listen::tcp(ANY), far.session());
        let listen = listen.await.unwrap();
        let relay = Relay::start(listen.local_addr());
        let connect = Connect::tcp(relay.address);
        let one = pool.connect(connect, near.session()).await.unwrap();
        let _ = expect!(near, Connected);
        let other = expect!(far, Accepted).handle;
        other.arm(RecvLine::once()).unwrap();
        one.send_line("STARTTLS").unwrap();
        let mut told = Vec::new();
        for _ in 0..2 {
            match far.next().await {
                ClientEvent::UrgentReceived(event) => told.push(vec![event.byte]),
                ClientEvent::LineReceived(event) => told.push(event.line.to_vec()),
                other => panic!("{other:?}"),
            }
        }
        told.sort();
        assert_eq!(told, [&b"!"[..], b"STARTTLS"]);
        other.start_tls(StartTls::server(server)).unwrap();
        other.arm(RecvLine::once().always()).unwrap();
        relay.inject();
        one.start_tls(StartTls::client(client, "localhost"))
            .unwrap();
        one.arm(RecvLine::once().always()).unwrap();
        let _ = expect!(near, TlsStarted);
        let _ = expect!(far, TlsStarted);
        for _ in 0..50 {
            relay.inject();
            one.send_line("protected").unwrap();
            far.expect_line("protected").await;
            other.send_line("answer").unwrap();
            near.expect_line("answer").await;
        }
        one.close();
        let _ = expect!(near, Closed);
        let _ = expect!(far, Closed);
    });
}
