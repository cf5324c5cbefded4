//! What the operating system knows about a process: CPU time and resident memory, from `proc(5)`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Sub;
use std::time::Duration;

/// CPU time that a process has used, with all its present threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    /// User and system time: the scheduler's own account, in nanoseconds.
    pub(crate) total: Duration,
    /// The user part: sampled by the tick, so it wants many seconds to be true.
    pub(crate) user: Duration,
    /// Time that threads were ready to run while their core ran something else.
    pub(crate) waited: Duration,
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user: self.user.saturating_sub(earlier.user),
            waited: self.waited.saturating_sub(earlier.waited),
        }
    }
}

/// The CPU time of process `pid` until now.
///
/// # Errors
/// There is no such process, or its files are not what `proc(5)` says.
pub(crate) fn cpu_time(pid: u32) -> io::Result<CpuTime> {
    let (mut run, mut waited) = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading; its time is lost, as the listing's
        // is.
        if let Ok(schedstat) = fs::read_to_string(task?.path().join("schedstat")) {
            run += field(&schedstat, 0)?;
            waited += field(&schedstat, 1)?;
        }
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets, which may hold anything; `utime` is the
    // 14th field.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = field(after_name, 11)?;
    Ok(CpuTime {
        total: Duration::from_nanos(run),
        waited: Duration::from_nanos(waited),
        user: Duration::from_nanos(
            ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()),
        ),
    })
}

/// The CPU time of each present thread of process `pid`, by its number.
///
/// # Errors
/// As [`cpu_time`].
pub(crate) fn thread_times(pid: u32) -> io::Result<BTreeMap<u32, Duration>> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let number = task.file_name().to_string_lossy().parse();
        let number = number.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Ok(schedstat) = fs::read_to_string(task.path().join("schedstat")) {
            times.insert(number, Duration::from_nanos(field(&schedstat, 0)?));
        }
    }
    Ok(times)
}

/// The resident memory of process `pid` in KiB.
///
/// # Errors
/// There is no such process, or its file is not what `proc(5)` says.
pub(crate) fn resident_kib(pid: u32) -> io::Result<u64> {
    // `smaps_rollup` counts pages; `statm` may lag by what each core has not yet added up.
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    field(line.unwrap_or(""), 0)
}

fn field(text: &str, index: usize) -> io::Result<u64> {
    text.split_ascii_whitespace()
        .nth(index)
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no number {index} in {text:?}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let block = std::hint::black_box(vec![1_u8; 1 << 20]);
        while (cpu_time(pid).unwrap() - before).total < Duration::from_millis(5) {}
        assert!(resident_kib(pid).unwrap() > 1024);
        drop(block);
    }
}
