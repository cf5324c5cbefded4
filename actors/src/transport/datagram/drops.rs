//! How many datagrams the system has thrown away.

use socket2::SockRef;

/// What Linux counts for a socket (`SK_MEMINFO_DROPS` of SO_MEMINFO, socket(7)): asked for when somebody
/// wants to know, it costs no datagram anything, as a counter that comes with each (SO_RXQ_OVFL) would.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code, reason = "no crate has this socket option")]
pub(super) fn of(socket: &SockRef<'_>) -> Option<u64> {
    use std::os::fd::AsRawFd;

    /// How many numbers the kernel tells, and which of them is that of the drops.
    const NUMBERS: usize = 9;
    const DROPS: usize = 8;

    let mut numbers = [0_u32; NUMBERS];
    let mut size = libc::socklen_t::try_from(size_of_val(&numbers)).ok()?;
    // SAFETY: the descriptor is open as long as it is borrowed, and the kernel writes no more than `size`
    // bytes to the array, whose size that is; any bytes are valid numbers.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    let told = usize::try_from(size).ok()? / size_of::<u32>();
    (outcome == 0 && told > DROPS).then(|| numbers[DROPS].into())
}

/// Other systems do not tell.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const fn of(_: &SockRef<'_>) -> Option<u64> {
    None
}
