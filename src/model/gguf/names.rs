//! Names and orders of rows: transformers' tensors in GGUF files.

/// Parts of a block: transformers' name and llama.cpp's.
const PARTS: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// llama.cpp's name of a tensor of transformers.
pub(super) fn gguf_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => (),
    }
    let (block, rest) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, theirs) = PARTS.iter().find(|(known, _)| *known == part)?;
    Some(format!("blk.{block}.{theirs}.{kind}"))
}

/// The order of a tensor's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As in transformers.
    Same,
    /// Rotary pairs side by side, where transformers has the halves of each head, of this width.
    Pairs(usize),
}

impl RowOrder {
    /// The order of a tensor of transformers in files of an architecture: llama.cpp rotates
    /// neighbours in Llama's heads, and halves in Qwen's.
    pub(super) fn of(name: &str, architecture: &str, head: usize) -> Self {
        let is_rotated =
            ["self_attn.q_proj.", "self_attn.k_proj."].iter().any(|rotated| name.contains(rotated));
        if architecture == "llama" && is_rotated { Self::Pairs(head) } else { Self::Same }
    }

    /// The row in the file that is a row in transformers.
    pub(super) fn row_in_file(self, row: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Pairs(head) => {
                let (from, within) = (row - row % head, row % head);
                from + 2 * (within % (head / 2)) + within / (head / 2)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_heads_and_occur_once() {
        let order = RowOrder::of("model.layers.0.self_attn.k_proj.weight", "llama", 8);
        let rows: Vec<usize> = (0..24).map(|row| order.row_in_file(row)).collect();
        assert_eq!(rows[..8], [0, 2, 4, 6, 1, 3, 5, 7]);
        for (row, in_file) in rows.iter().enumerate() {
            assert_eq!(row / 8, in_file / 8);
        }
        let mut sorted = rows;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..24).collect::<Vec<_>>());
        for (name, architecture) in [
            ("model.layers.0.self_attn.v_proj.weight", "llama"),
            ("model.layers.0.self_attn.q_proj.weight", "qwen2"),
            ("model.layers.0.self_attn.q_norm.weight", "qwen3"),
        ] {
            assert_eq!(RowOrder::of(name, architecture, 8), RowOrder::Same);
        }
    }

    #[test]
    fn names_are_llama_cpps() {
        let named = [
            ("model.embed_tokens.weight", Some("token_embd.weight")),
            ("lm_head.weight", Some("output.weight")),
            ("model.layers.12.self_attn.q_proj.bias", Some("blk.12.attn_q.bias")),
            ("model.layers.0.mlp.down_proj.weight", Some("blk.0.ffn_down.weight")),
            ("model.layers.0.post_attention_layernorm.weight", Some("blk.0.ffn_norm.weight")),
            ("model.layers.0.mlp.gate.weight", None),
        ];
        for (theirs, ours) in named {
            assert_eq!(gguf_name(theirs).as_deref(), ours);
        }
    }
}
