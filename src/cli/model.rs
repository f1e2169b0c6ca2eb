//! Shared arguments of commands that run a model: directory, adapter, dtype and device.

use std::path::PathBuf;

use super::{run_name, shared_args::ExperimentsArguments};
use crate::{
    device::DeviceNames,
    model::{Adapter, DTYPES, Encoder, Placement, Transformer, other_devices},
};

/// The model and its device.
#[derive(Debug, clap::Args)]
pub(super) struct ModelArguments {
    /// Hugging Face model directory, or RUN:STAGE.
    pub(super) model: PathBuf,
    /// PEFT directory of a LoRA adapter, or RUN:STAGE.
    #[arg(long, value_name = "DIR")]
    pub(super) adapter: Option<PathBuf>,
    #[command(flatten)]
    pub(super) experiments: ExperimentsArguments,
    #[command(flatten)]
    pub(super) place: PlaceArguments,
}

/// Device and dtype of a model.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceArguments {
    /// Number format of the computation; `auto` is bfloat16 on `cuda:N`, else float32.
    #[arg(long, default_value = "auto", value_name = "FORMAT", value_parser = DTYPES.to_vec())]
    pub(super) dtype: String,
    /// Device: `cpu`, `cuda:N` or `wgpu:N`; several share work: `cuda:0,1`.
    #[arg(long, default_value = "cpu")]
    pub(super) device: DeviceNames,
}

impl PlaceArguments {
    pub(super) fn find(&self) -> anyhow::Result<Placement> {
        Ok(Placement::named(self.device.first(), &self.dtype)?)
    }

    /// Copies of a model on all devices but the first.
    pub(super) fn copies(&self, model: &Transformer) -> anyhow::Result<Vec<Transformer>> {
        let devices = other_devices(self.device)?;
        Ok(devices.iter().map(|device| model.copy_on(device)).collect())
    }
}

impl ModelArguments {
    /// The model's directory.
    pub(super) fn directory(&self) -> anyhow::Result<PathBuf> {
        let directory = run_name::folder(&self.experiments, &self.model)?;
        if !directory.exists() {
            anyhow::bail!(
                "there is no model in `{}`: a Hugging Face model directory or RUN:STAGE is \
                expected",
                directory.display()
            );
        }
        Ok(directory)
    }

    /// Loads the model with its adapter, and its encoder.
    pub(super) fn load(&self) -> anyhow::Result<(Transformer, Encoder)> {
        let directory = self.directory()?;
        let mut model = Transformer::load(&directory, &self.place.find()?)?;
        let mut remarks = Vec::new();
        if let Some(adapter) = &self.adapter {
            let adapter = run_name::folder(&self.experiments, adapter)?;
            Adapter::load(&adapter, &mut model)?;
            remarks = Adapter::remarks(&adapter, &directory)?;
        }
        let encoder = Encoder::load(&directory, &model.config)?;
        remarks.extend(Transformer::remarks(&directory)?);
        remarks.iter().chain(encoder.remarks()).for_each(|remark| say!("warning: {remark}"));
        Ok((model, encoder))
    }
}
