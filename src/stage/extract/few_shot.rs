//! What every language model is asked with, local or behind an endpoint: parameters and files of
//! its prompts, and remarks on its answers.

use std::fs;

use serde::Deserialize;

use crate::{
    context::{Context, StageError},
    prompting::{ClaimPrompts, ExtractedClaims, FewShot},
};

/// Inputs with parts of the prompts.
pub(super) const INPUTS: [&str; 2] = ["extract_prompt", "demonstrations"];

/// Parameters of prompts for claims.
#[derive(Debug, Deserialize, apeft_derive::Parameters)]
pub(super) struct FewShotParameters {
    /// For a language model: number of sentences before a sentence that its prompt shows.
    #[parameter(default = 3, max = 1000)]
    sentences_before: usize,
    /// For a language model: number of sentences after a sentence that its prompt shows.
    #[parameter(default = 1, max = 1000)]
    sentences_after: usize,
    /// For a language model: demonstrations in every prompt; the nearest of the others is added.
    #[parameter(default = 8, max = 1000)]
    fixed_demonstrations: usize,
    /// For a language model: longest list of the claims of a sentence in tokens.
    #[parameter(default = 512, min = 16, max = 1 << 20)]
    max_claim_tokens: usize,
    /// For a language model: further requests after an answer that is no list or was cut.
    #[parameter(default = 2, max = 10)]
    parse_retries: usize,
}

impl FewShotParameters {
    /// The prompts, of the files that the recipe names or of this program.
    ///
    /// # Errors
    /// If a file cannot be read, or is no prompt.
    pub(super) fn prompts(
        &self,
        context: &Context,
        chats: bool,
    ) -> Result<ClaimPrompts, StageError> {
        let [prompt, demonstrations] = INPUTS.map(|input| text_of(context, input));
        let (prompt, demonstrations) = (prompt?, demonstrations?);
        let few_shot =
            FewShot::new(prompt.as_deref(), demonstrations.as_deref(), self.fixed_demonstrations)
                .map_err(StageError::doing("read the prompt"))?;
        Ok(ClaimPrompts {
            few_shot,
            window: (self.sentences_before, self.sentences_after),
            max_tokens: self.max_claim_tokens,
            retries: self.parse_retries,
            chats,
        })
    }
}

fn text_of(context: &Context, input: &str) -> Result<Option<String>, StageError> {
    let Some(given) = context.inputs(input).next() else { return Ok(None) };
    let reading = format!("read {}", given.path.display());
    fs::read_to_string(&given.path).map(Some).map_err(StageError::doing(reading))
}

/// Reports how well the answers could be read. `help` continues "may help", and names what helps
/// this model.
pub(super) fn report_answers(context: &Context, found: &ExtractedClaims, help: &str) {
    let ExtractedClaims { claims, sentences, repeated, unread } = found;
    if *repeated > 0 {
        context.note(format!("{repeated} answers were no list or were cut, and asked for again"));
    }
    if *unread > 0 {
        context.warn(format!(
            "{unread} of {sentences} sentences have no readable list of claims, and are claims as \
            they stand; {help} may help"
        ));
    }
    let unfaithful = claims.iter().filter(|claim| claim.unfaithful).count();
    if unfaithful > 0 {
        context.note(format!(
            "{unfaithful} of {} claims have words that neither prompt nor response has \
            (`unfaithful`)",
            claims.len()
        ));
    }
}
