//! Reads a dump chunk by chunk, and adds its pages to a database.

use std::{
    io,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use memchr::memmem;
use rayon::prelude::*;

use super::{
    chunks::{Chunk, Chunks, Sizes, beginning},
    page::{DumpPage, SiteInfo},
    wikitext::{TextSettings, link_target, plain_text, templates_and_items},
};
use crate::knowledge::{
    builder::{Builder, KnowledgeEntry},
    error::{KnowledgeError, in_file},
};

/// A dump of MediaWiki, as XML or compressed by bzip2.
pub struct Dump {
    path: PathBuf,
    is_compressed: bool,
    lead_only: bool,
    site: SiteInfo,
    sizes: Sizes,
}

/// How far a dump has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpProgress {
    /// Bytes of the file, and its length.
    pub read: (u64, u64),
    /// Bytes of XML since reading began or continued.
    pub xml: u64,
    /// Pages of all kinds.
    pub pages: u64,
}

/// Where reading continues: behind `skipped` pages that begin at this offset or later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    offset: u64,
    skipped: u64,
    /// All pages before it.
    pages: u64,
}

/// Longest page in bytes of XML.
const LONGEST_PAGE: usize = 1 << 30;
/// The beginnings of names of templates that mark a disambiguation page.
const AMBIGUOUS: &[&str] = &[
    "disambig",
    "dab",
    "hndis",
    "geodis",
    "numberdis",
    "mathdab",
    "schooldis",
    "roaddis",
    "hospitaldis",
    "letterdis",
    "letter-numbercombdisambig",
    "mil-unit-dis",
    "wikipedia disambig",
    "human name disambig",
    "place name disambig",
    "airport disambig",
    "begriffskl\u{e4}rung",
    "homonymie",
    "desambigua",
    "desambiguaci\u{f3}n",
    "disambigua",
    "неоднозначность",
    "doorverwijspagina",
    "f\u{f6}rgrening",
    "ujednoznacznienie",
];

impl Dump {
    /// Opens a dump, and reads the names of its namespaces.
    ///
    /// # Errors
    /// Where it cannot be read, or is no dump.
    pub fn open(path: &Path, is_compressed: bool, lead_only: bool) -> Result<Self, KnowledgeError> {
        let first = beginning(path, is_compressed).map_err(broken(path))?;
        if memmem::find(&first, b"<mediawiki").is_none() {
            let problem = "it holds no dump of MediaWiki, which begins with `<mediawiki`";
            return Err(KnowledgeError::Format {
                path: path.to_owned(),
                problem: problem.to_owned(),
            });
        }
        let site = SiteInfo::parse(&first);
        Ok(Self { path: path.to_owned(), is_compressed, lead_only, site, sizes: Sizes::USUAL })
    }

    /// Adds the pages to a database, from the place on where an interrupted build was.
    ///
    /// # Errors
    /// Where the dump is damaged, or the database cannot be written.
    pub fn add_to(
        &self,
        builder: &mut Builder,
        mut progress: impl FnMut(DumpProgress),
    ) -> Result<(), KnowledgeError> {
        let position = builder.position()?.and_then(|text| Position::parse(&text));
        let position = position.unwrap_or_default();
        let chunks = Chunks::open(&self.path, self.is_compressed, self.sizes, position.offset);
        let chunks = chunks.map_err(in_file(&self.path))?;
        let length = chunks.length();
        let mut reading = Reading::new(position);
        let mut xml = 0;
        // The next chunk is decompressed while the pages of this one are parsed and written.
        let (sender, receiver) = sync_channel(1);
        thread::scope(|scope| {
            scope.spawn(move || {
                for chunk in chunks {
                    if sender.send(chunk).is_err() {
                        break;
                    }
                }
            });
            let receiver: Receiver<io::Result<Chunk>> = receiver;
            for chunk in receiver {
                let chunk = chunk.map_err(broken(&self.path))?;
                xml += chunk.bytes.len() as u64;
                let entries = reading.read(chunk, |page| self.entry(page));
                let position = reading.position;
                if let Some(entries) = entries.map_err(|problem| self.wrong(problem))? {
                    builder.add(entries, &position.to_string())?;
                }
                progress(DumpProgress {
                    read: (position.offset, length),
                    xml,
                    pages: position.pages,
                });
            }
            let pages = reading.position.pages;
            match (reading.is_inside(), reading.is_ended) {
                (true, _) => {
                    Err(self.wrong("it ends inside of a page; download it again".to_owned()))
                }
                // Streams may be cut between two of them, and lines of XML between two pages.
                (false, false) => Err(self.wrong(format!(
                    "it ends after {pages} pages without `</mediawiki>`, so it was cut off; \
                    download it again, or append `</mediawiki>` if this is all that you want"
                ))),
                (false, true) => Ok(()),
            }
        })
    }

    /// What a page is in a database; none for talk, templates and the like.
    fn entry(&self, xml: &[u8]) -> Result<Option<KnowledgeEntry>, String> {
        let page = DumpPage::parse(xml)?;
        let is_text = page.model.is_empty() || page.model == "wikitext";
        if page.namespace != 0 || !is_text || page.title.is_empty() {
            return Ok(None);
        }
        let DumpPage { title, text: markup, .. } = page;
        if let Some(target) = page.redirect.or_else(|| redirect_target(&markup)) {
            return Ok(Some(KnowledgeEntry::Redirect {
                source: title,
                target: link_target(&target),
            }));
        }
        let wanted = TextSettings { site: &self.site, lead_only: self.lead_only };
        let text = plain_text(&markup, wanted);
        if let Some(targets) = listed(&title, &markup) {
            return Ok(Some(KnowledgeEntry::Disambiguation { title, text, targets }));
        }
        Ok(Some(KnowledgeEntry::Article { title, text }))
    }

    fn wrong(&self, problem: String) -> KnowledgeError {
        KnowledgeError::Format { path: self.path.clone(), problem }
    }
}

/// The titles that a page lists, if it is a disambiguation page.
fn listed(title: &str, markup: &str) -> Option<Vec<String>> {
    // A cheap look first: few pages are disambiguation pages.
    let is_named = title.ends_with(" (disambiguation)");
    if !is_named && !markup.contains("__DISAMBIG__") && !may_be_ambiguous(markup) {
        return None;
    }
    let (templates, items) = templates_and_items(markup);
    let is_marked = templates.iter().any(|name| {
        AMBIGUOUS.iter().any(|beginning| name.starts_with(beginning)) && !is_notice(name)
    });
    (is_named || is_marked || markup.contains("__DISAMBIG__")).then_some(items)
}

/// Templates of articles whose names begin alike.
fn is_notice(name: &str) -> bool {
    name.contains("needed")
        || name.contains("link")
        || name.contains("cleanup")
        || name == "dablink"
}

fn may_be_ambiguous(markup: &str) -> bool {
    memmem::find_iter(markup.as_bytes(), b"{{").any(|open| {
        let name: String = markup[open + 2..].chars().take(24).collect::<String>().to_lowercase();
        let name = name.trim_start().replace('_', " ");
        AMBIGUOUS.iter().any(|beginning| name.starts_with(beginning))
    })
}

/// Words before the target of a redirect on sites of other languages, besides `redirect`: German,
/// French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Ukrainian, Swedish, Danish, Czech,
/// Finnish, Turkish, Indonesian, Japanese, Chinese, Korean, Arabic, Hebrew.
const REDIRECTS: &[&str] = &[
    "weiterleitung",
    "redirection",
    "redirecci\u{f3}n",
    "rinvia",
    "redirecionamento",
    "doorverwijzing",
    "patrz",
    "przekieruj",
    "перенаправление",
    "перенапр",
    "перенаправлення",
    "omdirigering",
    "omdirigera",
    "omstilling",
    "p\u{159}esm\u{11b}ruj",
    "ohjaus",
    "y\u{f6}nlendirme",
    "alih",
    "転送",
    "リダイレクト",
    "重定向",
    "넘겨주기",
    "تحويل",
    "הפניה",
];

/// The target of a redirect in a dump that does not mark it.
fn redirect_target(markup: &str) -> Option<String> {
    let (word, link) = markup.trim_start().strip_prefix('#')?.split_once("[[")?;
    let word = word.trim_end().trim_end_matches(':').trim_end().to_lowercase();
    if word != "redirect" && !REDIRECTS.contains(&word.as_str()) {
        return None;
    }
    link.split_once("]]").map(|(target, _)| target.to_owned())
}

fn broken(path: &Path) -> impl FnOnce(io::Error) -> KnowledgeError {
    move |error| KnowledgeError::Format {
        path: path.to_owned(),
        problem: format!("it is damaged or cut off ({error}); download it again"),
    }
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.split(' ').map_while(|number| number.parse().ok()).collect();
        let [offset, skipped, pages] = numbers[..] else { return None };
        Some(Self { offset, skipped, pages })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {} {}", self.offset, self.skipped, self.pages)
    }
}

/// Cuts chunks into pages.
struct Reading {
    position: Position,
    /// Pages to pass over, which were added before an interruption.
    passed_over: u64,
    /// Offset of the chunks that are being read, and complete pages that began in them.
    current: (u64, u64),
    /// What follows the last complete page, and where it began in the same terms.
    begun: Vec<u8>,
    begun_at: (u64, u64),
    /// Whether the end of the dump has been read.
    is_ended: bool,
}

impl Reading {
    fn new(position: Position) -> Self {
        let start = (position.offset, 0);
        let passed_over = position.skipped;
        let (begun, is_ended) = (Vec::new(), false);
        Self { position, passed_over, current: start, begun, begun_at: start, is_ended }
    }

    /// Parses the pages that end in a chunk; none if there are only pages that were added before.
    fn read(
        &mut self,
        chunk: Chunk,
        parse: impl Fn(&[u8]) -> Result<Option<KnowledgeEntry>, String> + Sync,
    ) -> Result<Option<Vec<KnowledgeEntry>>, String> {
        if chunk.offset != self.current.0 {
            self.current = (chunk.offset, 0);
        }
        let mut bytes = std::mem::take(&mut self.begun);
        let carried = bytes.len();
        bytes.extend(chunk.bytes);
        let (pages, rest) = self.pages(&bytes, carried);
        let passed_over = (pages.len() as u64).min(self.passed_over);
        self.passed_over -= passed_over;
        let pages = &pages[passed_over as usize..];
        let entries: Result<Vec<Option<KnowledgeEntry>>, String> =
            pages.par_iter().map(|(start, end)| parse(&bytes[*start..*end])).collect();
        let count = pages.len() as u64;
        self.begun = bytes.split_off(rest);
        if self.begun.len() > LONGEST_PAGE {
            return Err("a page is longer than 1 GiB".to_owned());
        }
        if count == 0 {
            return Ok(None);
        }
        // The page that has begun is not added yet, so reading continues where it began.
        let (offset, skipped) = self.begun_at;
        self.position = Position { offset, skipped, pages: self.position.pages + count };
        entries.map(|entries| Some(entries.into_iter().flatten().collect()))
    }

    /// The complete pages of some bytes, the first of which were carried over from earlier chunks,
    /// and where the rest begins.
    fn pages(&mut self, bytes: &[u8], carried: usize) -> (Vec<(usize, usize)>, usize) {
        let mut pages = Vec::new();
        let mut at = 0;
        let rest = loop {
            let Some(start) = memmem::find(&bytes[at..], PAGE).map(|found| at + found) else {
                self.is_ended |= memmem::find(&bytes[at..], END).is_some();
                // A tag may itself be cut.
                break bytes.len() - partial(&bytes[at..]);
            };
            let Some(end) = memmem::find(&bytes[start..], PAGE_END) else { break start };
            at = start + end + PAGE_END.len();
            pages.push((start, at));
            let is_of_chunk = start >= carried || self.begun_at.0 == self.current.0;
            self.current.1 += u64::from(is_of_chunk);
        };
        if rest >= carried {
            self.begun_at = self.current;
        }
        (pages, rest)
    }

    fn is_inside(&self) -> bool {
        self.begun.starts_with(PAGE)
    }
}

const PAGE: &[u8] = b"<page>";
const PAGE_END: &[u8] = b"</page>";
const END: &[u8] = b"</mediawiki>";

/// Bytes at the end that may be the beginning of a page's tag, or of the end of the dump.
fn partial(bytes: &[u8]) -> usize {
    let of = |tag: &[u8]| (1..tag.len()).rev().find(|length| bytes.ends_with(&tag[..*length]));
    [PAGE, END].into_iter().filter_map(of).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use bzip2::{Compression, write::BzEncoder};

    use super::*;
    use crate::{
        knowledge::Knowledge,
        rows::{Claim, PageMatch},
    };

    /// Sizes by which a small dump has many chunks.
    const SMALL: Sizes = Sizes { compressed: 1000, longest_stream: 4000, chunk: 4000 };
    const PAGES: usize = 60;

    /// Every tenth page is a redirect, a talk page or a disambiguation page.
    fn page(number: usize) -> String {
        let redirect = "<redirect title=\"Town 1\" /><revision><text>#REDIRECT</text></revision>";
        let text = match number % 10 {
            5 => "* [[Town 1]]\n* [[Town 2]], a town\n{{disambiguation}}".to_owned(),
            _ => {
                let old = "It is old. ".repeat(number);
                format!("'''Town {number}''' has [[tram|trams]]. {old}")
            }
        };
        let content = match number % 10 {
            3 => redirect.to_owned(),
            _ => format!("<revision><text>{text}</text></revision>"),
        };
        let namespace = usize::from(number % 10 == 4);
        format!("  <page>\n<title>Town {number}</title><ns>{namespace}</ns>{content}\n  </page>\n")
    }

    fn xml() -> String {
        let pages: String = (0..PAGES).map(page).collect();
        format!("<mediawiki>\n<siteinfo></siteinfo>\n{pages}</mediawiki>\n")
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = BzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Continues a build in a folder, and keeps the files after each transaction if asked to;
    /// returns the number of pages.
    fn build(dump: &Dump, folder: &Path, kept: Option<&Path>) -> u64 {
        let mut builder = Builder::open(&folder.join("knowledge.db")).unwrap();
        let (mut count, mut pages) = (0, 0);
        let progress = |progress: DumpProgress| {
            count += 1;
            pages = progress.pages;
            if let Some(kept) = kept {
                let copy = kept.join(count.to_string());
                fs::create_dir_all(&copy).unwrap();
                for name in ["knowledge.db", "knowledge.db-names"] {
                    fs::copy(folder.join(name), copy.join(name)).unwrap();
                }
            }
        };
        dump.add_to(&mut builder, progress).unwrap();
        builder.finish(None).unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing else is left");
        pages
    }

    /// An interruption between any two transactions leaves no trace, whatever the dump's form.
    #[test]
    fn an_interrupted_build_gives_the_same_bytes() {
        let xml = xml();
        let half = xml.len() / 2;
        let parts: Vec<Vec<u8>> = xml.as_bytes().chunks(2500).map(compressed).collect();
        let halves = [compressed(&xml.as_bytes()[..half]), compressed(&xml.as_bytes()[half..])];
        let long = Sizes { compressed: 100, longest_stream: 100, ..SMALL };
        for (form, is_compressed, sizes, bytes) in [
            ("plain", false, SMALL, xml.clone().into_bytes()),
            ("many streams", true, SMALL, parts.concat()),
            ("two streams", true, Sizes { compressed: 200, ..SMALL }, halves.concat()),
            ("a long stream", true, long, compressed(xml.as_bytes())),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let [path, whole, kept] =
                ["dump", "whole", "kept"].map(|name| folder.path().join(name));
            fs::write(&path, bytes).unwrap();
            fs::create_dir_all(&whole).unwrap();
            let mut dump = Dump::open(&path, is_compressed, false).unwrap();
            dump.sizes = sizes;
            assert_eq!(build(&dump, &whole, Some(&kept)), PAGES as u64, "{form}");
            let expected = fs::read(whole.join("knowledge.db")).unwrap();
            let interrupted: Vec<PathBuf> =
                fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(interrupted.len() > 1, "{form}: {} chunks", interrupted.len());
            for folder in interrupted {
                assert_eq!(build(&dump, &folder, None), PAGES as u64, "{form}");
                let found = fs::read(folder.join("knowledge.db")).unwrap();
                assert!(found == expected, "{form}: other bytes after {}", folder.display());
            }
        }
    }

    #[test]
    fn pages_are_what_they_are_in_the_dump() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.xml");
        fs::write(&path, xml()).unwrap();
        let dump = Dump::open(&path, false, false).unwrap();
        let place = folder.path().join("built");
        fs::create_dir_all(&place).unwrap();
        build(&dump, &place, None);
        let knowledge = Knowledge::open(&place.join("knowledge.db")).unwrap();
        let how = |topic: &str| {
            let topic = topic.to_owned();
            let claim = Claim { topic, text: "It is old.".to_owned(), ..Claim::default() };
            let page = knowledge.page(&claim).unwrap();
            (page.how, page.found.unwrap_or_default())
        };
        assert_eq!(how("Town 2"), (PageMatch::Exact, "Town 2".to_owned()));
        assert_eq!(how("Town 13"), (PageMatch::Redirect, "Town 1".to_owned()));
        assert_eq!(how("Town 14").0, PageMatch::Missing);
        assert_eq!(how("Town 15").0, PageMatch::Disambiguation);
        assert_eq!(knowledge.passages("Town 1").unwrap()[0].text, "Town 1 has trams.");
    }

    #[test]
    fn redirects_are_written_in_the_language_of_the_site() {
        for markup in [
            "#REDIRECT [[Oslo]]",
            "\n#redirect:[[Oslo]] {{R}}",
            "#WEITERLEITUNG [[Oslo]]",
            "#Перенаправление [[Oslo]]",
            "#重定向[[Oslo]]",
        ] {
            assert_eq!(redirect_target(markup).as_deref(), Some("Oslo"), "{markup}");
        }
        for markup in ["# [[Oslo]]", "#Towns: [[Oslo]]", "#REDIRECT Oslo", "See #redirect [[Oslo]]"]
        {
            assert_eq!(redirect_target(markup), None, "{markup}");
        }
    }

    #[test]
    fn pages_with_the_title_of_another_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.xml");
        let pages = [page(1), page(2), page(1), page(1)].concat();
        fs::write(&path, format!("<mediawiki>{pages}</mediawiki>")).unwrap();
        let mut builder = Builder::open(&folder.path().join("built")).unwrap();
        Dump::open(&path, false, false).unwrap().add_to(&mut builder, |_| {}).unwrap();
        let summary = builder.finish(None).unwrap();
        assert_eq!((summary.articles, summary.repeated), (2, 2));
        assert_eq!(
            summary.remarks(),
            ["2 pages have the title of an earlier page, such as `Town 1`, and are left out"]
        );
    }

    #[test]
    fn other_files_and_damaged_ones_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        fs::write(&path, "<rss>").unwrap();
        let error = Dump::open(&path, false, false).err().unwrap().to_string();
        assert!(error.contains("it holds no dump of MediaWiki"), "{error}");
        let xml = xml();
        let packed = compressed(xml.as_bytes());
        let [head, part] =
            ["<mediawiki>\n".to_owned(), page(0)].map(|text| compressed(text.as_bytes()));
        for (number, bytes, is_compressed, said) in [
            (1, xml.as_bytes()[..xml.len() - 60].to_vec(), false, "it ends inside of a page"),
            (2, packed[..packed.len() - 9].to_vec(), true, "it is damaged or cut off"),
            (3, xml.replace("</ns>", "</nx>").into_bytes(), false, "expected"),
            (4, xml.replace("</mediawiki>", "").into_bytes(), false, "60 pages without"),
            (5, xml.as_bytes()[..xml.len() - 6].to_vec(), false, "60 pages without"),
            (6, [head, part].concat(), true, "1 pages without `</mediawiki>`"),
        ] {
            fs::write(&path, bytes).unwrap();
            let mut builder = Builder::open(&folder.path().join(number.to_string())).unwrap();
            let added = Dump::open(&path, is_compressed, false)
                .and_then(|dump| dump.add_to(&mut builder, |_| {}));
            let error = added.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
