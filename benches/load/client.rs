//! One connection of the load: it writes a burst of lines and checks the bytes that come back.

use std::io;
use std::time::Instant;

use crate::link::{Link, Target};

/// A line of the load with its newline.
pub(crate) const LINE_BYTES: usize = 64;

/// A connection with at most one burst under way.
#[derive(Debug)]
pub(crate) struct Client {
    /// The way to the server.
    pub(crate) link: Link,
    burst: Box<[u8]>,
    sent: usize,
    received: usize,
    /// When the burst under way began.
    pub(crate) started: Instant,
    /// Bursts that came back altered, or with more bytes than were sent.
    pub(crate) mismatches: u64,
}

impl Client {
    /// Begins to connect; the first write that is accepted shows that it succeeded.
    ///
    /// # Errors
    /// No descriptor, no address, or the server refused at once.
    pub(crate) fn connect(server: &Target, burst: Box<[u8]>) -> io::Result<Self> {
        let (started, link) = (Instant::now(), Link::connect(server)?);
        Ok(Self {
            link,
            sent: burst.len(),
            received: burst.len(),
            burst,
            started,
            mismatches: 0,
        })
    }

    /// Begins the next burst.
    pub(crate) fn start(&mut self, now: Instant) {
        self.sent = 0;
        self.received = 0;
        self.started = now;
    }

    /// Whether a reply is due.
    pub(crate) fn is_waiting(&self) -> bool {
        self.received < self.burst.len()
    }

    /// Writes what the socket takes; true when the whole burst is out.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.burst.len() {
            match self.link.write(&self.burst[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.link.flush()
    }

    /// Reads once and checks; true when this made the reply whole.
    ///
    /// # Errors
    /// The connection failed, or the server closed it.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let was_waiting = self.is_waiting();
        loop {
            let count = match self.link.read(scratch) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let due = &self.burst[self.received..];
            if due.get(..count) != Some(&scratch[..count]) {
                self.mismatches += 1;
            }
            self.received += count.min(due.len());
            if !self.link.holds_bytes() {
                break;
            }
        }
        Ok(was_waiting && !self.is_waiting())
    }

    /// Gives up on the burst under way.
    pub(crate) fn abandon(&mut self) {
        self.sent = self.burst.len();
        self.received = self.burst.len();
    }
}

/// A burst of lines that no other connection sends, so that a reply to the wrong one shows.
pub(crate) fn burst(connection: usize, lines: usize) -> Box<[u8]> {
    let mut burst = Vec::with_capacity(lines * LINE_BYTES);
    for line in 0..lines {
        let text = format!("connection {connection} line {line} ");
        burst.extend_from_slice(format!("{text:.<width$}\n", width = LINE_BYTES - 1).as_bytes());
    }
    burst.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_length_and_its_owner() {
        let two = burst(7, 2);
        assert_eq!(two.len(), 2 * LINE_BYTES);
        assert!(
            two.chunks(LINE_BYTES)
                .all(|line| line.iter().position(|byte| *byte == b'\n') == Some(LINE_BYTES - 1))
        );
        assert_ne!(burst(7, 2), burst(8, 2));
    }
}
