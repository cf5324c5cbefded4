//! Accepts wait on while their listener fails and comes back, or is suspended.

use std::sync::atomic::Ordering::SeqCst;

use switchboard::transport::TcpNetwork;
use switchboard::{ListenState, SessionContext, Suspend};
use switchboard_tests::failing::FailOnAccept;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// As many accepts wait as there are, and no more peers are taken than they ask for.
#[test]
fn accepts_wait_on_over_panics_of_the_listeners_actor() {
    let (net, faults) = FailOnAccept::over(TcpNetwork);
    with(Pool::builder().shards(2).network(net), async |pool| {
        let listen = local()
            .intensity(100, MINUTE)
            .backoff(every(Duration::from_millis(5)));
        let (acceptor, address) = open(&pool, listen).await;
        let mut peers = Vec::new();
        for round in 0..5 {
            let mut asking = [Box::pin(acceptor.accept()), Box::pin(acceptor.accept())];
            let waiting = peers.len();
            if waiting == 0 {
                assert!(asking.iter_mut().all(|asking| look(asking).is_pending()));
            }
            faults.panics.fetch_add(1, SeqCst);
            for _ in 0..3 - waiting {
                peers.push(peer(move || dial(address)).await);
            }
            let [first, second] = asking;
            let clients = [within(first).await.unwrap(), within(second).await.unwrap()];
            peers = peer(move || {
                for client in clients {
                    assert!(are_ends(&client, &mut peers.remove(0)));
                }
                assert!(waits(&mut peers[0]));
                peers
            })
            .await;
            let info = acceptor.server().info();
            assert_eq!(info.accepted, 2 * (round + 1));
        }
        assert_eq!(acceptor.server().info().restarts, 5);
        assert_eq!(faults.panics.load(SeqCst), 0);
    });
}

#[test]
fn an_accept_waits_on_while_the_socket_dies_and_is_bound_again() {
    let (net, faults) = FailOnAccept::over(TcpNetwork);
    with(Pool::builder().shards(2).network(net), async |pool| {
        let listen = local().backoff(every(Duration::from_millis(5)));
        let (acceptor, address) = open(&pool, listen).await;
        faults.deaths.fetch_add(1, SeqCst);
        // It dies of this one, when it is looked at for the first time.
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        until(|| acceptor.server().info().restarts == 1).await;
        let mut dialled = peer(move || dial(address)).await;
        let client = within(asking).await.unwrap();
        peer(move || assert!(are_ends(&client, &mut dialled))).await;
        assert_eq!(acceptor.server().info().accepted, 1);
    });
}

/// Stops its own thread when it is told anything.
struct Assassin;

impl Actor for Assassin {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Assassin {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        actix_rt::Arbiter::current().stop();
    }
}

switchboard::session!(Assassin);

#[test]
fn an_accept_waits_on_while_the_thread_of_its_shard_is_replaced() {
    let builder = Pool::builder()
        .shards(2)
        .intensity(100, MINUTE)
        .backoff(every(Duration::from_millis(5)));
    with(builder, async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        let killers = pool.listen(local().lines(), |_| Assassin).await.unwrap();
        let door = killers.local_addr();
        let mut killer = loop {
            let killer = peer(move || dial(door)).await;
            let here = killer.local_addr().ok();
            until(|| killers.info().live > 0).await;
            let clients = pool.connections().await.unwrap();
            let found = clients.iter().find(|info| info.peer_addr == here);
            if found.is_some_and(|info| info.id.shard() == acceptor.server().id().shard()) {
                break killer;
            }
        };
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        killer.write_all(b"die\n").unwrap();
        until(|| acceptor.server().info().restarts == 1).await;
        let mut peers = peer(move || [dial(address), dial(address)]).await;
        let client = within(asking).await.unwrap();
        peer(move || {
            assert!(are_ends(&client, &mut peers[0]));
            assert!(waits(&mut peers[1]));
        })
        .await;
        assert_eq!(acceptor.server().info().accepted, 1);
    });
}

#[test]
fn an_accept_waits_on_while_its_listener_is_suspended() {
    for how in [Suspend::StopAccepting, Suspend::ClosePort] {
        with_pool(async |pool| {
            let (acceptor, address) = open(&pool, local()).await;
            let server = acceptor.server();
            let mut asking = Box::pin(acceptor.accept());
            assert!(look(&mut asking).is_pending());
            server.suspend(how).await.unwrap();
            assert_eq!(server.info().state, ListenState::Suspended(how));
            let waiting = peer(move || match how {
                Suspend::StopAccepting => {
                    let mut waiting = dial(address);
                    assert!(waits(&mut waiting));
                    Some(waiting)
                }
                Suspend::ClosePort => {
                    TcpStream::connect(address).unwrap_err();
                    None
                }
            })
            .await;
            assert!(look(&mut asking).is_pending());
            server.resume().await.unwrap();
            let mut dialled = match waiting {
                Some(waiting) => waiting,
                None => peer(move || dial(address)).await,
            };
            let client = within(asking).await.unwrap();
            let mut second = peer(move || {
                assert!(are_ends(&client, &mut dialled));
                let mut second = dial(address);
                assert!(waits(&mut second));
                second
            })
            .await;
            let client = next(&acceptor).await;
            peer(move || assert!(are_ends(&client, &mut second))).await;
        });
    }
}
