//! Faults of accepting and connecting.

use std::io::ErrorKind;
use std::time::Instant;

use switchboard::ConnectPhase;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::Faults;
use switchboard::testkit::faults::{Fault, Party};
use switchboard_tests::*;

use super::{ANY, faulty, ms};

#[test]
fn t_28_accepting_pauses_without_descriptors_and_goes_on() {
    let faults = Faults::none().accept_errors([Fault::EMFILE, Fault::EMFILE]);
    with(faulty(&faults), |pool| async move {
        let mut events = watch(&pool);
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let mut stream = dial(server.local_addr());
        for expected in [100, 200] {
            let pause = next_pool_event(&mut events, |event| match event {
                PoolEvent::AcceptPaused { pause, .. } => Some(*pause),
                _ => None,
            });
            assert_eq!(pause.await, ms(expected));
        }
        let echoed = peer(move || exchange(&mut stream, b"hello\n")).await;
        assert_eq!(echoed, b"hello\n");
        let info = server.info();
        assert_eq!((info.pauses, info.faults, info.accepted), (2, 0, 1));
    });
    assert_eq!(faults.counts().accept_errors, 2);
}

#[test]
fn t_28_a_peer_that_is_gone_before_it_is_accepted_costs_nothing() {
    let faults = Faults::none().accept_errors([Fault::ECONNABORTED; 5]);
    with(faulty(&faults), |pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let mut stream = dial(server.local_addr());
        let echoed = peer(move || exchange(&mut stream, b"hello\n")).await;
        assert_eq!(echoed, b"hello\n");
        let info = server.info();
        assert_eq!((info.pauses, info.faults, info.accepted), (0, 5, 1));
    });
}

#[test]
fn connecting_is_refused_delayed_or_given_up() {
    let faults = Faults::none()
        .on(Party::Outbound(0))
        .refuse_connect(ErrorKind::HostUnreachable)
        .on(Party::Outbound(1))
        .connect_delay(ms(80))
        .on(Party::Outbound(2))
        .connect_delay(PATIENCE);
    with(faulty(&faults), |pool| async move {
        let (listener, address) = listener();
        let mut trace = Probe::new();
        let session = trace.session();
        let connect = |timeout| {
            let connect = Connect::tcp(address).timeout(timeout).lines();
            pool.connect(connect, session.clone())
        };
        let error = connect(PATIENCE).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::HostUnreachable);
        assert_eq!(error.phase, ConnectPhase::Connect);
        assert_eq!(error.target, address.to_string());
        expect!(trace, ConnectFailed);
        let began = Instant::now();
        let client = connect(PATIENCE).await.unwrap();
        assert!(began.elapsed() >= ms(80));
        expect!(trace, Connected);
        client.abort();
        expect!(trace, Closed);
        let error = connect(ms(50)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TimedOut);
        expect!(trace, ConnectFailed);
        drop(listener);
    });
    assert_eq!(faults.counts().connect_errors, 1);
}
