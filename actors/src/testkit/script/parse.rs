//! Reading a script from a text or a file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::escape::unescape;
use super::text::{Ending, UNITS};
use super::{Script, Side, Turn};

/// A text or a file that is no script.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The file cannot be read, or is not UTF-8.
    #[error("cannot read the script {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// A line that means nothing.
    #[error("{}line {line}: {fault}", Prefix(path.as_deref()))]
    Line {
        /// The file, if there is one.
        path: Option<PathBuf>,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: ScriptFault,
    },
}

/// What is wrong with a line of a script, or with a step in code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptFault {
    /// Neither something said nor one of the words.
    #[error(
        "{0:?} is not a step; there are `C: text`, `S: text`, `C finish`, `C close`, `C reset`, the same of S, `pause 200ms` and `ending crlf`"
    )]
    Unknown(String),
    /// A backslash before something else than `r`, `n`, `t`, `\`, `0` or `x` and two hex digits.
    #[error("{0} is not an escape; there are \\r \\n \\t \\\\ \\0 \\xNN")]
    Escape(String),
    /// What is said ends with a blank that nobody sees.
    #[error("the line ends with a blank; if it is meant, write \\x20 or \\t")]
    TrailingBlank,
    /// Not one of the endings.
    #[error("{0:?} is not an ending; there are crlf, lf and none")]
    Ending(String),
    /// Not a time.
    #[error("{0:?} is not a time; write a whole number of s, ms, us or ns, such as 200ms")]
    Time(String),
    /// This side has finished and cannot say more.
    #[error("the {0} has finished already")]
    AfterFinish(Side),
    /// This side has closed or reset the connection.
    #[error("the {0} has ended the connection already")]
    AfterClose(Side),
}

impl Script {
    /// Reads a conversation from a text of one step per line.
    ///
    /// | line | meaning |
    /// |---|---|
    /// | `C: text` | the client says the text and a line ending; one space after the colon is dropped |
    /// | `S: text` | the same of the server |
    /// | `C finish` | the client finishes its direction |
    /// | `C close` | the client closes |
    /// | `C reset` | the client resets the connection |
    /// | `pause 200ms` | a pause, in `s`, `ms`, `us` or `ns` |
    /// | `ending crlf` | the ending of what is said from here on: `crlf`, `lf` (default) or `none` |
    /// | `# text` | a comment, on a line of its own |
    ///
    /// A text may have the escapes `\r \n \t \\ \0 \xNN`. Empty lines and blanks before a step mean
    /// nothing. The script speaks for the server until [`client`](Self::client) is called.
    ///
    /// ```
    /// use switchboard::testkit::Script;
    ///
    /// let script = Script::parse("ending crlf\nS: 220 ready\nC: QUIT\nS close\n").unwrap();
    /// let same = Script::new().send("220 ready\r\n").expect("QUIT\r\n").close();
    /// assert_eq!(script.to_string(), same.to_string());
    /// ```
    ///
    /// # Errors
    /// [`ScriptError::Line`] of the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        read(text).map_err(|(line, fault)| ScriptError::Line {
            path: None,
            line,
            fault,
        })
    }

    /// Reads a conversation from a file; see [`parse`](Self::parse).
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ScriptError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| ScriptError::Read {
            path: path.into(),
            source,
        })?;
        read(&text).map_err(|(line, fault)| ScriptError::Line {
            path: Some(path.into()),
            line,
            fault,
        })
    }
}

fn read(text: &str) -> Result<Script, (usize, ScriptFault)> {
    let mut script = Script::new();
    let mut ending = Ending::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let turn = read_line(line, &mut ending).map_err(|fault| (number, fault))?;
        if let Some(turn) = turn {
            script.add(turn).map_err(|fault| (number, fault))?;
            script.lines.push(number);
        }
    }
    Ok(script)
}

/// The turn of a line, or none for a directive.
fn read_line(line: &str, ending: &mut Ending) -> Result<Option<Turn>, ScriptFault> {
    if let Some(text) = line.strip_prefix("C:") {
        return said(Side::Client, text, *ending).map(Some);
    }
    if let Some(text) = line.strip_prefix("S:") {
        return said(Side::Server, text, *ending).map(Some);
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        ["ending", name] => {
            *ending = Ending::named(name).ok_or_else(|| ScriptFault::Ending(name.into()))?;
            Ok(None)
        }
        ["pause", time] => {
            let time = pause(time).ok_or_else(|| ScriptFault::Time(time.into()))?;
            Ok(Some(Turn::Pause(time)))
        }
        _ => match words[..] {
            [side, deed] => deed_of(side, deed),
            _ => None,
        }
        .map(Some)
        .ok_or_else(|| ScriptFault::Unknown(line.trim_end().into())),
    }
}

fn deed_of(side: &str, deed: &str) -> Option<Turn> {
    let side = match side {
        "C" => Side::Client,
        "S" => Side::Server,
        _ => return None,
    };
    match deed {
        "finish" => Some(Turn::Finishes(side)),
        "close" => Some(Turn::Closes(side)),
        "reset" => Some(Turn::Resets(side)),
        _ => None,
    }
}

fn said(side: Side, text: &str, ending: Ending) -> Result<Turn, ScriptFault> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if text.ends_with([' ', '\t']) {
        return Err(ScriptFault::TrailingBlank);
    }
    let mut bytes = unescape(text).map_err(ScriptFault::Escape)?;
    bytes.extend_from_slice(ending.bytes());
    Ok(Turn::Says(side, bytes.into()))
}

fn pause(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, name) = text.split_at(digits);
    let (_, unit) = UNITS.into_iter().find(|(each, _)| *each == name)?;
    let nanos = count.parse::<u128>().ok()?.checked_mul(unit)?;
    let second = UNITS[0].1;
    let seconds = u64::try_from(nanos / second).ok()?;
    // Less than a second of nanoseconds fits.
    let rest = u32::try_from(nanos % second).ok()?;
    Some(Duration::new(seconds, rest))
}

/// The file before the line number.
struct Prefix<'a>(Option<&'a Path>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |path| write!(f, "{}, ", path.display()))
    }
}
