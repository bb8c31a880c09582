//! Who is on other nodes, as they say it, and who is on this one, for them.

use super::Chat;
use super::presence::Company;
use crate::cluster::{Boot, Circle, News};
use crate::model::{Presence, UserId};

/// Users that one letter to the other nodes names.
const USERS_A_LETTER: usize = 1_000;

impl Company {
    /// Those on this node who hear of a user of another one. That one names the peers who it knows are
    /// here: the word of those who came last may have been under way when it spoke.
    fn heard_by(&self, user: &UserId, circle: Option<Circle>) -> Vec<UserId> {
        let Circle { peers, groups } = circle.unwrap_or_default();
        let mut heard_by = self.circles.hearing(&peers, &groups);
        heard_by.extend(self.circles.newcomers_with(user).cloned());
        heard_by.into_iter().collect()
    }
}

impl Chat {
    /// Who is on another node, and who hears of it here.
    pub(super) async fn hear_of_people(&self, boot: Boot, news: News) {
        let now = self.now();
        match news {
            News::Came { user, circle } => {
                let to = {
                    let company = &mut *self.watch.lock();
                    company.people.come_elsewhere(&user, boot);
                    let is_news = company.people.set_told(&user, true);
                    if is_news { company.heard_by(&user, circle) } else { Vec::new() }
                };
                let presence = Presence { user, is_online: true, last_seen: Some(now) };
                self.tell_presence_to(to, presence).await;
            }
            News::Went { user, at, circle } => {
                let to = {
                    let company = &mut *self.watch.lock();
                    let is_offline = company.people.leave_elsewhere(&user, boot, at);
                    match circle {
                        Some(_) if is_offline => {
                            let is_news = company.people.set_told(&user, false);
                            if is_news { company.heard_by(&user, circle) } else { Vec::new() }
                        }
                        // Gone from two nodes at the same time: each believed that the other one
                        // is left.
                        _ => {
                            company.people.look_at(&user);
                            Vec::new()
                        }
                    }
                };
                self.watch.changed.notify_one();
                let presence = Presence { user, is_online: false, last_seen: Some(at) };
                self.tell_presence_to(to, presence).await;
            }
            News::Here { users, is_last } => {
                self.watch.lock().people.list(boot, users, is_last, now);
                self.watch.changed.notify_one();
            }
            News::Ask => self.say_who_is_here(),
            _ => {}
        }
    }

    /// A node is lost: who was there alone is offline.
    pub(super) fn hear_lost(&self, boot: Boot) {
        let now = self.now();
        let company = &mut *self.watch.lock();
        for user in company.people.lose_all(boot, now) {
            company.unsaved.add(&user, now);
        }
        self.watch.changed.notify_one();
        self.watch.to_save.notify_one();
    }

    fn say_who_is_here(&self) {
        // Under the lock, so that nobody comes or goes between the look and the word.
        let company = self.watch.lock();
        let here: Vec<_> = company.people.announced().cloned().collect();
        let parts = here.chunks(USERS_A_LETTER);
        let last = parts.len();
        for (at, part) in (1..).zip(parts) {
            let (users, is_last) = (part.to_vec(), at == last);
            self.cluster.publish(News::Here { users, is_last });
        }
        if last == 0 {
            self.cluster.publish(News::Here { users: Vec::new(), is_last: true });
        }
    }
}
