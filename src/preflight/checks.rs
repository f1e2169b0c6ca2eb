//! Checks of a stage against its parameters and inputs.

use super::{
    comparable::{unlike_scores, unlike_shifts, unscored_shifts},
    outlook::{Origin, Outlook},
};
use crate::{
    preference::PreferenceFormat,
    recipe::schema::Mismatch,
    stage::{command, facts, import, mine, reference, tune},
    stage_support::preference_rows::Needs,
};

impl Outlook<'_> {
    /// Everything that an attempt would reject or warn of.
    pub fn look(&self) -> Vec<Mismatch> {
        match self.kind.name {
            "agree" | "calibrate" => self.other_irrelevant().into_iter().collect(),
            "command" => self.command(),
            "compare" => unlike_scores(self),
            "diagnose" => [unlike_shifts(self), unscored_shifts(self)].concat(),
            "facts" => self.facts(),
            "import" => self.import(),
            "mix" => ["general", "atomic"]
                .into_iter()
                .filter_map(|input| self.answers(input, Needs::PAIRS))
                .collect(),
            "questions" => self.answers("pairs", Needs::PAIRS).into_iter().collect(),
            "sample" => self.sample(),
            "tune" => self.tune(),
            _ => Vec::new(),
        }
    }

    fn command(&self) -> Vec<Mismatch> {
        let Some(command::Parameters { program, .. }) = self.parameters() else {
            return Vec::new();
        };
        let found = command::missing(&program, self.path("program"));
        found
            .map(|(problem, right)| Mismatch::error("program", problem, right))
            .into_iter()
            .collect()
    }

    /// Tables and phrases that do not fit together.
    fn facts(&self) -> Vec<Mismatch> {
        // By the stage's own check: tables are small, and are read in full in any case.
        let problem = self.context().and_then(|context| facts::check(&context).err());
        let right = "matching tables, phrases and selections are expected";
        problem
            .map(|error| Mismatch::error("tables", error.to_string(), right))
            .into_iter()
            .collect()
    }

    /// Facts that one stage counts as irrelevant and another as unsupported.
    fn other_irrelevant(&self) -> Option<Mismatch> {
        let Some(Origin::Stage(maker)) = self.origin("labels") else { return None };
        let (theirs, own) = (maker.values.get("irrelevant")?, self.values.get("irrelevant")?);
        let problem = format!(
            "`irrelevant` is {own} here and {theirs} in the stage of the labels, whose verdicts \
            count irrelevant facts in another way"
        );
        let error = Mismatch::error("irrelevant", problem, "the same is expected in both stages");
        (theirs != own).then_some(Mismatch { is_error: false, ..error })
    }

    /// Labelled completions where pairs are needed.
    fn answers(&self, input: &'static str, needs: Needs) -> Option<Mismatch> {
        let Some(Origin::Stage(maker)) = self.origin(input) else { return None };
        let labelled = maker.kind.name == "mine"
            && maker.parameters::<mine::Parameters>()?.preference_format
                == PreferenceFormat::Unpaired;
        let why = if !labelled {
            return None;
        } else if !needs.single_answers {
            "pairs are compared"
        } else if needs.facts {
            "the facts of completions are needed, which only pairs have"
        } else {
            return None;
        };
        let problem = format!(
            "`{input}` are labelled completions (`preference_format` is \"unpaired\"), but {why}"
        );
        let right = "a stage that makes pairs is expected (`preference_format = \"pairs\"`)";
        Some(Mismatch::error(input, problem, right))
    }

    /// Number formats are for GGUF files.
    fn import(&self) -> Vec<Mismatch> {
        let problem = self
            .parameters::<import::Parameters>()
            .zip(self.path("path"))
            .and_then(|(parameters, path)| parameters.problem(path));
        let right = "remove it, or rewrite the directory with `apeft convert --dtype`";
        problem.map(|problem| Mismatch::error("dtype", problem, right)).into_iter().collect()
    }

    fn sample(&self) -> Vec<Mismatch> {
        if !self.chats() || !self.origin("model").is_some_and(Origin::is_from_scratch) {
            return Vec::new();
        }
        let problem = "`apply_chat_template` needs a chat template, which a model of kind \
            `pretrain` does not have";
        let right = "remove it, or take a model with a template";
        vec![Mismatch::error("apply_chat_template", problem, right)]
    }

    fn tune(&self) -> Vec<Mismatch> {
        let Some(parameters) = self.parameters::<tune::Parameters>() else {
            return Vec::new();
        };
        let mut found: Vec<Mismatch> =
            self.answers("pairs", parameters.needs()).into_iter().collect();
        found.extend(self.other_reference(&parameters));
        let config = self.origin("model").and_then(Origin::model_config);
        let Some((config, adapter)) = config.zip(parameters.new_adapter()) else { return found };
        if let Err(problem) = tune::check_targets(&parameters, &config) {
            let right = "names of linear layers are expected";
            found.push(Mismatch::error("target_modules", problem, right));
        } else if let Some(problem) = tune::beyond_layers(&adapter, &config) {
            // Only a warning: such a rank costs memory, but its result is right.
            let error = Mismatch::error("lora_rank", problem, "a lower rank does");
            found.push(Mismatch { is_error: false, ..error });
        }
        found
    }

    /// Reference log-probabilities of other tokens or digits than those of training would shift the
    /// loss without a sign of it.
    fn other_reference(&self, parameters: &tune::Parameters) -> Option<Mismatch> {
        let Some(Origin::Stage(scored)) = self.origin("reference") else { return None };
        let theirs = scored.parameters::<reference::Parameters>()?.encoding;
        if theirs == parameters.encoding {
            return None;
        }
        let problem = "`reference` scored the pairs with another `max_length`, \
            `truncation_mode` or `dtype`";
        Some(Mismatch::error("reference", problem, "the same three are expected in both stages"))
    }
}
