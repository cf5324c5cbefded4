//! The same input in other pieces: what comes of it must not change.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use switchboard_core::frame::Framing;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::client::Client;
use crate::message::ClientEvent;
use crate::options::{ConnectTarget, ConnectionOptions, Listen};
use crate::session::IntoSession;
use crate::tls::Secure;
use crate::transport::Network;

use super::{Probe, Simulation};

/// How many random ways of cutting there are, unless said otherwise.
const RANDOM: usize = 32;
/// Up to this length every single place is tried as the only cut.
const EVERY_PLACE: usize = 256;
/// No conversation takes longer, in virtual time.
const LIMIT: Duration = Duration::from_secs(3600);
/// Between two pieces, so that each comes by itself.
const PAUSE: Duration = Duration::from_millis(1);

/// Gives one input in many pieces: all at once, byte by byte, in two at every place, and at random;
/// demands that the same comes of it each time.
///
/// ```
/// use switchboard::LineRule;
/// use switchboard::testkit::CutPoints;
/// use switchboard_core::frame::LineFraming;
///
/// let frames = CutPoints::of("one\r\ntwo\nrest").framing(|| LineFraming::new(LineRule::Lenient, 80));
/// assert_eq!(frames, ["one\\r\\n", "two\\n", "unfinished: rest"]);
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is cut until a framing or a session is given"]
pub struct CutPoints {
    input: Vec<u8>,
    seed: u64,
    random: usize,
    /// How the peer of a session speaks TLS.
    secure: Option<Secure>,
}

impl CutPoints {
    /// Cuts this input.
    pub fn of(input: impl AsRef<[u8]>) -> Self {
        Self {
            input: input.as_ref().to_vec(),
            seed: 0,
            random: RANDOM,
            secure: None,
        }
    }

    /// What decides the random cuts. Default: 0.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many random ways of cutting there are. Default: 32.
    pub const fn random(mut self, ways: usize) -> Self {
        self.random = ways;
        self
    }

    /// The peer of [`session`](Self::session) and [`events`](Self::events) speaks TLS from the first byte,
    /// to a host of this name: each piece is a record of its own. For listeners with
    /// [`Listen::tls`](crate::Listen::tls); to cut the records themselves take
    /// [`Faults::cut_reads_at`](super::Faults::cut_reads_at). Default: it speaks no TLS.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, client: crate::tls::TlsClient, server_name: impl Into<String>) -> Self {
        self.secure = Some(Secure::new(client, Some(server_name.into())));
        self
    }

    /// Every way of cutting, the uncut input first.
    #[must_use]
    pub fn ways(&self) -> Vec<Vec<&[u8]>> {
        let input = &self.input[..];
        let mut ways = vec![vec![input], input.chunks(1).collect()];
        if input.len() <= EVERY_PLACE {
            ways.extend((1..input.len()).map(|place| {
                let (head, tail) = input.split_at(place);
                vec![head, tail]
            }));
        }
        let mut rng = Rng::with_seed(self.seed);
        for _ in 0..self.random {
            // Short pieces in one way, long ones in another.
            let most = rng.usize(1..=input.len().max(1));
            let mut left = input;
            let mut pieces = Vec::new();
            while !left.is_empty() {
                let (head, tail) = left.split_at(rng.usize(1..=most.min(left.len())));
                pieces.push(head);
                left = tail;
            }
            ways.push(pieces);
        }
        ways
    }

    /// Runs a framing; gives the frames, escaped, and at last the error or the bytes that make no
    /// frame.
    ///
    /// # Panics
    /// When two ways of cutting give different frames, naming both.
    #[track_caller]
    pub fn framing<F: Framing>(&self, make: impl Fn() -> F) -> Vec<String> {
        let run = |pieces: &[&[u8]]| frames(make(), pieces);
        let ways = self.ways();
        same(ways.iter().map(|pieces| (&pieces[..], run(pieces))))
    }

    /// Runs sessions of this kind behind a listener of these options, each way twice: with a credit of
    /// one frame, and with that of the options. Gives what the peer is answered until the end.
    ///
    /// The peer sends the input piece by piece, one each millisecond of virtual time, finishes, and reads
    /// until we finish too.
    ///
    /// # Panics
    /// When two ways of cutting give different answers or reasons of closing, naming both; or when a
    /// handshake fails.
    #[track_caller]
    pub fn session<F, S>(&self, listen: &Listen, make: F) -> Vec<u8>
    where
        F: Fn(Client) -> S + Clone + Send + Sync + 'static,
        S: IntoSession,
    {
        let mut runs = Vec::new();
        let ways = self.ways();
        for pieces in &ways {
            for listen in [with_credit_1(listen), listen.clone()] {
                let (answer, closed) = converse(listen, make.clone(), pieces, self.secure.clone());
                runs.push((
                    &pieces[..],
                    (answer.escape_ascii().to_string(), closed, answer),
                ));
            }
        }
        same(runs.into_iter()).2
    }

    /// Runs probes behind a listener of these options, as [`session`](Self::session) does. Gives the
    /// events in words; data events that follow one another count as one, since how whatever comes is
    /// cut is not promised.
    ///
    /// # Panics
    /// When two ways of cutting give different events, naming both.
    #[track_caller]
    pub fn events(&self, listen: &Listen) -> Vec<String> {
        let mut runs = Vec::new();
        let ways = self.ways();
        for pieces in &ways {
            for listen in [with_credit_1(listen), listen.clone()] {
                let mut probe = Probe::new();
                converse(listen, probe.session(), pieces, self.secure.clone());
                runs.push((&pieces[..], in_words(probe.so_far())));
            }
        }
        same(runs.into_iter())
    }
}

/// The one outcome of all runs, of which the first is the uncut one.
#[track_caller]
fn same<'a, T: PartialEq + fmt::Debug>(mut runs: impl Iterator<Item = (&'a [&'a [u8]], T)>) -> T {
    let (_, first) = runs.next().expect("the uncut input is one of the ways");
    for (pieces, outcome) in runs {
        assert!(
            first == outcome,
            "cut as {}:\n  {outcome:?}\nuncut:\n  {first:?}",
            Pieces(pieces)
        );
    }
    first
}

/// Pieces in the order in which they come: `"ab" "c\r\n"`.
struct Pieces<'a>(&'a [&'a [u8]]);

impl fmt::Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, piece) in self.0.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}\"{}\"", piece.escape_ascii())?;
        }
        Ok(())
    }
}

fn frames(mut framing: impl Framing, pieces: &[&[u8]]) -> Vec<String> {
    let mut frames = Vec::new();
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framing.cut(&buffer) {
                Ok(None) => break,
                Ok(Some(cut)) => {
                    let frame: Vec<u8> = buffer.drain(..cut.total()).collect();
                    frames.push(frame.escape_ascii().to_string());
                    framing.reset();
                }
                Err(error) => {
                    frames.push(format!("error: {error}"));
                    return frames;
                }
            }
        }
    }
    if !buffer.is_empty() {
        frames.push(format!("unfinished: {}", buffer.escape_ascii()));
    }
    frames
}

fn with_credit_1(listen: &Listen) -> Listen {
    let mut listen = listen.clone();
    listen.config_mut().read_credit = 1;
    listen
}

/// One conversation in a world of its own: what the peer was answered, and how it ended, by reason.
fn converse<F, S>(
    listen: Listen,
    make: F,
    pieces: &[&[u8]],
    secure: Option<Secure>,
) -> (Vec<u8>, [u64; 4])
where
    F: Fn(Client) -> S + Send + Sync + 'static,
    S: IntoSession,
{
    Simulation::seeded(0).limit(LIMIT).run(|world| async move {
        let pool = world.pool();
        let server = pool
            .listen(listen, make)
            .await
            .expect("a world of its own has room");
        let address = server.local_addr().to_string();
        let target = ConnectTarget::new(&address);
        let mut peer = Network::connect(world.net(), target)
            .await
            .expect("it listens");
        if let Some(secure) = secure {
            let handshake = secure.connect(peer, address.into()).await;
            peer = handshake.unwrap_or_else(|error| panic!("the peer's handshake: {error}"));
        }
        let (mut from, mut to) = tokio::io::split(peer.transport);
        let mut answer = Vec::new();
        let says = async {
            for piece in pieces {
                // A session that closes early leaves the rest unread.
                let _ = to.write_all(piece).await;
                sleep(PAUSE).await;
            }
            let _ = to.shutdown().await;
        };
        // At once, so that a long answer holds nothing back. A reset ends it as well.
        let _ = tokio::join!(says, from.read_to_end(&mut answer));
        drop((from, to));
        (answer, pool.stop().await.closed)
    })
}

fn in_words(events: Vec<ClientEvent>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut data = Vec::new();
    for event in events {
        if let ClientEvent::DataReceived(event) = &event {
            data.extend_from_slice(&event.data);
            continue;
        }
        if !data.is_empty() {
            words.push(format!(
                "DataReceived {}",
                std::mem::take(&mut data).escape_ascii()
            ));
        }
        words.push(match event {
            ClientEvent::LineReceived(event) => format!("LineReceived {:?}", event.line),
            ClientEvent::MessageReceived(event) => {
                format!("MessageReceived {}", event.message.escape_ascii())
            }
            ClientEvent::Closed(event) => {
                let unread = event.detail.unread.escape_ascii();
                format!("Closed {}, unread: {unread}", event.detail.cause)
            }
            other => other.name().to_owned(),
        });
    }
    words
}
