//! Claims of answers by a language model: a request for each sentence, repeated where the answer
//! is no list.

use std::mem;

use super::{
    claims::SentenceClaims,
    few_shot::FewShot,
    listing::{Listed, listed},
    window::{ClaimTask, tasks},
};
use crate::{
    facts::{AnswerSentence, answer_sentences},
    rows::{Claim, Content, Response},
};

/// How claims are asked for.
#[derive(Clone, Debug)]
pub struct ClaimPrompts {
    /// Instructions and demonstrations.
    pub few_shot: FewShot,
    /// Numbers of sentences before and after a sentence that its prompt shows.
    pub window: (usize, usize),
    /// Longest response in tokens; twice as long after a response that was cut.
    pub max_tokens: usize,
    /// Number of further requests after an answer that is no list or was cut.
    pub retries: usize,
    /// Whether prompts are messages.
    pub chats: bool,
}

/// A request for the claims of a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRequest {
    /// What it is for: "sentence 2 of `a#0`".
    pub label: String,
    /// The prompt.
    pub prompt: Content,
    /// Longest response in tokens.
    pub max_tokens: usize,
}

/// A model's answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimAnswer {
    /// Its text.
    pub text: String,
    /// Whether it reached its longest length.
    pub is_cut: bool,
}

/// The claims of some responses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtractedClaims {
    /// In the order of the responses and their sentences.
    pub claims: Vec<Claim>,
    /// Number of sentences.
    pub sentences: usize,
    /// Number of repetitions that were answered, after an answer that was no list or was cut.
    pub repeated: usize,
    /// Sentences without a readable answer; each is a claim as it stands.
    pub unread: usize,
}

/// A sentence whose claims are not known yet.
struct Pending {
    index: usize,
    request: ClaimRequest,
}

impl ClaimPrompts {
    /// The first requests for some responses.
    pub fn requests(&self, responses: &[Response]) -> Vec<ClaimRequest> {
        responses
            .iter()
            .flat_map(|response| self.requests_of(response, &answer_sentences(&response.output)))
            .collect()
    }

    fn requests_of(&self, response: &Response, sentences: &[AnswerSentence]) -> Vec<ClaimRequest> {
        let question = response.prompt.text();
        let request = |(number, task): (usize, ClaimTask)| ClaimRequest {
            label: format!("sentence {} of `{}`", number + 1, response.id),
            prompt: self.few_shot.prompt(&task, self.chats),
            max_tokens: self.max_tokens,
        };
        let tasks = tasks(sentences, &response.topic, &question, self.window);
        tasks.into_iter().enumerate().map(request).collect()
    }

    /// The claims of some responses. `ask` answers requests in their order; a repetition without
    /// an answer leaves its sentence unread.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn claims<E>(
        &self,
        responses: &[Response],
        mut ask: impl FnMut(&[ClaimRequest]) -> Result<Vec<Option<ClaimAnswer>>, E>,
    ) -> Result<ExtractedClaims, E> {
        let sentences: Vec<Vec<AnswerSentence>> =
            responses.iter().map(|response| answer_sentences(&response.output)).collect();
        let requests = responses
            .iter()
            .zip(&sentences)
            .flat_map(|(response, sentences)| self.requests_of(response, sentences));
        let mut pending: Vec<Pending> =
            requests.enumerate().map(|(index, request)| Pending { index, request }).collect();
        let mut found = ExtractedClaims { sentences: pending.len(), ..ExtractedClaims::default() };
        let mut lists: Vec<Option<Vec<String>>> = vec![None; pending.len()];
        for attempt in 0..=self.retries {
            // Copies are asked, since a failed request is needed again to build its repetition.
            let requests: Vec<ClaimRequest> =
                pending.iter().map(|pending| pending.request.clone()).collect();
            if requests.is_empty() {
                break;
            }
            let answers = ask(&requests)?;
            found.repeated += if attempt > 0 { answers.iter().flatten().count() } else { 0 };
            for (Pending { index, request }, answer) in
                mem::take(&mut pending).into_iter().zip(answers)
            {
                match answer.map(|answer| read(request, &answer)) {
                    Some(Ok(items)) => lists[index] = Some(items),
                    Some(Err(request)) => pending.push(Pending { index, request }),
                    None => {}
                }
            }
        }
        found.unread = lists.iter().filter(|list| list.is_none()).count();
        let mut lists = lists.into_iter();
        for (response, sentences) in responses.iter().zip(&sentences) {
            let mut claims = SentenceClaims::new(response);
            for sentence in sentences {
                // A sentence that nobody could split is still to be verified.
                let list = lists.next().flatten().unwrap_or_else(|| vec![sentence.text.clone()]);
                claims.add(sentence, list);
            }
            found.claims.append(&mut claims.marked());
        }
        Ok(found)
    }
}

/// The items of an answer, or the request that is made instead of the first one.
fn read(request: ClaimRequest, answer: &ClaimAnswer) -> Result<Vec<String>, ClaimRequest> {
    let problem = match listed(&answer.text) {
        // The last line may be half a fact.
        _ if answer.is_cut => {
            return Err(ClaimRequest { max_tokens: request.max_tokens * 2, ..request });
        }
        Listed::Items(items) => return Ok(items),
        Listed::NoList(problem) => problem,
    };
    let prompt = FewShot::repeated(request.prompt, &answer.text, problem);
    Err(ClaimRequest { prompt, ..request })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Finish, ResponseId};

    fn response(id: &str, output: &str) -> Response {
        Response {
            id: ResponseId::of_sample(id, 0),
            prompt_id: id.to_owned(),
            sample: 0,
            topic: "Ada".to_owned(),
            domain: String::new(),
            split: String::new(),
            prompt: "Who is Ada?".into(),
            output: output.to_owned(),
            finish: Finish::Stop,
        }
    }

    fn prompts(retries: usize) -> ClaimPrompts {
        let few_shot = FewShot::new(None, None, 2).unwrap();
        ClaimPrompts { few_shot, window: (3, 1), max_tokens: 8, retries, chats: true }
    }

    fn last(request: &ClaimRequest) -> &str {
        let Content::Messages(messages) = &request.prompt else { panic!() };
        &messages.last().unwrap().content
    }

    #[test]
    fn answers_that_are_no_lists_are_asked_for_again_and_in_the_end_the_sentence_counts() {
        let responses = [response("a", "Ada sang. Ada won."), response("b", "Ada is great.")];
        let mut rounds = Vec::new();
        let found = prompts(1)
            .claims(&responses, |requests| {
                rounds.push(requests.iter().map(|request| request.max_tokens).collect::<Vec<_>>());
                let answer = |request: &ClaimRequest| {
                    let asked = last(request);
                    let text = match asked {
                        _ if asked.contains("Sentence: Ada sang.") => "- Ada sang.\n- Ada sa",
                        _ if asked.contains("Sentence: Ada won.") => "Ada won.",
                        _ => "- none",
                    };
                    let is_cut = request.max_tokens < 16 && asked.contains("Sentence: Ada sang.");
                    Some(ClaimAnswer { text: text.to_owned(), is_cut })
                };
                Ok::<_, ()>(requests.iter().map(answer).collect())
            })
            .unwrap();
        assert_eq!(rounds, [vec![8, 8, 8], vec![16, 8]]);
        let texts: Vec<&str> = found.claims.iter().map(|claim| &*claim.text).collect();
        // The second round's answer to "Ada won." says that there is none.
        assert_eq!(texts, ["Ada sang.", "Ada sa"]);
        assert_eq!((found.sentences, found.repeated, found.unread), (3, 2, 0));
        let none = prompts(0)
            .claims(&responses[..1], |requests| {
                let answer = ClaimAnswer { text: "?".to_owned(), is_cut: false };
                Ok::<_, ()>(vec![Some(answer); requests.len()])
            })
            .unwrap();
        let texts: Vec<&str> = none.claims.iter().map(|claim| &*claim.text).collect();
        assert_eq!((texts, none.unread), (vec!["Ada sang.", "Ada won."], 2));
        let mut rounds = 0;
        let refused = prompts(2)
            .claims(&responses[..1], |requests| {
                rounds += 1;
                let answer = ClaimAnswer { text: "- Ada".to_owned(), is_cut: true };
                Ok::<_, ()>(vec![(rounds == 1).then_some(answer); requests.len()])
            })
            .unwrap();
        assert_eq!((rounds, refused.repeated, refused.unread, refused.claims.len()), (2, 0, 2, 2));
        assert_eq!(prompts(0).requests(&responses).len(), 3);
        assert_eq!(prompts(0).claims(&responses, |_| Err("gone")), Err("gone"));
    }
}
