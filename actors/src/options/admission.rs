//! What a listener lets in: its limits, and what becomes of who stays out.

use bytes::Bytes;
use switchboard_core::{
    AcceptRate, AccessList, Alarm, AlarmError, BufferSlots, CidrError, PrefixLengths,
};

use super::Listen;

/// What a listener does with a peer when there is no place for it: its connections, the pool's or
/// those of the limit that pools share are at their limit, or no slots are free.
///
/// A listener sees a peer's address only when it has accepted it. So who is over the limit of its own
/// prefix is never left to wait: where the policy is to wait it is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AtLimit {
    /// Lets it wait in the backlog until a connection ends.
    #[default]
    Wait,
    /// Accepts it, finishes at once (FIN), and tells
    /// [`PoolEvent::AcceptRejected`](crate::PoolEvent::AcceptRejected), as do the following.
    Reject,
    /// Accepts it and resets it (RST).
    Reset,
    /// Accepts it, sends it these bytes, and finishes: [`MAX_ANSWER`](Self::MAX_ANSWER) at most. They
    /// are sent if the system takes them at once, which it always does for a new TCP connection. With
    /// [`Listen::tls`](crate::Listen::tls) they go in plain before any handshake, which a TLS peer takes
    /// for an error, not for words: [`Reject`](Self::Reject) is as good there.
    Answer(Bytes),
}

impl AtLimit {
    /// The longest answer, in bytes.
    pub const MAX_ANSWER: usize = 1024;

    /// Whether it can be; if not, the length of the answer that is too long.
    pub(crate) fn validate(&self) -> Result<(), usize> {
        match self {
            Self::Answer(answer) if answer.len() > Self::MAX_ANSWER => Err(answer.len()),
            _ => Ok(()),
        }
    }
}

/// Which of these options cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum AdmissionError {
    #[error("{0} is 0, the least is 1")]
    Zero(&'static str),
    #[error("the answer at the limit has {0} bytes, the most is {most}", most = AtLimit::MAX_ANSWER)]
    LongAnswer(usize),
    #[error("max_per_prefix: {0}")]
    Prefix(#[from] CidrError),
    #[error(transparent)]
    Alarm(#[from] AlarmError),
}

/// Everything about who is let in.
#[derive(Debug, Clone)]
pub(crate) struct AdmissionOptions {
    pub(crate) max_connections: Option<usize>,
    pub(crate) at_limit: AtLimit,
    pub(crate) slots: Option<BufferSlots>,
    pub(crate) per_prefix: PerPrefix,
    pub(crate) rate: Option<AcceptRate>,
    pub(crate) access: AccessList,
    pub(crate) alarm: Option<Alarm>,
}

#[derive(Debug, Clone)]
pub(crate) struct PerPrefix {
    pub(crate) limit: Option<usize>,
    lengths: Result<PrefixLengths, CidrError>,
}

impl PerPrefix {
    pub(crate) fn lengths(&self) -> PrefixLengths {
        self.lengths.clone().unwrap_or_default()
    }
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self {
            max_connections: None,
            at_limit: AtLimit::Wait,
            slots: None,
            per_prefix: PerPrefix {
                limit: None,
                lengths: Ok(PrefixLengths::default()),
            },
            rate: None,
            access: AccessList::new(),
            alarm: None,
        }
    }
}

impl AdmissionOptions {
    pub(super) fn validate(&self) -> Result<(), AdmissionError> {
        if self.max_connections == Some(0) {
            return Err(AdmissionError::Zero("max_connections"));
        }
        if self.per_prefix.limit == Some(0) {
            return Err(AdmissionError::Zero("max_per_ip"));
        }
        self.per_prefix.lengths.clone()?;
        self.at_limit
            .validate()
            .map_err(AdmissionError::LongAnswer)?;
        self.alarm.as_ref().map_or(Ok(()), Alarm::validate)?;
        Ok(())
    }

    /// Whether it goes by the IP addresses of peers.
    pub(super) fn needs_addresses(&self) -> bool {
        self.per_prefix.limit.is_some() || self.access != AccessList::new()
    }
}

/// Who is let in. All of this takes effect when the listener opens;
/// [`Server::set_limits`](crate::Server::set_limits) changes most of it later.
impl Listen {
    /// The most connections of this listener at one time, exactly. Default: no limit but the pool's.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.admission.max_connections = Some(connections);
        self
    }

    /// What happens to a peer when there is no place for it. Default: it waits in the backlog.
    pub fn at_limit(mut self, policy: AtLimit) -> Self {
        self.admission.at_limit = policy;
        self
    }

    /// The most connections of this listener from one IPv4 address or one IPv6 network of 64 bits at
    /// one time, exactly. On a Unix socket it is refused. Default: no limit.
    pub fn max_per_ip(mut self, connections: usize) -> Self {
        self.admission.per_prefix.limit = Some(connections);
        self
    }

    /// The same, for peers whose addresses have so many first bits in common: `v4` of an IPv4 address,
    /// 32 at most, `v6` of an IPv6 address, 128 at most.
    pub fn max_per_prefix(mut self, connections: usize, v4: u8, v6: u8) -> Self {
        self.admission.per_prefix = PerPrefix {
            limit: Some(connections),
            lengths: PrefixLengths::new(v4, v6),
        };
        self
    }

    /// How many peers may become connections in a second; who comes faster waits in the backlog,
    /// whatever [`at_limit`](Self::at_limit) says. Who has left when it is its turn, or is turned away,
    /// takes no token. Listeners that are given clones of a rate share it. Default: no limit.
    ///
    /// Timers tick in milliseconds: the whole rate needs a burst of a few milliseconds' worth of it.
    pub fn accept_rate(mut self, rate: AcceptRate) -> Self {
        self.admission.rate = Some(rate);
        self
    }

    /// Who may come in, by address: asked first of all, before a peer is given anything. Who may not is
    /// closed without a word. On a Unix socket it is refused: who may connect there is a matter of its
    /// [permissions](Self::permissions). Default: everybody.
    pub fn access(mut self, list: AccessList) -> Self {
        self.admission.access = list;
        self
    }

    /// Tells [`PoolEvent::AlarmRaised`](crate::PoolEvent::AlarmRaised) when so many connections are
    /// there, and [`PoolEvent::AlarmCleared`](crate::PoolEvent::AlarmCleared) when they are few again.
    /// Default: no alarm.
    pub const fn alarm(mut self, alarm: Alarm) -> Self {
        self.admission.alarm = Some(alarm);
        self
    }

    /// Whether the listener keeps one file descriptor in reserve. When the system has no other left, and
    /// still has none after a pause, up to 64 of the peers that wait are accepted with it in each pause and
    /// closed at once, so that they get an answer. Without it they wait until a descriptor is free or
    /// they give up. Default: yes.
    pub const fn spare_descriptor(mut self, spare: bool) -> Self {
        self.target.spare_descriptor = spare;
        self
    }
}
