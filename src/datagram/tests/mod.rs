//! The machine without any socket or clock.

mod closing;
mod crashing;
mod property;
mod receiving;
mod resolving;
mod sending;
mod shortage;
mod stuck;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::address::Destination;
use crate::config::CrashPolicy;
use crate::connection::{Permit, Standing};
use crate::id::Token;
use crate::reason::{Cause, ClosePhase, ClosedReason, IoOperation, TimeoutKind};

const MILLI: Duration = Duration::from_millis(1);

/// A machine, and the time.
struct Bench {
    machine: Datagrams,
    at: Instant,
}

impl Bench {
    /// Waits for its session.
    fn vacant(change: impl FnOnce(&mut DatagramConfig)) -> Self {
        let mut config = DatagramConfig::default();
        change(&mut config);
        config.validate().unwrap();
        let at = Instant::now();
        let machine = Datagrams::new(Arc::new(config), false, &mut Now::at(at));
        Self { machine, at }
    }

    /// With a session that handles everything.
    fn open(change: impl FnOnce(&mut DatagramConfig)) -> Self {
        Self::with(Interests::ALL, change)
    }

    fn with(interests: Interests, change: impl FnOnce(&mut DatagramConfig)) -> Self {
        let mut bench = Self::vacant(change);
        bench.machine.adopt(interests, &mut Now::at(bench.at));
        bench
    }

    fn now(&self) -> Now {
        Now::at(self.at)
    }

    fn wait(&mut self, time: Duration) {
        self.at += time;
        while let Some(at) = self.machine.poll_timeout()
            && at <= self.at
        {
            let mut now = Now::at(at);
            self.machine.handle_timeout(&mut now);
        }
    }

    fn try_send(
        &mut self,
        data: &'static str,
        to: &str,
        token: u64,
    ) -> Result<(), DatagramRefusal> {
        let data = Bytes::from_static(data.as_bytes());
        let mut now = self.now();
        self.machine
            .send(data.clone(), Some(to.into()), Some(Token(token)), &mut now)
            .map_err(|(refusal, back)| {
                assert_eq!(back, data, "it comes back");
                refusal
            })
    }

    fn send(&mut self, data: &'static str, to: &str, token: u64) {
        self.try_send(data, to, token).unwrap();
    }

    /// The system takes all that it is given; what it took.
    fn transmit(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        let mut now = self.now();
        self.machine.begin_round();
        while let Some(outgoing) = self.machine.poll_send() {
            let to = outgoing.to.map_or("peer".into(), ToString::to_string);
            taken.push(format!("{} {to}", String::from_utf8_lossy(outgoing.data)));
            self.machine.handle_sent(&mut now);
        }
        taken
    }

    fn arrive(&mut self, data: &'static str) {
        let mut now = self.now();
        let data = Bytes::from_static(data.as_bytes());
        self.machine
            .handle_datagram(address(9), data, false, &mut now);
    }

    /// The next event in short, which is handled at once.
    fn event(&mut self) -> Option<String> {
        let mut now = self.now();
        let (event, permit) = self.machine.poll_event(&mut now)?;
        self.machine.give_back(permit, &mut now);
        Some(short(&event))
    }

    fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while self.machine.has_event() {
            events.extend(self.event());
        }
        assert!(self.event().is_none());
        events
    }

    /// The report of the end, after so many other events.
    fn closed(&mut self) -> (Vec<String>, ClosedDetail) {
        let mut events = Vec::new();
        let mut now = self.now();
        loop {
            let (event, _) = self.machine.poll_event(&mut now).expect("it is closed");
            if let DatagramEvent::Closed(detail) = event {
                assert!(self.machine.is_told() && self.machine.is_over());
                assert!(self.machine.poll_event(&mut now).is_none(), "last");
                return (events, *detail);
            }
            events.push(short(&event));
        }
    }
}

fn short(event: &DatagramEvent) -> String {
    match event {
        DatagramEvent::Received {
            data, truncated, ..
        } => {
            let cut = if *truncated { " cut" } else { "" };
            format!("received {}{cut}", String::from_utf8_lossy(data))
        }
        DatagramEvent::Sent { token, bytes } => format!("sent {} {bytes}", token.0),
        DatagramEvent::Failed {
            token, to, error, ..
        } => {
            let token = token.map_or("-".into(), |token| token.0.to_string());
            let to = to.as_ref().map_or("peer".into(), ToString::to_string);
            format!("failed {token} {to}: {error}")
        }
        DatagramEvent::Error { kind, count, .. } => format!("error {kind:?} {count}"),
        DatagramEvent::WritePaused => "paused".into(),
        DatagramEvent::WriteResumed => "resumed".into(),
        DatagramEvent::Draining(left) => format!("draining {left:?}"),
        DatagramEvent::Adopted { unread, restarts } => format!("adopted {unread} {restarts}"),
        DatagramEvent::Closed(detail) => format!("closed {}", detail.cause.reason()),
    }
}

fn address(port: u16) -> Address {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

/// An error that the system reports for an earlier datagram.
fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";
const NOTHING: [&str; 0] = [];
