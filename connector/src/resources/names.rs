//! Whether several topic expressions can match one name: the product of their automata, walked until all accept.

use std::collections::{HashMap, VecDeque};

use regex_automata::dfa::{Automaton, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::{Anchored, Input};

use crate::config::topics::{TopicExpression, is_topic_name};

/// The largest automaton that is built, in bytes. An expression has at most 256 characters; what grows beyond this has
/// nested counts.
const AUTOMATON_LIMIT: usize = 8 << 20;

/// How many states of the product are visited at most.
const STATES_LIMIT: usize = 200_000;

/// What Kafka allows in a topic's name.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

type Dfa = dense::DFA<Vec<u32>>;

/// The shortest topic name that all expressions match; `None` if there is none, or if the expressions are too large to
/// say (then nothing is refused, and the topics themselves decide while the tasks run).
pub(super) fn common(expressions: &[&TopicExpression]) -> Option<String> {
    // The usual case needs no automaton.
    if let Some(name) = expressions.iter().find_map(|expression| expression.literal()) {
        return expressions.iter().all(|expression| expression.matches(&name)).then_some(name);
    }
    let mut texts: Vec<&str> = expressions.iter().filter_map(|expression| expression.pattern()).collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() {
        return Some("orders".to_owned());
    }
    let automata = texts.iter().map(|text| automaton(text)).collect::<Option<Vec<_>>>()?;
    let accepted = |name: &str| is_topic_name(name) && expressions.iter().all(|expression| expression.matches(name));
    walk(&automata, accepted)
}

fn automaton(pattern: &str) -> Option<Dfa> {
    let config = dense::Config::new()
        .unicode_word_boundary(true)
        .dfa_size_limit(Some(AUTOMATON_LIMIT))
        .determinize_size_limit(Some(AUTOMATON_LIMIT))
        .start_kind(regex_automata::dfa::StartKind::Anchored);
    let nfa = thompson::Config::new().nfa_size_limit(Some(AUTOMATON_LIMIT));
    dense::Builder::new().configure(config).thompson(nfa).build(pattern).ok()
}

/// Visits the states of the product breadth first, so that the first name found is a shortest one.
fn walk(automata: &[Dfa], accepted: impl Fn(&str) -> bool) -> Option<String> {
    let start = Input::new("").anchored(Anchored::Yes);
    let first = automata.iter().map(|dfa| dfa.start_state_forward(&start).ok()).collect::<Option<Vec<_>>>()?;
    // By number: the state before, and the letter that led here.
    let mut came_from: Vec<(usize, u8)> = vec![(0, 0)];
    let mut seen: HashMap<Vec<StateID>, usize> = HashMap::from([(first.clone(), 0)]);
    let mut open = VecDeque::from([(first, 0)]);
    while let Some((states, number)) = open.pop_front() {
        if number > 0 && is_match(automata, &states) {
            let name = spelled(&came_from, number);
            if accepted(&name) {
                return Some(name);
            }
        }
        for letter in LETTERS {
            let next: Vec<_> =
                automata.iter().zip(&states).map(|(dfa, state)| dfa.next_state(*state, *letter)).collect();
            let dead =
                automata.iter().zip(&next).any(|(dfa, state)| dfa.is_dead_state(*state) || dfa.is_quit_state(*state));
            if dead || seen.contains_key(&next) {
                continue;
            }
            if came_from.len() >= STATES_LIMIT {
                return None;
            }
            let own = came_from.len();
            came_from.push((number, *letter));
            seen.insert(next.clone(), own);
            open.push_back((next, own));
        }
    }
    None
}

fn is_match(automata: &[Dfa], states: &[StateID]) -> bool {
    automata.iter().zip(states).all(|(dfa, state)| dfa.is_match_state(dfa.next_eoi_state(*state)))
}

fn spelled(came_from: &[(usize, u8)], mut number: usize) -> String {
    let mut name = String::new();
    while number > 0 {
        let (before, letter) = came_from[number];
        name.insert(0, char::from(letter));
        number = before;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Option<String> {
        let expressions: Vec<_> =
            texts.iter().map(|text| TopicExpression::parse(text).expect("an expression")).collect();
        common(&expressions.iter().collect::<Vec<_>>())
    }

    #[test]
    fn expressions_that_match_one_name_are_found_with_an_example() {
        for (texts, example) in [
            (&["orders.*", ".*-eu"][..], "orders-eu"),
            (&["(?i)ORDERS", "O.*"], "Orders"),
            (&["a|b", "b|c"], "b"),
            (&["", "x+"], "x"),
            (&["", ""], "orders"),
            (&[".*", "__consumer.*"], "__consumer"),
            (&["orders", ".*"], "orders"),
            (&[r"\w{3}\b-.*", r"ab\d-\d"], "ab0-0"),
        ] {
            assert_eq!(of(texts).as_deref(), Some(example), "{texts:?}");
        }
    }

    #[test]
    fn expressions_without_a_common_name_do_not_meet() {
        for texts in [
            &["orders-.*", "payments-.*"][..],
            &["a|b", "b|c", "c|a"],
            &["__consumer_offsets", ".*"],
            &["[a-c]+", "[d-f]+"],
            &["orders", "order"],
            &["客户.*", ".*"],
            &[r"a\b", "ab"],
        ] {
            assert_eq!(of(texts), None, "{texts:?}");
        }
    }

    #[test]
    fn an_expression_of_any_size_ends_soon() {
        let large = "(?:[a-z]{1,50}-){1,30}x";
        let begun = std::time::Instant::now();
        assert_eq!(of(&[large, ".*y"]), None);
        assert!(begun.elapsed().as_secs() < 30);
    }
}
