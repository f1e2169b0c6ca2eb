//! Memory budget of a device: free memory, and out-of-memory errors as values.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::Device;

use super::{architecture::Transformer, device::is_cpu, host_memory::host_memory};
use crate::diagnostic::panic_text;

/// Share of free memory that may be used.
const MOST: f64 = 0.9;

/// Why a device could not continue.
#[derive(Debug, PartialEq)]
pub(super) enum Exhausted {
    /// Out of memory, with the operation and the free memory.
    Memory(String),
    /// Any other failure.
    Failure(String),
}

/// Checks that the KV cache of this many sequences fits the device's free memory.
pub(super) fn fits_kv_cache(
    model: &Transformer,
    slots: usize,
    length: usize,
) -> Result<(), Exhausted> {
    let needed = kv_cache(model, slots, length);
    // Tried before, since the system kills a process that takes too much instead of refusing.
    match free(&model.embedding.val().device()) {
        Some(free) if needed as f64 > MOST * free as f64 => Err(Exhausted::Memory(format!(
            "the KV cache of {slots} sequences of up to {length} tokens takes {}, but {} are free",
            gibibytes(needed as u64),
            gibibytes(free)
        ))),
        _ => Ok(()),
    }
}

/// Whether a copy of all weights takes at most half of the free memory.
pub(super) fn has_room_for_weights(model: &Transformer) -> bool {
    let weights = model.config.parameters() * model.format().size();
    free(&model.device()).is_none_or(|free| weights as u64 <= free / 2)
}

/// Bytes of the KV cache of this many sequences.
fn kv_cache(model: &Transformer, slots: usize, length: usize) -> usize {
    let config = &model.config;
    let numbers = 2 * config.num_hidden_layers * slots * length * config.key_size();
    numbers * model.states_in().size()
}

/// Runs work on a device; out of memory, which arrives as a panic or an error, becomes a value.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Exhausted>) -> Result<T, Exhausted> {
    #[cfg(test)]
    tests::fail_where_it_is_due()?;
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) => {
            match failure(panic_text(&*panic)) {
                memory @ Exhausted::Memory(_) => Err(memory),
                // A defect of this program must not look like a lack of memory.
                Exhausted::Failure(_) => resume_unwind(panic),
            }
        }
    }
}

/// Runs work on a device without a smaller fallback; out of memory becomes a message.
///
/// # Errors
/// Names the operation (`train`), the memory in use, and the parameter to lower (`batch_size`).
pub fn with_oom_hint<T>(
    device: &Device,
    doing: &str,
    lower: &str,
    work: impl FnOnce() -> T,
) -> Result<T, String> {
    guarded(|| Ok(work())).map_err(|exhausted| match exhausted {
        Exhausted::Memory(reason) => {
            format!("cannot {doing}: {reason}{}; lower {lower}", pool_usage(device))
        }
        Exhausted::Failure(reason) => format!("cannot {doing}: {reason}"),
    })
}

/// Usage of a device's memory pools, if it reports any.
pub(super) fn pool_usage(device: &Device) -> String {
    device.memory_pool_usage().map_or_else(String::new, |usage| {
        let (held, used) = (gibibytes(usage.bytes_reserved), gibibytes(usage.bytes_in_use));
        format!("; this process holds {held}, of which {used} are in use")
    })
}

/// Classifies a device's error message.
pub(super) fn failure(text: &str) -> Exhausted {
    // CUDA, its driver and the kernels' compiler write it in different ways.
    let lower = text.to_lowercase();
    let signs = [
        "out of device memory",
        "out-of-memory",
        "out of memory",
        "outofmemory",
        "can't allocate buffer",
    ];
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or(text).trim().to_owned();
    if signs.iter().any(|sign| lower.contains(sign)) {
        Exhausted::Memory(format!("the device ran out of memory ({first})"))
    } else {
        Exhausted::Failure(first)
    }
}

/// Free memory of a device in bytes, if known in advance.
fn free(device: &Device) -> Option<u64> {
    // A GPU's allocator refuses what it does not have, which arrives as an error.
    if is_cpu(device) { host_memory().free } else { None }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// Numbers of operations of this thread after which memory runs out, repeatedly.
        pub(in crate::model) static FAULTS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn fail_where_it_is_due() -> Result<(), Exhausted> {
        FAULTS.with_borrow_mut(|faults| match faults.last_mut() {
            Some(0) => {
                faults.pop();
                Err(failure("out of device memory allocating 5 bytes"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        })
    }

    #[test]
    fn lack_of_memory_is_told_from_other_failures() {
        let allocating = "An error happened during execution\nCaused by:\n  out of device memory \
        allocating 5 bytes";
        assert!(matches!(failure(allocating), Exhausted::Memory(_)));
        assert_eq!(
            failure("\nillegal address\nbacktrace"),
            Exhausted::Failure("illegal address".to_owned())
        );
        let lacking = guarded(|| -> Result<(), _> { panic!("cuda: Out of memory") });
        assert!(matches!(lacking, Err(Exhausted::Memory(_))), "{lacking:?}");
        let said =
            with_oom_hint(&Device::flex(), "train", "`batch`", || panic!("cuda: Out of memory"));
        assert_eq!(
            said,
            Err::<(), _>(
                "cannot train: the device ran out of memory (cuda: Out of memory); lower `batch`"
                    .into()
            )
        );
        assert!(
            catch_unwind(|| guarded(|| -> Result<(), _> { panic!("an internal error") })).is_err()
        );
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(free(&Device::flex()).is_none_or(|free| free > 1 << 20));
    }
}
