//! What commands take that run a model: the directory, an adapter, the format and the device.

use std::path::PathBuf;

use crate::model::{Adapter, Encoder, Place, Transformer};

/// Which model, and how it runs.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// A Hugging Face model directory.
    pub(super) model: PathBuf,
    /// A PEFT directory with a LoRA adapter for the model.
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    #[command(flatten)]
    pub(super) place: PlaceArguments,
}

/// Where a model runs, and in which format.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArguments {
    /// The format to compute in; `auto` is float32 on the CPU, bfloat16 on a GPU.
    #[arg(long, default_value = "auto", value_name = "FORMAT", value_parser = ["auto", "float32", "bfloat16", "float16"])]
    pub(super) dtype: String,
    /// Where to run: `cpu` or `cuda:N`.
    #[arg(long, default_value = "cpu")]
    pub(super) device: String,
}

impl PlaceArguments {
    pub(super) fn find(&self) -> anyhow::Result<Place> {
        Ok(Place::named(&self.device, &self.dtype)?)
    }
}

impl ModelArguments {
    /// Reads the model with its adapter, and what turns texts into its tokens.
    pub(super) fn load(&self) -> anyhow::Result<(Transformer, Encoder)> {
        let note = |remark: &String| say!("warning: {remark}");
        let mut model = Transformer::load(&self.model, &self.place.find()?)?;
        if let Some(adapter) = &self.adapter {
            Adapter::load(adapter, &mut model)?;
            Adapter::remarks(adapter, &self.model)?.iter().for_each(note);
        }
        let encoder = Encoder::load(&self.model, &model.config)?;
        Transformer::remarks(&self.model)?.iter().chain(encoder.remarks()).for_each(note);
        Ok((model, encoder))
    }
}
