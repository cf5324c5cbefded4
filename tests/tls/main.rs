//! TLS from the first byte and in mid-stream, both sides ours.

mod bad;
mod boundary;
mod client_auth;
mod config;
mod ending;
mod facts;
mod garbage;
mod implicit;
mod network;
mod own_root;
mod pem;
mod records;
mod reload;
mod resumption;
mod sni;
mod stalled;
mod transport;
mod upgrade;
mod worlds;

use std::net::SocketAddr;
use std::sync::Arc;

use switchboard::message::{ClientEvent, RecvLine, StartTls};
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{Cause, Connect, ConnectionOptions, Listen, Pool, Server, TlsError, TlsInfo};
use switchboard_tests::certificates::Authority;
use switchboard_tests::{Probe, expect};

/// Both sides of a TLS that fit each other, for the name `localhost` and 127.0.0.1.
fn pair() -> (TlsServer, TlsClient) {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
    (
        TlsServer::builder(identity).build().unwrap(),
        TlsClient::builder(authority.roots()).build().unwrap(),
    )
}

/// How a handshake has ended for one side: what its session was told.
type Outcome = Result<Arc<TlsInfo>, TlsError>;

/// Where TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    AtOnce,
    MidStream,
}

/// Opens a listener of lines with TLS.
async fn listen(pool: &Pool, tls: &TlsServer, far: &Probe) -> Server {
    let listen = Listen::tcp("127.0.0.1:0").lines().tls(tls.clone());
    pool.listen(listen, far.session()).await.unwrap()
}

/// Connects there, asks for this name, does nothing else but wait for how the handshake ends on both
/// sides, and closes: the client's outcome, then the server's.
async fn meet(
    address: SocketAddr,
    pool: &Pool,
    tls: &TlsClient,
    name: &str,
    far: &mut Probe,
) -> (Outcome, Outcome) {
    let near = &mut Probe::new();
    let connect = Connect::tcp(address).lines().tls(tls.clone());
    let connected = pool
        .connect(connect.server_name(name), near.session())
        .await;
    let outcomes = outcomes(near, far).await;
    if let Ok(client) = connected {
        client.close();
    }
    gone(near, &outcomes.0).await;
    gone(far, &outcomes.1).await;
    outcomes
}

/// Connects there, gets a line, behind which is all that the server has to say of the handshake, and
/// closes: what both sides agreed on.
async fn talk(
    address: SocketAddr,
    pool: &Pool,
    tls: &TlsClient,
    name: &str,
    far: &mut Probe,
) -> Arc<TlsInfo> {
    let near = &mut Probe::new();
    let connect = Connect::tcp(address).lines().tls(tls.clone());
    let connect = connect.server_name(name);
    let client = pool.connect(connect, near.session()).await.unwrap();
    let other = expect!(far, Accepted).handle;
    let seen = expect!(far, TlsStarted).tls;
    other.send_line("hello").unwrap();
    expect!(near, Connected);
    let tls = expect!(near, TlsStarted).tls;
    near.expect_line("hello").await;
    assert_eq!(
        (seen.version, seen.resumed, seen.cipher),
        (tls.version, tls.resumed, tls.cipher)
    );
    client.close();
    expect!(near, Closed);
    expect!(far, Closed);
    tls
}

/// As [`meet`], for a connection of its own that is upgraded.
async fn meet_midstream(
    pool: &Pool,
    server: &TlsServer,
    client: &TlsClient,
    name: &str,
) -> (Outcome, Outcome) {
    let (near, far) = (&mut Probe::new(), &mut Probe::new());
    let listen = Listen::tcp("127.0.0.1:0");
    let listener = pool.listen(listen, far.session()).await.unwrap();
    let connect = Connect::tcp(listener.local_addr());
    let one = pool.connect(connect, near.session()).await.unwrap();
    let other = far.expect_open().await;
    other.start_tls(StartTls::server(server.clone())).unwrap();
    one.start_tls(StartTls::client(client.clone(), name))
        .unwrap();
    // Whoever has been refused already needs none.
    let _ = other.arm(RecvLine::once().always());
    let _ = one.arm(RecvLine::once().always());
    let outcomes = outcomes(near, far).await;
    one.close();
    gone(near, &outcomes.0).await;
    gone(far, &outcomes.1).await;
    listener.close().await;
    outcomes
}

/// Waits until this side knows that it is over, unless that is how it has ended.
async fn gone(probe: &mut Probe, outcome: &Outcome) {
    while outcome.is_ok() && !matches!(probe.next().await, ClientEvent::Closed(_)) {}
}

async fn outcomes(near: &mut Probe, far: &mut Probe) -> (Outcome, Outcome) {
    let there = outcome(far, true).await;
    // A client may think that all is well until it hears that the server does not.
    let here = outcome(near, there.is_ok()).await;
    (here, there)
}

async fn outcome(probe: &mut Probe, until_started: bool) -> Outcome {
    loop {
        match probe.next().await {
            ClientEvent::TlsStarted(event) if until_started => return Ok(event.tls),
            ClientEvent::ConnectFailed(event) => return Err(*event.error.tls.expect("no TLS")),
            ClientEvent::Closed(event) => match event.detail.cause {
                Cause::Tls(error) => return Err(error),
                cause => panic!("closed by {cause}"),
            },
            _ => {}
        }
    }
}
