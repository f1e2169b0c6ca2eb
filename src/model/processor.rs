//! The processor's name.

use std::{fs, sync::OnceLock};

/// Name of this machine's processor, as the system gives it.
pub fn processor() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // Processors of Arm have no name there.
        name_in(&text).unwrap_or(std::env::consts::ARCH).to_owned()
    })
}

/// Name of this machine in its network; empty if the system gives none.
pub fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn name_in(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_after_a_colon() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nstepping\t: 1\n";
        assert_eq!(name_in(text), Some("AMD EPYC 9B14"));
        assert_eq!(name_in("processor\t: 0\n"), None);
    }
}
