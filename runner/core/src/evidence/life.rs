//! Whether a prober and its listeners were alive all the time between two moments.

use super::time::Moment;
use flowproof_wire::Listener;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// Longest hole between two proofs of life that still counts as alive. Reports come every 100 ms, in a watch every 500 ms, and
/// listeners are checked every 500 ms; a prober that was stopped or starved for longer has not witnessed what happened in
/// between.
pub const LONGEST_HOLE: Duration = Duration::from_millis(1500);

/// Whether both ends were alive during the whole window that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "life", content = "why")]
pub enum Life {
    /// They were.
    Alive,
    /// They were not, or that is not known; holds the reason, for people.
    Broken(String),
}

/// When a prober and its listeners were alive.
#[derive(Debug, Clone, Default)]
pub struct ProberLife {
    alive: Periods,
    listeners: BTreeMap<Listener, Periods>,
    lost: Option<String>,
}

/// Sorted periods that neither touch nor overlap.
#[derive(Debug, Clone, Default)]
struct Periods(Vec<(Moment, Moment)>);

impl ProberLife {
    /// Notes that the prober reports to have been alive without a hole from `since` until `at`.
    pub fn alive(&mut self, since: Moment, at: Moment) {
        if since <= at {
            self.alive.add(since, at);
        }
        self.lost = None;
    }

    /// Notes that a listener answered its checks without a failure from `since` until `at`.
    pub fn listening(&mut self, listener: Listener, since: Moment, at: Moment) {
        self.listeners.entry(listener).or_default().add(since, at);
    }

    /// Notes that the prober is out of reach, and why, for people. This holds until the next proof of life.
    pub fn lost(&mut self, why: impl Into<String>) {
        self.lost = Some(why.into());
    }

    /// Says whether the prober was alive from `from` until `to`, give or take [`LONGEST_HOLE`] at the end.
    #[must_use]
    pub fn over(&self, from: Moment, to: Moment) -> Life {
        if self.alive.covers(from, to) {
            return Life::Alive;
        }
        Life::Broken(match (&self.lost, self.alive.0.last()) {
            (Some(why), _) => why.clone(),
            (None, Some((_, end))) if *end + LONGEST_HOLE < to => {
                format!("nothing was heard from it for {} ms", to.since(*end).as_millis())
            }
            (None, Some(_)) => "it was restarted, stopped or starved in between".to_owned(),
            (None, None) => "it was never heard from".to_owned(),
        })
    }

    /// The moment since which the prober, and a listener of it, have been alive without a break until `to`, give or take
    /// [`LONGEST_HOLE`] at the end. `None` if one of them was not alive then.
    #[must_use]
    pub fn alive_since(&self, listener: Option<Listener>, to: Moment) -> Option<Moment> {
        let prober = self.alive.since(to)?;
        match listener {
            Some(listener) => Some(prober.max(self.listeners.get(&listener)?.since(to)?)),
            None => Some(prober),
        }
    }

    /// Says whether a listener was alive from `from` until `to`. Its prober has to be alive, too ([`ProberLife::over`]).
    #[must_use]
    pub fn listener_over(&self, listener: Listener, from: Moment, to: Moment) -> Life {
        match self.listeners.get(&listener) {
            Some(periods) if periods.covers(from, to) => Life::Alive,
            Some(_) => Life::Broken("its listener did not answer over loopback all the time".to_owned()),
            None => Life::Broken("its listener never answered over loopback".to_owned()),
        }
    }
}

impl Periods {
    fn add(&mut self, from: Moment, to: Moment) {
        match self.0.last_mut() {
            Some((start, end)) if from <= *end => {
                *start = from.min(*start);
                *end = to.max(*end);
            }
            _ => self.0.push((from, to.max(from))),
        }
    }

    fn covers(&self, from: Moment, to: Moment) -> bool {
        self.0.iter().any(|(start, end)| *start <= from && *end + LONGEST_HOLE >= to)
    }

    fn since(&self, to: Moment) -> Option<Moment> {
        self.0
            .iter()
            .rev()
            .find(|(start, _)| *start <= to)
            .filter(|(_, end)| *end + LONGEST_HOLE >= to)
            .map(|p| p.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: i64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    #[test]
    fn only_an_unbroken_period_is_a_life() {
        let mut life = ProberLife::default();
        assert!(matches!(life.over(s(1), s(2)), Life::Broken(_)), "never heard from");
        life.alive(s(0), s(5));
        life.alive(s(0), s(6));
        assert_eq!(life.over(s(1), s(6)), Life::Alive);
        assert_eq!(life.over(s(1), s(7)), Life::Alive, "one second is within the longest hole");
        assert_eq!(life.over(s(1), s(9)), Life::Broken("nothing was heard from it for 3000 ms".into()));
        life.alive(s(10), s(12));
        assert!(matches!(life.over(s(5), s(11)), Life::Broken(_)), "it was stopped from 6 to 10");
        assert_eq!(life.over(s(10), s(12)), Life::Alive);
    }

    #[test]
    fn a_loss_is_told_until_the_next_sign_of_life() {
        let mut life = ProberLife::default();
        life.alive(s(0), s(1));
        life.lost("its pod is gone");
        assert_eq!(life.over(s(0), s(5)), Life::Broken("its pod is gone".into()));
        life.alive(s(0), s(5));
        assert_eq!(life.over(s(0), s(5)), Life::Alive, "the prober itself went on");
    }

    #[test]
    fn a_listener_has_a_life_of_its_own() {
        let mut life = ProberLife::default();
        let listener = Listener { transport: flowproof_wire::Transport::Tcp, port: 80 };
        assert!(matches!(life.listener_over(listener, s(0), s(1)), Life::Broken(_)));
        life.listening(listener, s(0), s(3));
        assert_eq!(life.listener_over(listener, s(0), s(4)), Life::Alive);
        assert!(matches!(life.listener_over(listener, s(0), s(6)), Life::Broken(_)));
    }

    #[test]
    fn ends_have_been_alive_since_the_later_of_two_starts() {
        let mut life = ProberLife::default();
        let listener = Listener { transport: flowproof_wire::Transport::Tcp, port: 80 };
        life.alive(s(0), s(9));
        assert_eq!(life.alive_since(None, s(10)), Some(s(0)));
        assert_eq!(life.alive_since(Some(listener), s(10)), None, "it was never heard of");
        life.listening(listener, s(1), s(3));
        life.listening(listener, s(5), s(9));
        assert_eq!(life.alive_since(Some(listener), s(3)), Some(s(1)));
        assert_eq!(life.alive_since(Some(listener), s(10)), Some(s(5)));
        assert_eq!(life.alive_since(Some(listener), s(20)), None, "nothing was heard for long");
    }
}
