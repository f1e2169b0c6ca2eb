//! The plan as Mermaid or Graphviz text.

use std::fmt::Write;

use super::graph::{Plan, PlannedStage};

impl Plan {
    /// The plan in Mermaid's language; arrows point from input to consumer.
    pub fn mermaid(&self) -> String {
        let escape =
            |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let mut text = "flowchart TD\n".to_owned();
        for index in &self.order {
            let (name, kind) = label(&self.graph[*index]);
            let line = format!(
                "    n{}[\"{}<br/><i>{}</i>\"]\n",
                index.index(),
                escape(&name),
                escape(kind)
            );
            text.push_str(&line);
        }
        for (from, to) in self.edges() {
            writeln!(text, "    n{from} --> n{to}").expect("a String takes all text");
        }
        text
    }

    /// The plan in Graphviz's language; arrows point from input to consumer.
    pub fn dot(&self) -> String {
        let mut text = format!("digraph \"{}\" {{\n    node [shape=box];\n", escape(&self.recipe));
        for index in &self.order {
            let (name, kind) = label(&self.graph[*index]);
            let line = format!(
                "    n{} [label=\"{}\\n{}\"];\n",
                index.index(),
                escape(&name),
                escape(kind)
            );
            text.push_str(&line);
        }
        for (from, to) in self.edges() {
            writeln!(text, "    n{from} -> n{to};").expect("a String takes all text");
        }
        text.push_str("}\n");
        text
    }

    fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let ends =
            |edge| self.graph.edge_endpoints(edge).map(|(from, to)| (from.index(), to.index()));
        self.graph.edge_indices().filter_map(ends)
    }
}

/// A text within quotes of Graphviz's language.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn label(stage: &PlannedStage) -> (String, &str) {
    (stage.name.clone(), stage.kind.name)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use crate::plan::test_support::plan_text;

    #[test]
    fn pictures_show_every_stage_and_need() {
        let recipe = r#"
            seeds = [3]
            [stage.a]
            kind = "make"
            [stage.b]
            kind = "sample"
            model = "a"
            n = "${matrix.n}"
            [matrix]
            n = [1, 2]
        "#;
        let plan = plan_text(recipe, &[]);
        expect![[r#"
            flowchart TD
                n0["a<br/><i>make</i>"]
                n1["b@n=1,seed=3<br/><i>sample</i>"]
                n2["b@n=2,seed=3<br/><i>sample</i>"]
                n0 --> n1
                n0 --> n2
        "#]]
        .assert_eq(&plan.mermaid());
        expect![[r#"
            digraph "x" {
                node [shape=box];
                n0 [label="a\nmake"];
                n1 [label="b@n=1,seed=3\nsample"];
                n2 [label="b@n=2,seed=3\nsample"];
                n0 -> n1;
                n0 -> n2;
            }
        "#]]
        .assert_eq(&plan.dot());
    }
}
