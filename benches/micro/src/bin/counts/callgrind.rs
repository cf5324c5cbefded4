//! Counting under valgrind.

use std::env;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use switchboard_micro::Body;

/// A loop takes a second or two; one that is stuck is killed after this.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the process finds as its `PATH`: no more of the caller's world comes in, since the place of the stack
/// depends on its length.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether there is a valgrind.
pub(crate) fn is_there() -> bool {
    let mut command = Command::new("valgrind");
    command.arg("--version").env_clear().env("PATH", PATH);
    command.output().is_ok_and(|output| output.status.success())
}

/// The instructions of one round, rounded.
pub(crate) fn count(body: &Body) -> io::Result<u64> {
    let few = body.rounds / 4;
    let few_rounds = start(body.name, few)?;
    let many_rounds = start(body.name, few + body.rounds)?;
    let few_rounds = collected(few_rounds)?;
    let taken = collected(many_rounds)?.saturating_sub(few_rounds);
    Ok((taken + body.rounds / 2) / body.rounds)
}

/// Begins a process of ourselves that does so many rounds.
fn start(name: &str, rounds: u64) -> io::Result<Child> {
    let own = env::current_exe()?;
    let no_file = || io::Error::other("this program is no file");
    let folder = own.parent().ok_or_else(no_file)?;
    let file = own.file_name().ok_or_else(no_file)?;
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        // Neither the folder's name nor the number's length moves the stack.
        .arg(format!("./{}", file.display()))
        .args(["run", name, &format!("{rounds:08}")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn()
}

/// Waits for a process, and reads how many instructions it took.
fn collected(mut child: Child) -> io::Result<u64> {
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if since.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a loop is stuck"));
        }
        // Asks again shortly whether the process has ended.
        sleep(Duration::from_millis(5));
    };
    let mut told = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut told)?;
    }
    let count = told.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected :")?;
        count.trim().parse().ok()
    });
    match count {
        Some(count) if status.success() => Ok(count),
        _ => Err(io::Error::other(format!("valgrind says\n{told}"))),
    }
}
