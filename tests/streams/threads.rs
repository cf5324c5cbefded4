//! Plain threads of `std::net` as the peers of every way in which a connection is used in sequence, opened by
//! them and by us: byte-exact, in random pieces, with half-closes both ways.

use std::io::{Read, Write};
use std::net::Shutdown;

use bytes::Bytes;
use fastrand::Rng;

use super::ways::{End, Way};
use super::*;

const COUNT: usize = 300_000;

/// Our end, and that of a thread.
async fn open(way: Way, pool: &Pool) -> (End, TcpStream) {
    if way.is_opened_by_peer() {
        let listening = way.listen(pool).await;
        let peer = dial(listening.address);
        (listening.accepted().await, peer)
    } else {
        let (listener, address) = listener();
        let end = way.connect(pool, address).await;
        (end, listener.accept().unwrap().0)
    }
}

/// Writes all in random pieces, and finishes.
fn write_random(mut to: &TcpStream, mut bytes: &[u8], mut random: Rng) {
    to.set_nodelay(true).unwrap();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(random.usize(1..9000).min(bytes.len()));
        to.write_all(piece).unwrap();
        bytes = rest;
    }
    to.shutdown(Shutdown::Write).unwrap();
}

/// Reads to the end in random pieces.
fn read_random(mut from: &TcpStream, mut random: Rng, mut then: impl FnMut(&[u8])) {
    let mut piece = [0; 9000];
    loop {
        let room = random.usize(1..piece.len());
        match from.read(&mut piece[..room]).unwrap() {
            0 => return,
            count => then(&piece[..count]),
        }
    }
}

fn patient(peer: TcpStream) -> TcpStream {
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    peer
}

fn random_bytes(mut random: Rng) -> Bytes {
    std::iter::repeat_with(|| random.u8(..))
        .take(COUNT)
        .collect()
}

#[test]
fn threads_get_their_bytes_back_from_every_way_to_use_a_connection() {
    with_pool(async |pool| {
        for (seed, way) in (0..).zip(Way::ALL.into_iter().chain(Way::ALL)) {
            let mut random = Rng::with_seed(seed);
            let (mut end, peer) = open(way, &pool).await;
            let peer = patient(peer);
            let sent = random_bytes(random.fork());
            let (to, bytes, ours) = (peer.try_clone().unwrap(), sent.clone(), random.fork());
            let writing = std::thread::spawn(move || write_random(&to, &bytes, ours));
            let ours = random.fork();
            let reading = std::thread::spawn(move || {
                let mut back = Vec::new();
                read_random(&peer, ours, |piece| back.extend_from_slice(piece));
                back
            });
            end.echo(&mut random).await;
            let back = super::peer(move || (writing.join().unwrap(), reading.join().unwrap()).1);
            assert!(back.await == sent, "{way:?} with seed {seed}");
        }
    });
}

#[test]
fn threads_send_the_bytes_of_every_way_to_use_a_connection_back() {
    with_pool(async |pool| {
        for (seed, way) in (100..).zip(Way::ALL.into_iter().chain(Way::ALL)) {
            let mut random = Rng::with_seed(seed);
            let (mut end, peer) = open(way, &pool).await;
            let peer = patient(peer);
            let sent = random_bytes(random.fork());
            let ours = random.fork();
            let echo = std::thread::spawn(move || {
                read_random(&peer, ours, |piece| (&peer).write_all(piece).unwrap());
                peer.shutdown(Shutdown::Write).unwrap();
            });
            let back = end.exchange(sent.clone(), &mut random).await;
            assert!(back == sent, "{way:?} with seed {seed}");
            super::peer(move || echo.join().unwrap()).await;
        }
    });
}
