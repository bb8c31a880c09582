//! What the store tells of itself.

use std::collections::BTreeMap;

use rusqlite::Transaction;

use super::{rows, schema, statements};

/// Per collection: index name to its keys.
pub(super) type Indexes = BTreeMap<String, BTreeMap<String, Vec<(String, i32)>>>;

/// Rows of `messages` and of `groups`.
pub(super) fn counts(transaction: &Transaction<'_>) -> rusqlite::Result<(u64, u64)> {
    let mut statement = transaction.prepare_cached(statements::COUNT)?;
    let mut count = |name: &str| statement.query_row([name], |row| rows::count(row, 0));
    Ok((count("messages")?, count("groups")?))
}

/// The indexes of every collection.
pub(super) fn indexes(transaction: &Transaction<'_>) -> rusqlite::Result<Indexes> {
    let mut statement = transaction.prepare_cached(statements::INDEX_KEYS)?;
    let mut indexes = Indexes::new();
    for collection in schema::COLLECTIONS {
        let named = indexes.entry(collection.to_owned()).or_default();
        let mut keys = statement.query([collection])?;
        while let Some(key) = keys.next()? {
            let direction = if key.get(2)? { -1 } else { 1 };
            let fields: &mut Vec<_> = named.entry(key.get(0)?).or_default();
            fields.push((key.get(1)?, direction));
        }
    }
    Ok(indexes)
}
