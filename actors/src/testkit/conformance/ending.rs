//! Promises about how connections end.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::time::Duration;

use switchboard_core::TlsError;
use tokio::time::timeout;

use crate::transport::{Hangup, Transport};

use super::wire::{
    Task, flood, pattern, poll_read, read, read_all, read_count, same, shutdown, write, write_all,
};
use super::{Bench, Judged, Outcome, ensure};

pub(super) async fn a_shutdown_ends_one_direction_only(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let (near, far) = (pair.near.as_mut(), pair.far.as_mut());
    let bytes = pattern(100_000);
    let (_, got) = tokio::try_join!(
        async {
            write_all(near, b"last words").await?;
            shutdown(near).await
        },
        read_all(far),
    )?;
    same(&got, b"last words")?;
    let (_, answer) = tokio::try_join!(write_all(far, &bytes), read_count(near, bytes.len()))?;
    same(&answer, &bytes)?;
    shutdown(far).await?;
    same(&read_all(near).await?, b"")
}

pub(super) async fn the_end_is_read_again_and_again(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    shutdown(pair.near.as_mut()).await?;
    for _ in 0..3 {
        let count = read(pair.far.as_mut(), &mut [0; 16]).await?;
        ensure(count == 0, "bytes came after the end")?;
    }
    Ok(())
}

pub(super) async fn a_drop_ends_after_all_data(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let bytes = pattern(256 * 1024);
    let mut near = pair.near;
    let far = pair.far.as_mut();
    let (_, got) = tokio::try_join!(
        async {
            write_all(near.as_mut(), &bytes).await?;
            drop(near);
            Ok(())
        },
        read_count(far, bytes.len()),
    )?;
    same(&got, &bytes)?;
    match read(far, &mut [0; 16]).await {
        Err(error) if is_truncation(&error) => Err(Outcome::NotOffered(format!(
            "all data come, but only a shutdown is an end in order: {error}"
        ))),
        count => ensure(count? == 0, "bytes came that nobody wrote"),
    }
}

pub(super) async fn a_reset_reaches_the_peer(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    pair.near.set_reset();
    drop(pair.near);
    match read_all(pair.far.as_mut()).await {
        Err(error) => ensure(is_reset(&error), format!("the peer reads: {error}")),
        Ok(bytes) if bytes.is_empty() => Err(Outcome::NotOffered(
            "the peer reads an end instead of a reset".into(),
        )),
        Ok(_) => Err("the peer reads bytes that nobody wrote".into()),
    }
}

pub(super) async fn a_write_to_a_peer_that_reset_fails(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    pair.near.set_reset();
    drop(pair.near);
    let bytes = vec![0; 64 * 1024];
    loop {
        match write(pair.far.as_mut(), &bytes).await {
            Ok(0) => return Err("a write took nothing".into()),
            Ok(_) => {}
            Err(error) => return ensure(is_reset(&error), format!("the write says: {error}")),
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn an_end_wakes_a_read_that_waits(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let far = pair.far.as_mut();
    let (reader, mut byte) = (Task::new(), [0]);
    let read = reader.run_until_quiet(|cx| poll_read(far, cx, &mut byte));
    ensure(read.await.is_none(), "a read was ready without data")?;
    drop(pair.near);
    match reader.resume(|cx| poll_read(far, cx, &mut byte)).await {
        Err(error) if is_truncation(&error) => Ok(()),
        count => ensure(count? == 0, "bytes came that nobody wrote"),
    }
}

pub(super) async fn a_reset_wakes_both_directions(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let far = pair.far.as_mut();
    let (reader, mut byte) = (Task::new(), [0]);
    let (writer, bytes) = (Task::new(), pattern(64 * 1024));
    let read = reader.run_until_quiet(|cx| poll_read(far, cx, &mut byte));
    ensure(read.await.is_none(), "a read was ready without data")?;
    flood(&writer, far, &bytes).await?;
    pair.near.set_reset();
    drop(pair.near);
    // One of them may find only the end.
    match reader.resume(|cx| poll_read(far, cx, &mut byte)).await {
        Ok(count) => ensure(count == 0, "bytes came that nobody wrote")?,
        Err(error) => ensure(is_reset(&error), format!("the read says: {error}"))?,
    }
    let write = writer.resume(|cx| Pin::new(&mut *far).poll_write(cx, &bytes));
    match write.await {
        Ok(_) => Err("a write was taken after the reset".into()),
        Err(error) => ensure(is_reset(&error), format!("the write says: {error}")),
    }
}

/// How long a peer's end that nobody reads may stay unnoticed.
const NOTICE: Duration = Duration::from_millis(500);

async fn hangup(transport: &mut dyn Transport) -> Result<io::Result<Hangup>, Outcome> {
    let noticed = poll_fn(|cx| transport.poll_hangup(cx));
    timeout(NOTICE, noticed)
        .await
        .map_err(|_| Outcome::NotOffered("only a read notices that the peer has left".into()))
}

pub(super) async fn who_leaves_is_noticed_without_reading(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    shutdown(pair.near.as_mut()).await?;
    let far = pair.far.as_mut();
    let first = hangup(far).await?;
    let finished = matches!(first, Ok(Hangup::Finished));
    ensure(finished, format!("after the end: {first:?}"))?;
    drop(pair);

    let mut pair = bench.pair().await?;
    write_all(pair.near.as_mut(), b"last words").await?;
    shutdown(pair.near.as_mut()).await?;
    let far = pair.far.as_mut();
    let behind = hangup(far).await?;
    let unread = matches!(behind, Ok(Hangup::Behind));
    ensure(unread, format!("with bytes unread: {behind:?}"))?;
    same(&read_all(far).await?, b"last words")?;
    drop(pair);

    let mut pair = bench.pair().await?;
    write_all(pair.near.as_mut(), b"unread").await?;
    pair.near.set_reset();
    drop(pair.near);
    let told = hangup(pair.far.as_mut()).await?;
    drop((pair.far, pair.listener));
    match told {
        Err(error) => ensure(is_reset(&error), format!("the wait says: {error}")),
        Ok(_) if !bench.has_resets().await? => Err(Outcome::NotOffered(
            "who leaves is noticed, and there is no reset to be told apart".into(),
        )),
        Ok(end) => Err(format!("a reset is told as {end:?}").into()),
    }
}

/// Whether the end is told apart from one that the peer has said: with TLS a drop says nothing.
fn is_truncation(error: &io::Error) -> bool {
    TlsError::of(error) == Some(&TlsError::Truncated)
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}
