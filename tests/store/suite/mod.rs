//! What a store promises, one file per subject.

pub mod changes;
pub mod groups;
pub mod history;
pub mod make;
pub mod messages;
mod model;
pub mod random;
pub mod status;
pub mod unread;
