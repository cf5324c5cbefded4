//! What the integration tests share: a pool to test in, a probe beside it, peers of plain `std::net`.

pub mod certificates;
pub mod failing;
pub mod soak;
pub mod talking;

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
pub use switchboard::testkit::{Probe, Recorder};
use switchboard::{Client, IntoSession, Listen, Pool, PoolBuilder, SessionContext, Totals};
use tokio::sync::mpsc;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test inside an actix system with a pool of one shard, then stops the pool and checks that
/// nothing is left and that the counters add up.
pub fn with_pool<F, T>(test: F) -> Totals
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    with(Pool::builder().shards(1), test)
}

/// The same, for a pool with settings of its own.
pub fn with<F, T>(builder: PoolBuilder, test: F) -> Totals
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    System::new().block_on(async move {
        let pool = builder.start().unwrap();
        tokio::time::timeout(PATIENCE * 2, test(pool.clone()))
            .await
            .expect("the test takes too long");
        let totals = tokio::time::timeout(PATIENCE, pool.stop())
            .await
            .expect("the pool does not stop");
        assert_eq!(totals.live, 0, "connections are left over: {totals}");
        assert_eq!(
            totals.accepted + totals.connected + totals.opened,
            totals.live + totals.closed_in_all(),
            "the counters do not add up: {totals}"
        );
        totals
    })
}

/// Runs blocking peer code beside the system.
pub async fn peer<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Where blocking threads wait until so many of them are there: a barrier that gives up after [`PATIENCE`], so that
/// a thread that fails before it comes is a failed test instead of one that never ends.
#[derive(Debug)]
pub struct Gathering {
    missing: Mutex<usize>,
    complete: Condvar,
}

impl Gathering {
    /// For so many threads.
    #[must_use]
    pub fn of(threads: usize) -> Self {
        Self {
            missing: Mutex::new(threads),
            complete: Condvar::new(),
        }
    }

    /// Waits for the others.
    ///
    /// # Panics
    /// When they do not come.
    pub fn wait(&self) {
        let mut missing = self.missing.lock().unwrap();
        *missing -= 1;
        self.complete.notify_all();
        let waiting = self
            .complete
            .wait_timeout_while(missing, PATIENCE, |missing| *missing > 0);
        let late = waiting.unwrap_or_else(PoisonError::into_inner).1;
        assert!(!late.timed_out(), "not all of the threads came");
    }
}

/// A plain blocking connection to `address` whose operations give up after [`PATIENCE`].
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A plain blocking listener on a free port of the loopback interface; it gives up after
/// [`PATIENCE`].
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Bounds its `accept` too, and what it accepts inherits it.
    let socket = socket2::SockRef::from(&listener);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A listener whose backlog is full, so that it answers nobody until it accepts, and what fills it.
pub struct Stalled {
    pub address: SocketAddr,
    pub listener: TcpListener,
    pub filling: Vec<TcpStream>,
}

/// A listener on the loopback interface that answers nobody any more.
pub fn stalled() -> Stalled {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    // Full is the first one that is not answered, and it is answered at once before.
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        filling.push(stream);
        assert!(filling.len() < 100, "the backlog does not fill");
    }
    Stalled {
        address,
        listener,
        filling,
    }
}

/// Everything until the peer finishes.
pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Exactly so many bytes.
pub fn read_exact(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Writes and reads back the same number of bytes.
pub fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    read_exact(stream, bytes.len())
}

/// Makes closing the stream a reset.
pub fn reset_on_close(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Takes the next event, which must be of this kind.
#[macro_export]
macro_rules! expect {
    ($probe:expr, $event:ident) => {
        $probe.expect::<switchboard::message::$event>().await
    };
}

/// A session that sends every line back.
pub struct Echo {
    pub client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        // A peer that is gone needs no answer.
        let _ = self.client.send_line(&msg.line);
    }
}

switchboard::session!(Echo);

/// A session that sends every byte back and looks after nothing: whatever cannot be sent is a panic.
pub struct NaiveEcho {
    pub client: Client,
}

impl Actor for NaiveEcho {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for NaiveEcho {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        self.client.send(msg.data).expect("it was overrun");
    }
}

switchboard::session!(NaiveEcho);

/// Passes on what a pool tells its subscribers.
pub struct Watcher {
    events: mpsc::UnboundedSender<PoolEvent>,
}

impl Actor for Watcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // Room for all that a test may cause at once: none may be missed.
        ctx.set_mailbox_capacity(4096);
    }
}

impl Handler<PoolEvent> for Watcher {
    type Result = ();

    fn handle(&mut self, event: PoolEvent, _: &mut Self::Context) {
        // A test that has seen enough no longer looks.
        let _ = self.events.send(event);
    }
}

/// Everything that this pool tells from now on.
pub fn watch(pool: &Pool) -> mpsc::UnboundedReceiver<PoolEvent> {
    let (events, seen) = mpsc::unbounded_channel();
    pool.subscribe(Watcher { events }.start().recipient());
    seen
}

/// The next event of a pool that `pick` takes.
pub async fn next_pool_event<T>(
    events: &mut mpsc::UnboundedReceiver<PoolEvent>,
    mut pick: impl FnMut(&PoolEvent) -> Option<T>,
) -> T {
    let picked = async {
        loop {
            let event = events.recv().await.expect("the watcher is gone");
            if let Some(picked) = pick(&event) {
                return picked;
            }
        }
    };
    tokio::time::timeout(PATIENCE, picked)
        .await
        .expect("no such event of the pool in time")
}

/// Waits until `is_so`, which no event tells.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let asking = async {
        while !is_so() {
            // Asks again shortly; the timeout around it is what bounds the wait.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it never became so");
}

/// Set in a process that [`rerun`] made.
pub const RERUN: &str = "SWITCHBOARD_TEST_RERUN";

/// Whether this is a process that [`rerun`] made.
pub fn is_rerun() -> bool {
    std::env::var_os(RERUN).is_some()
}

/// Runs one test of the calling executable again, in a process of its own that can be measured or
/// signalled; there [`is_rerun`] is true. `open_files` becomes its limit of open files.
pub fn rerun(test: &str, open_files: Option<u64>) -> std::process::Command {
    let executable = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("sh");
    let script = open_files.map_or_else(
        || "exec \"$@\"".to_owned(),
        |most| format!("ulimit -n {most} && exec \"$@\""),
    );
    command
        .args(["-c", &script, "sh"])
        .arg(executable)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(RERUN, "1")
        .stdin(std::process::Stdio::null());
    command
}

/// A child process that is killed when a test gives up on it.
pub struct Reaped(pub std::process::Child);

impl Reaped {
    /// How it ended, which must be in time.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let since = std::time::Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < PATIENCE * 2, "the child does not end");
            // Asks again shortly whether the process has ended.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        // Ended already, as it should be, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A listener of these options and a peer that it accepted: the peer's end, our handle, and the probe
/// that sees what comes from then on.
pub async fn serve(pool: &Pool, listen: Listen) -> (TcpStream, Client, Probe) {
    let probe = Probe::new();
    let session = probe.session();
    accepted(probe, serve_with(pool, listen, session).await).await
}

/// The same with sessions that handle every event.
pub async fn serve_full(pool: &Pool, listen: Listen) -> (TcpStream, Client, Probe) {
    let probe = Probe::new();
    let session = probe.full_session();
    accepted(probe, serve_with(pool, listen, session).await).await
}

async fn accepted(mut probe: Probe, peer: TcpStream) -> (TcpStream, Client, Probe) {
    let handle = expect!(probe, Accepted).handle;
    (peer, handle, probe)
}

/// A listener of these options with sessions of this kind, and a peer that has connected to it.
pub async fn serve_with<F, S>(pool: &Pool, listen: Listen, session: F) -> TcpStream
where
    F: Fn(Client) -> S + Send + Sync + 'static,
    S: IntoSession,
{
    let server = pool.listen(listen, session).await.unwrap();
    dial(server.local_addr())
}

/// So many bytes in which a byte that is missing, doubled or out of place shows.
pub fn pattern(count: usize) -> Vec<u8> {
    let mut bytes = (0..=250).collect::<Vec<u8>>().repeat(count / 251 + 1);
    bytes.truncate(count);
    bytes
}

/// Writes from `bytes` until the system has taken nothing for 150 ms, which is the time that it may
/// need to move bytes on between its own buffers; says how much it took.
pub fn stuff(stream: &TcpStream, bytes: &[u8]) -> usize {
    const QUIET: Duration = Duration::from_millis(150);
    stream.set_nonblocking(true).unwrap();
    let (mut taken, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET && taken < bytes.len() {
        match (&mut &*stream).write(&bytes[taken..]) {
            Ok(count) => {
                taken += count;
                since = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // Asks again shortly whether the system takes more.
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("the peer cannot write: {error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    taken
}

/// Whether this test has a process of its own, so that its memory and its processor time are its own.
/// If not, runs it in one and says `false`: nothing is left to do.
pub fn alone(test: &str) -> bool {
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    if is_rerun() {
        return true;
    }
    let _turn = ONE_BY_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = rerun(test, None).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// Resident memory of this process in bytes.
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The processor time that the living threads of this process have used.
pub fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let spent = tasks.filter_map(|task| {
        // A thread may end while we look.
        let stat = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Hundredths of a second that a process has used.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || fields.next().unwrap().parse::<u64>().unwrap();
    next() + next()
}
