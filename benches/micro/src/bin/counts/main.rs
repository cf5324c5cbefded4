//! `counts check|update [PREFIX]`: how many instructions a round of each loop takes, against what
//! `counts.txt` keeps of it. `README.md` of the benches says what the figures mean.
//!
//! Instructions repeat on a machine that is busy, where times do not. They are counted by valgrind's
//! callgrind, in a process that does few rounds and one that does many: in the difference there is neither
//! the start of the process nor what the first rounds allocate.

mod callgrind;
mod record;
mod verdict;

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use switchboard_micro::Body;

use record::{Kept, Record};
use verdict::Verdict;

/// Where it is set, the check fails without valgrind; elsewhere it is skipped.
const REQUIRED: &str = "SWITCHBOARD_REQUIRE_PEERS";
const NO_VALGRIND: &str = "valgrind is not there";
const USAGE: &str = "usage: counts check|update [PREFIX]";
/// How to say that the counts are right as they are now.
const UPDATE: &str = "cargo run --release -p switchboard-micro --bin counts -- update";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        // What runs under valgrind.
        ["run", name, rounds] => run(name, rounds),
        ["check"] => check(""),
        ["check", prefix] => check(prefix),
        ["update"] => update(""),
        ["update", prefix] => update(prefix),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, rounds: &str) -> Result<(), Box<dyn Error>> {
    let body = switchboard_micro::all().find(|body| body.name == name);
    let body = body.ok_or_else(|| format!("there is no loop {name}"))?;
    let rounds = rounds.parse()?;
    (body.setup)()(rounds);
    Ok(())
}

/// Compares all loops whose name begins so with what is kept of them.
fn check(prefix: &str) -> Result<(), Box<dyn Error>> {
    let record = Record::read()?;
    let here = record::Origin::here();
    if here.machine != record.origin.machine {
        skipped(&format!("the counts are of {}", record.origin.machine));
        return Ok(());
    }
    if !callgrind::is_there() {
        if env::var_os(REQUIRED).is_some() {
            return Err(NO_VALGRIND.into());
        }
        skipped(NO_VALGRIND);
        return Ok(());
    }
    let foreign = here != record.origin;
    if foreign {
        eprintln!(
            "counts: of {}; this is {here}, so that they may differ {} times as much",
            record.origin,
            verdict::FOREIGN
        );
    }
    let mut faults = Vec::new();
    count(prefix, |body, found| {
        let verdict = Verdict::of(record.kept(body.name), found, foreign);
        faults.extend(verdict.fault(body.name));
        verdict.to_string()
    })?;
    let gone = record.all().filter(|kept| kept.name.starts_with(prefix));
    for Kept { name, .. } in gone {
        if switchboard_micro::all().all(|body| body.name != name) {
            faults.push(format!("{name} is kept, and is no loop"));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.join("\n  ");
    Err(format!("not as it is kept:\n  {faults}\nIf that is right: {UPDATE}").into())
}

fn skipped(why: &str) {
    eprintln!("counts: SKIPPED, nothing was compared: {why}");
}

/// Keeps what all loops take whose name begins so.
fn update(prefix: &str) -> Result<(), Box<dyn Error>> {
    if !callgrind::is_there() {
        return Err(NO_VALGRIND.into());
    }
    let mut record = Record::read()?;
    let here = record::Origin::here();
    if !prefix.is_empty() && here != record.origin {
        return Err(format!("the others are of {}: update all", record.origin).into());
    }
    record.origin = here;
    count(prefix, |body, found| {
        let verdict = Verdict::of(record.kept(body.name), found, false);
        record.keep(body.name, found);
        verdict.to_string()
    })?;
    record.retain(|name| switchboard_micro::all().any(|body| body.name == name));
    Ok(record.write()?)
}

/// Counts, and prints what is told about each.
fn count(prefix: &str, mut tell: impl FnMut(&Body, u64) -> String) -> Result<(), Box<dyn Error>> {
    if cfg!(debug_assertions) {
        return Err("only the release build is counted: cargo run --release".into());
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{:<26}{:>12}  instructions of a round", "loop", "")?;
    for body in switchboard_micro::all().filter(|body| body.name.starts_with(prefix)) {
        let found = callgrind::count(body)?;
        let told = tell(body, found);
        writeln!(out, "{:<26}{found:>12}  {told}", body.name)?;
        out.flush()?;
    }
    Ok(())
}
