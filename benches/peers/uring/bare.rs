//! `peer-uring ADDR`: a line echo on a bare `io_uring`, in one thread, without runtime.
//!
//! The least that a line server on `io_uring` can do: one call per turn hands over all answers and waits for
//! what has come meanwhile; connections are accepted and received from by requests that stay; a chunk of whole
//! lines is answered from the buffer that it was received to. There is no back-pressure.
//!
//! `peer-uring --check` only says whether the kernel would let it.

mod answers;
mod buffers;
mod ring;
mod start;

use std::io;
use std::process::ExitCode;

use answers::Answers;
use ring::Event;

fn main() -> ExitCode {
    start::report(serve())
}

fn serve() -> io::Result<()> {
    let Some(mut ring) = start::start()? else {
        return Ok(());
    };
    let mut connections = Vec::new();
    connections.resize_with(ring::SLOTS as usize, Connection::default);
    let mut completions = Vec::new();
    loop {
        ring.enter(1)?;
        ring.reap(&mut completions);
        for completion in completions.drain(..) {
            if let Some((slot, event)) = ring.event(&completion) {
                let connection = &mut connections[slot as usize];
                match event {
                    Event::Accepted => *connection = Connection::default(),
                    Event::Received(chunk) => connection.answers.take(&mut ring, slot, chunk),
                    // A connection ends with its peer; why it ended interests nobody here, and a failed send is
                    // followed by the end of what is received.
                    Event::Sent(result) => {
                        let _ = connection.answers.sent(&mut ring, slot, result);
                    }
                    Event::Ended => connection.has_ended = true,
                }
                if connection.has_ended && connection.answers.is_idle() {
                    connection.has_ended = false;
                    ring.close(slot);
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Connection {
    answers: Answers,
    /// The peer sends nothing more.
    has_ended: bool,
}
