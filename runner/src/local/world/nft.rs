//! Loads rule sets into the kernel: gives names to chains and sets, and makes one transaction per change.

use crate::local::{
    engine::{
        ranges::{Kind, Ranges},
        ruleset::{Action, Chain, Key, Match, Rule, Ruleset, Side, Table},
    },
    fault::Fault,
};
use nlink::netlink::nftables::{
    self as nft, BaseChain, ChainName, CmpOp, CtState, CtStatus, Expr, Family, FilterHook, IcmpxCode,
    LookupExpr, MetaKey, NatHook, NatStatement, NumgenKind, PayloadBase, Priority, RangeOp, Register, Set,
    SetElement, SetKeyType, Transaction, Verdict,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

const TABLE: &str = "flowproof";

/// How many elements go into one message: a netlink attribute holds 64 KiB.
const ELEMENTS: usize = 400;

const KINDS: [Kind; 2] = [Kind::V4, Kind::V6];

/// What the kernel holds for a node, and under which names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    sets: BTreeMap<(Kind, Arc<Ranges>), String>,
    chains: BTreeMap<Arc<Chain>, String>,
    entries: BTreeMap<(Table, Key), Arc<Chain>>,
    names: u64,
}

impl Loaded {
    /// Adds to a transaction what turns the loaded rules into these. Returns what is loaded afterwards, or `None` if there is
    /// nothing to do.
    pub(crate) fn change(
        &self,
        to: &Ruleset,
        fault: Option<Fault>,
        transaction: Transaction,
    ) -> Option<(Self, Transaction)> {
        if self.entries == to.entries {
            return None;
        }
        let mut next = Self { entries: to.entries.clone(), ..self.clone() };
        let chains = with_followers(to.entries.values());
        let sets: BTreeSet<_> = chains.iter().flat_map(|chain| sets_of(chain)).collect();
        let mut t = transaction;
        for set in &sets {
            if !next.sets.contains_key(set) {
                let name = next.name("set");
                t = add_set(t, &name, set.0, &set.1);
                next.sets.insert(set.clone(), name);
            }
        }
        for chain in &chains {
            if !next.chains.contains_key(chain) {
                let name = next.name("chain");
                t = t.add_chain(self::chain(&name));
                for rule in chain.0.iter().flat_map(|rule| next.rules(&name, rule, fault)) {
                    t = t.add_rule(rule);
                }
                next.chains.insert(Arc::clone(chain), name);
            }
        }
        t = self.change_entries(t, &next);
        // The kernel keeps a chain as long as another one jumps to it.
        let mut gone: Vec<_> = self.chains.iter().filter(|(chain, _)| !chains.contains(chain)).collect();
        gone.sort_by_key(|(chain, _)| Reverse(depth(chain)));
        for (chain, name) in gone {
            t = t.del_chain(TABLE, name, Family::Inet);
            next.chains.remove(chain);
        }
        for (set, name) in &self.sets {
            if !sets.contains(set) {
                t = t.del_set(TABLE, name, Family::Inet);
                next.sets.remove(set);
            }
        }
        Some((next, t))
    }

    fn change_entries(&self, transaction: Transaction, next: &Self) -> Transaction {
        let mut old: BTreeMap<Table, Vec<SetElement>> = BTreeMap::new();
        let mut new: BTreeMap<Table, Vec<SetElement>> = BTreeMap::new();
        for ((table, key), chain) in &self.entries {
            if next.entries.get(&(*table, *key)) != Some(chain) {
                old.entry(*table).or_default().push(element(*key));
            }
        }
        for ((table, key), chain) in &next.entries {
            if self.entries.get(&(*table, *key)) != Some(chain) {
                let verdict = Verdict::JumpTo(chain_name(&next.chains[chain]));
                new.entry(*table).or_default().push(element(*key).verdict(verdict));
            }
        }
        let mut t = transaction;
        for (table, elements) in old {
            for part in elements.chunks(ELEMENTS) {
                t = t.del_set_elements(&map(table), part);
            }
        }
        for (table, elements) in new {
            for part in elements.chunks(ELEMENTS) {
                t = t.add_set_elements(&map(table), part);
            }
        }
        t
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}{}", self.names)
    }

    /// The kernel's rules for a rule; several, if one of several destinations is chosen.
    fn rules(&self, chain: &str, rule: &Rule, fault: Option<Fault>) -> Vec<nft::Rule> {
        let matched =
            rule.when.iter().fold(new_rule(chain), |built, condition| self.add_match(built, condition));
        let decided = match &rule.then {
            Action::Allow => matched.expr(Expr::Verdict(Verdict::Return)),
            Action::Accept => matched.accept(),
            Action::Goto(chain) => {
                matched.expr(Expr::Verdict(Verdict::GotoTo(chain_name(&self.chains[chain]))))
            }
            Action::Deny if fault != Some(Fault::RejectsInsteadOfDrops) => matched.drop(),
            Action::Deny | Action::Refuse => matched.reject_icmpx(IcmpxCode::PortUnreachable),
            Action::Masquerade => matched.masquerade(),
            Action::ToOneOf(ends) => return one_of(&matched, ends),
        };
        vec![decided]
    }

    fn add_match(&self, rule: nft::Rule, condition: &Match) -> nft::Rule {
        match condition {
            Match::Peer(side, kind, ranges) => {
                let set = &self.sets[&(*kind, Arc::clone(ranges))];
                of_kind(rule, *kind).expr(address(*side, *kind, 0)).expr(LookupExpr::new(set, Register::R0))
            }
            Match::Protocol(protocol) => rule
                .expr(Expr::Meta { dreg: Register::R0, key: MetaKey::L4Proto })
                .expr(equals(vec![protocol.number()])),
            Match::Translated => rule.match_ct_status(CtStatus::DST_NAT),
            Match::Port(first, last) => rule.expr(port(Side::Destination, 0)).expr(within(*first, *last)),
            Match::SourcePort(first, last) => rule.expr(port(Side::Source, 0)).expr(within(*first, *last)),
        }
    }
}

/// Chains, and before each chain those that it leads to.
fn with_followers<'a>(chains: impl Iterator<Item = &'a Arc<Chain>>) -> Vec<Arc<Chain>> {
    let mut all = BTreeSet::new();
    let mut left: Vec<Arc<Chain>> = chains.cloned().collect();
    while let Some(chain) = left.pop() {
        if all.insert(Arc::clone(&chain)) {
            left.extend(chain.followers().cloned());
        }
    }
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_key(|chain| depth(chain));
    all
}

/// How many chains can follow a chain, one after the other.
fn depth(chain: &Chain) -> usize {
    chain.followers().map(|next| 1 + depth(next)).max().unwrap_or(0)
}

fn new_rule(chain: &str) -> nft::Rule {
    nft::Rule::new(TABLE, chain).family(Family::Inet)
}

/// Chooses each destination with the same probability: the first of *n* with 1/*n*, the next one with 1/(*n* - 1), and so on.
fn one_of(rule: &nft::Rule, ends: &[(IpAddr, u16)]) -> Vec<nft::Rule> {
    let rules = (1..=ends.len()).rev().zip(ends).map(|(left, (address, port))| {
        let draw =
            Expr::Numgen { dreg: Register::R0, kind: NumgenKind::Random, modulus: left as u32, offset: 0 };
        let chosen = if left == 1 {
            rule.clone()
        } else {
            rule.clone().expr(draw).expr(equals(0_u32.to_ne_bytes().to_vec()))
        };
        chosen.nat(NatStatement::dnat(*address).port(*port))
    });
    rules.collect()
}

fn sets_of(chain: &Chain) -> impl Iterator<Item = (Kind, Arc<Ranges>)> {
    chain.0.iter().flat_map(|rule| &rule.when).filter_map(|condition| match condition {
        Match::Peer(_, kind, ranges) => Some((*kind, Arc::clone(ranges))),
        _ => None,
    })
}

fn add_set(transaction: Transaction, name: &str, kind: Kind, ranges: &Ranges) -> Transaction {
    let set = Set::new(TABLE, name).family(Family::Inet).key_type(address_type(kind)).interval();
    let elements: Vec<_> = ranges.bounds(kind).map(|(first, last)| range(first, last)).collect();
    elements.chunks(ELEMENTS).fold(transaction.add_set(set.clone()), |t, part| t.add_set_elements(&set, part))
}

fn range(first: IpAddr, last: IpAddr) -> SetElement {
    SetElement::range(octets(first), octets(last))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn element(key: Key) -> SetElement {
    let address = |address| SetElement::new(octets(address));
    match key {
        Key::Address(one) => address(one),
        Key::Pair(one, other) => SetElement::concat([address(one), address(other)]),
        Key::Port(to, protocol, port) => SetElement::concat([
            address(to),
            SetElement::inet_proto(protocol.number()),
            SetElement::port(port),
        ]),
    }
}

fn map(table: Table) -> Set {
    let key = match table {
        Table::Egress(kind) | Table::Ingress(kind) => address_type(kind),
        Table::Hairpin(kind) | Table::HairpinSource(kind) => {
            SetKeyType::Concat(vec![address_type(kind), address_type(kind)])
        }
        Table::Service(kind) | Table::DeadService(kind) => {
            SetKeyType::Concat(vec![address_type(kind), SetKeyType::InetProto, SetKeyType::InetService])
        }
    };
    Set::new(TABLE, map_name(table)).family(Family::Inet).key_type(key).vmap()
}

fn map_name(table: Table) -> &'static str {
    match table {
        Table::Egress(Kind::V4) => "egress4",
        Table::Egress(Kind::V6) => "egress6",
        Table::Ingress(Kind::V4) => "ingress4",
        Table::Ingress(Kind::V6) => "ingress6",
        Table::Service(Kind::V4) => "service4",
        Table::Service(Kind::V6) => "service6",
        Table::DeadService(Kind::V4) => "dead4",
        Table::DeadService(Kind::V6) => "dead6",
        Table::Hairpin(Kind::V4) => "hairpin4",
        Table::Hairpin(Kind::V6) => "hairpin6",
        Table::HairpinSource(Kind::V4) => "hairpinsource4",
        Table::HairpinSource(Kind::V6) => "hairpinsource6",
    }
}

fn address_type(kind: Kind) -> SetKeyType {
    match kind {
        Kind::V4 => SetKeyType::Ipv4Addr,
        Kind::V6 => SetKeyType::Ipv6Addr,
    }
}

/// 32-bit words of an address.
fn words(kind: Kind) -> usize {
    match kind {
        Kind::V4 => 1,
        Kind::V6 => 4,
    }
}

fn register(word: usize) -> Register {
    Register::word(word).expect("keys are far shorter than the sixteen words of the registers")
}

fn of_kind(rule: nft::Rule, kind: Kind) -> nft::Rule {
    // NFPROTO_IPV4 and NFPROTO_IPV6.
    let number = match kind {
        Kind::V4 => 2,
        Kind::V6 => 10,
    };
    rule.expr(Expr::Meta { dreg: Register::R0, key: MetaKey::NfProto }).expr(equals(vec![number]))
}

fn equals(data: Vec<u8>) -> Expr {
    Expr::Cmp { sreg: Register::R0, op: CmpOp::Eq, data }
}

fn within(first: u16, last: u16) -> Expr {
    let (from, to) = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
    if first == last {
        return equals(from);
    }
    Expr::Range { sreg: Register::R0, op: RangeOp::Eq, from, to }
}

/// Loads an address of the packet (RFC 791, 3.1; RFC 8200, 3).
fn address(side: Side, kind: Kind, word: usize) -> Expr {
    let (offset, len) = match (kind, side) {
        (Kind::V4, Side::Source) => (12, 4),
        (Kind::V4, Side::Destination) => (16, 4),
        (Kind::V6, Side::Source) => (8, 16),
        (Kind::V6, Side::Destination) => (24, 16),
    };
    Expr::Payload { dreg: register(word), base: PayloadBase::Network, offset, len }
}

/// Loads a port: TCP, UDP and SCTP have both in the same place.
fn port(side: Side, word: usize) -> Expr {
    let offset = match side {
        Side::Source => 0,
        Side::Destination => 2,
    };
    Expr::Payload { dreg: register(word), base: PayloadBase::Transport, offset, len: 2 }
}

/// A rule that looks a packet up in a table.
fn lookup(rule: nft::Rule, table: Table) -> nft::Rule {
    let (kind, keys) = match table {
        Table::Egress(kind) => (kind, vec![address(Side::Source, kind, 0)]),
        Table::Ingress(kind) => (kind, vec![address(Side::Destination, kind, 0)]),
        Table::Hairpin(kind) | Table::HairpinSource(kind) => {
            (kind, vec![address(Side::Source, kind, 0), address(Side::Destination, kind, words(kind))])
        }
        Table::Service(kind) | Table::DeadService(kind) => (
            kind,
            vec![
                address(Side::Destination, kind, 0),
                Expr::Meta { dreg: register(words(kind)), key: MetaKey::L4Proto },
                port(Side::Destination, words(kind) + 1),
            ],
        ),
    };
    keys.into_iter()
        .fold(of_kind(rule, kind), nft::Rule::expr)
        .expr(LookupExpr::new(map_name(table), Register::R0).dreg(Register::Verdict))
}

fn chain_name(name: &str) -> ChainName {
    ChainName::new(name).expect("names made here are short and plain")
}

fn chain(name: &str) -> nft::Chain {
    nft::Chain::new(TABLE, name).expect("names made here are short and plain").family(Family::Inet)
}

/// Adds to a transaction what does not depend on the API's state: the tables to look up, and the paths of packets through
/// them.
pub(crate) fn foundations(transaction: Transaction, node: u8, fault: Option<Fault>) -> Transaction {
    let mut t = transaction.add_table(TABLE, Family::Inet);
    for table in [
        Table::Egress,
        Table::Ingress,
        Table::Service,
        Table::DeadService,
        Table::Hairpin,
        Table::HairpinSource,
    ] {
        t = KINDS.into_iter().fold(t, |t, kind| t.add_set(map(table(kind))));
    }
    t = t
        .add_chain(chain("prerouting").base(BaseChain::nat(NatHook::Prerouting, Priority::DstNat)))
        .add_chain(chain("translate").base(BaseChain::nat(NatHook::Output, Priority::DstNat)))
        .add_chain(chain("postrouting").base(BaseChain::nat(NatHook::Postrouting, Priority::SrcNat)))
        .add_chain(chain("forward").base(BaseChain::filter(FilterHook::Forward, Priority::Filter)))
        .add_chain(chain("input").base(BaseChain::filter(FilterHook::Input, Priority::Filter)))
        .add_chain(chain("output").base(BaseChain::filter(FilterHook::Output, Priority::Filter)));
    paths(node, fault).into_iter().fold(t, Transaction::add_rule)
}

/// Whether a fault changes the fixed rules of a node.
pub(crate) fn has_own_paths(node: u8, fault: Fault) -> bool {
    paths(node, Some(fault)) != paths(node, None)
}

/// The fixed rules, in order.
fn paths(node: u8, fault: Option<Fault>) -> Vec<nft::Rule> {
    let has = |one| fault == Some(one);
    let from_pods = |rule: nft::Rule| rule.match_iif_prefix("pod");
    let to_pods = |rule: nft::Rule| rule.match_oif_prefix("pod");
    let all = |chain, table: fn(Kind) -> Table| KINDS.map(|kind| lookup(new_rule(chain), table(kind)));
    let known = |chain| new_rule(chain).match_ct_state(CtState::ESTABLISHED | CtState::RELATED).accept();

    let mut rules = Vec::new();
    rules.extend(all("prerouting", Table::Service));
    rules.extend(all("translate", Table::Service));
    rules.extend(all("postrouting", Table::HairpinSource));
    if has(Fault::MasqueradedAcrossNodes) {
        rules.push(from_pods(new_rule("postrouting")).match_oif("eth0").masquerade());
    }
    if has(Fault::ForeignAcceptFirst) && node == 1 {
        rules.push(from_pods(new_rule("forward")).accept());
    }
    // The first packet of the connection has already been decided.
    if has(Fault::RepliesAreNewIngress) {
        rules.push(known("input"));
    } else if !has(Fault::RepliesDropped) {
        rules.extend([known("forward"), known("input")]);
    }
    rules.extend(all("forward", Table::DeadService));
    rules.extend(all("output", Table::DeadService));
    rules.extend(all("forward", Table::Hairpin));
    if has(Fault::SameNodeUnpoliced) {
        rules.push(to_pods(from_pods(new_rule("forward"))).accept());
    }
    if has(Fault::OtherNodeUnpoliced) {
        rules.push(to_pods(new_rule("forward").match_iif("eth0")).accept());
    }
    if has(Fault::RepliesAreNewIngress) {
        let new = |kind| lookup(new_rule("forward").match_ct_state(CtState::NEW), Table::Egress(kind));
        rules.extend(KINDS.map(new));
    } else {
        rules.extend(all("forward", Table::Egress));
    }
    rules.extend(all("forward", Table::Ingress));
    if !has(Fault::OwnNodeUnpoliced) {
        rules.extend(all("input", Table::Egress));
    }
    if has(Fault::OwnNodeBlocked) {
        rules.extend(all("output", Table::Ingress));
    }
    rules
}
