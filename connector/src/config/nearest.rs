//! "Did you mean": the nearest of a few known words.

use super::keys::Key;

/// How alike two words must be, from 0 (nothing in common) to 1 (equal), before one is suggested for the other.
/// At 0.6, one slip in a word of three letters and two in a word of five still count as near.
const LIKENESS: f64 = 0.6;

/// The candidate most like `word`, if one is near enough. Case does not count.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = comparable(word);
    let rated = candidates.into_iter().map(|candidate| (likeness(&word, &comparable(candidate)), candidate));
    let best = rated.filter(|(rate, _)| *rate >= LIKENESS).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, candidate)| candidate)
}

/// The candidates most like `word`, the likest first, at most `count`. Case does not count.
pub(crate) fn nearest_few<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let word = comparable(word);
    let rated = candidates.into_iter().map(|candidate| (likeness(&word, &comparable(candidate)), candidate));
    let mut near: Vec<_> = rated.filter(|(rate, _)| *rate >= LIKENESS).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(count).map(|(_, candidate)| candidate).collect()
}

/// The key meant by `word`: one that goes by that other name, else the one most like it.
pub(super) fn nearest_key(word: &str, keys: &[&'static Key]) -> Option<&'static Key> {
    let called = comparable(word);
    let other_name = |key: &&&Key| key.also.iter().any(|also| comparable(also) == called);
    let found = keys.iter().find(other_name).or_else(|| {
        let name = nearest(word, keys.iter().map(|key| key.name))?;
        keys.iter().find(|key| key.name == name)
    });
    found.copied()
}

/// The allowed word of `key` meant by `word`.
pub(super) fn nearest_word(word: &str, key: &Key) -> Option<&'static str> {
    let called = comparable(word);
    let other = key.also_words.iter().find(|(also, _)| comparable(also) == called);
    other.map(|(_, meant)| *meant).or_else(|| nearest(word, key.words.iter().copied()))
}

fn comparable(word: &str) -> String {
    // Longer words than any key are not compared letter by letter: the search is quadratic.
    word.trim().chars().take(64).flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c }).collect()
}

fn likeness(word: &str, candidate: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(word, candidate)
}
