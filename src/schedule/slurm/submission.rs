//! Jobs of one shape as an array: the options and the script that `sbatch` is given.

use std::path::{Path, PathBuf};

use crate::{context::guard::THIS_PROGRAM, plan::JobSettings};

/// What jobs of an array have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobShape {
    /// Cores; 0: Slurm's default.
    pub(super) cpus: u32,
    /// Bytes of memory; 0: Slurm's default.
    pub(super) memory: u64,
    pub(super) gpus: u32,
    pub(super) settings: JobSettings,
}

/// A job uses the cores that it asked for, also where Slurm does not bind it to them.
const THREADS: &str =
    "[ -z \"${SLURM_CPUS_PER_TASK:-}\" ] || export RAYON_NUM_THREADS=\"$SLURM_CPUS_PER_TASK\"";
/// Default of `signal_seconds`.
const SIGNAL_SECONDS: u32 = 120;

impl JobShape {
    /// Seconds before the time limit at which jobs are signalled: half of a short one.
    pub(super) fn signal_seconds(&self) -> u32 {
        let wanted = self.settings.signal_seconds.unwrap_or(SIGNAL_SECONDS);
        self.settings.limit_seconds().map_or(wanted, |limit| wanted.min((limit / 2).max(1)))
    }

    /// The options of `sbatch` for an array.
    pub(super) fn array_options(&self, name: &str, folder: &Path, jobs: usize) -> Vec<String> {
        let array = folder.file_name().unwrap_or_default().to_string_lossy();
        let mut options = self.options(name, &comment(&array), &folder.join("%a.out"));
        options.push(format!("--array=0-{}", jobs - 1));
        options
    }

    /// The options of `sbatch` for a job, whose output is appended to a file.
    pub(super) fn options(&self, name: &str, comment: &str, output: &Path) -> Vec<String> {
        let settings = &self.settings;
        let mut options = vec![
            format!("--job-name=apeft-{name}"),
            format!("--comment={comment}"),
            format!("--output={}", output.display()),
            "--open-mode=append".to_owned(),
            "--requeue".to_owned(),
            format!("--signal=B:USR1@{}", self.signal_seconds()),
        ];
        let mebibytes = self.memory.div_ceil(1 << 20);
        let named = [
            ("cpus-per-task", (self.cpus > 0).then(|| self.cpus.to_string())),
            ("mem", (self.memory > 0).then(|| format!("{mebibytes}M"))),
            ("gres", (self.gpus > 0).then(|| format!("gpu:{}", self.gpus))),
            ("partition", settings.partition.clone()),
            ("account", settings.account.clone()),
            ("qos", settings.qos.clone()),
            ("time", settings.time.clone()),
            ("constraint", settings.constraint.clone()),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        options.extend(named.map(|(name, value)| format!("--{name}={value}")));
        // `--nodelist n1` is two words.
        let words = settings.extra.iter().flat_map(|line| line.splitn(2, ' '));
        options.extend(words.map(|word| word.trim().to_owned()));
        options
    }

    /// The script of each job.
    pub(super) fn script(&self, program: &Path, folder: &Path) -> String {
        let [program, folder] = [program, folder].map(|path| quoted(&path.display().to_string()));
        let setup: String = self.settings.setup.iter().map(|line| format!("{line}\n")).collect();
        // The shell is replaced, so that Slurm's signals reach the program.
        format!(
            "#!/bin/bash\n{setup}export MIMALLOC_PURGE_DELAY=-1\n{THREADS}\nexec {program} attempt \
            --array {folder}\n"
        )
    }
}

/// Begin of the comment of a job.
const MARK: &str = "apeft:";

/// Comment of the jobs of an array.
pub(super) fn comment(array: &str) -> String {
    format!("{MARK}{array}")
}

/// The array of a job with a comment.
pub(super) fn array_of(comment: &str) -> Option<&str> {
    comment.strip_prefix(MARK)
}

/// This program's file, even if it was replaced.
pub(super) fn this_program() -> PathBuf {
    PathBuf::from(THIS_PROGRAM)
}

/// A word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_follow_from_resources_and_settings() {
        let settings = JobSettings {
            partition: Some("gpu".to_owned()),
            extra: vec!["--exclusive".to_owned()],
            setup: vec!["module load cuda".to_owned()],
            ..JobSettings::default()
        };
        let shape = JobShape { cpus: 4, memory: 3_000_000_000, gpus: 2, settings };
        let folder = Path::new("/a b/ab12");
        let options = shape.array_options("x", folder, 3);
        for expected in [
            "--comment=apeft:ab12",
            "--array=0-2",
            "--output=/a b/ab12/%a.out",
            "--signal=B:USR1@120",
            "--cpus-per-task=4",
            "--mem=2862M",
            "--gres=gpu:2",
            "--partition=gpu",
            "--exclusive",
        ] {
            assert!(options.iter().any(|option| option == expected), "{expected}: {options:?}");
        }
        let script = shape.script(Path::new("/it's/apeft"), folder);
        assert!(script.contains("module load cuda\n"), "{script}");
        assert!(script.contains(r"exec '/it'\''s/apeft' attempt --array '/a b/ab12'"), "{script}");
        let none = JobShape { cpus: 0, memory: 0, gpus: 0, settings: JobSettings::default() };
        let options = none.array_options("x", folder, 1);
        assert!(!options.iter().any(|option| option.starts_with("--mem")), "{options:?}");
    }
}
