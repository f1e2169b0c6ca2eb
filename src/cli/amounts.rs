//! Times and sizes on the command line: `30d`, `12h`, `200GB`, `1.5 GiB`.

use std::time::Duration;

use jiff::SignedDuration;

/// Seconds of a day, which is no exact unit of calendars, but is one of ages.
const DAY: f64 = 86_400.0;
/// Units of sizes, longest first so that none is read as the end of another.
const UNITS: [(&str, f64); 10] = [
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("tib", 1_099_511_627_776.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("b", 1.0),
    ("", 1.0),
];

/// A time such as `30d`, `2w`, `12h` or `90min`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let of = |unit: &str, days: f64| {
        let number = text.strip_suffix(unit)?.trim().parse::<f64>().ok()?;
        Duration::try_from_secs_f64(number * days * DAY).ok()
    };
    let exact = || Duration::try_from(text.parse::<SignedDuration>().ok()?).ok();
    let read = of("d", 1.0).or_else(|| of("days", 1.0)).or_else(|| of("w", 7.0)).or_else(exact);
    read.ok_or_else(|| "a time is expected, such as 30d, 12h or 90min".to_owned())
}

/// A size such as `200GB`, `1.5 GiB` or a number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_lowercase();
    let read = UNITS.iter().find_map(|(unit, bytes)| {
        let number = lower.strip_suffix(unit)?.trim().parse::<f64>().ok()?;
        (number >= 0.0 && number * bytes <= u64::MAX as f64).then_some((number * bytes) as u64)
    });
    read.ok_or_else(|| "a size is expected, such as 200GB, 500 MB or 1.5 GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_units() {
        for (text, hours) in
            [("30d", 720.0), ("2w", 336.0), ("12h", 12.0), ("90min", 1.5), ("1 h 30 m", 1.5)]
        {
            assert_eq!(age(text).unwrap().as_secs_f64(), hours * 3600.0, "{text}");
        }
        for (text, bytes) in
            [("200GB", 200_000_000_000), ("1.5 GiB", 1_610_612_736), ("10", 10), ("0b", 0)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "d", "-1d", "ten", "3 months"] {
            assert!(age(text).is_err(), "{text}");
        }
        for text in ["", "GB", "-1", "1e99 TB", "12 parsecs"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
