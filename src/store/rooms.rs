//! What somebody may see of all groups: their own, and those that are public.

use std::cmp::Reverse;

use crate::model::Group;

/// Of a user's own and of the public ones the newest, up to the limit, each once: as one of their
/// own, where it is both.
pub(super) fn newest<T>(
    own: Vec<T>,
    public: Vec<T>,
    group: impl Fn(&T) -> &Group,
    limit: usize,
) -> Vec<T> {
    let mut all = own;
    all.extend(public);
    // Equal ones keep their order, and of two that follow each other the first one stays.
    all.sort_by_key(|item| Reverse((group(item).created_at, group(item).id)));
    all.dedup_by_key(|item| group(item).id);
    all.truncate(limit);
    all
}
