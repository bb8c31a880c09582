//! What the Socket.IO side counts.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::incoming::UNKNOWN;
use super::plain::Endpoint;
use crate::chat::Chat;
use crate::wire::events::CLIENT_EVENTS;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

/// One connection, counted for as long as this is held.
#[derive(Debug)]
pub(super) struct Connected {
    all: Gauge,
    /// Those of its kind: plain WebSockets of its endpoint, or sockets that are written to directly.
    kind: Option<Gauge>,
    ended: Counter,
}

impl Connected {
    fn new(all: Gauge, kind: Option<Gauge>, ended: Counter) -> Self {
        all.inc();
        if let Some(kind) = &kind {
            kind.inc();
        }
        Self { all, kind, ended }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.all.dec();
        self.ended.inc();
        if let Some(kind) = &self.kind {
            kind.dec();
        }
    }
}

/// Gives what the rules count as metrics: users who are online, and refused spam.
pub(super) struct ChatCollector(pub(super) Arc<Chat>);

impl fmt::Debug for ChatCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChatCollector")
    }
}

impl Collector for ChatCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let gauge = ConstGauge::new(self.0.online_users() as f64);
        let (name, help) = ("banter_users_online", "Users who are online");
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        let (repeats, strangers) = self.0.spam_refused();
        for (name, help, count) in [
            ("banter_spam_repeats", "Messages refused as too many of the same", repeats),
            ("banter_spam_strangers", "Messages refused as too many to strangers", strangers),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(
                name,
                help,
                None,
                counter.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// Gives what is counted under the names that the old servers' dashboards use, too.
struct OldNames(Metrics);

impl fmt::Debug for OldNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OldNames")
    }
}

impl Collector for OldNames {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let metrics = &self.0;
        let gauge = ConstGauge::new(metrics.connections.get());
        let (name, help) = ("ws_connections_active", "Sockets connected");
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        for (name, help, count) in [
            ("ws_messages_received", "Events from clients", metrics.received()),
            ("ws_messages_sent", "Packets queued for a socket", metrics.deliveries.get()),
            ("ws_disconnections", "Sockets that have ended", metrics.ended.get()),
        ] {
            let counter = ConstCounter::new(count);
            let kind = counter.metric_type();
            counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// Handles to the counters; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Metrics {
    connections: Gauge,
    ended: Counter,
    plain_connections: Family<EndpointLabel, Gauge>,
    direct_connections: Gauge,
    plain_cut: Counter,
    events_in: Family<EventLabel, Counter>,
    events_refused: Family<EventLabel, Counter>,
    events_out: Family<EventLabel, Counter>,
    deliveries: Counter,
    dropped: Counter,
    let_go: Counter,
    signed_out: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let m = Self::default();
        // A label shows itself from the start, so that an alert can be made of it.
        for endpoint in Endpoint::ALL {
            drop(m.plain_connections.get_or_create(&EndpointLabel { endpoint: endpoint.as_str() }));
        }
        registry.register("banter_connections", "Sockets connected", m.connections.clone());
        registry.register(
            "banter_plain_connections",
            "Of these, plain WebSockets",
            m.plain_connections.clone(),
        );
        registry.register(
            "banter_direct_connections",
            "Of these, WebSockets of Socket.IO that are written to past the library",
            m.direct_connections.clone(),
        );
        registry.register(
            "banter_plain_cut",
            "Plain WebSockets that were closed because they read too slowly",
            m.plain_cut.clone(),
        );
        registry.register("banter_events_in", "Events from clients", m.events_in.clone());
        registry.register(
            "banter_events_refused",
            "Events from clients that were answered with an error",
            m.events_refused.clone(),
        );
        registry.register(
            "banter_events_out",
            "Events handed to the fan-out, however many sockets each one reached",
            m.events_out.clone(),
        );
        registry.register(
            "banter_deliveries",
            "Packets queued for a socket by the fan-out",
            m.deliveries.clone(),
        );
        registry.register(
            "banter_dropped_packets",
            "Packets that a socket lost because its queue was full",
            m.dropped.clone(),
        );
        registry.register(
            "banter_dropped_ephemeral_packets",
            "Packets of typing and presence that a socket which was behind went without",
            m.let_go.clone(),
        );
        registry.register(
            "banter_sockets_signed_out",
            "Sockets that were ended because their token was",
            m.signed_out.clone(),
        );
        registry.register_collector(Box::new(OldNames(m.clone())));
        m
    }

    pub(super) fn connected(&self, is_direct: bool) -> Connected {
        let direct = is_direct.then(|| self.direct_connections.clone());
        Connected::new(self.connections.clone(), direct, self.ended.clone())
    }

    pub(super) fn connected_plain(&self, endpoint: Endpoint) -> Connected {
        let label = EndpointLabel { endpoint: endpoint.as_str() };
        let plain = self.plain_connections.get_or_create(&label).clone();
        Connected::new(self.connections.clone(), Some(plain), self.ended.clone())
    }

    pub(super) fn cut_plain(&self) {
        self.plain_cut.inc();
    }

    /// The events that came in, of all names.
    fn received(&self) -> u64 {
        let names = CLIENT_EVENTS.into_iter().chain([UNKNOWN]);
        let counts = names.map(|event| self.events_in.get(&EventLabel { event }).map(|c| c.get()));
        counts.flatten().sum()
    }

    /// An event came in; one that the server does not know counts as `unknown`.
    pub(super) fn came_in(&self, event: &'static str) {
        self.events_in.get_or_create(&EventLabel { event }).inc();
    }

    pub(super) fn refused(&self, event: &'static str) {
        self.events_refused.get_or_create(&EventLabel { event }).inc();
    }

    pub(super) fn went_out(&self, event: &'static str) {
        self.events_out.get_or_create(&EventLabel { event }).inc();
    }

    pub(super) fn delivered(&self, sockets: u64) {
        self.deliveries.inc_by(sockets);
    }

    pub(super) fn let_go(&self) {
        self.let_go.inc();
    }

    pub(super) fn signed_out(&self) {
        self.signed_out.inc();
    }

    pub(super) fn dropped(&self, packets: u64) {
        self.dropped.inc_by(packets);
    }
}
