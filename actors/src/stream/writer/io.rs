//! A writer as tokio's trait wants it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{Writer, limits};
use crate::client::SentError;
use switchboard_core::SendRefusal;

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let piece = &data[..data.len().min(limits(self.client()).piece)];
        if self.collected.is_some() {
            // Collected as long as there is room; else what is there goes first.
            match self.write(piece) {
                Ok(()) => return Poll::Ready(Ok(piece.len())),
                Err(refused) if refused.is_full() => ready!(self.poll_collected(cx))?,
                Err(refused) => return Poll::Ready(Err(refusal(refused.refusal))),
            }
        }
        let length = ready!(self.poll_piece(piece, cx))?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_collected(cx))?;
        let Self { half, waits, .. } = &mut *self;
        ready!(half.client().poll_flushed(&mut waits.flushed, cx))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Of one that is closing, too: it is not well done if bytes are lost.
        ready!(self.as_mut().poll_flush(cx))?;
        let client = self.client();
        match client.write_eof() {
            Ok(()) | Err(SendRefusal::WriteClosed | SendRefusal::Closed) => {}
            // This direction alone cannot be finished.
            Err(SendRefusal::Unsupported) => _ = client.close(),
            Err(other) => return Poll::Ready(Err(refusal(other))),
        }
        Poll::Ready(Ok(()))
    }
}

fn refusal(refusal: SendRefusal) -> io::Error {
    SentError::Refused { refusal, sent: 0 }.into()
}
