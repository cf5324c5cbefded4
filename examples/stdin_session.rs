//! Standard input as a session: prints each line with its number, and at the end what `wc -l -c` counts.
//!
//! Shows that a pipe or a terminal is a channel like any other: the same lines, limits and end. A regular
//! file is none, since it cannot be waited for: `stdin_session < file` says so and ends with code 2; use
//! `cat file | stdin_session` (AC-21).
//!
//! ```sh
//! printf 'a\nb\n' | cargo run --release --example stdin_session
//! ```

use std::process::ExitCode;

use switchboard::WatchFd;
use switchboard::prelude::*;

/// What a shell's own programs give back when they are used in a wrong way.
const MISUSED: u8 = 2;

#[derive(Default)]
struct Counter {
    lines: u64,
}

impl Actor for Counter {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Counter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.lines += 1;
        println!("{:6}\t{}", self.lines, String::from_utf8_lossy(&msg.line));
    }
}

impl Handler<Closed> for Counter {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        if !msg.detail.unread.is_empty() {
            // It has no end, and so is no line to wc either.
            let rest = String::from_utf8_lossy(&msg.detail.unread);
            println!("{:6}\t{rest}", self.lines + 1);
        }
        println!("{} {}", self.lines, msg.detail.bytes_in);
        if msg.reason != ClosedReason::ClosedByPeer {
            eprintln!("error: {}", msg.detail);
        }
    }
}

session!(Counter);

#[actix::main]
async fn main() -> ExitCode {
    let watch = match WatchFd::stdin() {
        Ok(watch) => watch,
        Err(error) => {
            eprintln!("error: standard input: {error}");
            return MISUSED.into();
        }
    };
    match count(watch).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn count(watch: WatchFd) -> Result<(), switchboard::Error> {
    let pool = Pool::builder().shards(0).start()?;
    pool.watch_fd(watch.lines(), |_| Counter::default()).await?;
    pool.run_until_idle().await?;
    pool.stop().await;
    Ok(())
}
