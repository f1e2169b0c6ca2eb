//! Whether there is anything to check: questions, courtesies and refusals state no fact of the world.

use crate::facts::{Token, is_copula, is_verb, tokens};

use super::talk::{COURTESIES, MISSING, OF_THE_QUESTION, OF_THE_TALK, OPENINGS, SPEAKER, SPEAKING};

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
    let second = usize::from(rest.get(1).is_some_and(|token| token.word == "i")) + 1;
    let is_name =
        rest.len() > second && rest[0].capital && rest[second].capital && rest[1].mark.is_none() && rest.len() > 2;
    let refuses =
        (is_of_the_talk(&said, opened) && !is_name) || is_refusal(rest) || is_missing(rest) || is_of_the_question(rest);
    if !refuses {
        return true;
    }
    // After `but`, or after a clause with `although`, something may be stated all the same.
    let turns = |token: &Token| matches!(token.word.as_str(), "but" | "however" | "although" | "though");
    let concedes = matches!(rest[0].word.as_str(), "although" | "though" | "while");
    let after_turn = rest.iter().skip(1).position(turns).map(|turn| turn + 2);
    let after_comma = rest.iter().position(|token| token.mark == Some(',')).filter(|_| concedes);
    after_turn.or(after_comma).is_some_and(|from| {
        let after = &rest[from..];
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
    OF_THE_TALK.iter().any(|start| begins(said, start) && (opened || *start != "to hear"))
        || begins(said, "if") && said.contains(" i ") && said.contains(" you ")
}

/// Whether the speaker says what it cannot, does not know, or would like: `I could not find`, `someone I am not aware of`.
fn is_refusal(words: &[Token]) -> bool {
    let cased = words.iter().any(|token| token.capital);
    let Some(at) =
        words.iter().position(|token| token.word == "we" || (token.word == "i" && (token.capital || !cased)))
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
    let missing = (1..7).find(|index| MISSING.contains(&word(*index)));
    let nothing = (matches!(word(0), "no" | "little" | "limited" | "insufficient" | "nothing")
        || (word(0) == "not" && matches!(word(1), "much" | "enough")))
        && missing.is_some_and(|at| {
            near(at + 1, 1, &["about", "on", "regarding", "concerning"])
                || near(at, 12, &["available", "found", "exists", "exist", "known"])
        });
    let of_my_data = near(0, 30, &["not", "no", "nothing"])
        && ["my training", "my data", "my database", "my knowledge", "my records", "to me", "my sources"]
            .iter()
            .any(|part| format!(" {rest} ").contains(&format!(" {part} ")));
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
    is_searched_in_vain(&rest)
        || no_such
        || namesakes
        || nothing
        || unavailable
        || silent
        || of_my_data
        || is_no_figure(words)
}

/// Whether nothing was found, or it is unclear who somebody is: `Could not find anything about Ann Lee.`
fn is_searched_in_vain(said: &str) -> bool {
    let begins_as = |starts: &[&str]| starts.iter().any(|start| begins(said, start));
    let seeks = begins_as(&[
        "could not find",
        "can not find",
        "cannot find",
        "did not find",
        "unable to find",
        "could not locate",
    ]) || begins_as(&["found nothing", "found no", "unable to locate", "not able to find"]);
    let things = ["anything", "any", "information", "about", "no", "nothing", "results", "records", "who"];
    let unclear = begins_as(&["it is not clear who", "it is unclear who", "it is not known who", "it is unknown who"]);
    (seeks && said.split(' ').skip(2).any(|word| things.contains(&word)))
        || (unclear && (said.ends_with(" is") || said.ends_with(" was")))
}

/// Whether the topic itself is said to be nobody known: `Ann Lee does not appear to be a public figure`.
fn is_no_figure(words: &[Token]) -> bool {
    let said = joined(words);
    let near = |among: &[&str]| words.iter().take(30).any(|token| among.contains(&token.word.as_str()));
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
        && near(&["not", "fictional", "private"])
        && near(&["figure", "known", "person", "individual", "bell", "name", "character", "someone", "public", "real"])
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
