//! `bench`: speed of training, sampling and scoring on this machine, and its share of the
//! hardware's limits.

use std::{path::PathBuf, time::Instant};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{
    generate::{number, temperature},
    model::PlaceArguments,
    output::{print_json, print_text},
};
use crate::{
    bench::{
        MemoryWork, ProductWork, SHAPES, TrainingWork, bytes_of_step, operations_of_token,
        random_model, sampling_work, shape,
    },
    model::{Encoder, ModelConfig, Placement, Sampling, Transformer},
    tuning::{ComputeOptions, TokenizedExample, log_probabilities},
};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  apeft bench
  apeft bench --model models/llama --batch 1,16,64 --temperature 0
  apeft bench --shape llama-3-8b --device cuda:0

`of bandwidth`: share of the measured memory bandwidth needed to read weights, keys and values
once per step. `of products`: share of the measured speed of large matrix products.")]
pub(super) struct BenchArguments {
    /// Hugging Face model directory [default: random weights].
    #[arg(long, value_name = "DIR", conflicts_with = "shape")]
    pub(super) model: Option<PathBuf>,
    /// Shape of a model with random weights.
    #[arg(long, default_value = "quickstart", value_parser = SHAPES)]
    pub(super) shape: String,
    /// Batch size in sequences.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1,16,64",
        value_name = "LIST",
        value_parser = count
    )]
    pub(super) batch: Vec<usize>,
    /// New tokens per response.
    #[arg(long, default_value = "64", value_parser = count)]
    pub(super) new: usize,
    /// Prompt of the responses; needs a model directory.
    #[arg(long, default_value = "Marie Curie was born in Warsaw in 1867.", value_name = "TEXT")]
    pub(super) prompt: String,
    /// Sampling temperature; 0 is greedy decoding.
    #[arg(long, default_value_t = 1.0, value_parser = temperature)]
    pub(super) temperature: f64,
    #[command(flatten)]
    pub(super) place: PlaceArguments,
    /// Rounds per figure, of which the median is reported.
    #[arg(long, default_value = "5", value_parser = count)]
    pub(super) rounds: usize,
    /// Minimum duration of a round in seconds.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub(super) seconds: f64,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

fn count(text: &str) -> Result<usize, String> {
    let found = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    found.ok_or_else(|| format!("a whole number from 1 to {MOST} is expected"))
}

fn seconds(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=3600.0).contains(&number), "a number from 0 to 3600")
}

/// Upper bound of batch size, tokens and rounds.
const MOST: usize = 65_536;

/// Limits of the machine.
struct MachineLimits {
    /// Bytes per second.
    bandwidth: f64,
    /// Floating-point operations per second.
    products: f64,
}

/// One measurement.
struct SpeedFigure {
    what: &'static str,
    batch: usize,
    tokens_per_second: f64,
    /// Shares of memory bandwidth and arithmetic throughput.
    of_bandwidth: Option<f64>,
    of_products: f64,
}

/// Number of training texts, chosen to fit into memory twice.
const LARGEST_TRAINED: usize = 200_000_000;
/// Tokens of a scored text.
const SCORED: usize = 128;

/// Measures and prints.
///
/// # Errors
/// If the device is unavailable, or the model cannot be read.
pub(super) fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    if arguments.place.device.count() > 1 {
        anyhow::bail!("`bench` measures one device: `--device {}`", arguments.place.device.first());
    }
    let place = arguments.place.find()?;
    let (machine, figures) = arguments.measure(&place)?;
    if arguments.json {
        return print_json(&to_json(&machine, &figures));
    }
    let (bandwidth, products) = (machine.bandwidth / 1e9, machine.products / 1e9);
    let speeds = format!(
        "memory is read at {bandwidth:.1} GB/s, matrices are multiplied at {products:.0} GFLOP/s"
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "",
        "batch",
        "tokens/s",
        "of bandwidth",
        "of products",
    ]);
    for SpeedFigure { what, batch, tokens_per_second, of_bandwidth, of_products } in figures {
        let of_bandwidth = of_bandwidth.map_or_else(String::new, percent);
        let rate = format!("{tokens_per_second:.0}");
        table.add_row([
            what.to_owned(),
            batch.to_string(),
            rate,
            of_bandwidth,
            percent(of_products),
        ]);
    }
    // Numbers are compared by their last digits.
    for column in 1..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print_text(&format!("{speeds}\n\n{table}\n"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn to_json(machine: &MachineLimits, figures: &[SpeedFigure]) -> Value {
    let figures = figures.iter().map(|figure| {
        json!({
            "what": figure.what,
            "batch": figure.batch,
            "tokens_per_s": (10.0 * figure.tokens_per_second).round() / 10.0,
            "of_bandwidth": figure.of_bandwidth,
            "of_products": figure.of_products,
        })
    });
    json!({
        "bandwidth_gb_per_s": machine.bandwidth / 1e9,
        "products_gflop_per_s": machine.products / 1e9,
        "figures": figures.collect::<Vec<_>>(),
    })
}

impl BenchArguments {
    fn measure(&self, place: &Placement) -> anyhow::Result<(MachineLimits, Vec<SpeedFigure>)> {
        let (model, prompt) = self.model(place)?;
        let (memory, product) = (MemoryWork::new(place), ProductWork::new(place));
        let machine = MachineLimits {
            bandwidth: self.rate(|| Ok(memory.run()))?,
            products: self.rate(|| Ok(product.run()))?,
        };
        // Their buffers would take memory from the model.
        drop((memory, product));
        let config = &model.config;
        let mut figures = Vec::new();
        if self.model.is_none() && config.parameters() <= LARGEST_TRAINED {
            let work = TrainingWork::new(config, &place.device);
            let rate = self.rate(|| {
                work.step();
                Ok(TrainingWork::TOKENS)
            })?;
            // A backward pass takes twice the products of a forward pass.
            let of_products = 3.0 * rate * operations_of_token(config, 30) / machine.products;
            let figure = SpeedFigure {
                what: "training",
                batch: 24,
                tokens_per_second: rate,
                of_bandwidth: None,
                of_products,
            };
            figures.push(figure);
        }
        for &batch in &self.batch {
            figures.push(self.sampling(&model, &prompt, batch, &machine)?);
        }
        for &batch in &self.batch {
            figures.push(self.scoring(&model, batch, &machine)?);
        }
        Ok((machine, figures))
    }

    /// The model, and the prompt's tokens.
    fn model(&self, place: &Placement) -> anyhow::Result<(Transformer, Vec<u32>)> {
        if let Some(directory) = &self.model {
            let model = Transformer::load(directory, place)?;
            let prompt =
                Encoder::load(directory, &model.config)?.prompt(&self.prompt.as_str().into())?;
            return Ok((model, prompt));
        }
        let config = shape(&self.shape).expect("clap accepts the names of shapes only");
        // Random weights read no text: any ten tokens are a prompt.
        Ok((random_model(&config, place), (3..13).collect()))
    }

    fn sampling(
        &self,
        model: &Transformer,
        prompt: &[u32],
        batch: usize,
        machine: &MachineLimits,
    ) -> anyhow::Result<SpeedFigure> {
        let sampling =
            Sampling { max_new: self.new, temperature: self.temperature, ..Sampling::default() };
        let prepared = model.for_sampling();
        let rate = self.rate(|| Ok(sampling_work(&prepared, prompt, batch, &sampling)?))?;
        // On average half of the response is in the KV cache.
        let context = prompt.len() + self.new / 2;
        let bytes = bytes_of_step(model, batch, context);
        Ok(SpeedFigure {
            what: "sampling",
            batch,
            tokens_per_second: rate,
            of_bandwidth: Some(rate / batch as f64 * bytes / machine.bandwidth),
            of_products: rate * operations_of_token(&model.config, context) / machine.products,
        })
    }

    fn scoring(
        &self,
        model: &Transformer,
        batch: usize,
        machine: &MachineLimits,
    ) -> anyhow::Result<SpeedFigure> {
        let ModelConfig { vocab_size, max_position_embeddings, .. } = model.config;
        let length = SCORED.min(max_position_embeddings);
        let texts: Vec<TokenizedExample> =
            (0..batch).map(|row| scored_text(row, length, vocab_size)).collect();
        let rate = self.rate(|| {
            log_probabilities(model, &texts, 8192, ComputeOptions::default(), |_| ());
            Ok(batch * length)
        })?;
        // On average half of the text comes before a token.
        let of_products = rate * operations_of_token(&model.config, length / 2) / machine.products;
        Ok(SpeedFigure {
            what: "log-probabilities",
            batch,
            tokens_per_second: rate,
            of_bandwidth: None,
            of_products,
        })
    }

    /// Units per second: the median of several rounds after a warm-up.
    fn rate(&self, mut work: impl FnMut() -> anyhow::Result<usize>) -> anyhow::Result<f64> {
        let mut rates = Vec::new();
        for round in 0..=self.rounds {
            let (start, mut units) = (Instant::now(), 0);
            // At least once, however long it takes.
            while units == 0 || start.elapsed().as_secs_f64() < self.seconds {
                units += work()?;
            }
            // The first round fills caches and compiles kernels.
            if round > 0 {
                rates.push(units as f64 / start.elapsed().as_secs_f64());
            }
        }
        rates.sort_by(f64::total_cmp);
        Ok(rates[rates.len() / 2])
    }
}

/// A text of different tokens in each row, since equal rows would share their prompt.
fn scored_text(row: usize, length: usize, vocab_size: usize) -> TokenizedExample {
    let tokens = (0..length).map(|place| ((row * 31 + place * 7919) % vocab_size) as u32);
    let mut prompt: Vec<u32> = tokens.collect();
    let completion = prompt.split_off(1);
    TokenizedExample { prompt, completions: vec![completion] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceName;

    #[test]
    fn every_figure_is_measured() {
        let arguments = BenchArguments {
            model: None,
            shape: "quickstart".to_owned(),
            batch: vec![1, 16],
            new: 8,
            prompt: String::new(),
            temperature: 1.0,
            place: PlaceArguments { dtype: "auto".to_owned(), device: DeviceName::Cpu.into() },
            rounds: 1,
            seconds: 0.01,
            json: false,
        };
        let (machine, figures) = arguments.measure(&Placement::cpu()).unwrap();
        assert!(machine.bandwidth > 1e8 && machine.products > 1e8);
        let found: Vec<_> = figures.iter().map(|figure| (figure.what, figure.batch)).collect();
        let expected =
            ["sampling", "log-probabilities"].map(|what| [(what, 1), (what, 16)]).concat();
        assert_eq!(found, [vec![("training", 24)], expected].concat());
        assert!(
            figures.iter().all(|figure| figure.tokens_per_second > 1.0 && figure.of_products > 0.0)
        );
    }
}
