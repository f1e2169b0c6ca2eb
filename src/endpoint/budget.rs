//! Costs of calls: what was spent, and what the next call may cost.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{call::Call, reply::TokenUsage, settings::Endpoint};

/// Bytes per token below which an estimate for `max_cost` does not go; English text has four.
const LEAST_BYTES: usize = 2;
/// Bytes per token of an estimate for people.
const USUAL_BYTES: usize = 4;
/// Tokens that a chat template adds.
const FRAME: usize = 16;

/// The budget of one stage.
#[derive(Debug)]
pub(super) struct Budget {
    prices: Option<(f64, f64)>,
    most: Option<f64>,
    spent: Mutex<Spent>,
    settled: Condvar,
}

/// Tokens and costs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    /// Cost of the answered calls, those in the log included.
    pub(super) cost: f64,
    /// Upper bound of the cost of the calls in flight.
    reserved: f64,
    /// Tokens of the answered calls.
    pub(super) usage: TokenUsage,
    /// Answers without numbers of tokens, which are estimated.
    pub(super) uncounted: usize,
    /// Tokens of a prompt beyond those of its text, at most: a server's own system prompt.
    frame: u64,
}

/// The next call would exceed the budget.
#[derive(Debug, PartialEq)]
pub(super) struct OverBudget {
    pub(super) spent: f64,
    pub(super) next: f64,
    pub(super) most: f64,
}

impl Budget {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self {
            prices: endpoint.prices(),
            most: endpoint.max_cost,
            spent: Mutex::default(),
            settled: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spent(&self) -> Spent {
        *self.lock()
    }

    /// Reserves the cost of a call before it is sent, and waits while the calls in flight may use
    /// up the budget.
    pub(super) fn reserve(&self, call: &Call) -> Result<f64, OverBudget> {
        let mut spent = self.lock();
        let next = self.price(bound(call, spent.frame));
        let Some(most) = self.most else { return Ok(0.0) };
        loop {
            if spent.cost + next > most {
                return Err(OverBudget { spent: spent.cost, next, most });
            }
            if spent.cost + spent.reserved + next <= most {
                spent.reserved += next;
                return Ok(next);
            }
            // Each of those in flight is settled, and usually costs less than its bound.
            spent = self.settled.wait(spent).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Replaces a reservation by what the call cost: nothing if it was refused, and its bound if
    /// nobody knows whether the server made and bills the answer.
    pub(super) fn settle(&self, reserved: f64, cost: f64) {
        let mut spent = self.lock();
        // Rounding may take the difference slightly below zero.
        spent.reserved = (spent.reserved - reserved).max(0.0);
        spent.cost += cost;
        // Woken threads need the lock, so it is free before they are told.
        drop(spent);
        self.settled.notify_all();
    }

    /// Counts an answer; returns its cost without adding it.
    pub(super) fn count(&self, call: &Call, usage: Option<TokenUsage>) -> f64 {
        let mut spent = self.lock();
        let counted = usage.unwrap_or_else(|| usual(call));
        spent.uncounted += usize::from(usage.is_none());
        spent.frame = spent.frame.max(counted.input.saturating_sub(least_input(call)));
        spent.usage.input += counted.input;
        spent.usage.output += counted.output;
        self.price(counted)
    }

    fn price(&self, usage: TokenUsage) -> f64 {
        price(self.prices, usage)
    }
}

/// The cost of some tokens; 0 without prices.
fn price(prices: Option<(f64, f64)>, usage: TokenUsage) -> f64 {
    let (input, output) = prices.unwrap_or((0.0, 0.0));
    (usage.input as f64 * input + usage.output as f64 * output) / 1e6
}

/// The usual cost of a call by its length.
pub(super) fn expected_cost(endpoint: &Endpoint, call: &Call) -> Option<f64> {
    Some(price(Some(endpoint.prices()?), usual(call)))
}

/// The mean cost of some calls by their length; none without prices or calls.
pub fn usual_cost(endpoint: &Endpoint, calls: &[Call]) -> Option<f64> {
    let costs: Option<Vec<f64>> = calls.iter().map(|call| expected_cost(endpoint, call)).collect();
    let costs = costs.filter(|costs| !costs.is_empty())?;
    Some(costs.iter().sum::<f64>() / costs.len() as f64)
}

fn least_input(call: &Call) -> u64 {
    call.input_bytes.div_ceil(LEAST_BYTES) as u64
}

fn bound(call: &Call, frame: u64) -> TokenUsage {
    let input = least_input(call) + frame.max(FRAME as u64);
    TokenUsage { input, output: call.max_tokens as u64 }
}

/// Tokens by length, with the longest answer.
fn usual(call: &Call) -> TokenUsage {
    let input = call.input_bytes.div_ceil(USUAL_BYTES) + FRAME;
    TokenUsage { input: input as u64, output: call.max_tokens as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{endpoint::call, rows::Content};

    fn priced(most: f64) -> Endpoint {
        let (input_price, output_price) = (Some(1e6), Some(2e6));
        Endpoint { input_price, output_price, max_cost: Some(most), ..call::tests::endpoint() }
    }

    #[test]
    fn a_call_is_sent_only_if_it_cannot_exceed_the_budget() {
        let endpoint = priced(100.0);
        let budget = Budget::new(&endpoint);
        // 20 bytes: at most 10 tokens and 16 of a template, and 2 of the answer for 2 each.
        let call = Call::new(&endpoint, "x".to_owned(), &Content::Text("x".repeat(20)), 2);
        let reserved = budget.reserve(&call).unwrap();
        assert_eq!(reserved, 30.0);
        let cost = budget.count(&call, Some(TokenUsage { input: 9, output: 1 }));
        budget.settle(reserved, cost);
        assert_eq!(budget.spent().cost, 11.0);
        budget.settle(0.0, 60.0);
        let over = budget.reserve(&call).unwrap_err();
        assert_eq!(over, OverBudget { spent: 71.0, next: 30.0, most: 100.0 });
        // An answer without usage counts by its length: 5 tokens, 16, and the longest answer.
        assert_eq!(budget.count(&call, None), 25.0);
        assert_eq!(budget.spent().uncounted, 1);
        assert_eq!(expected_cost(&endpoint, &call), Some(25.0));
        // A server that adds a long prompt of its own is known by its first answer.
        budget.count(&call, Some(TokenUsage { input: 90, output: 1 }));
        assert_eq!(budget.reserve(&call).unwrap_err().next, 94.0);
    }

    #[test]
    fn calls_wait_for_others_that_may_use_up_the_budget() {
        let endpoint = priced(50.0);
        let budget = Budget::new(&endpoint);
        let call = Call::new(&endpoint, "x".to_owned(), &Content::Text("x".repeat(20)), 2);
        let first = budget.reserve(&call).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| budget.reserve(&call));
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!second.is_finished());
            budget.settle(first, 11.0);
            assert_eq!(second.join().unwrap(), Ok(30.0));
        });
    }
}
