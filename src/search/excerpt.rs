//! The part of a message that shows why it was found.

use std::ops::Range;

use super::fold::placed_words;
use super::{Words, find, texts};
use crate::model::Content;

/// Characters of an excerpt, about: what is cut is cut between words.
const LENGTH: usize = 160;
/// Of these, in front of the first hit.
const BEFORE: usize = 40;

/// About 160 characters around the first hit, as HTML: what has a meaning there is escaped, each
/// hit stands in `<mark>`, runs of white space are one space, and an ellipsis says where something
/// is left out. Empty where nothing is found.
pub fn excerpt(wanted: &Words, content: &Content) -> String {
    let found = texts(content).find_map(|text| {
        let hits = hits(wanted, text);
        (!hits.is_empty()).then_some((text, hits))
    });
    found.map_or_else(String::new, |(text, hits)| render(text, &hits))
}

/// What is marked, in bytes of the text, in order and apart from each other.
fn hits(wanted: &Words, text: &str) -> Vec<Range<usize>> {
    let mut hits: Vec<Range<usize>> = Vec::new();
    for word in placed_words(text) {
        for wanted in &wanted.0 {
            let Some(first) = find(wanted, &word) else { continue };
            let last = first + wanted.folded.chars().count() - 1;
            if let (Some(first), Some(last)) = (word.places.get(first), word.places.get(last)) {
                hits.push(first.0..last.1);
            }
        }
    }
    hits.sort_by_key(|hit| (hit.start, hit.end));
    hits.dedup_by(|next, hit| {
        let meets = next.start <= hit.end;
        if meets {
            hit.end = hit.end.max(next.end);
        }
        meets
    });
    hits
}

fn render(text: &str, hits: &[Range<usize>]) -> String {
    let shown = window(text, hits.first().map_or(0, |hit| hit.start));
    let mut html = String::with_capacity(shown.len() + 64);
    if shown.start > 0 {
        html.push('…');
    }
    let mut at = shown.start;
    for hit in hits.iter().filter(|hit| hit.start < shown.end && hit.end > shown.start) {
        let hit = hit.start.max(at)..hit.end.min(shown.end);
        escape(&text[at..hit.start], &mut html);
        html.push_str("<mark>");
        escape(&text[hit.clone()], &mut html);
        html.push_str("</mark>");
        at = hit.end;
    }
    escape(&text[at..shown.end], &mut html);
    if shown.end < text.len() {
        html.push('…');
    }
    html
}

/// The part that is shown, on borders of characters, and of words where one is near.
fn window(text: &str, hit: usize) -> Range<usize> {
    let back = text[..hit].char_indices().rev().take(BEFORE).last().map_or(hit, |(at, _)| at);
    let start = match text[back..hit].find(char::is_whitespace) {
        Some(space) if back > 0 => back + space,
        _ => back,
    };
    let end = text[start..].char_indices().nth(LENGTH).map_or(text.len(), |(at, _)| start + at);
    let after_hit = hit + text[hit..end].len() / 2;
    let end = match text[start..end].rfind(char::is_whitespace) {
        Some(space) if end < text.len() && start + space > after_hit => start + space,
        _ => end,
    };
    start..end
}

/// Text in HTML. Other control characters than white space are left out.
fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c if c.is_whitespace() => {
                if !html.ends_with(' ') {
                    html.push(' ');
                }
            }
            c if c.is_control() => {}
            c => html.push(c),
        }
    }
}
