//! The traps that connection runtimes before this one fell into, each with the tests that show that this
//! one does not. Tests that need what another suite has stand there; the last test of this file compares
//! the table with the sources.
//!
//! | trap | what befell others | test |
//! |---|---|---|
//! | 1 | no descriptors: accepting spins, floods the log, or kills the tree | `trap_01_exhaustion_neither_spins_nor_kills` |
//! | 2 | one connection kills its listener | `trap_02_one_connection_cannot_kill_the_listener` |
//! | 3 | descriptors are lost between the accept and the owner | `trap_03_no_descriptor_is_lost_between_accept_and_adoption` |
//! | 4 | a stalled TLS handshake blocks accepting, or a shutdown | `trap_04_stalled_handshakes_block_neither_accepting_nor_shutdown` |
//! | 5 | a graceful close never ends when the peer does not read | `trap_05_a_close_ends_in_time_whatever_the_peer_does` |
//! | 5 | | `trap_05_a_close_to_a_peer_that_never_reads_ends_at_its_deadline` |
//! | 6 | a graceful close loses data | `trap_06_a_close_with_unread_input_delivers_every_last_byte` |
//! | 6 | | `trap_06_a_peer_that_sends_on_after_our_close_still_gets_our_last_bytes` |
//! | 7 | an idle timeout kills a transfer that moves, or does not see that nothing does | `trap_07_a_transfer_that_moves_is_not_idle_however_long_it_takes` |
//! | 7 | | `trap_07_commands_do_not_keep_an_idle_connection_open` |
//! | 8 | back-pressure is advice, and memory runs out | `trap_08_who_ignores_back_pressure_is_refused_and_costs_no_more_than_the_queue` |
//! | 8 | | `trap_08_a_flood_from_a_peer_that_never_reads_is_held_back` |
//! | 9 | STARTTLS: plaintext is injected, or the handshake's first bytes are lost | `trap_09_commands_that_were_injected_before_the_handshake_are_never_handled` |
//! | 9 | | `trap_09_a_hello_that_comes_with_the_command_is_not_lost` |
//! | 11 | places of a limit leak, or the limit is about right | `trap_11_limit_slots_never_leak` |
//! | 12 | a write that races the peer's close vanishes | `trap_12_a_write_that_races_the_peers_close_is_sent_or_counted` |
//! | 13 | a drain hangs, stampedes, or is itself the outage | `trap_13_a_drain_neither_hangs_nor_stampedes_nor_is_an_outage_itself` |
//! | 14 | a connection is deaf, or another one's, after a command in a callback | `trap_14_no_command_in_a_callback_leaves_anyone_deaf` |
//! | 14 | | `trap_14_a_connection_opened_while_another_ends_is_only_itself` |
//! | 15 | restarts come as a hot loop | `trap_15_a_restart_storm_is_bounded_by_intensity` |
//!
//! Trap 10 is about UDP, of which there is none yet.

mod callbacks;
mod closing;
mod idle;
mod pressure;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use switchboard::prelude::*;

const ANY: &str = "127.0.0.1:0";
const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn local() -> Listen {
    Listen::tcp(ANY)
}

/// The tests below this folder that are named after a trap.
fn named_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_below(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let source = fs::read_to_string(path).unwrap();
            let functions = source.lines().filter_map(|line| line.strip_prefix("fn "));
            let names = functions.filter_map(|rest| rest.split('(').next());
            found.extend(
                names
                    .filter(|name| name.starts_with("trap_"))
                    .map(Into::into),
            );
        }
    }
}

#[test]
fn the_table_names_every_trap_and_every_test_of_one() {
    let mut found = BTreeSet::new();
    named_below(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
    let rows = include_str!("main.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "));
    let listed: BTreeSet<String> = rows
        .filter_map(|row| row.split('`').nth(1).map(Into::into))
        .collect();
    assert_eq!(listed, found);
    let numbers: BTreeSet<u32> = found
        .iter()
        .map(|name| name[5..7].parse().unwrap())
        .collect();
    let owed: BTreeSet<u32> = (1..=15).filter(|trap| *trap != 10).collect();
    assert_eq!(numbers, owed);
}
