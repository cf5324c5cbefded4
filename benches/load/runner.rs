//! Takes the slices: scenario by scenario, round by round, server after server.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::calibrate::{Calibrator, Conditions, is_fast};
use crate::figures::Figure;
use crate::machine::{Cores, pin};
use crate::procfs::cpu_time;
use crate::progress::Progress;
use crate::scenarios::Scenario;
use crate::server::{Server, ServerSpec};
use crate::tls::Credentials;

/// How often a slice is taken again after its conditions were not quiet.
const RETRIES: u32 = 5;
/// How long to wait for the fast mode before a slice, in pauses.
const PAUSES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);
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
}

/// What was measured of one scenario.
#[derive(Debug)]
pub(crate) struct ScenarioResult {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) baselines: &'static [&'static str],
    /// In the order of the command line.
    pub(crate) servers: Vec<ServerResult>,
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
    let mut progress = Progress::new(expected(options, servers));
    let mut scenarios = Vec::new();
    for scenario in &options.scenarios {
        let servers: Vec<_> = participants(scenario.as_ref(), servers).collect();
        let mut results: Vec<_> = servers
            .iter()
            .map(|spec| ServerResult {
                name: spec.name.clone(),
                slices: Vec::new(),
                failures: 0,
            })
            .collect();
        for round in 1..=options.rounds {
            for (spec, result) in servers.iter().zip(&mut results) {
                let title = format!(
                    "{} {round}/{} {}",
                    scenario.name(),
                    options.rounds,
                    spec.name
                );
                progress.turn(&title);
                let mut tell =
                    |text: &str, noteworthy| progress.tell(&format!("{title}: {text}"), noteworthy);
                take_slices(
                    scenario.as_ref(),
                    spec,
                    options,
                    &credentials,
                    &mut calibrator,
                    &mut tell,
                    result,
                );
                progress.advance(scenario.expected(options.slice));
            }
        }
        scenarios.push(ScenarioResult {
            name: scenario.name(),
            about: scenario.about(),
            baselines: scenario.baselines(),
            servers: results,
        });
    }
    Ok(Results {
        fast: calibrator.fast(),
        scenarios,
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
    let scenarios = options.scenarios.iter().map(|scenario| {
        let round =
            participants(scenario.as_ref(), servers).map(|_| scenario.expected(options.slice));
        round.sum::<Duration>() * options.rounds
    });
    scenarios.sum()
}

/// Takes slices until the conditions were quiet during one.
fn take_slices(
    scenario: &dyn Scenario,
    spec: &ServerSpec,
    options: &RunOptions,
    credentials: &Credentials,
    calibrator: &mut Calibrator,
    tell: &mut dyn FnMut(&str, bool),
    result: &mut ServerResult,
) {
    for _ in 0..=RETRIES {
        match take_slice(scenario, spec, options, credentials, calibrator) {
            Ok(slice) => {
                let kept = slice.is_kept(calibrator.fast());
                tell(&said(&slice, kept), false);
                result.slices.push(slice);
                if kept {
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
    if !scenario.wants_quiet() {
        let mut server = Server::start(spec, options.cores.server, credentials)?;
        let figures = scenario
            .run(&server, options.slice)
            .map_err(|fault| server.explain(fault))?;
        return Ok(Slice {
            figures,
            conditions: None,
        });
    }
    let before = wait_for_fast_core(calibrator)?;
    let mut server = Server::start(spec, options.cores.server, credentials)?;
    let (begin, watched) = (Instant::now(), [server.pid(), std::process::id()]);
    let [server_before, load_before] = watched.map(cpu_time);
    let figures = scenario
        .run(&server, options.slice)
        .map_err(|fault| server.explain(fault))?;
    let [server_after, load_after] = watched.map(cpu_time);
    let waited = (server_after? - server_before?)
        .waited
        .max((load_after? - load_before?).waited);
    let waiting = waited.div_duration_f64(begin.elapsed());
    drop(server);
    let calibration = before.max(calibrator.measure()?);
    Ok(Slice {
        figures,
        conditions: Some(Conditions {
            calibration,
            waiting,
        }),
    })
}

/// Waits for the fast mode, but not for ever.
fn wait_for_fast_core(calibrator: &mut Calibrator) -> io::Result<Duration> {
    let mut measured = calibrator.measure()?;
    for _ in 0..PAUSES {
        if is_fast(measured, calibrator.fast()) {
            break;
        }
        thread::sleep(PAUSE);
        measured = calibrator.measure()?;
    }
    Ok(measured)
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
