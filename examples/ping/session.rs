//! The session of a raw socket that sends requests and prints what comes of them.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix::SpawnHandle;
use switchboard::Raw;
use switchboard::prelude::*;
use tokio::sync::watch;

use super::icmp::{self, Message, Packet, Version};
use super::statistics::{Statistics, milliseconds};

/// Bytes at the start of a payload that nobody else's has.
const COOKIE: usize = 8;

pub struct Pinger {
    raw: Raw,
    plan: Plan,
    id: u16,
    payload: Vec<u8>,
    statistics: Statistics,
    next: u16,
    /// What sends the next request.
    sending: SpawnHandle,
    /// Told at the end whether there was a reply.
    ended: watch::Sender<Option<bool>>,
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// As the command line has it.
    pub host: String,
    pub target: SocketAddr,
    pub count: Option<u64>,
    pub interval: Duration,
    pub patience: Duration,
    /// Bytes of a payload.
    pub size: usize,
}

impl Pinger {
    pub fn new(raw: Raw, plan: Plan, ended: watch::Sender<Option<bool>>) -> Self {
        // Other programs may ping at the same time, and each gets every reply.
        let cookie = fastrand::u64(..).to_ne_bytes();
        let pattern = (0..=u8::MAX).cycle().skip(COOKIE);
        let payload = cookie.into_iter().chain(pattern).take(plan.size).collect();
        Self {
            raw,
            plan,
            id: fastrand::u16(..),
            payload,
            statistics: Statistics::new(Instant::now()),
            next: 1,
            sending: SpawnHandle::default(),
            ended,
        }
    }

    fn version(&self) -> Version {
        Version::of(self.plan.target.ip())
    }

    fn send(&mut self, ctx: &mut SessionContext<Self>) {
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        let packet = icmp::request(self.version(), self.id, sequence, &self.payload);
        self.statistics.sent(sequence, Instant::now());
        if let Err(error) = self.raw.send_to(packet, self.plan.target) {
            self.fail(&error.to_string());
        }
        if self.plan.count == Some(self.statistics.transmitted()) {
            ctx.cancel_future(self.sending);
            let Plan {
                interval, patience, ..
            } = self.plan;
            let linger = self.statistics.linger(interval, patience);
            ctx.run_later(linger, |this, _| {
                this.raw.close();
            });
        }
    }

    fn receive(&mut self, from: SocketAddr, packet: &Packet<'_>) {
        let from = from.ip();
        let sequence = packet.sequence;
        match packet.message {
            Message::Reply { payload, ttl } => {
                if payload != self.payload {
                    return;
                }
                let Some(reply) = self.statistics.replied(sequence, Instant::now()) else {
                    return;
                };
                let bytes = icmp::HEADER + payload.len();
                let ttl = ttl.map(|ttl| format!(" ttl={ttl}")).unwrap_or_default();
                let time = milliseconds(reply.time);
                let duplicate = if reply.is_duplicate { " (DUP!)" } else { "" };
                println!(
                    "{bytes} bytes from {from}: icmp_seq={sequence}{ttl} time={time} ms{duplicate}"
                );
            }
            Message::Undelivered(why) => {
                self.statistics.failed(Instant::now());
                println!("From {from} icmp_seq={sequence} {why}");
            }
        }
        let is_all_sent = self.plan.count == Some(self.statistics.transmitted());
        if is_all_sent && self.statistics.is_complete() {
            self.raw.close();
        }
    }

    fn fail(&mut self, why: &str) {
        self.statistics.failed(Instant::now());
        eprintln!("ping: {why}");
    }
}

impl Actor for Pinger {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.sending = ctx.run_interval(self.plan.interval, Self::send);
        self.send(ctx);
    }
}

impl Handler<DatagramReceived> for Pinger {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        let Some(from) = msg.from.inet() else { return };
        // A raw socket gets every packet of the protocol, our own requests among them.
        if let Some(packet) = icmp::parse(self.version(), &msg.data)
            && packet.id == self.id
        {
            self.receive(from, &packet);
        }
    }
}

impl Handler<DatagramFailed> for Pinger {
    type Result = ();

    fn handle(&mut self, msg: DatagramFailed, _: &mut Self::Context) {
        self.fail(&msg.error.to_string());
    }
}

impl Handler<UdpError> for Pinger {
    type Result = ();

    fn handle(&mut self, msg: UdpError, _: &mut Self::Context) {
        let error = msg.errno.map(io::Error::from_raw_os_error);
        self.fail(&error.unwrap_or_else(|| msg.kind.into()).to_string());
    }
}

impl Handler<Closed> for Pinger {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        println!("\n--- {} ping statistics ---", self.plan.host);
        println!("{}", self.statistics);
        let has_replies = self.statistics.has_replies();
        self.ended.send_replace(Some(has_replies));
    }
}

session!(Pinger);
