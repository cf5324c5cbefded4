//! Promises about bytes, wakers and back-pressure.

use std::io;
use std::pin::Pin;

use tokio::task::{LocalSet, spawn_blocking};
use tokio::time::sleep;

use super::wire::{
    QUIET, Task, duplex, flood, pattern, poll_read, read_count, read_until_written, same,
    write_all, write_chunks,
};
use super::{Bench, Judged, Outcome, ensure};

const MIB: usize = 1024 * 1024;

pub(super) async fn bytes_arrive_in_order_both_ways_at_once(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let bytes = pattern(MIB);
    let mirrored: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    let (at_near, at_far) = tokio::try_join!(
        duplex(pair.near.as_mut(), &bytes, mirrored.len()),
        duplex(pair.far.as_mut(), &mirrored, bytes.len()),
    )?;
    same(&at_far, &bytes)?;
    same(&at_near, &mirrored)
}

pub(super) async fn vectored_writes_keep_their_order(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let bytes = pattern(128 * 1024);
    let mut chunks = Vec::new();
    let mut left = bytes.as_slice();
    for size in (0..7)
        .cycle()
        .map(|turn| [1, 0, 3000, 17, 0, 255, 4096][turn])
    {
        let (chunk, rest) = left.split_at(left.len().min(size));
        chunks.push(chunk);
        left = rest;
        if left.is_empty() {
            break;
        }
    }
    let (_, got) = tokio::try_join!(
        write_chunks(pair.near.as_mut(), &chunks),
        read_count(pair.far.as_mut(), bytes.len()),
    )?;
    same(&got, &bytes)
}

pub(super) async fn a_read_without_data_wakes_the_last_waker(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let far = pair.far.as_mut();
    let mut buffer = [0; 16];
    let (first, last) = (Task::new(), Task::new());
    let early = first
        .run_until_quiet(|cx| poll_read(far, cx, &mut buffer))
        .await;
    ensure(early.is_none(), "a read was ready without data")?;
    ensure(
        last.poll(|cx| poll_read(far, cx, &mut buffer)).is_pending(),
        "a read was ready without data",
    )?;
    let (count, ()) = tokio::try_join!(
        async { last.resume(|cx| poll_read(far, cx, &mut buffer)).await },
        async {
            // Long enough for the reader to wait.
            sleep(QUIET / 4).await;
            write_all(pair.near.as_mut(), b"x").await
        }
    )?;
    same(&buffer[..count], b"x")
}

pub(super) async fn reads_and_writes_wake_their_own_tasks(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let (near, far) = (pair.near.as_mut(), pair.far.as_mut());
    let (reader, writer) = (Task::new(), Task::new());
    let mut byte = [0];
    let early = reader
        .run_until_quiet(|cx| poll_read(near, cx, &mut byte))
        .await;
    ensure(early.is_none(), "a read was ready without data")?;
    let bytes = vec![b'x'; 64 * 1024];
    let taken = flood(&writer, near, &bytes).await?;
    // The write that waits must not have taken the reader's place.
    let (count, ()) = tokio::try_join!(
        async { reader.resume(|cx| poll_read(near, cx, &mut byte)).await },
        write_all(far, b"y"),
    )?;
    same(&byte[..count], b"y")?;
    // Nor must a read that waits take the writer's.
    let blocked = writer.run_until_quiet(|cx| Pin::new(&mut *near).poll_write(cx, &bytes));
    let more = match blocked.await {
        Some(more) => more?,
        None => 0,
    };
    let taken = taken + more + flood(&writer, near, &bytes).await?;
    let early = reader
        .run_until_quiet(|cx| poll_read(near, cx, &mut byte))
        .await;
    ensure(early.is_none(), "a read was ready without data")?;
    let write = writer.resume(|cx| Pin::new(&mut *near).poll_write(cx, &bytes));
    let (written, got) = read_until_written(far, taken, write).await?;
    ensure(written > 0, "a write took nothing")?;
    same(&got, &vec![b'x'; got.len()])
}

pub(super) async fn a_peer_that_does_not_read_holds_writes_back(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let (near, far) = (pair.near.as_mut(), pair.far.as_mut());
    let writer = Task::new();
    // Each write begins where the last ended within the pattern.
    let block = pattern(251 * 512);
    let taken = flood(&writer, near, &block).await?;
    let rest = &block[taken % 251..];
    let write = writer.resume(|cx| Pin::new(&mut *near).poll_write(cx, rest));
    let (written, mut got) = read_until_written(far, taken, write).await?;
    let left = (taken + written).saturating_sub(got.len());
    got.extend_from_slice(&read_count(far, left).await?);
    same(&got, &pattern(taken + written))
}

pub(super) async fn a_connection_moves_to_another_thread_with_its_bytes(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let bytes = pattern(96 * 1024);
    // Some bytes have come and are not read when it moves.
    write_all(pair.near.as_mut(), &bytes[..1000]).await?;
    let begin = read_count(pair.far.as_mut(), 10).await?;
    let detached = match pair.far.detach() {
        Ok(detached) => detached,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            return Err(Outcome::NotOffered(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let left = bytes.len() - begin.len();
    let elsewhere = spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        LocalSet::new().block_on(&runtime, async move {
            let mut far = detached.attach()?;
            let got = read_count(far.as_mut(), left).await?;
            write_all(far.as_mut(), b"done").await?;
            io::Result::Ok(got)
        })
    });
    let moved = async {
        match elsewhere.await {
            Ok(result) => result,
            Err(_) => Err(io::Error::other("it panicked on the other thread")),
        }
    };
    let (rest, reply) = tokio::try_join!(moved, async {
        write_all(pair.near.as_mut(), &bytes[1000..]).await?;
        read_count(pair.near.as_mut(), 4).await
    })?;
    same(&[begin, rest].concat(), &bytes)?;
    same(&reply, b"done")
}
