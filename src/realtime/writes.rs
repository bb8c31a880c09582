//! What the fan-out has queued for sockets, until it is written: what comes together goes out together.

use std::sync::Arc;

use tokio::time::Instant;

use super::Hub;
use super::outlet::{Outlet, Queued};
use super::pace::Pace;
use super::rooms::Hearers;

/// See the module.
pub(super) struct Writes {
    pace: Pace,
    /// Whose queues hold what nobody writes yet.
    unflushed: Vec<Outlet>,
    /// How many packets these are.
    packets: u64,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self { pace: Pace::new(Instant::now()), unflushed: Vec::new(), packets: 0 }
    }

    /// Queues something for each hearer, whose outlet says what became of it and how many packets it was.
    ///
    /// Where nothing else `is_due`, and nothing rests, each is written to at once: the processor still has
    /// what belongs to the socket, and would have to fetch it again where there are thousands.
    pub(super) fn queue(
        &mut self,
        hub: &Arc<Hub>,
        hearers: &Hearers,
        is_due: bool,
        queue: impl Fn(&Outlet) -> (Queued, usize),
    ) {
        let began = Instant::now();
        let at_once = !is_due && self.unflushed.is_empty() && self.pace.next() <= began;
        let (mut packets, mut written) = (0, 0);
        hearers.for_each(|outlet| {
            let (queued, count) = queue(outlet);
            packets += count as u64;
            match queued {
                Queued::Unflushed if at_once => {
                    outlet.flush(hub);
                    written += 1;
                }
                Queued::Unflushed => self.unflushed.push(outlet.clone()),
                Queued::Yes | Queued::No => {}
            }
        });
        hub.metrics.delivered(packets);
        if !at_once {
            self.packets += packets;
        } else if written > 0 {
            self.pace.wrote(began, Instant::now(), written, packets);
        }
    }

    /// When what is queued is to be written.
    pub(super) fn next_due(&self) -> Option<Instant> {
        (!self.unflushed.is_empty()).then_some(self.pace.next())
    }

    /// Writes what is queued, once it is due.
    pub(super) fn flush_if_due(&mut self, hub: &Arc<Hub>) {
        let began = Instant::now();
        if self.next_due().is_some_and(|at| at <= began) {
            let (sockets, packets) = (self.unflushed.len(), self.packets);
            self.flush(hub);
            self.pace.wrote(began, Instant::now(), sockets, packets);
        }
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self, hub: &Arc<Hub>) {
        self.packets = 0;
        self.unflushed.drain(..).for_each(|outlet| outlet.flush(hub));
    }
}
