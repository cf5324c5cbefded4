//! `busy`: what idle connections cost those that are busy.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{MANY, Scenario, micros, ratio};
use crate::figures::Figure;
use crate::fleet::{AfterReply, Fleet};
use crate::machine::{Cores, most_open_files};
use crate::procfs::cpu_time;
use crate::server::{Place, Server};
use crate::stage::Stage;

/// Connections with one line in flight.
const BUSY: usize = 50;
/// Connections that say nothing after their first line, if there are descriptors for so many.
const IDLE: usize = 2 * MANY;
/// Descriptors that a process has beside its connections, and those of the busy ones of the other server.
const OTHERS: usize = 200;
/// Time under load before the measured windows of each server.
const WARM_UP: Duration = Duration::from_millis(200);
/// Time for the server to finish what it does after the last line.
const SETTLE: Duration = Duration::from_millis(500);
/// Time for the server to go to sleep, after which its CPU time is exact.
const PAUSE: Duration = Duration::from_millis(20);
/// Whose window it is: with this order a machine that slows down steadily slows both by as much.
const TURNS: [Who; 8] = {
    use Who::{Alone, Beside};
    [Alone, Beside, Beside, Alone, Alone, Beside, Beside, Alone]
};

/// Two servers of a kind on one core, of which one has the idle connections too, in turns.
#[derive(Debug)]
pub(super) struct Busy;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Alone = 0,
    Beside = 1,
}

/// What a server has done, in all its windows.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    requests: u64,
    used: Duration,
}

impl Account {
    fn micros_per_request(self) -> f64 {
        micros(self.used) / ratio(self.requests, 1.0)
    }
}

impl Scenario for Busy {
    fn name(&self) -> &'static str {
        "busy"
    }

    fn about(&self) -> &'static str {
        "50 connections with one line in flight on each, beside 20,000 idle ones and alone; per line"
    }

    fn obstacle(&self) -> Option<String> {
        let (idle, most) = (idle(), most_open_files());
        (idle < MANY).then(|| {
            format!(
                "a process may have {most} descriptors only, which leaves {idle} idle connections"
            )
        })
    }

    fn places(&self, cores: Cores) -> Vec<Place> {
        let place = Place {
            cores: vec![cores.server],
            arguments: Vec::new(),
        };
        vec![place.clone(), place]
    }

    fn expected(&self, slice: Duration) -> Duration {
        2 * slice + Duration::from_secs(3)
    }

    fn run(&self, stage: &Stage, slice: Duration) -> io::Result<Vec<Figure>> {
        let servers = stage.pair();
        let [mut alone, mut beside] = [fleet(servers[0])?, fleet(servers[1])?];
        beside.admit(idle())?;
        thread::sleep(SETTLE);

        let mut fleets = [&mut alone, &mut beside];
        for fleet in &mut fleets {
            fleet
                .exchange_first(BUSY, Instant::now() + WARM_UP)?
                .flawless()?;
        }
        let mut accounts = [Account::default(); 2];
        for who in TURNS {
            let (server, account) = (servers[who as usize], &mut accounts[who as usize]);
            thread::sleep(PAUSE);
            let before = cpu_time(server.pid())?;
            let end = Instant::now() + slice / 4;
            let tally = fleets[who as usize].exchange_first(BUSY, end)?.flawless()?;
            thread::sleep(PAUSE);
            account.used += (cpu_time(server.pid())? - before).total;
            account.requests += tally.replies;
        }
        let disturbed = beside.disturbed()?;
        if disturbed > 0 {
            return Err(io::Error::other(format!(
                "the server did not leave {disturbed} connections alone"
            )));
        }
        let [alone, beside] = accounts.map(Account::micros_per_request);
        Ok(vec![
            Figure::median("cpu us beside", beside),
            Figure::median("cpu us alone", alone),
            Figure::median("beside / alone", beside / alone),
            Figure::median("idle connections", ratio(idle() as u64, 1.0)),
        ])
    }
}

/// As many idle connections as there are descriptors for.
fn idle() -> usize {
    IDLE.min(most_open_files().saturating_sub(BUSY + OTHERS))
}

/// The busy connections to a server.
fn fleet(server: &Server) -> io::Result<Fleet> {
    let mut fleet = Fleet::new(server.target.clone(), 1, AfterReply::Repeat)?;
    fleet.admit(BUSY)?;
    Ok(fleet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_have_as_many_windows_and_neither_is_early() {
        let places = |wanted: Who| {
            let all = TURNS.iter().enumerate();
            all.filter(move |(_, who)| **who == wanted)
                .map(|(place, _)| place)
        };
        assert_eq!(places(Who::Alone).count(), places(Who::Beside).count());
        assert_eq!(places(Who::Alone).sum::<usize>(), places(Who::Beside).sum());
    }
}
