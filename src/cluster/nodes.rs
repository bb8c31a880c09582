//! Which nodes are there. Pure: it is told what was heard, and when time has passed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LEASE, NodeId, NodeReport};

/// Nodes that are remembered. There are never so many; what makes up names is held off here.
const MAX_NODES: usize = 1_000;

/// One run of a node, from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Boot(pub(super) u64);

impl Boot {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// The process part of the ids that this run mints.
    pub(super) fn process(self) -> [u8; 5] {
        let [process @ .., _, _, _] = self.0.to_be_bytes();
        process
    }

    /// Reads what [`fmt::Display`] writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A node, and how it was when it said so last.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Its run.
    pub boot: Boot,
    /// What it has said of itself; nothing yet, if it has only been heard.
    pub report: Option<NodeReport>,
    /// How long it has said nothing, not counting the time in which nothing could be heard.
    pub silence: Duration,
    /// How many words of it were heard.
    pub words: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: BTreeMap<NodeId, Node>,
    /// Runs whose node has begun another one. Their users have the time of the lease to come back.
    replaced: Vec<Node>,
}

impl Nodes {
    /// A node was heard. Whether this run of it is new.
    pub(super) fn hear(&mut self, id: &NodeId, boot: Boot) -> bool {
        if let Some(node) = self.nodes.get_mut(id).filter(|node| node.boot == boot) {
            node.silence = Duration::ZERO;
            node.words += 1;
            return false;
        }
        if self.replaced.iter().any(|node| node.boot == boot) {
            return false;
        }
        let has_room = self.nodes.len() + self.replaced.len() < MAX_NODES;
        if has_room {
            let node =
                Node { id: id.clone(), boot, report: None, silence: Duration::ZERO, words: 1 };
            self.replaced.extend(self.nodes.insert(id.clone(), node));
        }
        has_room
    }

    /// A node has said how it is.
    pub(super) fn report(&mut self, id: &NodeId, report: NodeReport) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.report = Some(report);
        }
    }

    /// This node says how it is itself, and needs no bus for that.
    pub(super) fn know_own(&mut self, id: &NodeId, boot: Boot, report: NodeReport) {
        self.hear(id, boot);
        self.report(id, report);
    }

    /// So much time has passed, in which this node could hear the others, or not: who is lost. Time
    /// in which nothing could be heard is no silence.
    pub(super) fn look(&mut self, passed: Duration, hears: bool) -> Vec<(NodeId, Boot)> {
        if !hears {
            return Vec::new();
        }
        let mut lost = Vec::new();
        let mut stays = |node: &mut Node| {
            node.silence += passed;
            let stays = node.silence < LEASE;
            if !stays {
                lost.push((node.id.clone(), node.boot));
            }
            stays
        };
        self.nodes.retain(|_, node| stays(node));
        self.replaced.retain_mut(stays);
        lost
    }

    /// How many words were heard of the run, there or replaced, that mints such ids.
    pub(super) fn words_of(&self, process: [u8; 5]) -> Option<u64> {
        let mut runs = self.nodes.values().chain(&self.replaced);
        runs.find(|node| node.boot.process() == process).map(|node| node.words)
    }

    /// All that are there, that of this run first.
    pub(super) fn all(&self, own: Boot) -> Vec<Node> {
        let (first, others): (Vec<_>, Vec<_>) =
            self.nodes.values().cloned().partition(|node| node.boot == own);
        first.into_iter().chain(others).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    /// How many looks it takes until a node is lost.
    fn looks_until_lost(nodes: &mut Nodes) -> usize {
        (1..100).find(|_| !nodes.look(SECOND, true).is_empty()).unwrap()
    }

    #[test]
    fn a_node_that_says_nothing_is_lost_once() {
        let mut nodes = Nodes::default();
        assert!(nodes.hear(&id("a"), Boot(1)));
        assert!(!nodes.hear(&id("a"), Boot(1)));
        for _ in 0..100 {
            assert_eq!(nodes.look(SECOND, true), []);
            nodes.hear(&id("a"), Boot(1));
        }
        assert_eq!(looks_until_lost(&mut nodes), 11);
        assert_eq!((nodes.len(), nodes.look(LEASE, true)), (0, vec![]));
    }

    #[test]
    fn nobody_is_lost_while_nothing_can_be_heard() {
        let mut nodes = Nodes::default();
        nodes.hear(&id("a"), Boot(1));
        for _ in 0..100 {
            assert_eq!(nodes.look(SECOND, false), []);
        }
        assert_eq!(looks_until_lost(&mut nodes), 11, "there is time to be heard again");
    }

    #[test]
    fn words_are_counted_by_run_for_as_long_as_it_is_not_lost() {
        let mut nodes = Nodes::default();
        let runs = [Boot(1 << 24), Boot(2 << 24)];
        for words in 1..4 {
            nodes.hear(&id("a"), runs[0]);
            assert_eq!(nodes.words_of(runs[0].process()), Some(words));
        }
        nodes.hear(&id("a"), runs[1]);
        assert_eq!(runs.map(|run| nodes.words_of(run.process())), [Some(3), Some(1)]);
        nodes.look(LEASE, true);
        assert_eq!(runs.map(|run| nodes.words_of(run.process())), [None, None]);
    }

    #[test]
    fn a_node_that_was_started_again_replaces_its_former_run() {
        let mut nodes = Nodes::default();
        nodes.hear(&id("a"), Boot(1));
        nodes.hear(&id("b"), Boot(2));
        nodes.look(SECOND, true);
        assert!(nodes.hear(&id("a"), Boot(3)));
        let all: Vec<_> = nodes.all(Boot(2)).into_iter().map(|node| node.boot).collect();
        assert_eq!(all, [Boot(2), Boot(3)]);
        for _ in 0..9 {
            assert!(!nodes.hear(&id("a"), Boot(1)), "a late word of it");
            assert_eq!(nodes.look(SECOND, true), []);
            nodes.hear(&id("a"), Boot(3));
            nodes.hear(&id("b"), Boot(2));
        }
        assert_eq!(nodes.look(SECOND, true), [(id("a"), Boot(1))], "the users had time");
    }
}
