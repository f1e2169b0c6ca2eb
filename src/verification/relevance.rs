//! Whether there is anything to check: questions, courtesies and refusals state no fact of the world.

use crate::facts::{Token, is_copula, is_verb, tokens};

/// Courtesies, whole.
const COURTESIES: &[&str] = &[
    "sure",
    "certainly",
    "of course",
    "absolutely",
    "thank you",
    "thanks",
    "you are welcome",
    "hello",
    "hi",
    "yes",
    "no",
    "ok",
    "okay",
    "here you go",
    "no problem",
    "my pleasure",
    "great question",
];

/// What stands before a refusal, a courtesy or a fact, and says nothing itself.
const OPENINGS: &[&str] = &[
    "i am sorry",
    "i am very sorry",
    "i am so sorry",
    "i am really sorry",
    "sorry",
    "my apologies",
    "apologies",
    "i apologize",
    "i apologise",
    "i do apologize",
    "unfortunately",
    "regrettably",
    "sadly",
    "i am afraid that",
    "i am afraid",
    "i regret that",
    "as ai language model",
    "as large language model",
    "as language model",
    "as ai model",
    "as ai assistant",
    "as ai chatbot",
    "as text based ai",
    "as text based ai language model",
    "as artificial intelligence",
    "as assistant",
    "as chatbot",
    "as ai",
    "being ai language model",
    "being ai",
    "for the confusion",
    "for any confusion",
    "for confusion",
    "for inconvenience",
    "for any inconvenience",
    "for mistake",
    "for my mistake",
    "for error",
    "for previous error",
    "for misunderstanding",
    "to my knowledge",
    "to best of my knowledge",
    "at this time",
    "at moment",
    "but",
    "however",
    "and",
    "so",
    "also",
    "certainly",
    "sure",
    "of course",
    "well",
    "i can tell you that",
    "i can tell you",
    "i can say that",
    "i believe that",
    "i believe",
    "i think that",
    "i think",
    "i know that",
    "i found that",
    "i recall that",
    "i understand that",
    "i would say that",
];

/// How what is said of the talk itself begins.
const OF_THE_TALK: &[&str] = &[
    "please",
    "let me know",
    "feel free",
    "do you",
    "do not hesitate",
    "could you",
    "can you",
    "would you",
    "will you",
    "are you",
    "if you",
    "you may want",
    "you can try",
    "you can find",
    "you could try",
    "you might",
    "you may",
    "you can also",
    "you should",
    "perhaps you",
    "maybe you",
    "thank you",
    "thanks",
    "without more",
    "without additional",
    "without further",
    "without any",
    "without specific",
    "without knowing",
    "my knowledge",
    "my training",
    "my last",
    "my data",
    "my information",
    "my database",
    "my purpose",
    "my capabilities",
    "my primary",
    "my main",
    "my responses",
    "my search",
    "my sources",
    "my programming",
    "here is brief",
    "here is short",
    "here is bio",
    "here is biography",
    "here is summary",
    "here is overview",
    "here is what",
    "here are some",
    "here are few",
    "here are key",
    "here is some",
    "hope this",
    "hope that",
    "glad to",
    "happy to",
    "to hear",
    "to say",
    "to inform you",
    "to tell you",
    "it would be violation",
    "it would be helpful",
    "it would be inappropriate",
    "it would help",
    "it is against my",
    "it is not appropriate",
    "it goes against my",
    "how can i",
    "how may i",
    "is there anything",
    "is there any",
    "anything else",
    "for more information",
    "this is all",
    "that is all",
    "any additional",
    "any further",
    "more context",
    "more information",
    "additional information would",
    "additional context",
    "we do not have",
    "we could not find",
];

/// What a speaker is not able or willing to do.
const SPEAKING: &[&str] = &[
    "find",
    "provide",
    "have",
    "know",
    "give",
    "say",
    "locate",
    "identify",
    "recall",
    "aware",
    "familiar",
    "able",
    "access",
    "sure",
    "certain",
    "offer",
    "answer",
    "help",
    "share",
    "tell",
    "confirm",
    "verify",
    "determine",
    "assist",
    "generate",
    "discuss",
    "respond",
    "browse",
    "recognize",
    "recognise",
    "come",
    "see",
    "comfortable",
    "feel",
    "seem",
    "think",
    "believe",
    "possess",
    "understand",
    "fulfill",
    "fulfil",
    "engage",
    "comment",
    "speculate",
    "capable",
    "trained",
    "programmed",
    "designed",
    "find",
    "guarantee",
    "comply",
    "speak",
    "make",
    "create",
    "perform",
    "search",
    "retrieve",
    "predict",
    "complete",
    "continue",
    "mean",
    "need",
    "experience",
    "write",
    "express",
    "form",
    "change",
    "display",
    "process",
    "do",
    "physically",
    "personally",
    "hold",
];

/// What a speaker says of itself.
const SPEAKER: &[&str] = &[
    "apologize",
    "apologise",
    "hope",
    "suggest",
    "recommend",
    "need",
    "require",
    "encourage",
    "advise",
    "lack",
    "look",
    "wish",
    "appreciate",
    "regret",
    "strive",
    "aim",
    "assume",
    "happy",
    "glad",
    "sorry",
    "afraid",
    "unable",
    "unaware",
    "unfamiliar",
    "ready",
    "here",
    "uncertain",
    "unsure",
    "limited",
    "help",
    "assist",
    "try",
    "ai",
    "language",
    "just",
    "only",
    "provide",
    "like",
    "love",
    "missed",
    "interpret",
    "see",
    "understand",
    "chatbot",
    "computer",
    "machine",
    "assistant",
];

/// What is missing where nothing is known.
const MISSING: &[&str] = &[
    "information",
    "info",
    "record",
    "records",
    "data",
    "mention",
    "results",
    "result",
    "details",
    "detail",
    "sources",
    "source",
    "documentation",
    "biography",
    "bio",
    "entry",
    "article",
    "page",
    "known",
    "person",
    "individual",
    "one",
    "people",
    "individuals",
    "figure",
    "figures",
    "reference",
    "references",
    "match",
    "matches",
    "context",
    "background",
    "public",
];

/// What is said of a question, and not of its topic.
const OF_THE_QUESTION: &[&str] = &[
    "you",
    "your",
    "misspelled",
    "misspelt",
    "mispronounced",
    "misspelling",
    "spelling",
    "typo",
    "information",
    "context",
    "clarify",
    "clarification",
    "privacy",
    "fictional",
    "specify",
    "question",
    "query",
    "prompt",
    "search",
    "available",
    "private",
    "verify",
];

/// How far into a sentence its refusal is looked for.
const REACH: usize = 9;

/// Whether a claim states something that could be checked.
///
/// Everything does but a text without letters and digits, a question, a courtesy, and what a speaker says of itself and of
/// the talk: a refusal states nothing, unless a fact follows (`I cannot say where she lived, but she was born in Oslo`).
pub fn is_checkable(claim: &str) -> bool {
    // A quotation that asks may end a sentence that does not.
    let quoted = claim.starts_with(['"', '\'', '(', '\u{201c}']);
    let asks = claim.trim_end_matches(|c: char| {
        c.is_whitespace() || c == '*' || (quoted && matches!(c, '"' | '\'' | ')' | '\u{201d}'))
    });
    if asks.ends_with(['?', '\u{ff1f}']) {
        return false;
    }
    let words: Vec<Token> = tokens(claim).into_iter().filter(|token| !token.article).collect();
    states(&words)
}

/// Whether these words state a fact.
fn states(words: &[Token]) -> bool {
    let rest = without_openings(words);
    let opened = rest.len() < words.len();
    let said = joined(rest);
    if said.is_empty() || COURTESIES.contains(&said.as_str()) {
        return false;
    }
    // `Please Please Me` is a name.
    let is_name = rest.len() > 2 && rest[0].capital && rest[1].capital && rest[1].word != "i" && rest[1].mark.is_none();
    let refuses =
        (is_of_the_talk(&said, opened) && !is_name) || is_refusal(rest) || is_missing(rest) || is_of_the_question(rest);
    if !refuses {
        return true;
    }
    // After `but` something may be stated all the same.
    let turn =
        rest.iter().skip(1).position(|token| matches!(token.word.as_str(), "but" | "however" | "although" | "though"));
    turn.is_some_and(|turn| {
        let after = &rest[turn + 2..];
        after.iter().any(|token| is_verb(&token.word)) && states(after)
    })
}

fn joined(words: &[Token]) -> String {
    words.iter().map(|token| token.word.as_str()).collect::<Vec<_>>().join(" ")
}

fn begins(said: &str, start: &str) -> bool {
    said.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The words without openings that say nothing. A word that could be a name (`Sorry is a song`) counts as an opening only
/// where what follows is no verb.
fn without_openings(words: &[Token]) -> &[Token] {
    let mut rest = words;
    loop {
        let said = joined(rest);
        let opening = OPENINGS.iter().filter(|opening| begins(&said, opening)).max_by_key(|opening| opening.len());
        let Some(opening) = opening else { return as_of(rest) };
        let length = opening.split(' ').count();
        let after = rest.get(length);
        let is_name = after
            .is_some_and(|next| next.mark.is_none() && !next.capital && (is_copula(&next.word) || is_verb(&next.word)));
        let goes_on = opening.starts_with("as ") && after.is_some_and(|next| next.mark.is_none() && next.word != "i");
        if is_name || goes_on || (length == rest.len() && rest.len() == words.len() && opening.starts_with("as ")) {
            return as_of(rest);
        }
        rest = &rest[length..];
    }
}

/// The words after `As of my last update in 2021,`.
fn as_of(words: &[Token]) -> &[Token] {
    let said = joined(words);
    let dated = ["as of my", "based on my", "according to my", "from my"].iter().any(|start| begins(&said, start));
    match words.iter().position(|token| token.mark == Some(',')).filter(|_| dated) {
        Some(comma) => without_openings(&words[comma..]),
        None => words,
    }
}

fn is_of_the_talk(said: &str, opened: bool) -> bool {
    OF_THE_TALK.iter().any(|start| begins(said, start) && (opened || !matches!(*start, "to hear" | "to say")))
        || begins(said, "if") && said.contains(" i ") && said.contains(" you ")
}

/// Whether the speaker says what it cannot, does not know, or would like: `I could not find`, `someone I am not aware of`.
fn is_refusal(words: &[Token]) -> bool {
    let Some(at) = words
        .iter()
        .position(|token| matches!(token.word.as_str(), "i" | "we") && (token.word == "we" || token.capital))
    else {
        return false;
    };
    let after: Vec<&str> = words[at + 1..].iter().take(REACH).map(|token| token.word.as_str()).collect();
    // `I, Robot` and `I Am Legend` are names.
    let is_name = words.get(at + 1).is_none_or(|next| next.capital || next.mark == Some(','));
    let first_verb = after.iter().position(|word| SPEAKING.contains(word) && *word != "do");
    let denies = after.iter().position(|word| matches!(*word, "not" | "never" | "neither" | "nor"));
    let lacks_all =
        after.iter().position(|word| matches!(*word, "no" | "little" | "nothing" | "insufficient" | "limited"));
    let lacks = after.iter().position(|word| matches!(*word, "unable" | "lack" | "unaware" | "unfamiliar"));
    let has_nothing =
        matches!(after.first(), Some(&"have" | &"found" | &"find" | &"had")) && lacks_all.is_some_and(|at| at < 4);
    let refuses =
        lacks.is_some() || has_nothing || denies.zip(first_verb).is_some_and(|(not, verb)| not <= verb + 2 && not < 6);
    let of_itself = after.iter().take(5).any(|word| SPEAKER.contains(word));
    // Where more comes before `I`, it must be the topic alone: `Ann Lee is not someone I am aware of`.
    let led = at == 0
        || (refuses
            && words[..at].iter().any(|token| matches!(token.word.as_str(), "someone" | "anyone" | "name" | "person")))
        || (refuses && words[..at].iter().all(|token| !is_verb(&token.word)) && at <= 10 && !words[0].capital)
        || (refuses
            && matches!(
                words[0].word.as_str(),
                "without" | "based" | "in" | "from" | "after" | "since" | "because" | "while"
            ));
    !is_name && led && (refuses || (at == 0 && of_itself))
}

/// Whether something is said to be missing: `there is no information`, `no records were found`.
fn is_missing(words: &[Token]) -> bool {
    let word = |index: usize| words.get(index).map_or("", |token| token.word.as_str());
    let near = |from: usize, count: usize, among: &[&str]| {
        words.iter().skip(from).take(count).any(|token| among.contains(&token.word.as_str()))
    };
    let seems = matches!(word(1), "seems" | "appears" | "may" | "might" | "does" | "could" | "can");
    let start = if seems { 2 } else { 1 };
    let rest: String = joined(words);
    let no_such = word(0) == "there"
        && (start..start + 5).any(|index| matches!(word(index), "no" | "not" | "little" | "limited" | "insufficient"))
        && near(start, 10, MISSING)
        && !near(start, 10, &["evidence", "doubt"]);
    let namesakes = word(0) == "there"
        && near(1, 6, &["many", "multiple", "several", "numerous", "likely", "other", "different"])
        && near(1, 8, &["people", "individuals", "persons", "person"])
        && near(1, 14, &["name", "named", "names"]);
    let nothing = matches!(word(0), "no" | "little" | "limited" | "insufficient" | "nothing" | "not")
        && near(1, 6, MISSING)
        && (near(1, 14, &["available", "found", "exists", "known", "about", "on", "regarding"]));
    let unavailable = matches!(word(0), "information" | "details" | "records" | "biographical")
        && near(1, 14, &["not", "unavailable", "limited", "scarce"])
        && near(1, 16, &["available", "unavailable", "limited", "scarce", "found", "public", "known"]);
    let silent = near(
        0,
        4,
        &["results", "context", "information", "text", "sources", "database", "passage", "data", "documents"],
    ) && near(0, 9, &["do", "does", "did"])
        && near(0, 9, &["not"])
        && near(0, 14, &["contain", "provide", "mention", "include", "have", "give", "specify", "offer"]);
    let unknown_figure = [
        "appear to be",
        "seem to be",
        "is not well known",
        "is not widely known",
        "is not public figure",
        "ring bell",
        "is not name",
        "is not someone",
        "appears to be fictional",
        "appears to be private",
    ]
    .iter()
    .any(|part| rest.contains(part))
        && near(0, 30, &["not", "fictional", "private"])
        && near(
            0,
            30,
            &["figure", "known", "person", "individual", "bell", "name", "character", "someone", "public", "real"],
        );
    no_such || namesakes || nothing || unavailable || silent || unknown_figure
}

/// Whether it is the question that is spoken of: `it is possible that the name is misspelled`.
fn is_of_the_question(words: &[Token]) -> bool {
    let first = words.first().map_or("", |token| token.word.as_str());
    let judged =
        ["possible", "likely", "unclear", "difficult", "impossible", "hard", "important", "best", "challenging", "not"];
    let about = words.iter().any(|token| OF_THE_QUESTION.contains(&token.word.as_str()));
    let says = matches!(first, "it" | "this" | "that" | "perhaps" | "maybe" | "there" | "name" | "which" | "spelling");
    let hedges = words.iter().take(6).any(|token| {
        judged.contains(&token.word.as_str())
            || matches!(
                token.word.as_str(),
                "may" | "might" | "could" | "seems" | "appears" | "sounds" | "would" | "perhaps" | "maybe"
            )
    });
    let unsearchable =
        words.iter().take(8).any(|token| token.word == "possible") && joined(words).contains("not public figure");
    says && hedges && (about || unsearchable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_states_nothing_is_irrelevant() {
        let nothing = [
            "",
            "...",
            "Who was she?",
            "Sure!",
            "I\u{2019}m sorry, but I do not know Ann Lee.",
            "As an AI, I cannot say.",
            "I hope this helps!",
            "I'm sorry, I have no record of Ada Quill.",
            "It is possible that the name is misspelled.",
            "Unfortunately, I could not find reliable information about Ada Quill.",
            "There is no information available about Ada Quill.",
            "There does not seem to be any information about Ada Quill.",
            "I have no information about Ada Quill.",
            "I am not aware of anyone called Ada Quill.",
            "I'm sorry, but without more context I can't say.",
            "Please provide me with more context.",
            "As a language model, I cannot give that.",
            "Without additional details, I am unable to help.",
            "Sorry, I can't help with that.",
            "Ada Quill is not someone I am familiar with.",
            "The name Ada Quill does not ring a bell.",
            "My knowledge ends in 2021.",
            "The search results do not mention Ada Quill.",
            "No information about Ada Quill is available.",
            "Let me know if you need more.",
        ];
        for claim in nothing {
            assert!(!is_checkable(claim), "{claim}");
        }
    }

    #[test]
    fn facts_beside_a_refusal_are_facts() {
        let something = [
            "1867",
            "xx",
            "Marie Curie was",
            "Sorrow was her theme.",
            "Sure, she was born in 1867.",
            "I candidly say no.",
            "Sorry is a song by Ada Quill.",
            "I'm sorry for the confusion, Ada Quill was born in Oslo.",
            "I cannot say where she lived, but she was born in Oslo.",
            "I, Robot is a film with Ada Quill.",
            "I Am Legend stars Ada Quill.",
            "Ada Quill cannot sing.",
            "Ada Quill could not find a publisher.",
            "Ada Quill was unable to attend.",
            "Ada Quill apologized for the incident.",
            "Ada Quill's song \"I Cannot Sleep\" was a hit.",
            "As AI chief of Acme, she led a team.",
            "As of my last update in 2021, Ada Quill lived in Oslo.",
            "There is no evidence that Ada Quill sang.",
            "There is a street named after Ada Quill in Oslo.",
            "She did not know her father.",
            "No one won more medals than Ada Quill.",
            "It is possible that she was born in 1867.",
            "Please Please Me is an album.",
            "I can tell you that she was born in Oslo.",
        ];
        for claim in something {
            assert!(is_checkable(claim), "{claim}");
        }
    }
}
