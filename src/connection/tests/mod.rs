//! The machine on a wire that is all script: no socket, no clock.

mod access;
mod ahead;
mod at_once;
mod batches;
mod closing;
mod draining;
mod ending;
mod notices;
mod pacing;
mod property;
mod receiving;
mod requests;
mod script;
mod securing;
mod sending;
mod shaping;
mod timing;
mod urgent;
mod wire;

use std::io::{self, IoSlice};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{Batch, Connection, ConnectionState, Event, FrameKind, Interests, Permit, ReadWish};
use crate::config::ConnectionConfig;
use crate::error::{ArmError, ConnectError, ConnectPhase, StartTlsError};
use crate::id::Token;
use crate::now::Now;
use crate::reason::{Cause, ClosedDetail};
use crate::receive::{OnTimeout, Receive, ReceiveKind, Repeat};
use crate::tls::{Cipher, TlsError, TlsInfo, TlsVersion};

use wire::{Incoming, Wire};

const NOTHING: [&str; 0] = [];

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn size(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).unwrap()
}

const LINE: ReceiveKind = ReceiveKind::Line {
    rule: None,
    encoding: None,
    max: None,
};

const MESSAGE: ReceiveKind = ReceiveKind::Message { max: None };

const fn exact(bytes: usize) -> ReceiveKind {
    ReceiveKind::Exact(size(bytes))
}

const fn until(delimiter: &'static str) -> ReceiveKind {
    ReceiveKind::Until {
        delimiter: Bytes::from_static(delimiter.as_bytes()),
        max: None,
    }
}

/// A kind, so many times.
fn times(count: u32, kind: ReceiveKind) -> Receive {
    Receive {
        repeat: Repeat::Times(NonZeroU32::new(count).unwrap()),
        ..Receive::once(kind)
    }
}

/// With a deadline.
fn within(after: Duration, receive: Receive) -> Receive {
    Receive {
        timeout: Some(after),
        ..receive
    }
}

/// With a deadline that is only told.
fn report_after(after: Duration, receive: Receive) -> Receive {
    Receive {
        on_timeout: OnTimeout::Report,
        ..within(after, receive)
    }
}

/// The defaults, except what `change` changes.
fn config(change: impl FnOnce(&mut ConnectionConfig)) -> ConnectionConfig {
    let mut config = ConnectionConfig::default();
    change(&mut config);
    config
}

/// What both sides of a handshake agreed on.
fn facts() -> Arc<TlsInfo> {
    let cipher = Cipher {
        name: "TLS13_AES_128_GCM_SHA256",
        bits: 128,
    };
    Arc::new(TlsInfo::new(TlsVersion::Tls13, cipher))
}

/// Every interest but these.
fn all_but(left_out: Interests) -> Interests {
    EVERY_INTEREST
        .into_iter()
        .fold(Interests::NONE, |kept, one| {
            kept.with_if(one, !left_out.contains(one))
        })
}

const EVERY_INTEREST: [Interests; 14] = [
    Interests::OPENED,
    Interests::LINE,
    Interests::DATA,
    Interests::MESSAGE,
    Interests::SENT,
    Interests::WRITE_PAUSED,
    Interests::WRITE_RESUMED,
    Interests::PEER_FINISHED,
    Interests::IDLE,
    Interests::READABLE,
    Interests::WRITABLE,
    Interests::CLOSED,
    Interests::CONNECT_FAILED,
    Interests::TLS_STARTED,
];
