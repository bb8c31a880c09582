//! The content of a message: a text, or an object for media.

use serde::{Deserialize, Serialize};

use serde_json::Value;

use super::JsonObject;

/// Deepest nesting of arrays and objects that is accepted inside content or metadata. BSON allows
/// 100 levels for a whole document; ours leaves room for what surrounds the content.
pub const MAX_JSON_DEPTH: usize = 32;

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A structured body, used by clients for media.
    Object(JsonObject),
}

/// Why an object can't be stored; the text is meant for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// Nested deeper than [`MAX_JSON_DEPTH`].
    #[error("objects may nest {MAX_JSON_DEPTH} levels at the most")]
    TooDeep,
    /// A key that a database would read as an operator or can't store.
    #[error("object keys must not start with '$' or hold a NUL character")]
    BadKey,
    /// An integer above the largest that BSON holds (2^63 - 1).
    #[error("integers must fit in 64 bits with a sign")]
    BadNumber,
}

impl Content {
    /// Bytes that the content takes, as a client would send it, without quotes and escapes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Object(object) => object_weight(object),
        }
    }

    /// Bytes that the content holds in memory, about. Many small values hold far more than they
    /// take on the wire.
    pub fn memory(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Object(object) => object_memory(object),
        }
    }
}

/// Checks that an object from outside can be stored as it is and never reads as a query operator.
pub fn check_object(object: &JsonObject) -> Result<(), ContentError> {
    check_fields(object, 1)
}

fn check_fields(object: &JsonObject, depth: usize) -> Result<(), ContentError> {
    if depth > MAX_JSON_DEPTH {
        return Err(ContentError::TooDeep);
    }
    for (key, value) in object {
        if key.starts_with('$') || key.contains('\0') {
            return Err(ContentError::BadKey);
        }
        check_value(value, depth)?;
    }
    Ok(())
}

fn check_value(value: &Value, depth: usize) -> Result<(), ContentError> {
    match value {
        Value::Object(object) => check_fields(object, depth + 1),
        Value::Array(_) if depth + 1 > MAX_JSON_DEPTH => Err(ContentError::TooDeep),
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            Err(ContentError::BadNumber)
        }
        _ => Ok(()),
    }
}

/// Bytes that an object takes on the wire, to within its punctuation.
pub(super) fn object_weight(object: &JsonObject) -> usize {
    object.iter().map(|(key, value)| key.len() + value_weight(value) + 4).sum::<usize>() + 2
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| value_weight(item) + 1).sum::<usize>() + 2,
        Value::Object(object) => object_weight(object),
    }
}

/// Bytes that an object holds in memory, about.
pub(super) fn object_memory(object: &JsonObject) -> usize {
    /// A key and its value in a node of the map, with the node's share of unused places.
    const ENTRY_BYTES: usize = 2 * (size_of::<String>() + size_of::<Value>());
    object.iter().map(|(key, value)| ENTRY_BYTES + key.len() + value_memory(value)).sum()
}

/// What a value holds beyond itself.
fn value_memory(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => {
            items.iter().map(|item| size_of::<Value>() + value_memory(item)).sum()
        }
        Value::Object(object) => object_memory(object),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> JsonObject {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn operator_keys_are_refused_at_any_depth() {
        assert_eq!(check_object(&object(json!({"w": 1, "a": [{"b": {}}]}))), Ok(()));
        for bad in [json!({"$where": 1}), json!({"a": {"$ne": 1}}), json!({"a": [{"x\0": 1}]})] {
            assert_eq!(check_object(&object(bad)), Err(ContentError::BadKey));
        }
    }

    #[test]
    fn depth_and_integers_are_bounded() {
        let nest = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(check_object(&object(json!({"a": nest(MAX_JSON_DEPTH - 1)}))), Ok(()));
        let deep = check_object(&object(json!({"a": nest(MAX_JSON_DEPTH)})));
        assert_eq!(deep, Err(ContentError::TooDeep));
        assert_eq!(check_object(&object(json!({"a": u64::MAX}))), Err(ContentError::BadNumber));
    }

    #[test]
    fn many_small_values_weigh_in_memory_what_they_hold() {
        let items = Content::Object(object(json!({"a": vec![json!([]); 1_000]})));
        assert!(items.weight() >= 3_000, "{}", items.weight());
        assert!(items.memory() >= 1_000 * size_of::<Value>(), "{}", items.memory());
        let text = Content::Text("x".repeat(1_000));
        assert_eq!((text.weight(), text.memory()), (1_000, 1_000));
    }
}
