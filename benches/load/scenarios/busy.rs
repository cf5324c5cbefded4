//! `busy`: what idle connections cost those that are busy.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{MANY, Scenario, ratio};
use crate::figures::Figure;
use crate::fleet::{AfterReply, Fleet};
use crate::machine::{Cores, most_open_files};
use crate::server::{Place, Server};
use crate::stage::Stage;
use crate::turns::{Load, Party, Turns};

/// Connections with one line in flight.
const BUSY: usize = 50;
/// Connections that say nothing after their first line, if there are descriptors for so many.
const IDLE: usize = 2 * MANY;
/// Descriptors that a process has beside its connections, and those of the busy ones of the other server.
const OTHERS: usize = 200;
/// Time under load before the measured windows of each server.
const WARM_UP: Duration = Duration::from_millis(200);
/// How many slices' time the turns have together: to come to so many connections takes longer.
const SLICES: u32 = 4;
/// Time for the server to finish what it does after the last line.
const SETTLE: Duration = Duration::from_millis(500);

/// Two servers of a kind on one core, of which one has the idle connections too, in turns.
#[derive(Debug)]
pub(super) struct Busy;

/// Their names while they take turns.
const ALONE: &str = "alone";
const BESIDE: &str = "beside";

/// The busy connections of a server; the idle ones are behind them.
struct Part<'a>(&'a mut Fleet);

impl Load for Part<'_> {
    fn work(&mut self, end: Instant) -> io::Result<f64> {
        let tally = self.0.exchange_first(BUSY, end)?.flawless()?;
        Ok(ratio(tally.replies, 1.0))
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
        SLICES * slice + Duration::from_secs(3)
    }

    fn run(&self, stage: &Stage, slice: Duration) -> io::Result<Vec<Figure>> {
        let servers = stage.pair();
        let [mut alone, mut beside] = [fleet(servers[0])?, fleet(servers[1])?];
        beside.admit(idle())?;
        thread::sleep(SETTLE);

        let mut parties = Vec::new();
        for (name, server, fleet) in [
            (ALONE, servers[0], &mut alone),
            (BESIDE, servers[1], &mut beside),
        ] {
            let (pid, mut load) = (server.pid(), Box::new(Part(fleet)));
            load.work(Instant::now() + WARM_UP)?;
            parties.push(Party { name, pid, load });
        }
        let mut fault = None;
        let turns = Turns::take(parties, Instant::now() + SLICES * slice, |_, error| {
            fault = Some(error);
        });
        if let Some(fault) = fault {
            return Err(fault);
        }
        let disturbed = beside.disturbed()?;
        if disturbed > 0 {
            return Err(io::Error::other(format!(
                "the server did not leave {disturbed} connections alone"
            )));
        }
        let disturbance = || io::Error::other("others had a part in every turn");
        let quotient = turns.quotient(BESIDE, ALONE).ok_or_else(disturbance)?;
        let cost = |name| turns.cost(name).ok_or_else(disturbance);
        Ok(vec![
            Figure::median("cpu us beside", cost(BESIDE)?),
            Figure::median("cpu us alone", cost(ALONE)?),
            Figure::median("beside / alone", quotient.median),
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
