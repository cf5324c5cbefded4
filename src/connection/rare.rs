//! Queues that most connections never use: a pointer until something is put in.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// A queue that is made when first needed, and is empty before. To change it makes it, unless a method
/// here says otherwise.
#[derive(Debug)]
#[allow(
    clippy::box_collection,
    reason = "an empty queue is four words, and there are several in each connection"
)]
pub(super) struct RareQueue<T: 'static>(Option<Box<VecDeque<T>>>);

impl<T> RareQueue<T> {
    const EMPTY: &VecDeque<T> = &VecDeque::new();

    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Does not make it.
    pub(super) fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    /// Does not make it.
    pub(super) fn front_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()?.front_mut()
    }

    /// Does not make it.
    pub(super) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(queue) = &mut self.0 {
            queue.retain(keep);
        }
    }
}

impl<T> Deref for RareQueue<T> {
    type Target = VecDeque<T>;

    fn deref(&self) -> &VecDeque<T> {
        self.0.as_deref().unwrap_or(Self::EMPTY)
    }
}

impl<T> DerefMut for RareQueue<T> {
    fn deref_mut(&mut self) -> &mut VecDeque<T> {
        self.0.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_nothing_was_put_in_is_empty_and_was_not_made() {
        let mut queue = RareQueue::<u8>::new();
        assert_eq!(queue.pop_front(), None);
        assert_eq!(queue.front_mut(), None);
        queue.retain(|_| true);
        assert!(queue.is_empty() && queue.0.is_none());
        queue.push_back(1);
        queue.push_back(2);
        assert_eq!(queue.pop_front(), Some(1));
        assert_eq!(*queue, [2]);
    }
}
