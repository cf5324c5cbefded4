//! Every error there is.

use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{
    ArmError, BufferSlots, ConfigError, ConnectPhase, Encoding, Error, Fifo, ListenPhase,
    SendRefusal, SlotError, SlotsError, StartError,
};
use switchboard_tests::*;

use super::{MIB, local};

/// XAS-68: every error of the crate turns into the one that covers them all, and says in one line
/// what was wrong.
#[test]
fn xas_68_each_error_is_produced_and_covered() {
    let mut seen: Vec<Error> = Vec::new();
    // Without a system around it a pool with threads cannot start.
    seen.push(Pool::builder().shards(1).start().unwrap_err().into());
    assert!(matches!(seen[0], Error::Start(StartError::NoSystem)));
    seen.push(Pool::builder().shards(1 << 20).start().unwrap_err().into());
    seen.push(BufferSlots::new(0, 256, true).unwrap_err().into());
    seen.push(BufferSlots::new(1, 255, true).unwrap_err().into());
    assert!(matches!(seen[2], Error::Slots(SlotsError::NoSlots)));
    seen.push(Fifo::<u8>::new().get().unwrap_err().into());
    seen.push(Encoding::for_label("klingon").unwrap_err().into());
    let told = &mut seen;
    with_pool(|pool| async move {
        let seen = told;
        // A server that cannot be.
        let make = |client| Echo { client };
        for (listen, phase) in [
            (local().lines().backlog(0), ListenPhase::Options),
            (
                Listen::tcp("no.such.name.invalid:1").lines(),
                ListenPhase::Resolve,
            ),
            (Listen::tcp("192.0.2.1:1").lines(), ListenPhase::Bind),
        ] {
            let error = pool.listen(listen, make).await.unwrap_err();
            assert_eq!(error.phase, phase, "{error}");
            seen.push(error.into());
        }
        // A connection that cannot be.
        let (listener, closed) = listener();
        drop(listener);
        let zero = Duration::ZERO;
        for (connect, phase) in [
            (Connect::tcp(closed).timeout(zero), ConnectPhase::Options),
            (
                Connect::tcp("no.such.name.invalid:1"),
                ConnectPhase::Resolve,
            ),
            (
                Connect::tcp(closed).local_addr("192.0.2.1:0".parse().unwrap()),
                ConnectPhase::Local,
            ),
            (Connect::tcp(closed), ConnectPhase::Connect),
        ] {
            let connecting = pool.connect(connect.lines(), |client| Echo { client });
            let error = connecting.await.unwrap_err();
            assert_eq!(error.phase, phase, "{error}");
            seen.push(error.into());
        }
        // Settings that cannot be.
        for change in [
            |listen: &mut Listen| listen.config_mut().recv_buffer = 1,
            |listen: &mut Listen| listen.config_mut().max_message = usize::MAX,
            |listen: &mut Listen| listen.config_mut().flush_timeout = Duration::ZERO,
            |listen: &mut Listen| listen.config_mut().write_high = 1,
        ] {
            let mut listen = local().lines();
            change(&mut listen);
            let error: ConfigError = listen.config_mut().validate().unwrap_err();
            seen.push(error.into());
            let error = pool.listen(listen, make).await.unwrap_err();
            assert_eq!(error.phase, ListenPhase::Options);
        }
        // A connection that is asked for what it cannot do.
        let listen = local().write_capacity(MIB).max_message(100);
        let (stream, client, mut trace) = serve(&pool, listen).await;
        let refusals = [
            client.send("").unwrap_err().refusal,
            client.send(vec![0; 2 * MIB]).unwrap_err().refusal,
            client.send_msg(vec![0; 101], None).unwrap_err().refusal,
        ];
        assert_eq!(refusals[0], SendRefusal::Empty);
        assert!(matches!(refusals[1], SendRefusal::Full { .. }));
        assert!(matches!(refusals[2], SendRefusal::MessageTooLong { .. }));
        seen.extend(refusals.map(Error::from));
        let too_much = std::num::NonZeroUsize::new(17 * MIB).unwrap();
        let five = std::num::NonZeroUsize::new(5).unwrap();
        for receive in [
            RecvData::exact(too_much),
            RecvData::exact(five).timeout(Duration::ZERO),
        ] {
            seen.push(client.arm(receive).unwrap_err().into());
        }
        let empty = client.arm(RecvUntil::delimiter("")).unwrap_err();
        assert_eq!(empty, ArmError::EmptyDelimiter);
        seen.push(empty.into());
        client.arm(RecvLine::once()).unwrap();
        let twice = client.arm(RecvLine::once()).unwrap_err();
        assert_eq!(twice, ArmError::AlreadyReceiving);
        seen.push(twice.into());
        assert!(client.cancel_recv());
        let slot = client.take_send_slot().unwrap();
        let busy = client.take_send_slot().unwrap_err();
        assert_eq!(busy, SlotError::Busy);
        seen.push(busy.into());
        let bad = slot.send(0, None).unwrap_err();
        assert!(matches!(bad, SlotError::BadSize { asked: 0, .. }));
        seen.push(bad.into());
        seen.push(
            client
                .set_write_limits(Some(1), Some(2))
                .unwrap_err()
                .into(),
        );
        client.write_eof().unwrap();
        let finished = client.send("x").unwrap_err();
        assert_eq!(finished.refusal, SendRefusal::WriteClosed);
        assert_eq!(finished.payload, "x", "what was refused comes back");
        seen.push(finished.into());
        client.close();
        drop(stream);
        expect!(trace, Closed);
        seen.push(client.arm(RecvLine::once()).unwrap_err().into());
        let slot = client.take_send_slot().unwrap_err();
        assert_eq!(slot, SlotError::Refused(SendRefusal::Closed));
        seen.push(slot.into());

        // A peer that has finished, with a session that keeps the connection open.
        let (stream, client, mut trace) = serve_full(&pool, local().lines()).await;
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        let error = client.arm(RecvLine::once()).unwrap_err();
        assert_eq!(error, ArmError::PeerFinished);
        seen.push(error.into());
        client.close();

        // More notices than may wait, behind bytes that the peer does not take.
        let (_stream, client, _trace) = serve(&pool, local()).await;
        client.send(vec![0; 12 * MIB]).unwrap();
        let refused = (0..100_000_u64).find_map(|n| client.send_with("x", n).err());
        let refused = refused.unwrap();
        assert!(refused.is_full());
        assert!(matches!(
            refused.refusal,
            SendRefusal::TooManyNotices { limit: 65_536 }
        ));
        seen.push(refused.into());
        client.abort();

        // A pool that is stopped.
        pool.stop().await;
        seen.push(pool.status().await.unwrap_err().into());
        let error = pool.listen(local().lines(), make).await.unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::NotConnected);
        let connecting = pool.connect(Connect::tcp(closed).lines(), |client| Echo { client });
        assert!(connecting.await.is_err());
    });
    seen.push(std::io::Error::other("the system's own").into());
    assert!(seen.len() > 30);
    for error in seen {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        assert!(text.starts_with(|c: char| !c.is_uppercase()), "{text}");
    }
}
