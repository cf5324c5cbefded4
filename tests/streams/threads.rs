//! Plain threads of `std::net` as the peers of every way in which a connection is used in sequence, opened by
//! them and by us: byte-exact, in random pieces, with half-closes both ways.

use std::io::{Read, Write};
use std::net::Shutdown;

use bytes::{Buf, Bytes, BytesMut};
use fastrand::Rng;
use switchboard::stream::{Stream, TcpClient, join, start_server};
use switchboard::{Client, Listen, RecvError, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;

const COUNT: usize = 300_000;

/// How a connection is opened, and by whom.
#[derive(Debug, Clone, Copy)]
enum Opened {
    Requests,
    Exactly,
    Stream,
    Buffered,
    Traits,
    TcpClient,
    Served,
    Accepted,
    StreamServer,
}

impl Opened {
    const ALL: [Self; 9] = [
        Self::Requests,
        Self::Exactly,
        Self::Stream,
        Self::Buffered,
        Self::Traits,
        Self::TcpClient,
        Self::Served,
        Self::Accepted,
        Self::StreamServer,
    ];

    /// Our end, and the peer's.
    async fn open(self, pool: &Pool) -> (End, TcpStream) {
        match self {
            Self::Served | Self::Accepted | Self::StreamServer => self.opened_by_peer(pool).await,
            _ => self.opened_by_us(pool).await,
        }
    }

    async fn opened_by_us(self, pool: &Pool) -> (End, TcpStream) {
        let (listener, address) = listener();
        let connect = Connect::tcp(address);
        let end = match self {
            Self::Requests => End::Requests(pool.open(connect).await.unwrap()),
            Self::Exactly => End::Exactly(pool.open(connect).await.unwrap()),
            Self::TcpClient => {
                let mut client = TcpClient::new(pool, connect);
                client.connect().await.unwrap();
                End::TcpClient(Box::new(client))
            }
            _ => {
                let (reader, writer) = open_connection(pool, connect).await.unwrap();
                match self {
                    Self::Stream => End::Halves(reader, writer),
                    Self::Buffered => End::Halves(reader, writer.buffered()),
                    _ => End::Traits(join(reader, writer)),
                }
            }
        };
        let (peer, _) = listener.accept().unwrap();
        (end, peer)
    }

    async fn opened_by_peer(self, pool: &Pool) -> (End, TcpStream) {
        let (ends, mut opened) = mpsc::unbounded_channel();
        let listen = Listen::tcp(ANY);
        let dialled = |server: &Server| dial(server.local_addr());
        match self {
            Self::Served => {
                let serve = move |client: Client| {
                    ends.send(client.clone()).unwrap();
                    async move { _ = client.closed().await }
                };
                let server = pool.serve(listen, serve).await.unwrap();
                let peer = dialled(&server);
                (End::Requests(opened.recv().await.unwrap()), peer)
            }
            Self::Accepted => {
                let acceptor = pool.open_listener(listen).await.unwrap();
                let peer = dialled(acceptor.server());
                (End::Requests(acceptor.accept().await.unwrap()), peer)
            }
            _ => {
                let (halves, mut opened) = mpsc::unbounded_channel();
                let callback = move |reader, writer| halves.send((reader, writer)).unwrap();
                let server = start_server(pool, listen, callback).await.unwrap();
                let peer = dialled(&server);
                let (reader, writer) = opened.recv().await.unwrap();
                (End::Halves(reader, writer), peer)
            }
        }
    }
}

/// Our end of a connection.
enum End {
    Requests(Client),
    Exactly(Client),
    Halves(Reader, Writer),
    Traits(Stream),
    TcpClient(Box<TcpClient>),
}

impl End {
    /// Some bytes; none at the end.
    async fn take(&mut self, random: &mut Rng) -> Bytes {
        let most = random.usize(1..20_000);
        match self {
            Self::Requests(client) => match client.recv_up_to(most).await {
                Ok(bytes) => bytes,
                Err(RecvError::Finished { partial }) => partial,
                Err(error) => panic!("{error}"),
            },
            Self::Exactly(client) => match client.recv_exact(random.usize(1..3000)).await {
                Ok(bytes) => bytes,
                Err(RecvError::Finished { partial }) => partial,
                Err(error) => panic!("{error}"),
            },
            Self::Halves(reader, _) => reader.read(most).await.unwrap(),
            Self::Traits(stream) => {
                let mut bytes = BytesMut::with_capacity(most);
                stream.read_buf(&mut bytes).await.unwrap();
                bytes.freeze()
            }
            Self::TcpClient(client) => {
                let most = random.bool().then_some(most);
                client.recv(most).await.unwrap().unwrap_or_default()
            }
        }
    }

    async fn put(&mut self, bytes: Bytes) {
        match self {
            Self::Requests(client) | Self::Exactly(client) => client.sent(bytes).await.unwrap(),
            Self::Halves(_, writer) => {
                writer.write(bytes).unwrap();
                writer.drain().await.unwrap();
            }
            Self::Traits(stream) => stream.write_all(&bytes).await.unwrap(),
            Self::TcpClient(client) => {
                let mut rest = bytes;
                while !client.send(rest.clone(), 3).await.unwrap() {
                    rest.advance(client.taken());
                }
            }
        }
    }

    async fn finish(&mut self) {
        match self {
            Self::Requests(client) | Self::Exactly(client) => client.write_eof().unwrap(),
            Self::Halves(_, writer) => writer.write_eof().unwrap(),
            Self::Traits(stream) => stream.shutdown().await.unwrap(),
            Self::TcpClient(client) => client.client().unwrap().write_eof().unwrap(),
        }
    }

    /// Sends back what comes until the peer finishes, then finishes.
    async fn echo(&mut self, random: &mut Rng) {
        loop {
            let mut bytes = self.take(random).await;
            if bytes.is_empty() {
                return self.finish().await;
            }
            while !bytes.is_empty() {
                let size = random.usize(1..9000).min(bytes.len());
                self.put(bytes.split_to(size)).await;
            }
        }
    }

    /// Sends bytes to a peer that sends them back, finishes, and gives what came back until the end.
    async fn exchange(&mut self, mut bytes: Bytes, random: &mut Rng) -> BytesMut {
        // More than the peer has for both directions may not be on its way.
        const WINDOW: usize = 48 * 1024;
        let (mut back, mut sent) = (BytesMut::new(), 0);
        while !bytes.is_empty() {
            let size = random.usize(1..9000).min(bytes.len());
            self.put(bytes.split_to(size)).await;
            sent += size;
            while sent - back.len() > WINDOW {
                back.extend(self.take(random).await);
            }
        }
        self.finish().await;
        loop {
            let more = self.take(random).await;
            if more.is_empty() {
                return back;
            }
            back.extend(more);
        }
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
        for (seed, opened) in (0..).zip(Opened::ALL.into_iter().chain(Opened::ALL)) {
            let mut random = Rng::with_seed(seed);
            let (mut end, peer) = opened.open(&pool).await;
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
            assert!(back.await == sent, "{opened:?} with seed {seed}");
        }
    });
}

#[test]
fn threads_send_the_bytes_of_every_way_to_use_a_connection_back() {
    with_pool(async |pool| {
        for (seed, opened) in (100..).zip(Opened::ALL.into_iter().chain(Opened::ALL)) {
            let mut random = Rng::with_seed(seed);
            let (mut end, peer) = opened.open(&pool).await;
            let peer = patient(peer);
            let sent = random_bytes(random.fork());
            let ours = random.fork();
            let echo = std::thread::spawn(move || {
                read_random(&peer, ours, |piece| (&peer).write_all(piece).unwrap());
                peer.shutdown(Shutdown::Write).unwrap();
            });
            let back = end.exchange(sent.clone(), &mut random).await;
            assert!(back == sent, "{opened:?} with seed {seed}");
            super::peer(move || echo.join().unwrap()).await;
        }
    });
}
