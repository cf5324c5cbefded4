//! Sockets that were opened elsewhere (ACO-01).

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{Connect, ConnectPhase, ConnectionOptions, Listen, ListenPhase, Suspend};
use switchboard_tests::certificates::Authority;
use switchboard_tests::{Probe, expect, listener, with_pool};

use super::programs::Directory;
use super::{bounded, dial, echo, exchange};

/// Its file is not ours, and stays.
#[test]
fn an_adopted_unix_listener_serves_and_leaves_its_file() {
    let directory = Directory::new();
    let path = directory.path("adopted.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let kept = listener.try_clone().unwrap();
    with_pool(async |pool| {
        let server = echo(&pool, Listen::adopt_unix(listener)).await;
        assert_eq!(server.address().path(), Some(path.as_path()));
        assert_eq!(server.requested(), path.to_str().unwrap());
        assert_eq!(exchange(&mut dial(&path), b"hello\n"), b"hello\n");
        // Somebody else holds it still, so that it is in use.
        server.suspend(Suspend::ClosePort).await.unwrap();
        server.resume().await.unwrap_err();
        // Left to us alone it is taken over.
        drop(kept);
        server.resume().await.unwrap();
        assert_eq!(exchange(&mut dial(&path), b"mine\n"), b"mine\n");
        server.close().await;
    });
}

#[test]
fn an_adopted_unix_stream_is_a_connection() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut theirs = bounded(theirs);
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let connect = Connect::adopt_unix(ours).lines();
        let client = pool.connect(connect, probe.session()).await.unwrap();
        expect!(probe, Connected);
        let pid = client.peer_credentials().and_then(|peer| peer.pid);
        assert_eq!(pid, i32::try_from(std::process::id()).ok());
        std::io::Write::write_all(&mut theirs, b"hello\n").unwrap();
        assert_eq!(&expect!(probe, LineReceived).line[..], b"hello");
        drop(theirs);
        expect!(probe, Closed);
    });
}

/// ACO-01: streams that were connected elsewhere do their handshake here, one as the server's peer, over
/// TCP and over a Unix pair.
#[test]
fn adopted_streams_speak_tls_to_each_other() {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["127.0.0.1", "pair.example"]).identity();
    let server = TlsServer::builder(identity).build().unwrap();
    let tls = TlsClient::builder(authority.roots()).build().unwrap();
    with_pool(async |pool| {
        let (tcp, address) = listener();
        echo(&pool, Listen::adopt(tcp).tls(server.clone())).await;
        let directory = Directory::new();
        let path = directory.path("tls.sock");
        let unix = UnixListener::bind(&path).unwrap();
        echo(&pool, Listen::adopt_unix(unix).tls(server)).await;
        for connect in [
            Connect::adopt(TcpStream::connect(address).unwrap()).tls(tls.clone()),
            Connect::adopt_unix(dial(&path))
                .tls(tls.clone())
                .server_name("pair.example"),
        ] {
            let mut probe = Probe::new();
            let client = pool
                .connect(connect.lines(), probe.session())
                .await
                .unwrap();
            expect!(probe, Connected);
            expect!(probe, TlsStarted);
            client.send_line("secret").unwrap();
            assert_eq!(&expect!(probe, LineReceived).line[..], b"secret");
            client.close();
            expect!(probe, Closed);
        }
    });
}

/// A descriptor can be given any type; what it is shows when it is to be opened.
#[test]
fn a_socket_that_is_not_what_it_is_given_as_is_refused() {
    let directory = Directory::new();
    let (one, _other) = UnixStream::pair().unwrap();
    let bound = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(directory.path("bound.sock")).unwrap();
    bound.bind(&address).unwrap();
    let (tcp, address) = listener();
    let connected = TcpStream::connect(address).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    with_pool(async |pool| {
        for (listen, why) in [
            (
                Listen::adopt_unix(UnixListener::from(OwnedFd::from(one.try_clone().unwrap()))),
                "does not listen",
            ),
            (
                Listen::adopt_unix(UnixListener::from(OwnedFd::from(bound))),
                "does not listen",
            ),
            (
                Listen::adopt_unix(UnixListener::from(OwnedFd::from(tcp.try_clone().unwrap()))),
                "is no Unix socket",
            ),
            (
                Listen::adopt(TcpListener::from(OwnedFd::from(connected))),
                "does not listen",
            ),
            (
                Listen::adopt(TcpListener::from(OwnedFd::from(udp))),
                "does not listen",
            ),
        ] {
            let error = pool
                .listen(listen, Probe::new().session())
                .await
                .unwrap_err();
            assert_eq!(error.phase, ListenPhase::Listen);
            assert_eq!(error.source.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
        let datagrams = UnixDatagram::unbound().unwrap();
        for connect in [
            Connect::adopt_unix(UnixStream::from(OwnedFd::from(datagrams))),
            Connect::adopt_unix(UnixStream::from(OwnedFd::from(tcp.try_clone().unwrap()))),
            Connect::adopt(TcpStream::from(OwnedFd::from(tcp.try_clone().unwrap()))),
        ] {
            let error = pool
                .connect(connect, Probe::new().session())
                .await
                .unwrap_err();
            assert_eq!(error.phase, ConnectPhase::Local, "{error}");
        }
    });
}
