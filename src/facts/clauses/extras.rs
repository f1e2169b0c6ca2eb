//! Facts beside the predicate: brackets, what names are, where places lie.

use super::{
    emit::{Emitter, Verbs},
    lexeme::Tag,
    phrase::{View, article, bare, is_work, named, singular, tail_name},
    predicate::{Complement, Reader},
    subject::{ClaimPart, Subject},
};

/// Words of sentences about what is released.
const RELEASED: &[&str] = &[
    "film",
    "films",
    "movie",
    "movies",
    "album",
    "albums",
    "single",
    "singles",
    "song",
    "songs",
    "series",
    "show",
    "shows",
    "television",
    "starred",
    "appeared",
    "acted",
    "role",
    "roles",
    "comedy",
    "drama",
    "dramas",
    "game",
    "games",
    "ep",
    "mixtape",
    "mixtapes",
    "documentary",
    "sitcom",
    "soundtrack",
    "thriller",
    "released",
    "directed",
    "produced",
    "credits",
    "musical",
];

impl Emitter<'_> {
    /// What is said of a subject between commas.
    pub(super) fn aside(&mut self, subject: &Subject, view: &[usize]) {
        let first = &self.lexemes()[view[0]];
        if first.tag == Tag::Relative {
            self.predicate(subject, &view[1..], &[]);
        } else if view.iter().map(|at| self.lexemes()[*at].tag).find(|tag| *tag != Tag::Adverb)
            == Some(Tag::Verb)
        {
            self.participle(subject, view);
        } else {
            let verbs = Verbs { parts: vec![ClaimPart::Text("is".to_owned())], is_copula: true };
            let mut complement = Reader::read(self.lexemes(), view);
            self.emit(subject, &verbs, &mut complement, &[]);
        }
    }

    /// `born 1867 in Oslo`
    pub(super) fn life(&mut self, subject: &Subject, view: &[usize]) {
        let born = self.is(view[0], &["born", "b"]);
        let lexemes = self.lexemes();
        let mut dated = false;
        // `born Ada Roe; 3 May 1890`
        for part in view[1..].split(|at| lexemes[*at].tag == Tag::Mark) {
            let complement = Reader::read(lexemes, part);
            for slot in &complement.slots {
                for item in &slot.items {
                    let is_name = born && item.iter().all(|at| lexemes[*at].tag == Tag::Name);
                    let is_date = slot.is_object() && lexemes[item[0]].tag == Tag::Number;
                    // `born 3 May 1890 - 4 June 1934`
                    let text = if born && !(is_date && dated) { "was born" } else { "died" };
                    dated |= is_date;
                    let verb = ClaimPart::Instead(text.to_owned(), vec![view[0]]);
                    let mut verbs = Verbs { parts: vec![verb], is_copula: false };
                    if slot.is_object() && !is_name {
                        let preposition = self.preposition_of(item[0]).to_owned();
                        verbs.parts.push(ClaimPart::Text(preposition));
                    }
                    self.fact(subject, &verbs, &[&slot.preposition, item]);
                }
            }
            self.extras(&complement);
        }
    }

    /// The preposition before a day, or before a year or a place.
    fn preposition_of(&self, at: usize) -> &'static str {
        let is_day = self.lexemes()[at].word.matches('-').count() > 1;
        if is_day { "on" } else { "in" }
    }

    /// `(1867-1934)` after the topic's name.
    pub(super) fn years(&mut self, subject: &Subject, years: &[usize]) {
        for (year, verb) in years.iter().zip(["was born", "died"]) {
            let text = format!("{verb} {}", self.preposition_of(*year));
            let verbs = Verbs { parts: vec![ClaimPart::Text(text)], is_copula: false };
            self.fact(subject, &verbs, &[&[*year]]);
        }
    }

    /// `(1997)` after the name of a work.
    pub(super) fn released(&mut self, subject: &Subject, year: &[usize]) {
        // Films and albums are released; a painting is from a year.
        let released = self.lexemes().iter().any(|lexeme| lexeme.is(RELEASED));
        let text = if released { "was released in" } else { "is from" };
        let verbs = Verbs { parts: vec![ClaimPart::Text(text.to_owned())], is_copula: false };
        self.fact(subject, &verbs, &[year]);
    }

    /// Any other bracket; one without a fact of its own is left to the claim of the whole sentence.
    pub(super) fn remark(&mut self, subject: &Subject, view: &[usize]) {
        let lexemes = self.lexemes();
        let spelt: String = match view {
            [one] => self.letters[lexemes[*one].start..lexemes[*one].end].iter().collect(),
            _ => String::new(),
        };
        let is_acronym = spelt.chars().count() > 1 && spelt.chars().all(char::is_uppercase);
        let is_noun = view.iter().all(|at| lexemes[*at].tag == Tag::Word && !lexemes[*at].capital);
        let is =
            |text: &str| Verbs { parts: vec![ClaimPart::Text(text.to_owned())], is_copula: true };
        let verb = view.iter().find(|at| lexemes[**at].tag != Tag::Adverb);
        if lexemes[view[0]].has(&[Tag::Article]) {
            self.fact(subject, &is("is"), &[view]);
        } else if verb.is_some_and(|at| lexemes[*at].is(&["known", "nicknamed", "called"])) {
            self.participle(subject, view);
        } else if is_acronym {
            self.fact(subject, &is("is called"), &[view]);
        } else if is_noun && subject.is_topic {
            let article = article(&lexemes[view[0]].word);
            self.fact(subject, &is(&format!("is {article}")), &[view]);
        } else if is_noun {
            self.fact(subject, &is("is described as"), &[view]);
        }
    }

    /// `(née Smith)` after the topic's name.
    pub(super) fn birth_name(&mut self, subject: &Subject, view: &[usize]) {
        let verb = ClaimPart::Instead("was born".to_owned(), vec![view[0]]);
        self.fact(subject, &Verbs { parts: vec![verb], is_copula: false }, &[&view[1..]]);
    }

    /// What needs no fact: an address, what tells the topic from others.
    pub(super) fn pass_over(&mut self, view: &[usize]) {
        self.covered.extend(view);
    }

    /// `the television series Ghost`: Ghost is a television series.
    pub(super) fn kind(&mut self, item: &[usize]) {
        let Some((kind, name)) = named(item, self.lexemes()) else { return };
        let kind = bare(&kind, self.lexemes());
        let owned = kind.iter().any(|at| {
            self.lexemes()[*at].possessive
                || self.is(*at, &["of"])
                || self.lexemes()[*at].tag == Tag::Owner
        });
        if owned || kind.is_empty() || name.iter().any(|at| self.lexemes()[*at].possessive) {
            return;
        }
        self.is_a(&name, &kind);
    }

    /// The names after the first of a list share its kind: `the films A and B`.
    pub(super) fn kinds(&mut self, items: &[View]) {
        let Some((kind, _)) = items.first().and_then(|item| named(item, self.lexemes())) else {
            return;
        };
        let plural = kind.last().is_some_and(|at| self.lexemes()[*at].word.ends_with('s'));
        if !plural || !is_work(&kind, self.lexemes()) {
            return;
        }
        for item in &items[1..] {
            let is_name = item.iter().all(|at| {
                self.lexemes()[*at].has(&[Tag::Name, Tag::Article, Tag::Number])
                    || self.is(*at, &["of"])
            });
            if is_name {
                self.is_a(item, &bare(&kind, self.lexemes()));
            }
        }
    }

    pub(super) fn example_of(&mut self, example: &[usize], general: Option<&View>) {
        let Some(general) = general else { return };
        let is_name = example.iter().all(|at| {
            let lexeme = &self.lexemes()[*at];
            lexeme.has(&[Tag::Name, Tag::Article, Tag::Number, Tag::Comma]) || lexeme.is(&["of"])
        });
        let tied = general.iter().position(|at| self.is(*at, &["of"]));
        // `a number of films` are films, `members of the band` are members.
        let counted = tied.is_some_and(|at| {
            general[..at].iter().any(|at| {
                self.is(
                    *at,
                    &[
                        "number", "variety", "range", "series", "couple", "host", "string",
                        "handful",
                    ],
                )
            })
        });
        let general = match tied {
            Some(at) if counted => &general[at + 1..],
            Some(at) => &general[..at],
            None => &general[..],
        };
        let kind = bare(general, self.lexemes());
        if is_name && !kind.is_empty() && kind.len() <= 4 {
            self.is_a(&tail_name(example, self.lexemes()), &kind);
        }
    }

    /// A name is one of a kind, which may be in the plural.
    pub(super) fn is_a(&mut self, name: &[usize], kind: &[usize]) {
        let (Some(last), Some(first)) = (kind.last(), kind.first()) else { return };
        if !self.lexemes()[*last].has(&[Tag::Word]) || self.meaning.is_topic(name) {
            return;
        }
        // `the 1997 film Ghost` was released in 1997.
        let year = kind.iter().copied().find(|at| {
            self.lexemes()[*at].tag == Tag::Number && self.lexemes()[*at].word.len() >= 4
        });
        let kind: View = kind.iter().copied().filter(|at| Some(*at) != year).collect();
        let first = kind.first().unwrap_or(first);
        if let Some(year) = year {
            let parts = vec![
                ClaimPart::Words(name.to_vec()),
                ClaimPart::Text("was released in".to_owned()),
                ClaimPart::Words(vec![year]),
            ];
            self.push(&parts);
        }
        let letters = &self.lexemes()[*last];
        let spelt: String = self.letters[letters.start..letters.end].iter().collect();
        let one = singular(&spelt);
        let text = format!("is {}", article(&self.lexemes()[*first].word));
        let parts = vec![
            ClaimPart::Words(name.to_vec()),
            ClaimPart::Text(text),
            ClaimPart::Words(kind[..kind.len() - 1].to_vec()),
            ClaimPart::Instead(one, vec![*last]),
        ];
        self.push(&parts);
    }

    /// Facts about names in a predicate: where places lie, what works are.
    pub(super) fn extras(&mut self, complement: &Complement) {
        for (place, region) in &complement.regions {
            let parts = vec![
                ClaimPart::Words(place.clone()),
                ClaimPart::Text("is in".to_owned()),
                ClaimPart::Words(region.clone()),
            ];
            self.push(&parts);
        }
        for (name, about) in &complement.appositions {
            let subject = self.meaning.subject(name);
            self.aside(&subject, about);
        }
    }
}
