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

/// What each request cost in each turn, of groups of servers one after the other; some are in all of them.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    groups: Vec<Vec<Row>>,
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
        let mut rows: Vec<_> = parties
            .iter()
            .map(|party| Row::new(party.name, Vec::new()))
            .collect();
        let mut round = 0;
        while !parties.is_empty() && (round == 0 || Instant::now() < end) {
            let count = parties.len();
            let mut failed = None;
            for position in 0..count {
                let index = whose(position, round, count);
                match parties[index].turn() {
                    Ok(turn) => rows[index].add(&turn),
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
                    rows.remove(index);
                    forget_from(&mut rows, round);
                }
            }
        }
        Self { groups: vec![rows] }
    }

    /// The turns of another group besides.
    pub(crate) fn join(&mut self, other: Self) {
        self.groups.extend(other.groups);
    }

    /// What `ours` cost, divided by what `theirs` did, in the rounds that count; none when one of them took no part.
    pub(crate) fn quotient(&self, ours: &str, theirs: &str) -> Option<Quotient> {
        let pair = self.pair(ours, theirs)?;
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
        let [row, _] = self.pair(name, name)?;
        let costs: Vec<f64> = quick_rounds([row]).into_iter().flatten().collect();
        // They are in order already.
        median(&costs)
    }

    /// User microseconds per request that `ours` took more than `theirs`, over all rounds of a group that has both.
    pub(crate) fn user_above(&self, ours: &str, theirs: &str) -> Option<f64> {
        let [ours, theirs] = self.pair(ours, theirs)?;
        Some(ours.user()? - theirs.user()?)
    }

    /// User microseconds per request, over all rounds of the first group that has it.
    pub(crate) fn user(&self, name: &str) -> Option<f64> {
        self.pair(name, name)?[0].user()
    }

    /// The rows of both in the first group that has both.
    fn pair(&self, one: &str, other: &str) -> Option<[&Row; 2]> {
        self.groups.iter().find_map(|rows| {
            let row = |name: &str| rows.iter().find(|row| row.name == name);
            Some([row(one)?, row(other)?])
        })
    }

    /// Of each group the names, costs by round and user microseconds per request, in the order of the parties.
    pub(crate) fn groups(
        &self,
    ) -> impl Iterator<Item = impl Iterator<Item = (&str, &[Option<f64>], Option<f64>)>> {
        self.groups.iter().map(|rows| {
            let rows = rows.iter();
            rows.map(|row| (row.name.as_str(), row.costs.as_slice(), row.user()))
        })
    }

    /// Of known costs.
    #[cfg(test)]
    pub(crate) fn side_by_side(rows: &[(&str, &[Option<f64>])]) -> Self {
        let rows = rows
            .iter()
            .map(|(name, costs)| Row::new(name, costs.to_vec()));
        Self {
            groups: vec![rows.collect()],
        }
    }

    /// The same, with so many user microseconds for each request.
    #[cfg(test)]
    pub(crate) fn with_user(mut self, name: &str, micros: u64) -> Self {
        let mut rows = self.groups.iter_mut().flatten();
        let row = rows.find(|row| row.name == name).unwrap();
        (row.user, row.requests) = (Duration::from_millis(micros), 1_000.0);
        self
    }
}

/// Forgets a round that did not end.
fn forget_from(rows: &mut [Row], round: usize) {
    for row in rows {
        row.costs.truncate(round);
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

    fn user(&self) -> Option<f64> {
        (self.requests > 0.0).then(|| self.user.as_secs_f64() * 1e6 / self.requests)
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
        let turns = Turns {
            groups: vec![vec![row]],
        };
        assert_eq!(turns.user("a"), Some(10.0));
        assert_eq!(turns.user("b"), None);
    }

    #[test]
    fn neighbours_are_compared_in_the_quicker_rounds() {
        // From the second round on the machine is slower; in the last one somebody else had the core of ours.
        let turns = Turns {
            groups: vec![vec![
                row("ours", &[4.4, 5.4, 4.8, 8.0, 9.0, 0.0]),
                row("theirs", &[4.0, 4.5, 4.0, 9.0, 9.0, 1.0]),
            ]],
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
    fn who_was_in_one_group_is_compared_within_it() {
        let mut turns = Turns::side_by_side(&[("ours", &[Some(4.0)]), ("one", &[Some(2.0)])]);
        let second = Turns::side_by_side(&[("ours", &[Some(9.0)]), ("two", &[Some(3.0)])]);
        turns.join(second.with_user("ours", 5).with_user("two", 3));
        let quotient = |ours, theirs| Some(turns.quotient(ours, theirs)?.median);
        assert_eq!(quotient("ours", "one"), Some(2.0));
        assert_eq!(quotient("ours", "two"), Some(3.0));
        assert_eq!(quotient("one", "two"), None);
        assert_eq!(turns.user_above("ours", "two"), Some(2.0));
        assert_eq!(turns.user_above("ours", "one"), None);
    }

    #[test]
    fn rounds_that_did_not_end_are_forgotten() {
        let mut rows = vec![row("a", &[1.0, 2.0]), row("b", &[1.0])];
        forget_from(&mut rows, 1);
        assert!(rows.iter().all(|row| row.costs == [Some(1.0)]));
    }
}
