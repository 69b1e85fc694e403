//! A conversation with one prober, as far as the tests need it.

use anyhow::{Context, Result, bail};
use flowproof::cluster::{Cluster, PodName, Stream};
use flowproof_wire::{Command, Event, Listener, ListenerState, PROTOCOL, Revision};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// Limit for one answer: reports come every 100 ms, listeners are checked within a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// A stream after the handshake.
pub(crate) struct Conversation {
    stream: BufReader<Box<dyn Stream>>,
    pub(crate) instance: u64,
}

impl Conversation {
    /// Attaches and shakes hands.
    pub(crate) async fn open(cluster: &dyn Cluster, pod: &PodName) -> Result<Self> {
        let stream = cluster.attach(pod).await.with_context(|| format!("attach to {pod}"))?;
        let mut conversation = Self { stream: BufReader::new(stream), instance: 0 };
        let Event::Hello { protocol, instance, .. } = conversation.hear().await? else {
            bail!("the first event is not a hello");
        };
        anyhow::ensure!(protocol == PROTOCOL, "protocol {protocol}");
        conversation.instance = instance;
        conversation.say(&Command::Hello { protocol, run: 1, have: Revision(0) }).await?;
        Ok(conversation)
    }

    pub(crate) async fn say(&mut self, command: &Command) -> Result<()> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.stream.write_all(&line).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads the next event; fails at the end of the stream.
    pub(crate) async fn hear(&mut self) -> Result<Event> {
        let mut line = String::new();
        let read =
            timeout(DEADLINE, self.stream.read_line(&mut line)).await.context("no event in time")??;
        anyhow::ensure!(read > 0, "the stream ended");
        Ok(serde_json::from_str(&line)?)
    }

    /// Asks for a pong and waits for it.
    pub(crate) async fn ping(&mut self, id: u64) -> Result<()> {
        self.say(&Command::Ping { id }).await?;
        let pong = async {
            loop {
                match self.hear().await? {
                    Event::Pong { id: answered, .. } if answered == id => return Ok(()),
                    _ => {}
                }
            }
        };
        timeout(DEADLINE, pong).await.context("no pong in time")?
    }

    /// Sets the listeners and waits until all of them are alive.
    pub(crate) async fn listen(&mut self, listeners: &[Listener]) -> Result<()> {
        self.say(&Command::Listen { listeners: listeners.to_vec() }).await?;
        self.listening(listeners).await
    }

    /// Waits until all of the listeners are alive.
    pub(crate) async fn listening(&mut self, listeners: &[Listener]) -> Result<()> {
        let mut last = Vec::new();
        let alive = async {
            loop {
                if let Event::Report(report) = self.hear().await? {
                    let alive = |wanted: &Listener| {
                        report
                            .listeners
                            .iter()
                            .any(|it| it.listener == *wanted && it.status == ListenerState::Alive)
                    };
                    if listeners.iter().all(alive) {
                        return anyhow::Ok(());
                    }
                    last = report.listeners;
                }
            }
        };
        match timeout(DEADLINE, alive).await {
            Ok(result) => result,
            Err(_) => bail!("listeners are not alive: {last:?}"),
        }
    }

    /// Reads until the other side ends the stream.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        let mut line = String::new();
        let end = async {
            while self.stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                line.clear();
            }
        };
        timeout(DEADLINE, end).await.context("the stream goes on")
    }
}
