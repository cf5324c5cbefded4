//! What is not TLS, or no longer TLS, and what never comes.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use switchboard::{Cause, ClosePhase, Connect, ConnectPhase, ConnectionOptions, TlsError};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

use super::bad::{Expected, alert, serving};
use super::{listen, pair};

/// What is sent to a port of TLS, and what it is taken for.
#[test]
fn what_is_not_tls_is_told_from_tls_that_is_broken() {
    let rows: [(&[u8], Expected); 6] = [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", |error| {
            *error == TlsError::NotTls
        }),
        (b"EHLO example.org\r\n", |error| *error == TlsError::NotTls),
        (&[0xff; 64], |error| *error == TlsError::NotTls),
        // The header of a record, with no hello in it.
        (&[22, 3, 1, 0, 4, 0xff, 0xff, 0xff, 0xff], |error| {
            matches!(
                error,
                TlsError::BadRecord { .. } | TlsError::Protocol { .. }
            )
        }),
        // Data before any handshake.
        (&[23, 3, 3, 0, 4, 1, 2, 3, 4], |error| {
            matches!(
                error,
                TlsError::BadRecord { .. } | TlsError::Protocol { .. }
            )
        }),
        // A fatal alert.
        (&[21, 3, 3, 0, 2, 2, 40], |error| {
            alert(error, "handshake_failure") || matches!(error, TlsError::Protocol { .. })
        }),
    ];
    with_pool(async |pool| {
        let (server, _) = pair();
        let mut far = Probe::new();
        let listener = listen(&pool, &server, &far).await;
        let address = listener.local_addr();
        for (bytes, expected) in rows {
            let bytes = bytes.to_vec();
            let sent = bytes.clone();
            peer(move || {
                let mut peer = dial(address);
                peer.write_all(&sent).unwrap();
                read_all(&mut peer);
            })
            .await;
            let closed = expect!(far, Closed);
            assert_eq!(closed.detail.phase, ClosePhase::Securing);
            assert!(
                matches!(&closed.detail.cause, Cause::Tls(error) if expected(error)),
                "{bytes:x?}: {}",
                closed.detail
            );
        }
        assert_eq!(
            (listener.info().tls.failed, listener.info().tls.handshakes),
            (6, 0)
        );
        far.finish();
    });
}

#[test]
fn a_server_that_speaks_plain_text_is_named() {
    with_pool(async |pool| {
        let (_, client) = pair();
        let (plain, address) = switchboard_tests::listener();
        let speaking = peer(move || {
            let (mut stream, _) = plain.accept().unwrap();
            stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
            let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        });
        let near = Probe::new();
        let connect = Connect::tcp(address).tls(client);
        let connecting = pool.connect(connect, near.session());
        let (error, ()) = tokio::join!(connecting, speaking);
        let error = error.unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Tls);
        assert_eq!(error.tls.as_deref(), Some(&TlsError::NotTls));
        near.finish();
    });
}

/// Passes on what both sides say, and whatever else it is told to say to the server.
fn in_between(server: SocketAddr) -> (SocketAddr, mpsc::Sender<&'static [u8]>) {
    let (listener, address) = switchboard_tests::listener();
    let (says, said) = mpsc::channel::<&[u8]>();
    std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let server = dial(server);
        let pass = |from: &TcpStream, to: &TcpStream| {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || {
                // It ends as the two sides end.
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            })
        };
        let ways = [pass(&client, &server), pass(&server, &client)];
        for bytes in said {
            (&server).write_all(bytes).unwrap();
        }
        for way in ways {
            way.join().unwrap();
        }
    });
    (address, says)
}

#[test]
fn a_stream_that_was_tampered_with_is_named_on_both_sides() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let listener = listen(&pool, &server, &far).await;
        for (garbage, expected) in [
            // A record that nobody has encrypted.
            (
                &[
                    23, 3, 3, 0, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
                ][..],
                "bad_record_mac",
            ),
            // No record at all.
            (b"plain text\r\n", "decode_error"),
        ] {
            let (between, says) = in_between(listener.local_addr());
            let connect = Connect::tcp(between).lines().tls(client.clone());
            let one = pool.connect(connect, near.session()).await.unwrap();
            expect!(near, Connected);
            expect!(near, TlsStarted);
            expect!(far, Accepted);
            expect!(far, TlsStarted);
            one.send_line("well").unwrap();
            far.expect_line("well").await;
            says.send(garbage).unwrap();
            let closed = expect!(far, Closed);
            assert!(
                matches!(closed.detail.cause, Cause::Tls(TlsError::BadRecord { .. })),
                "{}",
                closed.detail
            );
            assert_eq!(closed.detail.phase, ClosePhase::Open);
            let closed = expect!(near, Closed);
            assert!(
                matches!(&closed.detail.cause, Cause::Tls(error) if alert(error, expected)),
                "{}",
                closed.detail
            );
        }
        let counts = listener.info().tls;
        assert_eq!((counts.handshakes, counts.failed), (2, 0));
        near.finish();
        far.finish();
    });
}

#[test]
fn a_handshake_that_takes_too_long_or_is_given_up_is_counted_as_failed() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let server = serving(&authority.issue(&["localhost"]));
        let server = server
            .handshake_timeout(Duration::from_millis(20))
            .build()
            .unwrap();
        let mut far = Probe::new();
        let listener = listen(&pool, &server, &far).await;
        let silent = dial(listener.local_addr());
        expect!(far, Closed);
        drop(silent);
        drop(dial(listener.local_addr()));
        assert_eq!(
            expect!(far, Closed).detail.cause,
            Cause::Tls(TlsError::HandshakeEof)
        );
        let counts = listener.info().tls;
        assert_eq!((counts.handshakes, counts.failed), (0, 2));
        far.finish();
    });
}
