//! Claims without an article to verify them by, in a warning.

use std::collections::BTreeMap;

use crate::context::Context;

/// Claims without an article, by the topic that they name.
#[derive(Debug, Default)]
pub struct MissingPages {
    by_topic: BTreeMap<String, usize>,
    /// Claims of other programs may name no topic, and no article in their words.
    without_topic: usize,
}

impl MissingPages {
    /// Counts a claim about a topic, which may be empty.
    pub fn add(&mut self, topic: &str) {
        let topic = topic.trim();
        if topic.is_empty() {
            self.without_topic += 1;
        } else {
            *self.by_topic.entry(topic.to_owned()).or_default() += 1;
        }
    }

    /// Warns of them, in a stage with this number of claims.
    pub fn warn(&self, context: &Context, claims: usize) {
        if let Some(warning) = self.warning(claims) {
            context.warn(warning);
        }
    }

    /// The warning of a stage with this number of claims; none if each of them has an article.
    pub fn warning(&self, claims: usize) -> Option<String> {
        let about: usize = self.by_topic.values().sum();
        let of_topics = self.by_topic.keys().next().map(|first| {
            let topics = match self.by_topic.len() {
                1 => format!("a topic without an article in the knowledge: `{first}`"),
                several => format!(
                    "{several} topics without an article in the knowledge, such as `{first}`"
                ),
            };
            format!("{about} of {claims} claims are about {topics}")
        });
        // An empty topic is no example of a missing article: the claims are what has to change.
        let of_none = (self.without_topic > 0).then(|| {
            format!(
                "{} of {claims} claims have no topic, and their words name no article",
                self.without_topic
            )
        });
        let parts: Vec<String> = of_topics.into_iter().chain(of_none).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(topics: &[&str]) -> Option<String> {
        let mut missing = MissingPages::default();
        topics.iter().for_each(|topic| missing.add(topic));
        missing.warning(9)
    }

    #[test]
    fn topics_are_named_and_claims_without_topic_are_told_apart() {
        assert_eq!(warning(&[]), None);
        assert_eq!(
            warning(&["Oslo", "Oslo"]).unwrap(),
            "2 of 9 claims are about a topic without an article in the knowledge: `Oslo`"
        );
        assert_eq!(
            warning(&["", " "]).unwrap(),
            "2 of 9 claims have no topic, and their words name no article"
        );
        assert_eq!(
            warning(&["Oslo", "", "Bergen"]).unwrap(),
            "2 of 9 claims are about 2 topics without an article in the knowledge, such as \
            `Bergen`; 1 of 9 claims have no topic, and their words name no article"
        );
    }
}
