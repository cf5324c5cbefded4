//! What a transport that speaks TLS promises beside what all promise.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use switchboard::testkit::faults::{Action, Operation, Party};
use switchboard::testkit::{Faults, FaultyNet, Link, Simulation};
use switchboard::tls::TlsNetwork;
use switchboard::transport::{Network, Transport};
use switchboard::{ConnectTarget, ListenTarget, TlsError};
use switchboard_tests::pattern;
use switchboard_tests::talking::{HOST, Sides};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Both ends of a connection, the one that connected first.
async fn ends(network: &TlsNetwork) -> [Box<dyn Transport>; 2] {
    let mut listener = network.listen(ListenTarget::new(HOST)).await.unwrap();
    let (connected, incoming) = tokio::join!(
        network.connect(ConnectTarget::new(HOST)),
        poll_fn(|cx| listener.poll_accept(cx)),
    );
    [connected.unwrap().transport, incoming.unwrap().transport]
}

/// Records that the network did not take yet go along, and come first.
#[test]
fn a_write_under_way_moves_to_another_thread() {
    for swapped in [false, true] {
        let simulation = Simulation::seeded(1).link(Link::default().window(3000));
        simulation.run(|world| async move {
            let Sides { server, client } = Sides::new();
            let network = TlsNetwork::new(world.net().clone(), server, client);
            let mut both = ends(&network).await;
            if swapped {
                both.reverse();
            }
            let [mut near, mut far] = both;
            let bytes = pattern(50_000);
            let mut cx = Context::from_waker(Waker::noop());
            let first = Pin::new(&mut *near).poll_write(&mut cx, &bytes);
            assert!(first.is_pending(), "there is room for all of it");
            let mut near = near.detach().unwrap().attach().unwrap();
            let mut got = Vec::new();
            let writing = async {
                near.write_all(&bytes).await.unwrap();
                near.shutdown().await.unwrap();
            };
            let (_, read) = tokio::join!(writing, far.read_to_end(&mut got));
            read.unwrap();
            assert!(got == bytes, "not what was written");
        });
    }
}

/// Whoever has said its end may still be sent nonsense.
#[test]
fn a_changed_record_after_our_end_is_an_error() {
    let sides = Sides::new();
    let talk = |faults: Faults| {
        let Sides { server, client } = sides.clone();
        Simulation::seeded(1).run(|world| async move {
            let network = FaultyNet::new(world.net().clone(), faults);
            let network = TlsNetwork::new(network, server, client);
            let [mut near, mut far] = ends(&network).await;
            near.shutdown().await.unwrap();
            far.write_all(b"late").await.unwrap();
            near.read(&mut [0; 16]).await
        })
    };
    let length = Arc::new(AtomicU64::new(0));
    let read = Arc::clone(&length);
    let near = Faults::none().on(Party::Outbound(0));
    let kept = talk(near.clone().script(move |_| {
        let read = Arc::clone(&read);
        move |operation| {
            if let Operation::Read { at, .. } = operation {
                read.store(at, Ordering::Relaxed);
            }
            Action::Go
        }
    }));
    assert_eq!(kept.unwrap(), 4);
    // Inside of the record that has come last.
    let error = talk(near.corrupt_read(length.load(Ordering::Relaxed) - 3)).unwrap_err();
    let fault = TlsError::of(&error);
    assert!(matches!(fault, Some(TlsError::BadRecord { .. })), "{error}");
}
