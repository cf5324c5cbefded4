//! Datagrams go out and come in whole.

use switchboard::prelude::*;

use super::{Echo, address, peer};

#[actix::test]
async fn a_datagram_comes_back_to_who_sent_it() {
    let pool = Pool::builder().start().unwrap();
    let udp = pool
        .bind_udp(BindUdp::new("127.0.0.1:0"), |udp| Echo { udp })
        .await
        .unwrap();
    let to = address(&udp);
    let peers = tokio::task::spawn_blocking(move || {
        for round in 0..200_u32 {
            let peer = peer();
            let sent = vec![7; usize::try_from(round).unwrap() * 10];
            peer.send_to(&sent, to).unwrap();
            let mut received = [0; 4096];
            let (count, from) = peer.recv_from(&mut received).unwrap();
            assert_eq!(from, to);
            assert_eq!(received[..count], sent);
        }
    });
    peers.await.unwrap();
    assert_eq!(udp.counts().received, 200);
    assert_eq!(pool.connections().await.unwrap().len(), 1);
    udp.close();
    udp.wait_closed().await;
    assert_eq!(pool.connections().await.unwrap().len(), 0);
    let totals = pool.stop().await;
    assert_eq!(
        (totals.opened, totals.live, totals.closed_in_all()),
        (1, 0, 1)
    );
}
