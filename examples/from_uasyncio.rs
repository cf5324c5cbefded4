//! What a program of uasyncio does with its scheduler, done here: one line for each of its items.
//!
//! Shows that the system of actix is the loop, and what tokio, tokio-util and futures-util have for the rest;
//! nothing of it is ours. The page "Coming from uasyncio" in the documentation has the whole table
//! (UA-01..11, 22, 23). The seed's blinking example runs at a tenth of its time.
//!
//! ```sh
//! cargo run --release --example from_uasyncio
//! ```

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use actix::prelude::System;
use futures_util::future::join_all;
use switchboard::prelude::*;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Outcome<()> {
    // run(main()): gives back the value.
    let lines = System::new().block_on(async {
        say("UA-01 blink", blink().await);
        say("UA-02 create_task", create_task().await?);
        say("UA-03 current_task", current_task().await?);
        say("UA-05 sleep", sleep_50_ms().await);
        say("UA-06 wait_for", wait_for().await?);
        say("UA-07 gather", gather().await);
        say("UA-08 cancel", cancel().await?);
        say("UA-09 event", event().await?);
        say("UA-10 flag", flag().await?);
        say("UA-11 lock", lock().await?);
        say("UA-23 call_later", call_later().await?);
        Ok::<_, Box<dyn Error>>(11)
    })?;
    say("UA-04 run", format_args!("the value is {lines}"));

    // run_forever(), and stop(), the second of which does nothing.
    let system = System::new();
    system.runtime().spawn(async {
        System::current().stop();
        System::current().stop();
    });
    system.run()?;
    say("UA-22 run_forever", "stopped by a task");
    Ok(())
}

fn say(item: &str, shown: impl Display) {
    println!("{item}: {shown}");
}

struct Blink {
    period: Duration,
    ticks: Rc<Cell<u32>>,
}

impl Actor for Blink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.period, |led, _| led.ticks.set(led.ticks.get() + 1));
    }
}

/// Two lights with periods of their own, for a second.
async fn blink() -> String {
    let since = Instant::now();
    let lights = [70, 40].map(|ms| {
        let ticks = Rc::new(Cell::new(0));
        let (period, counted) = (Duration::from_millis(ms), ticks.clone());
        Blink { period, ticks }.start();
        counted
    });
    sleep(Duration::from_secs(1)).await;
    let [slow, fast] = lights.map(|ticks| ticks.get());
    let took = since.elapsed().as_millis();
    format!("{slow} and {fast} ticks in {took} ms")
}

async fn create_task() -> Outcome<String> {
    let value = actix_rt::spawn(async { 42 }).await?;
    Ok(format!("the value is {value}"))
}

async fn current_task() -> Outcome<String> {
    let itself = || actix_rt::spawn(async { tokio::task::try_id() });
    let (one, other) = (itself(), itself());
    let (Some(one), Some(other)) = (one.await?, other.await?) else {
        return Err("a task has no id".into());
    };
    let relation = if one == other { "same" } else { "different" };
    Ok(format!("{one} and {other} are {relation}"))
}

async fn sleep_50_ms() -> String {
    let since = Instant::now();
    sleep(Duration::from_millis(50)).await;
    format!("50 ms took {} ms", since.elapsed().as_millis())
}

/// Says how its connect ended.
struct Witness(&'static str, mpsc::UnboundedSender<String>);

impl Actor for Witness {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for Witness {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        let _ = self.1.send(format!("{} Connected", self.0));
    }
}

impl Handler<ConnectFailed> for Witness {
    type Result = ();

    fn handle(&mut self, msg: ConnectFailed, _: &mut Self::Context) {
        let _ = self.1.send(format!("{} {}", self.0, msg.error.kind));
    }
}

session!(Witness);

/// A connect that takes too long. What is dropped at the timeout is only the wait for it: the connect itself
/// is given up by its client. Of two to the same silent peer one is, and one is not, and connects later.
async fn wait_for() -> Outcome<String> {
    let pool = Pool::builder().shards(0).start()?;
    let (address, listener, _filling) = silent_peer().await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let patience = Duration::from_millis(50);
    for name in ["aborted", "forgotten"] {
        let witness = Witness(name, tell.clone());
        let connecting = pool.connect(Connect::tcp(address), move |_| witness);
        let client = connecting.client().clone();
        let in_time = timeout(patience, connecting).await;
        if in_time.is_err() && name == "aborted" {
            client.abort();
        }
    }
    let first = told.recv().await.ok_or("nobody is told")?;
    // Now the peer answers whoever still asks: the system does, after a second.
    let accepting = actix_rt::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            drop(peer);
        }
    });
    let second = timeout(PATIENCE, told.recv()).await?;
    let second = second.ok_or("nobody is told")?;
    accepting.abort();
    pool.stop().await;
    // Whoever was told is gone, and so this is all that they said.
    drop(tell);
    let late = timeout(PATIENCE, told.recv()).await?;
    Ok(format!("{first}, {second}, then {late:?}"))
}

/// A listener that answers nobody any more, since its backlog is full, and what fills it.
async fn silent_peer() -> Outcome<(SocketAddr, TcpListener, Vec<TcpStream>)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut filling = Vec::new();
    while let Ok(answered) = timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        filling.push(answered?);
    }
    Ok((address, listener, filling))
}

/// The middle one fails; the others do what they do, and the results come in the order of the arguments.
async fn gather() -> String {
    let done = Rc::new(Cell::new(0));
    let work = |ms| {
        let done = done.clone();
        async move {
            sleep(Duration::from_millis(ms)).await;
            if ms == 20 {
                return Err("failed");
            }
            done.set(done.get() + 1);
            Ok(ms)
        }
    };
    let results = join_all([40, 20, 30].map(work)).await;
    format!("{results:?}, {} were done", done.get())
}

/// An abort cannot be ignored; a token can, or be answered with something last.
async fn cancel() -> Outcome<String> {
    let task = actix_rt::spawn(std::future::pending::<()>());
    task.abort();
    let aborted = task.await.is_err_and(|error| error.is_cancelled());

    let token = CancellationToken::new();
    let asked = token.clone();
    let polite = actix_rt::spawn(async move {
        asked.cancelled().await;
        "good bye"
    });
    token.cancel();
    let last_words = polite.await?;
    Ok(format!("aborted {aborted}, asked {last_words:?}"))
}

/// Data travels with the event to all that wait.
async fn event() -> Outcome<String> {
    let (event, _) = watch::channel(None::<u32>);
    let wait = || {
        let mut waiter = event.subscribe();
        actix_rt::spawn(async move {
            let data = waiter.wait_for(Option::is_some).await;
            data.ok().and_then(|data| *data)
        })
    };
    let waiting = [wait(), wait(), wait()];
    yield_now().await;
    event.send_replace(Some(7));
    let mut woken = Vec::new();
    for waiter in waiting {
        woken.push(waiter.await?.ok_or("the event is gone")?);
    }
    let again = wait().await?;
    event.send_replace(None);
    let cleared = timeout(Duration::from_millis(20), wait()).await.is_err();
    Ok(format!("{woken:?}, once more {again:?}, cleared {cleared}"))
}

/// Set twice by another thread before the wait, which is one permit; once behind it.
async fn flag() -> Outcome<String> {
    let flag = Arc::new(Notify::new());
    let set = flag.clone();
    let setting = thread::spawn(move || {
        set.notify_one();
        set.notify_one();
    });
    setting.join().map_err(|_| "the thread panicked")?;
    let before = timeout(PATIENCE, flag.notified()).await.is_ok();
    let twice = timeout(Duration::from_millis(20), flag.notified()).await;

    let waiter = flag.clone();
    let waiting = actix_rt::spawn(async move { timeout(PATIENCE, waiter.notified()).await });
    yield_now().await;
    let setting = thread::spawn(move || flag.notify_one());
    setting.join().map_err(|_| "the thread panicked")?;
    let after = waiting.await?.is_ok();
    Ok(format!(
        "set before {before}, twice {}, set after {after}",
        twice.is_ok()
    ))
}

/// Three wait for a lock and get it in the order in which they came.
async fn lock() -> Outcome<String> {
    let lock = Rc::new(Mutex::new(()));
    let order = Rc::new(RefCell::new(Vec::new()));
    let held = lock.lock().await;
    let mut waiting = Vec::new();
    for number in 1..=3 {
        let (lock, order) = (lock.clone(), order.clone());
        waiting.push(actix_rt::spawn(async move {
            let _held = lock.lock().await;
            order.borrow_mut().push(number);
        }));
        yield_now().await;
    }
    let locked = lock.try_lock().is_err();
    drop(held);
    for waiter in waiting {
        waiter.await?;
    }
    Ok(format!("locked {locked}, then {:?}", order.borrow()))
}

struct Later(mpsc::UnboundedSender<&'static str>);

impl Actor for Later {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let argument = "called";
        ctx.run_later(Duration::from_millis(30), move |later, ctx| {
            let _ = later.0.send(argument);
            ctx.stop();
        });
        let cancelled = ctx.run_later(Duration::from_millis(10), |later, _| {
            let _ = later.0.send("called though it was cancelled");
        });
        ctx.cancel_future(cancelled);
    }
}

async fn call_later() -> Outcome<String> {
    let (tell, mut told) = mpsc::unbounded_channel();
    Later(tell).start();
    let mut calls = Vec::new();
    while let Some(call) = timeout(PATIENCE, told.recv()).await? {
        calls.push(call);
    }
    Ok(format!("{calls:?}"))
}
