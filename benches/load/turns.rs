//! Servers side by side in turns: all of them stay up, and each works for some hundredths of a second, over and over.
//!
//! A shared machine changes its speed within seconds. Two turns that follow each other hardly differ in it, so that the
//! quotients of such neighbours tell costs apart that slices of half a second do not.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::calibrate::Conditions;
use crate::figures::median;
use crate::procfs::cpu_time;
use crate::server::Server;

/// How long a server works in its turn.
const TURN: Duration = Duration::from_millis(30);
/// Time for a server to go to sleep, after which its CPU time is exact.
const PAUSE: Duration = Duration::from_millis(2);

/// A load on one server that goes on where it stopped.
pub(crate) trait Load {
    /// Works until `end` and until the last reply, and says how many requests that were.
    ///
    /// # Errors
    /// The server did not do its work.
    fn work(&mut self, end: Instant) -> io::Result<f64>;
}

/// Something that can load a server in turns with others.
pub(crate) trait Loads {
    /// A load on this server, warmed up.
    ///
    /// # Errors
    /// The server did not do its work.
    fn load(&self, server: &Server) -> io::Result<Box<dyn Load>>;
}

/// What each request cost in each turn.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    /// CPU microseconds per request, by round; none where others had a part.
    costs: Vec<Option<f64>>,
    /// User time of all rounds, which is sampled: one turn's says nothing.
    user: Duration,
    /// Requests of all rounds.
    requests: f64,
}

/// What one turn was.
struct Turn {
    /// CPU microseconds per request, if the server had its core.
    cost: Option<f64>,
    user: Duration,
    requests: f64,
}

/// A quotient of two costs in all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quotient {
    pub(crate) median: f64,
    /// Half of the rounds that count lie between these.
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// So many rounds count.
    pub(crate) rounds: usize,
}

/// A server with its load.
pub(crate) struct Party<'a> {
    pub(crate) name: &'a str,
    /// The server's process.
    pub(crate) pid: u32,
    pub(crate) load: Box<dyn Load + 'a>,
}

impl Turns {
    /// Lets all work in turns until `end`, in at least one round. A party that fails is told of, and has no row.
    pub(crate) fn take(
        mut parties: Vec<Party<'_>>,
        end: Instant,
        mut tell: impl FnMut(&str, io::Error),
    ) -> Self {
        let mut turns = Self::default();
        for party in &parties {
            turns.rows.push(Row::new(party.name, Vec::new()));
        }
        let mut round = 0;
        while !parties.is_empty() && (round == 0 || Instant::now() < end) {
            let count = parties.len();
            let mut failed = None;
            for position in 0..count {
                let index = whose(position, round, count);
                match parties[index].turn() {
                    Ok(turn) => turns.rows[index].add(&turn),
                    Err(error) => {
                        tell(parties[index].name, error);
                        failed = Some(index);
                        break;
                    }
                }
            }
            match failed {
                None => round += 1,
                Some(index) => {
                    parties.remove(index);
                    turns.rows.remove(index);
                    turns.cut(round);
                }
            }
        }
        turns
    }

    /// What `ours` cost, divided by what `theirs` did, in the rounds that count; none when one of them took no part.
    pub(crate) fn quotient(&self, ours: &str, theirs: &str) -> Option<Quotient> {
        let pair = [self.row(ours)?, self.row(theirs)?];
        let mut quotients: Vec<f64> = quick_rounds(pair)
            .into_iter()
            .map(|[ours, theirs]| ours / theirs)
            .collect();
        quotients.sort_by(f64::total_cmp);
        let rounds = quotients.len();
        Some(Quotient {
            median: median(&quotients)?,
            low: median(&quotients[..rounds.div_ceil(2)])?,
            high: median(&quotients[rounds / 2..])?,
            rounds,
        })
    }

    /// What a request cost, in the middle of the rounds that count.
    pub(crate) fn cost(&self, name: &str) -> Option<f64> {
        let costs: Vec<f64> = quick_rounds([self.row(name)?])
            .into_iter()
            .flatten()
            .collect();
        // They are in order already.
        median(&costs)
    }

    /// User microseconds per request, over all rounds.
    pub(crate) fn user(&self, name: &str) -> Option<f64> {
        let row = self.row(name)?;
        (row.requests > 0.0).then(|| row.user.as_secs_f64() * 1e6 / row.requests)
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Names and costs, in the order of the parties.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &[Option<f64>])> {
        let rows = self.rows.iter();
        rows.map(|row| (row.name.as_str(), row.costs.as_slice()))
    }

    /// Of known costs.
    #[cfg(test)]
    pub(crate) fn side_by_side(rows: &[(&str, &[Option<f64>])]) -> Self {
        let rows = rows
            .iter()
            .map(|(name, costs)| Row::new(name, costs.to_vec()));
        Self {
            rows: rows.collect(),
        }
    }

    /// The same, with so many user microseconds for each request.
    #[cfg(test)]
    pub(crate) fn with_user(mut self, name: &str, micros: u64) -> Self {
        let row = self.rows.iter_mut().find(|row| row.name == name).unwrap();
        (row.user, row.requests) = (Duration::from_millis(micros), 1_000.0);
        self
    }

    /// Forgets a round that did not end.
    fn cut(&mut self, rounds: usize) {
        for row in &mut self.rows {
            row.costs.truncate(rounds);
        }
    }
}

impl Row {
    fn new(name: &str, costs: Vec<Option<f64>>) -> Self {
        Self {
            name: name.to_owned(),
            costs,
            user: Duration::ZERO,
            requests: 0.0,
        }
    }

    fn add(&mut self, turn: &Turn) {
        self.costs.push(turn.cost);
        self.user += turn.user;
        self.requests += turn.requests;
    }
}

impl Party<'_> {
    fn turn(&mut self) -> io::Result<Turn> {
        thread::sleep(PAUSE);
        let before = cpu_time(self.pid)?;
        let begin = Instant::now();
        let requests = self.load.work(begin + TURN)?;
        let elapsed = begin.elapsed();
        thread::sleep(PAUSE);
        let used = cpu_time(self.pid)? - before;
        let waiting = used.waited.div_duration_f64(elapsed);
        let cost = used.total.as_secs_f64() * 1e6 / requests;
        Ok(Turn {
            cost: (waiting <= Conditions::MOST_WAITING).then_some(cost),
            user: used.user,
            requests,
        })
    }
}

/// What these servers cost in the quicker half of the rounds in which all of them had the core: in the others the host
/// may have slowed one and not the other. How quick a round was they say together, so that none gains by the choice.
fn quick_rounds<const COUNT: usize>(rows: [&Row; COUNT]) -> Vec<[f64; COUNT]> {
    let count = rows.iter().map(|row| row.costs.len()).min().unwrap_or(0);
    let whole = (0..count).filter(|round| rows.iter().all(|row| row.costs[*round].is_some()));
    let costs = whole.map(|round| rows.map(|row| row.costs[round].unwrap_or(f64::NAN)));
    let mut costs: Vec<_> = costs.collect();
    costs.sort_by(|one, other| {
        let time = |costs: &[f64; COUNT]| costs.iter().product::<f64>();
        time(one).total_cmp(&time(other))
    });
    costs.truncate(costs.len().div_ceil(2));
    costs
}

/// Who comes at a position of a round. Everyone comes everywhere, forwards and backwards: nobody profits from a machine
/// that slows down, nor from who was before.
fn whose(position: usize, round: usize, count: usize) -> usize {
    let place = (position + round / 2) % count;
    if round.is_multiple_of(2) {
        place
    } else {
        count - 1 - place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, costs: &[f64]) -> Row {
        let costs = costs.iter().map(|cost| (*cost > 0.0).then_some(*cost));
        Row::new(name, costs.collect())
    }

    #[test]
    fn user_time_is_that_of_all_rounds() {
        let mut row = row("a", &[]);
        for (cost, user) in [(Some(4.0), 0), (None, 10), (Some(4.0), 20)] {
            row.add(&Turn {
                cost,
                user: Duration::from_millis(user),
                requests: 1_000.0,
            });
        }
        let turns = Turns { rows: vec![row] };
        assert_eq!(turns.user("a"), Some(10.0));
        assert_eq!(turns.user("b"), None);
    }

    #[test]
    fn neighbours_are_compared_in_the_quicker_rounds() {
        // From the second round on the machine is slower; in the last one somebody else had the core of ours.
        let turns = Turns {
            rows: vec![
                row("ours", &[4.4, 5.4, 4.8, 8.0, 9.0, 0.0]),
                row("theirs", &[4.0, 4.5, 4.0, 9.0, 9.0, 1.0]),
            ],
        };
        let quotient = turns.quotient("ours", "theirs").unwrap();
        assert!((quotient.median - 1.2).abs() < 1e-9, "{quotient:?}");
        assert_eq!(quotient.rounds, 3);
        assert_eq!(turns.cost("ours"), Some(4.8));
        assert_eq!(turns.quotient("ours", "nobody"), None);
    }

    #[test]
    fn in_as_many_rounds_as_places_everyone_was_everywhere() {
        let count = 3;
        for position in 0..count {
            let mut seen: Vec<_> = (0..2 * count)
                .map(|round| whose(position, round, count))
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 0, 1, 1, 2, 2]);
        }
        for round in 0..4 {
            let mut seen: Vec<_> = (0..count).map(|at| whose(at, round, count)).collect();
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2]);
        }
    }

    #[test]
    fn rounds_that_did_not_end_are_forgotten() {
        let mut turns = Turns {
            rows: vec![row("a", &[1.0, 2.0]), row("b", &[1.0])],
        };
        turns.cut(1);
        assert!(turns.rows().all(|(_, costs)| costs == [Some(1.0)]));
    }
}
