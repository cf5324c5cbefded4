//! Every way in which a connection is used in sequence, opened by us and by peers.

use std::net::SocketAddr;
use std::pin::Pin;

use bytes::{Buf, Bytes, BytesMut};
use fastrand::Rng;
use switchboard::stream::{Stream, TcpClient, join, start_server};
use switchboard::{Client, Listen, RecvError, blocking};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;

/// How a connection is opened, and used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way {
    Requests,
    Exactly,
    Stream,
    Buffered,
    Traits,
    TcpClient,
    Blocking,
    Served,
    Accepted,
    StreamServer,
    BlockingListener,
}

/// Somebody who waits for a peer.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    accepted: Pin<Box<dyn Future<Output = End>>>,
}

impl Listening {
    /// Our end, when the peer has come.
    pub(super) async fn accepted(self) -> End {
        self.accepted.await
    }
}

impl Way {
    pub(super) const ALL: [Self; 11] = [
        Self::Requests,
        Self::Exactly,
        Self::Stream,
        Self::Buffered,
        Self::Traits,
        Self::TcpClient,
        Self::Blocking,
        Self::Served,
        Self::Accepted,
        Self::StreamServer,
        Self::BlockingListener,
    ];

    pub(super) const fn is_opened_by_peer(self) -> bool {
        matches!(
            self,
            Self::Served | Self::Accepted | Self::StreamServer | Self::BlockingListener
        )
    }

    /// Our end of a connection to a peer that listens there.
    pub(super) async fn connect(self, pool: &Pool, address: SocketAddr) -> End {
        let connect = Connect::tcp(address);
        match self {
            Self::Requests => End::Requests(pool.open(connect).await.unwrap()),
            Self::Exactly => End::Exactly(pool.open(connect).await.unwrap()),
            Self::TcpClient => {
                let mut client = TcpClient::new(pool, connect);
                client.connect().await.unwrap();
                End::TcpClient(Box::new(client))
            }
            Self::Blocking => End::Blocking(peer(|| blocking::connect(connect)).await.unwrap()),
            _ => {
                let (reader, writer) = open_connection(pool, connect).await.unwrap();
                match self {
                    Self::Stream => End::Halves(reader, writer),
                    Self::Buffered => End::Halves(reader, writer.buffered()),
                    _ => End::Traits(join(reader, writer)),
                }
            }
        }
    }

    /// Waits for a peer.
    pub(super) async fn listen(self, pool: &Pool) -> Listening {
        let listen = Listen::tcp(ANY);
        match self {
            Self::Served => {
                let (ends, mut opened) = mpsc::unbounded_channel();
                let serve = move |client: Client| {
                    ends.send(client.clone()).unwrap();
                    async move { _ = client.closed().await }
                };
                let server = pool.serve(listen, serve).await.unwrap();
                Listening {
                    address: server.local_addr(),
                    accepted: Box::pin(async move { End::Requests(opened.recv().await.unwrap()) }),
                }
            }
            Self::Accepted => {
                let acceptor = pool.open_listener(listen).await.unwrap();
                Listening {
                    address: acceptor.server().local_addr(),
                    accepted: Box::pin(
                        async move { End::Requests(acceptor.accept().await.unwrap()) },
                    ),
                }
            }
            Self::BlockingListener => {
                let listener = peer(|| blocking::listen(listen)).await.unwrap();
                let address = listener.local_addr();
                let accepting = async move {
                    let accepted = peer(move || (listener.accept(), listener)).await;
                    End::Blocking(accepted.0.unwrap())
                };
                let accepted = Box::pin(accepting);
                Listening { address, accepted }
            }
            _ => {
                let (halves, mut opened) = mpsc::unbounded_channel();
                let callback = move |reader, writer| halves.send((reader, writer)).unwrap();
                let server = start_server(pool, listen, callback).await.unwrap();
                let accepting = async move {
                    let (reader, writer) = opened.recv().await.unwrap();
                    End::Halves(reader, writer)
                };
                Listening {
                    address: server.local_addr(),
                    accepted: Box::pin(accepting),
                }
            }
        }
    }
}

/// Our end of a connection.
pub(super) enum End {
    Requests(Client),
    Exactly(Client),
    Halves(Reader, Writer),
    Traits(Stream),
    TcpClient(Box<TcpClient>),
    Blocking(blocking::Client),
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
            Self::Blocking(client) => {
                let client = client.clone();
                match peer(move || client.recv_up_to(most)).await {
                    Ok(bytes) => bytes,
                    Err(RecvError::Finished { partial }) => partial,
                    Err(error) => panic!("{error}"),
                }
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
            Self::Blocking(client) => {
                let client = client.clone();
                peer(move || client.sent(bytes)).await.unwrap();
            }
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
            Self::Blocking(client) => client.write_eof().unwrap(),
            Self::Traits(stream) => stream.shutdown().await.unwrap(),
            Self::TcpClient(client) => client.client().unwrap().write_eof().unwrap(),
        }
    }

    /// Sends back what comes until the peer finishes, then finishes.
    pub(super) async fn echo(&mut self, random: &mut Rng) {
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
    pub(super) async fn exchange(&mut self, mut bytes: Bytes, random: &mut Rng) -> BytesMut {
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
