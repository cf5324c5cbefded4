//! A connection as the standard library's streams of bytes.

use std::io::{self, Read, Write};

use crate::client::RecvError;

use super::Client;

/// Reads what has come, and waits only if nothing has. The end, for ever after it, is 0 bytes; so is that of a
/// connection that speaks TLS, when its peer has ended it in good order. Of threads that read at the same time each
/// gets other bytes.
///
/// Too late is [`TimedOut`](io::ErrorKind::TimedOut); the error is a [`RecvError`].
impl Read for &Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.recv_up_to(buffer.len()) {
            Ok(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Err(RecvError::Finished { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Queues as much as there is room for below the high mark, and waits only while there is none; `flush` waits
/// until the system has taken all that was queued. What threads write at the same time may be mixed: a whole
/// message is sent by [`sent`](Client::sent) or [`sent_msg`](Client::sent_msg).
///
/// Too late is [`TimedOut`](io::ErrorKind::TimedOut), and then nothing was queued; the error is a
/// [`SentError`](crate::SentError).
impl Write for &Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            self.drained()?;
            let queued = self.handle().try_send(bytes);
            match queued.map_err(|refusal| crate::SentError::Refused { refusal, sent: 0 })? {
                // Others were faster, or the queue is as full as it may be without being paused.
                0 => self.flushed()?,
                count => return Ok(count),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(self.flushed()?)
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}
