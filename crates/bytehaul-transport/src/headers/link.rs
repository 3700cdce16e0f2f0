//! `Link` (RFC 8288): which other resources an answer names, and how each relates to what was asked for.

use std::fmt;

use http::HeaderMap;
use http::header::LINK;
use url::Url;

use crate::SafeUrl;

/// One link of a `Link` field.
///
/// Relations and the names of parameters are compared without regard to case (RFC 8288, sections 3.3 and 3). Of a parameter
/// that is repeated, the first one counts. `Debug` shows the target redacted.
///
/// ```
/// use bytehaul_transport::headers::Link;
/// use bytehaul_transport::http::HeaderMap;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("link", "</b>; rel=duplicate; pri=1; pref, <c>; rel=\"next nofollow\"".parse()?);
/// let links = Link::all(&headers);
/// assert!(links[0].has_rel("duplicate") && links[0].has("pref"));
/// assert_eq!(links[0].parameter("pri"), Some("1"));
/// let base = "http://example.com/x/y".parse()?;
/// assert_eq!(links[1].resolve(&base).map(String::from).as_deref(), Some("http://example.com/x/c"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    target: String,
    parameters: Vec<(String, String)>,
}

impl Link {
    /// The links of every `Link` field, in their order; at most 256, each with at most 32 parameters. What cannot be read
    /// as a link is left out, up to the next comma.
    pub fn all(headers: &HeaderMap) -> Vec<Self> {
        headers
            .get_all(LINK)
            .iter()
            .flat_map(|value| Links {
                rest: value.as_bytes(),
            })
            .take(MOST_LINKS)
            .collect()
    }

    /// The target as it was sent: an absolute or a relative reference.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target, seen from the URL of the answer. `None` when it is no URL.
    pub fn resolve(&self, base: &Url) -> Option<Url> {
        base.join(&self.target).ok()
    }

    /// Whether the link speaks of `base`, the URL of the answer, and not of another resource that it names as its anchor
    /// (RFC 8288, section 3.2).
    pub fn is_about(&self, base: &Url) -> bool {
        let Some(anchor) = self.parameter("anchor") else {
            return true;
        };
        base.join(anchor).is_ok_and(|mut anchor| {
            let mut base = base.clone();
            base.set_fragment(None);
            anchor.set_fragment(None);
            anchor == base
        })
    }

    /// Whether one of its relation types is `rel`.
    pub fn has_rel(&self, rel: &str) -> bool {
        self.parameter("rel").is_some_and(|types| {
            types
                .split_ascii_whitespace()
                .any(|one| one.eq_ignore_ascii_case(rel))
        })
    }

    /// The value of a parameter, without its quotes; empty for one that has none.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether there is such a parameter, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match Url::parse(&self.target) {
            Ok(url) => SafeUrl::from(&url).to_string(),
            Err(_) => {
                let end = self.target.find(['?', '#']).unwrap_or(self.target.len());
                self.target[..end].to_owned()
            }
        };
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        f.debug_struct("Link")
            .field("target", &target)
            .field("rel", &self.parameter("rel"))
            .field("parameters", &names)
            .finish()
    }
}

/// Reads `<target> *( ";" parameter )` after `<target> …`, separated by commas (RFC 8288, section 3 and appendix B.2).
struct Links<'a> {
    rest: &'a [u8],
}

impl Iterator for Links<'_> {
    type Item = Link;

    fn next(&mut self) -> Option<Link> {
        loop {
            self.skip(|byte| byte.is_ascii_whitespace() || byte == b',');
            if self.rest.is_empty() {
                return None;
            }
            let link = self.link();
            self.skip_to_next();
            if link.is_some() {
                return link;
            }
        }
    }
}

impl Links<'_> {
    fn link(&mut self) -> Option<Link> {
        let after = self.rest.strip_prefix(b"<")?;
        let end = after.iter().position(|byte| *byte == b'>')?;
        let target = std::str::from_utf8(&after[..end]).ok()?.trim();
        self.rest = &after[end + 1..];
        let mut parameters = Vec::new();
        while let Some(parameter) = self.parameter() {
            if parameters.len() < MOST_PARAMETERS {
                parameters.push(parameter);
            }
        }
        (!target.is_empty()).then(|| Link {
            target: target.to_owned(),
            parameters,
        })
    }

    /// The next parameter of this link; an empty one (`;;`) has an empty name.
    fn parameter(&mut self) -> Option<(String, String)> {
        self.skip(|byte| byte.is_ascii_whitespace());
        self.rest = self.rest.strip_prefix(b";")?;
        self.skip(|byte| byte.is_ascii_whitespace());
        let name = self.take(|byte| !matches!(byte, b'=' | b';' | b','));
        let name = String::from_utf8_lossy(name.trim_ascii()).into_owned();
        let Some(after) = self.rest.strip_prefix(b"=") else {
            return Some((name, String::new()));
        };
        self.rest = after;
        self.skip(|byte| byte.is_ascii_whitespace());
        let value = match self.rest.strip_prefix(b"\"") {
            Some(quoted) => {
                self.rest = quoted;
                self.quoted()
            }
            None => self
                .take(|byte| !matches!(byte, b';' | b','))
                .trim_ascii()
                .to_vec(),
        };
        Some((name, String::from_utf8_lossy(&value).into_owned()))
    }

    /// The text up to the closing quote; without one, all of the rest.
    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut bytes = self.rest.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'"' => break,
                b'\\' => text.extend(bytes.next()),
                byte => text.push(*byte),
            }
        }
        self.rest = bytes.as_slice();
        text
    }

    /// Past the comma that ends this link.
    fn skip_to_next(&mut self) {
        loop {
            self.take(|byte| !matches!(byte, b',' | b'"'));
            match self.rest.split_first() {
                Some((b'"', after)) => {
                    self.rest = after;
                    self.quoted();
                }
                Some((_, after)) => {
                    self.rest = after;
                    return;
                }
                None => return,
            }
        }
    }

    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        self.take(unwanted);
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &[u8] {
        let end = self
            .rest
            .iter()
            .position(|byte| !wanted(*byte))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

const MOST_LINKS: usize = 256;
const MOST_PARAMETERS: usize = 32;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn links(values: &[&[u8]]) -> Vec<Link> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_bytes(value).expect("a value"));
        }
        Link::all(&headers)
    }

    fn check(value: &str, expected: &str) {
        let text: Vec<_> = links(&[value.as_bytes()])
            .iter()
            .map(|link| {
                let parameters = link
                    .parameters
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"));
                format!("{}{}", link.target, parameters.collect::<String>())
            })
            .collect();
        assert_eq!(text.join(" | "), expected, "{value}");
    }

    #[test]
    fn forms_of_links() {
        // The example of RFC 6249, section 3, and what its section 3.2 and 3.4 add.
        check(
            "<http://www2.example.com/example.ext>; rel=duplicate; pri=1; geo=gb; pref",
            "http://www2.example.com/example.ext rel=duplicate pri=1 geo=gb pref=",
        );
        check("</a>;rel=\"a b\",<b>", "/a rel=a b | b");
        check(
            "<a>; title=\"x, <y>; \\\"z\\\"\"; rel=n",
            "a title=x, <y>; \"z\" rel=n",
        );
        check("<a,b;c>;rel=x", "a,b;c rel=x");
        check(" , ,<a> ; rel = x , ", "a rel=x");
        check("<a>;;rel=x", "a = rel=x");
        check("junk; a=\"<b>, \", <c>; rel=x", "c rel=x");
        check("<a>; t=\"open, <b>", "a t=open, <b>");
        check("<a", "");
        check("<>; rel=x, <b>", "b");
        check("<a> junk; rel=x, <b>", "a | b");
    }

    #[test]
    fn relations_and_anchors() {
        let base: Url = "http://h/dir/f?x=1".parse().expect("a URL");
        let link = &links(&[b"<g>; REL=\"Next Duplicate\"; anchor=\"f?x=1#a\""])[0];
        assert!(link.has_rel("duplicate") && link.has_rel("next") && !link.has_rel("up"));
        assert!(link.is_about(&base));
        assert_eq!(
            link.resolve(&base).expect("a URL").as_str(),
            "http://h/dir/g"
        );
        assert!(!links(&[b"<g>; anchor=\"/other\""])[0].is_about(&base));
        assert!(!links(&[b"<g>; anchor=\"http://[\""])[0].is_about(&base));
    }

    #[test]
    fn several_fields_are_one_list_and_there_is_an_end_to_it() {
        assert_eq!(links(&[b"<a>", b"<b>, <c>"]).len(), 3);
        let many = "<a>;rel=x,".repeat(10_000);
        assert_eq!(links(&[many.as_bytes()]).len(), MOST_LINKS);
        let long = format!("<a>{}", ";p=1".repeat(10_000));
        assert_eq!(
            links(&[long.as_bytes()])[0].parameters.len(),
            MOST_PARAMETERS
        );
    }

    #[test]
    fn debug_shows_no_signature() {
        for target in ["http://u:hunter2@h/f?sig=hunter2", "/f?sig=hunter2"] {
            let shown = format!(
                "{:?}",
                links(&[format!("<{target}>; rel=duplicate; x=hunter2").as_bytes()])
            );
            assert!(
                !shown.contains("hunter2") && shown.contains("duplicate"),
                "{shown}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            target in "[a-z/:.?=&,;\"]{1,20}",
            parameters in prop::collection::vec(("[a-z]{1,8}", "[ -~]{0,12}"), 0..6),
        ) {
            let mut text = format!("<{target}>");
            for (name, value) in &parameters {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                text.push_str(&format!("; {name}=\"{value}\""));
            }
            let twice = format!("{text}, {text}");
            let read = links(&[twice.as_bytes()]);
            prop_assert_eq!(read.len(), 2);
            for link in read {
                prop_assert_eq!(&link.target, &target);
                prop_assert_eq!(&link.parameters, &parameters);
            }
        }

        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(LINK, value)]);
                let count = bytes.iter().filter(|byte| **byte == b'<').count();
                prop_assert!(Link::all(&headers).len() <= count);
            }
        }
    }
}
