//! What an error of SQLite means for whoever called.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;

/// Sorts an error by who can mend it: time, nobody, or an operator.
pub(super) fn classify(error: Error) -> StoreError {
    use ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(
            Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::DiskFull
            | Code::FileLockingProtocolFailed
            | Code::OperationAborted
            | Code::OperationInterrupted
            | Code::OutOfMemory
            | Code::SchemaChanged
            | Code::SystemIoFailure,
        ) => StoreError::Transient(error.into()),
        // The data is at fault, or a row that can't be read, or our own use of the library.
        None
        | Some(
            Code::ApiMisuse
            | Code::ConstraintViolation
            | Code::ParameterOutOfRange
            | Code::TooBig
            | Code::TypeMismatch,
        ) => StoreError::Permanent(error.into()),
        // The file: not a database, damaged, not ours to write, or without our tables.
        Some(_) => StoreError::Configuration(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of_code(code: i32) -> StoreError {
        classify(Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn what_may_pass_is_transient() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_FULL, ffi::SQLITE_IOERR] {
            assert!(matches!(of_code(code), StoreError::Transient(_)), "{code}");
        }
        let disk = of_code(ffi::SQLITE_IOERR_FSYNC);
        assert!(matches!(disk, StoreError::Transient(_)), "extended codes count as their kind");
    }

    #[test]
    fn data_that_never_fits_is_permanent() {
        for code in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_TOOBIG, ffi::SQLITE_MISMATCH] {
            assert!(matches!(of_code(code), StoreError::Permanent(_)), "{code}");
        }
        assert!(matches!(classify(Error::QueryReturnedNoRows), StoreError::Permanent(_)));
    }

    #[test]
    fn a_file_that_is_not_ours_is_a_matter_of_configuration() {
        for code in [
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_PERM,
            ffi::SQLITE_ERROR,
        ] {
            assert!(matches!(of_code(code), StoreError::Configuration(_)), "{code}");
        }
    }
}
