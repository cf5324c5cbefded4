//! What can be sent.

use bytes::Bytes;

/// Bytes to send. Small ones are copied into the outbox, large ones are queued as they are when
/// they own their memory (`Bytes`, `Vec<u8>`, `String`), so that nothing large is copied.
///
/// The methods are called while the connection is locked: an implementation only gives out its bytes,
/// and asks nothing of any connection.
pub trait Payload {
    /// The bytes.
    fn as_slice(&self) -> &[u8];

    /// The bytes as a shareable block; copies only what is borrowed.
    fn into_bytes(self) -> Bytes
    where
        Self: Sized,
    {
        Bytes::copy_from_slice(self.as_slice())
    }
}

impl Payload for Bytes {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        self
    }
}

impl Payload for &Bytes {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        self.clone()
    }
}

impl Payload for Vec<u8> {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        self.into()
    }
}

impl Payload for String {
    fn as_slice(&self) -> &[u8] {
        self.as_bytes()
    }

    fn into_bytes(self) -> Bytes {
        self.into()
    }
}

impl Payload for bytes::BytesMut {
    fn as_slice(&self) -> &[u8] {
        self
    }

    fn into_bytes(self) -> Bytes {
        self.freeze()
    }
}

macro_rules! borrowed_payload {
    ($($type:ty),*) => {$(
        impl Payload for $type {
            fn as_slice(&self) -> &[u8] {
                AsRef::<[u8]>::as_ref(*self)
            }
        }
    )*};
}

borrowed_payload!(&[u8], &str, &String, &Vec<u8>);

impl<const N: usize> Payload for &[u8; N] {
    fn as_slice(&self) -> &[u8] {
        *self
    }
}

impl<const N: usize> Payload for [u8; N] {
    fn as_slice(&self) -> &[u8] {
        self
    }
}
