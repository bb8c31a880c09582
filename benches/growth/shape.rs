//! What the stores are filled with.
//!
//! 2,000 users write to each other, in 50 groups, and to the **viewer**, of whom the acts are. Of
//! ten messages one is in the viewer's largest direct conversation, one in the eleven others, one in
//! the viewer's 20 groups, of which the largest has half; so that at 1,000 messages there is a full page
//! of history wherever one is read. (A tenth of all in a dozen conversations would be too few for
//! that.) The viewer writes every fourth of them, and has read all others but the newest 100: each read
//! is an op as the server accepts it, and goes to the store in a batch folded as the server does.
//! A message has eight words out of 20,000, a few of them common. One in 1,000 has the rare word that
//! is searched for (so that one is found at 1,000, and a full page from 100,000 on), one in five the
//! common one.

use std::collections::VecDeque;
use std::sync::Arc;

use banter::buffer::bench::folded;
use banter::model::{
    Batch, Conversation, Group, GroupId, Message, Op, Position, Target, Timestamp, UserId,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::message::message;

pub(crate) const RARE: &str = "zebrafish";
pub(crate) const COMMON: &str = "meeting";

const USERS: usize = 2_000;
const PEERS: usize = 12;
const OWN_GROUPS: usize = 20;
const OTHER_GROUPS: usize = 50;
const MEMBERS: usize = 50;
const VOCABULARY: f64 = 20_000.0;
const UNREAD: usize = 100;

/// See the module.
pub(crate) struct Shape {
    pub(crate) viewer: UserId,
    /// The viewer's, the largest first, and others.
    pub(crate) groups: Vec<Group>,
    /// The places of all messages in the viewer's largest direct conversation.
    pub(crate) places: Vec<Position>,
    /// How many messages there are.
    pub(crate) made: usize,
    random: SmallRng,
    unread: VecDeque<Op>,
}

impl Shape {
    pub(crate) fn new() -> Self {
        let viewer = UserId::parse("viewer").unwrap();
        Self {
            groups: (0..OWN_GROUPS + OTHER_GROUPS).map(|n| group(n, &viewer)).collect(),
            viewer,
            places: Vec::new(),
            made: 0,
            random: SmallRng::seed_from_u64(1),
            unread: VecDeque::new(),
        }
    }

    /// The viewer's largest direct conversation.
    pub(crate) fn largest(&self) -> Conversation {
        Conversation::direct(self.viewer.clone(), user(0))
    }

    /// The groups that the viewer is in.
    pub(crate) fn own_groups(&self) -> Vec<GroupId> {
        self.groups[..OWN_GROUPS].iter().map(|group| group.id).collect()
    }

    /// So many messages more, and what the viewer reads meanwhile.
    pub(crate) fn batch(&mut self, count: usize) -> Batch {
        let mut ops = Vec::new();
        for _ in 0..count {
            let sent = Arc::new(self.message());
            self.note(&sent);
            ops.push(Arc::new(Op::Send(sent)));
            while self.unread.len() > UNREAD {
                ops.extend(self.unread.pop_front().map(Arc::new));
            }
        }
        let (batch, folded) = folded(&ops);
        assert_eq!(folded, ops.len(), "one batch can express them");
        batch
    }

    /// Remembers what the viewer has to read.
    fn note(&mut self, sent: &Message) {
        let conversation = sent.conversation();
        if conversation == self.largest() {
            self.places.push(sent.position());
        }
        let is_seen = match &conversation {
            Conversation::Direct(a, b) => [a, b].contains(&&self.viewer),
            Conversation::Group(id) => {
                self.groups[..OWN_GROUPS].iter().any(|group| group.id == *id)
            }
        };
        if is_seen && sent.from != self.viewer {
            let (messages, up_to) = (vec![sent.id], sent.position());
            let reader = self.viewer.clone();
            self.unread.push_back(Op::Read { conversation, messages, reader, up_to });
        }
    }

    fn message(&mut self) -> Message {
        let n = self.made;
        self.made += 1;
        // Which of its kind it is.
        let turn = n / 10;
        let viewer_writes = turn % 4 == 3;
        let (from, target) = match n % 10 {
            0 => self.direct(user(0), viewer_writes),
            1 => self.direct(user(1 + turn % (PEERS - 1)), viewer_writes),
            2 => {
                let group =
                    if turn.is_multiple_of(2) { 0 } else { 1 + turn / 2 % (OWN_GROUPS - 1) };
                let member = user(group * MEMBERS + turn % MEMBERS);
                let from = if viewer_writes { self.viewer.clone() } else { member };
                (from, Target::Group(self.groups[group].id))
            }
            3 => {
                let group = OWN_GROUPS + turn % OTHER_GROUPS;
                (user(group * MEMBERS + n % MEMBERS), Target::Group(self.groups[group].id))
            }
            _ => (self.anybody(), Target::User(self.anybody())),
        };
        let at = Timestamp(1_700_000_000_000 + n as i64 * 1_000);
        message(from, target, self.text(n), at)
    }

    fn direct(&self, peer: UserId, viewer_writes: bool) -> (UserId, Target) {
        let viewer = self.viewer.clone();
        if viewer_writes { (viewer, Target::User(peer)) } else { (peer, Target::User(viewer)) }
    }

    fn anybody(&mut self) -> UserId {
        user(self.random.random_range(0..USERS))
    }

    fn text(&mut self, n: usize) -> String {
        let mut words: Vec<String> = (0..8)
            .map(|_| {
                // Small numbers are far more frequent than large ones.
                let place = self.random.random::<f64>().powi(3) * VOCABULARY;
                format!("word{place:.0}")
            })
            .collect();
        if n.is_multiple_of(1_000) {
            words[0] = RARE.to_owned();
        }
        if (n / 10).is_multiple_of(5) {
            words[1] = COMMON.to_owned();
        }
        words.join(" ")
    }
}

fn user(n: usize) -> UserId {
    UserId::parse(&format!("user{}", n % USERS)).unwrap()
}

fn group(n: usize, viewer: &UserId) -> Group {
    let members = (0..MEMBERS).map(|member| user(n * MEMBERS + member));
    let viewer = (n < OWN_GROUPS).then(|| viewer.clone());
    Group {
        id: GroupId::mint(),
        name: format!("Group {n}"),
        members: members.chain(viewer).collect(),
        created_by: user(n * MEMBERS),
        owner: user(n * MEMBERS),
        admins: Vec::new(),
        silenced: Vec::new(),
        is_public: n % 2 == 1,
        created_at: Timestamp(n as i64),
    }
}
