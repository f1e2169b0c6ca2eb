//! Where the stages of a recipe run: the table `[executor]`. Nothing of it is part of a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    diagnostic::{Problem, Problems, suggestion},
    recipe::{
        Entry, Node, Table, check,
        schema::{Catalogue, Shape},
    },
};

/// An executor of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutorName {
    /// Child processes on this machine.
    #[default]
    Local,
    /// Jobs of Slurm.
    Slurm,
}

/// Executor, and what a job is given by kind of stage.
#[derive(Clone, Debug, Default)]
pub struct ExecutorSettings {
    /// The executor that the recipe or `apeft.toml` names.
    pub executor: Option<ExecutorName>,
    every: JobSettings,
    by_kind: BTreeMap<String, JobSettings>,
    coordinator: Option<JobSettings>,
}

/// What a job of Slurm is given besides the resources of its stage. Absent: Slurm's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobSettings {
    /// `--partition`
    pub partition: Option<String>,
    /// `--account`
    pub account: Option<String>,
    /// `--qos`
    pub qos: Option<String>,
    /// `--time`, as Slurm reads it: minutes, `HH:MM:SS` or `D-HH`.
    pub time: Option<String>,
    /// `--constraint`
    pub constraint: Option<String>,
    /// Seconds before the time limit at which a stage writes a checkpoint [default: 120].
    pub signal_seconds: Option<u32>,
    /// Further options of `sbatch`.
    pub extra: Vec<String>,
    /// Shell commands before the stage, such as `module load cuda`.
    pub setup: Vec<String>,
}

const NAMES: [(&str, ExecutorName); 2] =
    [("local", ExecutorName::Local), ("slurm", ExecutorName::Slurm)];
const FIELDS: [&str; 9] = [
    "kind",
    "partition",
    "account",
    "qos",
    "time",
    "constraint",
    "signal_seconds",
    "extra",
    "setup",
];
/// Table of the job that goes on with detached runs.
const COORDINATOR: &str = "coordinator";
/// Options that jobs are identified by or that follow from `resources`.
const OWN: [&str; 8] = [
    "--array",
    "--comment",
    "--signal",
    "--output",
    "--cpus-per-task",
    "--mem",
    "--job-name",
    "--wrap",
];

impl ExecutorSettings {
    /// Reads the table.
    pub(super) fn read(
        entry: Option<&Entry>,
        catalogue: &Catalogue,
        problems: &mut Problems,
    ) -> Self {
        let mut found = Self::default();
        let Some(entry) = entry else { return found };
        let Some(table) = entry.value.as_table() else {
            let problem = Problem::error(format!("`executor` is {}", entry.value.what()));
            problems.push(problem.at(&entry.key_span, "a table is expected: [executor]"));
            return found;
        };
        let mut every = Table::default();
        for entry in &table.0 {
            match entry.value.as_table() {
                Some(fields) if catalogue.find(&entry.key).is_some() => {
                    let settings = JobSettings::read(fields, problems);
                    found.by_kind.insert(entry.key.clone(), settings);
                }
                Some(fields) if entry.key == COORDINATOR => {
                    found.coordinator = Some(JobSettings::read(fields, problems));
                }
                Some(_) => problems.push(unknown_table(entry, catalogue)),
                _ if entry.key == "kind" => found.executor = read_name(&entry.value, problems),
                _ => every.0.push(entry.clone()),
            }
        }
        found.every = JobSettings::read(&every, problems);
        found
    }

    /// What a job for a stage of this kind is given.
    pub fn settings(&self, kind: &str) -> JobSettings {
        self.completed(self.by_kind.get(kind))
    }

    /// What the job that goes on with a detached run is given; none if there shall be none.
    pub fn coordinator(&self) -> Option<JobSettings> {
        self.coordinator.as_ref().map(|own| self.completed(Some(own)))
    }

    fn completed(&self, own: Option<&JobSettings>) -> JobSettings {
        own.cloned().unwrap_or_default().or(self.every.clone())
    }
}

fn unknown_table(entry: &Entry, catalogue: &Catalogue) -> Problem {
    let mut names = catalogue.names();
    names.push(COORDINATOR);
    Problem::error(format!("`executor` has no table `{}`", entry.key))
        .at(&entry.key_span, "a kind of stage, or `coordinator`, is expected")
        .help(suggestion(&entry.key, "tables", &names))
}

fn read_name(node: &Node, problems: &mut Problems) -> Option<ExecutorName> {
    let found = NAMES.iter().find(|(name, _)| node.as_text() == Some(name));
    if found.is_none() {
        let problem = Problem::error("there is no such executor");
        problems.push(problem.at(&node.span, "\"local\" or \"slurm\" is expected"));
    }
    found.map(|(_, executor)| *executor)
}

impl JobSettings {
    fn read(table: &Table, problems: &mut Problems) -> Self {
        let mut settings = Self::default();
        for Entry { key, key_span, value } in &table.0 {
            match key.as_str() {
                "partition" => settings.partition = text(value, key, problems),
                "account" => settings.account = text(value, key, problems),
                "qos" => settings.qos = text(value, key, problems),
                "constraint" => settings.constraint = text(value, key, problems),
                "time" => settings.time = read_time(value, problems),
                "signal_seconds" => settings.signal_seconds = seconds(value, problems),
                "extra" => settings.extra = read_extra(value, problems),
                "setup" => settings.setup = texts(value, key, problems),
                _ => {
                    let problem = Problem::error(format!("`executor` has no `{key}`"))
                        .at(key_span, "unknown key");
                    let problem = problem.help(suggestion(key, "fields", &FIELDS));
                    problems.push(
                        problem.help(
                            "settings of one kind of stage are a table such as [executor.tune]",
                        ),
                    );
                }
            }
        }
        settings
    }

    /// The time limit in seconds, as Slurm reads it.
    pub fn limit_seconds(&self) -> Option<u32> {
        let text = self.time.as_deref()?;
        let (days, rest) = match text.split_once('-') {
            Some((days, rest)) => (days.parse::<u32>().ok()?, Some(rest)),
            None => (0, None),
        };
        let parts: Option<Vec<u32>> =
            rest.unwrap_or(text).split(':').map(|part| part.parse().ok()).collect();
        let seconds = match (rest, parts?.as_slice()) {
            (Some(_), [hours]) => hours * 3600,
            (Some(_), [hours, minutes]) => hours * 3600 + minutes * 60,
            (None, [minutes]) => minutes * 60,
            (None, [minutes, seconds]) => minutes * 60 + seconds,
            (_, [hours, minutes, seconds]) => hours * 3600 + minutes * 60 + seconds,
            _ => return None,
        };
        Some(days * 86_400 + seconds)
    }

    /// These settings, and where they are absent others.
    fn or(self, other: Self) -> Self {
        let or = |own: Vec<String>, other| if own.is_empty() { other } else { own };
        Self {
            partition: self.partition.or(other.partition),
            account: self.account.or(other.account),
            qos: self.qos.or(other.qos),
            time: self.time.or(other.time),
            constraint: self.constraint.or(other.constraint),
            signal_seconds: self.signal_seconds.or(other.signal_seconds),
            extra: or(self.extra, other.extra),
            setup: or(self.setup, other.setup),
        }
    }
}

fn text(node: &Node, name: &str, problems: &mut Problems) -> Option<String> {
    let text = check(node, &Shape::Text, &format!("executor.{name}"), problems)?;
    let text = text.as_str()?.to_owned();
    // Each is a word of a line of the job's script.
    if !text.contains(char::is_whitespace) && !text.is_empty() {
        return Some(text);
    }
    let problem = Problem::error(format!("`executor.{name}` cannot be `{text}`"));
    problems.push(problem.at(&node.span, "a text without spaces is expected"));
    None
}

/// A time limit; a bare number is minutes, as in Slurm.
fn read_time(node: &Node, problems: &mut Problems) -> Option<String> {
    let word = node.as_word().unwrap_or_default();
    let is_time = word.starts_with(|letter: char| letter.is_ascii_digit())
        && word.chars().all(|letter| letter.is_ascii_digit() || letter == ':' || letter == '-');
    if is_time {
        return Some(word);
    }
    let problem = Problem::error("`executor.time` is no time limit of Slurm");
    let right = "minutes or a text like \"90\", \"02:00:00\" or \"1-12\" (a day and a half)";
    problems.push(problem.at(&node.span, right));
    None
}

fn seconds(node: &Node, problems: &mut Problems) -> Option<u32> {
    let shape = Shape::Integer { least: 1, most: 65_535 };
    let value = check(node, &shape, "executor.signal_seconds", problems)?;
    value.as_u64().and_then(|value| u32::try_from(value).ok())
}

fn texts(node: &Node, name: &str, problems: &mut Problems) -> Vec<String> {
    let texts: Option<Vec<String>> = node
        .as_list()
        .and_then(|list| list.iter().map(|item| item.as_text().map(str::to_owned)).collect());
    if texts.as_ref().is_none_or(|texts| texts.iter().any(|text| text.contains('\n'))) {
        let problem = Problem::error(format!("`executor.{name}` is {}", node.what()));
        problems.push(problem.at(&node.span, "a list of texts of one line each is expected"));
    }
    texts.unwrap_or_default()
}

fn read_extra(node: &Node, problems: &mut Problems) -> Vec<String> {
    let lines = texts(node, "extra", problems);
    for line in &lines {
        let option = line.split(['=', ' ']).next().unwrap_or_default();
        if !option.starts_with('-') || OWN.contains(&option) {
            let problem = Problem::error(format!("`executor.extra` cannot have `{line}`"));
            let right = match OWN.contains(&option) {
                true => "this option is set by apeft; `resources` say what a stage needs",
                false => "options of sbatch are expected, such as \"--exclusive\"",
            };
            problems.push(problem.at(&node.span, right));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::test_support::{plan_text, try_plan};

    #[test]
    fn a_kind_overrides_what_holds_for_all() {
        let recipe = r#"
            [executor]
            kind = "slurm"
            partition = "cpu"
            time = 90
            [executor.coordinator]
            time = "7-0"
            [executor.make]
            partition = "gpu"
            extra = ["--exclusive"]
            [stage.base]
            kind = "make"
        "#;
        let found = plan_text(recipe, &[]).executor;
        assert_eq!(found.executor, Some(ExecutorName::Slurm));
        let all = found.settings("tune");
        assert_eq!(
            (all.partition.as_deref(), all.time.as_deref(), all.extra.len()),
            (Some("cpu"), Some("90"), 0)
        );
        let own = found.settings("make");
        assert_eq!(
            (own.partition.as_deref(), own.time.as_deref(), own.extra.len()),
            (Some("gpu"), Some("90"), 1)
        );
        let coordinator = found.coordinator().unwrap();
        assert_eq!(
            (coordinator.partition.as_deref(), coordinator.time.as_deref()),
            (Some("cpu"), Some("7-0"))
        );
        let none = plan_text("[executor]\ntime = 1\n[stage.base]\nkind = \"make\"\n", &[]);
        assert!(none.executor.coordinator().is_none());
    }

    #[test]
    fn time_limits_are_those_of_slurm() {
        for (text, seconds) in [
            ("90", 5400),
            ("1:30", 90),
            ("02:00:00", 7200),
            ("1-12", 129_600),
            ("1-12:30", 131_400),
        ] {
            let settings = JobSettings { time: Some(text.to_owned()), ..JobSettings::default() };
            assert_eq!(settings.limit_seconds(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn wrong_settings_are_refused_at_their_place() {
        let recipe = "[stage.base]\nkind = \"make\"\n[executor]\n";
        for (wrong, expected) in [
            ("kind = \"pbs\"", "\"local\" or \"slurm\" is expected"),
            ("partion = \"gpu\"", "did you mean `partition`?"),
            ("[executor.mak]\ntime = 1", "did you mean `make`?"),
            ("[executor.coordinater]", "did you mean `coordinator`?"),
            ("time = \"2 h\"", "02:00:00"),
            ("partition = \"a b\"", "a text without spaces"),
            ("extra = [\"--mem=4G\"]", "`resources` say what a stage needs"),
            ("extra = [\"exclusive\"]", "options of sbatch"),
            ("setup = [\"a\\nb\"]", "one line each"),
        ] {
            let found = try_plan(&format!("{recipe}{wrong}\n"), &[]).unwrap_err().render(false);
            assert!(found.contains(expected), "{wrong}: {found}");
        }
    }
}
