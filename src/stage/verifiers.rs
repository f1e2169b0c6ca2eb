//! Verdicts of several verifiers on the same claims, read side by side.

use std::path::{Path, PathBuf};

use crate::{
    context::{Context, StageError, file_of},
    rows::{
        Row, RowsById, Verdict,
        json_lines::{self, Line, Lines},
    },
};

const READING: &str = "read the verdicts";

/// The verdicts of one verifier.
struct VerdictFile {
    path: PathBuf,
    verifier: String,
    rows: usize,
}

/// The input `verdicts`: files of one verifier each.
pub(super) struct Verifiers {
    files: Vec<VerdictFile>,
}

impl Verifiers {
    /// Reads all verdicts for the first time, one after the other.
    ///
    /// # Errors
    /// If a row is invalid, or a file has verdicts of no verifier or of several.
    pub(super) fn of(context: &Context) -> Result<Self, StageError> {
        let paths = context.inputs("verdicts").map(|input| file_of(&input.path, "verdicts.jsonl"));
        let files = paths.map(VerdictFile::new).collect::<Result<_, _>>()?;
        Ok(Self { files })
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.verifier.as_str()).collect()
    }

    /// The verdicts of each verifier on each claim, in the order of the first verifier's.
    ///
    /// # Errors
    /// If verifiers have verdicts on other claims.
    pub(super) fn verdicts(&self) -> Result<VerdictsByClaim, StageError> {
        let Some((first, others)) = self.files.split_first() else {
            return Err(StageError("the input `verdicts` was not given".to_owned()));
        };
        // As many verdicts, of which each has a partner, leave none over.
        if let Some(other) = others.iter().find(|other| other.rows != first.rows) {
            return Err(StageError(format!(
                "one verifier has {} verdicts, another {}; give verdicts on the same claims",
                first.rows, other.rows
            )));
        }
        let others = others.iter().map(|other| RowsById::open(&other.path));
        let others: Result<_, _> = others.collect();
        Ok(VerdictsByClaim {
            first: json_lines::lines(&first.path).map_err(StageError::doing(READING))?,
            others: others.map_err(StageError::doing(READING))?,
        })
    }
}

/// Iterator over the claims, each with the verdicts of all verifiers in their order.
pub(super) struct VerdictsByClaim {
    first: Lines<Verdict>,
    others: Vec<RowsById<Verdict>>,
}

impl VerdictsByClaim {
    fn with_others(&mut self, first: Verdict) -> Result<Vec<Verdict>, StageError> {
        let mut found = vec![first];
        for other in &mut self.others {
            let verdict = other.get(found[0].id()).map_err(StageError::doing(READING))?;
            found.push(verdict.ok_or_else(|| {
                StageError(format!(
                    "only one of the verifiers has a verdict on `{}`; give verdicts on the same \
                    claims",
                    found[0].claim_id
                ))
            })?);
        }
        Ok(found)
    }
}

impl Iterator for VerdictsByClaim {
    type Item = Result<Vec<Verdict>, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.first.next()?.map_err(StageError::doing(READING));
        Some(line.and_then(|Line { row, .. }| self.with_others(row)))
    }
}

impl VerdictFile {
    fn new(path: PathBuf) -> Result<Self, StageError> {
        let (mut verifier, mut rows) = (None, 0);
        for verdict in checked(&path)? {
            let verdict = verdict.map_err(StageError::doing(READING))?;
            rows += 1;
            if verdict.log_odds.is_none() {
                continue;
            }
            let first = verifier.get_or_insert_with(|| verdict.verifier.clone());
            if *first != verdict.verifier {
                return Err(StageError(format!(
                    "the verdicts are by `{first}` and by `{}`; give each verifier's as one of \
                    `verdicts = [...]`",
                    verdict.verifier
                )));
            }
        }
        match verifier {
            Some(verifier) => Ok(Self { path, verifier, rows }),
            None => Err(StageError(
                "the verdicts have no log-odds; verify by `words`, or by another verifier that \
                has them, with knowledge that has articles on the claims' topics"
                    .to_owned(),
            )),
        }
    }
}

fn checked(path: &Path) -> Result<json_lines::CheckedRows<Verdict>, StageError> {
    json_lines::checked_rows(path).map_err(StageError::doing(READING))
}
