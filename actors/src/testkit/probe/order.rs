//! The order contract: the first event of a connection opens it, `Closed` is the last, each comes
//! once. `ConnectFailed` comes instead of all others, and so does the `Closed` of a failed handshake. A link that is lost and
//! reconnects is opened again. A socket or a process is open from the start: no event opens it.

use std::collections::HashMap;

use switchboard_core::{ClientId, ClosePhase};

use super::kind::client_of;
use crate::message::ClientEvent;

/// How far each connection has come, and the first thing that was not in order.
#[derive(Debug)]
pub(super) struct Order {
    stages: HashMap<ClientId, Stage>,
    /// Whether any event may come first.
    pub(super) partial: bool,
    /// What nobody has been told yet.
    breach: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Open,
    /// Without a link, and about to get one: whether it had one before.
    Down {
        opened: bool,
    },
    /// Over, and what ended it.
    Over(&'static str),
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            stages: HashMap::new(),
            partial: false,
            breach: None,
        }
    }

    /// A session was made for a socket or a process, which no event opens.
    pub(super) fn made(&mut self, channel: ClientId) {
        self.stages.insert(channel, Stage::Open);
    }

    /// An event came.
    pub(super) fn event(&mut self, event: &ClientEvent) {
        use ClientEvent::{Accepted, Closed, ConnectFailed, Connected, Disconnected, Reconnecting};
        let (client, name) = (client_of(event), event.name());
        let stage = self.stages.get(&client).copied();
        let breach = match (stage, event) {
            (None, Accepted(_) | Connected(_) | ConnectFailed(_) | Reconnecting(_)) => None,
            (Some(Stage::Down { .. }), Connected(_) | Reconnecting(_)) => None,
            (Some(Stage::Down { opened: false }), ConnectFailed(_)) => None,
            (Some(Stage::Down { opened: true }), Closed(_)) => None,
            (Some(Stage::Down { .. }), _) => Some(format!("{name} came though there was no link")),
            // A peer whose handshake failed was never let in.
            (None, Closed(closed)) if closed.detail.phase == ClosePhase::Securing => None,
            (None, _) if self.partial => None,
            (None, _) => Some(format!("{name} came first, nothing opened it")),
            (Some(Stage::Open), Accepted(_) | Connected(_) | ConnectFailed(_)) => {
                Some(format!("{name} came though it was open"))
            }
            (Some(Stage::Open), Reconnecting(_)) => Some(format!("{name} came though it was open")),
            (Some(Stage::Open), _) => None,
            (Some(Stage::Over(end)), _) => Some(format!("{name} came after {end}")),
        };
        if !matches!(stage, Some(Stage::Over(_))) {
            let next = match event {
                Closed(_) | ConnectFailed(_) => Stage::Over(name),
                Disconnected(_) => Stage::Down { opened: true },
                Reconnecting(_) => match stage {
                    Some(Stage::Down { opened }) => Stage::Down { opened },
                    _ => Stage::Down { opened: false },
                },
                _ => Stage::Open,
            };
            self.stages.insert(client, next);
        }
        self.break_with(client, breach);
    }

    /// The session of a connection was dropped. Says whether it should have been told more.
    pub(super) fn gone(&mut self, client: ClientId) -> bool {
        let too_early = matches!(
            self.stages.get(&client),
            Some(Stage::Open | Stage::Down { .. })
        );
        if too_early {
            self.stages
                .insert(client, Stage::Over("the end of its session"));
            let breach = "its session ended without Closed".to_owned();
            self.break_with(client, Some(breach));
        }
        too_early
    }

    /// The first breach that was not yet told.
    pub(super) fn take_breach(&mut self) -> Option<String> {
        self.breach.take()
    }

    /// The connections that are open.
    pub(super) fn open(&self) -> Vec<ClientId> {
        let open = |(client, stage): (&ClientId, &Stage)| match stage {
            Stage::Open | Stage::Down { .. } => Some(*client),
            Stage::Over(_) => None,
        };
        let mut clients: Vec<_> = self.stages.iter().filter_map(open).collect();
        clients.sort_unstable();
        clients
    }

    /// The first breach is kept: later ones are mostly its consequences.
    fn break_with(&mut self, client: ClientId, breach: Option<String>) {
        if self.breach.is_none() {
            self.breach = breach
                .map(|what| format!("the order contract is broken for client {client}: {what}"));
        }
    }
}
