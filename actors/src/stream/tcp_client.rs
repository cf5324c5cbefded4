//! `TcpClient`, uasyncio's client whose sends are a limited number of attempts (UA-32..35).

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ArmError, Cause, ConnectError, SendRefusal};

use super::open::establish;
use crate::client::{Client, RecvError, SentError};
use crate::options::Connect;
use crate::pool::Pool;

/// How long an attempt waits for progress, unless it is told otherwise (AMB-08).
pub const DEFAULT_ATTEMPT: Duration = Duration::from_millis(100);

/// So many bytes are with the connection at most that the system has not taken.
const PIECE: usize = 16 * 1024;

/// A client that is made first and connected later, and that gives up sending after so many attempts (UA-32).
///
/// ```
/// # use std::io::{Read, Write};
/// use switchboard::{Connect, Pool, stream::TcpClient};
///
/// # #[actix::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// # let peer = std::thread::spawn(move || {
/// #     let (mut peer, _) = listener.accept().unwrap();
/// #     let mut block = [0; 5];
/// #     peer.read_exact(&mut block).unwrap();
/// #     peer.write_all(&block).unwrap();
/// # });
/// let pool = Pool::builder().shards(0).start()?;
/// let mut client = TcpClient::new(&pool, Connect::tcp(address));
/// client.connect().await?;
/// assert!(client.send("hello", 3).await?);
/// assert_eq!(client.recv(Some(5)).await?.as_deref(), Some(&b"hello"[..]));
/// client.close();
/// # peer.join().unwrap();
/// # pool.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// Dropping it closes its connection.
#[derive(Debug)]
pub struct TcpClient {
    pool: Pool,
    connect: Connect,
    attempt: Duration,
    state: State,
    taken: usize,
    /// What came before the connection was lost and was not received; `None`: it is not known to be lost.
    rest: Option<Bytes>,
}

#[derive(Debug)]
enum State {
    New,
    Connected(Client),
    Closed,
}

/// Why a call of a [`TcpClient`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TcpClientError {
    /// `connect` comes first (UA-32).
    #[error("the client is not connected")]
    NotConnected,
    /// It was connected before (UA-32).
    #[error("the client is connected already")]
    AlreadyConnected,
    /// It was closed here (UA-35).
    #[error("the client is closed")]
    Closed,
    /// It could not connect; it may be tried again.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection has ended, and not because it was closed here.
    #[error("connection is closed: {0}")]
    Lost(Cause),
    /// Nothing can be sent.
    #[error(transparent)]
    Send(SendRefusal),
    /// Nothing can be received.
    #[error(transparent)]
    Recv(ArmError),
}

impl TcpClient {
    /// A client for this target; nothing happens yet.
    #[must_use]
    pub fn new(pool: &Pool, connect: Connect) -> Self {
        Self {
            pool: pool.clone(),
            connect,
            attempt: DEFAULT_ATTEMPT,
            state: State::New,
            taken: 0,
            rest: None,
        }
    }

    /// How long an attempt to send waits for progress. Default: 100 ms (AMB-08).
    #[must_use]
    pub const fn attempt_timeout(mut self, wait: Duration) -> Self {
        self.attempt = wait;
        self
    }

    /// The connection, while there is one.
    #[must_use]
    pub const fn client(&self) -> Option<&Client> {
        match &self.state {
            State::Connected(client) => Some(client),
            State::New | State::Closed => None,
        }
    }

    /// Connects (UA-32). Dropped before it has ended, it gives the connect up, and it may be tried again.
    ///
    /// # Errors
    /// When it does not come to be, and then it may be tried again; when it was connected, or closed, before.
    pub async fn connect(&mut self) -> Result<(), TcpClientError> {
        match self.state {
            State::New => {}
            State::Connected(_) => return Err(TcpClientError::AlreadyConnected),
            State::Closed => return Err(TcpClientError::Closed),
        }
        let client = establish(&self.pool, self.connect.clone()).await?;
        self.state = State::Connected(client);
        Ok(())
    }

    /// Sends; `true` when the system has taken it all (UA-33). An attempt is a wait of at most
    /// [`attempt_timeout`](Self::attempt_timeout) in which the system takes nothing; when there were so many
    /// of them, it is `false`. Progress between them does not count them anew (AMB-08). 0 attempts are one.
    /// The usual number is 3.
    ///
    /// No byte is ever sent twice: after `false` (and after an error, and when it is dropped) the first
    /// [`taken`](Self::taken) bytes are with the connection, which sends them when the peer lets it; whoever tries
    /// again, tries with those behind them. Of nothing it waits for what is with the connection already.
    ///
    /// # Errors
    /// When it is not connected, or not any more.
    pub async fn send(
        &mut self,
        data: impl Into<Bytes>,
        attempts: u32,
    ) -> Result<bool, TcpClientError> {
        self.taken = 0;
        let client = connected(&self.state)?;
        let (mut rest, mut left) = (data.into(), attempts.max(1));
        loop {
            if client.write_buffer_size() < PIECE && !rest.is_empty() {
                let piece = rest.slice(..rest.len().min(PIECE));
                let length = piece.len();
                match client.send(piece) {
                    Ok(()) => {
                        let _ = rest.split_to(length);
                        self.taken += length;
                    }
                    // Others send here, too.
                    Err(refused) if refused.is_full() => {}
                    Err(refused) => return Err(TcpClientError::Send(refused.refusal)),
                }
            }
            let before = sent(client);
            match client.flushed_within(self.attempt).await {
                Ok(()) if rest.is_empty() => return Ok(true),
                Ok(()) => {}
                Err(SentError::Closed { cause, .. }) => {
                    return Err(TcpClientError::Lost(cause));
                }
                Err(SentError::ConnectFailed(error)) => return Err((*error).into()),
                Err(SentError::Refused { refusal, .. }) => {
                    return Err(TcpClientError::Send(refusal));
                }
                // Nothing blocks here.
                Err(SentError::TimedOut { .. } | SentError::InsideAsync) => {
                    if sent(client) == before {
                        left -= 1;
                    }
                    if left == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// How many bytes of the last send are with the connection or on their way: not to be sent again.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.taken
    }

    /// At most so many bytes, or all that are there; waits until there is one. `None`: the peer has finished
    /// (UA-34). One that is dropped has taken nothing.
    ///
    /// # Errors
    /// When it is not connected, or not any more; what came before that is received before.
    pub async fn recv(&mut self, most: Option<usize>) -> Result<Option<Bytes>, TcpClientError> {
        let client = connected(&self.state)?;
        let receiving = match most {
            Some(most) => client.recv_up_to(most),
            None => client.recv_available(),
        };
        match receiving.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(RecvError::Finished { partial }) if partial.is_empty() => Ok(None),
            Err(RecvError::Finished { partial }) => Ok(Some(partial)),
            Err(RecvError::Closed { cause, partial }) => {
                let rest = self.rest.get_or_insert(partial);
                if rest.is_empty() {
                    return Err(TcpClientError::Lost(cause));
                }
                let count = most.unwrap_or(usize::MAX).min(rest.len());
                Ok(Some(rest.split_to(count)))
            }
            Err(RecvError::ConnectFailed(error)) => Err((*error).into()),
            Err(RecvError::Refused(refusal)) => Err(TcpClientError::Recv(refusal)),
            // No time was given, and nothing blocks.
            Err(RecvError::TimedOut { .. } | RecvError::InsideAsync) => Ok(None),
        }
    }

    /// Closes, and flushes what is with the connection (UA-35). Again, it does nothing.
    pub fn close(&mut self) {
        if let State::Connected(client) = std::mem::replace(&mut self.state, State::Closed) {
            client.close();
        }
    }
}

impl Drop for TcpClient {
    fn drop(&mut self) {
        self.close();
    }
}

const fn connected(state: &State) -> Result<&Client, TcpClientError> {
    match state {
        State::Connected(client) => Ok(client),
        State::New => Err(TcpClientError::NotConnected),
        State::Closed => Err(TcpClientError::Closed),
    }
}

/// Bytes that the system has taken in all.
fn sent(client: &Client) -> u64 {
    client.info().activity.bytes_out
}
