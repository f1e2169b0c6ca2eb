//! The tasks of an answer: each of its sentences with those around it.

use serde::{Deserialize, Serialize};

use crate::facts::AnswerSentence;

/// A sentence whose claims are asked for, with what helps to understand it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimTask {
    /// Topic of the answer.
    #[serde(default)]
    pub topic: String,
    /// Prompt that was answered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub question: String,
    /// The sentences before it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
    /// The sentence.
    pub sentence: String,
    /// The sentences after it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after: String,
}

/// The tasks of an answer's sentences, each with some sentences before and after it.
pub(super) fn tasks(
    sentences: &[AnswerSentence],
    topic: &str,
    question: &str,
    (before, after): (usize, usize),
) -> Vec<ClaimTask> {
    let joined = |part: &[AnswerSentence]| {
        part.iter().map(|sentence| sentence.text.as_str()).collect::<Vec<_>>().join(" ")
    };
    let task = |(index, sentence): (usize, &AnswerSentence)| ClaimTask {
        topic: topic.to_owned(),
        question: question.to_owned(),
        before: joined(&sentences[index.saturating_sub(before)..index]),
        sentence: sentence.text.clone(),
        after: joined(&sentences[index + 1..(index + 1 + after).min(sentences.len())]),
    };
    sentences.iter().enumerate().map(task).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::answer_sentences;

    #[test]
    fn a_task_has_the_sentences_around_its_own() {
        let sentences = answer_sentences("**One.** Two. Three.\n\n- Four.");
        let tasks = tasks(&sentences, "T", "Q", (2, 1));
        let around: Vec<[&str; 3]> =
            tasks.iter().map(|task| [&*task.before, &*task.sentence, &*task.after]).collect();
        assert_eq!(
            around,
            [
                ["", "One.", "Two."],
                ["One.", "Two.", "Three."],
                ["One. Two.", "Three.", "Four."],
                ["Two. Three.", "Four.", ""],
            ]
        );
        assert!(tasks.iter().all(|task| task.topic == "T" && task.question == "Q"));
    }
}
