//! Promises about listening and connecting.

use std::io::ErrorKind;
use std::rc::Rc;
use std::task::{Context, Waker};

use switchboard_core::Address;
use tokio::task::JoinSet;

use crate::transport::{Listener, Network, Transport};
use crate::{Connect, Listen};

use super::wire::{accept, duplex, own_address, read_all, read_count, same, shutdown, write_all};
use super::{Bench, Judged, Outcome, ensure};

/// How many connect at once.
const MANY: usize = 100;

pub(super) async fn addresses_agree_at_both_ends(bench: Bench) -> Judged {
    let pair = bench.pair().await?;
    let listening = Some(pair.listener.address());
    agree(
        "where the peer is accepted from",
        pair.far_peer,
        own_address(pair.near.as_ref()),
    )?;
    agree(
        "where it was connected to",
        pair.near_peer.clone(),
        listening,
    )?;
    agree(
        "the accepted end's own address",
        pair.far_local,
        pair.near_peer.clone(),
    )?;
    agree(
        "the accepted transport's own",
        own_address(pair.far.as_ref()),
        pair.near_peer,
    )
}

/// Addresses that are there must be the same.
fn agree(what: &str, one: Option<Address>, other: Option<Address>) -> Judged {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            Err(format!("{what} is {one} here and {other} there").into())
        }
        _ => Ok(()),
    }
}

pub(super) async fn port_0_becomes_a_real_one(bench: Bench) -> Judged {
    let listener = bench.listen().await?;
    let Some(address) = listener.address().inet() else {
        return Err(Outcome::NotOffered("there are no ports".into()));
    };
    ensure(address.port() != 0, format!("the listener is at {address}"))?;
    if !bench.place.to_string().ends_with(":0") {
        return Err(Outcome::NotOffered(
            "the address has a port of its own".into(),
        ));
    }
    let second = bench.listen().await?.local_addr();
    ensure(second != address, format!("two listeners are at {address}"))
}

pub(super) async fn a_busy_address_is_refused(bench: Bench) -> Judged {
    let listener = bench.listen().await?;
    let place = listener.address();
    let address = place.to_string();
    match bench.network.listen(Listen::at(place).target).await {
        Ok(_) => Err(format!("two listeners are at {address}").into()),
        Err(error) => ensure(
            error.target == address,
            format!("the error names {} instead of {address}", error.target),
        ),
    }
}

pub(super) async fn a_connect_to_nobody_is_refused(bench: Bench) -> Judged {
    // It was free a moment ago.
    let address = bench.listen().await?.address();
    refused(&*bench.network, address).await
}

async fn refused(network: &dyn Network, place: Address) -> Judged {
    let address = place.to_string();
    // The file of a Unix socket goes with its listener.
    let is_gone = |kind| kind == ErrorKind::NotFound && place.path().is_some();
    let Err(error) = network.connect(Connect::to(place.clone()).target).await else {
        return Err(format!("somebody answers at {address}").into());
    };
    ensure(
        (error.kind == ErrorKind::ConnectionRefused || is_gone(error.kind))
            && error.target == address,
        format!("the error is {:?}: {error}", error.kind),
    )
}

pub(super) async fn a_connect_given_up_leaves_nothing(bench: Bench) -> Judged {
    let mut listener = bench.listen().await?;
    let address = listener.address();
    let mut attempt = bench.network.connect(Connect::to(address.clone()).target);
    let _ = attempt
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    drop(attempt);
    let connecting = async {
        let mut near = bench.connect(address).await?.transport;
        write_all(near.as_mut(), b"real").await?;
        shutdown(near.as_mut()).await?;
        Ok(near)
    };
    let accepting = async {
        loop {
            let mut far = accept(listener.as_mut()).await?.transport;
            // One that was given up has ended, with or without an error.
            match read_all(far.as_mut()).await {
                Ok(bytes) if bytes == b"real" => return Ok(far),
                Ok(bytes) => ensure(bytes.is_empty(), "nobody's bytes came")?,
                Err(_) => {}
            }
        }
    };
    let both: Result<_, Outcome> = tokio::try_join!(connecting, accepting);
    both.map(drop)
}

pub(super) async fn many_connect_at_once(bench: Bench) -> Judged {
    let listener = bench.listen().await?;
    let address = listener.address();
    let mut tasks: JoinSet<Judged> = JoinSet::new();
    tasks.spawn_local(echo_many(listener));
    let bench = Rc::new(bench);
    for number in 0..MANY {
        let (bench, address) = (Rc::clone(&bench), address.clone());
        tasks.spawn_local(async move {
            let mut near = bench.connect(address).await?.transport;
            let word = format!("{number:08}");
            let answer = duplex(near.as_mut(), word.as_bytes(), word.len()).await?;
            same(&answer, word.as_bytes())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|_| Outcome::Broken("it panicked".into()))??;
    }
    Ok(())
}

/// Accepts all of them before it answers any.
async fn echo_many(mut listener: Box<dyn Listener>) -> Judged {
    let mut accepted: Vec<Box<dyn Transport>> = Vec::new();
    while accepted.len() < MANY {
        accepted.push(accept(listener.as_mut()).await?.transport);
    }
    for far in &mut accepted {
        let word = read_count(far.as_mut(), 8).await?;
        write_all(far.as_mut(), &word).await?;
    }
    Ok(())
}

pub(super) async fn a_closed_listener_refuses_and_spares_the_living(bench: Bench) -> Judged {
    let mut pair = bench.pair().await?;
    let address = pair.listener.address();
    drop(pair.listener);
    refused(&*bench.network, address).await?;
    let (at_near, at_far) = tokio::try_join!(
        duplex(pair.near.as_mut(), b"still", 4),
        duplex(pair.far.as_mut(), b"here", 5),
    )?;
    same(&at_far, b"still")?;
    same(&at_near, b"here")
}
