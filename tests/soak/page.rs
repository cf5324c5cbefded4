//! One link's page of the books: what went over it, both ways, and how it ended.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

use switchboard::{Cause, ClosedDetail, ClosedReason};

use super::peer::{End, Peer, pattern};

/// The peers by the address that tells them apart.
pub(super) type Peers<'a> = BTreeMap<SocketAddr, &'a Rc<Peer>>;

/// A connection that reconnects has one for each of its links, and an empty one when it has none.
#[derive(Default)]
pub(super) struct Page {
    pub(super) opened: bool,
    /// Of our end where we connected, of the peer's where it did.
    pub(super) address: Option<SocketAddr>,
    pub(super) received: Vec<u8>,
    /// What was accepted to be sent over it.
    pub(super) sent: Vec<u8>,
    pub(super) end: Option<Box<ClosedDetail>>,
}

impl Page {
    /// What the session was told must fit what its peer did.
    pub(super) fn balance(&self, peers: &Peers<'_>) -> Result<(), String> {
        self.check_outcome()?;
        let peer = self.address.and_then(|address| peers.get(&address));
        peer.map_or(Ok(()), |peer| self.check_peer(peer))
    }

    fn check_outcome(&self) -> Result<(), String> {
        let Some(detail) = &self.end else {
            return Ok(());
        };
        let outcome = detail.bytes_out + detail.unsent as u64;
        if outcome != self.sent.len() as u64 {
            return Err(format!(
                "{} bytes were accepted, {} were sent and {} not",
                self.sent.len(),
                detail.bytes_out,
                detail.unsent
            ));
        }
        Ok(())
    }

    fn check_peer(&self, peer: &Peer) -> Result<(), String> {
        let came = peer.came.borrow();
        if !self.sent.starts_with(&came) {
            return Err("the peer got other bytes than were sent".to_owned());
        }
        let written = peer.written.get();
        let expected: Vec<u8> = (0..written).map(pattern).collect();
        let Some(detail) = &self.end else {
            return prefix(&self.received, &expected);
        };
        let taken = [&self.received[..], &detail.unread].concat();
        prefix(&taken, &expected)?;
        if detail.cause == Cause::PeerFinished && taken != expected {
            return Err(format!(
                "the peer wrote {written} bytes and finished, {} came",
                taken.len()
            ));
        }
        if detail.bytes_out < came.len() as u64 {
            return Err("the peer got more than was sent".to_owned());
        }
        let in_order = detail.cut_short.is_none() && detail.cause.reason() != ClosedReason::Error;
        let finished = peer.end.get() == Some(End::Finished);
        if finished && in_order && came.len() as u64 != detail.bytes_out {
            return Err(format!(
                "{} bytes were sent, the peer got {} and the end",
                detail.bytes_out,
                came.len()
            ));
        }
        Ok(())
    }
}

fn prefix(bytes: &[u8], of: &[u8]) -> Result<(), String> {
    if of.starts_with(bytes) {
        return Ok(());
    }
    let same = bytes.iter().zip(of).take_while(|(a, b)| a == b).count();
    Err(format!(
        "of {} received bytes {same} are those that the peer wrote ({} in all)",
        bytes.len(),
        of.len()
    ))
}
