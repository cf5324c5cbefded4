//! Both halves as one, for what wants to read and write through one value.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::{Reader, Writer};
use crate::client::Client;

/// A [`Reader`] and a [`Writer`] in one: [`AsyncRead`], [`AsyncBufRead`] and [`AsyncWrite`], so that
/// codecs and libraries of the ecosystem run on top.
///
/// ```
/// # use std::io::{BufRead, BufReader, Write};
/// use futures_util::{SinkExt, StreamExt};
/// use switchboard::{Connect, Pool, stream};
/// use tokio_util::codec::{Framed, LinesCodec};
///
/// # #[actix::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// # let peer = std::thread::spawn(move || {
/// #     let (mut peer, _) = listener.accept().unwrap();
/// #     let mut line = String::new();
/// #     BufReader::new(peer.try_clone().unwrap()).read_line(&mut line).unwrap();
/// #     peer.write_all(line.to_uppercase().as_bytes()).unwrap();
/// # });
/// let pool = Pool::builder().shards(0).start()?;
/// let (reader, writer) = stream::open_connection(&pool, Connect::tcp(address)).await?;
/// let mut lines = Framed::new(stream::join(reader, writer), LinesCodec::new());
/// lines.send("hello").await?;
/// assert_eq!(lines.next().await.transpose()?.as_deref(), Some("HELLO"));
/// # peer.join().unwrap();
/// # pool.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream {
    reader: Reader,
    writer: Writer,
}

/// Both halves as one [`Stream`]. They need not be of the same connection.
#[must_use]
pub const fn join(reader: Reader, writer: Writer) -> Stream {
    Stream { reader, writer }
}

impl Stream {
    /// The two halves; bytes that have come stay with the reader.
    #[must_use]
    pub fn into_split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// The receiving half.
    pub const fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// The sending half.
    pub const fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// The connection that it writes to.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.writer.client()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, target)
    }
}

impl AsyncBufRead for Stream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().reader).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        Pin::new(&mut self.reader).consume(count);
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
