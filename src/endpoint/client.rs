//! Asks the calls of a stage: from the log, and what it lacks from the server by several threads.

use std::{
    collections::BTreeSet,
    fmt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Map, Value, json};
use ureq::Agent;

use super::{
    address,
    budget::{Budget, OverBudget},
    call::{Call, log_name},
    error::EndpointError,
    http::{self, Sent},
    pace::Pace,
    refusal::{Refusal, Refusals},
    reply::{Malformed, Reply, TokenUsage},
    secret::ApiKey,
    settings::{Endpoint, NamedEndpoint, Replay, missing_variable},
};
use crate::{
    digest::Digest,
    seed::Seed,
    store::{CallLog, Store},
};

/// Wait from which on people are told of it, and the time after it in which no other one is told.
const LONG_WAIT: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(60);

/// Receives what people should know while calls are asked.
pub type Teller = Box<dyn Fn(String) + Send + Sync>;

/// Asks the calls of one stage.
pub struct Client {
    name: String,
    endpoint: Endpoint,
    url: String,
    key: Option<ApiKey>,
    log: CallLog,
    agent: Agent,
    pace: Pace,
    budget: Budget,
    counts: Counts,
    /// Keys whose cost is counted: each call once, however often its answer is used.
    counted: Mutex<BTreeSet<Digest>>,
    tell: Teller,
    /// Until when no other wait is told.
    told: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicUsize,
    replayed: AtomicUsize,
    retries: AtomicUsize,
}

/// What a client has done.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTally {
    /// Calls that the server answered.
    pub asked: usize,
    /// Calls that the log answered.
    pub replayed: usize,
    /// Repeated requests.
    pub retries: usize,
    /// Tokens of all prompts and answers.
    pub tokens: (u64, u64),
    /// Cost of all calls; none without prices.
    pub cost: Option<f64>,
    /// Answers without numbers of tokens, which were estimated.
    pub uncounted: usize,
}

impl fmt::Display for CallTally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, replayed, retries, tokens: (input, output), cost, uncounted } = self;
        write!(formatter, "{asked} calls asked")?;
        if *retries > 0 {
            write!(formatter, " ({retries} retries)")?;
        }
        write!(formatter, ", {replayed} from the log; {input} input and {output} output tokens")?;
        if let Some(cost) = cost {
            write!(formatter, ", cost {cost:.4}")?;
        }
        match uncounted {
            0 => Ok(()),
            count => write!(formatter, " (estimated for {count} answers without `usage`)"),
        }
    }
}

/// One batch of calls.
struct CallBatch<'a> {
    calls: Vec<&'a Call>,
    next: AtomicUsize,
    done: AtomicUsize,
    stop: AtomicBool,
    error: Mutex<Option<EndpointError>>,
    refusals: Refusals,
    progress: &'a (dyn Fn(usize) + Sync),
}

impl Client {
    /// A client whose log lies in the store of this folder.
    ///
    /// # Errors
    /// If the API key is missing or the log cannot be read.
    pub fn open(named: &NamedEndpoint, store: &Path, seed: &Seed) -> Result<Self, EndpointError> {
        let NamedEndpoint { name, table } = named;
        if let Some((variable, why)) = missing_variable(table) {
            let (endpoint, variable) = (name.clone(), variable.to_owned());
            return Err(EndpointError::NoKey { endpoint, variable, why });
        }
        let variable = table.api_key_env.as_deref();
        let key = variable.and_then(|variable| ApiKey::from_environment(variable).ok());
        // A log that is only read may lie on a write-protected disk.
        let store = match table.replay {
            Replay::Record => Store::open(store)?,
            Replay::Only => Store::look(store, true)?,
        };
        Ok(Self {
            name: name.clone(),
            url: address::of_call(&table.url, table.api.path()),
            key,
            log: CallLog::open(store, &log_name(table))?,
            agent: http::agent(table.timeout, table.concurrency),
            pace: Pace::new(table.requests_per_minute, table.backoff, seed),
            budget: Budget::new(table),
            counts: Counts::default(),
            counted: Mutex::default(),
            endpoint: table.clone(),
            tell: Box::new(|_| ()),
            told: Mutex::default(),
        })
    }

    /// Tells of damaged lines of the log, and from now on of long waits.
    pub fn telling(self, tell: Teller) -> Self {
        let damaged = self.log.damaged();
        if damaged > 0 && self.endpoint.replay == Replay::Record {
            tell(format!(
                "{damaged} lines of {} are damaged; their calls are asked again \
                (`apeft cache verify` tells the lines, and with `--repair` removes them)",
                self.log.path().display()
            ));
        }
        Self { tell, ..self }
    }

    /// Tells of a wait that looks like a hang, once for all threads and for waits that follow soon.
    fn tell_of_wait(&self, wait: Duration, problem: &str) {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if wait >= LONG_WAIT && told.is_none_or(|end| end <= now) {
            *told = Some(now + wait + QUIET);
            (self.tell)(format!(
                "the endpoint `{}` asks to wait {:.0} s ({problem}); calls go on after that",
                self.name,
                wait.as_secs_f64()
            ));
        }
    }

    /// Settings of the endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Answers of the calls, in their order. Equal calls are asked once. `progress` gets the number
    /// of calls that are answered.
    ///
    /// # Errors
    /// If a call is refused, or not answered after the last retry; the answers to the others are
    /// logged.
    pub fn ask(
        &self,
        calls: &[Call],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Reply>, EndpointError> {
        self.ask_distinct(calls, Refusals::Fail, progress)?;
        calls.iter().map(|call| self.logged(call)).collect()
    }

    /// As [`Client::ask`], but none for a call that exceeds the model's context by what the server
    /// says. Such refusals are logged too.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_what_fits(
        &self,
        calls: &[Call],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Option<Reply>>, EndpointError> {
        self.ask_distinct(calls, Refusals::KeepTooLong, progress)?;
        self.answered(calls)
    }

    /// As [`Client::ask_what_fits`], and none for other calls that the server does not accept
    /// either (status 400, 413 or 422).
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_what_is_accepted(
        &self,
        calls: &[Call],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Option<Reply>>, EndpointError> {
        self.ask_distinct(calls, Refusals::Keep, progress)?;
        self.answered(calls)
    }

    /// The answers that the log has.
    fn answered(&self, calls: &[Call]) -> Result<Vec<Option<Reply>>, EndpointError> {
        let answered = |call: &Call| self.log.holds(&call.key).then(|| self.logged(call));
        calls.iter().map(|call| answered(call).transpose()).collect()
    }

    /// Makes sure that the log has the answers to calls.
    fn ask_distinct(
        &self,
        calls: &[Call],
        refusals: Refusals,
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<(), EndpointError> {
        let mut seen = BTreeSet::new();
        let distinct = calls.iter().filter(|call| seen.insert(call.key));
        let (known, missing): (Vec<&Call>, Vec<&Call>) =
            distinct.partition(|call| self.is_logged(call, refusals));
        for call in &known {
            // Counted before anything is sent, so that `max_cost` holds over restarts.
            self.replay(call)?;
        }
        self.check_replay(&missing, known.len() + missing.len())?;
        progress(known.len());
        let batch = CallBatch {
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(known.len()),
            stop: AtomicBool::new(false),
            error: Mutex::new(None),
            calls: missing,
            refusals,
            progress,
        };
        self.ask_missing(batch)
    }

    fn is_logged(&self, call: &Call, refusals: Refusals) -> bool {
        // Nobody bills a refusal, and the server may have been started with a longer context since.
        let is_final = self.endpoint.replay == Replay::Only;
        self.log.holds(&call.key)
            || is_final && refusals.kept().iter().any(|refusal| self.log.holds(&refusal.key(call)))
    }

    /// What was done so far.
    pub fn tally(&self) -> CallTally {
        let spent = self.budget.spent();
        let [asked, replayed, retries] =
            [&self.counts.asked, &self.counts.replayed, &self.counts.retries]
                .map(|count| count.load(Ordering::Relaxed));
        CallTally {
            asked,
            replayed,
            retries,
            tokens: (spent.usage.input, spent.usage.output),
            cost: self.endpoint.prices().map(|_| spent.cost),
            uncounted: spent.uncounted,
        }
    }

    fn check_replay(&self, missing: &[&Call], all: usize) -> Result<(), EndpointError> {
        match (self.endpoint.replay, missing.first()) {
            (Replay::Only, Some(first)) => Err(EndpointError::NotRecorded {
                endpoint: self.name.clone(),
                missing: missing.len(),
                all,
                label: first.label.clone(),
                damaged: match self.log.damaged() {
                    0 => String::new(),
                    count => {
                        format!("; {count} lines of {} are damaged", self.log.path().display())
                    }
                },
            }),
            _ => Ok(()),
        }
    }

    fn ask_missing(&self, batch: CallBatch<'_>) -> Result<(), EndpointError> {
        let threads = self.endpoint.concurrency.min(batch.calls.len());
        thread::scope(|scope| {
            for _ in 0..threads {
                let worker = thread::Builder::new().spawn_scoped(scope, || self.work(&batch));
                if let Err(error) = worker {
                    batch.fail(EndpointError::Client {
                        endpoint: self.name.clone(),
                        problem: format!("{error}{}", crate::diagnostic::limit(&error)),
                    });
                }
            }
        });
        let error = batch.error.into_inner().unwrap_or_else(PoisonError::into_inner);
        error.map_or(Ok(()), Err)
    }

    /// One thread: takes calls until none is left or one has failed.
    fn work(&self, batch: &CallBatch<'_>) {
        while !batch.stop.load(Ordering::Relaxed) {
            let index = batch.next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = batch.calls.get(index) else { return };
            match self.answer(call, batch) {
                Ok(true) => {
                    let done = batch.done.fetch_add(1, Ordering::Relaxed) + 1;
                    (batch.progress)(done);
                }
                Ok(false) => return,
                Err(error) => batch.fail(error),
            }
        }
    }

    /// Makes sure that the log has the answer to a call; false if the batch was stopped.
    fn answer(&self, call: &Call, batch: &CallBatch<'_>) -> Result<bool, EndpointError> {
        // Another stage or run may be asking the same.
        let _claim = self.log.claim(&call.key)?;
        if self.is_logged(call, batch.refusals) {
            self.replay(call)?;
            return Ok(true);
        }
        let mut retry = 0;
        loop {
            if !self.pace.wait_turn(&batch.stop) {
                return Ok(false);
            }
            let reserved = self.reserve(call)?;
            let failed = match self.send(call, reserved, batch.refusals)? {
                None => return Ok(true),
                Some(failed) => failed,
            };
            if retry == self.endpoint.max_retries {
                return Err(self.unanswered(
                    call,
                    format!("{} ({} attempts)", failed.problem, u64::from(retry) + 1),
                ));
            }
            tracing::debug!(call = call.label, retry, "{}", failed.problem);
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
            let mut wait = self.pace.backoff(&call.key, retry);
            if let Some(asked) = failed.wait {
                // The server speaks for all of its requests.
                self.pace.pause(asked);
                self.tell_of_wait(asked, &failed.problem);
                wait = wait.max(asked);
            }
            if !Pace::sleep(wait, &batch.stop) {
                return Ok(false);
            }
            retry += 1;
        }
    }

    /// Sends a request once; the answer is logged.
    fn send(
        &self,
        call: &Call,
        reserved: f64,
        refusals: Refusals,
    ) -> Result<Option<http::Failed>, EndpointError> {
        let sent = http::post(&self.agent, &self.url, self.key.as_ref(), &call.body.to_string());
        let (answer, reply) = match sent {
            Sent::Answered(answer) => {
                let reply = Reply::read(&answer, call.wants_log_probs);
                (answer, reply)
            }
            Sent::Failed(failed) => {
                self.budget.settle(reserved, if failed.may_cost { reserved } else { 0.0 });
                return Ok(Some(failed));
            }
            Sent::TooLong(problem) => {
                return self.refused(call, reserved, (Refusal::TooLong, refusals), problem);
            }
            Sent::Invalid(problem) => {
                return self.refused(call, reserved, (Refusal::Invalid, refusals), problem);
            }
            Sent::Refused(problem) => {
                self.budget.settle(reserved, 0.0);
                return Err(self.unanswered(call, problem));
            }
        };
        match reply {
            Ok(reply) => {
                self.log.append(&call.key, self.record(call, "answer", answer))?;
                self.counts.asked.fetch_add(1, Ordering::Relaxed);
                self.count_once(call, reserved, reply.usage);
                Ok(None)
            }
            Err(Malformed::NoLogProbs) => {
                self.budget.settle(reserved, reserved);
                Err(EndpointError::NoLogProbs { endpoint: self.name.clone() })
            }
            // Servers under load answer without choices; those that always do are told in the end.
            Err(Malformed::Other(problem)) => {
                self.budget.settle(reserved, reserved);
                Ok(Some(http::Failed { problem, wait: None, may_cost: true }))
            }
        }
    }

    /// Logs a refusal that counts as an answer; any other is an error.
    fn refused(
        &self,
        call: &Call,
        reserved: f64,
        (refusal, refusals): (Refusal, Refusals),
        problem: String,
    ) -> Result<Option<http::Failed>, EndpointError> {
        self.budget.settle(reserved, 0.0);
        if !refusals.kept().contains(&refusal) {
            return Err(self.unanswered(call, problem));
        }
        let key = refusal.key(call);
        if !self.log.holds(&key) {
            self.log.append(&key, self.record(call, "refusal", json!(problem)))?;
        }
        Ok(None)
    }

    fn record(&self, call: &Call, name: &str, value: Value) -> Map<String, Value> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let fields = [
            ("at", json!(since.as_secs())),
            ("api", json!(self.endpoint.api)),
            ("request", call.body.clone()),
            (name, value),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn reserve(&self, call: &Call) -> Result<f64, EndpointError> {
        self.budget.reserve(call).map_err(|OverBudget { spent, next, most }| {
            EndpointError::TooExpensive { endpoint: self.name.clone(), spent, next, most }
        })
    }

    fn unanswered(&self, call: &Call, problem: String) -> EndpointError {
        let (endpoint, label) = (self.name.clone(), call.label.clone());
        EndpointError::Unanswered { endpoint, label, problem }
    }

    /// The logged answer to a call.
    fn logged(&self, call: &Call) -> Result<Reply, EndpointError> {
        let unreadable =
            |problem: String| EndpointError::Unreadable { label: call.label.clone(), problem };
        let line = self.log.find(&call.key)?;
        let line = line.ok_or_else(|| unreadable("it is gone from the log".to_owned()))?;
        Reply::read(&line["answer"], call.wants_log_probs).map_err(|problem| match problem {
            Malformed::NoLogProbs => EndpointError::NoLogProbs { endpoint: self.name.clone() },
            Malformed::Other(problem) => unreadable(problem),
        })
    }

    /// Counts the tokens and the cost of a logged call; a refusal has none.
    fn replay(&self, call: &Call) -> Result<(), EndpointError> {
        self.counts.replayed.fetch_add(1, Ordering::Relaxed);
        if !self.log.holds(&call.key) {
            return Ok(());
        }
        let reply = self.logged(call)?;
        self.count_once(call, 0.0, reply.usage);
        Ok(())
    }

    fn count_once(&self, call: &Call, reserved: f64, usage: Option<TokenUsage>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = if counted.insert(call.key) { self.budget.count(call, usage) } else { 0.0 };
        self.budget.settle(reserved, cost);
    }
}

impl CallBatch<'_> {
    /// Keeps the first error, and stops the other threads.
    fn fail(&self, error: EndpointError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }
}
