//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::machine::Cores;
use crate::pressure::PressureOptions;
use crate::runner::RunOptions;
use crate::scenarios;
use crate::server::{ServerSpec, Wire};

/// What `load --help` prints.
pub(crate) const USAGE: &str = "\
load run [options]              compare servers, print a table of medians and ratios
  --rounds N                    rounds of A B C A B C              (default 5)
  --slice-seconds S             measured time of one slice         (default 0.5)
  --only NAME,...               scenarios: ping1 ping50 ping500 pipe50x64 churn idle busy transfer
                                storm tls-ping50 tls-transfer handshakes udp1 udp16 shards
  --servers NAME,...            only these of the usual servers
  --server NAME=COMMAND         one more server, or another command for a known name (repeatable);
                                the address to listen on is appended as the last argument
  --tls-server NAME=COMMAND     the same for the scenarios over TLS; the server finds PEM files where
                                TLS_CERTIFICATE and TLS_KEY of its environment say
  --udp-server NAME=COMMAND     the same for the scenarios over UDP
  --work-server NAME=COMMAND    the same for the scenario shards; the server has as many threads as --shards N
                                before the address says, and does work for each line
  --cores SERVER,LOAD           the two cores                      (default 0,1)
  --json FILE                   write every slice there
  --write FILE.md               write a report there, with the machine and all versions, and beside it
                                a chart and every slice: file.svg and file.json, in small letters
                                (PYTHON in the environment names the Python that is tried first)

load flood ADDR --pid PID       write lines without ever reading a reply
load slow-reader ADDR --pid PID the same, reading a trickle of the replies
  --bytes N                     stop after so many bytes           (default 1073741824)
  --seconds S                   or after so much time              (default 10)
  --line-bytes N                length of a line with its newline  (default 64)
  --read-bytes N                read per second, slow-reader only  (default 65536)";

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Compare servers.
    Run(RunOptions),
    /// Write without reading.
    Pressure(PressureOptions),
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// A line for the user about the first argument that makes no sense.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut arguments = arguments.peekable();
    let command = arguments.next();
    match command.as_deref() {
        None | Some("help" | "--help" | "-h") => Ok(Command::Help),
        Some(_)
            if arguments
                .peek()
                .is_some_and(|next| next == "--help" || next == "-h") =>
        {
            Ok(Command::Help)
        }
        Some("run") => run_options(arguments).map(Command::Run),
        Some("flood") => pressure_options(arguments, 0).map(Command::Pressure),
        Some("slow-reader") => pressure_options(arguments, 64 * 1024).map(Command::Pressure),
        Some(other) => Err(format!("unknown command {other}")),
    }
}

fn run_options(mut arguments: impl Iterator<Item = String>) -> Result<RunOptions, String> {
    let mut options = RunOptions {
        rounds: 5,
        slice: Duration::from_millis(500),
        scenarios: scenarios::all(),
        servers: Vec::new(),
        cores: Cores { server: 0, load: 1 },
        wanted: Vec::new(),
        json: None,
        write: None,
    };
    while let Some(flag) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--rounds" => options.rounds = number(&flag, &value)?,
            "--slice-seconds" => options.slice = seconds(&flag, &value)?,
            "--only" => {
                let wanted: Vec<_> = value.split(',').collect();
                if let Some(unknown) = wanted
                    .iter()
                    .find(|name| !options.scenarios.iter().any(|s| s.name() == **name))
                {
                    return Err(format!("unknown scenario {unknown}"));
                }
                options
                    .scenarios
                    .retain(|scenario| wanted.contains(&scenario.name()));
            }
            "--servers" => options.wanted = value.split(',').map(str::to_owned).collect(),
            "--server" => options.servers.push(server(&flag, &value, Wire::Plain)?),
            "--tls-server" => options.servers.push(server(&flag, &value, Wire::Tls)?),
            "--udp-server" => options.servers.push(server(&flag, &value, Wire::Udp)?),
            "--work-server" => options.servers.push(server(&flag, &value, Wire::Work)?),
            "--cores" => options.cores = cores(&value)?,
            "--json" => options.json = Some(PathBuf::from(value)),
            "--write" if value.ends_with(".md") => options.write = Some(PathBuf::from(value)),
            "--write" => return Err(format!("--write: {value} does not end in .md")),
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    if options.rounds == 0 || options.slice.is_zero() {
        return Err("--rounds and --slice-seconds want more than nothing".to_owned());
    }
    Ok(options)
}

fn pressure_options(
    mut arguments: impl Iterator<Item = String>,
    read_bytes_per_second: u64,
) -> Result<PressureOptions, String> {
    let address = arguments.next().ok_or("the server's address is missing")?;
    let address: SocketAddr = address
        .parse()
        .map_err(|error| format!("{address}: {error}"))?;
    if !address.ip().is_loopback() {
        return Err(format!("{address} is not a loopback address"));
    }
    let mut pid = None;
    let mut options = PressureOptions {
        address,
        pid: 0,
        bytes: 1 << 30,
        limit: Duration::from_secs(10),
        line_bytes: 64,
        read_bytes_per_second,
    };
    while let Some(flag) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{flag} wants a value"))?;
        match flag.as_str() {
            "--pid" => pid = Some(number(&flag, &value)?),
            "--bytes" => options.bytes = number(&flag, &value)?,
            "--seconds" => options.limit = seconds(&flag, &value)?,
            "--line-bytes" => options.line_bytes = number(&flag, &value)?,
            "--read-bytes" if read_bytes_per_second > 0 => {
                options.read_bytes_per_second = number(&flag, &value)?
            }
            _ => return Err(format!("unknown option {flag}")),
        }
    }
    if options.line_bytes == 0 {
        return Err("--line-bytes wants at least the newline".to_owned());
    }
    options.pid = pid.ok_or("--pid is missing: whose memory shall be watched?")?;
    Ok(options)
}

fn number<N: std::str::FromStr>(flag: &str, value: &str) -> Result<N, String> {
    value
        .parse()
        .map_err(|_| format!("{flag}: {value} is not a number it can take"))
}

fn seconds(flag: &str, value: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number(flag, value)?).map_err(|error| format!("{flag}: {error}"))
}

fn server(flag: &str, value: &str, wire: Wire) -> Result<ServerSpec, String> {
    let (name, command) = value
        .split_once('=')
        .ok_or_else(|| format!("{flag}: {value} is not NAME=COMMAND"))?;
    let about = format!("`{command}`");
    let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
    if name.is_empty() || command.is_empty() {
        return Err(format!("{flag}: {value} is not NAME=COMMAND"));
    }
    Ok(ServerSpec {
        name: name.to_owned(),
        command,
        wire,
        about,
    })
}

fn cores(value: &str) -> Result<Cores, String> {
    let (server, load) = value
        .split_once(',')
        .ok_or_else(|| format!("--cores: {value} is not SERVER,LOAD"))?;
    Ok(Cores {
        server: number("--cores", server)?,
        load: number("--cores", load)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &str) -> Result<Command, String> {
        parse(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn help_is_understood_alone_and_behind_a_command() {
        for arguments in ["", "help", "--help", "run --help", "flood -h"] {
            assert!(matches!(of(arguments), Ok(Command::Help)), "{arguments}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let complaint = |arguments| of(arguments).expect_err(arguments);
        assert_eq!(complaint("walk"), "unknown command walk");
        assert_eq!(complaint("run --rounds"), "--rounds wants a value");
        assert_eq!(complaint("run --only ping2"), "unknown scenario ping2");
    }
}
