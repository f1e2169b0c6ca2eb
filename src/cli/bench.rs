//! `bench`: how fast this machine trains and samples at the quickstart's shape.

use std::time::Instant;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::{
    model::{
        device,
        speed::{TrainingWork, quickstart_shape, sampling_work},
    },
    seed::Seed,
};

/// What `bench` is told.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArguments {
    /// Where to run: `cpu` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    pub device: String,
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// One machine-readable value instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// One figure.
struct Figure {
    what: &'static str,
    batch: usize,
    tokens_per_second: f64,
}

/// Measures and prints.
///
/// # Errors
/// Where the device is not there.
pub(super) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    let figures = measure(arguments)?;
    if arguments.json {
        let figure = |figure: &Figure| json!({ "what": figure.what, "batch": figure.batch, "tokens_per_s": figure.tokens_per_second.round() });
        println!("{}", json!(figures.iter().map(figure).collect::<Vec<_>>()));
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", "batch", "tokens/s"]);
    for Figure { what, batch, tokens_per_second } in figures {
        table.add_row([what.to_owned(), batch.to_string(), format!("{tokens_per_second:.0}")]);
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    Ok(())
}

fn measure(arguments: &BenchArguments) -> anyhow::Result<Vec<Figure>> {
    let device = device(&arguments.device)?;
    let work = TrainingWork::new(&quickstart_shape(), &device);
    let rate = median(arguments.rounds, || {
        work.step();
        Ok(TrainingWork::TOKENS)
    })?;
    let mut figures = vec![Figure { what: "training", batch: 24, tokens_per_second: rate }];
    let model = quickstart_shape().init(&Seed::root(0), &device);
    for batch in [1, 16, 64] {
        let rate = median(arguments.rounds, || Ok(sampling_work(&model, batch, 64)?))?;
        figures.push(Figure { what: "sampling", batch, tokens_per_second: rate });
    }
    Ok(figures)
}

/// Tokens a second: the median of some rounds, each of at least half a second, after one that does not count.
fn median(rounds: usize, mut work: impl FnMut() -> anyhow::Result<usize>) -> anyhow::Result<f64> {
    let mut rates = Vec::new();
    for round in 0..=rounds.max(1) {
        let (start, mut tokens) = (Instant::now(), 0);
        while start.elapsed().as_secs_f64() < 0.5 {
            tokens += work()?;
        }
        if round > 0 {
            rates.push(tokens as f64 / start.elapsed().as_secs_f64());
        }
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[rates.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_measured() {
        let arguments = BenchArguments { device: "cpu".to_owned(), rounds: 1, json: false };
        let figures = measure(&arguments).unwrap();
        assert_eq!(figures.iter().map(|figure| figure.batch).collect::<Vec<_>>(), [24, 1, 16, 64]);
        for figure in figures {
            eprintln!("{} {}: {:.0} tokens/s", figure.what, figure.batch, figure.tokens_per_second);
            assert!(figure.tokens_per_second > 1.0);
        }
    }
}
