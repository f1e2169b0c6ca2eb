//! The language model.

pub mod architecture;
mod device;
pub mod directory;
mod files;
pub mod generation;
mod gpus;
mod host_memory;
#[cfg(test)]
mod parity;
mod room;
mod softmax;
pub mod speed;
pub mod text;

pub use architecture::{
    Architecture, Block, ConfigError, Linear, LowRank, ModelConfig, NumberFormat, Packed, Rotary, RotaryScaling,
    SlidingWindow, Text, Transformer, Yarn, target_log_probabilities,
};
pub use device::{DeviceError, Place, arithmetic, device, is_built_for_gpus};
pub use directory::{
    Adapter, AdapterConfig, LARGEST_FILE, NamedTensor, Targets, WeightsError, copy_companions, generation_settings,
};
pub use generation::{Answer, Event, GenerateError, Generator, Request, Sampling, Stops};
pub use gpus::gpus;
pub use host_memory::{HostMemory, host_memory};
pub use room::or_say_what_to_lower;
pub use softmax::{TokenProbabilities, token_probabilities};
pub use text::{
    BEGIN_TOKEN, ChatError, END_TOKEN, EncodeError, EncodedPair, Encoder, PADDING_TOKEN, Tokenizer, TokenizerError,
};
