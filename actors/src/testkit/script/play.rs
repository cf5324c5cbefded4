//! Playing one side of a script over a stream.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::mismatch::{self, Mismatch, MismatchKind};
use super::{Script, Step};
use crate::transport::Transport;

/// The most that is read at once, in bytes; so much more than expected may be kept.
const READ_SIZE: usize = 8 * 1024;

/// A script that was played to its end. Displayed, it is the list of what happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Played {
    /// How many steps were played: all, or those up to our own close or reset.
    pub steps: usize,
    /// What had come by the end and was not expected, up to about 8 KiB.
    pub rest: Bytes,
    script: Script,
}

impl Script {
    /// Plays the chosen side over a stream: a socket, one end of `tokio::io::duplex`, or anything
    /// else that reads and writes. Times are tokio's, so a paused clock works.
    ///
    /// The stream is dropped at the end. Given as `&mut stream` it stays with the caller; a `close`
    /// then only finishes our direction.
    ///
    /// # Errors
    /// The first step that did not happen as the script says. A step `reset` of our side is one:
    /// [`play_transport`](Self::play_transport) and [`play_blocking`](Self::play_blocking) can.
    ///
    /// # Panics
    /// Outside a tokio runtime with a clock.
    pub fn play<S>(&self, stream: S) -> impl Future<Output = Result<Played, Mismatch>> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.clone().play_with(stream, None)
    }

    /// The same, and nothing more than expected may have come by the end.
    ///
    /// # Errors
    /// The same, and [`MismatchKind::UnexpectedBytes`] after the last step.
    ///
    /// # Panics
    /// The same.
    pub fn play_exactly<S>(
        &self,
        stream: S,
    ) -> impl Future<Output = Result<Played, Mismatch>> + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let playing = self.play(stream);
        async move { playing.await?.exactly() }
    }

    /// Plays over the stream of a [`Network`](crate::transport::Network), which can be reset.
    ///
    /// # Errors
    /// The first step that did not happen as the script says.
    ///
    /// # Panics
    /// The same as [`play`](Self::play).
    pub fn play_transport(
        &self,
        stream: Box<dyn Transport>,
    ) -> impl Future<Output = Result<Played, Mismatch>> + use<> {
        self.clone()
            .play_with(stream, Some(|mut stream| stream.set_reset()))
    }

    /// Plays over a socket of the standard library and blocks the thread meanwhile. The socket can be
    /// reset.
    ///
    /// # Errors
    /// The first step that did not happen as the script says. [`MismatchKind::Io`] of the first step
    /// too when the system gives no runtime.
    ///
    /// # Panics
    /// Within a tokio runtime, which must not be blocked.
    pub fn play_blocking(&self, stream: std::net::TcpStream) -> Result<Played, Mismatch> {
        let failed = |error| Mismatch::new(self, 0, MismatchKind::Io(error), Bytes::new());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        runtime.block_on(async {
            stream.set_nonblocking(true).map_err(failed)?;
            let stream = tokio::net::TcpStream::from_std(stream).map_err(failed)?;
            self.clone().play_with(stream, Some(reset_socket)).await
        })
    }

    async fn play_with<S>(mut self, stream: S, reset: Option<fn(S)>) -> Result<Played, Mismatch>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut player = Player {
            stream: Some(stream),
            reset,
            came: BytesMut::new(),
        };
        let mut number = 0;
        while player.stream.is_some()
            && let Some(step) = self.step(number)
        {
            if let Err(kind) = player.take(&step, self.timeout).await {
                let came = player.came.freeze();
                return Err(Mismatch::new(&self, number, kind, came));
            }
            number += 1;
        }
        player.collect_rest().await;
        // What follows our own close cannot be seen.
        self.turns.truncate(number);
        Ok(Played {
            steps: number,
            rest: player.came.freeze(),
            script: self,
        })
    }
}

impl Played {
    fn exactly(self) -> Result<Self, Mismatch> {
        if self.rest.is_empty() {
            return Ok(self);
        }
        let kind = MismatchKind::UnexpectedBytes;
        Err(Mismatch::new(&self.script, self.steps, kind, self.rest))
    }
}

fn reset_socket(stream: tokio::net::TcpStream) {
    // If that fails the peer sees a FIN instead, which its own end of the test notices.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in 0..self.steps {
            if let Some(step) = self.script.step(number) {
                writeln!(f, "{}", mismatch::Past(&step))?;
            }
        }
        Ok(())
    }
}

struct Player<S> {
    /// `None` when we have closed or reset it.
    stream: Option<S>,
    reset: Option<fn(S)>,
    /// What came and has not been expected yet.
    came: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Player<S> {
    async fn take(&mut self, step: &Step, timeout: Duration) -> Result<(), MismatchKind> {
        if let Step::Pause(time) = step {
            tokio::time::sleep(*time).await;
            return Ok(());
        }
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let came = &mut self.came;
        let happening = async {
            match step {
                Step::Expect(expected) => expect(stream, came, expected).await,
                Step::ExpectEnd => expect_end(stream, came).await,
                Step::ExpectReset => expect_reset(stream, came).await,
                Step::Send(bytes) => send(stream, bytes).await.map_err(failed),
                Step::Finish => stream.shutdown().await.map_err(failed),
                Step::Close => {
                    // The other side may be gone already, and then there is nothing to finish.
                    let _ = stream.shutdown().await;
                    Ok(())
                }
                Step::Reset | Step::Pause(_) => Ok(()),
            }
        };
        let happened = tokio::time::timeout(timeout, happening).await;
        happened.unwrap_or(Err(MismatchKind::Timeout(timeout)))?;
        match step {
            Step::Close => {
                self.collect_rest().await;
                self.stream = None;
            }
            Step::Reset => {
                let reset = self.reset.ok_or(MismatchKind::CannotReset)?;
                self.collect_rest().await;
                self.stream.take().map(reset);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes what has come without waiting for more.
    async fn collect_rest(&mut self) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        // Lets the runtime notice what the system has by now.
        tokio::task::yield_now().await;
        let mut bytes = [0; READ_SIZE];
        let count = poll_fn(|cx| {
            let mut read = ReadBuf::new(&mut bytes);
            let poll = Pin::new(&mut *stream).poll_read(cx, &mut read);
            // Whatever the read's result, only what it brought matters now.
            Poll::Ready(poll.is_ready().then(|| read.filled().len()))
        });
        let count = count.await.unwrap_or(0);
        self.came.extend_from_slice(&bytes[..count]);
    }
}

async fn expect<S>(stream: &mut S, came: &mut BytesMut, expected: &[u8]) -> Result<(), MismatchKind>
where
    S: AsyncRead + Unpin,
{
    let mut same = 0;
    loop {
        let new = came[same..].iter().zip(&expected[same..]);
        same += new.take_while(|(a, b)| a == b).count();
        if same == expected.len() {
            came.advance(same);
            return Ok(());
        }
        if same < came.len() {
            return Err(MismatchKind::Differs { at: same });
        }
        if read(stream, came).await.map_err(failed)? == 0 {
            return Err(MismatchKind::Finished);
        }
    }
}

async fn expect_end<S>(stream: &mut S, came: &mut BytesMut) -> Result<(), MismatchKind>
where
    S: AsyncRead + Unpin,
{
    if came.is_empty() && read(stream, came).await.map_err(failed)? == 0 {
        return Ok(());
    }
    Err(MismatchKind::UnexpectedBytes)
}

async fn expect_reset<S>(stream: &mut S, came: &mut BytesMut) -> Result<(), MismatchKind>
where
    S: AsyncRead + Unpin,
{
    if !came.is_empty() {
        return Err(MismatchKind::UnexpectedBytes);
    }
    match read(stream, came).await.map_err(failed) {
        Err(MismatchKind::Reset) => Ok(()),
        Err(other) => Err(other),
        Ok(0) => Err(MismatchKind::Finished),
        Ok(_) => Err(MismatchKind::UnexpectedBytes),
    }
}

async fn read<S>(stream: &mut S, came: &mut BytesMut) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    came.reserve(READ_SIZE);
    stream.read_buf(came).await
}

async fn send<S>(stream: &mut S, bytes: &[u8]) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    stream.write_all(bytes).await?;
    stream.flush().await
}

fn failed(error: io::Error) -> MismatchKind {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            MismatchKind::Reset
        }
        _ => MismatchKind::Io(error),
    }
}
