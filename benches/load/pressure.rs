//! `flood` and `slow-reader`: a client that writes and writes, and hardly reads.
//!
//! A server with back-pressure stops reading, the sockets between fill up, and the write stops. A
//! server without it keeps the replies, and its memory grows.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::poller::{Interest, Poller};
use crate::procfs::{cpu_time, resident_kib};
use crate::socket::connect;

/// What one write offers, at least.
const BLOCK_BYTES: usize = 64 * 1024;
/// How often memory is looked at and replies are read.
const STEP: Duration = Duration::from_millis(20);

/// What `load flood` and `load slow-reader` were told.
#[derive(Debug)]
pub(crate) struct PressureOptions {
    /// The server's address.
    pub(crate) address: SocketAddr,
    /// The server's process, whose memory is watched.
    pub(crate) pid: u32,
    /// Stop after so many bytes,
    pub(crate) bytes: u64,
    /// or after so much time.
    pub(crate) limit: Duration,
    /// The length of a line with its newline.
    pub(crate) line_bytes: usize,
    /// Zero for a client that never reads.
    pub(crate) read_bytes_per_second: u64,
}

/// What the client could write and what that did to the server.
#[derive(Debug)]
pub(crate) struct Pressure {
    sent: u64,
    read: u64,
    /// From the start to the last write that the socket took.
    last_write: Duration,
    elapsed: Duration,
    /// Why it ended before its time.
    ended: Option<io::Error>,
    start_kib: u64,
    peak_kib: u64,
    end_kib: u64,
    cpu: Duration,
}

/// Applies the pressure.
///
/// # Errors
/// No connection, or no such process. That the server closes is a result.
pub(crate) fn run(options: &PressureOptions) -> io::Result<Pressure> {
    let start_kib = resident_kib(options.pid)?;
    let cpu_before = cpu_time(options.pid)?;
    let mut flow = Flow::new(options)?;
    let begin = Instant::now();
    let mut peak_kib = start_kib;
    let ended = loop {
        let elapsed = begin.elapsed();
        if elapsed >= options.limit || flow.sent >= options.bytes {
            break None;
        }
        if let Err(error) = flow.step(begin) {
            break Some(error);
        }
        peak_kib = peak_kib.max(resident_kib(options.pid)?);
    };
    let elapsed = begin.elapsed();
    let end_kib = resident_kib(options.pid)?;
    Ok(Pressure {
        sent: flow.sent,
        read: flow.read,
        last_write: flow.last_write,
        elapsed,
        ended,
        start_kib,
        peak_kib: peak_kib.max(end_kib),
        end_kib,
        cpu: (cpu_time(options.pid)? - cpu_before).total,
    })
}

/// The connection and what has passed through it.
struct Flow<'a> {
    options: &'a PressureOptions,
    stream: TcpStream,
    poller: Poller,
    block: Vec<u8>,
    scratch: Vec<u8>,
    sent: u64,
    read: u64,
    last_write: Duration,
}

impl<'a> Flow<'a> {
    fn new(options: &'a PressureOptions) -> io::Result<Self> {
        let stream = connect(options.address)?;
        let poller = Poller::new()?;
        poller.add(&stream, 0, Interest::Write)?;
        let mut line = vec![b'f'; options.line_bytes];
        line[options.line_bytes - 1] = b'\n';
        let block = line.repeat(BLOCK_BYTES.div_ceil(options.line_bytes));
        let scratch = vec![0; BLOCK_BYTES];
        Ok(Self {
            options,
            stream,
            poller,
            block,
            scratch,
            sent: 0,
            read: 0,
            last_write: Duration::ZERO,
        })
    }

    /// Writes for a short while, then reads what is allowed by now.
    fn step(&mut self, begin: Instant) -> io::Result<()> {
        let end = Instant::now() + STEP;
        while self.sent < self.options.bytes && self.poller.wait(end)? > 0 {
            let position =
                usize::try_from(self.sent % self.block.len() as u64).expect("less than a block");
            let left = usize::try_from(self.options.bytes - self.sent).unwrap_or(usize::MAX);
            let rest = &self.block[position..];
            match self.stream.write(&rest[..rest.len().min(left)]) {
                Ok(count) => {
                    self.sent += count as u64;
                    self.last_write = begin.elapsed();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= end {
                break;
            }
        }
        if self.options.read_bytes_per_second > 0 {
            self.trickle(begin)?;
            thread::sleep(end.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    fn trickle(&mut self, begin: Instant) -> io::Result<()> {
        let elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let allowed = self
            .options
            .read_bytes_per_second
            .saturating_mul(elapsed_ms)
            / 1_000;
        while self.read < allowed {
            let most = usize::try_from(allowed - self.read)
                .unwrap_or(usize::MAX)
                .min(self.scratch.len());
            match self.stream.read(&mut self.scratch[..most]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.read += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "sent           {} bytes, the last after {:.2?}",
            self.sent, self.last_write
        )?;
        writeln!(out, "read           {} bytes", self.read)?;
        match &self.ended {
            Some(error) => writeln!(
                out,
                "ended          by the server after {:.2?}: {error}",
                self.elapsed
            )?,
            None => writeln!(
                out,
                "ended          by the client after {:.2?}",
                self.elapsed
            )?,
        }
        let Self {
            start_kib,
            peak_kib,
            end_kib,
            ..
        } = self;
        writeln!(
            out,
            "server memory  {start_kib} KiB at start, {peak_kib} KiB at most, {end_kib} KiB at the end"
        )?;
        writeln!(
            out,
            "server growth  {} KiB",
            peak_kib.saturating_sub(*start_kib)
        )?;
        writeln!(out, "server cpu     {:.1?}", self.cpu)
    }
}
