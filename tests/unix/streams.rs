//! Connections over Unix sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{
    Address, AtLimit, ClosedReason, Connect, ConnectPhase, ConnectionOptions, ExtraInfo, Listen,
    PeerCredentials, Placement, Pool, UnixName,
};
use switchboard_tests::certificates::Authority;
use switchboard_tests::{NaiveEcho, Probe, expect, pattern, peer, with, with_pool};

use super::programs::Directory;
use super::{bounded, dial, echo, exchange};

/// Who this process is.
fn ourselves() -> PeerCredentials {
    let process = std::fs::metadata("/proc/self").unwrap();
    let pid = i32::try_from(std::process::id()).unwrap();
    PeerCredentials::new(process.uid(), process.gid(), Some(pid))
}

/// AC-12: lines go both ways, and the addresses are those of a Unix socket.
#[test]
fn a_unix_listener_answers_a_plain_peer() {
    let directory = Directory::new();
    let path = directory.path("echo.sock");
    with_pool(async |pool| {
        let server = echo(&pool, Listen::unix(&path)).await;
        assert_eq!(exchange(&mut dial(&path), b"hello\n"), b"hello\n");
        assert_eq!(server.address().path(), Some(path.as_path()));
        assert_eq!(server.info().address, server.address());
        assert_eq!(server.requested(), path.to_str().unwrap());
        assert_eq!(server.local_addr().to_string(), "0.0.0.0:0");
        server.close().await;
    });
}

/// AC-12, AMB-16: the way out.
#[test]
fn an_outbound_connection_reaches_a_plain_listener() {
    let directory = Directory::new();
    let path = directory.path("plain.sock");
    let listener = UnixListener::bind(&path).unwrap();
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let connect = Connect::unix(&path).lines();
        let client = pool.connect(connect, probe.session()).await.unwrap();
        let connected = expect!(probe, Connected);
        assert_eq!((connected.local_addr, connected.peer_addr), (None, None));
        let mut peer = bounded(listener.accept().unwrap().0);
        client.send_line("to you").unwrap();
        let mut line = [0; 7];
        peer.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"to you\n");
        peer.write_all(b"to you too\n").unwrap();
        assert_eq!(&expect!(probe, LineReceived).line[..], b"to you too");
        drop(peer);
        assert_eq!(expect!(probe, Closed).reason, ClosedReason::ClosedByPeer);
        probe.finish();
    });
}

/// Both ends know each other's names, user, group and process.
#[test]
fn each_end_knows_who_the_other_one_is() {
    let directory = Directory::new();
    let path = directory.path("who.sock");
    with(Pool::builder().shards(2), async |pool| {
        let mut far = Probe::new();
        // The peer is moved to another shard, and is still the same.
        let listen = Listen::unix(&path).placement(Placement::RoundRobin);
        pool.listen(listen, far.session()).await.unwrap();
        for _ in 0..2 {
            let mut near = Probe::new();
            let connect = Connect::unix(&path);
            let client = pool.connect(connect, near.session()).await.unwrap();
            let accepted = expect!(far, Accepted);
            assert_eq!(accepted.peer_addr, None);
            let theirs = accepted.handle;
            let (named, unnamed) = (
                Address::from(path.as_path()),
                Address::from(UnixName::Unnamed),
            );
            assert_eq!(
                (client.local(), client.peer()),
                (Some(unnamed.clone()), Some(named.clone()))
            );
            assert_eq!(
                (theirs.local(), theirs.peer()),
                (Some(named.clone()), Some(unnamed))
            );
            for end in [&client, &theirs] {
                assert_eq!(end.peer_credentials(), Some(ourselves()));
                assert_eq!((end.local_addr(), end.peer_addr()), (None, None));
                let info = end.info();
                assert_eq!((info.local, info.peer), (end.local(), end.peer()));
                assert_eq!(info.peer_credentials, end.peer_credentials());
            }
            let peername = client.extra_info("peername");
            assert!(matches!(peername, Some(ExtraInfo::Address(address)) if address == named));
            client.abort();
            expect!(near, Connected);
            expect!(near, Closed);
            expect!(far, Closed);
        }
    });
}

/// TCP connections have the same getters.
#[test]
fn a_tcp_connection_has_inet_addresses_and_no_credentials() {
    with_pool(async |pool| {
        let (stream, client, _probe) =
            switchboard_tests::serve(&pool, Listen::tcp("127.0.0.1:0")).await;
        assert_eq!(client.peer(), stream.local_addr().ok().map(Address::Inet));
        assert_eq!(client.local(), stream.peer_addr().ok().map(Address::Inet));
        assert_eq!(client.peer_credentials(), None);
    });
}

/// A name outside of the file system leaves no file, and ends with its listener.
#[cfg(target_os = "linux")]
#[test]
fn abstract_names_are_reached_by_abstract_names_only() {
    let name = format!("switchboard-test-{}", std::process::id());
    with_pool(async |pool| {
        let server = echo(&pool, Listen::unix_abstract(&name)).await;
        assert_eq!(server.address().to_string(), format!("@{name}"));
        let mut probe = Probe::new();
        let connect = Connect::unix_abstract(&name).lines();
        let client = pool.connect(connect, probe.session()).await.unwrap();
        expect!(probe, Connected);
        client.send_line("hello").unwrap();
        assert_eq!(&expect!(probe, LineReceived).line[..], b"hello");
        let Err(busy) = pool
            .listen(Listen::unix_abstract(&name), probe.session())
            .await
        else {
            panic!("two listeners have one name");
        };
        assert_eq!(busy.source.kind(), ErrorKind::AddrInUse);
        server.close().await;
        let gone = pool.connect(Connect::unix_abstract(&name), Probe::new().session());
        assert_eq!(gone.await.unwrap_err().kind, ErrorKind::ConnectionRefused);
        client.close();
        expect!(probe, Closed);
    });
}

/// A mebibyte comes whole, both ways at once.
#[test]
fn a_mebibyte_comes_back_whole() {
    let directory = Directory::new();
    let path = directory.path("large.sock");
    with_pool(async |pool| {
        let listen = Listen::unix(&path).data();
        pool.listen(listen, |client| NaiveEcho { client })
            .await
            .unwrap();
        peer(move || {
            let bytes = pattern(1 << 20);
            let mut reading = dial(&path);
            let mut writing = reading.try_clone().unwrap();
            let said = bytes.clone();
            let writer = std::thread::spawn(move || {
                writing.write_all(&said).unwrap();
                writing.shutdown(Shutdown::Write).unwrap();
            });
            let mut heard = Vec::new();
            reading.read_to_end(&mut heard).unwrap();
            writer.join().unwrap();
            assert!(heard == bytes, "{} bytes came back", heard.len());
        })
        .await;
    });
}

/// Either side may finish its direction and go on reading.
#[test]
fn a_half_closed_connection_goes_on_in_the_other_direction() {
    let directory = Directory::new();
    let path = directory.path("half.sock");
    with_pool(async |pool| {
        let mut probe = Probe::new();
        pool.listen(Listen::unix(&path).lines(), probe.full_session())
            .await
            .unwrap();
        let mut stream = dial(&path);
        let client = expect!(probe, Accepted).handle;
        client.send("all that there is").unwrap();
        client.write_eof().unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "all that there is");
        stream.write_all(b"thank you\n").unwrap();
        assert_eq!(&expect!(probe, LineReceived).line[..], b"thank you");
        drop(stream);
        expect!(probe, PeerFinished);
        expect!(probe, Closed);
    });
}

/// A peer that leaves is noticed while nothing is received from it.
#[cfg(target_os = "linux")]
#[test]
fn who_leaves_is_noticed_without_reading() {
    let directory = Directory::new();
    let path = directory.path("leaves.sock");
    with_pool(async |pool| {
        let mut probe = Probe::new();
        pool.listen(Listen::unix(&path), probe.session())
            .await
            .unwrap();
        let stream = dial(&path);
        expect!(probe, Accepted);
        drop(stream);
        assert_eq!(expect!(probe, Closed).reason, ClosedReason::ClosedByPeer);
    });
}

/// There is no reset: an abort is an end, or an error for who has unread bytes here.
#[test]
fn an_abort_is_an_end_or_tells_of_unread_bytes() {
    let directory = Directory::new();
    let path = directory.path("abort.sock");
    with_pool(async |pool| {
        let mut probe = Probe::new();
        pool.listen(Listen::unix(&path), probe.session())
            .await
            .unwrap();
        for (says, ends) in [("", Ok(0)), ("unread", Err(ErrorKind::ConnectionReset))] {
            let mut stream = dial(&path);
            let client = expect!(probe, Accepted).handle;
            stream.write_all(says.as_bytes()).unwrap();
            client.abort();
            expect!(probe, Closed);
            let end = stream.read(&mut [0; 16]).map_err(|error| error.kind());
            assert_eq!(end, ends);
        }
    });
}

/// Limits that do not go by addresses hold as for TCP; who is turned away reads the answer and an end.
#[test]
fn the_limit_of_a_listener_holds_on_unix_sockets() {
    let directory = Directory::new();
    let path = directory.path("limit.sock");
    with_pool(async |pool| {
        let answer = AtLimit::Answer("full\n".into());
        let listen = Listen::unix(&path).max_connections(1).at_limit(answer);
        let server = echo(&pool, listen).await;
        let mut first = dial(&path);
        assert_eq!(exchange(&mut first, b"in\n"), b"in\n");
        let mut second = dial(&path);
        let mut told = String::new();
        second.read_to_string(&mut told).unwrap();
        assert_eq!(told, "full\n");
        assert_eq!(server.info().rejections.limit, 1);
    });
}

/// A full backlog is waited for, as long as the timeout says.
#[test]
fn connecting_waits_for_a_full_backlog() {
    let directory = Directory::new();
    let path = directory.path("full.sock");
    let listener = UnixListener::bind(&path).unwrap();
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let mut waiting = vec![UnixStream::connect(&path).unwrap()];
    with_pool(async |pool| {
        let short = Connect::unix(&path).timeout(Duration::from_millis(80));
        let late = pool
            .connect(short, Probe::new().session())
            .await
            .unwrap_err();
        assert_eq!(late.kind, ErrorKind::TimedOut);
        let mut probe = Probe::new();
        let connecting = pool.connect(Connect::unix(&path), probe.session());
        let accepting = peer(move || {
            waiting.push(listener.accept().unwrap().0);
            waiting.push(bounded(listener.accept().unwrap().0));
            waiting
        });
        let (client, _waiting) = tokio::join!(connecting, accepting);
        expect!(probe, Connected);
        client.unwrap().abort();
        expect!(probe, Closed);
    });
}

/// TLS goes over Unix sockets; whom the peer has to be must be said.
#[test]
fn tls_over_a_unix_socket_needs_the_name_of_the_server() {
    let directory = Directory::new();
    let path = directory.path("tls.sock");
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["db.example"]).identity();
    let server = TlsServer::builder(identity).build().unwrap();
    let tls = TlsClient::builder(authority.roots()).build().unwrap();
    with_pool(async |pool| {
        echo(&pool, Listen::unix(&path).tls(server)).await;
        let nameless = Connect::unix(&path).tls(tls.clone());
        let refused = pool
            .connect(nameless, Probe::new().session())
            .await
            .unwrap_err();
        assert_eq!(refused.phase, ConnectPhase::Options);
        assert!(
            refused.to_string().contains("needs a server name"),
            "{refused}"
        );
        let mut probe = Probe::new();
        let connect = Connect::unix(&path).tls(tls).server_name("db.example");
        let client = pool
            .connect(connect.lines(), probe.session())
            .await
            .unwrap();
        expect!(probe, Connected);
        expect!(probe, TlsStarted);
        assert_eq!(client.peer_credentials(), Some(ourselves()));
        client.send_line("secret").unwrap();
        assert_eq!(&expect!(probe, LineReceived).line[..], b"secret");
        client.close();
        expect!(probe, Closed);
    });
}
