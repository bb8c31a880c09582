//! What stands behind an event's name in its frame.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{self, DeserializeOwned, IgnoredAny, SeqAccess, Visitor};

use crate::error::Error;

/// The second element of a frame, read in one pass without a tree in between.
pub(super) fn payload<T: DeserializeOwned>(frame: &str) -> Result<T, Error> {
    struct Frame<T>(PhantomData<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Frame<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an event with a payload")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut frame: A) -> Result<T, A::Error> {
            frame.next_element::<IgnoredAny>()?;
            let payload =
                frame.next_element()?.ok_or_else(|| de::Error::custom("the payload is missing"))?;
            while frame.next_element::<IgnoredAny>()?.is_some() {}
            Ok(payload)
        }
    }

    let mut json = serde_json::Deserializer::from_str(frame);
    json.deserialize_seq(Frame(PhantomData)).map_err(|error| {
        let mut text = error.to_string();
        // Where in the frame is of no use to a caller who never saw the frame.
        if let Some(place) = text.rfind(" at line ") {
            text.truncate(place);
        }
        Error::Invalid(text.into())
    })
}
