//! `load`: the load generator, and the runner that compares echo servers with it.
//!
//! The way through: [`args`] reads the command line, [`runner`] starts servers and takes slices of
//! every [`scenarios`] member between two measures of [`calibrate`], [`figures`] folds the slices
//! and [`report`] puts them into tables, [`document`] around them what else a reader must know:
//! the [`goals`], and who is [`ahead`] of us, with the [`reasons`].
//! [`lineup`] finds the servers: [`usual`] ones in Rust, and those of [`systems`]. [`pressure`] is the other command: it writes to one server
//! without reading its replies.

mod ahead;
mod args;
mod bounded;
mod calibrate;
mod chart;
mod client;
mod document;
mod facts;
mod figures;
mod fleet;
mod folder;
mod goals;
mod histogram;
mod json;
mod lineup;
mod link;
mod locked;
mod machine;
mod poller;
mod pressure;
mod procfs;
mod progress;
mod reasons;
mod report;
mod runner;
mod scenarios;
mod server;
mod socket;
mod stage;
mod swarm;
mod systems;
mod tls;
mod turns;
mod usual;
mod verifier;

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use args::Command;
use facts::Facts;
use lineup::{Lineup, Skipped};
use runner::RunOptions;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(complaint) => {
            eprintln!("load: {complaint}\n\n{}", args::USAGE);
            return ExitCode::from(2);
        }
    };
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> io::Result<()> {
    machine::raise_open_files()?;
    match command {
        Command::Help => writeln!(io::stdout(), "{}", args::USAGE),
        Command::Run(options) => compare(&options),
        Command::Pressure(options) => write!(io::stdout(), "{}", pressure::run(&options)?),
    }
}

fn compare(options: &RunOptions) -> io::Result<()> {
    let facts = Facts::gather();
    let lineup = Lineup::new(&options.servers, &options.wanted)?;
    for Skipped { name, why } in &lineup.skipped {
        eprintln!("skipped: {name} ({why})");
    }
    let results = runner::run(options, &lineup.servers)?;
    write!(io::stdout(), "{}", report::markdown(&results))?;
    let json = || json::json(&results, &facts, &lineup);
    if let Some(file) = &options.json {
        fs::write(file, json())?;
    }
    if let Some(file) = &options.write {
        let beside = document::beside(file);
        fs::write(&beside.chart, chart::svg(&results))?;
        fs::write(&beside.json, json())?;
        fs::write(file, document::markdown(&results, &facts, &lineup, &beside))?;
    }
    Ok(())
}
