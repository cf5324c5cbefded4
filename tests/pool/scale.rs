//! Many peers, many pools, many ids.

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::{ConnectionOptions, Listen, Pool};
use switchboard_tests::*;

use super::{ANY, echo_server};

/// XAS-01: one socket more than `select` can watch silences the original for ever.
#[test]
fn xas_01_five_thousand_peers_at_once_each_get_their_line_back() {
    const PEERS: usize = 5_000;
    const FILES: u64 = 2 * PEERS as u64 + 200;
    if !is_rerun() {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap();
        let hard: u64 = line
            .split_whitespace()
            .nth(4)
            .unwrap()
            .parse()
            .unwrap_or(u64::MAX);
        if hard < FILES {
            eprintln!("SKIPPED: {FILES} open files are needed, the hard limit is {hard}");
            return;
        }
        let test = "scale::xas_01_five_thousand_peers_at_once_each_get_their_line_back";
        let mut child = Reaped(rerun(test, Some(FILES)).spawn().unwrap());
        assert!(child.wait().success());
        return;
    }
    let totals = with(Pool::builder().shards(2), async |pool| {
        let listen = Listen::tcp(ANY).lines().backlog(4096);
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let address = server.local_addr();
        let before = resident_bytes();
        let (everybody_in, go) = (Arc::new(Gathering::of(5)), Arc::new(Gathering::of(5)));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (everybody_in, go) = (Arc::clone(&everybody_in), Arc::clone(&go));
                std::thread::spawn(move || {
                    let mut peers: Vec<_> = (0..PEERS / 4).map(|_| dial(address)).collect();
                    everybody_in.wait();
                    go.wait();
                    for (index, peer) in peers.iter_mut().enumerate() {
                        writeln!(peer, "line {index} of {thread}").unwrap();
                    }
                    for (index, peer) in peers.iter_mut().enumerate() {
                        let line = format!("line {index} of {thread}\n");
                        assert_eq!(read_exact(peer, line.len()), line.as_bytes());
                    }
                })
            })
            .collect();
        peer(move || everybody_in.wait()).await;
        until(|| server.info().live == PEERS as u64).await;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let threads_now: usize = field(&status, "Threads:").parse().unwrap();
        assert!(threads_now < 40, "{threads_now} threads for {PEERS} peers");
        let each = resident_bytes().saturating_sub(before) / PEERS;
        println!("resident memory: {each} bytes per idle connection");
        assert!(each < 32 * 1024, "{each} bytes per idle connection");
        peer(move || {
            go.wait();
            for thread in threads {
                thread.join().unwrap();
            }
        })
        .await;
    });
    assert_eq!(totals.accepted, PEERS as u64);
    assert_eq!(totals.closed_in_all(), PEERS as u64);
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap()
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    field(&status, "VmRSS:").parse::<usize>().unwrap() * 1024
}

/// XAS-02. Only a floor that a slow machine passes too; how fast it is, the benchmarks tell.
#[test]
fn xas_02_a_thousand_lines_go_round_within_seconds() {
    with_pool(async |pool| {
        let server = echo_server(&pool).await;
        let address = server.local_addr();
        let took = peer(move || {
            let mut peer = dial(address);
            let since = Instant::now();
            for _ in 0..1_000 {
                let line = b"a line of thirty-two bytes, all\n";
                assert_eq!(exchange(&mut peer, line), line);
            }
            since.elapsed()
        })
        .await;
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}

/// XAS-04: the original takes a UDP port of the host for each pool, and the 31st finds none.
#[test]
fn xas_04_forty_pools_open_no_udp_port() {
    if !is_rerun() {
        let test = "scale::xas_04_forty_pools_open_no_udp_port";
        let mut child = Reaped(rerun(test, None).spawn().unwrap());
        assert!(child.wait().success());
        return;
    }
    System::new().block_on(async {
        let mut pools = Vec::new();
        for _ in 0..40 {
            let pool = Pool::builder().shards(1).start().unwrap();
            let server = echo_server(&pool).await;
            pools.push((pool, server));
        }
        let addresses: Vec<_> = pools
            .iter()
            .map(|(_, server)| server.local_addr())
            .collect();
        peer(move || {
            for address in addresses {
                assert_eq!(exchange(&mut dial(address), b"hello\n"), b"hello\n");
            }
        })
        .await;
        let mine: HashSet<String> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .filter_map(|target| {
                let target = target.to_string_lossy().into_owned();
                Some(
                    target
                        .strip_prefix("socket:[")?
                        .strip_suffix(']')?
                        .to_owned(),
                )
            })
            .collect();
        assert!(mine.len() >= 40, "the listeners themselves are found");
        for table in ["/proc/net/udp", "/proc/net/udp6"] {
            // A machine without IPv6 has no second table.
            let table = std::fs::read_to_string(table).unwrap_or_default();
            for row in table.lines().skip(1) {
                let inode = row.split_whitespace().nth(9).unwrap();
                assert!(!mine.contains(inode), "a UDP socket: {row}");
            }
        }
        for (pool, _) in pools {
            pool.stop().await;
        }
    });
}

/// XAS-18: the original's ids are descriptors, used again at once.
#[test]
fn xas_18_ten_thousand_connections_have_ten_thousand_ids() {
    const THREADS: usize = 4;
    const CYCLES: usize = 10_000;
    let ids = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&ids);
    let totals = with(Pool::builder().shards(2), async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY), move |client| {
                let fresh = seen.lock().unwrap().insert(client.id());
                assert!(fresh, "{} was used before", client.id());
                client.close();
                Echo { client }
            })
            .await
            .unwrap();
        let address = server.local_addr();
        let peers: Vec<_> = (0..THREADS)
            .map(|_| {
                peer(move || {
                    for _ in 0..CYCLES / THREADS {
                        let mut peer = dial(address);
                        assert_eq!(read_all(&mut peer), b"");
                        // Leaves no port in TIME_WAIT behind.
                        reset_on_close(&peer);
                    }
                })
            })
            .map(actix_rt::spawn)
            .collect();
        for peer in peers {
            peer.await.unwrap();
        }
        until(|| server.info().live == 0).await;
    });
    assert_eq!(ids.lock().unwrap().len(), CYCLES);
    assert_eq!(totals.accepted, CYCLES as u64);
}
