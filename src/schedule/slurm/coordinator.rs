//! The coordinator: a job that goes on with a detached run, by the same command on a node.
//!
//! It needs no state of its own: whatever ends it, the next one adopts the jobs.

use std::{
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    cluster::{ClusterState, Slurm},
    folder::JobFolders,
    submission::{JobShape, quoted, this_program},
};
use crate::plan::JobSettings;

/// Bytes of memory of a run of 100,000 stages, twice.
const MEMORY: u64 = 1 << 30;
/// Longest time that a cancelled coordinator is waited for; Slurm kills it after its KillWait.
const PATIENCE: Duration = Duration::from_secs(90);
/// Time between two questions whether it has ended.
const PAUSE: Duration = Duration::from_millis(300);
/// Option of a run that ends once its jobs are submitted.
const DETACH: &str = "--detach";

/// A run that a coordinator goes on with.
pub struct CoordinatedRun<'a> {
    /// Folder of the store.
    pub store: &'a Path,
    /// Folder of the runs of its recipe.
    pub runs: &'a Path,
    /// Command line.
    pub command: &'a [String],
}

impl CoordinatedRun<'_> {
    /// Comment of the job: the same for each run of one command.
    fn comment(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let paths = [self.store, self.runs].map(|path| path.as_os_str().as_encoded_bytes());
        for word in paths.into_iter().chain(self.arguments().map(str::as_bytes)) {
            hasher.update(&word.len().to_le_bytes());
            hasher.update(word);
        }
        format!("apeft:run:{}", &hasher.finalize().to_hex()[..16])
    }

    fn arguments(&self) -> impl Iterator<Item = &str> {
        self.command.iter().skip(1).map(String::as_str).filter(|word| *word != DETACH)
    }

    /// Whether a run by this command has the same coordinator.
    pub fn is_coordinated_with(&self, command: &[String]) -> bool {
        CoordinatedRun { command, ..*self }.comment() == self.comment()
    }

    /// Cancels its coordinator, if it is queued or running, and waits for its end: until then it
    /// may submit jobs. Returns Slurm's number.
    ///
    /// # Errors
    /// If Slurm does not answer, or the coordinator does not end.
    pub fn cancel(&self, queue: &ClusterState) -> io::Result<Option<String>> {
        let comment = self.comment();
        let Some(number) = queue.open_number(&comment).map(str::to_owned) else { return Ok(None) };
        Slurm::cancel(std::slice::from_ref(&number))?;
        let began = Instant::now();
        while Slurm::state()?.open_number(&comment).is_some() {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!(
                    "the coordinator, job {number}, does not end"
                )));
            }
            thread::sleep(PAUSE);
        }
        Ok(Some(number))
    }

    /// Submits a coordinator, unless there is one; returns Slurm's number. Its output is appended
    /// to a file.
    ///
    /// # Errors
    /// If Slurm does not answer, or the program cannot be copied into the store.
    pub fn submit(&self, recipe: &str, settings: JobSettings, output: &Path) -> io::Result<String> {
        let folders = JobFolders::of(self.store);
        // Of two calls at once the second one finds the job of the first.
        let _submission = folders.submission()?;
        if let Some(number) = Slurm::state()?.open_number(&self.comment()) {
            return Ok(number.to_owned());
        }
        let program = folders.keep_program(&this_program())?;
        let shape = JobShape { cpus: 1, memory: MEMORY, gpus: 0, settings };
        let options = shape.options(&format!("{recipe}-run"), &self.comment(), output);
        Slurm::submit(&options, &self.script(&shape.settings, &program))
    }

    /// The job's script. Near its time limit it is requeued; the run then begins again, and adopts
    /// the jobs.
    fn script(&self, settings: &JobSettings, program: &Path) -> String {
        let setup: String = settings.setup.iter().map(|line| format!("{line}\n")).collect();
        let program = quoted(&program.display().to_string());
        let arguments: String = self.arguments().map(|word| format!(" {}", quoted(word))).collect();
        format!(
            "#!/bin/bash\n{setup}trap 'scontrol requeue \"$SLURM_JOB_ID\"' USR1\n\
            {program}{arguments} &\nrun=$!\n\
            while wait \"$run\"; status=$?; kill -0 \"$run\" 2>/dev/null; do :; done\n\
            exit \"$status\"\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_script_repeats_the_command_without_detaching() {
        let command = words(&["apeft", "run", "it's.toml", "--detach", "--set", "a=1 2"]);
        let (store, runs) = (Path::new("/store"), Path::new("/runs/r"));
        let run = CoordinatedRun { store, runs, command: &command };
        let settings = JobSettings { setup: words(&["module load x"]), ..JobSettings::default() };
        let script = run.script(&settings, Path::new("/store/apeft"));
        let expected = r"'/store/apeft' 'run' 'it'\''s.toml' '--set' 'a=1 2' &";
        assert!(script.contains(expected) && script.contains("module load x\n"), "{script}");
        // The run of the coordinator is recorded with this command.
        let attached = words(&["/store/apeft", "run", "it's.toml", "--set", "a=1 2"]);
        let comment = run.comment();
        assert_eq!(CoordinatedRun { command: &attached, ..run }.comment(), comment);
        assert!(run.is_coordinated_with(&attached));
        let other = words(&["apeft", "run", "it's.toml", "--set", "a=2"]);
        assert_ne!(CoordinatedRun { command: &other, store, runs }.comment(), comment);
    }

    #[test]
    fn the_script_ends_as_its_run_does() {
        let command = words(&["apeft", "-c", "kill -USR1 $PPID; sleep 0.3; exit 7", "--detach"]);
        let run =
            CoordinatedRun { store: Path::new("/s"), runs: Path::new("/r"), command: &command };
        let script = run.script(&JobSettings::default(), Path::new("/bin/bash"));
        // There is no Slurm here, and a signal must not end the wait.
        let script = script.replace("scontrol", "true");
        let status = Command::new("bash").args(["-c", &script]).status().unwrap();
        assert_eq!(status.code(), Some(7), "{script}");
    }
}
