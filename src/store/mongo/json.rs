//! JSON as BSON and back, by value: nothing in it is ever read as extended JSON (`{"$oid": ..}`),
//! so that a client can't store a value of a type that it could not send.

use bson::{Bson, Document};
use serde_json::{Number, Value};

use crate::model::JsonObject;

/// A JSON object as a BSON document.
pub(super) fn to_document(object: &JsonObject) -> Document {
    object.iter().map(|(key, value)| (key.clone(), to_bson(value))).collect()
}

fn to_bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(number) => number_to_bson(number),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(to_bson).collect()),
        Value::Object(object) => Bson::Document(to_document(object)),
    }
}

/// The smallest type that holds the number, as the old server's driver chose it.
fn number_to_bson(number: &Number) -> Bson {
    match number.as_i64() {
        Some(integer) => i32::try_from(integer).map_or(Bson::Int64(integer), Bson::Int32),
        None => number.as_f64().map_or(Bson::Null, Bson::Double),
    }
}

/// A BSON document as a JSON object.
pub(super) fn to_object(document: Document) -> JsonObject {
    document.into_iter().map(|(key, value)| (key, to_value(value))).collect()
}

/// A BSON value as JSON. Types that JSON does not have become texts, or null where no text is of
/// use to a client.
pub(super) fn to_value(value: Bson) -> Value {
    match value {
        Bson::Double(number) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Boolean(value) => value.into(),
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => text.into(),
        Bson::Array(items) => items.into_iter().map(to_value).collect(),
        Bson::Document(document) => Value::Object(to_object(document)),
        Bson::ObjectId(id) => id.to_hex().into(),
        Bson::DateTime(date) => date.try_to_rfc3339_string().map_or(Value::Null, Value::from),
        Bson::Decimal128(number) => number.to_string().into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use bson::{Decimal128, doc, oid::ObjectId};
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> JsonObject {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn json_survives_the_way_through_bson() {
        let metadata = object(json!({
            "small": 7, "large": 5_000_000_000_i64, "real": 1.5, "whole": 2.0, "no": null,
            "list": [1, "two", {"three": true}], "inner": {"a": {"b": []}}, "": "",
        }));
        assert_eq!(to_object(to_document(&metadata)), metadata);
    }

    #[test]
    fn extended_json_stays_what_it_looks_like() {
        let metadata = object(json!({"at": {"$date": 0}, "id": {"$oid": "0".repeat(24)}}));
        let stored = to_document(&metadata);
        assert_eq!(stored, doc! {"at": {"$date": 0}, "id": {"$oid": "0".repeat(24)}});
        assert_eq!(to_object(stored), metadata);
    }

    #[test]
    fn other_types_of_bson_become_something_readable() {
        let id = ObjectId::new();
        let price: Decimal128 = "1.10".parse().expect("a decimal");
        let stored = doc! {
            "id": id, "at": bson::DateTime::from_millis(0), "price": price, "nan": f64::NAN,
            "min": Bson::MinKey,
        };
        let expected = json!({
            "id": id.to_hex(), "at": "1970-01-01T00:00:00Z", "price": "1.10", "nan": null,
            "min": null,
        });
        assert_eq!(to_object(stored), object(expected));
    }
}
