//! Who takes part, and who cannot.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::bounded::output;
use crate::folder::Folder;
use crate::server::{ServerSpec, Wire};
use crate::systems::{self, Systems};
use crate::usual::usual;

/// How long a peer may take to say whether the kernel lets it.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// The servers of a run.
#[derive(Debug)]
pub(crate) struct Lineup {
    /// In the order of their turns.
    pub(crate) servers: Vec<ServerSpec>,
    /// Who was wanted and is not here.
    pub(crate) skipped: Vec<Skipped>,
    /// What peers of other runtimes are started from, for as long as they may be.
    pub(crate) _folder: Folder,
}

/// A server that does not take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) why: String,
}

impl Lineup {
    /// Finds the `wanted` ones of the usual servers, or all if none is named, and adds the `extra` ones, or
    /// puts them in the place of usual ones of the same name.
    ///
    /// # Errors
    /// A wanted name is unknown; there is no server at all; the temporary folder cannot be written to.
    pub(crate) fn new(extra: &[ServerSpec], wanted: &[String]) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let built = usual(program.parent().unwrap_or(Path::new(".")));
        let names = built.iter().chain(extra).map(|spec| spec.name.as_str());
        let names: Vec<_> = names.chain(systems::NAMES).collect();
        if let Some(unknown) = wanted.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("unknown server {unknown}; there are {}", names.join(" ")),
            ));
        }
        let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|some| some == name);
        let is_replaced = |name: &str, wire| {
            let mut extra = extra.iter();
            extra.any(|spec| spec.name == name && spec.wire == wire)
        };

        let (mut servers, mut skipped) = (Vec::new(), Vec::new());
        for spec in built {
            let program = Path::new(&spec.command[0]);
            if !is_wanted(&spec.name) || is_replaced(&spec.name, spec.wire) {
                continue;
            }
            match is_able(program) {
                Ok(()) => servers.push(spec),
                Err(why) => skipped.push(Skipped {
                    name: spec.name,
                    why,
                }),
            }
        }
        let folder = Folder::new()?;
        let mut systems = Systems::new(folder.path())?;
        for name in systems::NAMES {
            if !is_wanted(name) || is_replaced(name, Wire::Plain) {
                continue;
            }
            let name = name.to_owned();
            match systems.find(&name) {
                Ok(peer) => servers.push(ServerSpec {
                    name,
                    command: peer.command,
                    wire: Wire::Plain,
                    about: peer.about,
                }),
                Err(why) => skipped.push(Skipped { name, why }),
            }
        }
        servers.extend(extra.iter().cloned());
        // The tables of one wire after those of another; within one, in the order of here.
        servers.sort_by_key(|spec| spec.wire);
        if servers.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("no servers beside {}", program.display()),
            ));
        }
        Ok(Self {
            servers,
            skipped,
            _folder: folder,
        })
    }
}

/// Whether a program of ours is built, and if it needs what not every kernel gives, whether this one does.
fn is_able(program: &Path) -> Result<(), String> {
    let file = program.file_name().unwrap_or_default().display();
    let file = file.to_string();
    if !program.exists() {
        return Err(format!("{file} is not built"));
    }
    if file.starts_with("peer-uring") {
        output(Command::new(program).arg("--check"), CHECK_LIMIT)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(name: &str) -> ServerSpec {
        ServerSpec {
            name: name.to_owned(),
            command: vec!["other".to_owned()],
            wire: Wire::Plain,
            about: String::new(),
        }
    }

    #[test]
    fn only_the_wanted_ones_take_part_and_the_absent_ones_are_told() {
        // Beside a test's program there are no servers.
        let lineup = Lineup::new(&[other("other")], &["kameo".to_owned()]).unwrap();
        let names: Vec<_> = lineup.servers.iter().map(|spec| &spec.name).collect();
        assert_eq!(names, ["other"]);
        let skipped = Skipped {
            name: "kameo".to_owned(),
            why: "peer-kameo is not built".to_owned(),
        };
        assert_eq!(lineup.skipped, [skipped]);
    }

    #[test]
    fn another_command_for_a_known_name_replaces_it() {
        let lineup = Lineup::new(&[other("kameo")], &["kameo".to_owned()]).unwrap();
        assert_eq!(lineup.servers[0].command, ["other"]);
        assert_eq!(lineup.skipped, []);
    }

    #[test]
    fn an_unknown_name_is_an_error_and_so_is_nobody() {
        assert!(Lineup::new(&[], &["nobody".to_owned()]).is_err());
        assert!(Lineup::new(&[], &["kameo".to_owned()]).is_err());
    }
}
