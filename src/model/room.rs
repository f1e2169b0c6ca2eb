//! Whether a device has room: what is free, and what its failures mean.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use burn::tensor::Device;

use super::{architecture::Transformer, device::is_cpu, host_memory::host_memory};

/// The share of what is free that may be taken.
const MOST: f64 = 0.9;

/// Why a device could not go on.
#[derive(Debug, PartialEq)]
pub(super) enum Exhausted {
    /// It has not enough memory: what was being done, and how much was free.
    Memory(String),
    /// Anything else.
    Failure(String),
}

/// Whether the keys and values of so many texts fit into what the device has free.
pub(super) fn for_memory(model: &Transformer, slots: usize, length: usize) -> Result<(), Exhausted> {
    let config = &model.config;
    let needed = 2 * config.num_hidden_layers * slots * length * config.key_size() * model.format().size();
    match free(&model.embedding.val().device()) {
        Some(free) if needed as f64 > MOST * free as f64 => Err(Exhausted::Memory(format!(
            "keys and values of {slots} texts of up to {length} tokens take {}, but {} are free",
            gibibytes(needed as u64),
            gibibytes(free)
        ))),
        _ => Ok(()),
    }
}

/// Does something on a device; its lack of memory, which arrives as a panic or as an error, becomes a value.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Exhausted>) -> Result<T, Exhausted> {
    #[cfg(test)]
    tests::fail_where_it_is_due()?;
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
            match failure(&text) {
                memory @ Exhausted::Memory(_) => Err(memory),
                Exhausted::Failure(_) => resume_unwind(panic),
            }
        }
    }
}

/// Does something on a device that has no smaller steps to fall back to; its lack of memory becomes a sentence.
///
/// # Errors
/// Says what was being done (`train`), what the device holds, and what to lower (`batch`).
pub fn or_say_what_to_lower<T>(
    device: &Device,
    doing: &str,
    lower: &str,
    work: impl FnOnce() -> T,
) -> Result<T, String> {
    guarded(|| Ok(work())).map_err(|exhausted| match exhausted {
        Exhausted::Memory(reason) => format!("cannot {doing}: {reason}{}; lower {lower}", held(device)),
        Exhausted::Failure(reason) => format!("cannot {doing}: {reason}"),
    })
}

/// What a device's pools hold, where it says so.
pub(super) fn held(device: &Device) -> String {
    device.memory_pool_usage().map_or_else(String::new, |usage| {
        let (held, used) = (gibibytes(usage.bytes_reserved), gibibytes(usage.bytes_in_use));
        format!("; {held} of it are held here, {used} of these in use")
    })
}

/// What a device's complaint means.
pub(super) fn failure(text: &str) -> Exhausted {
    let lower = text.to_lowercase();
    let signs = ["out of device memory", "out-of-memory", "out of memory", "outofmemory", "can't allocate buffer"];
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or(text).trim().to_owned();
    if signs.iter().any(|sign| lower.contains(sign)) {
        Exhausted::Memory(format!("the device ran out of memory ({first})"))
    } else {
        Exhausted::Failure(first)
    }
}

/// What a device has free, in bytes, where it can be known beforehand.
fn free(device: &Device) -> Option<u64> {
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
        /// After how many works of this thread the device lacks memory, again and again.
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
        let allocating = "An error happened during execution\nCaused by:\n  out of device memory allocating 5 bytes";
        assert!(matches!(failure(allocating), Exhausted::Memory(_)));
        assert_eq!(failure("\nillegal address\nbacktrace"), Exhausted::Failure("illegal address".to_owned()));
        let lacking = guarded(|| -> Result<(), _> { panic!("cuda: Out of memory") });
        assert!(matches!(lacking, Err(Exhausted::Memory(_))), "{lacking:?}");
        let said = or_say_what_to_lower(&Device::flex(), "train", "`batch`", || panic!("cuda: Out of memory"));
        assert_eq!(
            said,
            Err::<(), _>("cannot train: the device ran out of memory (cuda: Out of memory); lower `batch`".into())
        );
        assert!(catch_unwind(|| guarded(|| -> Result<(), _> { panic!("a mistake of ours") })).is_err());
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(free(&Device::flex()).is_none_or(|free| free > 1 << 20));
    }
}
