//! `transfer` and `tls-transfer`: one connection, as fast as it goes, in long lines.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scenario, micros, ratio};
use crate::figures::Figure;
use crate::link::Link;
use crate::poller::{Interest, Poller};
use crate::procfs::cpu_time;
use crate::server::Wire;
use crate::stage::Stage;

/// Bytes each way.
const BYTES: u64 = 1 << 30;
/// A line with its newline.
const LINE_BYTES: usize = 16 * 1024;
/// Lines of the block that is written over and over.
const BLOCK_LINES: usize = 16;
/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Time for the server to go to sleep, after which its CPU time is exact.
const SETTLE: Duration = Duration::from_millis(20);

/// Writes lines while the socket takes them and checks what comes back meanwhile.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Whether it is over TLS.
    pub(super) tls: bool,
}

impl Scenario for Transfer {
    fn name(&self) -> &'static str {
        if self.tls { "tls-transfer" } else { "transfer" }
    }

    fn about(&self) -> &'static str {
        if self.tls {
            "TLS 1.3: 1 GiB there and back on 1 connection, in lines of 16 KiB; per MB that came back"
        } else {
            "1 GiB there and back on 1 connection, in lines of 16 KiB; speed counts, so more is better"
        }
    }

    fn wire(&self) -> Wire {
        if self.tls { Wire::Tls } else { Wire::Plain }
    }

    fn baselines(&self) -> &'static [&'static str] {
        if self.tls {
            &["tokio-rustls"]
        } else {
            &["tokio-lines"]
        }
    }

    fn expected(&self, _slice: Duration) -> Duration {
        Duration::from_secs(3)
    }

    fn run(&self, stage: &Stage, _slice: Duration) -> io::Result<Vec<Figure>> {
        let server = stage.first();
        let mut exchange = Exchange::new(Link::connect(&server.target)?);
        let before = cpu_time(server.pid())?;
        let begin = Instant::now();
        exchange.run(begin + LIMIT)?;
        let elapsed = begin.elapsed();
        if exchange.altered > 0 {
            return Err(io::Error::other(format!(
                "{} reads brought other bytes than were sent",
                exchange.altered
            )));
        }
        thread::sleep(SETTLE);
        let used = cpu_time(server.pid())? - before;
        let megabytes = ratio(BYTES, 1e6);
        let speed = Figure::median("MB per second", megabytes / elapsed.as_secs_f64());
        Ok(if self.tls {
            // Here the load has as much to do as the server, so the speed is not the server's.
            let cpu = Figure::median("cpu us per MB", micros(used.total) / megabytes);
            vec![cpu, speed]
        } else {
            let cpu = Figure::median("cpu ms", used.total.as_secs_f64() * 1e3);
            vec![speed, cpu]
        })
    }
}

/// The stream and how far each direction is.
#[derive(Debug)]
struct Exchange {
    link: Link,
    block: Vec<u8>,
    scratch: Vec<u8>,
    sent: u64,
    received: u64,
    /// Reads that brought other bytes than were due.
    altered: u64,
}

impl Exchange {
    fn new(link: Link) -> Self {
        let block: Vec<_> = (b'a'..).take(BLOCK_LINES).flat_map(line).collect();
        Self {
            link,
            scratch: vec![0; block.len()],
            block,
            sent: 0,
            received: 0,
            altered: 0,
        }
    }

    fn run(&mut self, deadline: Instant) -> io::Result<()> {
        let mut poller = Poller::new()?;
        poller.add(&self.link, 0, Interest::ReadWrite)?;
        while self.received < BYTES {
            if poller.wait(deadline)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{} bytes came back", self.received),
                ));
            }
            let ready = poller.ready(0);
            if ready.writable {
                self.write()?;
                if self.sent == BYTES && self.link.flush()? {
                    poller.modify(&self.link, 0, Interest::Read)?;
                }
            }
            if ready.readable {
                self.read()?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.sent == BYTES {
            return Ok(());
        }
        // BYTES is a multiple of the block, so the last block ends where the transfer does.
        match self
            .link
            .write(&self.block[position(self.sent, self.block.len())..])
        {
            Ok(count) => self.sent += count as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        loop {
            let due = &self.block[position(self.received, self.block.len())..];
            let count = match self.link.read(&mut self.scratch[..due.len()]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.altered += u64::from(due[..count] != self.scratch[..count]);
            self.received += count as u64;
            if !self.link.holds_bytes() {
                return Ok(());
            }
        }
    }
}

fn line(letter: u8) -> Vec<u8> {
    let mut line = vec![letter; LINE_BYTES];
    line[LINE_BYTES - 1] = b'\n';
    line
}

fn position(stream: u64, block: usize) -> usize {
    usize::try_from(stream % block as u64).expect("less than a block")
}
