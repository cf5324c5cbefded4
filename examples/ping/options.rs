//! What the command line asks for.

use std::time::Duration;

pub const USAGE: &str = "\
usage: ping [OPTION...] HOST    (needs root or the capability CAP_NET_RAW)
  -c COUNT     stop after so many requests (default: until interrupted)
  -i SECONDS   the time between two requests (default: 1; least 0.002)
  -W SECONDS   how long a reply is waited for in the end when none came before (default: 10)
  -s SIZE      bytes of a request behind its header (default: 56; most 65507)
  -4, -6       take an IPv4, an IPv6 address of the host
  --help       print this";

const LEAST_INTERVAL: Duration = Duration::from_millis(2);
/// What is left of an IPv4 packet of 65,535 bytes behind both headers.
const LARGEST_SIZE: usize = 65_507;

#[derive(Debug)]
pub struct Options {
    pub host: String,
    pub count: Option<u64>,
    pub interval: Duration,
    pub patience: Duration,
    pub size: usize,
    pub family: Family,
}

/// Which addresses of a host will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Any,
    V4,
    V6,
}

impl Options {
    /// `None`: help is wanted. The error says what is wrong.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut host = None;
        let mut options = Self {
            host: String::new(),
            count: None,
            interval: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            size: 56,
            family: Family::Any,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "-c" => options.count = Some(count(&value()?)?),
                "-i" => options.interval = interval(&value()?)?,
                "-W" => options.patience = seconds(&value()?)?,
                "-s" => options.size = size(&value()?)?,
                "-4" => options.family = Family::V4,
                "-6" => options.family = Family::V6,
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                _ if host.is_some() => return Err(format!("{argument} is one too many")),
                _ => host = Some(argument),
            }
        }
        options.host = host.ok_or("a host is missing")?;
        Ok(Some(options))
    }
}

fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(format!("{text} is not a number of requests")),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    if interval < LEAST_INTERVAL {
        return Err(format!("{text} is less than {LEAST_INTERVAL:?}"));
    }
    Ok(interval)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse().ok();
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("{text} is not a number of seconds"))
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 0..=LARGEST_SIZE) => Ok(size),
        _ => Err(format!("{text} is not a size from 0 to {LARGEST_SIZE}")),
    }
}
