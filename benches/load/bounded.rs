//! Programs that must end: to ask for a version, to build a peer.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How often to look whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// Runs a program with no input, and gives what it printed; after `limit` it is killed, with its children.
///
/// It may print as much as a pipe holds, 64 KiB; with more it ends by the limit.
///
/// # Errors
/// Why there is no such output, in one line: not found, too slow, or the last line of its complaint.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let deadline = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("no {program} here"),
            _ => format!("{program}: {error}"),
        })?;
    let failed = |error: io::Error| format!("{program}: {error}");
    let in_time = loop {
        if child.try_wait().map_err(failed)?.is_some() {
            break true;
        }
        if Instant::now() >= deadline {
            break false;
        }
        thread::sleep(PAUSE);
    };
    if !in_time {
        // It fails only when they have just ended.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
        return Err(format!("{program} was not ready after {limit:?}"));
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().rfind(|line| !line.trim().is_empty());
        return Err(last.map_or_else(
            || format!("{program}: {}", output.status),
            |line| format!("{program}: {}", line.trim()),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<String, String> {
        output(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn the_output_of_a_program_comes_when_it_ends_well() {
        let limit = Duration::from_secs(20);
        assert_eq!(
            shell("echo one; echo two >&2", limit),
            Ok("one\n".to_owned())
        );
        assert_eq!(
            shell("echo first >&2; echo 'no such module' >&2; exit 3", limit),
            Err("sh: no such module".to_owned())
        );
        assert_eq!(shell("exit 3", limit), Err("sh: exit status: 3".to_owned()));
    }

    #[test]
    fn a_program_that_is_not_there_or_does_not_end_is_told() {
        let absent = output(&mut Command::new("no-such-program"), Duration::from_secs(1));
        assert_eq!(absent, Err("no no-such-program here".to_owned()));
        let begin = Instant::now();
        let slow = shell("sleep 60 & wait", Duration::from_millis(50));
        assert_eq!(slow, Err("sh was not ready after 50ms".to_owned()));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
