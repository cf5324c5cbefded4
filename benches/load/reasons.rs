//! Why peers are ahead where they are, and what would close it: texts for the report, one per peer and
//! kind of load. Whoever makes a figure better or worse changes them here.

/// What the report says where nobody has written why.
pub(crate) const NOT_EXPLAINED: &str = "**Not explained yet.**";

/// Why this peer may be ahead in this scenario.
pub(crate) fn reason(scenario: &str, peer: &str) -> Option<&'static str> {
    let mut reasons = REASONS.iter().filter(|reason| reason.peers.contains(&peer));
    let found = reasons.find(|reason| reason.scenarios.contains(&scenario));
    found.map(|reason| reason.text)
}

/// A text, for each of these peers in each of these scenarios.
struct Reason {
    peers: &'static [&'static str],
    scenarios: &'static [&'static str],
    text: &'static str,
}

/// One line in flight on each connection.
const PING: &[&str] = &["ping1", "ping50", "ping500", "busy"];
const PIPELINED: &[&str] = &["pipe50x64"];
/// Mostly the begin and the end of connections.
const LIVES: &[&str] = &["churn", "storm"];
const MEMORY: &[&str] = &["idle"];
const BYTES: &[&str] = &["transfer"];
const DATAGRAMS: &[&str] = &["udp1", "udp16"];

const REASONS: &[Reason] = &[
    Reason {
        peers: &["tokio-lines", "tokio-chunks"],
        scenarios: PING,
        text: "It is the floor: one task per connection that reads and writes, with the same system calls as ours, one \
               read and one write. It has no session that is told events, no supervision, no limits, no clocks for slow \
               peers, and no queue that others may send to. What these cost is user time, `user us`. Closed by fewer \
               instructions per turn; below it, only by fewer system calls.",
    },
    Reason {
        peers: &["tokio-framed"],
        scenarios: PING,
        text: "One task per connection with a codec in it: no session, no supervision, no limits and no clocks for slow \
               peers. Closed by fewer instructions per turn, as for tokio-lines.",
    },
    Reason {
        peers: &["actix-io"],
        scenarios: &[
            "ping1",
            "ping50",
            "ping500",
            "busy",
            "pipe50x64",
            "churn",
            "storm",
            "transfer",
        ],
        text: "One actor per connection that reads for itself, where ours are two. It has no back-pressure, so that what \
               a peer does not read grows without bound, and it loses what is not yet written when the peer ends its \
               side; it has no limits and no clocks for slow peers. Closed by fewer instructions per turn, not by \
               giving up these.",
    },
    Reason {
        peers: &["actix-server"],
        scenarios: &[
            "ping1", "ping50", "ping500", "busy", "churn", "storm", "transfer",
        ],
        text: "tokio-lines behind a thread that accepts: a service per connection, which is one task, without a session, \
               supervision or clocks for slow peers. Closed as for tokio-lines.",
    },
    Reason {
        peers: &["ractor"],
        scenarios: &[
            "ping1", "ping50", "ping500", "busy", "churn", "storm", "transfer",
        ],
        text: "A task that reads and an actor that writes, as many as ours, but an unbounded mailbox between them: a peer \
               that does not read makes it grow. No limits and no clocks for slow peers. It pays with a wake-up and a \
               queue node per line, so where it is ahead look at `disturbed` and run again.",
    },
    Reason {
        peers: &["kameo"],
        scenarios: &[
            "ping1", "ping50", "ping500", "busy", "churn", "storm", "transfer",
        ],
        text: "A task that reads and an actor that writes, as many as ours, with a bounded mailbox between them. No \
               limits, no clocks for slow peers, no orderly end. It pays with a wake-up and a message per line, so where \
               it is ahead look at `disturbed` and run again.",
    },
    Reason {
        peers: &["tokio-chunks"],
        scenarios: PIPELINED,
        text: "No message per line and no actor: it looks for the lines of a read and answers all of them with one write \
               out of the buffer that they came in, about the least that a line server can do. Ours makes of each line a \
               message for a handler, which may answer with anything, and copies each answer into a queue that is bounded \
               and written once per wake-up. Closed by less per line; to the last by giving a handler all lines of a read \
               in one message.",
    },
    Reason {
        peers: &["go-batched"],
        scenarios: PIPELINED,
        text: "As tokio-chunks: the answers to a read are written once, and a line is a call on the goroutine's own \
               stack, not a message. Closed by less per line.",
    },
    Reason {
        peers: &["tokio-lines", "tokio-chunks", "tokio-framed"],
        scenarios: LIVES,
        text: "It is the floor: a connection is a task and its registration with the poller. Ours is two actors as well, \
               with a place under each limit, counters, and events of its begin and its end. In `storm` the listen queue \
               counts too: theirs holds 1,024 peers, ours the 256 of XAsyncSockets unless `Listen::backlog` says \
               otherwise, and whoever finds it full tries again after a second. Closed by fewer allocations, and there \
               by a longer queue.",
    },
    Reason {
        peers: &["uring", "uring-tokio"],
        scenarios: &[
            "ping1",
            "ping50",
            "ping500",
            "busy",
            "pipe50x64",
            "churn",
            "storm",
            "transfer",
            "idle",
        ],
        text: "No server for use, but a measure of what `io_uring` could save: no actors, no back-pressure, no limits, no \
               ends in order, and one call into the system for all connections of a wake-up. Why there is no such \
               transport is in README.md, under io_uring. Closed by one, which is worth it only with hundreds of busy \
               connections.",
    },
    Reason {
        peers: &["tokio-lines", "tokio-chunks", "tokio-framed"],
        scenarios: BYTES,
        text: "It writes a line out of the buffer that it was read into. Ours gives it to an actor, whose answer is copied \
               into a queue that is bounded and written from. Closed by a queue that takes over what was received without \
               a copy.",
    },
    Reason {
        peers: &[
            "go",
            "go-batched",
            "node",
            "asyncio",
            "uvloop",
            "asyncio-streams",
        ],
        scenarios: BYTES,
        text: "Its pieces have other sizes: how many bytes a read takes and a write leaves decides how the system paces a \
               connection on loopback, more than what the program does between them. Closed by choosing the sizes of \
               pieces by measure on each system.",
    },
    Reason {
        peers: &["asyncio", "uvloop"],
        scenarios: MEMORY,
        text: "A connection is two or three objects without a buffer of its own between reads: a transport, a protocol and \
               their socket (in uvloop mostly structures of C). No session beside it, no limits and no clocks for slow \
               peers; its request costs 1.5 times (uvloop) or twice the CPU of bare tokio's. Closed by smaller state: \
               what most connections never use made when it is first used.",
    },
    Reason {
        peers: &["asyncore"],
        scenarios: &["ping1", "ping50", "ping500"],
        text: "One loop that asks the system about all connections at once, then reads and writes on each that is ready: no \
               wake-up and no queue per connection, but no limits, no supervision and no orderly end either, and who is \
               idle costs those who are not: see `busy`. Its interpreter takes more user time than ours, `user us`, so \
               where it is ahead look at `disturbed` and run again.",
    },
    Reason {
        peers: &["asyncore"],
        scenarios: MEMORY,
        text: "A connection is one object with its dictionary and a socket; no buffer is kept. But its loop asks about all \
               connections at every turn, so that idle ones cost the busy ones CPU: see `busy`. Closed by smaller state.",
    },
    Reason {
        peers: &["go", "go-batched"],
        scenarios: &["ping1", "ping50", "ping500", "busy", "churn", "storm"],
        text: "A goroutine per connection, which its own scheduler wakes, and one write per line or per read: no session, no \
               supervision, no limits and no clocks for slow peers. On a quiet machine it pays more than ours for its \
               scheduler, so where it is ahead look at `disturbed` and run again. Its listen queue is as long as the \
               system allows, which counts in `storm`.",
    },
    Reason {
        peers: &["uvloop", "asyncio", "asyncio-streams", "node", "erlang"],
        scenarios: &["ping1", "ping50", "ping500", "busy", "churn"],
        text: "An interpreter or a virtual machine with a loop or a scheduler of its own: no place under each limit, no bounded \
               queue and no clocks for slow peers. On a quiet machine it takes more user time for a request than ours, `user us`, \
               so where it is ahead look at `disturbed` and run again.",
    },
    Reason {
        peers: &[
            "uvloop",
            "asyncio",
            "asyncio-streams",
            "asyncore",
            "node",
            "erlang",
        ],
        scenarios: &["storm"],
        text: "It accepts as many of those that wait as it can in one go, and a connection is little more than its socket and \
               a callback: no actors, no place under each limit, no orderly end. Most of this CPU time is the system's, \
               for handshakes and for ends. Closed by fewer allocations per life, and by a longer listen queue than the \
               256 of XAsyncSockets (`Listen::backlog`).",
    },
    Reason {
        peers: &["go", "go-batched"],
        scenarios: MEMORY,
        text: "A goroutine's first stack and the buffers of its reader and writer; no actors, no supervision, no clocks for \
               slow peers. Closed by smaller state.",
    },
    Reason {
        peers: &["node"],
        scenarios: MEMORY,
        text: "A few objects of a compacting heap and a handle of libuv; no buffer is kept between reads, no clocks for \
               slow peers. It starts at ten times our memory. Closed by smaller state.",
    },
    Reason {
        peers: &["tokio-rustls"],
        scenarios: &["tls-ping50", "tls-transfer", "handshakes"],
        text: "It is the floor: the same cryptography in one task, without a session, supervision, limits or clocks for slow \
               peers; the records that are opened and sealed are the same. Closed by fewer copies between the session of \
               TLS and the queues, and by what closes ping50.",
    },
    Reason {
        peers: &["tokio-udp"],
        scenarios: DATAGRAMS,
        text: "It is the floor: one task, one buffer that every datagram is received into and sent from. Ours makes of each \
               a message with bytes of its own for a handler, and answers over a bounded queue. Closed by fewer \
               allocations and instructions per datagram.",
    },
    Reason {
        peers: &["tokio-udp-try"],
        scenarios: DATAGRAMS,
        text: "As tokio-udp, and it empties the socket at each wake-up before it asks the poller again. Closed by fewer \
               allocations and instructions per datagram.",
    },
    Reason {
        peers: &["mmsg-udp"],
        scenarios: DATAGRAMS,
        text: "One system call receives up to 16 datagrams and one sends them, out of buffers that are never given away. On \
               loopback the price is per datagram and not per call, so that batches gain little here, and with one \
               datagram in flight they lose. Closed by batches where several wait.",
    },
    Reason {
        peers: &["tokio-multi"],
        scenarios: &["shards"],
        text: "Its threads take tasks from each other, so that the core that the load shares gets fewer of them. Our \
               connections stay on the shard that they came to, for a strict order without locks. Closed by placing new \
               connections by how busy a shard is; to the last only by moving connections, which we do not do.",
    },
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenarios;
    use crate::systems;
    use crate::usual::usual;

    #[test]
    fn texts_are_of_peers_and_scenarios_that_there_are() {
        let usual = usual(Path::new(""));
        let scenarios = scenarios::all();
        for Reason {
            peers,
            scenarios: names,
            text,
        } in REASONS
        {
            for peer in *peers {
                let known = usual.iter().any(|spec| spec.name == *peer);
                assert!(known || systems::NAMES.contains(peer), "{peer}");
            }
            for name in *names {
                assert!(scenarios.iter().any(|one| one.name() == *name), "{name}");
            }
            assert!(!text.contains('|') && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn the_baselines_of_every_scenario_have_a_text() {
        for scenario in scenarios::all() {
            for baseline in scenario.baselines() {
                let explained = reason(scenario.name(), baseline).is_some();
                // Far behind: it keeps a buffer per connection, and writes once per line.
                let behind = ["idle", "pipe50x64"].contains(&scenario.name());
                assert!(explained || behind, "{}", scenario.name());
            }
        }
    }
}
