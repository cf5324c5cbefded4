//! A network whose listeners fail when they are told.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use switchboard::transport::{
    Connected, DetachedListener, Incoming, Listener, LocalFuture, Network,
};
use switchboard::{ConnectError, ConnectTarget, ListenError, ListenTarget};

/// Any network whose listeners fail as often as they are told, each time when the next peer is there,
/// before it is accepted.
#[derive(Clone)]
pub struct FailOnAccept<N> {
    inner: N,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
pub struct Faults {
    /// The accept panics.
    pub panics: AtomicUsize,
    /// The listening socket is dead.
    pub deaths: AtomicUsize,
}

impl<N> FailOnAccept<N> {
    pub fn over(inner: N) -> (Self, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        let net = Self {
            inner,
            faults: Arc::clone(&faults),
        };
        (net, faults)
    }
}

impl<N: fmt::Debug> fmt::Debug for FailOnAccept<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailOnAccept").field(&self.inner).finish()
    }
}

impl<N: Network> Network for FailOnAccept<N> {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let listening = self.inner.listen(target);
        let faults = Arc::clone(&self.faults);
        Box::pin(async move {
            let inner = listening.await?;
            Ok(Box::new(Failing { inner, faults }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        self.inner.connect(target)
    }
}

struct Failing {
    inner: Box<dyn Listener>,
    faults: Arc<Faults>,
}

/// Takes one of what is left.
fn one_of(left: &AtomicUsize) -> bool {
    left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

impl Listener for Failing {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        if one_of(&self.faults.panics) {
            // A panic of which the hook makes no noise.
            std::panic::resume_unwind(Box::new("panic on accept"));
        }
        if one_of(&self.faults.deaths) {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        self.inner.poll_accept(cx)
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        let inner = self.inner.duplicate()?;
        let faults = Arc::clone(&self.faults);
        Ok(Box::new(Kept { inner, faults }))
    }
}

struct Kept {
    inner: Box<dyn DetachedListener>,
    faults: Arc<Faults>,
}

impl DetachedListener for Kept {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(Failing {
            inner: self.inner.attach()?,
            faults: self.faults,
        }))
    }
}
