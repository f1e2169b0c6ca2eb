//! Reasoning that some models write before their answer.

/// Beginnings and ends of reasoning: Qwen and DeepSeek, others, Mistral, gpt-oss.
const MARKS: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel|>analysis", "<|channel|>final<|message|>"),
];

/// The text without the reasoning before it; nothing where the reasoning was cut off. A chat
/// template may have written its beginning, so that its end alone is there.
pub fn after_reasoning(text: &str) -> &str {
    let ends = MARKS.iter().filter_map(|(_, end)| Some(text.rfind(end)? + end.len()));
    if let Some(end) = ends.max() {
        return &text[end..];
    }
    let start = text.trim_start();
    if MARKS.iter().any(|(begin, _)| start.starts_with(begin)) { "" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_is_passed_over() {
        for (text, answer) in [
            ("True", "True"),
            ("<think>True</think>False", "False"),
            ("True, I think.</think>\nFalse", "\nFalse"),
            (" <think>True", ""),
            ("[THINK]a[/THINK]b", "b"),
            ("<|channel|>analysis<|message|>True<|channel|>final<|message|>False", "False"),
        ] {
            assert_eq!(after_reasoning(text), answer, "{text}");
        }
    }
}
