//! Executes a plan: the dispatcher decides, the executor runs what it decided.

use std::time::{Duration, Instant};

use super::{
    dispatcher::Dispatcher,
    event::Timed,
    executor::Executor,
    local::LocalExecutor,
    outcome::{RunOptions, RunOutcome},
    slurm::SlurmExecutor,
};
use crate::{
    plan::{ExecutorName, Plan},
    store::{Store, StoreError},
};

/// Interval between saves of the memo.
const SAVING: Duration = Duration::from_secs(5);

/// Longest wait for an event; timeouts and delayed retries are noticed this much later.
const PATIENCE: Duration = Duration::from_millis(100);

/// Executes a plan and passes every event to `listener`. The calling thread must outlive the run,
/// since attempts end with it.
///
/// # Errors
/// If the store cannot be repaired or locked; failed stages are an outcome, not an error.
pub fn execute(
    plan: &Plan,
    store: &Store,
    options: &RunOptions,
    listener: &mut dyn FnMut(&Timed),
) -> Result<RunOutcome, StoreError> {
    // Held to the end, so that `cache gc` keeps what this run looks up.
    let _lease = store
        .lease(&options.experiments, || tracing::warn!("waiting for `cache gc` in the store"))?;
    let began = Instant::now();
    let mut executor = match options.executor {
        ExecutorName::Local => Executor::Local(LocalExecutor::new()),
        ExecutorName::Slurm => {
            let settings = plan.executor.clone();
            let slurm = SlurmExecutor::new(store.root(), &plan.recipe, settings, options.detach);
            slurm.forget_finished(|key| store.folder_of(key).is_dir());
            Executor::Slurm(Box::new(slurm))
        }
    };
    let mut dispatcher = Dispatcher::new(plan, store, options, listener);
    dispatcher.prepare()?;
    // The inputs were hashed by now, which may have taken longer than a stage will.
    store.save_memo();
    executor.listen_for_signals();
    let done = until_nothing_runs(&mut dispatcher, &mut executor, store);
    // With an unusable store nobody waits for the attempts' ends.
    if done.is_err() {
        executor.kill_all();
    }
    store.save_memo();
    done?;
    let seconds = began.elapsed().as_secs_f64();
    let outcome = if dispatcher.is_over() {
        let outcome = dispatcher.conclude(seconds);
        executor.finish();
        outcome
    } else {
        dispatcher.detach(seconds)
    };
    if let Err(error) = store.remove_finished_work() {
        tracing::warn!("{error}");
    }
    Ok(outcome)
}

fn until_nothing_runs(
    dispatcher: &mut Dispatcher,
    executor: &mut Executor,
    store: &Store,
) -> Result<(), StoreError> {
    let mut saved = Instant::now();
    loop {
        dispatcher.look_up_due()?;
        while let Some(start) = dispatcher.next_start() {
            let started = executor.start(&start);
            dispatcher.started(&start, started);
        }
        executor.submit();
        if dispatcher.is_over() {
            return Ok(());
        }
        if let Some(event) = executor.next_event(PATIENCE) {
            dispatcher.handle(event)?;
            // It may let other stages start.
            continue;
        }
        if executor.has_detached() {
            return Ok(());
        }
        executor.end_overdue();
        // A killed run loses at most this much of what it hashed.
        if saved.elapsed() > SAVING {
            store.save_memo();
            saved = Instant::now();
        }
    }
}
