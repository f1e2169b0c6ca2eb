//! A page of a dump: the XML of its last revision.

use quick_xml::{
    Reader,
    escape::{resolve_predefined_entity, unescape},
    events::{BytesRef, BytesStart, Event},
};

/// A page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct DumpPage {
    /// Its title.
    pub(super) title: String,
    /// Number of its namespace; 0 has the articles.
    pub(super) namespace: i64,
    /// The title that it redirects to.
    pub(super) redirect: Option<String>,
    /// Its content model; older dumps have none.
    pub(super) model: String,
    /// Its markup.
    pub(super) text: String,
}

/// Names of namespaces by number, and the prefixes of links to other projects.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SiteInfo {
    /// Prefixes of links that show no text: files, media and categories, in lower case.
    pub(super) hidden: Vec<String>,
    /// Prefixes of all other namespaces, in lower case.
    pub(super) other: Vec<String>,
}

/// Namespaces whose links show a picture or nothing.
const HIDDEN: [&str; 3] = ["-2", "6", "14"];

impl SiteInfo {
    /// Reads the beginning of a dump.
    pub(super) fn parse(xml: &[u8]) -> Self {
        let mut info = Self {
            // MediaWiki takes the English names on sites of every language.
            hidden: ["file", "image", "media", "category"].map(str::to_owned).to_vec(),
            other: Vec::new(),
        };
        let xml = String::from_utf8_lossy(xml);
        let mut reader = Reader::from_str(&xml);
        reader.config_mut().check_end_names = false;
        let (mut key, mut name) = (None, String::new());
        // What follows the names may be cut off.
        while let Ok(event) = reader.read_event() {
            match event {
                Event::Start(start) if start.name().as_ref() == "namespace" => {
                    key = attribute(&start, "key");
                    name.clear();
                }
                Event::Text(text) if key.is_some() => name.push_str(&text),
                Event::End(end) if end.name().as_ref() == "namespace" => {
                    let is_hidden = key.take().is_some_and(|key| HIDDEN.contains(&key.as_str()));
                    let names = if is_hidden { &mut info.hidden } else { &mut info.other };
                    names.push(name.to_lowercase());
                }
                Event::End(end) if end.name().as_ref() == "siteinfo" => break,
                Event::Eof => break,
                _ => {}
            }
        }
        info
    }
}

impl DumpPage {
    /// Parses `<page>...</page>`.
    ///
    /// # Errors
    /// What is wrong with the XML.
    pub(super) fn parse(xml: &[u8]) -> Result<Self, String> {
        let mut page = Self::default();
        let xml = String::from_utf8_lossy(xml);
        let mut reader = Reader::from_str(&xml);
        let mut namespace = String::new();
        let mut open: Vec<String> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            if let Event::Start(start) | Event::Empty(start) = &event {
                page.begin(start);
            }
            match event {
                Event::Start(start) => open.push(start.name().as_ref().to_owned()),
                Event::End(_) => drop(open.pop()),
                Event::Text(text) => {
                    if let Some(field) = page.field(&open, &mut namespace) {
                        field.push_str(&text);
                    }
                }
                Event::CData(text) => {
                    if let Some(field) = page.field(&open, &mut namespace) {
                        field.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    if let Some(field) = page.field(&open, &mut namespace) {
                        push_reference(field, &reference);
                    }
                }
                Event::Eof if open.is_empty() => break,
                Event::Eof => return Err("the page ends inside of an element".to_owned()),
                _ => {}
            }
        }
        page.namespace = namespace.trim().parse().unwrap_or(0);
        Ok(page)
    }

    fn begin(&mut self, start: &BytesStart<'_>) {
        match start.name().as_ref() {
            "redirect" => self.redirect = attribute(start, "title"),
            // A dump with histories has many revisions, the last of which counts.
            "text" => self.text.clear(),
            "model" => self.model.clear(),
            _ => {}
        }
    }

    /// The field that text inside of these elements belongs to.
    fn field<'a>(
        &'a mut self,
        open: &[String],
        namespace: &'a mut String,
    ) -> Option<&'a mut String> {
        match open.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["page", "title"] => Some(&mut self.title),
            ["page", "ns"] => Some(namespace),
            ["page", "revision", "text"] => Some(&mut self.text),
            ["page", "revision", "model"] => Some(&mut self.model),
            _ => None,
        }
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = start.try_get_attribute(name).ok()??;
    let value = attribute.value;
    Some(unescape(&value).map_or_else(|_| value.to_string(), |text| text.into_owned()))
}

fn push_reference(text: &mut String, reference: &BytesRef<'_>) {
    let name: &str = reference;
    if let Ok(Some(letter)) = reference.resolve_char_ref() {
        text.push(letter);
    } else if let Some(letters) = resolve_predefined_entity(name) {
        text.push_str(letters);
    } else {
        text.push_str(&format!("&{name};"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_revision_counts() {
        let xml = "<page>\n <title>A &amp; B</title> <ns>0</ns><id>1</id>\n\
            <revision><id>2</id><text>old</text><model>wikitext</model></revision>\
            <revision><contributor><title>x</title></contributor><model>wikitext</model>\
            <text xml:space=\"preserve\">&lt;b&gt;new&lt;/b&gt; &amp;nbsp; &#233;\n* x</text>\
            </revision></page>";
        let page = DumpPage::parse(xml.as_bytes()).unwrap();
        assert_eq!(page.title, "A & B");
        assert_eq!(page.text, "<b>new</b> &nbsp; \u{e9}\n* x");
        assert_eq!((page.namespace, page.model.as_str(), page.redirect), (0, "wikitext", None));
    }

    #[test]
    fn redirects_and_namespaces_are_read() {
        let xml = "<page><title>Talk:X</title><ns>1</ns><redirect title=\"A &quot;B&quot;\" />\
            <revision><text/></revision></page>";
        let page = DumpPage::parse(xml.as_bytes()).unwrap();
        assert_eq!((page.namespace, page.redirect.as_deref()), (1, Some("A \"B\"")));
        assert!(DumpPage::parse(b"<page><title>X</ns></page>").is_err());
        assert!(DumpPage::parse(b"<page><title>X").is_err());
    }

    #[test]
    fn names_of_namespaces_are_those_of_the_site() {
        let xml = "<mediawiki><siteinfo><namespaces><namespace key=\"6\">Datei</namespace>\
            <namespace key=\"0\" /><namespace key=\"1\">Diskussion</namespace></namespaces>\
            </siteinfo><page><namespace key=\"6\">no</namespace>";
        let info = SiteInfo::parse(xml.as_bytes());
        assert!(info.hidden.contains(&"datei".to_owned()), "{info:?}");
        assert!(info.hidden.contains(&"category".to_owned()), "{info:?}");
        assert_eq!(info.other, ["diskussion"]);
    }
}
