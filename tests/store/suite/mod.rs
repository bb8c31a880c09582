//! What a store promises, one file per subject.

pub(crate) mod changes;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod make;
pub(crate) mod messages;
//MODEL
//RANDOM
pub(crate) mod status;
pub(crate) mod unread;
