//! Prompts for all topics: one that asks for a paragraph, and one that asks for each fact.

use crate::{
    rows::{Prompt, PromptForm},
    seed::Seed,
};

use super::Domain;

/// The prompts of all domains: first all that ask for paragraphs, then the questions. A topic that
/// was drawn for tuning has the split `tune`, the others `test`.
pub fn prompts(domains: &[Domain], seed: &Seed) -> Vec<Prompt> {
    let mut paragraphs = Vec::new();
    let mut questions = Vec::new();
    for domain in domains {
        let tune = domain.tune_topics(seed);
        for entity in domain.entities() {
            let paragraph = Prompt {
                id: format!("{}/{}", domain.name(), entity.name),
                prompt: domain.phrases().paragraph_prompt(entity).into(),
                topic: entity.name.clone(),
                domain: domain.name().to_owned(),
                split: if tune.contains(entity.name.as_str()) { "tune" } else { "test" }.to_owned(),
                form: PromptForm::Paragraph,
                attribute: None,
                answers: Vec::new(),
                claim: None,
            };
            // Questions follow all paragraphs, since a file of prompts is read from its beginning.
            questions.extend(domain.facts(entity).map(|(attribute, values)| {
                Prompt {
                    id: format!("{}/{attribute}", paragraph.id),
                    prompt: domain.phrases().question(entity, attribute).into(),
                    form: PromptForm::Question,
                    attribute: Some(attribute.to_owned()),
                    answers: values
                        .iter()
                        .map(|value| domain.phrases().named_statement(entity, attribute, value))
                        .collect(),
                    ..paragraph.clone()
                }
            }));
            paragraphs.push(paragraph);
        }
    }
    paragraphs.extend(questions);
    paragraphs
}
