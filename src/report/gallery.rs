//! All figures of a run, for its page and as files.

use std::{collections::BTreeSet, fs, io, path::Path};

use maud::{Markup, PreEscaped, html};

use super::{
    agreement::{calibrations, orders},
    curves::curves,
    figure::{
        Figure, difference_forest, domain_gains, reliability, score_forest, shift_gains, systems,
        timeline,
    },
    history::History,
    results::Results,
};
use crate::{evaluation::Scores, rows::Cell};

/// Folder of the figures beside the page.
const FOLDER: &str = "figures";

/// Figures by the section of the page that shows them.
#[derive(Debug, Default)]
pub(super) struct Gallery {
    /// Of comparisons or, without any, of scores.
    pub(super) compared: Vec<Figure>,
    /// Of diagnoses.
    pub(super) shifted: Vec<Figure>,
    /// Of agreement with people.
    pub(super) agreed: Vec<Figure>,
    /// Of training.
    pub(super) trained: Vec<Figure>,
    /// Of the run.
    pub(super) ran: Vec<Figure>,
}

impl Gallery {
    /// Draws the figures of a run.
    pub(super) fn new(
        history: &History,
        results: &Results<'_>,
        scored: &[(&Cell, &Scores)],
    ) -> Self {
        let mut gallery = Self::default();
        for (stage, comparison) in &results.comparisons {
            gallery.compared.extend(difference_forest(stage.name(), comparison));
            gallery.compared.extend(domain_gains(stage.name(), comparison));
        }
        if gallery.compared.is_empty() {
            gallery.compared.extend(score_forest(scored));
        }
        for (stage, diagnosis) in &results.diagnoses {
            gallery.shifted.extend(shift_gains(stage.name(), diagnosis));
        }
        gallery.agreed.extend(reliability(&calibrations(results)));
        gallery.agreed.extend(systems(&orders(results)));
        gallery.trained = curves(history);
        gallery.ran.extend(timeline(history));
        gallery.name_files();
        gallery
    }

    /// The figure of the first screen.
    pub(super) fn first(&self) -> Option<&Figure> {
        self.compared.first().or_else(|| self.agreed.first())
    }

    fn all(&self) -> impl Iterator<Item = &Figure> {
        let Self { compared, shifted, agreed, trained, ran } = self;
        [compared, shifted, agreed, trained, ran].into_iter().flatten()
    }

    fn sections(&mut self) -> [&mut Vec<Figure>; 5] {
        let Self { compared, shifted, agreed, trained, ran } = self;
        [compared, shifted, agreed, trained, ran]
    }

    /// Gives each figure a name of its own that every file system takes.
    fn name_files(&mut self) {
        let mut known = BTreeSet::new();
        for figure in self.sections().into_iter().flatten() {
            let plain = figure.name.chars().map(|one| match one {
                one if one.is_ascii_alphanumeric() || "-._+=".contains(one) => one,
                _ => '_',
            });
            // With an ending, names of files have at most 255 bytes.
            let plain: String = plain.take(200).collect();
            let mut name = plain.clone();
            let mut count = 1;
            while !known.insert(name.clone()) {
                count += 1;
                name = format!("{plain}-{count}");
            }
            figure.name = name;
        }
    }

    /// Writes all figures as SVG and PNG into a folder beside the page.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub(super) fn write(&self, run: &Path) -> io::Result<()> {
        let folder = run.join(FOLDER);
        for Figure { name, drawing, .. } in self.all() {
            fs::create_dir_all(&folder)?;
            replace(&folder, &format!("{name}.svg"), drawing.svg().as_bytes())?;
            let png = drawing.png().ok_or_else(|| io::Error::other("the image is too large"))?;
            replace(&folder, &format!("{name}.png"), &png)?;
        }
        Ok(())
    }
}

/// Writes a file under another name and renames it, since a browser may show the old one.
pub(super) fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!(".{name}"));
    fs::write(&draft, content)?;
    fs::rename(&draft, folder.join(name))
}

/// A figure with its caption and its files.
pub(super) fn shown(figure: &Figure) -> Markup {
    let Figure { name, caption, drawing } = figure;
    html! {
        figure {
            (PreEscaped(drawing.inline()))
            figcaption {
                (caption) " "
                a href=(format!("{FOLDER}/{name}.svg")) { "SVG" } " "
                a href=(format!("{FOLDER}/{name}.png")) { "PNG" }
            }
        }
    }
}
