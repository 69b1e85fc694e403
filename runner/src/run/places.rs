//! The places in which lanes are played side by side; their number follows how quickly the cluster answers.

use super::settings::Jobs;
use flowproof_core::trial::load::{Answers, lanes};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The most places if their number follows the cluster: with more lanes, pods wait for each other.
const MOST: usize = 6;

/// How many places there are at first.
const FIRST: usize = 2;

pub(super) struct Places {
    free: Semaphore,
    load: Mutex<Load>,
}

struct Load {
    jobs: Jobs,
    now: usize,
    /// How many places disappear as soon as they are left.
    surplus: usize,
    alone: Answers,
    lately: Answers,
}

/// A place that is taken.
pub(super) struct Place<'p> {
    places: &'p Places,
    permit: Option<SemaphorePermit<'p>>,
}

impl Places {
    /// The places of a run with these jobs; at first, there are at least `at_least`.
    pub(super) fn new(jobs: Jobs, at_least: usize) -> Self {
        let now = match jobs {
            Jobs::Fixed(jobs) => jobs.max(at_least).max(1),
            Jobs::Auto => FIRST.max(at_least),
        };
        let load = Load { jobs, now, surplus: 0, alone: Answers::default(), lately: Answers::default() };
        Self { free: Semaphore::new(now), load: Mutex::new(load) }
    }

    /// Waits for a place; callers get one in the order in which they asked. `None` once there will be no more places.
    pub(super) async fn enter(&self) -> Option<Place<'_>> {
        let permit = self.free.acquire().await.ok()?;
        Some(Place { places: self, permit: Some(permit) })
    }

    /// Takes in how quickly the cluster answered.
    pub(super) fn answered(&self, answers: &Answers) {
        let mut load = self.load();
        load.lately.join(answers);
        let Load { alone, .. } = &mut *load;
        alone.start = alone.start.or(answers.start);
        alone.enforced = alone.enforced.or(answers.enforced);
        alone.lag = alone.lag.or(answers.lag);
    }

    /// Adjusts the number of places after a scenario to what the cluster can take.
    pub(super) fn adjust(&self) {
        let mut load = self.load();
        let wanted = match load.jobs {
            Jobs::Fixed(_) => return,
            Jobs::Auto => lanes(load.now, MOST.max(load.now), &load.alone, &load.lately),
        };
        load.lately = Answers::default();
        if wanted > load.now {
            match load.surplus.checked_sub(1) {
                Some(less) => load.surplus = less,
                None => self.free.add_permits(1),
            }
        } else if wanted < load.now {
            load.surplus += 1;
        }
        load.now = wanted;
    }

    fn load(&self) -> MutexGuard<'_, Load> {
        self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut load = self.places.load();
        if let (Some(less), Some(permit)) = (load.surplus.checked_sub(1), self.permit.take()) {
            load.surplus = less;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn answers(enforced_ms: u64) -> Answers {
        Answers { enforced: Some(Duration::from_millis(enforced_ms)), ..Answers::default() }
    }

    fn free(places: &Places) -> usize {
        places.free.available_permits()
    }

    #[tokio::test]
    async fn places_come_while_the_cluster_is_quick_and_go_when_it_is_slow() {
        let places = Places::new(Jobs::Auto, 1);
        assert_eq!(free(&places), 2);
        places.answered(&answers(1_000));
        places.adjust();
        assert_eq!(free(&places), 3);
        let taken = [places.enter().await, places.enter().await];
        places.answered(&answers(9_000));
        places.adjust();
        assert_eq!(free(&places), 1, "a place that is taken is left first");
        drop(taken);
        assert_eq!(free(&places), 2);
        places.adjust();
        assert_eq!(free(&places), 3, "nothing was slow since");
    }

    #[tokio::test]
    async fn a_fixed_number_stays() {
        let places = Places::new(Jobs::Fixed(4), 1);
        places.answered(&answers(60_000));
        places.adjust();
        assert_eq!(free(&places), 4);
    }
}
