//! Ends and resets are what they are with TCP, also behind a cut and with latency.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use switchboard::testkit::{Link, MemoryNet, MemoryStream, Simulation};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const HOST: &str = "10.0.0.1:7";

async fn pair(net: &MemoryNet) -> (MemoryStream, MemoryStream) {
    let mut listener = net.listen(HOST).unwrap();
    let near = net.connect(HOST).await.unwrap();
    (near, listener.accept().await)
}

/// What someone sees whose peer says `x` and goes in order, and who writes all the same.
async fn after_an_end<S: AsyncRead + AsyncWrite + Unpin>(mut near: S, mut far: S) -> Vec<String> {
    /// The time that the system may need to carry an end or a reset over.
    const MOMENT: Duration = Duration::from_millis(20);
    far.write_all(b"x").await.unwrap();
    drop(far);
    sleep(MOMENT).await;
    let mut told = Vec::new();
    let mut tell = |what: Result<usize, std::io::Error>| {
        told.push(format!("{:?}", what.map_err(|error| error.kind())));
    };
    let mut buffer = [0; 8];
    tell(near.write(b"1").await);
    sleep(MOMENT).await;
    tell(near.read(&mut buffer).await);
    tell(near.read(&mut buffer).await);
    tell(near.write(b"2").await);
    tell(near.read(&mut buffer).await);
    tell(near.shutdown().await.map(|()| 0));
    told
}

#[test]
fn an_end_stays_an_end_whatever_comes_after_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let near = tokio::net::TcpStream::connect(address).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        let tcp = after_an_end(near, far).await;
        let (near, far) = pair(&MemoryNet::new()).await;
        assert_eq!(after_an_end(near, far).await, tcp);
    });
}

fn hosts() -> (IpAddr, IpAddr) {
    ([127, 0, 0, 1].into(), [10, 0, 0, 1].into())
}

#[test]
fn a_dead_peer_behind_a_cut_takes_no_more_than_the_window() {
    let link = Link::default().window(1000);
    Simulation::seeded(1).link(link).run(|world| async move {
        let (here, there) = hosts();
        let (mut near, far) = pair(world.net()).await;
        world.net().set_cut(here, there, true);
        world.net().set_cut(there, here, true);
        drop(far);
        let hour = Duration::from_secs(3600);
        let outcome = timeout(hour, near.write_all(&[0; 100_000])).await;
        assert!(outcome.is_err(), "{outcome:?}");
        // Healed, the bytes find nobody, and the answer is a reset.
        world.net().set_cut(here, there, false);
        world.net().set_cut(there, here, false);
        let error = near.write_all(&[0; 100_000]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn bytes_that_never_arrive_are_not_answered() {
    Simulation::seeded(1).run(|world| async move {
        let (here, there) = hosts();
        let (mut near, far) = pair(world.net()).await;
        world.net().set_cut(here, there, true);
        drop(far);
        near.write_all(b"never arrives").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(near.read(&mut [0; 4]).await.unwrap(), 0);
    });
}

#[test]
fn a_writer_without_room_learns_of_a_reset_when_it_arrives() {
    let second = Duration::from_secs(1);
    let link = Link::default().window(10).latency(second);
    Simulation::seeded(1).link(link).run(|world| async move {
        let (mut near, far) = pair(world.net()).await;
        let resets = async {
            sleep(5 * second).await;
            far.reset();
        };
        let begun = world.elapsed();
        let (outcome, ()) = tokio::join!(near.write_all(&[0; 1000]), resets);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(world.elapsed() - begun, 6 * second);
    });
}

#[test]
fn no_two_living_connections_have_the_same_addresses() {
    Simulation::seeded(1).run(|world| async move {
        let net = world.net();
        let mut listener = net.listen(HOST).unwrap();
        let mut living = Vec::new();
        let mut addresses = std::collections::HashSet::new();
        let refused = loop {
            match net.connect(HOST).await {
                Ok(near) => {
                    assert!(addresses.insert(near.local_addr()));
                    living.push((near, listener.accept().await));
                }
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(living.len(), 16_384);
        living.swap_remove(77);
        net.connect(HOST).await.unwrap();
    });
}

#[test]
fn peers_come_from_the_host_that_they_choose_and_can_be_cut_off_alone() {
    Simulation::seeded(1).run(|world| async move {
        let net = world.net();
        let mut listener = net.listen(HOST).unwrap();
        let lonely: IpAddr = [10, 0, 0, 9].into();
        let mut cut_off = net.connect_from(lonely, HOST).await.unwrap();
        let mut far_off = listener.accept().await;
        assert_eq!(far_off.peer_addr().ip(), lonely);
        let mut near = net.connect(HOST).await.unwrap();
        let mut far = listener.accept().await;
        net.set_cut(lonely, hosts().1, true);
        cut_off.write_all(b"x").await.unwrap();
        near.write_all(b"y").await.unwrap();
        assert_eq!(far.read(&mut [0; 4]).await.unwrap(), 1);
        let quiet = timeout(Duration::from_secs(9), far_off.read(&mut [0; 4])).await;
        assert!(quiet.is_err());
        let refused = net.connect("[::1]:7").await.unwrap_err();
        assert_eq!(
            refused.kind(),
            ErrorKind::ConnectionRefused,
            "IPv6 is another family"
        );
    });
}

#[test]
fn a_latency_for_ever_is_a_timeout() {
    let link = Link::default().latency(Duration::MAX);
    Simulation::seeded(1).link(link).run(|world| async move {
        let _listener = world.net().listen(HOST).unwrap();
        let error = world.net().connect(HOST).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}
