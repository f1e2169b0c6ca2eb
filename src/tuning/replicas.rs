//! A model on further devices: a thread for each, with a copy of the weights. Frozen weights are
//! copied once; trained ones are sent when they have changed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use burn::{module::Module, tensor::Device};

use super::transfer::{Parcel, TrainedParameters};
use crate::model::Transformer;

/// Copies of a model on all devices but the first; none by default.
#[derive(Default)]
pub struct Replicas {
    threads: Vec<Replica>,
    trained: OnceLock<TrainedParameters>,
    /// The number of optimizer steps of the trained weights that were sent last.
    sent: Mutex<Option<usize>>,
}

/// The thread of a device. A thread of its own for each step would get new pools of memory.
struct Replica {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What a device has.
pub(super) struct ReplicaModels {
    device: Device,
    /// With autodiff in training.
    pub policy: Transformer,
    /// The reference model, where it moves; without autodiff.
    reference: Option<Transformer>,
}

type Job = Box<dyn FnOnce(&mut ReplicaModels) + Send>;

/// The result of a job that was started.
pub(super) struct StartedJob<T>(Receiver<thread::Result<T>>);

impl<T> StartedJob<T> {
    /// Waits for the result.
    ///
    /// # Panics
    /// As the job.
    pub(super) fn wait(self) -> T {
        let done = self.0.recv().expect("the thread of a device answers each job");
        // With its own message, by which lack of memory is told.
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Replicas {
    /// Copies a model without autodiff to each device.
    ///
    /// # Panics
    /// If a device has too little memory.
    pub fn new(model: &Transformer, devices: &[Device]) -> Self {
        let threads = devices.iter().map(|device| Replica::new(model, device)).collect();
        let replicas = Self { threads, ..Self::default() };
        replicas.on_all(|models| models.policy = models.policy.copy_on(&models.device));
        replicas
    }

    /// Number of further devices.
    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    /// Starts a job on a device.
    pub(super) fn start<T: Send + 'static>(
        &self,
        number: usize,
        job: impl FnOnce(&mut ReplicaModels) -> T + Send + 'static,
    ) -> StartedJob<T> {
        let (sender, receiver) = channel();
        let job: Job = Box::new(move |models| {
            // The thread serves on; who waits for the job panics instead.
            let done = catch_unwind(AssertUnwindSafe(|| job(models)));
            sender.send(done).ok();
        });
        let jobs = self.threads[number].jobs.as_ref().expect("it is taken when dropped");
        jobs.send(job).expect("the thread waits for jobs");
        StartedJob(receiver)
    }

    /// Does the same on all devices.
    fn on_all(&self, job: impl FnOnce(&mut ReplicaModels) + Clone + Send + 'static) {
        let started: Vec<StartedJob<()>> =
            (0..self.count()).map(|number| self.start(number, job.clone())).collect();
        started.into_iter().for_each(StartedJob::wait);
    }

    /// Makes the models trainable as the first device's; `moves`: whether the reference model
    /// follows.
    pub(super) fn prepare(
        &self,
        trained: TrainedParameters,
        moves: bool,
        trainable: impl FnOnce(Transformer) -> Transformer + Clone + Send + 'static,
    ) {
        self.trained.get_or_init(|| trained);
        self.on_all(move |models| {
            models.reference = moves.then(|| models.policy.clone());
            models.policy = trainable(models.policy.clone());
        });
    }

    /// Sends the trained weights after this many optimizer steps, unless they were sent before; and
    /// those of the reference model, which changes at intervals.
    pub(super) fn update(
        &self,
        step: usize,
        policy: &Transformer,
        reference: Option<(&Transformer, usize)>,
    ) {
        let mut sent = self.sent.lock().expect("no holder panics");
        let (Some(trained), false) = (self.trained.get(), *sent == Some(step)) else { return };
        if self.threads.is_empty() {
            return;
        }
        let parcel = |model| Arc::new(Parcel::of_parameters(model, trained));
        let policy = parcel(policy);
        let reference =
            reference.filter(|(_, every)| sent.is_none() || step.is_multiple_of(*every));
        let reference = reference.map(|(model, _)| parcel(model));
        self.on_all(move |models| {
            models.policy = policy.put_into(models.policy.clone(), &models.device);
            if let Some(reference) = reference {
                let before = models.reference.take();
                models.reference = before.map(|model| reference.put_into(model, &models.device));
            }
        });
        *sent = Some(step);
    }
}

impl Replica {
    fn new(model: &Transformer, device: &Device) -> Self {
        let (jobs, received) = channel::<Job>();
        let (policy, device) = (model.clone(), device.clone());
        let mut models = ReplicaModels { device, policy, reference: None };
        let thread = thread::spawn(move || received.into_iter().for_each(|job| job(&mut models)));
        Self { jobs: Some(jobs), thread: Some(thread) }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Without a sender the thread has no more jobs.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl ReplicaModels {
    /// The policy, or the reference model where it moves; without autodiff.
    pub(super) fn scored(&self, is_reference: bool) -> Transformer {
        match &self.reference {
            Some(reference) if is_reference => reference.valid(),
            _ => self.policy.valid(),
        }
    }
}
