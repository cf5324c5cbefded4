//! Payloads with code of their own, sockets that get a peer later, and handlers that fall behind.

use std::time::Instant;

use switchboard::message::*;
use switchboard::{OpenRaw, Peers};
use switchboard_tests::with_pool;

use super::*;

struct Owner {
    udp: Udp,
    bytes: [u8; 4],
    dropped: std::sync::mpsc::Sender<usize>,
}
impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
impl Drop for Owner {
    fn drop(&mut self) {
        let size = self.udp.write_buffer_size();
        self.dropped.send(size).unwrap();
    }
}

#[test]
fn a_payloads_drop_may_use_the_socket() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let peer = peer();
        let (dropped, was_dropped) = std::sync::mpsc::channel();
        let data = bytes::Bytes::from_owner(Owner {
            udp: udp.clone(),
            bytes: *b"mine",
            dropped,
        });
        udp.send_to(data, peer.local_addr().unwrap()).unwrap();
        assert_eq!(received(&peer), b"mine");
        assert_eq!(was_dropped.recv_timeout(PATIENCE), Ok(0));
    });
}

struct Slow(std::sync::Arc<tokio::sync::Semaphore>);
impl Actor for Slow {
    type Context = Context<Self>;
}
impl Handler<Sent> for Slow {
    type Result = ();
    fn handle(&mut self, _: Sent, ctx: &mut Self::Context) {
        use actix::{AsyncContext, WrapFuture};
        let go = self.0.clone();
        // It is let go for good when the gate is closed.
        let waiting = async move { drop(go.acquire().await) };
        ctx.wait(waiting.into_actor(self));
    }
}

#[test]
fn notices_that_nobody_handles_are_bounded() {
    with_pool(async |pool| {
        let go = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let slow = Slow(go.clone()).start();
        let mut bind = local().recv_limits(8, 1024);
        bind.config_mut().max_notices = 4;
        let handlers = Handlers::new().sent(slow.recipient());
        let udp = pool.bind_udp(bind, |_| handlers).await.unwrap();
        let to = nobody();
        let mut taken = 0;
        for token in 0..300_u64 {
            taken += usize::from(udp.send_to_with("x", to, token).is_ok());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        go.close();
        assert!(taken <= 145, "{taken}");
    });
}

struct Errors {
    told: tokio::sync::mpsc::UnboundedSender<u64>,
}
impl Actor for Errors {
    type Context = SessionContext<Self>;
}
impl Handler<UdpError> for Errors {
    type Result = ();
    fn handle(&mut self, msg: UdpError, _: &mut Self::Context) {
        let _ = self.told.send(msg.count);
    }
}
impl Handler<DatagramReceived> for Errors {
    type Result = ();
    fn handle(&mut self, _: DatagramReceived, _: &mut Self::Context) {}
}
session!(Errors);

#[test]
fn an_error_is_told_to_one_that_is_connected_later() {
    with_pool(async |pool| {
        let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
        let udp = pool.bind_udp(local(), |_| Errors { told }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        udp.connect(nobody()).await.unwrap();
        udp.send("anybody?").unwrap();
        let began = Instant::now();
        let told = tokio::time::timeout(Duration::from_secs(2), tell.recv()).await;
        assert_eq!(told, Ok(Some(1)), "{:?}", began.elapsed());
    });
}

#[test]
fn it_is_not_closed_while_its_session_is_made() {
    with_pool(async |pool| {
        let (told, tell) = std::sync::mpsc::channel();
        let _udp = pool
            .bind_udp(local(), move |udp: Udp| {
                told.send(udp.is_closed()).unwrap();
                Echo { udp }
            })
            .await
            .unwrap();
        assert_eq!(tell.recv(), Ok(false));
    });
}

#[test]
fn one_that_was_adopted_connected_has_no_peers_to_serve() {
    with_pool(async |pool| {
        let there = peer();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(there.local_addr().unwrap()).unwrap();
        let served = pool
            .serve_udp(BindUdp::adopt(socket), Peers::default(), |udp| Echo { udp })
            .await;
        assert!(served.is_err());
    });
}

#[test]
fn a_raw_address_keeps_its_interface() {
    with_pool(async |pool| {
        let Ok(raw) = pool.open_raw_alone(OpenRaw::v6(58)).await else {
            return;
        };
        let text = std::fs::read_to_string("/proc/net/if_inet6").unwrap();
        let Some(line) = text.lines().find(|line| line.starts_with("fe80")) else {
            return;
        };
        let fields: Vec<_> = line.split_whitespace().collect();
        let ip = std::net::Ipv6Addr::from(u128::from_str_radix(fields[0], 16).unwrap());
        let scope = u32::from_str_radix(fields[1], 16).unwrap();
        let to = std::net::SocketAddrV6::new(ip, 0, 0, scope);
        let ping = [128, 0, 0, 0, 9, 9, 0, 1];
        raw.sent_to(ping.to_vec(), std::net::SocketAddr::V6(to), Some(PATIENCE))
            .await
            .unwrap();
        let (_, from) = raw.recv_from(100, Some(PATIENCE)).await.unwrap().unwrap();
        assert_eq!(from, std::net::SocketAddr::V6(to));
        let again = raw
            .sent_to(ping.to_vec(), from.clone(), Some(PATIENCE))
            .await;
        assert_eq!(again, Ok(8), "{from:?}");
    });
}

/// A Unix receiver that does not read keeps only its own datagrams waiting.
#[cfg(unix)]
#[test]
fn a_unix_receiver_that_does_not_read_holds_up_nobody_else() {
    use std::os::unix::net::UnixDatagram;

    use switchboard::Address;

    with_pool(async |pool| {
        let place = std::env::temp_dir().join(format!("switchboard-stuck-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let stalled = UnixDatagram::bind(place.join("stalled")).unwrap();
        let good = UnixDatagram::bind(place.join("good")).unwrap();
        good.set_read_timeout(Some(PATIENCE)).unwrap();
        let to = |name: &str| Address::from(place.join(name));
        let bind = BindUdp::unix(place.join("me"));
        let udp = pool.open_udp(bind).await.unwrap();
        // More than the system queues for it (net.unix.max_dgram_qlen).
        for number in 0..600_u32 {
            let data = number.to_be_bytes().to_vec();
            udp.send_to(data, to("stalled")).unwrap();
            if number % 100 == 0 {
                udp.send_to("good", to("good")).unwrap();
            }
        }
        let mut data = [0; 16];
        for _ in 0..6 {
            assert_eq!(good.recv(&mut data).unwrap(), 4);
        }
        assert!(udp.write_buffer_size() > 0);
        stalled.set_read_timeout(Some(PATIENCE)).unwrap();
        switchboard_tests::peer(move || {
            for number in 0..600_u32 {
                let mut data = [0; 16];
                assert_eq!(stalled.recv(&mut data).unwrap(), 4);
                assert_eq!(data[..4], number.to_be_bytes());
            }
        })
        .await;
        udp.close();
        udp.wait_closed().await;
        std::fs::remove_dir_all(place).unwrap();
    });
}
