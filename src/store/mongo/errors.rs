//! What an error of the driver or of the server means for the caller.

use anyhow::anyhow;
use mongodb::error::{Error, ErrorKind, RETRYABLE_ERROR, RETRYABLE_WRITE_ERROR, WriteFailure};

use crate::store::StoreError;

/// What to do about an error. The order says which of several errors decides about a batch:
/// while a part may still succeed, nothing of it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Never the same way again.
    Permanent,
    /// Once an operator has mended the set-up.
    Configuration,
    /// Try again.
    Transient,
}

impl Class {
    pub(super) fn error(self, reason: anyhow::Error) -> StoreError {
        match self {
            Self::Permanent => StoreError::Permanent(reason),
            Self::Configuration => StoreError::Configuration(reason),
            Self::Transient => StoreError::Transient(reason),
        }
    }
}

/// The server's code for a second document with the key of a unique index.
pub(super) const DUPLICATE_KEY: i32 = 11000;
/// The server's code for an index whose name is taken by other options.
const INDEX_OPTIONS_CONFLICT: i32 = 85;
/// The server's code for an index whose name is taken by other keys.
const INDEX_KEYS_CONFLICT: i32 = 86;
/// The server's code for a value it does not take, among them a hint at a missing index.
const BAD_VALUE: i32 = 2;
/// The server's code for a hint that two indexes fit.
const INDEX_NOT_FOUND: i32 = 27;
/// The server's code for a collection that is not there.
const NAMESPACE_NOT_FOUND: i32 = 26;

/// Codes of a server that is away, stepping down, overloaded or full, and of calls it has
/// interrupted; from the server's list of error codes (`src/mongo/base/error_codes.yml`).
const TRANSIENT_CODES: [i32; 34] = [
    6,     // HostUnreachable
    7,     // HostNotFound
    24,    // LockTimeout
    43,    // CursorNotFound
    46,    // LockBusy
    50,    // MaxTimeMSExpired
    63,    // StaleShardVersion
    64,    // WriteConcernFailed
    89,    // NetworkTimeout
    91,    // ShutdownInProgress
    112,   // WriteConflict
    133,   // FailedToSatisfyReadPreference
    134,   // ReadConcernMajorityNotAvailableYet
    146,   // ExceededMemoryLimit
    175,   // QueryPlanKilled
    189,   // PrimarySteppedDown
    202,   // NetworkInterfaceExceededTimeLimit
    225,   // TransactionTooOld
    234,   // RetryChangeStream
    237,   // CursorKilled
    246,   // SnapshotUnavailable
    251,   // NoSuchTransaction
    262,   // ExceededTimeLimit
    279,   // ClientDisconnect
    290,   // TransactionExceededLifetimeLimitSeconds
    9001,  // SocketException
    10058, // LegacyNotPrimary
    10107, // NotWritablePrimary
    11600, // InterruptedAtShutdown
    11601, // Interrupted
    11602, // InterruptedDueToReplStateChange
    13435, // NotPrimaryNoSecondaryOk
    13436, // NotPrimaryOrSecondary
    14031, // OutOfDiskSpace
];

/// Codes of a wrong set-up: sign-in, rights, API version, a write concern that the servers can't
/// satisfy.
const CONFIGURATION_CODES: [i32; 8] = [
    11,   // UserNotFound
    13,   // Unauthorized
    18,   // AuthenticationFailed
    79,   // UnknownReplWriteConcern
    100,  // UnsatisfiableWriteConcern
    322,  // APIVersionError
    323,  // APIStrictError
    8000, // AtlasError: sign-in and plan limits
];

/// Codes with which the server refuses a whole command for the data in it.
const REFUSED_COMMAND_CODES: [i32; 3] = [
    15,    // Overflow: nested too deep
    22,    // InvalidBSON
    10334, // BSONObjectTooLarge
];

/// What the server's code for one document means.
pub(super) fn class_of_code(code: i32) -> Class {
    if TRANSIENT_CODES.contains(&code) {
        Class::Transient
    } else if CONFIGURATION_CODES.contains(&code) {
        Class::Configuration
    } else {
        Class::Permanent
    }
}

/// What the server's code for a whole command means. A document that is refused is reported by
/// itself; what stops a command is mostly its form, which depends on the set-up (`w: 2` without a
/// replica set). Its data must not be given up for that.
fn class_of_command(code: i32) -> Class {
    if REFUSED_COMMAND_CODES.contains(&code) {
        Class::Permanent
    } else {
        class_of_code(code).max(Class::Configuration)
    }
}

/// What a write concern error means: the data is not known to be safe, so it is never stored.
pub(super) fn class_of_write_concern(code: i32) -> Class {
    class_of_code(code).max(Class::Configuration)
}

/// What the server's code for an upsert by `_id` means: two servers may both try to make the
/// document, and the second finds it when it tries again.
pub(super) fn class_of_upsert(code: i32) -> Class {
    match code {
        DUPLICATE_KEY => Class::Transient,
        code => class_of_code(code),
    }
}

/// What an error of the driver means.
pub(super) fn classify(error: Error) -> StoreError {
    class_of(&error).error(error.into())
}

fn class_of(error: &Error) -> Class {
    if error.contains_label(RETRYABLE_WRITE_ERROR) || error.contains_label(RETRYABLE_ERROR) {
        return Class::Transient;
    }
    match error.kind.as_ref() {
        ErrorKind::Command(command) => class_of_command(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => class_of_code(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => {
            class_of_write_concern(concern.code)
        }
        ErrorKind::Io(_)
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::InvalidResponse { .. }
        | ErrorKind::Internal { .. }
        | ErrorKind::Shutdown => Class::Transient,
        ErrorKind::Authentication { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported => Class::Configuration,
        _ => Class::Permanent,
    }
}

/// A call that was given up.
pub(super) fn no_answer(limit: std::time::Duration) -> StoreError {
    StoreError::Transient(anyhow!("no answer within {} s", limit.as_secs()))
}

/// Whether DNS could not be asked.
pub(super) fn is_lookup(error: &Error) -> bool {
    matches!(error.kind.as_ref(), ErrorKind::DnsResolve { .. } | ErrorKind::Io(_))
}

/// Whether a unique index refused a single document.
pub(super) fn is_duplicate(error: &Error) -> bool {
    matches!(
        error.kind.as_ref(),
        ErrorKind::Write(WriteFailure::WriteError(write)) if write.code == DUPLICATE_KEY
    )
}

/// Whether a query was refused for its hint: the server has no such index (yet), or an operator has
/// made another one with the same keys. The store's queries give no other reason for these codes.
pub(super) fn is_missing_hint(error: &Error) -> bool {
    matches!(command_code(error), Some(BAD_VALUE | INDEX_NOT_FOUND))
}

/// Whether an index can't be made beside what is there: another index of its name or with its
/// keys, or documents that share a key.
pub(super) fn is_index_conflict(error: &Error) -> bool {
    let in_the_way = [INDEX_OPTIONS_CONFLICT, INDEX_KEYS_CONFLICT, DUPLICATE_KEY];
    command_code(error).is_some_and(|code| in_the_way.contains(&code))
}

/// Whether a collection is not there.
pub(super) fn is_missing_collection(error: &Error) -> bool {
    command_code(error) == Some(NAMESPACE_NOT_FOUND)
}

fn command_code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn codes_say_whether_to_try_again() {
        assert_eq!(class_of_code(10107), Class::Transient);
        assert_eq!(class_of_code(13), Class::Configuration);
        for permanent in [DUPLICATE_KEY, 121, 10334] {
            assert_eq!(class_of_code(permanent), Class::Permanent, "{permanent}");
        }
        assert_eq!(class_of_upsert(DUPLICATE_KEY), Class::Transient);
        assert_eq!(class_of_command(10334), Class::Permanent);
        assert_eq!(class_of_command(BAD_VALUE), Class::Configuration);
        assert_eq!(class_of_write_concern(64), Class::Transient);
        assert_eq!(class_of_write_concern(12345), Class::Configuration);
    }

    #[test]
    fn a_lost_connection_may_come_back() {
        let error = Error::from(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(matches!(classify(error), StoreError::Transient(_)));
    }

    #[test]
    fn of_several_errors_the_one_that_keeps_the_data_decides() {
        assert!(Class::Transient > Class::Configuration && Class::Configuration > Class::Permanent);
    }
}
