//! What is counted of accounts.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;

use super::SignIn;

/// Gives the number of accounts made since the start; 0 where there are none to be made.
pub struct RegistrationsCollector(pub SignIn);

impl fmt::Debug for RegistrationsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistrationsCollector")
    }
}

impl Collector for RegistrationsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let count = match &self.0 {
            SignIn::Open => 0,
            SignIn::Tokens(auth) => auth.registrations.load(Ordering::Relaxed),
        };
        let counter = ConstCounter::new(count);
        let (name, help) = ("user_registrations", "Accounts that users have made");
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
    }
}
