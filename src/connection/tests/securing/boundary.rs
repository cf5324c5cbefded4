//! What stands against TLS, and what passes its boundary.

use super::*;

/// XAS-55, T-12: every reason to refuse, and that a refusal changes nothing but what it hands back.
#[test]
fn xas_55_what_stands_against_an_upgrade_is_named() {
    let mut wire = Wire::accepted(config(|_| {}));
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::NotOpen));
    let mut wire = Wire::connecting(config(|_| {}));
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::NotOpen));

    let mut wire = Wire::open(config(|_| {}));
    assert_eq!(
        wire.start_tls(Duration::ZERO),
        Err(StartTlsError::ZeroTimeout)
    );
    wire.receive(&Receive::once(LINE));
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::Receiving));
    wire.machine.cancel_receive();
    let mut now = wire.now();
    wire.machine.set_readiness(true, true, &mut now).unwrap();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::Receiving));
    wire.machine.set_readiness(false, true, &mut now).unwrap();
    assert_eq!(
        wire.machine.start_tls(WITHIN, 2, &mut now),
        Err(StartTlsError::FramesPending { frames: 2 })
    );
    assert_eq!(wire.machine.poll_timeout(), None, "nothing has begun");
    wire.start_tls(WITHIN).unwrap();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::AlreadyTls));
    wire.secured();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::AlreadyTls));
    wire.close();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::Closed));
    wire.abort();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::Closed));

    let mut wire = Wire::open(config(|_| {}));
    wire.machine.write_eof().unwrap();
    wire.drive();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::WriteClosed));

    let mut wire = Wire::open(config(|_| {}));
    wire.machine.handle_eof(&mut wire.now());
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::PeerFinished));
}

/// T-12: plaintext behind the command is handed back, once, and never delivered.
#[test]
fn t_12_plaintext_that_was_read_is_handed_back_and_gone() {
    for behind in [
        &b"MAIL FROM:<x>\r\n"[..],
        b"\x18",
        b"\x13\x03\x01",
        b"\x16\x02\x00",
        b"\x16P",
        b"\x80\x2e\x01",
        b" ",
    ] {
        let mut wire = Wire::open(config(|_| {}));
        wire.receive(&Receive::once(LINE));
        wire.peer_sends([b"STARTTLS\r\n", behind].concat());
        assert_eq!(wire.told(), ["line STARTTLS"]);
        let data = Bytes::copy_from_slice(behind);
        assert_eq!(
            wire.start_tls(WITHIN),
            Err(StartTlsError::Plaintext { data })
        );
        assert_eq!(wire.machine.snapshot().unread, 0);
        assert!(!wire.shaking && !wire.machine.is_securing());
        // The session may think better of it: what comes now is another matter.
        wire.start_tls(WITHIN).unwrap();
        wire.secured();
        wire.receive(&Receive::always(LINE));
        wire.peer_sends("protected\n");
        assert_eq!(wire.told(), [STARTED, "line protected"]);
        wire.close();
        wire.peer_finishes();
        assert!(wire.closed().unread.is_empty());
    }
}

/// T-12: a peer may send its first handshake bytes right behind its command.
#[test]
fn t_12_bytes_of_the_handshake_are_not_lost() {
    for hello in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"\x16",
        b"\x15\x03\x03",
        b"",
    ] {
        let mut wire = Wire::open(config(|_| {}));
        wire.receive(&Receive::once(LINE));
        wire.peer_sends([b"STARTTLS\r\n", hello].concat());
        assert_eq!(wire.start_tls(WITHIN).unwrap(), hello);
        assert_eq!(wire.machine.snapshot().unread, 0);
        wire.handshake_fails(TlsError::NotTls, true);
        wire.peer_finishes();
        assert!(wire.closed().unread.is_empty(), "they belong to TLS");
    }
}

/// XAS-55: before it in plain, nothing between, behind it protected; each notice when it is due.
#[test]
fn xas_55_what_is_sent_before_goes_in_plain_and_what_is_sent_after_waits() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send_tracked("220 go ahead\n", 1);
    assert_eq!(wire.start_tls(WITHIN).unwrap(), "");
    wire.send_tracked("EHLO", 2);
    assert!(!wire.shaking, "the answer is not out");
    wire.takes(5);
    assert_eq!(wire.taken, b"220 g");
    assert_eq!(wire.told(), NOTHING);
    wire.takes(usize::MAX);
    assert!(wire.shaking);
    assert_eq!(wire.taken, b"220 go ahead\n");
    assert_eq!(wire.told(), ["sent 1: 13 bytes"]);
    wire.send_tracked(" me", 3);
    wire.peer_sends("whatever comes is not ours\n");
    assert_eq!(wire.incoming.len(), 1, "the handshake has the link");
    wire.incoming.clear();
    assert_eq!(wire.machine.tls(), None);
    wire.secured();
    assert_eq!(wire.taken, b"220 go ahead\nEHLO me");
    assert_eq!(wire.told(), [STARTED, "sent 2: 4 bytes", "sent 3: 3 bytes"]);
    assert_eq!(wire.machine.tls(), Some(&facts()));
    assert_eq!(wire.machine.tls(), Some(&facts()));
    assert_eq!(wire.machine.poll_timeout(), None);
}

/// However little the socket takes at once, not a byte passes the boundary.
#[test]
fn no_byte_passes_the_boundary_in_whatever_pieces_the_socket_takes_them() {
    for gulp in 1..12 {
        let mut wire = Wire::open(config(|_| {}));
        wire.gulp = gulp;
        wire.takes(0);
        for (part, token) in [("one", 1), ("two", 2)] {
            wire.send_tracked(part, token);
        }
        wire.start_tls(WITHIN).unwrap();
        wire.machine
            .send(Bytes::from(vec![b'x'; 9_000]), Some(Token(3)))
            .unwrap();
        wire.send_tracked("tail", 4);
        for room in 0..6 {
            wire.takes(1);
            assert_eq!((wire.taken.len(), wire.shaking), (room + 1, room == 5));
        }
        wire.takes(usize::MAX);
        assert_eq!((wire.taken.len(), wire.plain), (6, 6));
        wire.secured();
        assert_eq!(wire.taken.len(), 6 + 9_000 + 4);
        assert_eq!(wire.told().len(), 5);
    }
}

/// A receive that is armed after the upgrade was asked for takes protected bytes, whenever it is armed.
#[test]
fn what_is_armed_meanwhile_takes_protected_bytes() {
    for phase in PHASES {
        let mut wire = at(phase, false, config(|_| {}));
        wire.receive(&Receive::always(LINE));
        assert!(wire.machine.snapshot().receiving);
        wire.takes(usize::MAX);
        wire.peer_sends("HELO\n");
        if phase != At::Secured {
            assert_eq!(wire.incoming.len(), 1, "not read: {phase:?}");
            wire.secured();
        }
        assert_eq!(wire.told().pop().unwrap(), "line HELO");
    }
}

/// T-12: no session, on whatever threads its handlers are, can take a plain frame for a protected one.
#[test]
fn t_12_the_handshake_waits_until_every_plain_frame_was_handled() {
    let mut wire = Wire::open(config(|_| {}));
    wire.generous = false;
    wire.receive(&times(2, LINE));
    wire.peer_sends("HELO\nSTARTTLS\n");
    assert_eq!(wire.machine.frames_out(), 2);
    // Nobody says that one of them was not begun with.
    wire.start_tls(WITHIN).unwrap();
    assert!(!wire.shaking && !wire.machine.wants_handshake());
    wire.give_back();
    assert!(wire.shaking);
    wire.secured();
    assert_eq!(wire.told().pop().unwrap(), STARTED);
}

/// What was taken at once and not begun with is recalled before it is asked: then it is plaintext.
#[test]
fn t_12_frames_that_are_recalled_stand_against_an_upgrade() {
    let mut wire = Wire::open(config(|_| {}));
    wire.generous = false;
    wire.at_once = 1;
    wire.busy = true;
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("STARTTLS\nMAIL\nRCPT\n");
    assert_eq!(wire.told(), ["line STARTTLS"]);
    wire.machine.cancel_receive();
    let pending = wire.machine.batch_len() - 1;
    assert_eq!(
        wire.machine.start_tls(WITHIN, pending, &mut wire.now()),
        Err(StartTlsError::FramesPending { frames: 2 })
    );
    wire.recall();
    assert_eq!(wire.machine.batch_len(), 0);
    let data = Bytes::from_static(b"MAIL\nRCPT\n");
    assert_eq!(
        wire.start_tls(WITHIN),
        Err(StartTlsError::Plaintext { data })
    );
}

/// The marks count what waits on both sides of the boundary.
#[test]
fn writing_pauses_and_resumes_across_the_upgrade() {
    let marks = config(|config| (config.write_high, config.write_low) = (10, 4));
    let mut wire = Wire::open(marks);
    wire.takes(0);
    wire.send("plain");
    wire.start_tls(WITHIN).unwrap();
    wire.send("protected");
    assert_eq!(wire.told(), ["write paused"]);
    wire.takes(usize::MAX);
    assert_eq!(wire.told(), NOTHING, "nine bytes are above the low mark");
    assert!(wire.shaking && wire.machine.is_write_paused());
    wire.secured();
    assert_eq!(wire.told(), [STARTED, "write resumed"]);
    assert_eq!(wire.machine.write_buffer_size(), 0);
}

/// A queue that is full is full while the handshake lasts, too.
#[test]
fn the_queue_is_bounded_while_nothing_leaves() {
    let mut wire = at(
        At::Shaking,
        false,
        config(|config| config.write_capacity = 8),
    );
    wire.send("12345678");
    let refusal = wire.machine.send("9", None).unwrap_err().refusal;
    assert!(matches!(refusal, SendRefusal::Full { queued: 8, .. }));
    wire.secured();
    wire.send("9");
    assert_eq!(wire.taken, b"220123456789");
}

/// AMB-12, AIO-05.
#[test]
fn aio_05_the_sending_direction_is_not_finished_alone_from_when_tls_was_asked_for() {
    for phase in PHASES {
        let mut wire = at(phase, false, config(|_| {}));
        assert_eq!(wire.machine.write_eof(), Err(SendRefusal::Unsupported));
        wire.drive();
        assert!(!wire.finished, "{phase:?}");
    }
}
