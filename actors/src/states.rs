//! What a connection keeps for its user.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Values = HashMap<TypeId, Box<dyn Any + Send>>;

/// Values of a user's own, one per type (XAS-21).
#[derive(Debug, Default)]
pub(crate) struct States(Mutex<Option<Box<Values>>>);

impl States {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Values>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set<T: Any + Send>(&self, value: T) -> Option<T> {
        let mut states = self.lock();
        let earlier = states
            .get_or_insert_default()
            .insert(TypeId::of::<T>(), Box::new(value));
        drop(states);
        Some(*earlier?.downcast().ok()?)
    }

    pub(crate) fn with<T: Any + Send, R>(&self, use_it: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut states = self.lock();
        let value = states.as_mut()?.get_mut(&TypeId::of::<T>())?;
        Some(use_it(value.downcast_mut()?))
    }

    pub(crate) fn take<T: Any + Send>(&self) -> Option<T> {
        let mut states = self.lock();
        let value = states.as_mut()?.remove(&TypeId::of::<T>());
        drop(states);
        Some(*value?.downcast().ok()?)
    }
}

/// Gives a handle, which has `states()`, the methods of a user's own values.
macro_rules! keeps_states {
    ($handle:ty) => {
        /// Values of the user's own, one per type, kept with it (XAS-21).
        impl $handle {
            /// Keeps a value; the earlier one of the same type comes back.
            #[allow(
                clippy::must_use_candidate,
                reason = "the earlier value is rarely wanted"
            )]
            pub fn set_state<T: ::std::any::Any + Send>(&self, value: T) -> Option<T> {
                self.states().set(value)
            }

            /// A copy of the value of this type.
            #[must_use]
            pub fn state<T: ::std::any::Any + Clone + Send>(&self) -> Option<T> {
                self.states().with(|value: &mut T| value.clone())
            }

            /// Lends the value of this type to `use_it`, which must not ask for a state itself.
            pub fn with_state<T: ::std::any::Any + Send, R>(
                &self,
                use_it: impl FnOnce(&mut T) -> R,
            ) -> Option<R> {
                self.states().with(use_it)
            }

            /// Takes the value of this type out.
            #[must_use]
            pub fn take_state<T: ::std::any::Any + Send>(&self) -> Option<T> {
                self.states().take()
            }
        }
    };
}

pub(crate) use keeps_states;
