//! Conversations as data: [`Script`] says who says what in which order, and plays either side.

mod escape;
mod mismatch;
mod parse;
mod play;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

pub use mismatch::{Mismatch, MismatchKind};
pub use parse::{ScriptError, ScriptFault};
pub use play::Played;

/// A conversation between a client and a server, to be played as one of the two.
///
/// It is written in code, step by step, or read from a text that names both sides
/// ([`parse`](Self::parse)). [`client`](Self::client) and [`server`](Self::server) choose the side:
/// what that side says is sent, what the other one says is expected. A new script speaks for the
/// server, and so does a parsed one, until another side is chosen.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), switchboard::testkit::Mismatch> {
/// use switchboard::testkit::Script;
///
/// let script = Script::new()
///     .send("220 ready\r\n")
///     .expect("QUIT\r\n")
///     .close();
/// let (ours, theirs) = tokio::io::duplex(64);
/// let (server, client) = tokio::join!(script.play(ours), script.client().play(theirs));
/// server?;
/// assert_eq!(client?.rest, "");
/// # Ok(())
/// # }
/// ```
///
/// Which step may follow which: a side that finished says nothing more, and when a side has closed or
/// reset the connection, only the other one's `close` and pauses may follow. In code another order is
/// a panic, in a text a [`ScriptFault`].
#[derive(Debug, Clone)]
#[must_use = "nothing is said until it is played"]
pub struct Script {
    turns: Vec<Turn>,
    /// Which of them end something, and so decide what may follow: a handful.
    endings: Vec<usize>,
    /// The lines of the text that the first turns come from.
    lines: Vec<usize>,
    side: Side,
    timeout: Duration,
}

/// One of the two that talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that connects; `C` in a text.
    Client,
    /// The one that is connected to; `S` in a text.
    Server,
}

/// A turn of a script as the side that plays it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The other side says this.
    Expect(Bytes),
    /// The other side finishes or closes. The bytes of a stream do not tell which of the two.
    ExpectEnd,
    /// The other side resets the connection.
    ExpectReset,
    /// We say this.
    Send(Bytes),
    /// We finish our direction and go on reading.
    Finish,
    /// We close.
    Close,
    /// We reset the connection.
    Reset,
    /// We do nothing for so long.
    Pause(Duration),
}

/// What happens next in a conversation, whoever looks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Turn {
    Says(Side, Bytes),
    Finishes(Side),
    Closes(Side),
    Resets(Side),
    Pause(Duration),
}

impl Script {
    /// For each step: 5 s.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    /// Nothing is said yet; the side is the server's.
    pub const fn new() -> Self {
        Self {
            turns: Vec::new(),
            endings: Vec::new(),
            lines: Vec::new(),
            side: Side::Server,
            timeout: Self::DEFAULT_TIMEOUT,
        }
    }

    /// The same conversation, for the client to play. Steps added from here on are the client's.
    pub fn client(&self) -> Self {
        self.played_by(Side::Client)
    }

    /// The same conversation, for the server to play. Steps added from here on are the server's.
    pub fn server(&self) -> Self {
        self.played_by(Side::Server)
    }

    fn played_by(&self, side: Side) -> Self {
        Self {
            side,
            ..self.clone()
        }
    }

    /// Which side plays.
    #[must_use]
    pub const fn side(&self) -> Side {
        self.side
    }

    /// How long each step may take, from its begin to its end. Default:
    /// [`DEFAULT_TIMEOUT`](Self::DEFAULT_TIMEOUT). A pause takes as long as it says.
    pub const fn timeout(mut self, each: Duration) -> Self {
        self.timeout = each;
        self
    }

    /// The other side says exactly these bytes next, in whatever pieces they come.
    ///
    /// # Panics
    /// When the other side has ended before.
    pub fn expect(self, bytes: impl AsRef<[u8]>) -> Self {
        let says = Turn::Says(self.side.other(), Bytes::copy_from_slice(bytes.as_ref()));
        self.then(says)
    }

    /// We say these bytes. The step is over when the stream has taken them.
    ///
    /// # Panics
    /// When our side has ended before.
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        let says = Turn::Says(self.side, Bytes::copy_from_slice(bytes.as_ref()));
        self.then(says)
    }

    /// Nobody says anything for so long. Either side waits when it plays; what comes meanwhile is kept.
    pub fn pause(self, time: Duration) -> Self {
        self.then(Turn::Pause(time))
    }

    /// We finish: the other side reads an end, and may still talk.
    ///
    /// # Panics
    /// When our side has ended before.
    pub fn finish(self) -> Self {
        let side = self.side;
        self.then(Turn::Finishes(side))
    }

    /// We finish and drop the stream.
    ///
    /// # Panics
    /// When the connection has ended before.
    pub fn close(self) -> Self {
        let side = self.side;
        self.then(Turn::Closes(side))
    }

    /// We reset the connection. Not every stream can: see [`play`](Self::play).
    ///
    /// # Panics
    /// When the connection has ended before.
    pub fn reset(self) -> Self {
        let side = self.side;
        self.then(Turn::Resets(side))
    }

    /// The other side finishes, with nothing more said before, and still reads.
    ///
    /// # Panics
    /// When the other side has ended before.
    pub fn expect_finish(self) -> Self {
        let other = self.side.other();
        self.then(Turn::Finishes(other))
    }

    /// The other side closes, with nothing more said before.
    ///
    /// # Panics
    /// When the connection has ended before.
    pub fn expect_close(self) -> Self {
        let other = self.side.other();
        self.then(Turn::Closes(other))
    }

    /// The other side resets the connection, with nothing more said before. A system may throw away
    /// what came just before a reset, so let the reset follow something that we said.
    ///
    /// # Panics
    /// When the connection has ended before.
    pub fn expect_reset(self) -> Self {
        let other = self.side.other();
        self.then(Turn::Resets(other))
    }

    fn then(mut self, turn: Turn) -> Self {
        if let Err(fault) = self.add(turn) {
            panic!("{fault}");
        }
        self
    }

    fn add(&mut self, turn: Turn) -> Result<(), ScriptFault> {
        if let Some(side) = turn.side() {
            for &ending in &self.endings {
                self.turns[ending].allows(side, &turn)?;
            }
        }
        if matches!(turn, Turn::Finishes(_) | Turn::Closes(_) | Turn::Resets(_)) {
            self.endings.push(self.turns.len());
        }
        self.turns.push(turn);
        Ok(())
    }

    /// The line of the text that a turn comes from.
    fn line(&self, turn: usize) -> Option<usize> {
        self.lines.get(turn).copied()
    }

    fn step(&self, turn: usize) -> Option<Step> {
        self.turns.get(turn).map(|turn| turn.seen_by(self.side))
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Side {
    /// The one that this one talks with.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Client => 'C',
            Self::Server => 'S',
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

impl Turn {
    const fn side(&self) -> Option<Side> {
        match self {
            Self::Says(side, _)
            | Self::Finishes(side)
            | Self::Closes(side)
            | Self::Resets(side) => Some(*side),
            Self::Pause(_) => None,
        }
    }

    /// Whether `later`, a turn of `side`, may come after this one.
    fn allows(&self, side: Side, later: &Self) -> Result<(), ScriptFault> {
        match *self {
            Self::Finishes(ended)
                if ended == side && matches!(later, Self::Says(..) | Self::Finishes(_)) =>
            {
                Err(ScriptFault::AfterFinish(side))
            }
            Self::Closes(ended) | Self::Resets(ended)
                if ended == side || !matches!(later, Self::Closes(_)) =>
            {
                Err(ScriptFault::AfterClose(ended))
            }
            _ => Ok(()),
        }
    }

    fn seen_by(&self, side: Side) -> Step {
        match self {
            Self::Says(who, bytes) if *who == side => Step::Send(bytes.clone()),
            Self::Says(_, bytes) => Step::Expect(bytes.clone()),
            Self::Finishes(who) if *who == side => Step::Finish,
            Self::Closes(who) if *who == side => Step::Close,
            Self::Finishes(_) | Self::Closes(_) => Step::ExpectEnd,
            Self::Resets(who) if *who == side => Step::Reset,
            Self::Resets(_) => Step::ExpectReset,
            Self::Pause(time) => Step::Pause(*time),
        }
    }
}
