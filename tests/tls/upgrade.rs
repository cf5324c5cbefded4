//! TLS in mid-stream.

use std::io::Write;

use bytes::Bytes;
use switchboard::message::{RecvLine, StartTls};
use switchboard::{Cause, Connect, Listen, SendRefusal, StartTlsError};
use switchboard_tests::*;

use super::pair;

/// XAS-55, T-12: what was sent before goes in plain, what is sent after is protected.
#[test]
fn xas_55_a_connection_in_use_is_upgraded_by_both_roles() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let address = pool
            .listen(Listen::tcp("127.0.0.1:0"), far.full_session())
            .await
            .unwrap()
            .local_addr();
        let one = pool
            .connect(Connect::tcp(address), near.full_session())
            .await
            .unwrap();
        expect!(near, Connected);
        let other = expect!(far, Accepted).handle;
        other.arm(RecvLine::once()).unwrap();
        one.arm(RecvLine::once()).unwrap();
        assert_eq!(
            one.start_tls(StartTls::client(client.clone(), "localhost")),
            Err(StartTlsError::Receiving)
        );
        one.send_line("STARTTLS").unwrap();
        assert_eq!(&*expect!(far, LineReceived).line, b"STARTTLS");
        other.send_line("go ahead").unwrap();
        other.start_tls(StartTls::server(server.clone())).unwrap();
        other.send_line("protected").unwrap();
        other.arm(RecvLine::once()).unwrap();
        assert_eq!(&*expect!(near, LineReceived).line, b"go ahead");
        one.start_tls(StartTls::client(client.clone(), "localhost"))
            .unwrap();
        one.arm(RecvLine::once()).unwrap();
        one.send_line("protected too").unwrap();
        expect!(near, TlsStarted);
        expect!(far, TlsStarted);
        assert_eq!(&*expect!(near, LineReceived).line, b"protected");
        assert_eq!(&*expect!(far, LineReceived).line, b"protected too");
        assert_eq!(
            one.start_tls(StartTls::client(client, "localhost")),
            Err(StartTlsError::AlreadyTls)
        );
        assert_eq!(one.write_eof(), Err(SendRefusal::Unsupported));
        assert!(!one.can_write_eof());
        other.close();
        assert_eq!(expect!(far, Closed).detail.cause, Cause::LocalClose);
        expect!(near, PeerFinished).keep_open();
        assert_eq!(expect!(near, Closed).detail.cause, Cause::PeerFinished);
        near.finish();
        far.finish();
    });
}

/// T-12.
#[test]
fn t_12_plaintext_behind_the_command_is_handed_back_and_never_delivered() {
    with_pool(async |pool| {
        let (server, _) = pair();
        let mut far = Probe::new();
        let address = pool
            .listen(Listen::tcp("127.0.0.1:0"), far.full_session())
            .await
            .unwrap()
            .local_addr();
        let mut stream = dial(address);
        stream.write_all(b"STARTTLS\r\nMAIL FROM:<x>\r\n").unwrap();
        let client = expect!(far, Accepted).handle;
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(&*expect!(far, LineReceived).line, b"STARTTLS");
        let refused = client.start_tls(StartTls::server(server));
        let data = Bytes::from_static(b"MAIL FROM:<x>\r\n");
        assert_eq!(refused, Err(StartTlsError::Plaintext { data }));
        client.close();
        assert!(expect!(far, Closed).detail.unread.is_empty());
        far.finish();
    });
}
