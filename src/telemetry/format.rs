//! How a line of the log looks: one event, whatever it holds, and the id of the request that it is
//! about.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::correlation::RequestId;

/// What a line is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Json,
}

/// Formats an event by `F`, adds the id of the request or event that the task serves, and escapes
/// what could break or disguise the line: a line break, a terminal's escape sequence, or a sign that
/// turns the direction of text, in what a client sent, would else forge a line of the log.
pub(super) struct OneLine<F>(pub(super) Shape, pub(super) F);

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Self(shape, format) = self;
        let mut text = String::new();
        format.format_event(context, Writer::new(&mut text), event)?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        match (shape, RequestId::current()) {
            (_, None) => write_escaped(&mut writer, *shape, text)?,
            (Shape::Text, Some(id)) => {
                write_escaped(&mut writer, *shape, text)?;
                // The id has no signs that need to be escaped.
                write!(writer, " request_id={id}")?;
            }
            (Shape::Json, Some(id)) => {
                write_escaped(&mut writer, *shape, text.strip_suffix('}').unwrap_or(text))?;
                write!(writer, ",\"request_id\":\"{id}\"}}")?;
            }
        }
        writer.write_char('\n')
    }
}

/// In JSON such a sign stands inside a string, so that its escape means the same.
fn write_escaped(writer: &mut Writer<'_>, shape: Shape, text: &str) -> fmt::Result {
    let mut written = 0;
    for (at, c) in text.char_indices().filter(|(_, c)| c.is_control() || is_misleading(*c)) {
        writer.write_str(&text[written..at])?;
        match shape {
            Shape::Text => write!(writer, "{}", c.escape_default())?,
            Shape::Json => write!(writer, "\\u{:04x}", u32::from(c))?,
        }
        written = at + c.len_utf8();
    }
    writer.write_str(&text[written..])
}

/// What breaks lines for some readers, or lets a text be shown in another order than it has.
fn is_misleading(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}
