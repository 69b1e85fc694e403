//! How many lanes are played side by side: as many as the cluster can bear, judging by how quickly it answers.
//!
//! Six lanes at once on two shared cores slow down the network that they measure.

use std::time::Duration;

/// How quickly a cluster answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Longest time that pods took to start.
    pub start: Option<Duration>,
    /// Longest time until a change of policies was enforced.
    pub enforced: Option<Duration>,
    /// Longest delay of a prober's own timer.
    pub lag: Option<Duration>,
}

/// If answers take at most this many times as long as they took alone, one more lane is let in.
const STILL_QUICK: f64 = 1.5;
/// If they take more than this many times as long, one lane is taken away.
const TOO_SLOW: f64 = 3.0;

/// What is quicker than this is quick, however long it took alone.
const QUICK_START: Duration = Duration::from_secs(4);
const QUICK_ENFORCEMENT: Duration = Duration::from_secs(1);
const QUICK_TIMER: Duration = Duration::from_millis(50);

impl Answers {
    /// Takes in further answers; the slowest counts.
    pub fn join(&mut self, other: &Self) {
        self.start = self.start.max(other.start);
        self.enforced = self.enforced.max(other.enforced);
        self.lag = self.lag.max(other.lag);
    }
}

/// How many lanes may be played from now on, at least one and at most `most`. There were `now` of them, and the cluster answered
/// like this `lately`. `alone` is how it answers a single lane.
#[must_use]
pub fn lanes(now: usize, most: usize, alone: &Answers, lately: &Answers) -> usize {
    let growth = |alone: Option<Duration>, lately: Option<Duration>, quick: Duration| {
        let base = alone.unwrap_or_default().max(quick).as_secs_f64();
        lately.map_or(0.0, |lately| lately.as_secs_f64() / base)
    };
    let worst = growth(alone.start, lately.start, QUICK_START)
        .max(growth(alone.enforced, lately.enforced, QUICK_ENFORCEMENT))
        .max(growth(alone.lag, lately.lag, QUICK_TIMER));
    let wanted = if worst > TOO_SLOW {
        now.saturating_sub(1)
    } else if worst <= STILL_QUICK {
        now + 1
    } else {
        now
    };
    wanted.clamp(1, most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(start_ms: u64, enforced_ms: u64, lag_ms: u64) -> Answers {
        let ms = |ms| Some(Duration::from_millis(ms));
        Answers { start: ms(start_ms), enforced: ms(enforced_ms), lag: ms(lag_ms) }
    }

    #[test]
    fn lanes_follow_the_cluster() {
        let alone = answers(2_000, 1_500, 2);
        #[rustfmt::skip]
        let rows = [
            // lately, lanes now, lanes then, why
            (answers(2_000, 1_500, 2),   2, 3, "as quick as alone"),
            (answers(5_000, 2_000, 40),  2, 3, "hardly slower"),
            (answers(2_000, 3_000, 2),   3, 3, "twice as slow is enough"),
            (answers(2_000, 5_000, 2),   3, 2, "the network is too slow"),
            (answers(13_000, 1_500, 2),  3, 2, "pods start too slowly"),
            (answers(2_000, 1_500, 200), 3, 2, "probers get too little CPU"),
            (answers(2_000, 9_000, 200), 1, 1, "one lane is the least"),
            (answers(2_000, 1_500, 2),   6, 6, "six lanes are the most"),
        ];
        for (lately, now, then, why) in rows {
            assert_eq!(lanes(now, 6, &alone, &lately), then, "{why}");
        }
    }

    #[test]
    fn what_is_quick_is_quick_whatever_it_was_alone() {
        let alone = answers(500, 20, 1);
        assert_eq!(lanes(2, 6, &alone, &answers(4_000, 1_000, 50)), 3);
    }

    #[test]
    fn what_nobody_measured_says_nothing() {
        assert_eq!(lanes(2, 6, &Answers::default(), &Answers::default()), 3);
    }

    #[test]
    fn the_slowest_answer_counts() {
        let mut answers = answers(100, 200, 3);
        answers.join(&Answers { enforced: Some(Duration::from_secs(2)), ..Answers::default() });
        assert_eq!(answers, Answers { enforced: Some(Duration::from_secs(2)), ..answers });
        assert_eq!(answers.start, Some(Duration::from_millis(100)));
    }
}
