//! Every knob of a connection: its unit, its default, and what happens at the limit.

mod rule;
#[cfg(test)]
mod tests;
mod validate;

use std::time::Duration;

use crate::encoding::Encoding;
use crate::error::LimitsError;
use crate::frame::LineRule;
use crate::line::LineEnding;
use crate::receive::Receive;

pub use rule::{CrashPolicy, IdleAction, IdleRule, RateRule, ReconnectConfig};
pub use validate::ConfigError;

/// The settings of a connection. They are fixed when it opens, except where a command says otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// Armed as soon as the connection opens. Default: nothing, and so nothing is read.
    pub first_receive: Option<Receive>,
    /// What ends a line. Default: LF, with or without a CR before it (AMB-01).
    pub line_rule: LineRule,
    /// How the text of lines is to be read. Default: UTF-8.
    pub encoding: Encoding,
    /// What a sent line gets behind it when it does not bring its own ending. Default: LF.
    pub line_ending: LineEnding,
    /// The longest line in bytes without its ending. Default: 64 KiB. A longer one closes the
    /// connection with reason Error (XAS-38).
    pub max_line: usize,
    /// The longest message in bytes. Default: 16 MiB. A longer one closes the connection as soon as
    /// it is announced (ACO-10).
    pub max_message: usize,
    /// The most that an exact receive may ask for, in bytes. Default: 16 MiB. More is refused when
    /// arming (XAS-43).
    pub max_recv: usize,
    /// What a "full buffer" is, in bytes (XAS-42). Default: 4,096; at least 256.
    pub recv_buffer: usize,
    /// How many received bytes may wait unframed or unhandled. Default: 64 KiB. At the limit reading
    /// stops until the session has caught up; a single frame may be as long as its own limit says.
    pub read_window: usize,
    /// How many frames may be with the session at once. Default: 64. At the limit delivery stops
    /// until one is handled.
    pub read_credit: usize,
    /// Queued bytes above which writing is paused. Default: 64 KiB (AIO-07).
    pub write_high: usize,
    /// Queued bytes at or below which writing is resumed. Default: 16 KiB (AIO-07).
    pub write_low: usize,
    /// The most bytes that may be queued. Default: 16 MiB. A send beyond it is refused (AIO-12).
    pub write_capacity: usize,
    /// Whether input is delivered while writing is paused. Default (`None`): only to a session that
    /// handles `WritePaused`, which then decides for itself; otherwise input waits, so that a
    /// session that answers everything can never overrun its peer.
    pub read_while_write_paused: Option<bool>,
    /// Size of the send slot in bytes (XAS-31, XAS-53). Default: 4,096; at least 256.
    pub send_slot: usize,
    /// When nothing was received for so long. Default: never. If nothing was to be received when the
    /// time is up, it starts anew.
    pub idle_read: Option<IdleRule>,
    /// When nothing was sent for so long. Default: never.
    pub idle_write: Option<IdleRule>,
    /// When nothing moved for so long. Default: never.
    pub idle: Option<IdleRule>,
    /// What becomes of the connection when its session panics. Default: it closes.
    pub crash: CrashPolicy,
    /// Whether an outbound connection is established again when its link is lost, and tried again when
    /// it does not come to be. Default: it is not.
    pub reconnect: Option<ReconnectConfig>,
    /// How fast the peer must send while a frame has begun and is unfinished. Default: 240 bytes a
    /// second over 60 s; then the connection closes with reason Timeout. A receive that takes whatever
    /// comes has no unfinished frames. Time in which reading was paused is not counted.
    pub read_rate: Option<RateRule>,
    /// How fast the peer must take what is queued, from when the system takes no more of it. Default:
    /// 240 bytes a second over 10 min; then the connection is reset, and what was not sent is counted.
    /// It applies to a close that flushes, too.
    ///
    /// What the system takes is what counts. It makes room in steps, which are large when the buffers
    /// of the two sockets are, hence the long window: for a shorter one make them small.
    pub write_rate: Option<RateRule>,
    /// How long a frame that has begun may take to be complete, however fast it comes. Default:
    /// 10 min. If reading is paused when the time is up, or goes on after a pause, it starts anew.
    pub frame_timeout: Option<Duration>,
    /// How old a connection may become, from when a session adopted it. It closes and flushes, with
    /// reason Timeout. Default: never; the one timeout that ends connections with which nothing is
    /// wrong.
    pub max_lifetime: Option<Duration>,
    /// How long an open connection may wait for a session. Default: 5 s.
    pub adoption_timeout: Duration,
    /// How long a close may take to send what is queued, unless `Close` says otherwise. Default:
    /// 30 s; then the connection is reset.
    pub flush_timeout: Duration,
    /// How long the connection reads on and discards after it has finished, so that a reset does not
    /// destroy its last bytes. Default: 2 s.
    pub linger_timeout: Duration,
    /// How many bytes it discards at most meanwhile. Default: 16 MiB.
    pub linger_bytes: usize,
    /// How long a connection whose peer has finished may stay without moving a byte. Default: 60 s.
    pub half_closed_timeout: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            first_receive: None,
            line_rule: LineRule::Lenient,
            encoding: Encoding::Utf8,
            line_ending: LineEnding::Lf,
            max_line: 64 * 1024,
            max_message: 16 * 1024 * 1024,
            max_recv: 16 * 1024 * 1024,
            recv_buffer: 4096,
            read_window: 64 * 1024,
            read_credit: 64,
            write_high: 64 * 1024,
            write_low: 16 * 1024,
            write_capacity: 16 * 1024 * 1024,
            read_while_write_paused: None,
            send_slot: 4096,
            idle_read: None,
            idle_write: None,
            idle: None,
            crash: CrashPolicy::Close,
            reconnect: None,
            read_rate: Some(RateRule::DEFAULT),
            write_rate: Some(RateRule::new(240, Duration::from_secs(600))),
            frame_timeout: Some(Duration::from_secs(600)),
            max_lifetime: None,
            adoption_timeout: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 16 * 1024 * 1024,
            half_closed_timeout: Duration::from_secs(60),
        }
    }
}

/// Works out both marks from what was given, by asyncio's rules (AIO-08): a missing low mark is a
/// quarter of the high one, a missing high mark is four times the low one, and none at all are the
/// defaults.
///
/// # Errors
/// When the high mark is below the low one.
pub fn write_limits(
    high: Option<usize>,
    low: Option<usize>,
) -> Result<(usize, usize), LimitsError> {
    let defaults = ConnectionConfig::default();
    let (high, low) = match (high, low) {
        (None, None) => (defaults.write_high, defaults.write_low),
        (Some(high), None) => (high, high / 4),
        (None, Some(low)) => (low.saturating_mul(4), low),
        (Some(high), Some(low)) => (high, low),
    };
    if high < low {
        return Err(LimitsError { high, low });
    }
    Ok((high, low))
}
