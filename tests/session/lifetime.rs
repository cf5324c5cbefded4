//! How sessions live and end.

use std::io::Write;
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{SHORT, local, rest};

/// Says good-bye and goes, without closing anything.
struct Leaves {
    client: Client,
    told: mpsc::UnboundedSender<&'static str>,
}

impl Actor for Leaves {
    type Context = SessionContext<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        let _ = self.told.send("stopped");
    }
}

impl Handler<LineReceived> for Leaves {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        if event.line.as_bytes() == b"leave" {
            self.client.send(vec![b'x'; 3_000_000]).unwrap();
            ctx.stop();
        } else {
            let _ = self.told.send("line");
        }
    }
}

impl Handler<Closed> for Leaves {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        let _ = self.told.send("closed");
    }
}

session!(Leaves);

/// A session that stops itself: what it has sent is sent, then the connection is closed by us. What
/// comes after that is told to nobody.
#[test]
fn a_session_that_stops_itself_closes_its_connection_after_flushing() {
    let (told, mut seen) = mpsc::unbounded_channel();
    let totals = with_pool(|pool| async move {
        let make = move |client| Leaves {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"leave\nunheard\nunheard\n").unwrap();
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got.len(), 3_000_000);
        until(|| server.info().closed == [0, 1, 0, 0]).await;
    });
    assert_eq!(totals.closed, [0, 1, 0, 0]);
    assert_eq!(seen.try_recv(), Ok("stopped"));
    assert!(seen.try_recv().is_err());
}

/// A session that lives for one connection ends after its `Closed`, and not before.
#[test]
fn a_session_ends_after_it_was_told_the_end() {
    let (told, mut seen) = mpsc::unbounded_channel();
    with_pool(|pool| async move {
        let make = move |client| Leaves {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        stream.write_all(b"hello\n").unwrap();
        drop(stream);
        until(|| server.info().closed[2] == 1).await;
    });
    let order: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
    assert_eq!(order, ["line", "closed", "stopped"]);
}

/// Takes its time over the end, and has a timer that would keep it alive for ever.
struct Lasts {
    told: mpsc::UnboundedSender<&'static str>,
}

impl Actor for Lasts {
    type Context = SessionContext<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Duration::from_secs(3600), |_, _| {});
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let _ = self.told.send("stopped");
    }
}

impl Handler<Closed> for Lasts {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Closed, _: &mut Self::Context) -> Self::Result {
        // The work that the end has to wait for.
        let work = tokio::time::sleep(Duration::from_millis(5)).into_actor(self);
        AtomicResponse::new(Box::pin(work.map(|(), session, _| {
            let _ = session.told.send("closed");
        })))
    }
}

session!(Lasts);

/// A session whose last handler awaits is let finish, and ends then.
#[test]
fn a_session_that_awaits_in_closed_ends_after_that() {
    with_pool(|pool| async move {
        let (told, mut seen) = mpsc::unbounded_channel();
        let make = move |_| Lasts { told: told.clone() };
        let stream = serve_with(&pool, local().idle_timeout(SHORT), make).await;
        assert_eq!(rest(&stream).await, b"");
        for expected in ["closed", "stopped"] {
            let next = tokio::time::timeout(PATIENCE, seen.recv()).await;
            assert_eq!(next.expect("the session stays"), Some(expected));
        }
    });
}

/// XAS-21: values of the user's own, kept with the connection.
#[derive(Debug, Clone, PartialEq)]
struct Visits(Vec<String>);

#[derive(Debug, Clone, PartialEq)]
struct Name(&'static str);

struct Keeps {
    client: Client,
    told: mpsc::UnboundedSender<(Visits, Name)>,
}

impl Actor for Keeps {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Keeps {
    type Result = ();

    fn handle(&mut self, event: Accepted, _: &mut Self::Context) {
        assert_eq!(event.handle.state::<Visits>(), None);
        assert_eq!(event.handle.set_state(Visits(Vec::new())), None);
        assert_eq!(event.handle.set_state(Name("first")), None);
        let earlier = event.handle.set_state(Name("second"));
        assert_eq!(earlier, Some(Name("first")), "one per type");
    }
}

impl Handler<LineReceived> for Keeps {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let count = self.client.with_state(|visits: &mut Visits| {
            visits.0.push(event.line.text().unwrap().into_owned());
            visits.0.len()
        });
        self.client.send(format!("{}\n", count.unwrap())).unwrap();
    }
}

impl Handler<Closed> for Keeps {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let visits = event.handle.take_state::<Visits>().unwrap();
        assert_eq!(event.handle.take_state::<Visits>(), None);
        let _ = self.told.send((visits, event.handle.state().unwrap()));
    }
}

session!(Keeps);

#[test]
fn xas_21_state_is_kept_from_accepted_to_closed() {
    with_pool(|pool| async move {
        let (told, mut seen) = mpsc::unbounded_channel();
        let make = move |client| Keeps {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut first = dial(server.local_addr());
        assert_eq!(exchange(&mut first, b"a\n"), b"1\n");
        assert_eq!(exchange(&mut first, b"b\n"), b"2\n");
        let mut second = dial(server.local_addr());
        assert_eq!(exchange(&mut second, b"c\n"), b"1\n", "each has its own");
        drop(first);
        let kept = tokio::time::timeout(PATIENCE, seen.recv()).await.unwrap();
        let visits = Visits(vec!["a".into(), "b".into()]);
        assert_eq!(kept, Some((visits, Name("second"))));
    });
}
