//! The send slot: a buffer that is filled in place.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytes::BytesMut;
use switchboard_core::{SlotError, Token};

use super::Client;

/// The borrowed send slot of a connection: fill it, then [`send`](Self::send) it. Dropped, it goes
/// back unsent.
pub struct SendSlot {
    client: Client,
    buffer: Option<BytesMut>,
}

impl SendSlot {
    pub(super) const fn new(client: Client, buffer: BytesMut) -> Self {
        let buffer = Some(buffer);
        Self { client, buffer }
    }

    /// Sends the first `length` bytes, or all of them. The slot can be borrowed again when the
    /// system has taken them.
    ///
    /// # Errors
    /// When the length is 0 or too large, or the send is refused; the slot is free again then.
    pub fn send(
        mut self,
        length: impl Into<Option<usize>>,
        token: Option<Token>,
    ) -> Result<(), SlotError> {
        let Some(buffer) = self.buffer.take() else {
            return Err(SlotError::Busy);
        };
        let length = length.into().unwrap_or(buffer.len());
        self.client
            .shared
            .send(|machine| {
                machine
                    .send_slot(buffer, length, token)
                    .map(|wake| ((), wake))
            })
            .map_err(|(error, buffer)| {
                self.buffer = Some(buffer);
                error
            })
    }
}

impl Deref for SendSlot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}

impl DerefMut for SendSlot {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for SendSlot {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.client.shared.lock().machine.return_slot(buffer);
        }
    }
}

impl fmt::Debug for SendSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendSlot")
            .field("client", &self.client.id())
            .field("size", &self.len())
            .finish_non_exhaustive()
    }
}
