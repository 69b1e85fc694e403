//! The runner's end of one prober's stream: handshake, resumption, clock offset, and the times of the run.
//!
//! A link outlives its streams: when one is lost, it attaches again and resumes the record where it stopped. What the
//! prober must listen on and try is kept as a wish ([`Wish`]) and sent again on every new stream.

use crate::cluster::{Cluster, ClusterError, PodName, Stream};
use flowproof_core::{
    evidence::{
        record::{ArrivalRun, SourceRun},
        time::Moment,
    },
    trial::news::{self, News},
};
use flowproof_wire::{
    Command, Event, FlowSpec, Listener, ListenerStatus, MAX_LINE_BYTES, PROTOCOL, Pace, Report, Revision,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    sync::{mpsc, watch},
    time::{interval, sleep, timeout},
};

/// Opening a stream through the API server takes milliseconds, or seconds if the API server is slow.
const ATTACH_DEADLINE: Duration = Duration::from_secs(15);
/// A prober says hello first, as soon as the stream is open.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Reports come every 100 ms, in a watch every 500 ms. If nothing came for this long, the stream is dead or its prober is
/// stopped.
const SILENCE_DEADLINE: Duration = Duration::from_secs(3);
/// How often the clock offset is measured and reports are acknowledged. Not more often, because every message goes through the API
/// server, the kubelet and the container runtime.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Pause before attaching again; doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a prober is to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wish {
    /// The ports it answers on.
    pub listeners: Vec<Listener>,
    /// The flows it tries, and how often; `None` before the first.
    pub flows: Option<(Arc<Vec<FlowSpec>>, Pace)>,
}

/// What a link is made of.
pub struct LinkSpec {
    /// Where the pod runs.
    pub cluster: Arc<dyn Cluster>,
    /// The pod.
    pub pod: PodName,
    /// The index with which news are sent.
    pub index: usize,
    /// Part of every nonce of the lane.
    pub nonce: u64,
    /// Zero of the run's clock.
    pub zero: Instant,
}

/// Keeps a prober attached until the sender of wishes or the receiver of news is dropped, or the pod is gone.
pub async fn keep(
    spec: LinkSpec,
    mut wish: watch::Receiver<Wish>,
    news: mpsc::UnboundedSender<(usize, News)>,
) {
    let mut known = Known::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let attached = timeout(ATTACH_DEADLINE, spec.cluster.attach(&spec.pod)).await;
        let why = match attached {
            Err(_) => format!("no stream to its prober within {} s", ATTACH_DEADLINE.as_secs()),
            Ok(Err(error @ ClusterError::PodGone { .. })) => {
                let _ = news.send((spec.index, News::Gone(error.to_string())));
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(stream)) => match Session::open(stream, &spec, &mut known).await {
                Err(why) => why,
                Ok(mut session) => {
                    pause = FIRST_PAUSE;
                    match session.run(&spec, &mut known, &mut wish, &news).await {
                        Ended::Over => return,
                        Ended::Lost(why) => why,
                    }
                }
            },
        };
        if news.send((spec.index, News::Lost(why))).is_err() {
            return;
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            closed = closed(&mut wish) => return closed,
        }
    }
}

/// Returns when the sender of wishes is dropped.
async fn closed(wish: &mut watch::Receiver<Wish>) {
    while wish.changed().await.is_ok() {}
}

/// What outlives a stream.
#[derive(Default)]
struct Known {
    instance: Option<u64>,
    revision: Revision,
    clock: Clock,
}

/// Converts a prober's times to moments of the run.
///
/// A prober reads its clock somewhere between the ping and the pong, and the middle of the two is taken. So the error is half a round
/// trip at most, and measurements with a short round trip are preferred.
#[derive(Default)]
struct Clock {
    /// What to add to the prober's microseconds.
    offset_us: i64,
    /// The shortest round trip so far.
    round_trip: Option<Duration>,
}

impl Clock {
    fn measured(&mut self, sent: Moment, received: Moment, prober_us: u64) {
        let round_trip = received.since(sent);
        // Clocks drift, so a new offset replaces the old one even if its round trip is up to twice the shortest.
        if self.round_trip.is_none_or(|best| round_trip <= best * 2) {
            self.offset_us = i64::midpoint(sent.0, received.0) - prober_us.cast_signed();
            self.round_trip = Some(self.round_trip.map_or(round_trip, |best| best.min(round_trip)));
        }
    }

    fn moment(&self, prober_us: u64) -> Moment {
        Moment(prober_us.cast_signed() + self.offset_us)
    }
}

enum Ended {
    /// Nobody needs the link any more.
    Over,
    Lost(String),
}

struct Session {
    lines: BufReader<ReadHalf<Box<dyn Stream>>>,
    writer: WriteHalf<Box<dyn Stream>>,
    line: Vec<u8>,
    hello: Option<News>,
    restarted: bool,
}

impl Session {
    async fn open(stream: Box<dyn Stream>, spec: &LinkSpec, known: &mut Known) -> Result<Self, String> {
        let (reader, writer) = tokio::io::split(stream);
        let mut session = Self {
            lines: BufReader::with_capacity(64 * 1024, reader),
            writer,
            line: Vec::new(),
            hello: None,
            restarted: false,
        };
        let event = timeout(HELLO_DEADLINE, session.next())
            .await
            .map_err(|_| format!("its prober did not say hello within {} s", HELLO_DEADLINE.as_secs()))??;
        let Event::Hello { protocol, version, instance, at_us, name_servers, search } = event else {
            return Err(format!("its prober's first word was not a hello but {event:?}"));
        };
        if protocol != PROTOCOL {
            return Err(format!(
                "the prober in the pod (flowproof {version}) speaks protocol {protocol}, this flowproof {PROTOCOL}: the image is \
                 another version's"
            ));
        }
        session.restarted = known.instance.is_some_and(|before| before != instance);
        if known.instance != Some(instance) {
            *known = Known { instance: Some(instance), ..Known::default() };
            // Until the first pong the offset is a guess: that the hello took no time. The long round trip lets any ping replace it.
            let now = now(spec.zero);
            known.clock.measured(now - HELLO_DEADLINE, now, at_us);
            known.clock.offset_us = now.0 - at_us.cast_signed();
        }
        session.say(&Command::Hello { protocol: PROTOCOL, run: spec.nonce, have: known.revision }).await?;
        session.hello = Some(News::Attached { instance, name_servers, search });
        Ok(session)
    }

    async fn run(
        &mut self,
        spec: &LinkSpec,
        known: &mut Known,
        wish: &mut watch::Receiver<Wish>,
        news: &mpsc::UnboundedSender<(usize, News)>,
    ) -> Ended {
        if let Some(hello) = self.hello.take()
            && news.send((spec.index, hello)).is_err()
        {
            return Ended::Over;
        }
        match self.converse(spec, known, wish, news).await {
            Ok(()) => Ended::Over,
            Err(why) => Ended::Lost(why),
        }
    }

    async fn converse(
        &mut self,
        spec: &LinkSpec,
        known: &mut Known,
        wish: &mut watch::Receiver<Wish>,
        news: &mpsc::UnboundedSender<(usize, News)>,
    ) -> Result<(), String> {
        let mut said = Wish::default();
        let current = wish.borrow_and_update().clone();
        self.tell(&mut said, current).await?;
        let mut pings = interval(PING_EVERY);
        let mut pinged: Option<(u64, Moment)> = None;
        let mut id = 0;
        let mut acknowledged = known.revision;
        let mut last = Instant::now();
        loop {
            tokio::select! {
                event = self.next() => {
                    last = Instant::now();
                    match event? {
                        Event::Report(report) => {
                            known.revision = report.revision;
                            let heard = News::Reported(Box::new(in_run_time(report, &known.clock)));
                            if news.send((spec.index, heard)).is_err() {
                                return Ok(());
                            }
                        }
                        Event::Pong { id: answered, at_us } => match pinged.take() {
                            Some((asked, sent)) if asked == answered => known.clock.measured(sent, now(spec.zero), at_us),
                            _ => {}
                        },
                        Event::Refused { message } => return Err(format!("its prober refused a command: {message}")),
                        Event::Hello { .. } => return Err("its prober said hello twice".to_owned()),
                    }
                }
                changed = wish.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let current = wish.borrow_and_update().clone();
                    self.tell(&mut said, current).await?;
                }
                _ = pings.tick() => {
                    if last.elapsed() > SILENCE_DEADLINE {
                        return Err(format!("nothing came from its prober for {} ms", last.elapsed().as_millis()));
                    }
                    id += 1;
                    pinged = Some((id, now(spec.zero)));
                    self.say(&Command::Ping { id }).await?;
                    if acknowledged != known.revision {
                        acknowledged = known.revision;
                        self.say(&Command::Ack { have: acknowledged }).await?;
                    }
                }
            }
        }
    }

    /// Sends the prober what has changed between the last wish that was sent and this one.
    async fn tell(&mut self, said: &mut Wish, wish: Wish) -> Result<(), String> {
        if said.listeners != wish.listeners {
            self.say(&Command::Listen { listeners: wish.listeners.clone() }).await?;
        }
        if let Some((flows, pace)) = &wish.flows
            && said.flows != wish.flows
        {
            self.say(&Command::Try { flows: flows.to_vec(), pace: *pace }).await?;
        }
        *said = wish;
        Ok(())
    }

    async fn say(&mut self, command: &Command) -> Result<(), String> {
        let mut line = serde_json::to_vec(command).expect("a command is valid JSON");
        line.push(b'\n');
        let write = async {
            self.writer.write_all(&line).await?;
            self.writer.flush().await
        };
        match timeout(SILENCE_DEADLINE, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the stream to its prober broke: {error}")),
            Err(_) => {
                Err(format!("the stream to its prober took nothing for {} s", SILENCE_DEADLINE.as_secs()))
            }
        }
    }

    /// Reads the next event. Safe to cancel: an unfinished line stays in the buffer.
    async fn next(&mut self) -> Result<Event, String> {
        let limit = (MAX_LINE_BYTES + 1 - self.line.len()) as u64;
        let read = (&mut self.lines).take(limit).read_until(b'\n', &mut self.line).await;
        match read {
            Err(error) => Err(format!("the stream to its prober broke: {error}")),
            Ok(_) if self.line.last() != Some(&b'\n') => Err(if self.line.len() > MAX_LINE_BYTES {
                format!("its prober sent a line of more than {MAX_LINE_BYTES} bytes")
            } else {
                "the stream to its prober ended".to_owned()
            }),
            Ok(_) => {
                let event = serde_json::from_slice(&self.line).map_err(|error| {
                    format!(
                        "its prober sent a line that is not an event ({error}): is its image another version's?"
                    )
                });
                self.line.clear();
                event
            }
        }
    }
}

/// The current moment of the run.
pub fn now(zero: Instant) -> Moment {
    Moment(0) + zero.elapsed()
}

/// Converts the times of a report to moments of the run.
fn in_run_time(report: Report, clock: &Clock) -> news::Report {
    let source = |span: flowproof_wire::SourceSpan| {
        let run = SourceRun {
            first: span.first,
            last: span.last,
            first_at: clock.moment(span.first_us),
            last_at: clock.moment(span.last_us),
            min: Duration::from_micros(span.min_us),
            max: Duration::from_micros(span.max_us),
            observation: span.observation,
        };
        (span.flow, run)
    };
    let arrival = |span: flowproof_wire::ArrivalSpan| {
        let run = ArrivalRun {
            first: span.first,
            last: span.last,
            first_at: clock.moment(span.first_us),
            last_at: clock.moment(span.last_us),
            peer: span.peer,
        };
        (span.flow, run)
    };
    let listener = |status: ListenerStatus| {
        let period = status
            .since_us
            .zip(status.alive_us)
            .map(|(since, alive)| (clock.moment(since), clock.moment(alive)));
        (status, period)
    };
    news::Report {
        at: clock.moment(report.at_us),
        steady: clock.moment(report.steady_us),
        lag: Duration::from_micros(report.lag_us),
        source: report.source.into_iter().map(source).collect(),
        arrivals: report.arrivals.into_iter().map(arrival).collect(),
        listeners: report.listeners.into_iter().map(listener).collect(),
        dropped: report.dropped_spans,
        capture: report.capture,
    }
}
