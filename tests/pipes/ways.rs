//! Descriptors that are open for one way only refuse the other, in words.

use std::io::Read;

use switchboard::message::*;
use switchboard::{
    ArmError, Cause, ChannelKind, ClosedReason, ConnectPhase, ConnectionOptions, ConnectionState,
    Handlers, ReconnectConfig, SendRefusal, Token, WatchError, WatchFd,
};
use switchboard_tests::*;

use super::{open, open_full, pipes};

/// AC-21.
#[test]
fn ac_21_what_is_only_read_refuses_sends() {
    with_pool(|pool| async move {
        let (read, to_us) = std::io::pipe().unwrap();
        let probe = Probe::new();
        let connecting = pool.watch_fd(WatchFd::new(&read).unwrap(), probe.session());
        let refused = connecting.client().send("early").unwrap_err();
        assert_eq!(
            (refused.refusal, refused.payload),
            (SendRefusal::ReadOnly, "early")
        );
        connecting.await.unwrap().abort();

        let (client, mut probe) = open_full(&pool, WatchFd::new(&read).unwrap()).await;
        let info = client.info();
        assert_eq!(info.activity.state, ConnectionState::Open);
        assert_eq!(info.kind, ChannelKind::Pipe);
        assert_eq!((info.local_addr, info.peer_addr), (None, None));
        assert_eq!(
            client.send("no").unwrap_err().refusal,
            SendRefusal::ReadOnly
        );
        assert_eq!(client.send_line("no"), Err(SendRefusal::ReadOnly));
        assert_eq!(client.try_send(b"no"), Err(SendRefusal::ReadOnly));
        assert!(client.take_send_slot().is_err());
        assert_eq!(client.write_eof(), Err(SendRefusal::ReadOnly));
        assert!(!client.can_write_eof());
        assert_eq!(client.set_interest(false, true), Err(ArmError::ReadOnly));
        client.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(client.write_eof(), Err(SendRefusal::Closed));
        drop(to_us);
    });
}

/// AC-21.
#[test]
fn ac_21_what_is_only_written_refuses_receives() {
    with_pool(|pool| async move {
        let (mut from_us, write) = std::io::pipe().unwrap();
        let watch = WatchFd::new(&write).unwrap();
        drop(write);
        let (client, mut probe) = open_full(&pool, watch).await;
        assert_eq!(client.info().activity.state, ConnectionState::Open);
        assert_eq!(client.arm(RecvLine::once()), Err(ArmError::WriteOnly));
        assert_eq!(client.try_recv(1), Err(ArmError::WriteOnly));
        assert_eq!(client.set_interest(true, false), Err(ArmError::WriteOnly));
        client.send_with("last words", Token(1)).unwrap();
        probe.expect_sent(Token(1)).await;
        client.write_eof().unwrap();
        // Nothing is left of it then, and that was our doing.
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(client.arm(RecvLine::once()), Err(ArmError::Closed));
        let mut all = String::new();
        from_us.read_to_string(&mut all).unwrap();
        assert_eq!(all, "last words");
    });
}

/// AC-21: refusals of options name what is wrong.
#[test]
fn ac_21_options_that_a_descriptor_cannot_have_are_refused() {
    with_pool(|pool| async move {
        let (read, write) = std::io::pipe().unwrap();
        let mut again = WatchFd::new(&read).unwrap();
        again.config_mut().reconnect = Some(ReconnectConfig::default());
        let wrong = [
            (again, "cannot be established again"),
            (WatchFd::new(&write).unwrap().lines(), "writing only"),
            (
                WatchFd::new(&read).unwrap().keepalive(super::ms(1000)),
                "options of sockets",
            ),
            (WatchFd::new(&read).unwrap().max_line(0), "max_line"),
        ];
        for (watch, why) in wrong {
            let error = pool.watch_fd(watch, |_| Handlers::new()).await.unwrap_err();
            assert_eq!(error.phase, ConnectPhase::Options);
            assert!(error.message.contains(why), "{error}");
        }
        let swapped = WatchFd::read_write(&write, &read).unwrap_err();
        assert!(matches!(swapped, WatchError::WriteOnly), "{swapped}");
        let swapped = WatchFd::read_write(&read, &read).unwrap_err();
        assert!(matches!(swapped, WatchError::ReadOnly), "{swapped}");
    });
}

/// TLS is for sockets.
#[test]
fn start_tls_is_refused() {
    with_pool(|pool| async move {
        let (read, write, _to_us, _from_us) = pipes();
        let (client, mut probe) = open(&pool, WatchFd::read_write(&read, &write).unwrap()).await;
        let tls = switchboard::tls::TlsClient::danger_without_verification()
            .build()
            .unwrap();
        let start = switchboard::tls::StartTls::client(tls, "localhost");
        let refused = client.start_tls(start).unwrap_err();
        assert_eq!(refused, switchboard::StartTlsError::NotANetwork);
        client.abort();
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.cause, Cause::LocalAbort);
    });
}
