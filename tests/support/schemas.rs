//! Values held against the schemas of a document.
#![allow(dead_code, reason = "each test binary uses the part it needs")]
#![expect(clippy::expect_used, reason = "a test that can't go on fails")]

use serde_json::{Value, json};

/// What is wrong with a value by a schema, whose references lead into the document's components.
/// Where it is `strict`, objects may not have fields that the schema does not name.
pub(crate) fn faults(document: &Value, schema: &Value, value: &Value, strict: bool) -> Vec<String> {
    let mut whole = json!({"allOf": [schema], "components": document["components"]});
    if strict {
        allow_no_more(&mut whole);
    }
    let options = jsonschema::options().should_validate_formats(true);
    let validator = options.build(&whole).expect("a sound schema");
    validator.iter_errors(value).map(|fault| fault.to_string()).collect()
}

/// Makes objects with named properties refuse others.
fn allow_no_more(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.entry("additionalProperties").or_insert(json!(false));
            }
            fields.values_mut().for_each(allow_no_more);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_no_more),
        _ => {}
    }
}

/// Asserts that every reference in a document leads somewhere; how many there are.
pub(crate) fn resolve_all(document: &Value) -> usize {
    let mut places = Vec::new();
    references(document, &mut places);
    for place in &places {
        assert!(document.pointer(&place[1..]).is_some(), "{place} leads nowhere");
    }
    places.len()
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}
