//! `load`: the load generator, and the runner that compares echo servers with it.
//!
//! The way through: [`args`] reads the command line, [`runner`] starts servers and takes slices of
//! every [`scenarios`] member between two measures of [`calibrate`], [`figures`] folds the slices
//! and [`report`] puts them into tables. [`pressure`] is the other command: it writes to one server
//! without reading its replies.

mod args;
mod calibrate;
mod client;
mod figures;
mod fleet;
mod histogram;
mod json;
mod link;
mod machine;
mod poller;
mod pressure;
mod procfs;
mod report;
mod runner;
mod scenarios;
mod server;
mod socket;
mod swarm;
mod tls;
mod verifier;

use std::io::{self, Write as _};
use std::process::ExitCode;

use args::Command;

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
        Command::Run(options) => {
            let results = runner::run(&options)?;
            write!(io::stdout(), "{}", report::markdown(&results))?;
            match &options.json {
                Some(file) => std::fs::write(file, json::json(&results)),
                None => Ok(()),
            }
        }
        Command::Pressure(options) => write!(io::stdout(), "{}", pressure::run(&options)?),
    }
}
