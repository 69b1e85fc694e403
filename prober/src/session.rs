//! Carries out the runner's commands and makes reports; owns the record, the attempts and the listeners.

use crate::{
    attempt::Attempts,
    capture::{Captures, Packet},
    clock::Clock,
    link::Link,
    listen::{CHECK_EVERY, CHECK_FLOW, Checked, Listeners, Received},
    record::{Arrival, Completeness, Record},
    surroundings,
};
use flowproof_wire::{Command, Event, First, HOLE_MS, PROTOCOL, Report, Revision};
use std::{ops::ControlFlow, time::Duration};

/// The most spans in one report; together they are far shorter than the longest line. If more have changed, further reports
/// follow at once.
const MOST_SPANS: usize = 4096;

/// The state of a prober, whether a runner is attached or not.
pub(crate) struct Session {
    clock: Clock,
    instance: u64,
    lease_us: u64,
    attempts: Attempts,
    listeners: Listeners,
    record: Record,
    captures: Option<Captures>,
    run: Option<u64>,
    attached: Option<Attached>,
    /// When the lease ends, while no runner is attached.
    lease_ends_us: Option<u64>,
    next_report_us: u64,
    next_check_us: u64,
    lag_us: u64,
    /// Since when the timer was never late by [`HOLE_MS`] or more.
    steady_us: u64,
}

/// A stream, and what its runner has got.
struct Attached {
    link: Link,
    handshake: Handshake,
    /// Everything up to this revision was sent on this stream.
    sent: Revision,
    /// [`Report::at_us`] of the last report that was complete.
    told_us: u64,
    /// Whether a report is due that could not be made yet.
    report_due: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handshake {
    Awaited,
    Done,
}

impl Session {
    /// Starts with nothing to do and no runner attached.
    pub(crate) fn new(clock: Clock, lease: Duration, attempts: Attempts, listeners: Listeners) -> Self {
        let now = clock.now_us();
        Self {
            clock,
            instance: surroundings::random(),
            lease_us: lease.as_micros() as u64,
            attempts,
            listeners,
            record: Record::default(),
            captures: None,
            run: None,
            attached: None,
            lease_ends_us: None,
            next_report_us: now,
            next_check_us: now + CHECK_EVERY.as_micros() as u64,
            lag_us: 0,
            steady_us: now,
        }
    }

    /// Reports what this captures from now on.
    pub(crate) fn capture(&mut self, captures: Captures) {
        self.attempts.note_ports();
        self.captures = Some(captures);
    }

    /// Takes in a packet that was captured.
    pub(crate) fn captured(&mut self, packet: &Packet) {
        if let (Some(captures), Some(ports)) = (&mut self.captures, self.attempts.ports()) {
            captures.take(packet, ports);
        }
    }

    /// Attaches a stream instead of the previous one, and says hello.
    pub(crate) fn attach(&mut self, mut link: Link) {
        self.detach();
        let surroundings::Resolver { name_servers, search } = surroundings::resolver();
        link.send(&Event::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance,
            at_us: self.clock.now_us(),
            name_servers,
            search,
        });
        self.attached = Some(Attached {
            link,
            handshake: Handshake::Awaited,
            sent: Revision(0),
            told_us: 0,
            report_due: false,
        });
    }

    /// Drops the stream; the lease begins, unless it has already begun.
    pub(crate) fn detach(&mut self) {
        if self.attached.take().is_some() && self.lease_ends_us.is_none() {
            self.lease_ends_us = Some(self.clock.now_us().saturating_add(self.lease_us));
        }
    }

    /// Returns what to wait for in addition to times: the attached stream, the sockets of attempts, captured packets.
    pub(crate) fn waits(&mut self) -> (Option<&mut Link>, &Attempts, Option<&mut Captures>) {
        let link = self.attached.as_mut().map(|attached| &mut attached.link);
        (link, &self.attempts, self.captures.as_mut())
    }

    fn link(&mut self) -> Option<&mut Link> {
        self.attached.as_mut().map(|attached| &mut attached.link)
    }

    /// Sends a refusal to the attached runner; the stream goes on.
    pub(crate) fn refuse(&mut self, message: String) {
        if let Some(link) = self.link() {
            link.send(&Event::Refused { message });
        }
    }

    /// Sends a refusal to the attached runner and closes its stream.
    pub(crate) fn refuse_and_close(&mut self, message: String) {
        self.refuse(message);
        if let Some(link) = self.link() {
            link.close();
        }
    }

    /// Carries out a command of the attached runner; breaks if the prober must end.
    pub(crate) fn obey(&mut self, command: Command) -> ControlFlow<()> {
        let Some(attached) = &mut self.attached else {
            return ControlFlow::Continue(());
        };
        match (attached.handshake, command) {
            (Handshake::Awaited, Command::Hello { protocol, run, have }) if protocol == PROTOCOL => {
                attached.handshake = Handshake::Done;
                attached.report_due = true;
                self.greeted(run, have);
            }
            (Handshake::Awaited, Command::Hello { protocol, .. }) => self.refuse_and_close(format!(
                "the runner speaks protocol {protocol}, this prober (version {}) speaks {PROTOCOL}; both must come from \
                 the same build",
                env!("CARGO_PKG_VERSION")
            )),
            (Handshake::Awaited, _) => self.refuse_and_close("the first command must be hello".to_owned()),
            (Handshake::Done, Command::Hello { .. }) => self.refuse("hello came twice".to_owned()),
            (Handshake::Done, Command::Listen { listeners }) => {
                if let Some(captures) = &mut self.captures {
                    captures.listens(&listeners);
                }
                self.listeners.set(listeners);
                self.next_check_us = self.clock.now_us();
            }
            (Handshake::Done, Command::Try { flows, pace }) => {
                if let Err(wrong) = self.attempts.set(flows, pace) {
                    self.refuse(wrong);
                }
            }
            (Handshake::Done, Command::Ack { have }) => self.record.acknowledge(have),
            (Handshake::Done, Command::Ping { id }) => {
                let at_us = self.clock.now_us();
                attached.link.send(&Event::Pong { id, at_us });
            }
            (Handshake::Done, Command::Quit) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    /// Begins a run without a runner; the lease runs until one is attached.
    pub(crate) fn begin(&mut self, first: &First) -> Result<(), String> {
        self.begin_run(first.run);
        self.attempts.set(first.flows.clone(), first.pace)?;
        self.lease_ends_us = Some(self.clock.now_us().saturating_add(self.lease_us));
        Ok(())
    }

    fn begin_run(&mut self, run: u64) {
        self.run = Some(run);
        self.attempts.begin_run(run);
        if let Some(captures) = &mut self.captures {
            captures.begin_run(run);
        }
    }

    fn greeted(&mut self, run: u64, have: Revision) {
        if self.run != Some(run) {
            self.record.forget();
            self.listeners.set([]);
            self.begin_run(run);
        }
        self.lease_ends_us = None;
        self.attempts.resume();
        let have = self.record.known(have);
        self.record.acknowledge(have);
        if let Some(attached) = &mut self.attached {
            attached.sent = have;
        }
    }

    /// Records a nonce that arrived, unless it is of another run or of a check.
    pub(crate) fn received(&mut self, Received { nonce, at_us, peer }: &Received) {
        if Some(nonce.run) == self.run && nonce.flow != CHECK_FLOW {
            self.record.arrived(&Arrival {
                flow: nonce.flow,
                attempt: nonce.attempt,
                at_us: *at_us,
                peer: *peer,
            });
        }
    }

    /// Records what a check of a listener found.
    pub(crate) fn checked(&mut self, checked: &Checked) {
        // If listeners lag, they answer too late, even if all timers are on time.
        self.lag_us = self.lag_us.max(checked.took_us);
        self.listeners.checked(checked);
    }

    /// Returns when the next turn is needed, whatever else happens.
    pub(crate) fn next_us(&self) -> u64 {
        let attempts = self.attempts.next_us().unwrap_or(u64::MAX);
        let lease = self.lease_ends_us.unwrap_or(u64::MAX);
        attempts.min(lease).min(self.next_report_us).min(self.next_check_us)
    }

    /// Does everything that is due.
    pub(crate) fn turn(&mut self) {
        let late_us = self.attempts.turn(&mut self.record);
        self.lag_us = self.lag_us.max(late_us);
        let now = self.clock.now_us();
        if self.lease_ends_us.is_some_and(|end| end <= now) {
            self.lease_ends_us = None;
            self.attempts.pause();
        }
        if self.next_check_us <= now {
            self.next_check_us = now + CHECK_EVERY.as_micros() as u64;
            self.listeners.check(self.run.unwrap_or_default());
        }
        if self.next_report_us <= now {
            let late_us = now - self.next_report_us;
            self.lag_us = self.lag_us.max(late_us);
            if late_us >= HOLE_MS * 1000 {
                self.steady_us = now;
            }
            // After a delay, the interval starts again; missed reports are not made up for.
            let every_us = self.attempts.report_every_us();
            self.next_report_us = if late_us < every_us { self.next_report_us } else { now } + every_us;
            if let Some(attached) = &mut self.attached {
                attached.report_due = true;
            }
        }
        self.report();
    }

    /// Makes a report if one is due and the previous one is written, so that a runner that does not read costs no memory.
    fn report(&mut self) {
        let Some(attached) = &mut self.attached else {
            return;
        };
        let ready = attached.handshake == Handshake::Done && attached.report_due && attached.link.is_idle();
        if !ready || !self.attempts.is_settled() {
            return;
        }
        let changes = self.record.changes(attached.sent, MOST_SPANS);
        attached.sent = changes.revision;
        attached.report_due = changes.completeness == Completeness::Partial;
        let mut lag_us = 0;
        if changes.completeness == Completeness::Complete {
            attached.told_us = self.clock.now_us();
            lag_us = std::mem::take(&mut self.lag_us);
        }
        attached.link.send(&Event::Report(Report {
            revision: changes.revision,
            // A partial report can only promise what the previous one did.
            at_us: attached.told_us,
            steady_us: self.steady_us,
            lag_us,
            source: changes.source,
            arrivals: changes.arrivals,
            listeners: self.listeners.report(),
            dropped_spans: self.record.dropped(),
            capture: self.captures.as_mut().map(Captures::report),
        }));
    }
}
