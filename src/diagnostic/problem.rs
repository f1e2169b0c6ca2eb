//! What is wrong, gathered so that all of it can be said at once.

use super::Span;

/// Whether a problem stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs before it is mended.
    Error,
    /// Worth a look; things run all the same.
    Warning,
}

/// One thing that is wrong with what a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where; none for a file that could not be read at all.
    pub span: Option<Span>,
    /// Stands beside the caret: what would be right.
    pub label: String,
    /// Other places that belong to it, each with what it is.
    pub related: Vec<(Span, String)>,
    /// How to mend it, a line each.
    pub help: Vec<String>,
}

/// So many problems are kept and shown; what is more is only counted. Nobody reads them all, and to look for the nearest right
/// name for each would take as long as there are names and problems.
const MOST_KEPT: usize = 200;

/// Everything that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    /// Errors and warnings that are not kept.
    left_out: [usize; 2],
}

impl Problem {
    /// Something that stands in the way.
    pub fn error(message: impl Into<String>) -> Self {
        let (label, related, help) = (String::new(), Vec::new(), Vec::new());
        Self { severity: Severity::Error, message: message.into(), span: None, label, related, help }
    }

    /// Something that is worth a look.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Points at the place, with a label that says what would be right.
    pub fn at(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.span = Some(span.clone());
        self.label = label.into();
        self
    }

    /// Points at another place that belongs to it, with what that is.
    pub fn beside(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.related.push((span.clone(), label.into()));
        self
    }

    /// Adds a line that says how to mend it.
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl Problems {
    /// Adds one, unless the same was said of the same place already.
    pub fn push(&mut self, problem: Problem) {
        let known = |other: &Problem| other.span == problem.span && other.message == problem.message;
        if self.kept.iter().any(known) {
            return;
        }
        // What stands in the way is never left out for what does not.
        let weaker = || self.kept.iter().rposition(|other| other.severity == Severity::Warning);
        match (self.is_full(), problem.severity) {
            (false, _) => self.kept.push(problem),
            (true, Severity::Warning) => self.left_out[1] += 1,
            (true, Severity::Error) => match weaker() {
                Some(place) => {
                    self.left_out[1] += 1;
                    self.kept[place] = problem;
                }
                None => self.left_out[0] += 1,
            },
        }
    }

    /// Adds an error that is costly to word, and is not worded where there are too many.
    pub fn push_error(&mut self, problem: impl FnOnce() -> Problem) {
        if self.is_full() && self.kept.iter().all(|other| other.severity == Severity::Error) {
            self.left_out[0] += 1;
        } else {
            self.push(problem());
        }
    }

    /// Whether there are more problems than are shown.
    pub fn is_full(&self) -> bool {
        self.kept.len() >= MOST_KEPT
    }

    /// Adds all of another list.
    pub fn extend(&mut self, others: Self) {
        others.kept.into_iter().for_each(|problem| self.push(problem));
        self.left_out.iter_mut().zip(others.left_out).for_each(|(own, more)| *own += more);
    }

    /// Whether there is none, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many stand in the way.
    pub fn errors(&self) -> usize {
        self.left_out[0] + self.kept.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many are only worth a look.
    pub fn warnings(&self) -> usize {
        self.left_out[1] + self.kept.iter().filter(|problem| problem.severity == Severity::Warning).count()
    }

    /// How many of all are counted only.
    pub fn left_out(&self) -> usize {
        self.left_out.iter().sum()
    }

    /// All of them by file and position; those without a place come first.
    pub fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.kept.iter().collect();
        sorted.sort_by_key(|problem| problem.span.as_ref().map(|span| (&span.source.path, span.range.start)));
        sorted
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { kept: vec![problem], left_out: [0; 2] }
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}
