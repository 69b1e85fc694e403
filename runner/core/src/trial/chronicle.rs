//! Follows one flow over any length of time in bounded memory: from segments of attempts to episodes.

use crate::{
    evidence::{hindrance::ANSWERED_WITHIN, life::Life, record::Segment, time::Moment},
    outcome::{Episode, What},
    scenario::flow::Expectation,
    verdict::assess::{Class, classify},
};
use flowproof_wire::{Attempt, Observation};
use std::time::Duration;

/// Most episodes that are kept per flow, and for all flows of a watch together; further ones are counted. A network that flaps
/// for hours makes a file of a few megabytes, and no more.
pub const MOST_EPISODES: usize = 200;
const MOST_EPISODES_TOGETHER: usize = 5_000;
const FEWEST_EPISODES: usize = 5;

/// How many episodes of each flow are kept if a watch follows this many flows, or keeps this many connections.
#[must_use]
pub fn episodes_each(flows: usize) -> usize {
    (MOST_EPISODES_TOGETHER / flows.max(1)).clamp(FEWEST_EPISODES, MOST_EPISODES)
}

/// What is known about the ends of a flow between two moments.
pub trait Witnesses {
    /// Whether they were alive.
    fn life(&self, from: Moment, to: Moment) -> Life;

    /// Whether they were alive and got the CPU that they needed to answer in time.
    fn unhindered(&self, from: Moment, to: Moment) -> Life;
}

/// A pause between attempts of more than this many intervals leaves a hole, if it is also longer than [`SHORTEST_HOLE`].
const INTERVALS_IN_A_HOLE: u32 = 3;

/// A pause between attempts that is shorter than this says nothing about the prober.
const SHORTEST_HOLE: Duration = Duration::from_millis(500);

/// What a flow did, according to the segments that were taken in.
#[derive(Debug)]
pub struct Chronicle {
    expectation: Expectation,
    interval: Duration,
    most_episodes: usize,
    /// Whether its attempts use one connection: the end of that connection is not a lost packet.
    one_connection: bool,
    seen_until: Moment,
    cursor: Option<Attempt>,
    attempts: u64,
    losses: u64,
    now: State,
    episodes: Vec<Episode>,
    untold: u64,
    disturbed: Moment,
}

/// Where the ends of a flow are, for the episodes that begin now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// Node of the source.
    pub source_node: String,
    /// Node of the destination, if it is a pod.
    pub destination_node: Option<String>,
}

#[derive(Debug)]
enum State {
    Good,
    In(Box<Episode>),
}

impl Chronicle {
    /// Begins at a moment when the flow was as expected.
    #[must_use]
    pub fn new(expectation: Expectation, interval: Duration, from: Moment, most_episodes: usize) -> Self {
        Self {
            expectation,
            interval,
            most_episodes,
            one_connection: false,
            seen_until: from,
            cursor: None,
            attempts: 0,
            losses: 0,
            now: State::Good,
            episodes: Vec::new(),
            untold: 0,
            disturbed: from,
        }
    }

    /// Follows a flow whose attempts use one connection: the end of it is reported, even if the next attempt works.
    #[must_use]
    pub fn of_one_connection(mut self) -> Self {
        self.one_connection = true;
        self
    }

    /// The last attempt that was taken in; segments are wanted from the next one on.
    #[must_use]
    pub fn cursor(&self) -> Option<Attempt> {
        self.cursor
    }

    /// Until when attempts were taken in.
    #[must_use]
    pub fn seen_until(&self) -> Moment {
        self.seen_until
    }

    /// When something was last not as expected or not observed.
    #[must_use]
    pub fn disturbed(&self) -> Moment {
        match &self.now {
            State::Good => self.disturbed,
            State::In(_) => self.seen_until,
        }
    }

    /// From now on the attempts come from a new prober, and their numbers begin anew.
    pub fn replaced(&mut self) {
        self.cursor = None;
    }

    /// Takes in the next segments.
    pub fn take(&mut self, segments: &[Segment], ends: &Ends, witnesses: &impl Witnesses) {
        for segment in segments {
            let pause = segment.first_at.since(self.seen_until);
            if pause > (self.interval * INTERVALS_IN_A_HOLE).max(SHORTEST_HOLE) {
                let why = match witnesses.life(self.seen_until, segment.first_at) {
                    Life::Broken(why) => why,
                    Life::Alive => "no attempt was made".to_owned(),
                };
                self.enter(What::NotObserved, self.seen_until, ends, 0);
                self.note(None, Some(why));
            }
            self.attempts += segment.attempts;
            match self.judge(segment, witnesses) {
                Ok(None) => self.good(segment.first_at),
                Ok(Some(what)) => {
                    self.enter(what, segment.first_at, ends, segment.attempts);
                    self.note(Some(segment), None);
                }
                Err(why) => {
                    self.enter(What::NotObserved, segment.first_at, ends, segment.attempts);
                    self.note(Some(segment), Some(why));
                }
            }
            self.seen_until = self.seen_until.max(segment.last_at);
            self.cursor = Some(segment.last);
        }
    }

    /// Decides what a segment is: as expected, an episode, or unknown, with the reason.
    fn judge(&self, segment: &Segment, witnesses: &impl Witnesses) -> Result<Option<What>, String> {
        let proven = |life: Life, what| match life {
            Life::Alive => Ok(what),
            Life::Broken(why) => Err(why),
        };
        let (from, to) = (segment.first_at, segment.last_at);
        match (classify(self.expectation, segment), self.expectation.denies()) {
            // What got through did happen, whether the ends were alive or not.
            (Class::Good, false) => Ok(None),
            (Class::Bad, true) => Ok(Some(What::Leak)),
            (Class::Good, true) => proven(witnesses.life(from, to), None),
            (Class::Bad, false) => proven(witnesses.unhindered(from, to + ANSWERED_WITHIN), Some(What::Gap)),
            (Class::Unclear, _) => Err(unclear(&segment.observation).to_owned()),
        }
    }

    fn good(&mut self, at: Moment) {
        if let State::In(episode) = std::mem::replace(&mut self.now, State::Good) {
            self.close(*episode, at, false);
        }
    }

    fn enter(&mut self, what: What, at: Moment, ends: &Ends, attempts: u64) {
        match &mut self.now {
            State::In(episode) if episode.what == what => episode.attempts += attempts,
            _ => {
                self.good(at);
                self.now = State::In(Box::new(Episode {
                    what,
                    from_ms: ms(at),
                    until_ms: ms(at),
                    open: false,
                    attempts,
                    source_node: ends.source_node.clone(),
                    destination_node: ends.destination_node.clone(),
                    observation: None,
                    witness: None,
                    why: None,
                }));
            }
        }
    }

    fn note(&mut self, segment: Option<&Segment>, why: Option<String>) {
        let State::In(episode) = &mut self.now else { return };
        if let Some(segment) = segment {
            if !(self.one_connection && episode.is_cut()) {
                episode.observation = Some(segment.observation.clone());
            }
            episode.witness = Some(segment.witness);
        }
        if why.is_some() {
            episode.why = why;
        }
    }

    fn close(&mut self, mut episode: Episode, at: Moment, open: bool) {
        episode.until_ms = ms(at);
        episode.open = open;
        // A network may lose a packet although no policy is wrong.
        let one_packet = !(self.one_connection && episode.is_cut());
        if episode.what == What::Gap && episode.attempts == 1 && !open && one_packet {
            self.losses += 1;
            return;
        }
        self.disturbed = self.disturbed.max(at);
        if self.episodes.len() < self.most_episodes {
            self.episodes.push(episode);
            return;
        }
        self.untold += 1;
        // What the flow did is worth more than a time when it was not observed.
        let hole = self.episodes.iter().rposition(|kept| kept.what == What::NotObserved);
        if let (Some(hole), true) = (hole, episode.what != What::NotObserved) {
            self.episodes.remove(hole);
            self.episodes.push(episode);
        }
    }

    /// Ends the watch of the flow. What has not ended is open; a time at the end without attempts is a hole.
    #[must_use]
    pub fn end(mut self, at: Moment, ends: &Ends, witnesses: &impl Witnesses) -> Told {
        let heard = self.seen_until + (self.interval * INTERVALS_IN_A_HOLE).max(SHORTEST_HOLE);
        if heard < at {
            let why = match witnesses.life(self.seen_until, at) {
                Life::Broken(why) => why,
                Life::Alive => "no attempt was decided".to_owned(),
            };
            self.enter(What::NotObserved, self.seen_until, ends, 0);
            self.note(None, Some(why));
        }
        if let State::In(episode) = std::mem::replace(&mut self.now, State::Good) {
            self.close(*episode, at, true);
        }
        Told { attempts: self.attempts, losses: self.losses, episodes: self.episodes, untold: self.untold }
    }
}

/// What a chronicle reports in the end; as in [`crate::outcome::WatchedFlow`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Decided attempts.
    pub attempts: u64,
    /// Lost single attempts of an allowed flow.
    pub losses: u64,
    /// The episodes.
    pub episodes: Vec<Episode>,
    /// How many more there were.
    pub untold: u64,
}

fn ms(at: Moment) -> u64 {
    at.since(Moment(0)).as_millis() as u64
}

fn unclear(observation: &Observation) -> &'static str {
    match observation {
        Observation::LocalError { .. } => "the source could not make the attempt",
        Observation::DnsFailed { .. } => "the DNS server answered with an error",
        Observation::Garbled => "something else answered at that address",
        _ => "it was answered, but the destination has no record of it",
    }
}

#[cfg(test)]
mod tests;
