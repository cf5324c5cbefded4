//! What a connection keeps for its user.

use std::any::{Any, TypeId};
use std::sync::PoisonError;

use super::Client;

/// Values of the user's own, one per type, kept with the connection (XAS-21).
impl Client {
    /// Keeps a value; the earlier one of the same type comes back.
    #[allow(
        clippy::must_use_candidate,
        reason = "the earlier value is rarely wanted"
    )]
    pub fn set_state<T: Any + Send>(&self, value: T) -> Option<T> {
        let mut states = self
            .shared
            .states
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let earlier = states
            .get_or_insert_default()
            .insert(TypeId::of::<T>(), Box::new(value));
        drop(states);
        Some(*earlier?.downcast().ok()?)
    }

    /// A copy of the value of this type.
    #[must_use]
    pub fn state<T: Any + Clone + Send>(&self) -> Option<T> {
        self.with_state(|value: &mut T| value.clone())
    }

    /// Lends the value of this type to `use_it`, which must not ask for a state itself.
    pub fn with_state<T: Any + Send, R>(&self, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut states = self
            .shared
            .states
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let value = states.as_mut()?.get_mut(&TypeId::of::<T>())?;
        Some(use_it(value.downcast_mut()?))
    }

    /// Takes the value of this type out.
    #[must_use]
    pub fn take_state<T: Any + Send>(&self) -> Option<T> {
        let mut states = self
            .shared
            .states
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let value = states.as_mut()?.remove(&TypeId::of::<T>());
        drop(states);
        Some(*value?.downcast().ok()?)
    }
}
