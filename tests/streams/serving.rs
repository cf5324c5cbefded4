//! Peers that come to us as streams.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use switchboard::stream::start_server;
use switchboard::{Cause, ConnectionOptions, ExtraInfo, Listen, Server};
use tokio::sync::{Barrier, mpsc};
use tokio::time::timeout;

use super::*;

async fn echo(mut reader: Reader, mut writer: Writer) {
    while let Ok(line) = reader.read_line().await
        && !line.is_empty()
    {
        writer.write(line).unwrap();
        writer.drain().await.unwrap();
    }
}

async fn serve_echo(pool: &Pool) -> Server {
    start_server(pool, Listen::tcp(ANY), echo).await.unwrap()
}

/// Says a line and hears it back.
async fn talks(address: SocketAddr) {
    peer(move || {
        let mut peer = dial(address);
        assert_eq!(exchange(&mut peer, b"hello\n"), b"hello\n");
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut peer), b"");
    })
    .await;
}

#[test]
fn ua_13_aio_43_fifty_peers_are_served_at_once() {
    const PEERS: usize = 50;
    with_pool(async |pool| {
        // Nobody is answered before all are there.
        let all = Arc::new(Barrier::new(PEERS));
        let together = move |reader, writer| {
            let all = Arc::clone(&all);
            async move {
                all.wait().await;
                echo(reader, writer).await;
            }
        };
        let server = start_server(&pool, Listen::tcp(ANY), together)
            .await
            .unwrap();
        let peers: Vec<_> = (0..PEERS)
            .map(|_| tokio::task::spawn_local(talks(server.local_addr())))
            .collect();
        for peer in peers {
            peer.await.unwrap();
        }
        assert_eq!(server.info().accepted, 50);
    });
}

#[test]
fn ua_13_a_panic_ends_its_own_connection_and_nothing_else() {
    with_pool(async |pool| {
        let (ended, mut ends) = mpsc::unbounded_channel();
        let fragile = move |mut reader: Reader, mut writer: Writer| {
            let ended = ended.clone();
            async move {
                let client = writer.client().clone();
                let closing = async move { _ = ended.send(client.closed().await.unwrap()) };
                tokio::task::spawn_local(closing);
                let line = reader.read_line().await.unwrap();
                assert_ne!(line, "panic\n");
                writer.write(line).unwrap();
                echo(reader, writer).await;
            }
        };
        let server = start_server(&pool, Listen::tcp(ANY), fragile)
            .await
            .unwrap();
        let address = server.local_addr();
        let mut steady = dial(address);
        let steady = peer(move || {
            assert_eq!(exchange(&mut steady, b"one\n"), b"one\n");
            let mut doomed = dial(address);
            doomed.write_all(b"panic\n").unwrap();
            // An end or a reset.
            let _ = std::io::Read::read_to_end(&mut doomed, &mut Vec::new());
            steady
        })
        .await;
        let detail = ends.recv().await.unwrap();
        assert!(
            matches!(&detail.cause, Cause::SessionPanicked { text, .. } if text.contains("panic")),
            "{detail:?}"
        );
        let mut steady = steady;
        peer(move || assert_eq!(exchange(&mut steady, b"two\n"), b"two\n")).await;
        talks(address).await;
    });
}

#[test]
fn aio_43_a_plain_function_is_a_callback_too_and_may_pass_the_halves_on() {
    with_pool(async |pool| {
        let (halves, mut passed) = mpsc::unbounded_channel();
        let server = start_server(&pool, Listen::tcp(ANY), move |reader, writer| {
            halves.send((reader, writer)).unwrap();
        })
        .await
        .unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"hello\n").unwrap();
        let (mut reader, mut writer) = passed.recv().await.unwrap();
        assert_eq!(reader.read_line().await.unwrap(), "hello\n");
        writer.write("bye").unwrap();
        drop((reader, writer));
        assert_eq!(peer(move || read_all(&mut stream)).await, b"bye");
    });
}

#[test]
fn a_plain_function_that_drops_the_halves_closes_and_one_that_panics_too() {
    with_pool(async |pool| {
        let server = start_server(&pool, Listen::tcp(ANY), |_, mut writer: Writer| {
            writer.write("no").unwrap();
        })
        .await
        .unwrap();
        let mut stream = dial(server.local_addr());
        assert_eq!(peer(move || read_all(&mut stream)).await, b"no");
        let server = start_server(&pool, Listen::tcp(ANY), |_, writer: Writer| {
            assert!(writer.is_closing(), "it is not");
        })
        .await
        .unwrap();
        let mut stream = dial(server.local_addr());
        // An end or a reset.
        peer(move || _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new())).await;
        server.close().await;
        server.wait_drained().await;
    });
}

#[test]
fn ua_14_the_accepted_side_knows_the_peers_name() {
    with_pool(async |pool| {
        let (names, mut told) = mpsc::unbounded_channel();
        let server = start_server(&pool, Listen::tcp(ANY), move |_, writer: Writer| {
            assert!(writer.extra_info("unknown").is_none());
            names.send(writer.extra_info("peername")).unwrap();
        })
        .await
        .unwrap();
        let stream = dial(server.local_addr());
        let Some(Some(ExtraInfo::Address(name))) = told.recv().await else {
            panic!("the peer has a name");
        };
        assert_eq!(name.to_string(), stream.local_addr().unwrap().to_string());
    });
}

#[test]
fn aio_41_closed_is_not_drained_while_a_peer_is_there() {
    with_pool(async |pool| {
        let server = serve_echo(&pool).await;
        let mut stream = dial(server.local_addr());
        let mut stream = peer(move || {
            assert_eq!(exchange(&mut stream, b"one\n"), b"one\n");
            stream
        })
        .await;
        server.close().await;
        server.wait_closed().await;
        assert!(TcpStream::connect(server.local_addr()).is_err());
        assert!(timeout(ms(100), server.wait_drained()).await.is_err());
        peer(move || assert_eq!(exchange(&mut stream, b"two\n"), b"two\n")).await;
        server.wait_drained().await;
    });
}

#[test]
fn a_receive_that_is_preset_is_refused() {
    with_pool(async |pool| {
        let refused = start_server(&pool, Listen::tcp(ANY).lines(), echo).await;
        assert!(refused.is_err());
        let refused = open_connection(&pool, Connect::tcp(ANY).lines()).await;
        assert!(refused.is_err());
    });
}
