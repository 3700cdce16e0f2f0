//! A walk through the XML of answers: each element when it ends, with where it stands and the text in it.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Calls `visit` at the end of each element, so of the inner ones first, with the local names from the root to it and its
/// own text, without white space around it. Entities beyond the five of XML and characters by number are left out; declared ones are never expanded.
///
/// # Errors
/// It is not well-formed, ends too early, or is nested too deeply; what was visited by then counts for nothing.
pub(crate) fn walk(body: &[u8], mut visit: impl FnMut(&[String], &str)) -> Result<(), Malformed> {
    walk_exactly(body, |path, text| visit(path, text.trim()))
}

/// The same with all white space, for names that may begin or end with it.
///
/// # Errors
/// As [`walk`].
pub(crate) fn walk_exactly(
    body: &[u8],
    mut visit: impl FnMut(&[String], &str),
) -> Result<(), Malformed> {
    let text = std::str::from_utf8(body).map_err(|_| Malformed)?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    reader.config_mut().expand_empty_elements = true;
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    let mut has_root = false;
    loop {
        match reader.read_event().map_err(|_| Malformed)? {
            Event::Start(start) => {
                if path.len() == MOST_DEPTH || (has_root && path.is_empty()) {
                    return Err(Malformed);
                }
                has_root = true;
                text.clear();
                path.push(start.local_name().as_ref().to_owned());
            }
            Event::End(_) => {
                visit(&path, &text);
                text.clear();
                path.pop();
            }
            Event::Text(more) => text.push_str(&more.xml10_content()),
            Event::CData(more) => text.push_str(&more.xml10_content()),
            Event::GeneralRef(reference) => {
                let c = match &*reference {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => reference.resolve_char_ref().ok().flatten(),
                };
                text.extend(c);
            }
            Event::Eof if has_root && path.is_empty() => return Ok(()),
            Event::Eof => return Err(Malformed),
            Event::Empty(_)
            | Event::Decl(_)
            | Event::Comment(_)
            | Event::PI(_)
            | Event::DocType(_) => (),
        }
    }
}

/// The text of the element at this path, which begins with the root's name; the first one, if it is not empty.
pub(crate) fn at(body: &[u8], path: &[&str]) -> Option<String> {
    let mut found = None;
    walk(body, |here, text| {
        if here == path && !text.is_empty() && found.is_none() {
            found = Some(text.to_owned());
        }
    })
    .ok()?;
    found
}

/// It is no XML that could be understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

const MOST_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walked(body: &str) -> Option<Vec<String>> {
        let mut seen = Vec::new();
        walk(body.as_bytes(), |path, text| {
            seen.push(format!("{}={text}", path.join("/")));
        })
        .ok()?;
        Some(seen)
    }

    #[track_caller]
    fn check(body: &str, expected: Option<&[&str]>) {
        let seen = walked(body);
        let seen: Option<Vec<_>> = seen
            .as_ref()
            .map(|seen| seen.iter().map(String::as_str).collect());
        assert_eq!(seen.as_deref(), expected, "{body}");
    }

    #[test]
    fn elements_are_seen_when_they_end() {
        check("<a/>", Some(&["a="]));
        check(
            "<?xml version=\"1.0\"?>\n<x:a xmlns:x=\"u\">\n <x:b> 1 </x:b>\n <c>&quot;2&#34;&amp;<![CDATA[<]]></c></x:a>\n",
            Some(&["a/b=1", "a/c=\"2\"&<", "a="]),
        );
        check("<a><b>1</b>2</a>", Some(&["a/b=1", "a=2"]));
        check(
            "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;1</a>",
            Some(&["a=1"]),
        );
        for bad in ["", " ", "<a>", "<a></b>", "<a/><b/>", "<a", "text", "{}"] {
            check(bad, None);
        }
        assert_eq!(walked(&"<a>".repeat(100)), None);
        assert_eq!(walk(b"<a>\xff</a>", |_, _| ()), Err(Malformed));
    }

    #[test]
    fn one_element() {
        let body = b"<r><e><c/><c>1</c><c>2</c></e></r>";
        assert_eq!(at(body, &["r", "e", "c"]).as_deref(), Some("1"));
        assert_eq!(at(body, &["r", "c"]), None);
        assert_eq!(at(b"<r>", &["r"]), None);
    }

    proptest! {
        /// Nothing makes it panic.
        #[test]
        fn anything_is_survived(text in "[<>/a-c&;#\"!\\[\\]? =\\-]{0,60}|.{0,40}") {
            let _ = walked(&text);
        }
    }
}
