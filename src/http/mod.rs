//! HTTP: the accept loop, who may ask from where, and what is measured.

mod head_watch;
pub mod metrics;
pub mod origin;
pub mod serve;
