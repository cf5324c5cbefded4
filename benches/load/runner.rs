//! Takes the slices: scenario by scenario, round by round, server after server.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::calibrate::{Calibrator, Conditions, is_fast};
use crate::figures::Figure;
use crate::machine::{Cores, pin};
use crate::procfs::cpu_time;
use crate::scenarios::Scenario;
use crate::server::{Server, ServerSpec, Wire};
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
    /// Where to write every slice.
    pub(crate) json: Option<PathBuf>,
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
/// No servers, or no such cores. A server that fails costs only its slice.
pub(crate) fn run(options: &RunOptions) -> io::Result<Results> {
    let servers = servers(&options.servers)?;
    for core in [options.cores.server, options.cores.load] {
        pin(core).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot run on core {core}: {error}"))
        })?;
    }
    let credentials = Credentials::new()?;
    let mut calibrator = Calibrator::new(options.cores)?;
    let mut scenarios = Vec::new();
    for scenario in &options.scenarios {
        let servers: Vec<_> = servers
            .iter()
            .filter(|spec| spec.wire == scenario.wire())
            .collect();
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
                take_slices(
                    scenario.as_ref(),
                    spec,
                    options,
                    &credentials,
                    &mut calibrator,
                    &title,
                    result,
                );
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

/// Takes slices until the conditions were quiet during one.
fn take_slices(
    scenario: &dyn Scenario,
    spec: &ServerSpec,
    options: &RunOptions,
    credentials: &Credentials,
    calibrator: &mut Calibrator,
    title: &str,
    result: &mut ServerResult,
) {
    for _ in 0..=RETRIES {
        match take_slice(scenario, spec, options, credentials, calibrator) {
            Ok(slice) => {
                let kept = slice.is_kept(calibrator.fast());
                progress(title, &slice, kept);
                result.slices.push(slice);
                if kept {
                    return;
                }
                thread::sleep(RETREAT);
            }
            Err(error) => {
                eprintln!("{title}: failed: {error}");
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

fn progress(title: &str, slice: &Slice, kept: bool) {
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
    eprintln!(
        "{title}: {figure}{}, {verdict}",
        conditions.unwrap_or_default()
    );
}

/// The usual servers, as far as they are built, and those of the command line.
fn servers(extra: &[ServerSpec]) -> io::Result<Vec<ServerSpec>> {
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let usual = [
        (Wire::Plain, "tokio-lines", folder.join("peer-tokio-lines")),
        (
            Wire::Plain,
            "tokio-chunks",
            folder.join("peer-tokio-chunks"),
        ),
        (
            Wire::Plain,
            "switchboard",
            folder.join("examples").join("echo"),
        ),
        (Wire::Plain, "stream", folder.join("stream-echo")),
        (Wire::Tls, "tokio-rustls", folder.join("peer-tokio-rustls")),
        (Wire::Tls, "switchboard", folder.join("tls-echo")),
        (Wire::Udp, "tokio-udp", folder.join("peer-tokio-udp")),
        (
            Wire::Udp,
            "tokio-udp-try",
            folder.join("peer-tokio-udp-try"),
        ),
        (Wire::Udp, "mmsg-udp", folder.join("peer-mmsg-udp")),
        (Wire::Udp, "switchboard", folder.join("udp-echo")),
    ];
    let mut servers: Vec<_> = usual
        .into_iter()
        .filter(|(_, _, path)| path.exists())
        .map(|(wire, name, path)| ServerSpec {
            name: name.to_owned(),
            command: vec![path.display().to_string()],
            wire,
        })
        .collect();
    for spec in extra {
        let known = servers
            .iter_mut()
            .find(|known| known.wire == spec.wire && known.name == spec.name);
        match known {
            Some(known) => known.clone_from(spec),
            None => servers.push(spec.clone()),
        }
    }
    if servers.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no servers beside {}", program.display()),
        ));
    }
    Ok(servers)
}
