//! What is promised not to allocate, counted at the allocator.

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard::stream::{self, Reader, Writer};
use switchboard::{BufferSlots, Client, ConnectionOptions, Listen, SendSlot, SlotError};
use switchboard_tests::*;

/// Counts what the whole process allocates, on every thread.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static ALLOCATED_BYTES: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What is sent: 64 bytes.
const LINE: [u8; 64] = {
    let mut line = [b'x'; 64];
    line[63] = b'\n';
    line
};
/// For one connection of one line, both of its actors and what the runtime has for them included.
const MOST_PER_CONNECTION: usize = 11;
/// What the same connection holds while it is idle, in bytes asked of the allocator.
const MOST_BYTES_WHEN_IDLE: usize = 1_450;
/// For 64 lines that come together.
const MOST_PER_BURST: usize = 6;

/// One test at a time: they all count the same.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// The send slot, as soon as it is free. Waiting allocates nothing, which a timer might.
fn free_slot(client: &Client) -> SendSlot {
    loop {
        match client.take_send_slot() {
            Ok(slot) => return slot,
            Err(SlotError::Busy) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// XAS-53: a slot that is filled in place and sent costs no allocation anywhere on its way.
#[test]
fn xas_53_sending_the_slot_allocates_nothing() {
    const SENDS: usize = 1_000;
    const SIZE: usize = 4096;
    let _turn = turn();
    with_pool(|pool| async move {
        let (mut stream, client, _trace) = serve(&pool, Listen::tcp("127.0.0.1:0")).await;
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; SIZE];
            for n in 0..2 * SENDS {
                stream.read_exact(&mut buffer).unwrap();
                assert!(
                    buffer
                        .iter()
                        .all(|byte| usize::from(*byte) == n % SENDS % 251)
                );
            }
            stream
        });
        let send = move || {
            for n in 0..SENDS {
                let mut slot = free_slot(&client);
                slot.fill(u8::try_from(n % 251).unwrap());
                slot.send(None, None).unwrap();
            }
            drop(free_slot(&client));
        };
        let counted = peer(move || {
            // The first round makes the slot and whatever else stays.
            send();
            let before = allocations();
            send();
            allocations() - before
        })
        .await;
        // The harness may allocate a little meanwhile.
        assert!(counted < 10, "{counted} allocations in {SENDS} sends");
        drop(reader.join().unwrap());
    });
}

/// XAS-65.
#[test]
fn xas_65_slots_that_keep_their_memory_allocate_it_once() {
    const SIZE: usize = 1 << 20;
    let _turn = turn();
    let slots = BufferSlots::new(4, SIZE, true).unwrap();
    let take_all = || {
        let mut taken = [(); 4].map(|()| slots.try_take().unwrap());
        for slot in &mut taken {
            slot.buffer().extend_from_slice(b"used");
        }
    };
    let live = LIVE_BYTES.load(Ordering::Relaxed);
    take_all();
    let kept = LIVE_BYTES.load(Ordering::Relaxed) - live;
    // The harness may have freed a little meanwhile.
    assert!(
        (4 * SIZE - 4096..5 * SIZE).contains(&kept),
        "{kept} bytes are kept"
    );
    let before = ALLOCATED_BYTES.load(Ordering::Relaxed);
    for _ in 0..100 {
        take_all();
    }
    let allocated = ALLOCATED_BYTES.load(Ordering::Relaxed) - before;
    // The harness may have allocated a little meanwhile.
    assert!(allocated < SIZE, "{allocated} bytes were allocated anew");
}

/// XAS-65.
#[test]
fn xas_65_slots_that_do_not_keep_their_memory_free_it() {
    const SIZE: usize = 1 << 20;
    let _turn = turn();
    let slots = BufferSlots::new(4, SIZE, false).unwrap();
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    for _ in 0..10 {
        let taken = [(); 4].map(|()| slots.try_take().unwrap());
        let live = LIVE_BYTES.load(Ordering::Relaxed).saturating_sub(before);
        // The harness may have freed a little meanwhile.
        assert!(live > 3 * SIZE, "only {live} bytes for four slots");
        drop(taken);
        let live = LIVE_BYTES.load(Ordering::Relaxed).saturating_sub(before);
        assert!(live < SIZE, "{live} bytes stay");
    }
}

/// Sends so many lines at once and waits for all of them, so many times; what that allocates, when
/// everything is there that stays.
async fn exchanges(mut stream: TcpStream, together: usize, count: usize) -> usize {
    peer(move || {
        let burst = LINE.repeat(together);
        let mut answer = vec![0; burst.len()];
        let mut exchange = |count| {
            for _ in 0..count {
                stream.write_all(&burst).unwrap();
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, burst);
            }
        };
        exchange(100);
        let before = allocations();
        exchange(count);
        allocations() - before
    })
    .await
}

/// Checks that a line there and back allocates once: the block that it came in.
async fn expect_one_per_line(stream: TcpStream) {
    const LINES: usize = 2_000;
    let counted = exchanges(stream, 1, LINES).await;
    assert!(
        counted <= LINES + 20,
        "{counted} allocations for {LINES} lines"
    );
}

/// Checks that lines that come together share what one read needs.
async fn expect_few_per_burst(stream: TcpStream) {
    const BURSTS: usize = 200;
    let counted = exchanges(stream, 64, BURSTS).await;
    // A burst may come in several reads.
    assert!(
        counted < BURSTS * MOST_PER_BURST,
        "{counted} allocations for {BURSTS} bursts"
    );
}

/// What a line of a ping-pong costs: the block that it came in. More would be a regression.
#[test]
fn a_line_there_and_back_costs_few_allocations() {
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0").lines();
        expect_one_per_line(serve_with(&pool, listen, |client| Echo { client }).await).await;
    });
}

/// What lines cost that come together: they share what one read needs.
#[test]
fn lines_that_come_together_cost_hardly_any_allocation() {
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0").lines();
        expect_few_per_burst(serve_with(&pool, listen, |client| Echo { client }).await).await;
    });
}

/// What a request costs: no more than the line that it brings, so nobody pays for asking.
#[test]
fn a_line_that_is_asked_for_costs_as_many_as_one_that_is_told() {
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0");
        let serve = async |client: Client| {
            while let Ok(line) = client.recv_line().await {
                client.send_line(&line).unwrap();
            }
        };
        let server = pool.serve(listen, serve).await.unwrap();
        expect_one_per_line(dial(server.local_addr())).await;
    });
}

async fn echo_lines(mut reader: Reader, mut writer: Writer) {
    while let Ok(line) = reader.read_line().await
        && !line.is_empty()
    {
        writer.write(line).unwrap();
        writer.drain().await.unwrap();
    }
}

/// What a read of a stream costs: the block that its bytes came in, however many reads share it.
#[test]
fn a_read_of_a_stream_costs_no_allocation_but_the_block_that_came() {
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0");
        let server = stream::start_server(&pool, listen, echo_lines).await;
        let address = server.unwrap().local_addr();
        expect_one_per_line(dial(address)).await;
        expect_few_per_burst(dial(address)).await;
    });
}

/// The same for reads that are not of lines.
#[test]
fn an_exact_read_of_a_stream_costs_no_allocation_but_the_block_that_came() {
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0");
        let serve = async |mut reader: Reader, mut writer: Writer| {
            while let Ok(bytes) = reader.read_exact(LINE.len()).await {
                writer.write(bytes).unwrap();
            }
        };
        let server = stream::start_server(&pool, listen, serve).await;
        expect_one_per_line(dial(server.unwrap().local_addr())).await;
    });
}

/// What a connection costs from accept to close, its two actors included.
#[test]
fn a_connection_costs_a_known_number_of_allocations() {
    const CONNECTIONS: usize = 300;
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let server = pool.listen(listen, |client| Echo { client }).await;
        let address = server.unwrap().local_addr();
        let counted = peer(move || {
            let connect = |count| {
                for _ in 0..count {
                    let mut stream = dial(address);
                    let mut answer = [0; 64];
                    stream.write_all(&LINE).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut answer).unwrap(), 0);
                }
            };
            connect(50);
            let before = allocations();
            connect(CONNECTIONS);
            allocations() - before
        })
        .await;
        let each = counted / CONNECTIONS;
        assert!(
            each <= MOST_PER_CONNECTION,
            "{each} allocations for each connection"
        );
    });
}

/// What it holds while nothing happens, after a line each way.
#[test]
fn an_idle_connection_holds_a_known_number_of_bytes() {
    const CONNECTIONS: usize = 448;
    let _turn = turn();
    with_pool(|pool| async move {
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let server = pool.listen(listen, |client| Echo { client }).await;
        let address = server.unwrap().local_addr();
        let held = peer(move || {
            let mut streams = Vec::with_capacity(2 * CONNECTIONS);
            let mut connect = || {
                for _ in 0..CONNECTIONS {
                    let mut stream = dial(address);
                    let mut answer = [0; 64];
                    stream.write_all(&LINE).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    streams.push(stream);
                }
            };
            // The tables of a shard double: after this they have room for half of the rest.
            connect();
            let before = LIVE_BYTES.load(Ordering::Relaxed);
            connect();
            LIVE_BYTES.load(Ordering::Relaxed) - before
        })
        .await;
        let each = held / CONNECTIONS;
        assert!(
            each <= MOST_BYTES_WHEN_IDLE,
            "{each} bytes for each idle connection"
        );
    });
}
