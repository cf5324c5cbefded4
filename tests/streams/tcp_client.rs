//! uasyncio's client.

use std::io::Write;

use switchboard::stream::{TcpClient, TcpClientError, start_server};
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{ConnectionOptions, Listen};
use switchboard_tests::certificates::Authority;

use super::*;

async fn connected(pool: &Pool) -> (TcpClient, TcpStream) {
    let (listener, address) = listener();
    let socket = socket2::SockRef::from(&listener);
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let connect = Connect::tcp(address).send_buffer_size(16 * 1024);
    let mut client = TcpClient::new(pool, connect);
    client.connect().await.unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    (client, stream)
}

#[test]
fn ua_32_a_client_is_connected_once_and_before_it_sends() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let mut client = TcpClient::new(&pool, Connect::tcp(address));
        let error = client.send("x", 3).await.unwrap_err();
        assert!(matches!(error, TcpClientError::NotConnected));
        let error = client.recv(None).await.unwrap_err();
        assert!(matches!(error, TcpClientError::NotConnected));
        client.connect().await.unwrap();
        let error = client.connect().await.unwrap_err();
        assert!(matches!(error, TcpClientError::AlreadyConnected));
        drop(listener);
        let mut refused = TcpClient::new(&pool, Connect::tcp(address));
        let error = refused.connect().await.unwrap_err();
        assert!(
            matches!(&error, TcpClientError::Connect(error) if error.kind == std::io::ErrorKind::ConnectionRefused)
        );
    });
}

#[test]
fn ua_33_amb_08_attempts_are_limited_and_no_byte_is_sent_twice() {
    const ALL: usize = MIB;
    with_pool(async |pool| {
        let (client, mut peer) = connected(&pool).await;
        let mut client = client.attempt_timeout(ms(50));
        let data = bytes::Bytes::from(pattern(ALL));
        let since = std::time::Instant::now();
        assert!(!client.send(data.clone(), 3).await.unwrap());
        assert!(since.elapsed() >= ms(150));
        let taken = client.taken();
        assert!(taken > 0 && taken < ALL);
        // The peer is still silent, and so nothing more is taken.
        assert!(!client.send(data.slice(taken..), 1).await.unwrap());
        let taken = taken + client.taken();
        let reading = std::thread::spawn(move || read_all(&mut peer));
        assert!(client.send(data.slice(taken..), 3).await.unwrap());
        assert_eq!(client.taken(), ALL - taken);
        client.close();
        assert!(reading.join().unwrap() == data, "bytes are lost or doubled");
    });
}

#[test]
fn ua_33_a_peer_that_takes_slowly_takes_no_attempts() {
    with_pool(async |pool| {
        let (client, mut peer) = connected(&pool).await;
        let mut client = client.attempt_timeout(ms(500));
        let reading = std::thread::spawn(move || {
            let mut got = Vec::new();
            while got.len() < MIB / 2 {
                got.extend(read_exact(&mut peer, 32 * 1024));
                // Slower than an attempt in all, faster than one at a time.
                std::thread::sleep(ms(40));
            }
            got
        });
        assert!(client.send(pattern(MIB / 2), 1).await.unwrap());
        assert_eq!(reading.join().unwrap(), pattern(MIB / 2));
    });
}

#[test]
fn ua_34_recv_takes_at_most_so_many_or_what_is_there() {
    with_pool(async |pool| {
        let (mut client, mut peer) = connected(&pool).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(client.recv(None).await.unwrap().unwrap(), "abc");
        peer.write_all(b"def").unwrap();
        assert_eq!(client.recv(Some(2)).await.unwrap().unwrap(), "de");
        assert_eq!(client.recv(Some(2)).await.unwrap().unwrap(), "f");
        assert_eq!(client.recv(Some(0)).await.unwrap().unwrap(), "");
        drop(peer);
        assert!(client.recv(Some(2)).await.unwrap().is_none());
    });
}

#[test]
fn ua_34_recv_gives_none_at_every_clean_end() {
    with_pool(async |pool| {
        // Also when this side had finished before.
        let (mut client, peer) = connected(&pool).await;
        client.client().unwrap().write_eof().unwrap();
        drop(peer);
        assert!(client.recv(None).await.unwrap().is_none());
        assert!(client.recv(Some(2)).await.unwrap().is_none());

        // Also over TLS, where the connection is over then.
        let authority = Authority::new("the test's own");
        let identity = authority.issue(&["localhost"]).identity();
        let tls = TlsServer::builder(identity).build().unwrap();
        let bye = |_, mut writer: Writer| writer.write("bye").unwrap();
        let server = start_server(&pool, Listen::tcp(ANY).tls(tls), bye)
            .await
            .unwrap();
        let tls = TlsClient::builder(authority.roots()).build().unwrap();
        let connect = Connect::tcp(server.local_addr()).tls(tls);
        let mut client = TcpClient::new(&pool, connect.server_name("localhost"));
        client.connect().await.unwrap();
        assert_eq!(client.recv(Some(3)).await.unwrap().unwrap(), "bye");
        assert!(client.recv(None).await.unwrap().is_none());
        assert!(client.recv(None).await.unwrap().is_none());
    });
}

#[test]
fn ua_34_what_came_before_a_reset_is_received_before_it_is_told() {
    with_pool(async |pool| {
        let (mut client, mut peer) = connected(&pool).await;
        peer.write_all(b"abc").unwrap();
        assert_eq!(client.recv(Some(1)).await.unwrap().unwrap(), "a");
        reset_on_close(&peer);
        drop(peer);
        // It is met while nobody receives.
        client.client().unwrap().closed().await.unwrap();
        assert_eq!(client.recv(Some(1)).await.unwrap().unwrap(), "b");
        assert_eq!(client.recv(None).await.unwrap().unwrap(), "c");
        for _ in 0..2 {
            let error = client.recv(None).await.unwrap_err();
            assert!(matches!(error, TcpClientError::Lost(_)));
        }
    });
}

#[test]
fn ua_35_close_is_seen_by_the_peer_and_leaves_nothing() {
    with_pool(async |pool| {
        let (mut client, mut peer) = connected(&pool).await;
        assert!(client.send("bye", 3).await.unwrap());
        let connection = client.client().unwrap().clone();
        client.close();
        client.close();
        assert_eq!(read_all(&mut peer), b"bye");
        drop(peer);
        let error = client.send("x", 3).await.unwrap_err();
        assert!(matches!(error, TcpClientError::Closed));
        let error = client.recv(None).await.unwrap_err();
        assert!(matches!(error, TcpClientError::Closed));
        let error = client.connect().await.unwrap_err();
        assert!(matches!(error, TcpClientError::Closed));
        connection.closed().await.unwrap();
        assert_eq!(pool.connections().await.unwrap(), []);
    });
}

#[test]
fn a_client_that_is_dropped_closes() {
    with_pool(async |pool| {
        let (client, mut peer) = connected(&pool).await;
        drop(client);
        assert_eq!(read_all(&mut peer), b"");
    });
}
