//! Wikitext as plain text: paragraphs, list items and headings, a line each.

use super::{
    brackets::{Bracket, BracketPair, pairs},
    elements::{unprotected, without_elements},
    page::SiteInfo,
    template::{normal_name, shown},
    tidy::{tidy, without_references},
};

/// Sections that state nothing about the topic.
const SKIPPED: &[&str] = &[
    "references",
    "external links",
    "see also",
    "further reading",
    "notes",
    "footnotes",
    "citations",
    "notes and references",
    "references and notes",
    "sources",
    "gallery",
    "explanatory notes",
    "bibliography and references",
    "works cited",
    "endnotes",
];
/// Deepest nesting of brackets; deeper ones are dropped.
const DEEPEST: usize = 30;

/// What is wanted of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextSettings<'a> {
    /// Names of the site's namespaces.
    pub(super) site: &'a SiteInfo,
    /// Whether only the text before the first heading is.
    pub(super) lead_only: bool,
}

/// The plain text of a page.
pub(super) fn plain_text(markup: &str, wanted: TextSettings<'_>) -> String {
    let markup = without_elements(markup);
    let pairs = pairs(&markup);
    let page = Markup { text: &markup, pairs: &pairs, site: wanted.site };
    let mut shown = String::with_capacity(markup.len() / 2);
    page.render(0, markup.len(), 0, &mut shown);
    let mut lines = KeptLines { lead_only: wanted.lead_only, ..KeptLines::default() };
    for line in shown.lines() {
        if !lines.add(line) {
            break;
        }
    }
    lines.text
}

/// The names of a page's templates, and the first link of each item of its lists up to "See also".
pub(super) fn templates_and_items(markup: &str) -> (Vec<String>, Vec<String>) {
    let markup = without_elements(markup);
    let pairs = pairs(&markup);
    let of_templates = pairs.iter().filter(|pair| pair.kind == Bracket::Template);
    let templates = of_templates
        .map(|pair| {
            let inside = &markup[pair.open + 2..pair.close];
            normal_name(inside.split(['|', '\n']).next().unwrap_or_default())
        })
        .collect();
    let mut items = Vec::new();
    let mut start = 0;
    for line in markup.split_inclusive('\n') {
        let end = start + line.len();
        if heading(line.trim_end()).is_some_and(|(_, title)| title.to_lowercase() == "see also") {
            break;
        }
        if line.starts_with('*') {
            let inside = |pair: &&BracketPair| {
                pair.kind == Bracket::Link && pair.open >= start && pair.close < end
            };
            if let Some(link) = pairs.iter().find(inside) {
                items.push(link_target(&markup[link.open + 2..link.close]));
            }
        }
        start = end;
    }
    items.retain(|item| !item.is_empty());
    (templates, items)
}

/// The title that a link leads to.
pub(super) fn link_target(inside: &str) -> String {
    let target = inside.split(['|', '#']).next().unwrap_or_default().replace('_', " ");
    let target = target.trim().trim_start_matches(':').trim();
    let mut letters = target.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

struct Markup<'a> {
    text: &'a str,
    pairs: &'a [BracketPair],
    site: &'a SiteInfo,
}

impl Markup<'_> {
    /// Writes what is shown of a part of the markup.
    fn render(&self, start: usize, end: usize, depth: usize, shown: &mut String) {
        let mut at = start;
        for pair in self.inside(start, end) {
            // The outer pair has dealt with the pairs inside of it already.
            if pair.open < at {
                continue;
            }
            shown.push_str(&self.text[at..pair.open]);
            at = pair.close + 2;
            if depth >= DEEPEST {
                continue;
            }
            match pair.kind {
                Bracket::Table => shown.push('\n'),
                Bracket::Template => self.template(*pair, depth, shown),
                Bracket::Link => self.link(*pair, depth, shown),
            }
        }
        shown.push_str(&self.text[at.min(end)..end]);
    }

    /// The pairs that begin in a part of the markup; those inside of others too.
    fn inside(&self, start: usize, end: usize) -> &[BracketPair] {
        let from = self.pairs.partition_point(|pair| pair.open < start);
        let to = self.pairs.partition_point(|pair| pair.open < end);
        &self.pairs[from..to.max(from)]
    }

    /// The parts of the inside of brackets between bars, as places.
    fn parts(&self, pair: BracketPair) -> Vec<(usize, usize)> {
        let (mut start, end) = (pair.open + 2, pair.close);
        let mut inner = self.inside(start, end).iter().peekable();
        let mut parts = Vec::new();
        let mut at = start;
        while let Some(bar) = self.text[at..end].find('|').map(|found| at + found) {
            // A bar inside of other brackets parts nothing here.
            let mut reach = None;
            while let Some(other) = inner.next_if(|other| other.open < bar) {
                if other.close > bar {
                    reach = Some(other.close + 2);
                    break;
                }
            }
            match reach {
                Some(reach) => at = reach.min(end),
                None => {
                    parts.push((start, bar));
                    start = bar + 1;
                    at = start;
                }
            }
        }
        parts.push((start, end));
        parts
    }

    fn template(&self, pair: BracketPair, depth: usize, text: &mut String) {
        // Most templates are dropped by their names alone, and never rendered.
        let inside = &self.text[pair.open + 2..pair.close];
        let name = inside.split('|').next().unwrap_or_default();
        if name.len() > 60 || shown(name, &["1".to_owned(), "1".to_owned()]).is_none() {
            return;
        }
        let parts = self.parts(pair);
        let arguments: Vec<String> = parts[1..]
            .iter()
            .map(|(start, end)| {
                let mut argument = String::new();
                self.render(*start, *end, depth + 1, &mut argument);
                argument
            })
            .collect();
        if let Some(found) = shown(name, &arguments) {
            text.push_str(&found);
        }
    }

    fn link(&self, pair: BracketPair, depth: usize, text: &mut String) {
        let parts = self.parts(pair);
        let (start, end) = parts[0];
        let target = self.text[start..end].trim();
        let prefix = target.split_once(':').map(|(prefix, _)| prefix.trim().to_lowercase());
        if let Some(prefix) = prefix
            && (self.site.hidden.contains(&prefix) || is_language(&prefix, parts.len()))
        {
            return;
        }
        match parts[1..] {
            [] => text.push_str(target.trim_start_matches(':')),
            [.., (start, end)] if start < end => self.render(start, end, depth + 1, text),
            // `[[Mercury (planet)|]]` shows the name alone.
            _ => text.push_str(target.split(" (").next().unwrap_or(target)),
        }
    }
}

/// Whether a link without a label leads to the same page in another language.
fn is_language(prefix: &str, parts: usize) -> bool {
    parts == 1
        && (matches!(prefix.len(), 2 | 3) || matches!(prefix, "simple" | "zh-yue" | "be-x-old"))
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// The level and title of a heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let line = line.trim();
    let level = line.bytes().take_while(|byte| *byte == b'=').count();
    let closing = line.bytes().rev().take_while(|byte| *byte == b'=').count();
    let level = level.min(closing).min(6);
    if level < 2 || line.len() <= 2 * level {
        return None;
    }
    let title = line[level..line.len() - level].trim();
    (!title.is_empty()).then_some((level, title))
}

/// The lines of a page that are kept.
#[derive(Default)]
struct KeptLines {
    lead_only: bool,
    text: String,
    /// Level of the skipped section that reading is in.
    skipped: Option<usize>,
    /// Headings without text so far.
    headings: Vec<(usize, String)>,
}

impl KeptLines {
    /// Adds a line; false where no more are wanted.
    fn add(&mut self, line: &str) -> bool {
        if let Some((level, title)) = heading(line) {
            if self.lead_only {
                return false;
            }
            self.begin(level, &cleaned(title));
            return true;
        }
        let line = line.trim();
        // What is left of tables whose brackets have no partner.
        let is_of_table = line.starts_with(['|', '!']) || line.starts_with("{|");
        if self.skipped.is_some() || is_of_table {
            return true;
        }
        let line = line.trim_start_matches(['*', '#', ':', ';', ' ']);
        let line = cleaned(line);
        if !line.chars().any(char::is_alphanumeric) || is_redirect(&line) {
            return true;
        }
        for (_, heading) in self.headings.drain(..) {
            push_line(&mut self.text, &heading);
        }
        push_line(&mut self.text, &line);
        true
    }

    fn begin(&mut self, level: usize, title: &str) {
        if self.skipped.is_some_and(|skipped| level > skipped) {
            return;
        }
        let is_skipped = SKIPPED.contains(&title.to_lowercase().as_str());
        self.skipped = is_skipped.then_some(level);
        // A section without text has no heading in the text either.
        self.headings.retain(|(above, _)| *above < level);
        if !is_skipped && !title.is_empty() {
            self.headings.push((level, title.to_owned()));
        }
    }
}

fn is_redirect(line: &str) -> bool {
    line.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("#redirect"))
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

/// A line without quotes of emphasis, addresses and references to characters.
fn cleaned(line: &str) -> String {
    let line = without_emphasis(&without_addresses(line));
    let line = without_references(&without_words(&line));
    tidy(&unprotected(&line))
}

/// Two or more apostrophes in a row mark emphasis; of four, and of more than five, some are shown.
fn without_emphasis(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\'' {
            shown.push(letter);
            continue;
        }
        let mut count = 1;
        while letters.next_if_eq(&'\'').is_some() {
            count += 1;
        }
        let left = match count {
            1 | 4 => 1,
            2 | 3 | 5 => 0,
            more => more - 5,
        };
        shown.extend(std::iter::repeat_n('\'', left));
    }
    shown
}

/// `[http://example.org a label]` is its label.
fn without_addresses(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('[') {
        let (before, inside) = (&rest[..start], &rest[start + 1..]);
        let is_address = ["http://", "https://", "//", "ftp://", "mailto:"]
            .iter()
            .any(|scheme| inside.starts_with(scheme));
        shown.push_str(before);
        match inside.find(']') {
            Some(end) if is_address => {
                let label = inside[..end].split_once(char::is_whitespace);
                shown.push_str(label.map_or("", |(_, label)| label.trim()));
                rest = &inside[end + 1..];
            }
            _ => {
                shown.push('[');
                rest = inside;
            }
        }
    }
    shown.push_str(rest);
    // Brackets without a partner, and what is left of `{{{1|default}}}`.
    shown.replace("[[", "").replace("]]", "").replace(['{', '}'], "")
}

/// A line without words such as `__NOTOC__`.
fn without_words(line: &str) -> String {
    let mut shown = line.to_owned();
    while let Some(start) = shown.find("__") {
        let word: String =
            shown[start + 2..].chars().take_while(|letter| letter.is_ascii_uppercase()).collect();
        let end = start + 2 + word.len();
        if word.is_empty() || !shown[end..].starts_with("__") {
            break;
        }
        shown.replace_range(start..end + 2, "");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(markup: &str) -> String {
        let site = SiteInfo::parse(b"");
        plain_text(markup, TextSettings { site: &site, lead_only: false })
    }

    #[test]
    fn markup_is_gone_and_the_text_is_there() {
        for (markup, text) in [
            ("'''Ada Quill''' was a ''poet''.", "Ada Quill was a poet."),
            (
                "She met [[Bo Hay|him]] in [[Oslo]]s [[Harbour (Oslo)|]].",
                "She met him in Oslos Harbour.",
            ),
            ("[[File:x.jpg|thumb|She in [[Oslo]]]]She sang.[[Category:Poets]]", "She sang."),
            ("[[Image:x.jpg]][[fr:Ada Quill]] [[:Category:Poets]]", "Category:Poets"),
            ("See [http://example.org the page] and [http://example.org].", "See the page and."),
            (
                "{{Infobox person\n| name = {{nowrap|x}}\n| a = [[b|c]]\n}}\n\
                She was {{convert|5|ft|m}} tall.",
                "She was 5 ft tall.",
            ),
            ("Ada ({{IPA-en|x}}; born 1867) sang.", "Ada (born 1867) sang."),
            ("Ada ({{IPA-en|x}}) sang, {{lang|fr|''mot [[x|juste]]''}}.", "Ada sang, mot juste."),
            ("a\n{| class=\"x\"\n|-\n| b || {{c|d}}\n|}\ne", "a\ne"),
            ("* one\n** two\n# three\n: four\n; five : six", "one\ntwo\nthree\nfour\nfive : six"),
            (
                "AT&amp;T &ndash; 5&nbsp;km &#233; &lt;b&gt; &nope;",
                "AT&T \u{2013} 5 km \u{e9} <b> &nope;",
            ),
            ("__NOTOC__\nShe_said__so", "She_said__so"),
            (
                "She sang.<ref>{{cite web|url=x}}</ref> She died.<!-- when? -->",
                "She sang. She died.",
            ),
            ("an unclosed {{template and [[link", "an unclosed template and link"),
            ("{{a|{{b|c}}|d}}{{{1|e}}}f", "f"),
            ("''He''''s'' said 'so'", "He's said 'so'"),
        ] {
            assert_eq!(plain(markup), text, "{markup}");
        }
    }

    #[test]
    fn sections_have_their_headings_if_they_have_text() {
        let markup = "Lead.\n\n== Life ==\n=== Youth ===\nShe sang.\n== Works ==\n{{x}}\n\
            == References ==\nSmith 1990.\n=== More ===\nx\n\
            == Legacy ==\nA prize.\n==See also==\n* [[x]]";
        assert_eq!(plain(markup), "Lead.\nLife\nYouth\nShe sang.\nLegacy\nA prize.");
        let site = SiteInfo::parse(b"");
        assert_eq!(plain_text(markup, TextSettings { site: &site, lead_only: true }), "Lead.");
    }

    #[test]
    fn items_of_disambiguation_pages_are_found() {
        let markup = "'''Ada''' may be:\n* [[Ada Quill]], a [[poet]]\n\
            * a river, [[ada (river)|Ada]]\n\
            * nothing\n== See also ==\n* [[Adam]]\n{{disambiguation|name}}\n{{Hndis}}";
        let (templates, items) = templates_and_items(markup);
        assert_eq!(templates, ["disambiguation", "hndis"]);
        assert_eq!(items, ["Ada Quill", "Ada (river)"]);
    }

    #[test]
    fn deep_and_broken_markup_takes_no_time() {
        plain(&"{{a|".repeat(50_000));
        plain(&format!("{}x{}", "{{nowrap|".repeat(2000), "}}".repeat(2000)));
        plain(&"[[a|".repeat(50_000));
        plain(&"<ref>".repeat(50_000));
        plain(&"&".repeat(50_000));
        plain(&"[http://x ".repeat(20_000));
        plain(&"{|\n".repeat(50_000));
    }
}
