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
        } else if first.tag == Tag::Verb {
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
        let rest: View =
            view[1..].iter().copied().filter(|at| self.lexemes()[*at].tag != Tag::Mark).collect();
        let complement = Reader::read(self.lexemes(), &rest);
        let verb =
            ClaimPart::Instead(if born { "was born" } else { "died" }.to_owned(), vec![view[0]]);
        let verbs = Verbs { parts: vec![verb], is_copula: false };
        for slot in &complement.slots {
            for item in &slot.items {
                if slot.is_object() {
                    let day = self.lexemes()[item[0]].word.matches('-').count() > 1;
                    let mut verbs = verbs.clone();
                    verbs.parts.push(ClaimPart::Text(if day { "on" } else { "in" }.to_owned()));
                    self.fact(subject, &verbs, &[item]);
                } else {
                    self.fact(subject, &verbs, &[&slot.preposition, item]);
                }
            }
        }
        self.extras(&complement);
    }

    /// `(1867-1934)` after the topic's name.
    pub(super) fn years(&mut self, subject: &Subject, years: &[usize]) {
        for (year, verb) in years.iter().zip(["was born in", "died in"]) {
            let verbs = Verbs { parts: vec![ClaimPart::Text(verb.to_owned())], is_copula: false };
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

    /// Any other bracket.
    pub(super) fn remark(&mut self, subject: &Subject, view: &[usize]) {
        let verbs = Verbs { parts: vec![ClaimPart::Text("is".to_owned())], is_copula: true };
        let starts = self.lexemes()[view[0]].has(&[Tag::Article]);
        let called = view.len() <= 3 && view.iter().all(|at| self.lexemes()[*at].capital);
        if starts {
            self.fact(subject, &verbs, &[view]);
        } else {
            let text = if called { "is called" } else { "is described as" };
            let verbs = Verbs { parts: vec![ClaimPart::Text(text.to_owned())], is_copula: true };
            self.fact(subject, &verbs, &[view]);
        }
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
