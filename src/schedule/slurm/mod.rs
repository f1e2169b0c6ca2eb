//! Attempts as jobs of Slurm. The folder of a job lies in the store, under the key that it makes:
//! whoever runs a recipe finds the jobs of a run that was killed, and no key is submitted twice.
//!
//! `<store>/v1/jobs/<key>` has the job (`job.json`), its messages (`messages.jsonl`) and its place
//! (`place`: an array of jobs, and the number in it). `<store>/v1/jobs/arrays/<array>` has the keys
//! (`keys`), Slurm's number (`job`, written after `sbatch`) and the outputs of an array. The
//! comment of Slurm's job is `apeft:<array>`, so that a job is found whose number was lost. The lock
//! of `<store>/v1/jobs/submission` is held from the claim of a key to Slurm's answer.

mod cluster;
mod coordinator;
mod executor;
mod folder;
mod submission;
mod task;
mod watched;

pub use cluster::{ClusterState, Slurm};
pub use coordinator::CoordinatedRun;
pub(super) use executor::SlurmExecutor;
pub use folder::{JobFolder, JobFolders};
pub use task::carry_out_task;
