//! How long the flusher waits between two attempts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The first pause after a failure is up to this long, each further one up to twice as long.
const FIRST: Duration = Duration::from_millis(100);

/// No pause is longer: a store that is back should not wait for us.
pub(super) const LONGEST: Duration = Duration::from_secs(2);

/// The longest that each pause between so many retries may be.
pub(super) fn between(max_retries: u32) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .with_max_times(usize::try_from(max_retries).unwrap_or(usize::MAX))
        .build()
}

/// Full jitter: anything up to `limit`, so that many servers don't come back to one store in step.
pub(super) fn jittered(limit: Duration) -> Duration {
    limit.mul_f64(rand::random())
}
