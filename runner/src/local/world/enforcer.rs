//! Keeps the rules of every node in line with the API's state: one task, in the order of changes.

use super::{
    message::Setup,
    nft::{Loaded, foundations, has_own_paths},
    node::Node,
    state::failed,
};
use crate::local::{
    engine::{
        compile::{Perceived, compile},
        memory::Memory,
        ruleset::Ruleset,
        view::View,
    },
    fault::{Fault, LATE},
    object::Refusal,
};
use futures::future::join_all;
use nlink::{Connection, Nftables};
use std::{
    collections::VecDeque,
    net::IpAddr,
    os::fd::AsFd,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How many moments of enforcement are kept for [`Enforcer::enforced_ago`].
const REMEMBERED: usize = 1000;

/// Takes states of the API, and loads the resulting rules into the kernel.
pub(crate) struct Enforcer {
    changes: mpsc::UnboundedSender<Change>,
    delay: Duration,
    history: History,
    nodes: Vec<Vec<IpAddr>>,
    states: Option<States>,
}

type History = Arc<Mutex<VecDeque<(u64, Instant)>>>;

struct Change {
    view: View,
    revision: u64,
    due: Instant,
    done: Option<oneshot::Sender<Result<(), Refusal>>>,
}

impl Enforcer {
    /// Loads the fixed rules, and starts to wait for changes.
    pub(crate) async fn start(nodes: &[Node], setup: &Setup, fault: Option<Fault>) -> Result<Self, Refusal> {
        let mut kernels = Vec::new();
        for node in nodes {
            let rules = Connection::<Nftables>::new_in(node.network.as_fd()).map_err(without_nftables)?;
            let foundations = foundations(rules.transaction(), node.number, fault);
            foundations.commit(&rules).await.map_err(without_nftables)?;
            kernels.push(Kernel { node: node.number, rules, loaded: Loaded::default() });
        }
        let (changes, queue) = mpsc::unbounded_channel();
        let history = History::default();
        let addresses: Vec<_> = nodes.iter().map(|node| node.addresses.clone()).collect();
        let states = setup.keep_states.then(States::default);
        let engine = Engine {
            kernels,
            addresses: addresses.clone(),
            states: states.clone(),
            memory: Memory::with(fault),
            fault,
            history: Arc::clone(&history),
        };
        tokio::spawn(engine.run(queue));
        let mut delay = Duration::from_millis(setup.enforce_delay_ms);
        if fault == Some(Fault::LateByTenSeconds) {
            delay += LATE;
        }
        Ok(Self { changes, delay, history, nodes: addresses, states })
    }

    /// The faults that would have made a difference to what was enforced so far; all faults if states were not kept.
    pub(crate) fn telling_faults(&self) -> Vec<Fault> {
        let states = self
            .states
            .as_ref()
            .map(|states| states.lock().expect("nobody panics while holding them").clone());
        let Some(states) = states else { return Fault::all().collect() };
        let correct: Vec<_> = states
            .iter()
            .map(|(view, now)| self.rules(&Memory::default().perceive(view.clone(), *now), None))
            .collect();
        let tells = |fault: &Fault| {
            let mut memory = Memory::with(Some(*fault));
            !is_only_rules(*fault, self.nodes.len())
                || states.iter().zip(&correct).any(|((view, now), correct)| {
                    self.rules(&memory.perceive(view.clone(), *now), Some(*fault)) != *correct
                })
        };
        Fault::all().filter(tells).collect()
    }

    fn rules(&self, perceived: &Perceived, fault: Option<Fault>) -> Vec<Ruleset> {
        (1..).zip(&self.nodes).map(|(node, _)| compile(perceived, node, &self.nodes, fault)).collect()
    }

    /// Takes a state, which is enforced after the delay.
    pub(crate) fn changed(&self, view: View, revision: u64) {
        self.send(view, revision, Instant::now() + self.delay, None);
    }

    /// Takes a state and returns when it is enforced, without the delay: a plugin does this before it lets a pod start.
    pub(crate) async fn enforce_now(&self, view: View, revision: u64) -> Result<(), Refusal> {
        let (done, outcome) = oneshot::channel();
        self.send(view, revision, Instant::now(), Some(done));
        outcome.await.unwrap_or_else(|_| Err(failed("enforcing policies", "the engine has stopped")))
    }

    fn send(
        &self,
        view: View,
        revision: u64,
        due: Instant,
        done: Option<oneshot::Sender<Result<(), Refusal>>>,
    ) {
        // The engine ends only with the world; a caller that waits then sees that no answer comes.
        let _ = self.changes.send(Change { view, revision, due, done });
    }

    /// For how long all nodes have had this revision, or a later one.
    pub(crate) fn enforced_ago(&self, revision: u64) -> Option<Duration> {
        let history = self.history.lock().expect("nobody panics while holding it");
        history.iter().find(|(enforced, _)| *enforced >= revision).map(|(_, at)| at.elapsed())
    }
}

fn without_nftables(error: nlink::Error) -> Refusal {
    Refusal::Surroundings {
        what: format!("the kernel does not take nftables rules: {error}"),
        hint: "it needs nf_tables with the inet family, NAT and connection tracking (CONFIG_NF_TABLES, \
               CONFIG_NFT_CT, CONFIG_NFT_NAT): load the modules, or use --cluster kube"
            .to_owned(),
    }
}

/// The rules of one node.
struct Kernel {
    node: u8,
    rules: Connection<Nftables>,
    loaded: Loaded,
}

struct Engine {
    kernels: Vec<Kernel>,
    addresses: Vec<Vec<IpAddr>>,
    memory: Memory,
    fault: Option<Fault>,
    history: History,
    states: Option<States>,
}

/// All states of the API that the engine got, and when.
type States = Arc<Mutex<Vec<(View, Instant)>>>;

impl Engine {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Change>) {
        let mut waiting: VecDeque<Change> = VecDeque::new();
        let mut last: Option<Change> = None;
        loop {
            let now = Instant::now();
            let due = waiting.iter().map(|change| change.due).chain(self.memory.next_change(now)).min();
            if due.is_some_and(|due| due <= now) {
                let count = waiting.iter().rposition(|change| change.due <= now).map_or(0, |at| at + 1);
                let mut changes: Vec<_> = waiting.drain(..count).collect();
                let Some(newest) = changes.last() else { continue };
                let (view, revision) = (newest.view.clone(), newest.revision);
                for change in &changes[..count - 1] {
                    // A state that is skipped must still reach the memory.
                    self.perceive(change.view.clone());
                }
                let outcome = self.enforce(view, revision).await;
                for change in &mut changes {
                    if let Some(done) = change.done.take() {
                        // The caller may have stopped waiting.
                        let _ = done.send(outcome.clone());
                    }
                }
                last = changes.pop();
                continue;
            }
            tokio::select! {
                change = queue.recv() => match change {
                    Some(change) => waiting.push_back(change),
                    None => return,
                },
                () = until(due) => {
                    if let (true, Some(last)) = (waiting.iter().all(|change| Some(change.due) != due), &last) {
                        // The memory changes without a change of the API's state.
                        let _ = self.enforce(last.view.clone(), last.revision).await;
                    }
                }
            }
        }
    }

    fn perceive(&mut self, view: View) -> Perceived {
        let now = Instant::now();
        if let Some(states) = &self.states {
            states.lock().expect("nobody panics while holding them").push((view.clone(), now));
        }
        self.memory.perceive(view, now)
    }

    async fn enforce(&mut self, view: View, revision: u64) -> Result<(), Refusal> {
        let perceived = self.perceive(view);
        let (fault, addresses) = (self.fault, &self.addresses);
        let commits = self.kernels.iter_mut().map(|kernel| {
            let rules = compile(&perceived, kernel.node, addresses, fault);
            async move {
                if let Some((next, transaction)) =
                    kernel.loaded.change(&rules, fault, kernel.rules.transaction())
                {
                    transaction.commit(&kernel.rules).await?;
                    kernel.loaded = next;
                }
                Ok::<_, nlink::Error>(())
            }
        });
        for outcome in join_all(commits).await {
            outcome.map_err(|error| failed("loading rules into the kernel", error))?;
        }
        let mut history = self.history.lock().expect("nobody panics while holding it");
        if history.len() == REMEMBERED {
            history.pop_front();
        }
        history.push_back((revision, Instant::now()));
        Ok(())
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether a fault changes only the rules that follow from the API's state, so that the same rules mean the same network.
fn is_only_rules(fault: Fault, nodes: usize) -> bool {
    // These act when rules are loaded, by the clock, or on the addresses of pods.
    let elsewhere = [
        Fault::RejectsInsteadOfDrops,
        Fault::LateByTenSeconds,
        Fault::StartupWindow,
        Fault::GonePodsStayPeers,
        Fault::GonePodsStaySubjects,
    ];
    !elsewhere.contains(&fault) && !(1..).take(nodes).any(|node| has_own_paths(node, fault))
}
