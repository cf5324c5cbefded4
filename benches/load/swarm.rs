//! Many sockets that send datagrams in a closed loop: each reply sends the next one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;
use crate::poller::{Interest, Poller};

/// Bytes of a datagram.
const BYTES: usize = 64;
/// How long a reply may take before its datagram counts as lost and is sent again. It is far above what
/// a reply takes, so that nothing is sent twice that was only late.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// How often a datagram is sent before the server counts as gone.
const ATTEMPTS: u32 = 20;

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    /// Datagrams that were answered.
    pub(crate) replies: u64,
    /// Datagrams that were sent again, as no reply came.
    pub(crate) lost: u64,
    /// From a datagram's first sending to its reply.
    pub(crate) latency: Histogram,
    /// From the first datagram to the last reply.
    pub(crate) elapsed: Duration,
}

/// Sockets that talk to one server.
pub(crate) struct Swarm {
    members: Vec<Member>,
    poller: Poller,
}

/// One socket, and what it has under way.
struct Member {
    socket: UdpSocket,
    flights: Vec<Flight>,
}

/// A datagram and its successors, one at a time.
struct Flight {
    /// What was sent last: its number, where it belongs, and letters.
    datagram: [u8; BYTES],
    number: u64,
    /// When it was sent first, and when last.
    begun: Instant,
    sent: Instant,
    attempts: u32,
    is_waiting: bool,
}

impl Swarm {
    /// This many sockets, each with so many datagrams in flight while [`Swarm::exchange`] runs.
    ///
    /// # Errors
    /// There are no descriptors or ports left.
    pub(crate) fn new(server: SocketAddr, sockets: usize, in_flight: usize) -> io::Result<Self> {
        let poller = Poller::new()?;
        let members = (0..sockets)
            .map(|index| {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.connect(server)?;
                socket.set_nonblocking(true)?;
                poller.add(&socket, index, Interest::Read)?;
                let flights = (0..in_flight).map(|place| Flight::new(index, place));
                Ok(Member {
                    socket,
                    flights: flights.collect(),
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { members, poller })
    }

    /// Sends until `end`, and waits for the last reply: at least one datagram of each flight.
    ///
    /// # Errors
    /// The server is gone, answers no longer, or answers something else.
    pub(crate) fn exchange(&mut self, end: Instant) -> io::Result<Echoes> {
        let mut echoes = Echoes::default();
        let begin = Instant::now();
        let mut look = begin + LOST_AFTER;
        let mut waiting = 0;
        for Member { socket, flights } in &mut self.members {
            for flight in flights {
                flight.start(socket, begin)?;
                waiting += 1;
            }
        }
        while waiting > 0 {
            let count = self.poller.spin(look)?;
            for position in 0..count {
                let token = self.poller.ready(position).token;
                waiting -= self.members[token].take(end, &mut echoes)?;
            }
            // The load has no other use for the time, and a datagram is late by a quarter of a second.
            let now = Instant::now();
            if now >= look {
                look = now + LOST_AFTER / 4;
                for member in &mut self.members {
                    echoes.lost += member.send_lost_again(now)?;
                }
            }
        }
        echoes.elapsed = begin.elapsed();
        Ok(echoes)
    }
}

impl Member {
    /// Takes what has come; says how many flights have ended.
    fn take(&mut self, end: Instant, echoes: &mut Echoes) -> io::Result<usize> {
        let mut ended = 0;
        let mut reply = [0; BYTES + 1];
        loop {
            let length = match self.socket.recv(&mut reply) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(ended),
                Err(error) => return Err(error),
            };
            let reply = &reply[..length];
            let place = usize::from(*reply.get(Flight::PLACE).unwrap_or(&u8::MAX));
            let flight = self.flights.get_mut(place).ok_or_else(altered)?;
            if !flight.is_waiting || reply != flight.datagram {
                // The second reply to one that was sent twice may come at any time.
                if flight.is_earlier(reply) {
                    continue;
                }
                return Err(altered());
            }
            let now = Instant::now();
            echoes.replies += 1;
            echoes.latency.record(now - flight.begun);
            if now < end {
                flight.start(&self.socket, now)?;
            } else {
                flight.is_waiting = false;
                ended += 1;
            }
        }
    }

    /// Says how many datagrams it sent again.
    fn send_lost_again(&mut self, now: Instant) -> io::Result<u64> {
        let mut lost = 0;
        for flight in &mut self.flights {
            if flight.is_waiting && now - flight.sent >= LOST_AFTER {
                lost += 1;
                flight.send(&self.socket, now)?;
            }
        }
        Ok(lost)
    }
}

impl Flight {
    /// Where in a datagram its place among those of its socket stands, behind its number.
    const PLACE: usize = size_of::<u64>();

    fn new(socket: usize, place: usize) -> Self {
        let letter = b'a' + u8::try_from(socket % 26).expect("a letter");
        let mut datagram = [letter; BYTES];
        datagram[Self::PLACE] = u8::try_from(place).expect("a socket has few in flight");
        let now = Instant::now();
        Self {
            datagram,
            number: 0,
            begun: now,
            sent: now,
            attempts: 0,
            is_waiting: false,
        }
    }

    /// Sends the next one.
    fn start(&mut self, socket: &UdpSocket, now: Instant) -> io::Result<()> {
        self.number += 1;
        self.datagram[..Self::PLACE].copy_from_slice(&self.number.to_be_bytes());
        self.begun = now;
        self.attempts = 0;
        self.is_waiting = true;
        self.send(socket, now)
    }

    fn send(&mut self, socket: &UdpSocket, now: Instant) -> io::Result<()> {
        self.sent = now;
        self.attempts += 1;
        if self.attempts > ATTEMPTS {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no reply to a datagram that was sent {ATTEMPTS} times"),
            ));
        }
        match socket.send(&self.datagram) {
            Ok(_) => Ok(()),
            // Lost as well as one on the way is.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether this is a datagram of ours from before, or the last one once more.
    fn is_earlier(&self, reply: &[u8]) -> bool {
        let Some((number, rest)) = reply.split_first_chunk() else {
            return false;
        };
        let number = u64::from_be_bytes(*number);
        let until = self.number - u64::from(self.is_waiting);
        (1..=until).contains(&number) && rest == &self.datagram[Self::PLACE..]
    }
}

fn altered() -> io::Error {
    io::Error::other("a reply holds other bytes than were sent")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// Answers every datagram as `answer` says, until it has sent `most`.
    fn server(most: u32, answer: fn(u32, &mut [u8]) -> usize) -> SocketAddr {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut sent = 0;
            let mut buffer = [0; 2 * BYTES];
            for turn in 0.. {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                for _ in 0..answer(turn, &mut buffer[..length]) {
                    socket.send_to(&buffer[..length], from).unwrap();
                    sent += 1;
                }
                if sent >= most {
                    return;
                }
            }
        });
        address
    }

    #[test]
    fn a_lost_datagram_is_counted_and_sent_again() {
        let address = server(8, |turn, _| usize::from(turn != 3));
        let mut swarm = Swarm::new(address, 2, 4).unwrap();
        let echoes = swarm.exchange(Instant::now()).unwrap();
        assert_eq!((echoes.replies, echoes.lost), (8, 1));
    }

    #[test]
    fn a_second_reply_is_not_one_to_the_next_datagram() {
        let address = server(u32::MAX, |_, _| 2);
        let mut swarm = Swarm::new(address, 1, 1).unwrap();
        let first = swarm.exchange(Instant::now()).unwrap();
        let second = swarm.exchange(Instant::now()).unwrap();
        assert_eq!((first.replies, second.replies), (1, 1));
    }

    #[test]
    fn another_reply_than_what_was_sent_is_a_fault() {
        let address = server(1, |_, bytes| {
            bytes[BYTES - 1] = b'!';
            1
        });
        let mut swarm = Swarm::new(address, 1, 1).unwrap();
        let fault = swarm.exchange(Instant::now()).unwrap_err();
        assert!(fault.to_string().contains("other bytes"), "{fault}");
    }

    #[test]
    fn a_server_that_is_gone_is_a_fault() {
        let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let mut swarm = Swarm::new(address, 1, 1).unwrap();
        let fault = swarm.exchange(Instant::now()).unwrap_err();
        assert_eq!(fault.kind(), io::ErrorKind::ConnectionRefused);
    }
}
