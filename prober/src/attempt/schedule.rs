//! When each flow is tried next. Pure: times come from outside.

use crate::record::Continuity;
use std::{cmp::Reverse, collections::BinaryHeap};

/// If an attempt starts later than this after it was due, in microseconds, trying was interrupted.
const STALL_US: u64 = 1_000_000;

/// How many groups the flows of an interval are in. The flows of a group are tried at once, because waking up for each flow alone
/// costs more than the attempt.
const GROUPS: u64 = 10;

/// Which flow is due at which time, all at one interval.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    interval_us: u64,
    due: BinaryHeap<Reverse<(u64, usize)>>,
}

/// A flow whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) flow: usize,
    pub(super) late_us: u64,
    /// [`Continuity::Resumed`] after a stall.
    pub(super) continuity: Continuity,
}

impl Schedule {
    /// Tries these flows from now on, spread over the interval in groups.
    pub(super) fn set(&mut self, flows: &[usize], interval_us: u64, now_us: u64) {
        self.interval_us = interval_us.max(1);
        let count = flows.len().max(1) as u64;
        self.due.clear();
        self.due.shrink_to(flows.len());
        for (place, flow) in flows.iter().enumerate() {
            let group = place as u64 * GROUPS / count;
            self.due.push(Reverse((now_us + self.interval_us * group / GROUPS, *flow)));
        }
    }

    /// Returns when the next flow is due.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the next flow that is due. Missed turns are skipped, and the flow keeps its place in the interval.
    pub(super) fn take(&mut self, now_us: u64) -> Option<Due> {
        let mut top = self.due.peek_mut().filter(|top| top.0.0 <= now_us)?;
        let Reverse((due, flow)) = *top;
        let late_us = now_us - due;
        let turns = late_us / self.interval_us + 1;
        top.0.0 = due + turns * self.interval_us;
        let continuity = if late_us > STALL_US { Continuity::Resumed } else { Continuity::Steady };
        Some(Due { flow, late_us, continuity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(schedule: &mut Schedule, now_us: u64) -> Vec<(usize, u64)> {
        std::iter::from_fn(|| schedule.take(now_us)).map(|due| (due.flow, due.late_us)).collect()
    }

    #[test]
    fn flows_are_spread_over_the_interval_and_come_back() {
        let mut schedule = Schedule::default();
        schedule.set(&[7, 8], 100, 1000);
        assert_eq!(taken(&mut schedule, 1000), [(7, 0)]);
        assert_eq!(schedule.next_us(), Some(1050));
        assert_eq!(taken(&mut schedule, 1100), [(8, 50), (7, 0)]);
        assert_eq!(taken(&mut schedule, 1149), []);
    }

    #[test]
    fn of_many_flows_some_are_tried_at_once() {
        let mut schedule = Schedule::default();
        let flows: Vec<usize> = (0..40).collect();
        schedule.set(&flows, 100, 0);
        assert_eq!(taken(&mut schedule, 0), [(0, 0), (1, 0), (2, 0), (3, 0)]);
        assert_eq!(schedule.next_us(), Some(10));
        assert_eq!(taken(&mut schedule, 99).len(), 36);
        assert_eq!(schedule.next_us(), Some(100));
    }

    #[test]
    fn missed_turns_are_left_out_and_a_stall_is_told() {
        let mut schedule = Schedule::default();
        schedule.set(&[0], 100, 0);
        assert_eq!(taken(&mut schedule, 350), [(0, 350)]);
        assert_eq!(schedule.next_us(), Some(400));
        let due = schedule.take(400 + STALL_US + 1).expect("it is due");
        assert_eq!(due.continuity, Continuity::Resumed);
    }

    #[test]
    fn nothing_is_due_without_flows() {
        let mut schedule = Schedule::default();
        schedule.set(&[1], 100, 0);
        schedule.set(&[], 100, 0);
        assert_eq!(schedule.next_us(), None);
        assert_eq!(schedule.take(u64::MAX), None);
    }
}
