//! From a text to its words: without regard to case, accents and width.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// A word of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Its folded characters, all alphanumeric.
    pub(super) folded: String,
    /// Whether it is a run of a script that puts no spaces between its words.
    pub(super) is_unspaced: bool,
    /// Where it was asked for: for each folded character, where the character of the text stands
    /// that it comes from, start and end, in bytes.
    pub(super) places: Vec<(usize, usize)>,
}

impl Word {
    fn takes(&self, c: char) -> bool {
        self.folded.is_empty() || self.is_unspaced == is_unspaced(c)
    }
}

/// The words of a text in their order, without their places. Whatever is no letter and no digit
/// stands between words; combining marks and characters without a width stand in none and separate
/// none.
pub(super) fn words(text: &str) -> Vec<Word> {
    split(text, false)
}

/// The same, with the places of their characters.
pub(super) fn placed_words(text: &str) -> Vec<Word> {
    split(text, true)
}

fn split(text: &str, placed: bool) -> Vec<Word> {
    let (mut words, mut open) = (Vec::new(), Word::default());
    let mut at = 0;
    while let Some(original) = text[at..].chars().next() {
        let start = at;
        at += original.len_utf8();
        // Most texts are mostly ASCII, for which the tables need not be asked.
        if original.is_ascii_alphanumeric() {
            let rest = text.as_bytes()[at..].iter();
            at += rest.take_while(|byte| byte.is_ascii_alphanumeric()).count();
            if !open.takes(original) {
                close(&mut open, &mut words);
            }
            let first = open.folded.len();
            open.folded.push_str(&text[start..at]);
            open.folded[first..].make_ascii_lowercase();
            if placed {
                open.places.extend((start..at).map(|at| (at, at + 1)));
            }
        } else if original.is_ascii() {
            close(&mut open, &mut words);
        } else {
            for c in folded(original).filter(|c| !is_skipped(*c)) {
                if !c.is_alphanumeric() || !open.takes(c) {
                    close(&mut open, &mut words);
                }
                if c.is_alphanumeric() {
                    open.is_unspaced = is_unspaced(c);
                    open.folded.push(c);
                    open.places.extend(placed.then_some((start, at)));
                }
            }
        }
    }
    close(&mut open, &mut words);
    words
}

fn close(open: &mut Word, words: &mut Vec<Word>) {
    if !open.folded.is_empty() {
        words.push(std::mem::take(open));
    }
}

/// What a character stands for in a search. Upper case first brings together those letters that
/// have several forms in lower case (the two small sigmas), and makes two of a sharp s. Once more
/// decomposed: some letters have marks again in their other case.
fn folded(original: char) -> impl Iterator<Item = char> {
    std::iter::once(original)
        .nfkd()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkd()
}

/// Marks above, below and within letters, and what has no width: soft hyphens, joiners.
fn is_skipped(c: char) -> bool {
    is_combining_mark(c)
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Whether a letter, once folded, is of a script without spaces between words: Thai, Lao,
/// Myanmar, Khmer, Kana, Han.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.folded).collect()
    }

    #[test]
    fn case_accents_and_width_fold_away() {
        for (text, folded) in [
            ("Crème BRÛLÉE", vec!["creme", "brulee"]),
            ("Straße STRASSE", vec!["strasse", "strasse"]),
            ("ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", vec!["οδυσσευσ", "οδυσσευσ"]),
            ("İstanbul ISTANBUL", vec!["istanbul", "istanbul"]),
            ("ｆｕｌｌ ﬁne x²", vec!["full", "fine", "x2"]),
            ("e\u{301}te\u{301} co\u{ad}operate", vec!["ete", "cooperate"]),
            ("Ёлка", vec!["елка"]),
        ] {
            assert_eq!(split(text), folded, "{text}");
        }
    }

    #[test]
    fn whatever_is_no_letter_or_digit_separates() {
        assert_eq!(
            split("don't: mail@example.com, 3.14!"),
            ["don", "t", "mail", "example", "com", "3", "14"]
        );
        assert_eq!(split(" \0\"*()😀-_ "), [""; 0]);
    }

    #[test]
    fn runs_without_spaces_are_words_of_their_own() {
        let found = words("abc東京タワー1");
        let kinds: Vec<_> = found.iter().map(|w| (w.folded.as_str(), w.is_unspaced)).collect();
        assert_eq!(kinds, [("abc", false), ("東京タワー", true), ("1", false)]);
        assert_eq!(split("한국어").len(), 1, "Korean has spaces");
    }

    #[test]
    fn each_folded_character_knows_its_place() {
        let word = &placed_words("aßÉ")[0];
        assert_eq!(word.folded, "asse");
        assert_eq!(word.places, [(0, 1), (1, 3), (1, 3), (3, 5)]);
        assert_eq!(placed_words("é ab")[1].places, [(3, 4), (4, 5)]);
    }
}
