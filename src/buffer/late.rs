//! Conversations whose ops reached the store late. Whoever asked the store in the meantime has
//! missed them and can't know it, so that their users are told once the store has caught up. Pure.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Audience, Conversation, Dispatch, Event, Op};

/// An op that is stored this long after it was accepted is late: whoever waits for the store to
/// catch up before they read waits no longer than this.
pub(super) const LATE: Duration = Duration::from_secs(2);

/// Conversations that are remembered. With more, those that come later go untold; their users are
/// told with the next event that they ask about.
const MAX_CONVERSATIONS: usize = 100_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Late(HashSet<Conversation>);

impl Late {
    /// Takes what was stored late.
    pub(super) fn take(&mut self, run: &[Arc<Op>]) {
        for op in run {
            if self.0.len() < MAX_CONVERSATIONS {
                self.0.insert(op.conversation());
            }
        }
    }

    /// Who is to be told, once each, now that nothing is late any more.
    pub(super) fn told(&mut self) -> Vec<Dispatch> {
        let audience = |conversation| match conversation {
            Conversation::Direct(a, b) if a == b => Audience::Users(vec![a]),
            Conversation::Direct(a, b) => Audience::Users(vec![a, b]),
            Conversation::Group(group) => Audience::Group(group),
        };
        let late = std::mem::take(&mut self.0).into_iter();
        late.map(|one| Dispatch { to: audience(one), event: Event::SyncRequired }).collect()
    }
}
