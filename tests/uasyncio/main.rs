//! Promises to those who come from uasyncio: the scheduler beside connections. What else there is, is shown in
//! the page `coming_from::uasyncio`.

mod giving_up;
mod scheduler;
