//! Takes the slices: scenario by scenario, round by round, server after server.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::calibrate::{Calibrator, Conditions, is_fast};
use crate::figures::Figure;
use crate::goals::OURS;
use crate::machine::{Cores, pin};
use crate::procfs::{CpuTime, cpu_time};
use crate::progress::Progress;
use crate::report;
use crate::scenarios::Scenario;
use crate::server::{Place, Server, ServerSpec};
use crate::stage::Stage;
use crate::tls::Credentials;
use crate::turns::{Loads, Party, Turns};

/// How often a slice is taken again after its conditions were not quiet.
const RETRIES: u32 = 5;
/// How long to wait for the fast mode before a slice, in pauses.
const PAUSES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);
/// How much of a scenario's expected time goes into waits for the fast mode and slices that are taken again,
/// before the rest has to do with one try each: a machine that is never quiet shall not take for ever.
const SPARE: u32 = 2;
/// How long servers are measured side by side, for each round of slices.
const TURNS_PER_ROUND: Duration = Duration::from_secs(6);
/// Who is better than others by more than this is so without being measured side by side with them.
const CLOSE: f64 = 1.5;
/// With more of them at a time there are few rounds, and what they do beside their work disturbs the others.
const MOST_PARTIES: usize = 6;
/// How long to leave the machine to others after a slice that is not kept.
const RETREAT: Duration = Duration::from_secs(1);

/// What `load run` was told.
#[derive(Debug)]
pub(crate) struct RunOptions {
    /// How often every server has its turn in a scenario.
    pub(crate) rounds: u32,
    /// The measured time of one slice.
    pub(crate) slice: Duration,
    /// The scenarios.
    pub(crate) scenarios: Vec<Box<dyn Scenario>>,
    /// Servers beside the usual ones, or instead of those of the same name.
    pub(crate) servers: Vec<ServerSpec>,
    /// Who runs where.
    pub(crate) cores: Cores,
    /// The names of the only usual servers that take part; all if empty.
    pub(crate) wanted: Vec<String>,
    /// Where to write every slice.
    pub(crate) json: Option<PathBuf>,
    /// Where to write the results with all that a reader must know.
    pub(crate) write: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    /// The calibration of the fast mode.
    pub(crate) fast: Duration,
    /// In the order of the run.
    pub(crate) scenarios: Vec<ScenarioResult>,
    /// Scenarios that this machine cannot do, and why.
    pub(crate) left_out: Vec<(&'static str, String)>,
}

/// What was measured of one scenario.
#[derive(Debug)]
pub(crate) struct ScenarioResult {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) baselines: &'static [&'static str],
    /// In the order of the command line.
    pub(crate) servers: Vec<ServerResult>,
    /// The closest of them side by side.
    pub(crate) turns: Turns,
}

/// What was measured of one server in one scenario.
#[derive(Debug)]
pub(crate) struct ServerResult {
    pub(crate) name: String,
    /// All slices, also those that are not kept.
    pub(crate) slices: Vec<Slice>,
    /// Slices without figures, because the server did not do its work.
    pub(crate) failures: u32,
}

/// One measure.
#[derive(Debug)]
pub(crate) struct Slice {
    /// What the scenario measured.
    pub(crate) figures: Vec<Figure>,
    /// What it was taken under; none where that does not matter.
    pub(crate) conditions: Option<Conditions>,
}

impl Slice {
    /// Whether its figures are good, if `fast` is the fast mode's calibration.
    pub(crate) fn is_kept(&self, fast: Duration) -> bool {
        self.conditions
            .is_none_or(|conditions| conditions.are_quiet(fast))
    }
}

/// Runs everything. Children are gone when it returns.
///
/// # Errors
/// No such cores. A server that fails costs only its slice.
pub(crate) fn run(options: &RunOptions, servers: &[ServerSpec]) -> io::Result<Results> {
    for core in [options.cores.server, options.cores.load] {
        pin(core).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run on core {core}: {error}"))
        })?;
    }
    let credentials = Credentials::new()?;
    let mut calibrator = Calibrator::new(options.cores)?;
    let (whole, begun) = (expected(options, servers), Instant::now());
    eprintln!(
        "about {} on a quiet machine, and up to half of that again for slices that are repeated",
        minutes(whole)
    );
    let mut progress = Progress::new(whole);
    let mut scenarios = Vec::new();
    let mut left_out = Vec::new();
    for scenario in &options.scenarios {
        if let Some(why) = scenario.obstacle() {
            progress.tell(&format!("left out: {} ({why})", scenario.name()), true);
            left_out.push((scenario.name(), why));
            continue;
        }
        let mut patience = expected_of(scenario.as_ref(), options, servers) / SPARE;
        let servers: Vec<_> = participants(scenario.as_ref(), servers).collect();
        let mut results: Vec<_> = servers
            .iter()
            .map(|spec| ServerResult {
                name: spec.name.clone(),
                slices: Vec::new(),
                failures: 0,
            })
            .collect();
        let rounds = scenario.rounds(options.rounds);
        for round in 1..=rounds {
            for (spec, result) in servers.iter().zip(&mut results) {
                let title = format!("{} {round}/{rounds} {}", scenario.name(), spec.name);
                progress.turn(&title);
                let mut tell =
                    |text: &str, noteworthy| progress.tell(&format!("{title}: {text}"), noteworthy);
                take_slices(
                    scenario.as_ref(),
                    spec,
                    options,
                    &credentials,
                    &mut calibrator,
                    &mut patience,
                    &mut tell,
                    result,
                );
                progress.advance(scenario.expected(options.slice));
            }
        }
        let mut result = ScenarioResult {
            name: scenario.name(),
            about: scenario.about(),
            baselines: scenario.baselines(),
            servers: results,
            turns: Turns::default(),
        };
        if let Some(loads) = scenario.in_turns() {
            let time = TURNS_PER_ROUND * rounds;
            let place = &scenario.places(options.cores)[0];
            for group in groups_with_ours(&result, &servers, calibrator.fast()) {
                result.turns.join(take_turns(
                    result.name,
                    loads,
                    &group,
                    place,
                    time,
                    &credentials,
                    &mut progress,
                ));
                progress.advance(time);
            }
        }
        scenarios.push(result);
    }
    progress.tell(&format!("took {}", minutes(begun.elapsed())), true);
    Ok(Results {
        fast: calibrator.fast(),
        scenarios,
        left_out,
    })
}

/// The servers that take part in a scenario.
fn participants<'a>(
    scenario: &dyn Scenario,
    servers: &'a [ServerSpec],
) -> impl Iterator<Item = &'a ServerSpec> {
    let wire = scenario.wire();
    servers.iter().filter(move |spec| spec.wire == wire)
}

/// How long the run takes if no slice is taken again.
fn expected(options: &RunOptions, servers: &[ServerSpec]) -> Duration {
    let scenarios = options.scenarios.iter();
    scenarios
        .filter(|scenario| scenario.obstacle().is_none())
        .map(|scenario| expected_of(scenario.as_ref(), options, servers))
        .sum()
}

fn expected_of(scenario: &dyn Scenario, options: &RunOptions, servers: &[ServerSpec]) -> Duration {
    let round = participants(scenario, servers).map(|_| scenario.expected(options.slice));
    let all = participants(scenario, servers).count();
    let in_turns = scenario.in_turns().map(|_| {
        // If all of them are close.
        let always = 1 + scenario.baselines().len();
        let groups = all.saturating_sub(always).div_ceil(MOST_PARTIES - always);
        TURNS_PER_ROUND * u32::try_from(groups.max(1)).unwrap_or(u32::MAX)
    });
    (round.sum::<Duration>() + in_turns.unwrap_or_default()) * scenario.rounds(options.rounds)
}

fn minutes(time: Duration) -> String {
    format!("{}:{:02} minutes", time.as_secs() / 60, time.as_secs() % 60)
}

/// Groups to be measured side by side: in each of them ours and the baselines, and of the others those whose first
/// figures are not far behind ours, the nearest first.
fn groups_with_ours<'a>(
    result: &ScenarioResult,
    servers: &[&'a ServerSpec],
    fast: Duration,
) -> Vec<Vec<&'a ServerSpec>> {
    let firsts = report::firsts(result, fast);
    let figure = |name: &str| {
        let mut rows = firsts.iter();
        Some(rows.find(|row| row.server == name)?.figure.value)
    };
    let Some(ours) = figure(OURS) else {
        return Vec::new();
    };
    let is_always = |name: &str| name == OURS || result.baselines.contains(&name);
    let (mut always, mut others) = (Vec::new(), Vec::new());
    for spec in servers {
        let Some(theirs) = figure(&spec.name) else {
            continue;
        };
        if is_always(&spec.name) {
            always.push(*spec);
        } else if theirs / ours <= CLOSE {
            others.push(((theirs / ours).ln().abs(), *spec));
        }
    }
    others.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let others: Vec<_> = others.into_iter().map(|(_, spec)| spec).collect();
    if others.is_empty() {
        return vec![always];
    }
    let groups = others.chunks(MOST_PARTIES.saturating_sub(always.len()).max(1));
    groups.map(|group| [&always, group].concat()).collect()
}

/// The servers side by side, each with its load.
fn take_turns(
    scenario: &str,
    loads: &dyn Loads,
    servers: &[&ServerSpec],
    place: &Place,
    time: Duration,
    credentials: &Credentials,
    progress: &mut Progress,
) -> Turns {
    let (mut parties, mut running) = (Vec::new(), Vec::new());
    for spec in servers {
        let title = format!("{scenario} in turns {}", spec.name);
        progress.turn(&title);
        let begun = Server::start(spec, place, credentials)
            .and_then(|server| Ok((loads.load(&server)?, server)));
        match begun {
            Ok((load, server)) => {
                parties.push(Party {
                    name: &spec.name,
                    pid: server.pid(),
                    load,
                });
                running.push(server);
            }
            Err(error) => progress.tell(&format!("{title}: failed: {error}"), true),
        }
    }
    progress.turn(&format!("{scenario} in turns"));
    Turns::take(parties, Instant::now() + time, |name, error| {
        progress.tell(
            &format!("{scenario} in turns {name}: failed: {error}"),
            true,
        );
    })
}

/// Takes slices until the conditions were quiet during one, or patience is at its end.
#[expect(clippy::too_many_arguments, reason = "each is a part of the run")]
fn take_slices(
    scenario: &dyn Scenario,
    spec: &ServerSpec,
    options: &RunOptions,
    credentials: &Credentials,
    calibrator: &mut Calibrator,
    patience: &mut Duration,
    tell: &mut dyn FnMut(&str, bool),
    result: &mut ServerResult,
) {
    for _ in 0..=RETRIES {
        if scenario.wants_quiet() {
            let begun = Instant::now();
            if let Err(error) = wait_for_fast_core(calibrator, *patience) {
                tell(&format!("failed: {error}"), true);
                result.failures += 1;
                return;
            }
            *patience = patience.saturating_sub(begun.elapsed());
        }
        let begun = Instant::now();
        match take_slice(scenario, spec, options, credentials, calibrator) {
            Ok(slice) => {
                let kept = slice.is_kept(calibrator.fast());
                tell(&said(&slice, kept), false);
                result.slices.push(slice);
                if kept {
                    return;
                }
                *patience = patience.saturating_sub(begun.elapsed() + RETREAT);
                if patience.is_zero() {
                    return;
                }
                thread::sleep(RETREAT);
            }
            Err(error) => {
                tell(&format!("failed: {error}"), true);
                result.failures += 1;
                return;
            }
        }
    }
}

fn take_slice(
    scenario: &dyn Scenario,
    spec: &ServerSpec,
    options: &RunOptions,
    credentials: &Credentials,
    calibrator: &mut Calibrator,
) -> io::Result<Slice> {
    let places = scenario.places(options.cores);
    if !scenario.wants_quiet() {
        let mut stage = Stage::set(spec, &places, credentials)?;
        let figures = scenario
            .run(&stage, options.slice)
            .map_err(|fault| stage.explain(fault))?;
        return Ok(Slice {
            figures,
            conditions: None,
        });
    }
    let before = calibrator.measure()?;
    let mut stage = Stage::set(spec, &places, credentials)?;
    let (begin, times_before) = (Instant::now(), all_times(&stage)?);
    let figures = scenario
        .run(&stage, options.slice)
        .map_err(|fault| stage.explain(fault))?;
    let (times_after, elapsed) = (all_times(&stage)?, begin.elapsed());
    drop(stage);
    let waited = times_after.into_iter().zip(times_before);
    let waited = waited.map(|(after, before)| (after - before).waited).max();
    let waiting = scenario
        .waiting(&figures)
        .unwrap_or_else(|| waited.unwrap_or_default().div_duration_f64(elapsed));
    let calibration = before.max(calibrator.measure()?);
    Ok(Slice {
        figures,
        conditions: Some(Conditions {
            calibration,
            waiting,
        }),
    })
}

/// Of the servers and of the load.
fn all_times(stage: &Stage) -> io::Result<Vec<CpuTime>> {
    let mut times = stage.cpu_times()?;
    times.push(cpu_time(std::process::id())?);
    Ok(times)
}

/// Waits for the fast mode, but not for ever.
fn wait_for_fast_core(calibrator: &mut Calibrator, limit: Duration) -> io::Result<()> {
    let begun = Instant::now();
    for _ in 0..PAUSES {
        if is_fast(calibrator.measure()?, calibrator.fast()) || begun.elapsed() >= limit {
            break;
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn said(slice: &Slice, kept: bool) -> String {
    let figure = slice.figures.first();
    let figure = figure
        .map(|first| format!("{} {:.3}", first.name, first.value))
        .unwrap_or_default();
    let conditions = slice.conditions.map(
        |Conditions {
             calibration,
             waiting,
         }| {
            format!(
                ", calibration {calibration:?}, waiting {:.1} %",
                waiting * 100.0
            )
        },
    );
    let verdict = if kept { "kept" } else { "discarded" };
    format!("{figure}{}, {verdict}", conditions.unwrap_or_default())
}
