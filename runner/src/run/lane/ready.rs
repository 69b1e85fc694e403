//! How long to wait for probers, from the start of their pods to the first report of all their listeners.

use std::time::Duration;

/// A prober that runs says hello within milliseconds, and reports its listeners every 100 ms. On a busy machine the streams of a
/// lane open one after the other; if none opens for this long, none will.
const NOTHING_NEW: Duration = Duration::from_secs(30);

/// The longest wait in all: a lane whose streams open more slowly could not be judged either.
const IN_ALL: Duration = Duration::from_mins(5);

/// What has become known about a lane's probers since the wait began.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    known: usize,
    since: Duration,
}

impl Readiness {
    /// Takes in how many probers and listeners are known this long after the wait began; if waiting is over, returns why.
    pub(super) fn look(&mut self, now: Duration, known: usize) -> Option<String> {
        if known > self.known {
            (self.known, self.since) = (known, now);
        }
        let quiet = now.saturating_sub(self.since);
        if quiet >= NOTHING_NEW {
            Some(format!("no progress for {} s", quiet.as_secs()))
        } else if now >= IN_ALL {
            Some(format!("still starting after {} s", now.as_secs()))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is returned last, if these numbers are known at these seconds.
    fn said(seen: &[(u64, usize)]) -> Option<String> {
        let mut readiness = Readiness::default();
        seen.iter().map(|(at, known)| readiness.look(Duration::from_secs(*at), *known)).last()?
    }

    #[test]
    fn probers_are_waited_for_as_long_as_more_of_them_are_heard() {
        assert_eq!(said(&[(0, 0), (29, 0)]), None);
        assert_eq!(said(&[(0, 0), (30, 0)]).as_deref(), Some("no progress for 30 s"));
        assert_eq!(said(&[(0, 0), (20, 3), (49, 3)]), None);
        assert_eq!(said(&[(0, 0), (20, 3), (50, 3)]).as_deref(), Some("no progress for 30 s"));
        assert_eq!(
            said(&[(0, 9), (20, 3), (30, 9)]).as_deref(),
            Some("no progress for 30 s"),
            "it comes back only"
        );
        let slow: Vec<_> = (0..=30).map(|n| (n * 10, n as usize)).collect();
        assert_eq!(said(&slow).as_deref(), Some("still starting after 300 s"));
    }
}
