//! What was done.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $words:literal,)*) => {
        /// How many faults there were so far.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct FaultCounts {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same, while it grows.
        #[derive(Debug, Default)]
        pub(super) struct Counts {
            $(pub(super) $name: Count,)*
        }

        impl Counts {
            pub(super) fn snapshot(&self) -> FaultCounts {
                FaultCounts { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }

        impl FaultCounts {
            /// All faults together; bytes are not counted as faults.
            #[must_use]
            pub fn total(&self) -> u64 {
                [$(self.$name),*].into_iter().sum::<u64>() - self.lost_bytes
            }
        }

        impl fmt::Display for FaultCounts {
            /// One line of those that there were.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$(($words, self.$name)),*];
                let mut some = all.iter().filter(|(_, count)| *count > 0).peekable();
                if some.peek().is_none() {
                    return f.write_str("no faults");
                }
                for (position, (words, count)) in some.enumerate() {
                    let separator = if position == 0 { "" } else { ", " };
                    write!(f, "{separator}{words}: {count}")?;
                }
                Ok(())
            }
        }
    };
}

counts! {
    /// Reads that gave less because of it.
    short_reads: "short reads",
    /// Writes that took less because of it.
    short_writes: "short writes",
    /// Times that something was not ready and was woken at once.
    blocks: "blocks",
    /// Operations that were delayed.
    delays: "delays",
    /// Connections that were reset.
    resets: "resets",
    /// Ends that the peer did not make.
    eofs: "ends",
    /// Directions, listeners and attempts that stand still for ever.
    stalls: "stalls",
    /// Operations whose bytes were thrown away.
    losses: "losses",
    /// Bytes that were thrown away, both ways.
    lost_bytes: "lost bytes",
    /// Bytes that were changed.
    corruptions: "corruptions",
    /// Accepts that failed.
    accept_errors: "accept errors",
    /// Attempts to connect that failed.
    connect_errors: "connect errors",
    /// Reads, writes and shutdowns that failed, without resets.
    io_errors: "other errors",
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn one(&self) {
        self.more(1);
    }

    pub(super) fn more(&self, by: usize) {
        self.0.fetch_add(by as u64, Ordering::Relaxed);
    }
}
