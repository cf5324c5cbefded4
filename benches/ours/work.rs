//! The work that a line is worth to the servers of scenario `shards`: the same in each of them.

use std::hash::{DefaultHasher, Hasher as _};

/// How often a line is hashed: some 400 microseconds for one of 64 bytes. With 100 the load, which shares the second
/// core, has a sixth of what two threads could have, and is the limit.
const TIMES: u32 = 12_000;

/// Hashes a line without its ending over and over, each time with the sum of before. It touches no memory but the
/// line.
pub(crate) fn work(line: &[u8]) -> u64 {
    // Of another length it would be another amount of work.
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (0..TIMES).fold(0, |sum, _| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(sum);
        hasher.write(line);
        hasher.finish()
    })
}

/// The number behind `--shards`, and the address, which is the last argument.
///
/// # Errors
/// What is missing.
pub(crate) fn options(arguments: &[String]) -> Result<(usize, &str), String> {
    let flag = arguments.iter().position(|argument| argument == "--shards");
    let shards = flag.and_then(|flag| arguments.get(flag + 1)?.parse().ok());
    let shards = shards.ok_or("--shards wants a number")?;
    let address = arguments.last().ok_or("the address is missing")?;
    Ok((shards, address))
}
