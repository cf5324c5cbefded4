//! `shards`: what a second thread on a second core gives, where each line is real work.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scenario, micros, ratio};
use crate::figures::Figure;
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
/// Whose window it is, by its place: with this order a machine that slows down steadily slows both by as much.
const TURNS: [usize; 4] = [0, 1, 1, 0];

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
        "64 connections, some 100 us of work for each line: 2 threads on 2 cores against 1 on 1"
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
        for turn in TURNS {
            thread::sleep(PAUSE);
            measure(servers[turn], &mut fleets[turn], slice, &mut accounts[turn])?;
        }
        let [one, two] = &accounts;
        Ok(vec![
            Figure::median("speed-up", two.per_second() / one.per_second()),
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

/// A window of a server.
fn measure(
    server: &Server,
    fleet: &mut Fleet,
    window: Duration,
    account: &mut Account,
) -> io::Result<()> {
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
    Ok(())
}
