//! A reader as tokio's traits want it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::Reader;

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if target.remaining() > 0 {
            ready!(self.poll_some(cx))?;
        }
        let count = self.buffer.copy_to(target.initialize_unfilled());
        target.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for Reader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_some(cx))?;
        Poll::Ready(Ok(this.buffer.first()))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.buffer.consume(count);
    }
}
