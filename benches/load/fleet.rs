//! Many clients in a closed loop: each sends its next burst when the reply to the last one is
//! whole.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::client::{Client, burst};
use crate::histogram::Histogram;
use crate::link::Target;
use crate::poller::{Interest, Poller, Ready};

/// How long replies may take after the end of the measured time.
const GRACE: Duration = Duration::from_secs(20);
/// The most that one read asks for.
const READ_BYTES: usize = 64 * 1024;
/// Connections that [`Fleet::admit`] opens before it waits for the server.
const ADMITTED_AT_ONCE: usize = 100;

/// What a client does when its reply is whole and time is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterReply {
    /// It sends the next burst.
    Repeat,
    /// It closes, and a new connection takes its place.
    Reconnect,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Replies that came whole.
    pub(crate) replies: u64,
    /// Replies that were altered.
    pub(crate) mismatches: u64,
    /// Connections that failed, that the server closed, or that never got their reply.
    pub(crate) lost: u64,
    /// Why the first of those was lost.
    fault: Option<io::Error>,
    /// From the first byte of a burst, or from the connect, to the last byte of its reply.
    pub(crate) latency: Histogram,
    /// From the first burst to the last reply.
    pub(crate) elapsed: Duration,
}

/// Connections to one server.
pub(crate) struct Fleet {
    target: Target,
    lines_per_burst: usize,
    after_reply: AfterReply,
    clients: Vec<Client>,
    poller: Poller,
    /// Whether to wait for replies asleep.
    sleeps: bool,
    scratch: Box<[u8]>,
}

impl Fleet {
    /// A fleet without connections.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn new(
        target: Target,
        lines_per_burst: usize,
        after_reply: AfterReply,
    ) -> io::Result<Self> {
        Ok(Self {
            target,
            lines_per_burst,
            after_reply,
            clients: Vec::new(),
            poller: Poller::new()?,
            sleeps: false,
            scratch: vec![0; READ_BYTES].into(),
        })
    }

    /// Leaves the core to others while there is nothing to read, for a load that shares it with the server. It
    /// costs the server more to wake such a load.
    pub(crate) fn sleeping(mut self) -> Self {
        self.sleeps = true;
        self
    }

    /// Begins `count` more connections, without waiting for the server.
    ///
    /// # Errors
    /// No descriptor, no address, or the server refused at once.
    pub(crate) fn connect(&mut self, count: usize) -> io::Result<()> {
        for index in self.clients.len()..self.clients.len() + count {
            let client = self.new_client(index)?;
            self.clients.push(client);
        }
        Ok(())
    }

    /// Opens `count` more connections, a few at a time, and exchanges one burst on each.
    ///
    /// # Errors
    /// As [`Fleet::connect`]; or a connection was lost.
    pub(crate) fn admit(&mut self, count: usize) -> io::Result<()> {
        let goal = self.clients.len() + count;
        while self.clients.len() < goal {
            let first = self.clients.len();
            self.connect(ADMITTED_AT_ONCE.min(goal - first))?;
            self.exchange(first..self.clients.len(), Instant::now())?
                .flawless()?;
        }
        Ok(())
    }

    /// Runs all clients until `end`, and until the last reply: at least one burst each.
    ///
    /// # Errors
    /// A connection could not be replaced.
    pub(crate) fn exchange_all(&mut self, end: Instant) -> io::Result<Tally> {
        self.exchange(0..self.clients.len(), end)
    }

    /// The same with the first `count` clients only.
    ///
    /// # Errors
    /// As [`Fleet::exchange_all`].
    pub(crate) fn exchange_first(&mut self, count: usize, end: Instant) -> io::Result<Tally> {
        self.exchange(0..count, end)
    }

    /// How many connections the server has closed since the last exchange, or spoke on unasked.
    ///
    /// # Errors
    /// Only a fault of the program's own.
    pub(crate) fn disturbed(&mut self) -> io::Result<usize> {
        self.poller.wait(Instant::now())
    }

    fn exchange(&mut self, who: Range<usize>, end: Instant) -> io::Result<Tally> {
        let mut tally = Tally::default();
        let begin = Instant::now();
        let deadline = end.max(begin) + GRACE;
        let mut waiting = who.len();
        for index in who.clone() {
            self.clients[index].start(begin);
            if let Err(fault) = self.send(index) {
                self.lose(index, fault, &mut tally);
                waiting -= 1;
            }
        }
        while waiting > 0 {
            let count = if self.sleeps {
                self.poller.wait(deadline)?
            } else {
                self.poller.spin(deadline)?
            };
            if count == 0 {
                for index in who {
                    if self.clients[index].is_waiting() {
                        self.lose(index, io::ErrorKind::TimedOut.into(), &mut tally);
                    }
                }
                break;
            }
            for position in 0..count {
                let ready = self.poller.ready(position);
                let was_waiting = self.clients[ready.token].is_waiting();
                match self.advance(ready) {
                    Ok(false) => continue,
                    Ok(true) => {
                        if self.replied(ready.token, end, &mut tally)? {
                            continue;
                        }
                    }
                    Err(fault) => self.lose(ready.token, fault, &mut tally),
                }
                waiting -= usize::from(was_waiting);
            }
        }
        tally.elapsed = begin.elapsed();
        for client in &mut self.clients {
            tally.mismatches += std::mem::take(&mut client.mismatches);
        }
        Ok(tally)
    }

    /// Counts a reply; true when the client has begun another burst.
    fn replied(&mut self, index: usize, end: Instant, tally: &mut Tally) -> io::Result<bool> {
        let now = Instant::now();
        tally.replies += 1;
        tally.latency.record(now - self.clients[index].started);
        if now >= end {
            return Ok(false);
        }
        if self.after_reply == AfterReply::Reconnect {
            tally.mismatches += self.clients[index].mismatches;
            // The old connection closes as the new one takes its place.
            self.clients[index] = self.new_client(index)?;
        }
        self.clients[index].start(now);
        if let Err(fault) = self.send(index) {
            self.lose(index, fault, tally);
            return Ok(false);
        }
        Ok(true)
    }

    fn new_client(&mut self, index: usize) -> io::Result<Client> {
        let client = Client::connect(&self.target, burst(index, self.lines_per_burst))?;
        self.poller.add(&client.link, index, Interest::Read)?;
        Ok(client)
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let client = &mut self.clients[index];
        if !client.send()? {
            self.poller
                .modify(&client.link, index, Interest::ReadWrite)?;
        }
        Ok(())
    }

    /// Does what the socket is ready for; true when the reply is whole.
    fn advance(&mut self, ready: Ready) -> io::Result<bool> {
        let client = &mut self.clients[ready.token];
        if ready.writable && client.send()? {
            self.poller
                .modify(&client.link, ready.token, Interest::Read)?;
        }
        if !ready.readable {
            return Ok(false);
        }
        let is_whole = client.receive(&mut self.scratch)?;
        // What came may ask for an answer of TLS, after which the burst may leave.
        self.send(ready.token)?;
        Ok(is_whole)
    }

    fn lose(&mut self, index: usize, fault: io::Error, tally: &mut Tally) {
        let client = &mut self.clients[index];
        tally.lost += 1;
        tally.fault.get_or_insert(fault);
        client.abandon();
        // A lost connection stays lost; that it may have left before is no news.
        let _ = self.poller.remove(&client.link);
    }
}

impl Tally {
    /// The tally, when nothing was lost or altered.
    ///
    /// # Errors
    /// How much was.
    pub(crate) fn flawless(self) -> io::Result<Self> {
        if self.lost == 0 && self.mismatches == 0 {
            return Ok(self);
        }
        let Self {
            replies,
            mismatches,
            lost,
            fault,
            ..
        } = self;
        let fault = fault.map(|fault| format!(" ({fault})")).unwrap_or_default();
        Err(io::Error::other(format!(
            "{lost} connections lost{fault}, {mismatches} replies altered, {replies} replies"
        )))
    }
}
