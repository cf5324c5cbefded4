//! Sends ICMP echo requests to a host and prints the replies, like ping(8).
//!
//! Shows a raw socket as a session with a clock of its own: a timer sends, events bring what comes, and
//! `Closed`, which comes at the end and at an interrupt, prints the statistics. The exit code is 0 when
//! there was a reply, 1 when there was none, 2 when it could not be tried.
//!
//! ```sh
//! sudo target/release/examples/ping -c 3 localhost
//! ```

mod icmp;
mod options;
mod session;
mod statistics;

use std::error::Error;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use switchboard::prelude::*;
use switchboard::{OpenRaw, Raw};
use tokio::sync::watch;

use icmp::Version;
use options::{Family, Options, USAGE};
use session::{Pinger, Plan};

const COULD_NOT: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(what) => {
            eprintln!("error: {what}\n{USAGE}");
            return ExitCode::from(COULD_NOT);
        }
    };
    match ping(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", explain(error.as_ref()));
            ExitCode::from(COULD_NOT)
        }
    }
}

/// Whether there was a reply.
fn ping(options: Options) -> Result<bool, Box<dyn Error>> {
    let target = resolve(&options.host, options.family)
        .map_err(|error| format!("{}: {error}", options.host))?;
    let version = Version::of(target.ip());
    let protocol = version.protocol();
    let open = match version {
        // With its IP header comes how many routers a reply could still have passed.
        Version::V4 => OpenRaw::v4(protocol).strip_ip_header(false),
        Version::V6 => OpenRaw::v6(protocol),
    };
    let plan = Plan {
        host: options.host,
        target,
        count: options.count,
        interval: options.interval,
        patience: options.patience,
        size: options.size,
    };
    let title = title(&plan);
    let (ended, end) = watch::channel(None);
    let mut closed = end.clone();
    Pool::builder().shards(1).run(|pool| async move {
        let session = move |raw: Raw| {
            println!("{title}");
            Pinger::new(raw, plan, ended)
        };
        pool.open_raw(open, session).await?;
        // An error would say that the session is gone, so that it is over too.
        let _ = closed.wait_for(Option::is_some).await;
        pool.stop().await;
        Ok(())
    })?;
    Ok(end.borrow().unwrap_or_default())
}

fn resolve(host: &str, family: Family) -> io::Result<SocketAddr> {
    let mut addresses = (host, 0).to_socket_addrs()?;
    addresses
        .find(|address| match family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        })
        .ok_or_else(|| io::Error::other("no address of this family"))
}

fn title(plan: &Plan) -> String {
    let Plan {
        host, target, size, ..
    } = plan;
    let ip = target.ip();
    match Version::of(ip) {
        Version::V4 => {
            // ICMP's header and IP's.
            let whole = size + icmp::HEADER + 20;
            format!("PING {host} ({ip}) {size}({whole}) bytes of data.")
        }
        Version::V6 => format!("PING {host} ({ip}) {size} data bytes"),
    }
}

/// What the system says of a raw socket that it does not allow is not much help.
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    let is_forbidden = causes.any(|cause| {
        let cause = cause.downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
    });
    if is_forbidden {
        format!("{error}; a raw socket needs root or the capability CAP_NET_RAW")
    } else {
        error.to_string()
    }
}
