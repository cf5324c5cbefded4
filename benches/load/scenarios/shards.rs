//! `shards`: what a second thread on a second core gives, where each line is real work.

use std::io;
use std::ops::AddAssign;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scenario, micros, ratio};
use crate::figures::{Figure, median};
use crate::fleet::{AfterReply, Fleet};
use crate::machine::Cores;
use crate::procfs::{cpu_time, thread_times};
use crate::server::{Place, Server, Wire};
use crate::stage::Stage;

/// Connections with one line in flight, as many for each of two threads.
const CONNECTIONS: usize = 64;
/// Time under load before the measured windows of each server.
const WARM_UP: Duration = Duration::from_millis(200);
/// Time for the server to go to sleep, after which its CPU time is exact.
const PAUSE: Duration = Duration::from_millis(20);
/// Whose windows make a pair, by their places: with this order a machine that slows down steadily slows both by as much.
const PAIRS: [[usize; 2]; 8] = [
    [0, 1],
    [1, 0],
    [0, 1],
    [1, 0],
    [0, 1],
    [1, 0],
    [0, 1],
    [1, 0],
];

/// What both cores did meanwhile for neither the server nor the load, which keep them busy.
const OTHERS: &str = "others, %";

/// A server of one thread on the server's core and one of two threads on both cores, in turns.
///
/// The load has one core of its own beside the first, and shares a core with the second; so it sleeps
/// there while there is nothing to read, and a line is worth many times what it costs the load.
#[derive(Debug)]
pub(super) struct Shards;

/// What a server has done, in all its windows.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    lines: u64,
    elapsed: Duration,
    used: Duration,
    /// CPU time of its busiest thread.
    busiest: Duration,
    /// CPU time of the load.
    load: Duration,
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.elapsed += other.elapsed;
        self.used += other.used;
        self.busiest += other.busiest;
        self.load += other.load;
    }
}

impl Account {
    fn per_second(&self) -> f64 {
        ratio(self.lines, self.elapsed.as_secs_f64())
    }

    /// The share of two cores that neither the server nor the load had.
    fn others(&self) -> f64 {
        let share = (self.used + self.load).div_duration_f64(2 * self.elapsed);
        (1.0 - share).max(0.0)
    }

    fn per_line(&self, time: Duration) -> f64 {
        micros(time) / ratio(self.lines, 1.0)
    }
}

impl Scenario for Shards {
    fn name(&self) -> &'static str {
        "shards"
    }

    fn about(&self) -> &'static str {
        "64 connections, some 400 us of work for each line: 2 threads on 2 cores against 1 on 1"
    }

    fn wire(&self) -> Wire {
        Wire::Work
    }

    fn baselines(&self) -> &'static [&'static str] {
        &["tokio-multi"]
    }

    fn waiting(&self, figures: &[Figure]) -> Option<f64> {
        let figure = figures.iter().find(|figure| figure.name == OTHERS)?;
        Some(figure.value / 100.0)
    }

    fn places(&self, cores: Cores) -> Vec<Place> {
        let place = |shards: usize, cores| Place {
            cores,
            arguments: vec!["--shards".to_owned(), shards.to_string()],
        };
        vec![
            place(1, vec![cores.server]),
            place(2, vec![cores.server, cores.load]),
        ]
    }

    fn expected(&self, slice: Duration) -> Duration {
        4 * slice + Duration::from_secs(1)
    }

    fn run(&self, stage: &Stage, slice: Duration) -> io::Result<Vec<Figure>> {
        let servers = stage.pair();
        let fleet = |server: &Server| Fleet::new(server.target.clone(), 1, AfterReply::Repeat);
        let mut fleets = [fleet(servers[0])?, fleet(servers[1])?.sleeping()];
        for fleet in &mut fleets {
            fleet.admit(CONNECTIONS)?;
            fleet.exchange_all(Instant::now() + WARM_UP)?.flawless()?;
        }
        let mut accounts = [Account::default(); 2];
        let mut rates = Vec::new();
        for pair in PAIRS {
            let mut rate = [0.0; 2];
            for who in pair {
                thread::sleep(PAUSE);
                let window = measure(servers[who], &mut fleets[who], slice / 4)?;
                rate[who] = window.per_second();
                accounts[who] += window;
            }
            rates.push(rate);
        }
        let [one, two] = &accounts;
        Ok(vec![
            Figure::median("speed-up", speed_up(rates)),
            Figure::median("lines per s, 1", one.per_second()),
            Figure::median("lines per s, 2", two.per_second()),
            Figure::median("cpu us, 1", one.per_line(one.used)),
            Figure::median("cpu us, 2", two.per_line(two.used)),
            Figure::median("load us, 2", two.per_line(two.load)),
            Figure::median(
                "busiest of 2, %",
                100.0 * two.busiest.div_duration_f64(two.used),
            ),
            Figure::median(OTHERS, 100.0 * one.others().max(two.others())),
        ])
    }
}

/// What two threads are to one, in the quicker half of the pairs of windows: in the others somebody else had a part of
/// the machine. How quick a pair was both say together, so that neither gains by the choice.
fn speed_up(mut rates: Vec<[f64; 2]>) -> f64 {
    let speed = |[one, two]: &[f64; 2]| one * two;
    rates.sort_by(|a, b| speed(b).total_cmp(&speed(a)));
    rates.truncate(rates.len().div_ceil(2));
    let mut quotients: Vec<_> = rates.iter().map(|[one, two]| two / one).collect();
    quotients.sort_by(f64::total_cmp);
    median(&quotients).unwrap_or(f64::NAN)
}

/// A window of a server.
fn measure(server: &Server, fleet: &mut Fleet, window: Duration) -> io::Result<Account> {
    let mut account = Account::default();
    let (pid, own) = (server.pid(), std::process::id());
    let load = cpu_time(own)?;
    let before = thread_times(pid)?;
    let tally = fleet.exchange_all(Instant::now() + window)?.flawless()?;
    account.load += (cpu_time(own)? - load).total;
    thread::sleep(PAUSE);
    let after = thread_times(pid)?;
    let used = after.iter().map(|(thread, time)| {
        let earlier = before.get(thread).copied().unwrap_or_default();
        time.saturating_sub(earlier)
    });
    account.used += used.clone().sum::<Duration>();
    account.busiest += used.max().unwrap_or_default();
    account.lines += tally.replies;
    account.elapsed += tally.elapsed;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quicker_half_of_the_pairs_counts() {
        let rates = vec![[100.0, 180.0], [100.0, 160.0], [90.0, 100.0], [50.0, 95.0]];
        assert!((speed_up(rates) - 1.7).abs() < 1e-9);
    }

    #[test]
    fn both_are_as_often_first() {
        let firsts = PAIRS.iter().filter(|pair| pair[0] == 0).count();
        assert_eq!(2 * firsts, PAIRS.len());
    }
}
