//! What a reader of the results must know of the machine and of the day.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine, the day, and what was built with what.
#[derive(Debug)]
pub(crate) struct Facts {
    /// When the run began, in UTC.
    pub(crate) date: String,
    /// Name and value, in the order of the table.
    pub(crate) machine: Vec<(&'static str, String)>,
}

impl Facts {
    /// Asks the system. What it does not say is `unknown`.
    pub(crate) fn gather() -> Self {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        let system = rustix::system::uname();
        let kernel = [system.sysname(), system.release(), system.machine()];
        let machine = vec![
            ("processor", value(&cpus, "model name")),
            ("cores", processors(&cpus).to_string()),
            ("virtual machine", virtual_machine(&cpus)),
            ("memory", mebibytes(&value(&memory, "MemTotal"))),
            (
                "kernel",
                kernel.map(|part| part.to_string_lossy()).join(" "),
            ),
            (
                "congestion control",
                known(read("/proc/sys/net/ipv4/tcp_congestion_control").trim()),
            ),
            ("compiler", env!("RUSTC_VERSION").to_owned()),
        ];
        Self {
            date: date(SystemTime::now()),
            machine,
        }
    }
}

/// The value of the first line `KEY : VALUE`.
fn value(text: &str, key: &str) -> String {
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then_some(value.trim())
    });
    known(found.unwrap_or_default())
}

fn known(text: &str) -> String {
    if text.is_empty() { "unknown" } else { text }.to_owned()
}

fn processors(cpus: &str) -> usize {
    let lines = cpus.lines();
    lines.filter(|line| line.starts_with("processor")).count()
}

fn virtual_machine(cpus: &str) -> String {
    let flags = value(cpus, "flags");
    let under_hypervisor = flags.split(' ').any(|flag| flag == "hypervisor");
    if under_hypervisor { "yes" } else { "not seen" }.to_owned()
}

/// From `N kB`, as the kernel says for KiB.
fn mebibytes(text: &str) -> String {
    let kibibytes = text.strip_suffix(" kB").map(str::parse::<u64>);
    match kibibytes {
        Some(Ok(kibibytes)) => format!("{} MiB", kibibytes / 1024),
        _ => text.to_owned(),
    }
}

/// `YYYY-MM-DD HH:MM UTC`.
fn date(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let (mut year, mut day) = (1970, days);
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (day, hour, minute) = (day + 1, minutes / 60, minutes % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

fn days_of(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_know_leap_years_and_the_ends_of_months() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(at(951_868_800), "2000-03-01 00:00 UTC");
        assert_eq!(at(1_767_225_599), "2025-12-31 23:59 UTC");
        assert_eq!(at(1_767_225_600), "2026-01-01 00:00 UTC");
    }

    #[test]
    fn facts_come_from_the_kernels_tables() {
        let cpus = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz: fast\nflags\t\t: fpu hypervisor sse\n\n\
            processor\t: 1\nmodel name\t: A CPU\n";
        assert_eq!(value(cpus, "model name"), "A CPU @ 2 GHz: fast");
        assert_eq!(processors(cpus), 2);
        assert_eq!(virtual_machine(cpus), "yes");
        assert_eq!(value(cpus, "bogomips"), "unknown");
        assert_eq!(mebibytes("24683520 kB"), "24105 MiB");
    }
}
