//! `soak [--seed N] [--minutes M | --worlds N]`: random worlds, one after the other, each with the
//! next seed, until the time is up or the books of one do not balance.
//!
//! ```sh
//! cargo run --release -p switchboard-tests --bin soak -- --seed 1 --minutes 60
//! ```
//!
//! A failure names its seed: `--seed N --worlds 1` lives through that world again. A world that makes no
//! progress for a minute of real time ends the program with status 3.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use switchboard_tests::soak::{Seen, live_through};

/// How long one world may take, in real time.
const STUCK: Duration = Duration::from_secs(60);
/// How often the progress is shown.
const SHOWN: Duration = Duration::from_secs(2);

const USAGE: &str =
    "usage: soak [--seed N] [--minutes M | --worlds N]   (default: 1 minute from seed 1)";

struct Orders {
    seed: u64,
    time: Duration,
    worlds: u64,
}

fn orders() -> Result<Orders, String> {
    let mut orders = Orders {
        seed: 1,
        time: Duration::from_secs(60),
        worlds: u64::MAX,
    };
    let mut bounded = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            return Err(USAGE.to_owned());
        }
        if matches!(name.as_str(), "--minutes" | "--worlds")
            && std::mem::replace(&mut bounded, true)
        {
            return Err(format!("{name}: one bound is enough\n{USAGE}"));
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} wants a value\n{USAGE}"))?;
        let wrong = |_| format!("{name} {value}: not a number\n{USAGE}");
        match name.as_str() {
            "--seed" => orders.seed = value.parse().map_err(wrong)?,
            "--worlds" => {
                orders.worlds = value.parse().map_err(wrong)?;
                orders.time = Duration::MAX;
            }
            "--minutes" => {
                let minutes = value.parse::<f64>().ok();
                orders.time = minutes
                    .and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok())
                    .ok_or_else(|| format!("--minutes {value}: no length of time\n{USAGE}"))?;
            }
            _ => return Err(format!("unknown option {name}\n{USAGE}")),
        }
    }
    Ok(orders)
}

/// Ends the program when the same world goes on for too long: a loop that waits for nothing cannot be
/// interrupted otherwise.
fn watch(seed: Arc<AtomicU64>) {
    thread::spawn(move || {
        let (mut last, mut since) = (seed.load(Ordering::Relaxed), Instant::now());
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = seed.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > STUCK {
                let _ = writeln!(io::stderr(), "the world with seed {now} makes no progress");
                std::process::exit(3);
            }
        }
    });
}

fn main() -> ExitCode {
    let orders = match orders() {
        Ok(orders) => orders,
        Err(wrong) => {
            let _ = writeln!(io::stderr(), "{wrong}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let current = Arc::new(AtomicU64::new(orders.seed));
    watch(Arc::clone(&current));
    let (mut all, mut worlds, mut shown) = (Seen::default(), 0, Instant::now());
    while worlds < orders.worlds && begun.elapsed() < orders.time {
        let seed = orders.seed.wrapping_add(worlds);
        current.store(seed, Ordering::Relaxed);
        // A failure panics with everything that there is to say.
        all.add(live_through(seed));
        worlds += 1;
        if shown.elapsed() >= SHOWN {
            shown = Instant::now();
            let _ = writeln!(io::stderr(), "seed {seed}: {worlds} worlds, {all}");
        }
    }
    if worlds == 0 {
        let _ = writeln!(io::stderr(), "no world was lived through\n{USAGE}");
        return ExitCode::from(2);
    }
    let _ = writeln!(io::stdout(), "{worlds} worlds, {all}: all books balance");
    ExitCode::SUCCESS
}
