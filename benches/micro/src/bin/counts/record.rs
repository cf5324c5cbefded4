//! `counts.txt`: what the loops took when somebody last said that this is right.

use std::env::consts::{ARCH, OS};
use std::fmt;
use std::fs;
use std::io;
use std::process::Command;

/// Beside the manifest of this package.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt");
const HEAD: &str = "\
# Instructions of one round of each loop, and by how many percent they may differ.
# Written by `counts update`; the percentages are changed by hand, and stay.
";
/// Percent by which a count may differ, unless the file says otherwise. They repeat to a tenth of that.
const TOLERANCE: u64 = 3;

/// The file.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) origin: Origin,
    kept: Vec<Kept>,
}

/// What is kept of one loop.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) instructions: u64,
    /// In percent.
    pub(crate) tolerance: u64,
}

/// What counts depend on, besides the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) machine: String,
    compiler: String,
    libc: String,
}

impl Origin {
    /// Of the counts that are made now.
    pub(crate) fn here() -> Self {
        let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
        let libc = libc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let libc = libc.ok().filter(|libc| !libc.is_empty());
        Self {
            machine: format!("{ARCH} {OS}"),
            compiler: env!("COMPILER").to_owned(),
            libc: libc.unwrap_or_else(|| "another libc".into()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.machine, self.compiler, self.libc)
    }
}

impl Record {
    pub(crate) fn read() -> io::Result<Self> {
        Self::parse(&fs::read_to_string(FILE)?)
    }

    pub(crate) fn write(&self) -> io::Result<()> {
        fs::write(FILE, self.to_string())
    }

    fn parse(text: &str) -> io::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let of = lines.next().and_then(|line| line.strip_prefix("of "));
        let mut parts = of.unwrap_or_default().split(", ").map(str::to_owned);
        let mut part = || parts.next().ok_or_else(|| fault("a line `of ...` first"));
        let origin = Origin {
            machine: part()?,
            compiler: part()?,
            libc: part()?,
        };
        let lines = lines.filter(|line| !line.is_empty());
        let kept = lines.map(Kept::parse).collect::<io::Result<_>>()?;
        Ok(Self { origin, kept })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    pub(crate) fn kept(&self, name: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.name == name)
    }

    pub(crate) fn keep(&mut self, name: &str, instructions: u64) {
        match self.kept.iter_mut().find(|kept| kept.name == name) {
            Some(kept) => kept.instructions = instructions,
            None => self.kept.push(Kept {
                name: name.to_owned(),
                instructions,
                tolerance: TOLERANCE,
            }),
        }
    }

    /// Forgets all others.
    pub(crate) fn retain(&mut self, stays: impl Fn(&str) -> bool) {
        self.kept.retain(|kept| stays(&kept.name));
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}of {}\n\n", self.origin)?;
        for kept in &self.kept {
            writeln!(
                f,
                "{:<26}{:>12}{:>4}",
                kept.name, kept.instructions, kept.tolerance
            )?;
        }
        Ok(())
    }
}

impl Kept {
    fn parse(line: &str) -> io::Result<Self> {
        let fields: Vec<_> = line.split_whitespace().collect();
        let number = |field: &str| field.parse().map_err(|_| fault(line));
        match fields[..] {
            [name, instructions, tolerance] => Ok(Self {
                name: name.to_owned(),
                instructions: number(instructions)?,
                tolerance: number(tolerance)?,
            }),
            _ => Err(fault(line)),
        }
    }
}

fn fault(what: &str) -> io::Error {
    let text = format!("{FILE}: not understood, or missing: {what}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut record = Record {
            origin: Origin::here(),
            kept: Vec::new(),
        };
        record.keep("framing/lines", 1234);
        record.keep("gone", 1);
        record.kept[0].tolerance = 7;
        let mut again = Record::parse(&record.to_string()).unwrap();
        assert_eq!(again.to_string(), record.to_string());
        assert_eq!(again.origin, record.origin);
        again.keep("framing/lines", 99);
        again.retain(|name| name != "gone");
        let kept = again.kept("framing/lines").unwrap();
        assert_eq!((kept.instructions, kept.tolerance), (99, 7));
        assert_eq!(again.all().count(), 1);
    }

    #[test]
    fn the_file_here_is_understood() {
        assert!(Record::read().unwrap().all().count() > 0);
    }

    #[test]
    fn other_lines_are_faults() {
        for text in [
            "",
            "of x, y\n",
            "of x, y, z\nname 12\n",
            "of x, y, z\nname 1 -3\n",
        ] {
            assert!(Record::parse(text).is_err(), "{text}");
        }
    }
}
