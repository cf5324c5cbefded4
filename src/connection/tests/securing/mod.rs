//! How a connection becomes secure, and what becomes of it when it does not.

mod boundary;
mod clocks;
mod ending;
mod finishing;
mod lives;

use super::*;
use crate::config::{CrashPolicy, IdleAction, IdleRule, RateRule, ReconnectConfig};
use crate::connection::UnderWay;
use crate::error::SendRefusal;
use crate::reason::{ClosePhase, ClosedReason, IoOperation, TimeoutKind};

const STARTED: &str = "tls started: TLSv1.3 TLS13_AES_128_GCM_SHA256";
/// How long a handshake may take here.
const WITHIN: Duration = seconds(5);

/// How far a connection is with TLS when something befalls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Three bytes in plain wait for the socket.
    Asked,
    Shaking,
    Secured,
}

const PHASES: [At; 3] = [At::Asked, At::Shaking, At::Secured];

/// A connection that far; with `behind`, four protected bytes wait for the socket, or for the handshake.
fn at(phase: At, behind: bool, config: ConnectionConfig) -> Wire {
    let mut wire = Wire::open(config);
    if phase == At::Asked {
        wire.takes(0);
    }
    wire.send_tracked("220", 1);
    wire.start_tls(WITHIN).unwrap();
    if phase == At::Secured {
        wire.secured();
        wire.takes(0);
    }
    if behind {
        wire.send_tracked("EHLO", 2);
    }
    wire.told();
    wire
}

fn closed_by_clock(kind: TimeoutKind, after: Duration) -> Cause {
    Cause::Timeout { kind, after }
}
