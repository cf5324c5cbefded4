//! Peers of other runtimes, started when their runtime is here.
//!
//! Their sources are part of this program; they are written to the run's folder, and built there where
//! they need to be.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bounded::output;

/// How long a program may take to say what it is.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// How long the Go compiler may take, with the standard library.
const BUILD_LIMIT: Duration = Duration::from_secs(240);

macro_rules! source {
    ($name:literal) => {
        ($name, include_str!(concat!("../peers/system/", $name)))
    };
}

const SOURCES: [(&str, &str); 6] = [
    source!("asyncio_protocol.py"),
    source!("asyncio_streams.py"),
    source!("asyncore_lines.py"),
    source!("lines.go"),
    source!("lines.js"),
    source!("lines.escript"),
];

/// The names of these peers in the tables.
pub(crate) const NAMES: [&str; 8] = [
    "asyncio",
    "asyncio-streams",
    "uvloop",
    "asyncore",
    "go",
    "go-batched",
    "node",
    "erlang",
];

/// How to start a peer, and what it is; or why it cannot be started.
pub(crate) type Found = Result<Peer, String>;

/// A peer that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) command: Vec<String>,
    /// Runtime, version, and how it answers.
    pub(crate) about: String,
}

/// Looks for the peers of [`NAMES`] in `folder`, which it fills.
#[derive(Debug)]
pub(crate) struct Systems<'a> {
    folder: &'a Path,
    /// The Go program, once it was tried to build it.
    go: Option<Result<(PathBuf, String), String>>,
}

impl<'a> Systems<'a> {
    /// Writes the sources down.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(crate) fn new(folder: &'a Path) -> io::Result<Self> {
        for (name, text) in SOURCES {
            fs::write(folder.join(name), text)?;
        }
        Ok(Self { folder, go: None })
    }

    /// How to start a peer of [`NAMES`].
    ///
    /// # Panics
    /// It is not one of them.
    pub(crate) fn find(&mut self, name: &str) -> Found {
        match name {
            "asyncio" => self.python(
                "asyncio",
                "asyncio_protocol.py",
                &[],
                "a Protocol, one write per read",
            ),
            "asyncio-streams" => self.python(
                "asyncio",
                "asyncio_streams.py",
                &[],
                "streams, line by line",
            ),
            "uvloop" => self.python(
                "uvloop",
                "asyncio_protocol.py",
                &["--uvloop"],
                "the Protocol of `asyncio` on uvloop",
            ),
            "asyncore" => self.python(
                "asyncore",
                "asyncore_lines.py",
                &[],
                "a dispatcher_with_send, line by line",
            ),
            "go" => self.go(None, "a goroutine per connection, line by line"),
            "go-batched" => self.go(
                Some("-batched"),
                "a goroutine per connection, one write per read",
            ),
            "node" => self.node(),
            "erlang" => self.erlang(),
            _ => unreachable!("{name} is none of the peers"),
        }
    }

    fn python(&self, module: &str, source: &str, options: &[&str], about: &str) -> Found {
        let (interpreter, versions) = interpreter(module)?;
        let mut command = vec![interpreter, self.source(source)];
        command.extend(options.iter().map(|option| (*option).to_owned()));
        Ok(Peer {
            command,
            about: format!("{versions}: {about}"),
        })
    }

    fn go(&mut self, option: Option<&str>, about: &str) -> Found {
        let built = self.go.take().unwrap_or_else(|| self.build_go());
        let (program, version) = self.go.insert(built).clone()?;
        let option = option.map(str::to_owned);
        Ok(Peer {
            command: std::iter::once(text(&program)).chain(option).collect(),
            about: format!("{version}: {about}"),
        })
    }

    fn build_go(&self) -> Result<(PathBuf, String), String> {
        let version = output(Command::new("go").arg("version"), ASK_LIMIT)?;
        let version = version.split(' ').nth(2).unwrap_or("go of no version");
        let program = self.folder.join("go-lines");
        let cache = self.folder.join("go-cache");
        // Nothing is fetched: one file, and the standard library.
        let mut build = Command::new("go");
        build
            .args(["build", "-o"])
            .arg(&program)
            .arg(self.folder.join("lines.go"))
            .env("GOCACHE", &cache)
            .env("GOTOOLCHAIN", "local")
            .env("GOPROXY", "off")
            .env("GO111MODULE", "off")
            .env("CGO_ENABLED", "0");
        let built = output(&mut build, BUILD_LIMIT);
        // It is large, and the run is long; what stays is removed with the folder.
        let _ = fs::remove_dir_all(cache);
        built?;
        Ok((program, version.replacen("go", "Go ", 1)))
    }

    fn node(&self) -> Found {
        let mut why = String::new();
        for program in ["node", "nodejs"] {
            match output(Command::new(program).arg("--version"), ASK_LIMIT) {
                Ok(version) => {
                    let version = version.trim().trim_start_matches('v');
                    return Ok(Peer {
                        command: vec![program.to_owned(), self.source("lines.js")],
                        about: format!("Node {version}: node:net, one write per read"),
                    });
                }
                Err(complaint) if why.is_empty() => why = complaint,
                Err(_) => {}
            }
        }
        Err(why)
    }

    fn erlang(&self) -> Found {
        let ask = "io:put_chars(erlang:system_info(otp_release)), halt().";
        let mut erl = Command::new("erl");
        let release = output(erl.args(["-noshell", "-eval", ask]), ASK_LIMIT)?;
        Ok(Peer {
            command: vec!["escript".to_owned(), self.source("lines.escript")],
            about: format!(
                "Erlang/OTP {}: gen_tcp, a process per connection, line by line",
                release.trim()
            ),
        })
    }

    fn source(&self, name: &str) -> String {
        text(&self.folder.join(name))
    }
}

/// The first Python that has a module, and the versions of both: the program that the variable `PYTHON`
/// names, `python3`, and for what new ones no longer have, older ones.
fn interpreter(module: &str) -> Result<(String, String), String> {
    let script = format!(
        "import sys, {module} as module\n\
         print(sys.executable)\n\
         version = getattr(module, '__version__', '')\n\
         print('Python %d.%d.%d' % sys.version_info[:3] + (version and ', {module} ' + version))"
    );
    let mut candidates: Vec<_> = env::var("PYTHON").into_iter().collect();
    candidates.push("python3".to_owned());
    if module == "asyncore" {
        candidates.extend((8..=11).rev().map(|minor| format!("python3.{minor}")));
    }
    let mut why = None;
    for candidate in candidates {
        let mut ask = Command::new(&candidate);
        match output(ask.args(["-W", "ignore", "-c", &script]), ASK_LIMIT) {
            Ok(said) => {
                // The program itself: what is on the path may be a script that looks for it.
                if let Some((program, versions)) = said.split_once('\n') {
                    return Ok((program.to_owned(), versions.trim().to_owned()));
                }
            }
            Err(complaint) => why = why.or(Some(complaint)),
        }
    }
    Err(why.unwrap_or_else(|| "python3 says nothing".to_owned()))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_module_that_is_nowhere_is_told() {
        let why = interpreter("no_such_module_anywhere").unwrap_err();
        let no_python = why.starts_with("no python3");
        assert!(
            no_python || why.contains("no_such_module_anywhere"),
            "{why}"
        );
    }

    #[test]
    fn every_name_is_looked_for_and_every_source_is_there() {
        let folder = Folder::new().unwrap();
        let mut systems = Systems::new(folder.path()).unwrap();
        // Without the compiler, which takes too long for a test.
        systems.go = Some(Err("not tried".to_owned()));
        for name in NAMES {
            match systems.find(name) {
                Ok(peer) => assert!(Path::new(&peer.command[1]).exists(), "{peer:?}"),
                Err(why) => assert!(!why.is_empty()),
            }
        }
    }
}
