//! Urgent bytes of TCP: told beside a stream that stays whole, sent at their place (AC-06, XAS-70, T-18).
//!
//! Normal bytes are letters here and urgent ones are not, so that one in the wrong place shows.

#[cfg(target_os = "linux")]
mod behind;
#[cfg(target_os = "linux")]
mod flood;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod python;
#[cfg(target_os = "linux")]
mod receiving;
#[cfg(target_os = "linux")]
mod refused;
#[cfg(target_os = "linux")]
mod sending;
#[cfg(target_os = "linux")]
mod tls;

#[cfg(target_os = "linux")]
mod peers {
    use std::net::TcpStream;

    use socket2::SockRef;

    /// The peer sends an urgent byte.
    pub(crate) fn send_urgent(peer: &TcpStream, byte: u8) {
        let sent = SockRef::from(peer).send_out_of_band(&[byte]).unwrap();
        assert_eq!(sent, 1);
    }

    /// The peer's system leaves urgent bytes in the stream, so that their place can be seen.
    pub(crate) fn keep_in_stream(peer: &TcpStream) {
        SockRef::from(peer).set_out_of_band_inline(true).unwrap();
    }
}

#[cfg(not(target_os = "linux"))]
#[test]
fn urgent_bytes_are_offered_on_linux_only() {
    eprintln!("SKIPPED: urgent bytes are offered on Linux only");
}
