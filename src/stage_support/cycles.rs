//! Preference cycles: A over B, B over C, C over A. No model can satisfy them all.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};

/// Step limit of the search for rows on a cycle; beyond it, all rows of the component count as
/// cyclic.
const MOST_STEPS: usize = 20_000_000;

/// Preferences of a file, by digests of prompts and completions.
#[derive(Debug, Default)]
pub(super) struct Cycles {
    /// By prompt: better completion, worse completion, line.
    pairs: HashMap<u64, Vec<(u64, usize, u64)>>,
}

impl Cycles {
    /// Adds a pair.
    pub(super) fn add(&mut self, prompt: &str, [better, worse]: [&str; 2], line: usize) {
        // A completion that is preferred to itself is a finding of its own, and no cycle of others.
        if better != worse {
            self.pairs.entry(digest(prompt)).or_default().push((
                digest(better),
                line,
                digest(worse),
            ));
        }
    }

    /// Lines of all pairs on cycles of three or more, in order. Contradicting pairs (cycles of two)
    /// are counted elsewhere.
    pub(super) fn lines(&self) -> Vec<usize> {
        let mut steps = 0;
        let mut found: Vec<usize> =
            self.pairs.values().flat_map(|pairs| on_cycles(pairs, &mut steps)).collect();
        found.sort_unstable();
        found
    }
}

fn digest(text: &str) -> u64 {
    // 64 bits: a million completions collide with a probability of 3e-8, and only a warning would
    // be wrong.
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes()[..8].iter().fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

/// Lines of one prompt's pairs on a cycle.
fn on_cycles(pairs: &[(u64, usize, u64)], steps: &mut usize) -> Vec<usize> {
    // First the linear step, which leaves nothing of consistent preferences; the search for paths
    // is quadratic.
    let cyclic = within_components(pairs);
    let mut worse: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (one, _, other) in &cyclic {
        worse.entry(*one).or_default().push(*other);
    }
    // Repeated pairs are searched once.
    let mut known: BTreeMap<(u64, u64), bool> = BTreeMap::new();
    let mut lines = Vec::new();
    for (one, line, other) in cyclic {
        let is_on =
            known.entry((one, other)).or_insert_with(|| leads_back(&worse, other, one, steps));
        if *is_on {
            lines.push(line);
        }
    }
    lines
}

/// Pairs whose completions are in one strongly connected component; without a cycle there are none.
fn within_components(pairs: &[(u64, usize, u64)]) -> Vec<(u64, usize, u64)> {
    let graph =
        DiGraphMap::<u64, ()>::from_edges(pairs.iter().map(|(one, _, other)| (*one, *other)));
    let mut component: HashMap<u64, usize> = HashMap::new();
    // Not Tarjan's algorithm, which petgraph implements by recursion: an order of 100,000
    // completions would overflow the stack.
    for (index, answers) in kosaraju_scc(&graph).into_iter().enumerate() {
        component.extend(answers.into_iter().map(|answer| (answer, index)));
    }
    pairs.iter().filter(|(one, _, other)| component[one] == component[other]).copied().collect()
}

/// Whether a path leads from one completion to another besides their own pair.
fn leads_back(worse: &BTreeMap<u64, Vec<u64>>, from: u64, to: u64, steps: &mut usize) -> bool {
    let (mut seen, mut waiting) = (HashSet::from([from]), VecDeque::from([from]));
    while let Some(answer) = waiting.pop_front() {
        for next in worse.get(&answer).into_iter().flatten() {
            *steps += 1;
            // A direct way back is the reverse of the pair, a contradiction.
            if *steps > MOST_STEPS || *next == to && answer != from {
                return true;
            }
            if *next != to && seen.insert(*next) {
                waiting.push_back(*next);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cyclic lines of pairs written as two letters, with an optional prompt before a colon.
    fn lines(pairs: &str) -> Vec<usize> {
        let mut cycles = Cycles::default();
        for (index, pair) in pairs.split_whitespace().enumerate() {
            let (prompt, answers) = pair.split_once(':').unwrap_or(("", pair));
            cycles.add(prompt, [&answers[..1], &answers[1..]], index + 1);
        }
        cycles.lines()
    }

    #[test]
    fn only_what_lies_on_a_circle_is_counted() {
        assert_eq!(lines("AB BC CA"), [1, 2, 3]);
        assert_eq!(lines("AB BC CD DE EA"), [1, 2, 3, 4, 5]);
        assert_eq!(lines("AB BC AC CD"), [0; 0], "an order");
        assert_eq!(lines("AB BA BC CB"), [0; 0], "contradictions are counted elsewhere");
        assert_eq!(lines("XA AB BC CA CY"), [2, 3, 4], "what leads there and away is right");
        assert_eq!(lines("AB BC CA CD DC"), [1, 2, 3]);
        assert_eq!(
            lines("AB BC CA XY YZ ZX CX"),
            [1, 2, 3, 4, 5, 6],
            "two cycles with a way between"
        );
        assert_eq!(lines("AB AB BC CA BA"), [1, 2, 3, 4], "a repeat lies on it too");
        assert_eq!(lines("AB BC CA AC"), [1, 2, 3]);
        assert_eq!(lines("p:AB q:BC p:CA"), [0; 0], "of different prompts");
        assert_eq!(lines("AA BB"), [0; 0]);
    }

    #[test]
    fn a_long_order_takes_no_longer_than_it_is() {
        let mut cycles = Cycles::default();
        for index in 0..2000 {
            cycles.add("", [&index.to_string(), &(index + 1).to_string()], index);
        }
        assert!(cycles.lines().is_empty());
        cycles.add("", ["2000", "0"], 2000);
        assert_eq!(cycles.lines().len(), 2001);
    }
}
