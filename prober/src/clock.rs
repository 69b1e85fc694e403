//! The prober's clock: microseconds since it was made, never going back.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    zero: Instant,
}

impl Clock {
    /// Starts at zero, now.
    pub(crate) fn start() -> Self {
        Self { zero: Instant::now() }
    }

    /// Returns the microseconds since the start.
    pub(crate) fn now_us(self) -> u64 {
        self.zero.elapsed().as_micros() as u64
    }

    /// Returns the instant at which [`Clock::now_us`] is `us`.
    pub(crate) fn instant(self, us: u64) -> Instant {
        self.zero + Duration::from_micros(us)
    }
}
