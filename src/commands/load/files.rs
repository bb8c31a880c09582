//! How many files this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside connections: standard streams, the runtime's own, the HTTP client's.
const BESIDE: u64 = 64;

/// Makes room for so many connections, up to the limit that the system sets.
///
/// # Errors
/// That is not enough.
pub(super) fn make_room(connections: u64) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = connections + BESIDE;
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if maximum.is_none_or(|maximum| maximum >= wanted) {
        let raised = Rlimit { current: Some(wanted), maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!(
        "{connections} connections need {wanted} open files, and this process may have {}: raise \
         the limit (ulimit -n {wanted}, or LimitNOFILE), or take fewer --users",
        maximum.or(current).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_made_room_for_and_what_does_not_is_told() {
        assert!(make_room(1).is_ok());
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let told = make_room(u64::MAX / 2).unwrap_err().to_string();
            assert!(told.contains("ulimit -n"), "{told}");
        }
    }
}
