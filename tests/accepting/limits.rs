//! Who is kept out uses up no accept.

use std::net::{IpAddr, Ipv4Addr};

use socket2::{Domain, Socket, Type};
use switchboard::AccessList;

use super::*;

/// A connection from this address of the loopback network.
fn dial_from(from: Ipv4Addr, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from = SocketAddr::new(IpAddr::V4(from), 0);
    socket.bind(&from.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_peer_that_the_access_list_keeps_out_is_nobodys_answer() {
    with_pool(async |pool| {
        let denied = Ipv4Addr::new(127, 0, 0, 2);
        let access = AccessList::new().deny("127.0.0.2/32".parse().unwrap());
        let (acceptor, address) = open(&pool, local().access(access)).await;
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        peer(move || {
            for _ in 0..3 {
                assert!(is_ended(&mut dial_from(denied, address)));
            }
        })
        .await;
        assert_eq!(acceptor.server().info().rejections.denied, 3);
        assert!(look(&mut asking).is_pending());
        let mut good = peer(move || dial(address)).await;
        let client = within(asking).await.unwrap();
        peer(move || assert!(are_ends(&client, &mut good))).await;
        assert_eq!(acceptor.server().info().accepted, 1);
    });
}

#[test]
fn a_peer_over_the_limit_is_nobodys_answer() {
    with_pool(async |pool| {
        let listen = local().max_connections(1).at_limit(AtLimit::Reject);
        let (acceptor, address) = open(&pool, listen).await;
        let _first = peer(move || dial(address)).await;
        let first = next(&acceptor).await;
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        peer(move || assert!(is_ended(&mut dial(address)))).await;
        assert_eq!(acceptor.server().info().rejections.limit, 1);
        assert!(look(&mut asking).is_pending());
        first.abort();
        until(|| acceptor.server().info().live == 0).await;
        let mut third = peer(move || dial(address)).await;
        let client = within(asking).await.unwrap();
        peer(move || assert!(are_ends(&client, &mut third))).await;
    });
}

#[test]
fn an_accept_waits_for_a_place_where_peers_do() {
    with_pool(async |pool| {
        let listen = local().max_connections(1).at_limit(AtLimit::Wait);
        let (acceptor, address) = open(&pool, listen).await;
        let _first = peer(move || dial(address)).await;
        let first = next(&acceptor).await;
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        let mut second = peer(move || {
            let mut second = dial(address);
            assert!(waits(&mut second));
            second
        })
        .await;
        assert!(look(&mut asking).is_pending());
        first.abort();
        let client = within(asking).await.unwrap();
        peer(move || assert!(are_ends(&client, &mut second))).await;
        assert_eq!(acceptor.server().info().accepted, 2);
        assert_eq!(acceptor.server().info().rejected, 0);
    });
}
