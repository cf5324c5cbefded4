//! What happens to a connection, at random.

use super::*;
use crate::config::{IdleAction, IdleRule, RateRule};

/// One thing that the session, the socket or the clock does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Adopt,
    Connected,
    Arm(Receive),
    CancelReceive,
    TryReceive(usize),
    /// Somebody asks beside the session, takes what has become of it, or gives up.
    Request(ReceiveKind),
    Fetch,
    CancelRequest,
    /// Somebody waits for the last so many bytes to be taken.
    Watch(usize),
    Send {
        how: How,
        body: Vec<u8>,
        token: Option<u64>,
    },
    TrySend(Vec<u8>),
    SetWriteLimits(Option<usize>, Option<usize>),
    PauseReading,
    ResumeReading,
    SetReadiness(bool, bool),
    GiveBack,
    WriteEof,
    /// `elsewhere`: by another thread, while the session may be at what it took at once.
    StartTls {
        within: Duration,
        elsewhere: bool,
    },
    /// The handshake that is under way comes to its end.
    Handshake(Outcome),
    Close {
        flush: bool,
        deadline: Option<Duration>,
    },
    CloseAfterPeer,
    Abort,
    SessionGone,
    Incoming(Incoming),
    /// The driver learns of the peer's end without reading.
    NoticeEof,
    Room(usize),
    Gulp(usize),
    BreakWriting,
    /// Whether the session takes events.
    Awake(bool),
    /// How many frames it begins with when it takes several at once, and whether it then tarries.
    AtOnce {
        begun: usize,
        busy: bool,
    },
    /// It handles all that it took.
    GoOn,
    Wait(Duration),
}

impl Step {
    /// Whether the session asks for something that could change what is delivered next.
    pub(super) const fn is_command(&self) -> bool {
        !matches!(
            self,
            Self::Connected
                | Self::Send { .. }
                | Self::TrySend(_)
                | Self::Incoming(_)
                | Self::NoticeEof
                | Self::StartTls {
                    elsewhere: true,
                    ..
                }
                | Self::Handshake(_)
                | Self::Room(_)
                | Self::Gulp(_)
                | Self::BreakWriting
                | Self::Awake(_)
                | Self::AtOnce { .. }
                | Self::GoOn
                | Self::Wait(_)
        )
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum How {
    Borrowed,
    Owned,
    Line,
    Message,
    Many,
    Urgent,
    Slot,
}

/// What becomes of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Secured,
    /// It failed; whether the link is still there.
    Failed {
        linked: bool,
    },
    /// The peer left.
    Left,
}

/// How a workload ends that has not ended by itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finale {
    Close,
    Abort,
    Eof,
    SessionGone,
}

#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) outbound: bool,
    /// It begins with a handshake, which may take so long; accepted connections only.
    pub(super) secure: Option<Duration>,
    pub(super) interests: Interests,
    pub(super) config: ConnectionConfig,
    pub(super) steps: Vec<Step>,
    pub(super) finale: Finale,
    /// How many bytes the socket takes in the end.
    pub(super) room: usize,
}

fn up_to(most: u64) -> impl Strategy<Value = Duration> {
    (1..=most * 10).prop_map(|tenths| Duration::from_millis(tenths * 100))
}

/// Kinds whose frames do not depend on how the bytes came.
pub(super) fn steady_kinds() -> impl Strategy<Value = ReceiveKind> {
    prop_oneof![
        Just(LINE),
        (1_usize..20).prop_map(exact),
        Just(until("--")),
        Just(MESSAGE),
    ]
}

fn kinds() -> impl Strategy<Value = ReceiveKind> {
    prop_oneof![
        4 => steady_kinds(),
        1 => Just(ReceiveKind::Available),
        1 => (1_usize..9).prop_map(|most| ReceiveKind::UpTo(size(most))),
    ]
}

fn receives() -> impl Strategy<Value = Receive> {
    let repeat = prop_oneof![
        (1_u32..4).prop_map(|count| Repeat::Times(NonZeroU32::new(count).unwrap())),
        Just(Repeat::Always),
    ];
    let on_timeout = prop_oneof![Just(OnTimeout::Close), Just(OnTimeout::Report)];
    let timeout = prop::option::weighted(0.3, up_to(5));
    (kinds(), repeat, timeout, on_timeout).prop_map(|(kind, repeat, timeout, on_timeout)| Receive {
        kind,
        repeat,
        timeout,
        on_timeout,
    })
}

/// What a peer says: mostly frames of one kind or another.
pub(super) fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        text("line\n"),
        text("\r\n"),
        text("a--"),
        text("\0\0\0\x02hi"),
        text("\0\0\0\0"),
        text("\x16\x03\x01\0"),
        prop::collection::vec(prop::sample::select(b"ab-\r\n\0\x03".as_slice()), 1..40),
        (100_usize..20_000).prop_map(|length| vec![b'x'; length]),
    ]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let short = prop::collection::vec(any::<u8>(), 0..60);
    let long = (4_000_usize..9_000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]);
    prop_oneof![4 => short, 1 => long]
}

fn steps() -> impl Strategy<Value = Step> {
    let how = prop::sample::select(vec![
        How::Borrowed,
        How::Owned,
        How::Line,
        How::Message,
        How::Many,
        How::Urgent,
        How::Slot,
    ]);
    let mark = || prop::option::of(0_usize..9_000);
    let reset = Incoming::Error(io::ErrorKind::ConnectionReset);
    prop_oneof![
        10 => pieces().prop_map(|piece| Step::Incoming(Incoming::Bytes(piece))),
        8 => receives().prop_map(Step::Arm),
        10 => (how, bodies(), any::<Option<u64>>())
            .prop_map(|(how, body, token)| Step::Send { how, body, token }),
        2 => bodies().prop_map(Step::TrySend),
        4 => (0_usize..9_000).prop_map(Step::Room),
        1 => Just(Step::Room(usize::MAX)),
        1 => (1_usize..9_000).prop_map(Step::Gulp),
        4 => any::<bool>().prop_map(Step::Awake),
        4 => up_to(6).prop_map(Step::Wait),
        4 => Just(Step::GiveBack),
        3 => (0_usize..4, any::<bool>()).prop_map(|(begun, busy)| Step::AtOnce { begun, busy }),
        3 => Just(Step::GoOn),
        2 => Just(Step::CancelReceive),
        2 => (0_usize..50).prop_map(Step::TryReceive),
        3 => kinds().prop_map(Step::Request),
        6 => Just(Step::Fetch),
        1 => Just(Step::CancelRequest),
        2 => (0_usize..20_000).prop_map(Step::Watch),
        2 => any::<(bool, bool)>().prop_map(|(r, w)| Step::SetReadiness(r, w)),
        2 => (mark(), mark()).prop_map(|(high, low)| Step::SetWriteLimits(high, low)),
        1 => Just(Step::PauseReading),
        2 => Just(Step::ResumeReading),
        3 => Just(Step::Connected),
        3 => Just(Step::Adopt),
        1 => Just(Step::WriteEof),
        1 => Just(Step::Incoming(Incoming::Eof)),
        1 => Just(Step::NoticeEof),
        1 => Just(Step::Incoming(reset)),
        1 => Just(Step::BreakWriting),
        1 => Just(Step::CloseAfterPeer),
        3 => (up_to(5), any::<bool>())
            .prop_map(|(within, elsewhere)| Step::StartTls { within, elsewhere }),
        4 => Just(Step::Handshake(Outcome::Secured)),
        1 => any::<bool>().prop_map(|linked| Step::Handshake(Outcome::Failed { linked })),
        1 => Just(Step::Handshake(Outcome::Left)),
        1 => Just(Step::Incoming(Incoming::Truncated)),
        1 => (any::<bool>(), prop::option::of(up_to(5)))
            .prop_map(|(flush, deadline)| Step::Close { flush, deadline }),
    ]
}

/// Ends that leave nothing to the imagination are kept rare, so that other things happen before.
fn rare_steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => steps(),
        1 => Just(Step::Abort),
        1 => Just(Step::SessionGone),
    ]
}

fn idle_rules() -> impl Strategy<Value = Option<IdleRule>> {
    let action = prop_oneof![Just(IdleAction::Close), Just(IdleAction::Report)];
    let rule = (up_to(9), action).prop_map(|(after, action)| IdleRule {
        after: after + seconds(1),
        action,
    });
    prop::option::weighted(0.2, rule)
}

fn rate_rules() -> impl Strategy<Value = Option<RateRule>> {
    let rule = (1_u64..5_000, up_to(9)).prop_map(|(bytes, window)| RateRule::new(bytes, window));
    prop::option::weighted(0.3, rule)
}

fn configs() -> impl Strategy<Value = ConnectionConfig> {
    let reading = (
        prop::option::weighted(0.5, receives()),
        1_usize..200,
        1_usize..6,
        any::<Option<bool>>(),
        0_usize..100,
    );
    let writing = (0_usize..9_000, 0_usize..9_000, 1_usize..30_000);
    let idles = (idle_rules(), idle_rules(), idle_rules());
    let times = (up_to(5), up_to(9), up_to(3), up_to(9));
    let paces = (
        rate_rules(),
        rate_rules(),
        prop::option::weighted(0.3, up_to(9)),
        prop::option::weighted(0.1, up_to(20)),
    );
    let all = (reading, writing, idles, times, paces);
    all.prop_map(|(reading, writing, idles, times, paces)| {
        config(|config| {
            let (first_receive, read_window, read_credit, while_paused, linger_bytes) = reading;
            config.first_receive = first_receive;
            config.read_window = read_window;
            config.read_credit = read_credit;
            config.read_while_write_paused = while_paused;
            config.linger_bytes = linger_bytes;
            config.max_line = 10_000;
            config.max_message = 8_000;
            config.send_slot = 256;
            let (one, other, capacity) = writing;
            config.write_high = one.max(other);
            config.write_low = one.min(other);
            config.write_capacity = capacity;
            (config.idle_read, config.idle_write, config.idle) = idles;
            (
                config.adoption_timeout,
                config.flush_timeout,
                config.linger_timeout,
                config.half_closed_timeout,
            ) = times;
            (
                config.read_rate,
                config.write_rate,
                config.frame_timeout,
                config.max_lifetime,
            ) = paces;
            config.validate().unwrap();
        })
    })
}

/// Everything, or any set at all.
fn interests() -> impl Strategy<Value = Interests> {
    let any_set = prop::collection::vec(any::<bool>(), EVERY_INTEREST.len()).prop_map(|wanted| {
        EVERY_INTEREST
            .into_iter()
            .zip(wanted)
            .fold(Interests::NONE, |set, (one, wanted)| {
                set.with_if(one, wanted)
            })
    });
    prop_oneof![Just(Interests::ALL), any_set]
}

pub(super) fn workloads() -> impl Strategy<Value = Workload> {
    let secure = prop::option::weighted(0.2, up_to(5));
    (
        (prop::bool::weighted(0.2), secure),
        interests(),
        configs(),
        prop::collection::vec(rare_steps(), 0..60),
        prop::sample::select(vec![
            Finale::Close,
            Finale::Abort,
            Finale::Eof,
            Finale::SessionGone,
        ]),
        prop_oneof![Just(0), Just(usize::MAX), 0_usize..9_000],
    )
        .prop_map(
            |((outbound, secure), interests, config, steps, finale, room)| Workload {
                outbound,
                secure: secure.filter(|_| !outbound),
                interests,
                config,
                steps,
                finale,
                room,
            },
        )
}
