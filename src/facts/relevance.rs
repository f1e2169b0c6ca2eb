//! Relevance of claims: questions, courtesies and refusals state no fact.

use std::ops::Range;

use super::{
    scan::tokens,
    talk::{COURTESIES, MISSING, OF_THE_QUESTION, OF_THE_TALK, OPENINGS, SPEAKER, SPEAKING},
    token::Token,
    verb::{is_copula, is_verb},
};

/// Number of words in which a refusal is searched.
const REACH: usize = 9;

/// Whether a claim is verifiable.
///
/// Not verifiable are a text without letters and digits, a question, a courtesy, and a speaker's
/// words about itself and the conversation. A refusal states nothing unless a fact follows (`I
/// cannot say where she lived, but she was born in Oslo`).
pub fn is_checkable(claim: &str) -> bool {
    // Phrases are listed without articles.
    let words: Vec<Token> = tokens(claim).into_iter().filter(|token| !token.article).collect();
    !asks(claim) && states(&words).is_some()
}

/// The character at which the facts of a sentence begin, after a refusal (`I am not sure, but she
/// was born in Oslo`); none where it states nothing.
pub(super) fn begins_stating(sentence: &[Token]) -> Option<usize> {
    let words: Vec<Token> = sentence.iter().filter(|token| !token.article).cloned().collect();
    let stated = states(&words)?;
    if stated.len() == words.len() {
        return Some(0);
    }
    let start = stated.first()?.start;
    // An article in front belongs to the fact.
    let article = sentence.iter().rev().find(|token| token.end <= start);
    Some(article.filter(|token| token.article).map_or(start, |token| token.start))
}

/// Whether a text is a question.
pub(super) fn asks(claim: &str) -> bool {
    // A quoted question may end a sentence that is not a question.
    let quoted = claim.starts_with(['"', '\'', '(', '\u{201c}']);
    let asks = claim.trim_end_matches(|c: char| {
        c.is_whitespace() || c == '*' || (quoted && matches!(c, '"' | '\'' | ')' | '\u{201d}'))
    });
    asks.ends_with(['?', '\u{ff1f}', '\u{61f}'])
}

/// The words that state a fact: all of them, those after a refusal, or none.
fn states(words: &[Token]) -> Option<&[Token]> {
    let rest = without_openings(words);
    let opened = rest.len() < words.len();
    let said = joined(rest);
    if said.is_empty() || COURTESIES.contains(&said.as_str()) {
        return None;
    }
    // `Please Please Me` is a name.
    let second = usize::from(rest.get(1).is_some_and(|token| token.word == "i")) + 1;
    let is_name = rest.len() > second
        && rest[0].capital
        && rest[second].capital
        && rest[1].mark.is_none()
        && rest.len() > 2;
    let refuses = (is_of_the_talk(&said, opened) && !is_name)
        || is_refusal(rest)
        || is_missing(rest)
        || is_of_the_question(rest)
        || is_of_accuracy(rest);
    if !refuses {
        return Some(words);
    }
    // After `but`, or after a clause with `although`, a fact may follow.
    let turns =
        |token: &Token| matches!(token.word.as_str(), "but" | "however" | "although" | "though");
    let concedes = matches!(rest[0].word.as_str(), "although" | "though" | "while");
    let after_turn = rest.iter().skip(1).position(turns).map(|turn| turn + 2);
    let after_comma = rest.iter().position(|token| token.mark == Some(',')).filter(|_| concedes);
    // `I have no information after 2021, when she died in Paris`
    let relates = |token: &Token| token.mark == Some(',') && token.is_one_of(&["when", "where"]);
    let after_time = rest.iter().position(relates).map(|link| link + 1);
    let after = &rest[after_turn.or(after_comma).or(after_time)?..];
    if after.iter().any(|token| is_verb(&token.word)) { states(after) } else { None }
}

fn joined(words: &[Token]) -> String {
    words.iter().map(|token| token.word.as_str()).collect::<Vec<_>>().join(" ")
}

fn begins(said: &str, start: &str) -> bool {
    said.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The words without empty openings. A word that could be a name (`Sorry is a song`) counts as an
/// opening only if no verb follows.
fn without_openings(words: &[Token]) -> &[Token] {
    let mut rest = words;
    loop {
        let said = joined(rest);
        let opening = OPENINGS
            .iter()
            .filter(|opening| begins(&said, opening))
            .max_by_key(|opening| opening.len());
        let Some(opening) = opening else { return as_of(rest) };
        let length = opening.split(' ').count();
        let after = rest.get(length);
        let is_name = after.is_some_and(|next| {
            next.mark.is_none() && !next.capital && (is_copula(&next.word) || is_verb(&next.word))
        });
        let goes_on = opening.starts_with("as ")
            && after.is_some_and(|next| next.mark.is_none() && next.word != "i");
        // `Sorry is a song` is no courtesy, and `As an AI` alone opens nothing.
        if is_name
            || goes_on
            || (length == rest.len() && rest.len() == words.len() && opening.starts_with("as "))
        {
            return as_of(rest);
        }
        rest = &rest[length..];
    }
}

/// The words after `As of my last update in 2021,`.
fn as_of(words: &[Token]) -> &[Token] {
    let said = joined(words);
    let dated = ["as of my", "based on my", "according to my", "from my"]
        .iter()
        .any(|start| begins(&said, start));
    match words.iter().position(|token| token.mark == Some(',')).filter(|_| dated) {
        Some(comma) => without_openings(&words[comma..]),
        None => words,
    }
}

fn is_of_the_talk(said: &str, opened: bool) -> bool {
    OF_THE_TALK.iter().any(|start| begins(said, start) && (opened || *start != "to hear"))
        || begins(said, "if") && said.contains(" i ") && said.contains(" you ")
}

/// Whether the speaker states inability, ignorance or wishes: `I could not find`, `someone I am not
/// aware of`.
fn is_refusal(words: &[Token]) -> bool {
    let cased = words.iter().any(|token| token.capital);
    let Some(at) = words
        .iter()
        .position(|token| token.word == "we" || (token.word == "i" && (token.capital || !cased)))
    else {
        return false;
    };
    let after: Vec<&str> =
        words[at + 1..].iter().take(REACH).map(|token| token.word.as_str()).collect();
    // `I, Robot` and `I Am Legend` are names.
    let is_name = words.get(at + 1).is_none_or(|next| next.capital || next.mark == Some(','));
    // `Do` stands in most denials (`do not know`) and alone declines nothing.
    let first_verb = after.iter().position(|word| SPEAKING.contains(word) && *word != "do");
    let denies = after.iter().position(|word| matches!(*word, "not" | "never" | "neither" | "nor"));
    let lacks_all = after
        .iter()
        .position(|word| matches!(*word, "no" | "little" | "nothing" | "insufficient" | "limited"));
    let lacks =
        after.iter().position(|word| matches!(*word, "unable" | "lack" | "unaware" | "unfamiliar"));
    let has_nothing = matches!(after.first(), Some(&"have" | &"found" | &"find" | &"had"))
        && lacks_all.is_some_and(|at| at < 4);
    let refuses = lacks.is_some()
        || has_nothing
        || denies.zip(first_verb).is_some_and(|(not, verb)| not <= verb + 2 && not < 6);
    let of_itself = after.iter().take(5).any(|word| SPEAKER.contains(word));
    // Words before `I` must be the topic alone: `Ann Lee is not someone I am aware of`.
    let led = at == 0
        || (refuses
            && words[..at].iter().any(|token| {
                matches!(token.word.as_str(), "someone" | "anyone" | "name" | "person")
            }))
        || (refuses
            && words[..at].iter().all(|token| !is_verb(&token.word))
            && at <= 10
            && !words[0].capital)
        || (refuses
            && matches!(
                words[0].word.as_str(),
                "as" | "without"
                    | "based"
                    | "in"
                    | "from"
                    | "after"
                    | "since"
                    | "because"
                    | "while"
                    | "although"
                    | "though"
                    | "who"
                    | "what"
                    | "where"
                    | "when"
                    | "whether"
            ));
    !is_name && led && (refuses || (at == 0 && of_itself))
}

/// Whether a sentence reports missing information: `there is no information`, `no records were
/// found`.
fn is_missing(words: &[Token]) -> bool {
    let said = joined(words);
    is_searched_in_vain(&said)
        || is_no_such_information(words)
        || is_of_namesakes(words)
        || is_nothing_known(words)
        || is_unavailable(words)
        || are_sources_silent(words)
        || is_not_in_training_data(words, &said)
        || is_no_figure(words)
}

/// `There does not seem to be any record of Ann Lee.`
fn is_no_such_information(words: &[Token]) -> bool {
    let seems = matches!(
        word_at(words, 1),
        "seems" | "appears" | "may" | "might" | "does" | "could" | "can"
    );
    let start = if seems { 2 } else { 1 };
    word_at(words, 0) == "there"
        && near(words, start..start + 5, &["no", "not", "little", "limited", "insufficient"])
        && near(words, start..start + 10, MISSING)
        // `There is no evidence that she sang` is a claim about her.
        && !near(words, start..start + 10, &["evidence", "doubt"])
}

/// `There are several people named Ann Lee.`
fn is_of_namesakes(words: &[Token]) -> bool {
    let many = ["many", "multiple", "several", "numerous", "likely", "other", "different"];
    word_at(words, 0) == "there"
        && near(words, 1..7, &many)
        && near(words, 1..9, &["people", "individuals", "persons", "person"])
        && near(words, 1..15, &["name", "named", "names"])
}

/// `No information about Ann Lee is available.`
fn is_nothing_known(words: &[Token]) -> bool {
    let begins =
        matches!(word_at(words, 0), "no" | "little" | "limited" | "insufficient" | "nothing")
            || (word_at(words, 0) == "not" && matches!(word_at(words, 1), "much" | "enough"));
    let missing = (1..7).find(|index| MISSING.contains(&word_at(words, *index)));
    begins
        && missing.is_some_and(|at| {
            near(words, at + 1..at + 2, &["about", "on", "regarding", "concerning"])
                || near(words, at..at + 12, &["available", "found", "exists", "exist", "known"])
        })
}

/// `Information about Ann Lee is scarce.`
fn is_unavailable(words: &[Token]) -> bool {
    let found = ["available", "unavailable", "limited", "scarce", "found", "public", "known"];
    matches!(word_at(words, 0), "information" | "details" | "records" | "biographical")
        && near(words, 1..15, &["not", "unavailable", "limited", "scarce"])
        && near(words, 1..17, &found)
}

/// `The search results do not mention Ann Lee.`
fn are_sources_silent(words: &[Token]) -> bool {
    let sources = [
        "results",
        "context",
        "information",
        "text",
        "sources",
        "database",
        "passage",
        "data",
        "documents",
    ];
    let tell = ["contain", "provide", "mention", "include", "have", "give", "specify", "offer"];
    near(words, 0..4, &sources)
        && near(words, 0..9, &["do", "does", "did"])
        && near(words, 0..9, &["not"])
        && near(words, 0..14, &tell)
}

/// `Ann Lee is not in my training data.`
fn is_not_in_training_data(words: &[Token], said: &str) -> bool {
    let own = [
        "my training",
        "my data",
        "my database",
        "my knowledge",
        "my records",
        "to me",
        "my sources",
    ];
    near(words, 0..30, &["not", "no", "nothing"])
        && own.iter().any(|part| format!(" {said} ").contains(&format!(" {part} ")))
}

/// The word at an index; empty after the last one.
fn word_at(words: &[Token], index: usize) -> &str {
    words.get(index).map_or("", |token| token.word.as_str())
}

/// Whether one of these words is in a range of the text.
fn near(words: &[Token], range: Range<usize>, among: &[&str]) -> bool {
    words.iter().take(range.end).skip(range.start).any(|token| token.is_one_of(among))
}

/// Whether a search found nothing, or the identity is unclear: `Could not find anything about Ann
/// Lee.`
fn is_searched_in_vain(said: &str) -> bool {
    let seeks = [
        "could not find",
        "can not find",
        "cannot find",
        "did not find",
        "unable to find",
        "could not locate",
        "found nothing",
        "found no",
        "unable to locate",
        "not able to find",
    ]
    .iter()
    .any(|start| begins(said, start));
    let things =
        ["anything", "any", "information", "about", "no", "nothing", "results", "records", "who"];
    let unclear =
        ["it is not clear who", "it is unclear who", "it is not known who", "it is unknown who"]
            .iter()
            .any(|start| begins(said, start));
    (seeks && said.split(' ').skip(2).any(|word| things.contains(&word)))
        || (unclear && (said.ends_with(" is") || said.ends_with(" was")))
}

/// Whether the topic is called unknown: `Ann Lee does not appear to be a public figure`.
fn is_no_figure(words: &[Token]) -> bool {
    let said = joined(words);
    [
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
    .any(|part| said.contains(part))
        && near(words, 0..30, &["not", "fictional", "private"])
        && near(
            words,
            0..30,
            &[
                "figure",
                "known",
                "person",
                "individual",
                "bell",
                "name",
                "character",
                "someone",
                "public",
                "real",
            ],
        )
}

/// Whether a sentence is about how right the answer is: `this information may not be accurate`.
fn is_of_accuracy(words: &[Token]) -> bool {
    let answer = ["this", "these", "information", "answer", "response", "some", "details", "above"];
    let right = [
        "accurate",
        "inaccurate",
        "outdated",
        "incomplete",
        "incorrect",
        "wrong",
        "reliable",
        "errors",
        "mistakes",
        "complete",
        "changed",
    ];
    near(words, 0..1, &answer)
        && near(words, 1..6, &["may", "might", "could"])
        && near(words, 2..10, &right)
}

/// Whether a sentence is about the question: `it is possible that the name is misspelled`.
fn is_of_the_question(words: &[Token]) -> bool {
    let first = words.first().map_or("", |token| token.word.as_str());
    let judged = [
        "possible",
        "likely",
        "unclear",
        "difficult",
        "impossible",
        "hard",
        "important",
        "best",
        "challenging",
        "not",
    ];
    let about = words.iter().any(|token| token.is_one_of(OF_THE_QUESTION));
    let says = matches!(
        first,
        "it" | "this" | "that" | "perhaps" | "maybe" | "there" | "name" | "which" | "spelling"
    );
    let hedges = words.iter().take(6).any(|token| {
        judged.contains(&token.word.as_str())
            || matches!(
                token.word.as_str(),
                "may"
                    | "might"
                    | "could"
                    | "seems"
                    | "appears"
                    | "sounds"
                    | "would"
                    | "perhaps"
                    | "maybe"
            )
    });
    let unsearchable = words.iter().take(8).any(|token| token.word == "possible")
        && joined(words).contains("not public figure");
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
            "Could not find anything about Ada Quill.",
            "It is not clear who Ada Quill is.",
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
            "It is unknown who killed Ada Quill.",
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

    #[test]
    fn refusals_and_facts_in_many_words() {
        let nothing = [
            "I'm sorry, but I couldn't find any information on Ada Quill.",
            "I apologize, but I'm not familiar with Ada Quill.",
            "I do not have access to information about Ada Quill.",
            "I don't have any information on that person.",
            "Sorry, I don't know who Ada Quill is.",
            "I could not find any information about a person named Ada Quill.",
            "As of my knowledge cutoff in 2021, I don't have information about Ada Quill.",
            "There isn't any publicly available information on Ada Quill.",
            "There are no records of a person named Ada Quill.",
            "Ada Quill is not a well-known figure.",
            "Ada Quill does not appear to be a public figure.",
            "It seems that there is no widely known person named Ada Quill.",
            "Could you please provide more details?",
            "I'm afraid I can't help with that.",
            "I cannot provide a biography of Ada Quill.",
            "I cannot fulfill this request.",
            "I won't be able to help with that.",
            "I must decline.",
            "I'd rather not answer.",
            "No information found.",
            "No results.",
            "N/A",
            "Unknown.",
            "I am unable to verify any facts about Ada Quill.",
            "My apologies, but I have no data on this.",
            "If you can give me more context, I will try to help.",
            "Can you clarify which Ada Quill you mean?",
            "There are several people named Ada Quill.",
            "This person is not known to me.",
            "Nothing is known about Ada Quill.",
            "Who Ada Quill is, I do not know.",
            "To the best of my knowledge, there is no notable person by the name of Ada Quill.",
            "I do not know.",
            "I don't know.",
            "I dont know.",
            "idk",
            "I have never heard of Ada Quill.",
            "I haven't heard of her.",
            "I would need more information to answer.",
            "Please note that this information may be outdated.",
            "Here is a short biography of Ada Quill:",
            "i'm sorry, i don't know.",
            "I\u{2019}m sorry, but I can\u{2019}t assist with that request.",
            "I'm sorry.",
            "Sorry!",
            "Information about Ada Quill could not be found.",
            "No such person exists in my database.",
            "I regret to inform you that I have no information about Ada Quill.",
            "Regrettably, no details on Ada Quill are available.",
            "I can't find any record of Ada Quill.",
            "I'm not able to answer that.",
            "I am just a language model.",
            "As an AI developed by Acme, I do not have personal opinions.",
            "I don't recognize the name Ada Quill.",
            "The name does not appear in my training data.",
            "Ada Quill does not appear in my data.",
            "It is best to consult reliable sources.",
            "You may wish to consult an encyclopedia.",
            "I recommend checking other sources.",
            "It is worth noting that this information may not be accurate.",
            "This may be inaccurate.",
            "I may be wrong.",
            "The user asks about Ada Quill.",
            "null",
        ];
        for claim in nothing {
            assert!(!is_checkable(claim), "{claim}");
        }
        let something = [
            "Ada Quill, also known as \"I'm Sorry\", sang.",
            "She is best known for her hit \"I'm Sorry\".",
            "\"I'm Sorry\" was her first hit.",
            "Her date of birth is unknown.",
            "The cause of her death is unknown.",
            "She is not known for poems.",
            "She was not well known outside Norway.",
            "Little is known about her, but she was born in Oslo.",
            "She could not find work.",
            "She was an AI researcher at Acme.",
            "As an assistant, she worked in Oslo.",
            "As an AI researcher, she published 12 papers.",
            "She provided information to the police.",
            "She has no children.",
            "No one knows where she was buried.",
            "There is no doubt that she was born in Oslo.",
            "She apologized and said \"I am sorry\".",
            "He told her: \"I cannot help you.\"",
            "I believe she was born in Oslo.",
            "Unfortunately, she died in 1934.",
            "Sadly, she died in Oslo.",
            "I know she was born in 1867.",
            "Although I have no information about her death, she was born in Oslo.",
            "While I don't know her exact birthday, Ada Quill was born in Oslo.",
            "I'm not sure, but I think she was born in Oslo.",
            "I am not certain, but Ada Quill was born in Oslo.",
            "She wrote the book \"There Is No Information\".",
            "There is a page in her book.",
            "There are no children from her marriage.",
            "She was not a public figure until 1934.",
            "Ada Quill is a private person who lives in Oslo.",
            "She is limited to 5 roles.",
            "Thank You is a song by Ada Quill.",
            "You Belong with Me was written by her.",
            "My Fair Lady starred Ada Quill.",
            "It is likely that she was born in 1934.",
            "It is possible she died in Rome.",
            "If I Were You is an album by Ada Quill.",
            "We Shall Overcome was sung by Ada Quill.",
            "I Will Always Love You was her hit.",
            "Ada Quill did not provide any information to the police.",
            "She found no records of her father.",
            "Information about the war was published by Ada Quill.",
            "Ada Quill had no context.",
            "No person lived on the island before Ada Quill.",
            "No records were broken by Ada Quill.",
            "There are two people named Ada Quill in the film.",
            "The search for her father took 12 years.",
            "Unknown to her, Bo had died.",
            "Sorry, she was born in Oslo.",
            "I'm sorry to say that she died in 1934.",
            "I regret that she died in 1934.",
            "Unable to find work, she moved to Oslo.",
            "Not known as a singer, she won a prize in 1934.",
            "However, she was born in Oslo.",
            "You can see her house in Oslo.",
            "You can find her grave in Oslo.",
            "Her voice is not clear in the record of 1934.",
            "She may have been born in Oslo.",
            "It is not known whether she was born in Oslo.",
            "It is unclear when she died.",
            "The band has no members.",
        ];
        for claim in something {
            assert!(is_checkable(claim), "{claim}");
        }
    }
}
