//! The lists of S3: the parts of an upload, and the uploads of a bucket.

use std::collections::HashMap;

use crate::{Digest, ProtocolError, ProtocolErrorKind, xml};

use super::Checksum;

/// A part that the server has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Listed {
    pub(super) size: Option<u64>,
    pub(super) etag: Option<String>,
    /// Of the algorithm that was asked for.
    pub(super) checksum: Option<Digest>,
    modified: String,
}

/// The parts of an upload, by number, page by page.
#[derive(Clone, Debug, Default)]
pub(super) struct PartList {
    parts: HashMap<u32, Listed>,
    /// What the next page begins behind.
    marker: u32,
}

/// Whether a list goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum More {
    Yes,
    No,
}

impl PartList {
    /// What the next page is to be asked behind; 0 for the first.
    pub(super) fn marker(&self) -> u32 {
        self.marker
    }

    /// Takes a page. Of a part that is listed twice, the newer one counts, which is the later one where no time says so.
    pub(super) fn take(&mut self, body: &[u8], checksum: Checksum) -> Result<More, ProtocolError> {
        let mut number = None;
        let mut part = Listed::default();
        let mut truncated = false;
        let mut next = None;
        let mut last = 0;
        let named = checksum.name().map(|name| format!("Checksum{name}"));
        let algorithm = checksum.algorithm();
        let walked = xml::walk(body, |path, text| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                ["ListPartsResult", "IsTruncated"] => truncated = text == "true",
                ["ListPartsResult", "NextPartNumberMarker"] => next = text.parse().ok(),
                ["ListPartsResult", "Part", "PartNumber"] => number = text.parse().ok(),
                ["ListPartsResult", "Part", "Size"] => part.size = text.parse().ok(),
                ["ListPartsResult", "Part", "ETag"] if !text.is_empty() => {
                    part.etag = Some(text.to_owned());
                }
                ["ListPartsResult", "Part", "LastModified"] if text.len() <= MOST_OF_A_TAG => {
                    part.modified = text.to_owned();
                }
                ["ListPartsResult", "Part", name] if named.as_deref() == Some(name) => {
                    let digest = algorithm.map(|one| Digest::parse_base64(one, text));
                    part.checksum = digest.and_then(Result::ok);
                }
                ["ListPartsResult", "Part"] => {
                    let listed = std::mem::take(&mut part);
                    if let Some(number) = number.take().filter(|number| (1..=MOST).contains(number))
                    {
                        last = last.max(number);
                        let tag = listed.etag.as_deref().unwrap_or_default();
                        if tag.len() <= MOST_OF_A_TAG {
                            self.add(number, listed);
                        }
                    }
                }
                _ => (),
            }
        });
        if walked.is_err() || xml_root(body).as_deref() != Some("ListPartsResult") {
            let what = "the list of parts is no such XML";
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what));
        }
        // Each page has to bring the list on, or it would have no end.
        let next = next.unwrap_or(last);
        if !truncated || next <= self.marker || next >= MOST {
            return Ok(More::No);
        }
        self.marker = next;
        Ok(More::Yes)
    }

    fn add(&mut self, number: u32, listed: Listed) {
        match self.parts.get_mut(&number) {
            Some(there) if there.modified > listed.modified => (),
            Some(there) => *there = listed,
            None => {
                self.parts.insert(number, listed);
            }
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<&Listed> {
        self.parts.get(&number)
    }
}

/// The name of the outermost element.
pub(super) fn xml_root(body: &[u8]) -> Option<String> {
    let mut root = None;
    xml::walk(body, |path, _| {
        if let [only] = path {
            root = Some(only.clone());
        }
    })
    .ok()?;
    root
}

/// The text of an element right below the outermost one, whose name differs between stores; the first one, if it is not empty.
pub(super) fn below_root(body: &[u8], name: &str) -> Option<String> {
    let mut found = None;
    xml::walk(body, |path, text| {
        if matches!(path, [_, last] if last == name) && !text.is_empty() && found.is_none() {
            found = Some(text.to_owned());
        }
    })
    .ok()?;
    found
}

/// Bytes of an entity tag or an upload id, at most. A part or an upload with more is as if it were not there: ten thousand of
/// them are kept at once.
pub(super) const MOST_OF_A_TAG: usize = 1024;

/// Part numbers go up to this.
pub(super) const MOST: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u32, etag: &str, size: u64, more: &str) -> String {
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>{size}</Size>{more}</Part>"
        )
    }

    fn page(parts: &str, end: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<ListPartsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Key>k</Key>{parts}{end}</ListPartsResult>"
        )
    }

    #[test]
    fn pages_are_read_until_none_goes_on() {
        let mut list = PartList::default();
        let mut take = |parts: &str, end: &str| {
            list.take(page(parts, end).as_bytes(), Checksum::None)
                .unwrap()
        };
        let end = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>";
        let first = part(1, "&quot;a&quot;", 5, "") + &part(2, "b", 6, "");
        assert_eq!(take(&first, end), More::Yes);
        // It does not go on behind what was listed: this server never ends.
        assert_eq!(take(&part(2, "b", 6, ""), end), More::No);
        assert_eq!(take(&part(3, "c", 1, ""), ""), More::No);
        assert_eq!(list.marker(), 2);
        let etags: Vec<_> = (1..5)
            .map(|n| list.get(n).and_then(|one| one.etag.clone()))
            .collect();
        let expected = [Some("\"a\""), Some("b"), Some("c"), None];
        assert_eq!(etags, expected.map(|etag| etag.map(str::to_owned)));
    }

    #[test]
    fn the_newest_of_two_counts() {
        let check = |first: &str, second: &str, expected: &str| {
            let time = |at: &str| format!("<LastModified>{at}</LastModified>");
            let parts = part(1, "one", 5, &time(first)) + &part(1, "two", 5, &time(second));
            let mut list = PartList::default();
            let taken = list.take(page(&parts, "").as_bytes(), Checksum::None);
            assert_eq!(taken.unwrap(), More::No);
            assert_eq!(list.get(1).unwrap().etag.as_deref(), Some(expected));
        };
        check(
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:01.000Z",
            "two",
        );
        check(
            "2026-01-01T00:00:01.000Z",
            "2026-01-01T00:00:00.000Z",
            "one",
        );
        check("", "", "two");
    }

    #[test]
    fn checksums_are_read_with_it() {
        let more =
            "<ChecksumCRC32C>yZRlqg==</ChecksumCRC32C><ChecksumCRC64NVME>x</ChecksumCRC64NVME>";
        let body = page(&part(1, "a", 5, more), "");
        let check = |checksum: Checksum, expected: Option<&str>| {
            let mut list = PartList::default();
            list.take(body.as_bytes(), checksum).unwrap();
            let digest = list.get(1).unwrap().checksum.map(|digest| digest.hex());
            assert_eq!(digest.as_deref(), expected);
        };
        check(Checksum::Crc32c, Some("c99465aa"));
        check(Checksum::Crc64Nvme, None);
        check(Checksum::ContentMd5, None);
    }

    #[test]
    fn what_is_no_list() {
        for body in ["", "<html/>", "<ListPartsResult>", "{}"] {
            let taken = PartList::default().take(body.as_bytes(), Checksum::None);
            assert_eq!(
                taken.unwrap_err().kind(),
                ProtocolErrorKind::Parse,
                "{body}"
            );
        }
        // Numbers that cannot be are passed over.
        let parts = part(0, "a", 5, "") + &part(10_001, "b", 5, "") + "<Part/>";
        let mut list = PartList::default();
        list.take(page(&parts, "").as_bytes(), Checksum::None)
            .unwrap();
        assert!(list.parts.is_empty());
        // So are tags that nobody would give.
        let parts = part(1, &"x".repeat(1025), 5, "") + &part(2, &"x".repeat(1024), 5, "");
        let mut list = PartList::default();
        list.take(page(&parts, "").as_bytes(), Checksum::None)
            .unwrap();
        assert_eq!(list.parts.keys().collect::<Vec<_>>(), [&2]);
    }
}
