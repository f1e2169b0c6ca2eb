//! Errors and warnings, collected so that all are reported at once.

use super::Span;

/// Severity of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Prevents the run.
    Error,
    /// Does not prevent the run.
    Warning,
}

/// One error or warning about the user's input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The message, one sentence.
    pub message: String,
    /// Location; none for a file that could not be read.
    pub span: Option<Span>,
    /// Label beside the caret: the expected value.
    pub label: String,
    /// Related locations with their labels.
    pub related: Vec<(Span, String)>,
    /// Help lines.
    pub help: Vec<String>,
}

/// Maximum number of kept problems; further ones are only counted, since suggestions cost names
/// times problems.
const MOST_KEPT: usize = 200;

/// All problems found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kept: Vec<Problem>,
    /// Number of errors and of warnings that were not kept.
    left_out: [usize; 2],
}

impl Problem {
    /// A new error.
    pub fn error(message: impl Into<String>) -> Self {
        let (label, related, help) = (String::new(), Vec::new(), Vec::new());
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            label,
            related,
            help,
        }
    }

    /// A new warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Sets the location and its label.
    pub fn at(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.span = Some(span.clone());
        self.label = label.into();
        self
    }

    /// Adds a related location with its label.
    pub fn beside(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.related.push((span.clone(), label.into()));
        self
    }

    /// Adds a help line.
    pub fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl Problems {
    /// Adds a problem unless an equal one has the same location.
    pub fn push(&mut self, problem: Problem) {
        // A matrix repeats the problems of a stage in each of its cells.
        if self
            .kept
            .iter()
            .any(|other| other.span == problem.span && other.message == problem.message)
        {
            return;
        }
        if !self.is_full() {
            self.kept.push(problem);
            return;
        }
        if problem.severity == Severity::Warning {
            self.left_out[1] += 1;
            return;
        }
        // Warnings must not displace errors.
        match self.kept.iter().rposition(|other| other.severity == Severity::Warning) {
            Some(place) => {
                self.left_out[1] += 1;
                self.kept[place] = problem;
            }
            None => self.left_out[0] += 1,
        }
    }

    /// Adds an error whose construction is costly; it is not constructed once the limit is reached.
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

    /// Appends another list.
    pub fn extend(&mut self, others: Self) {
        others.kept.into_iter().for_each(|problem| self.push(problem));
        self.left_out.iter_mut().zip(others.left_out).for_each(|(own, more)| *own += more);
    }

    /// Whether there are neither errors nor warnings.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.left_out[0]
            + self.kept.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.left_out[1]
            + self.kept.iter().filter(|problem| problem.severity == Severity::Warning).count()
    }

    /// Number of problems that were counted but not kept.
    pub fn left_out(&self) -> usize {
        self.left_out.iter().sum()
    }

    /// All problems by file and position, those without a location first.
    pub fn sorted(&self) -> Vec<&Problem> {
        // Problems without a place come first, which is where `None` sorts.
        let mut sorted: Vec<&Problem> = self.kept.iter().collect();
        sorted.sort_by_key(|problem| {
            problem.span.as_ref().map(|span| (&span.source.path, span.range().start))
        });
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
