//! The places that a connection has taken: with its listener, its pool, and whatever else counts it.

use std::fmt;

use switchboard_core::{Gate, GatePass, PrefixPass};

use crate::server::Presence;
use crate::shard::SlotLease;

/// The limits that every connection of a pool is counted by, also the outbound ones.
#[derive(Debug)]
pub(crate) struct PoolGates {
    pub(crate) own: Gate,
    /// A limit that other pools are counted by too.
    pub(crate) shared: Option<Gate>,
}

/// Which limit has no room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PoolFull {
    Own(usize),
    Shared(usize),
}

impl fmt::Display for PoolFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(limit) => write!(f, "the pool is at its limit of {limit}"),
            Self::Shared(limit) => write!(f, "the pools are at the limit of {limit} they share"),
        }
    }
}

impl PoolGates {
    /// One place under each limit, or none.
    pub(crate) fn try_enter(&self) -> Result<Passes, PoolFull> {
        // To take one place only to find the other missing could refuse somebody in between.
        let shared = self.shared.as_ref().filter(|gate| !gate.has_room());
        if let Some(full) = shared {
            return Err(PoolFull::Shared(full.limit()));
        }
        let own = self.own.try_enter();
        let own = own.ok_or_else(|| PoolFull::Own(self.own.limit()))?;
        let shared = self.shared.as_ref().map(|gate| {
            let pass = gate.try_enter();
            pass.ok_or_else(|| PoolFull::Shared(gate.limit()))
        });
        let mut passes = Passes {
            pool: Some(own),
            ..Passes::default()
        };
        if let Some(shared) = shared.transpose()? {
            passes.rare().shared = Some(shared);
        }
        Ok(passes)
    }

    /// Both of them, or the one that there is.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Gate> {
        std::iter::once(&self.own).chain(&self.shared)
    }
}

/// Proof of admission. Dropping it gives every place back.
#[derive(Default)]
#[expect(dead_code, reason = "what is in it is held, not read")]
pub(crate) struct Passes {
    pub(crate) pool: Option<GatePass>,
    pub(crate) server: Option<GatePass>,
    pub(crate) prefix: Option<PrefixPass>,
    rare: Option<Box<RarePasses>>,
}

/// Places under limits that most pools do not have.
#[derive(Default)]
pub(crate) struct RarePasses {
    shared: Option<GatePass>,
    pub(crate) presence: Option<Presence>,
    /// Its memory, where that is limited.
    pub(crate) lease: Option<Box<SlotLease>>,
}

impl Passes {
    /// Its memory, where that is limited.
    #[inline]
    pub(crate) fn lease(&self) -> Option<&SlotLease> {
        self.rare.as_ref()?.lease.as_deref()
    }

    /// To put some in.
    pub(crate) fn rare(&mut self) -> &mut RarePasses {
        self.rare.get_or_insert_default()
    }
}
