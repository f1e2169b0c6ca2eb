//! When requests are sent: at most some per minute, none while the server asks for a pause, and
//! retries after growing waits.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{digest::Digest, seed::Seed};

/// Longest wait before a retry that a server does not ask for.
const LONGEST: Duration = Duration::from_secs(60);
/// Interval at which waiting threads look whether the stage has failed.
const LOOK: Duration = Duration::from_millis(50);

/// The times of an endpoint's requests, shared by its threads.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// Earliest time of the next request.
    next: Mutex<Instant>,
    backoff: Duration,
    seed: Seed,
}

impl Pace {
    pub(super) fn new(per_minute: Option<usize>, backoff: f64, seed: &Seed) -> Self {
        let interval = per_minute
            .map_or(Duration::ZERO, |count| Duration::from_secs(60).div_f64(count as f64));
        let backoff = Duration::from_secs_f64(backoff);
        Self { interval, next: Mutex::new(Instant::now()), backoff, seed: seed.split("endpoint") }
    }

    fn next(&self) -> MutexGuard<'_, Instant> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the time of a request; returns false if `stop` was set meanwhile.
    pub(super) fn wait_turn(&self, stop: &AtomicBool) -> bool {
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let now = Instant::now();
            let mut next = self.next();
            if *next <= now {
                *next = now + self.interval;
                return true;
            }
            let wait = *next - now;
            // Other threads must be able to set a pause while this one sleeps.
            drop(next);
            thread::sleep(wait.min(LOOK));
        }
    }

    /// Holds back all requests for a time.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut next = self.next();
        *next = until.max(*next);
    }

    /// The wait before a retry of a call, from 0: doubled each time, of which a random part, at
    /// least half, is waited, so that calls that failed together are not repeated together.
    pub(super) fn backoff(&self, call: &Digest, retry: u32) -> Duration {
        let full = self.backoff.saturating_mul(1 << retry.min(16)).min(LONGEST);
        let draws = self.seed.split(&call.to_string()).split(&retry.to_string());
        full.mul_f64(0.5 + 0.5 * draws.stream().unit())
    }

    /// Sleeps; returns false if `stop` was set meanwhile.
    pub(super) fn sleep(time: Duration, stop: &AtomicBool) -> bool {
        let end = Instant::now() + time;
        loop {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_distance_and_pauses_hold_for_all() {
        let pace = Pace::new(Some(3000), 1.0, &Seed::root(0));
        let stop = AtomicBool::new(false);
        let began = Instant::now();
        (0..6).for_each(|_| assert!(pace.wait_turn(&stop)));
        assert!(began.elapsed() >= Duration::from_millis(100), "5 intervals of 20 ms");
        pace.pause(Duration::from_millis(150));
        let paused = Instant::now();
        assert!(pace.wait_turn(&stop));
        assert!(paused.elapsed() >= Duration::from_millis(150));
        stop.store(true, Ordering::Relaxed);
        assert!(!pace.wait_turn(&stop) && !Pace::sleep(LONGEST, &stop));
    }

    #[test]
    fn waits_double_up_to_a_minute_and_are_seeded() {
        let pace = Pace::new(None, 1.0, &Seed::root(0));
        let call = crate::digest::digest_value("call", &serde_json::json!(1));
        let waits: Vec<f64> =
            (0..9).map(|retry| pace.backoff(&call, retry).as_secs_f64()).collect();
        for (retry, wait) in waits.iter().enumerate() {
            let full = 60f64.min(f64::from(1 << retry));
            assert!((full / 2.0..=full).contains(wait), "{waits:?}");
        }
        let again = Pace::new(None, 1.0, &Seed::root(0));
        assert_eq!(again.backoff(&call, 3), pace.backoff(&call, 3));
        assert_ne!(Pace::new(None, 1.0, &Seed::root(1)).backoff(&call, 3), pace.backoff(&call, 3));
        assert_eq!(Pace::new(None, 0.0, &Seed::root(0)).backoff(&call, 3), Duration::ZERO);
    }
}
