//! The lists of OSS: the parts of an upload, and the uploads of a bucket.

use std::collections::{HashMap, HashSet};

use super::encoding;
use crate::oss::OpenUpload;
use crate::{ProtocolError, ProtocolErrorKind, SessionId, rfc3339, xml};

/// A part that the server has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Listed {
    pub(super) size: Option<u64>,
    pub(super) etag: Option<String>,
    pub(super) crc64: Option<u64>,
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

    /// Takes a page. Of a part that is listed twice, the later one counts.
    pub(super) fn take(&mut self, body: &[u8]) -> Result<More, ProtocolError> {
        let mut number = None;
        let mut part = Listed::default();
        let mut page = Page::default();
        let mut next = None;
        let mut last = 0;
        let walked = xml::walk(body, |path, text| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                ["ListPartsResult"] => page.is_list = true,
                ["ListPartsResult", "IsTruncated"] => page.truncated = text == "true",
                ["ListPartsResult", "NextPartNumberMarker"] => next = text.parse().ok(),
                ["ListPartsResult", "Part", "PartNumber"] => number = text.parse().ok(),
                ["ListPartsResult", "Part", "Size"] => part.size = text.parse().ok(),
                ["ListPartsResult", "Part", "HashCrc64ecma"] => part.crc64 = text.parse().ok(),
                ["ListPartsResult", "Part", "ETag"] if !text.is_empty() => {
                    part.etag = Some(text.to_owned());
                }
                ["ListPartsResult", "Part"] => {
                    let listed = std::mem::take(&mut part);
                    let fit = number.take().filter(|number| (1..=MOST).contains(number));
                    if let Some(number) = fit {
                        last = last.max(number);
                        let tag = listed.etag.as_deref().unwrap_or_default();
                        if tag.len() <= MOST_OF_A_TAG {
                            self.parts.insert(number, listed);
                        }
                    }
                }
                _ => (),
            }
        });
        if walked.is_err() || !page.is_list {
            return Err(no_list("parts"));
        }
        // Each page has to bring the list on, or it would have no end.
        let next = next.filter(|next| *next > 0).unwrap_or(last);
        if !page.truncated || next <= self.marker || next >= MOST {
            return Ok(More::No);
        }
        self.marker = next;
        Ok(More::Yes)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Listed> {
        self.parts.get(&number)
    }
}

#[derive(Default)]
struct Page {
    is_list: bool,
    truncated: bool,
}

/// The uploads of a bucket, page by page.
#[derive(Clone, Debug, Default)]
pub(super) struct UploadList {
    /// Key and upload that the next page begins behind; empty for the first.
    marker: (String, String),
    /// Where pages have begun.
    seen: HashSet<(String, String)>,
}

impl UploadList {
    pub(super) fn marker(&self) -> (&str, &str) {
        (&self.marker.0, &self.marker.1)
    }

    /// Takes a page, whose keys are percent-encoded where they were asked for so.
    pub(super) fn take(&mut self, body: &[u8]) -> Result<(Vec<OpenUpload>, More), ProtocolError> {
        let mut page = Page::default();
        let (mut key_marker, mut id_marker) = (String::new(), String::new());
        let mut is_encoded = false;
        let (mut key, mut id, mut begun_at) = (String::new(), String::new(), None);
        let mut found = Vec::new();
        let walked = xml::walk(body, |path, text| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                ["ListMultipartUploadsResult"] => page.is_list = true,
                ["ListMultipartUploadsResult", "EncodingType"] => is_encoded = text == "url",
                ["ListMultipartUploadsResult", "IsTruncated"] => page.truncated = text == "true",
                ["ListMultipartUploadsResult", "NextKeyMarker"] => text.clone_into(&mut key_marker),
                ["ListMultipartUploadsResult", "NextUploadIdMarker"] => {
                    text.clone_into(&mut id_marker);
                }
                ["ListMultipartUploadsResult", "Upload", "Key"] => text.clone_into(&mut key),
                ["ListMultipartUploadsResult", "Upload", "UploadId"] => text.clone_into(&mut id),
                ["ListMultipartUploadsResult", "Upload", "Initiated"] => {
                    begun_at = rfc3339::parse(text);
                }
                ["ListMultipartUploadsResult", "Upload"] => {
                    let upload = OpenUpload {
                        key: std::mem::take(&mut key),
                        upload: SessionId::new(std::mem::take(&mut id)),
                        begun_at: begun_at.take(),
                    };
                    let id = upload.upload.as_str();
                    if !upload.key.is_empty() && (1..=MOST_OF_A_TAG).contains(&id.len()) {
                        found.push(upload);
                    }
                }
                _ => (),
            }
        });
        if walked.is_err() || !page.is_list {
            return Err(no_list("uploads"));
        }
        let plain = |text: String| match is_encoded {
            true => encoding::decode(&text),
            false => text,
        };
        for upload in &mut found {
            upload.key = plain(std::mem::take(&mut upload.key));
        }
        // Each page has to begin where none has, or the list would have no end. Uploads of one key need not come by their ids.
        let next = (plain(key_marker), id_marker);
        let begins = next != (String::new(), String::new());
        if !page.truncated || !begins || !self.seen.insert(next.clone()) {
            return Ok((found, More::No));
        }
        self.marker = next;
        Ok((found, More::Yes))
    }
}

fn no_list(of: &str) -> ProtocolError {
    let what = format!("the list of {of} is no such XML");
    ProtocolError::new(ProtocolErrorKind::Parse, what)
}

/// Bytes of an entity tag or an upload id, at most. A part or an upload with more is as if it were not there: ten thousand of
/// them are kept at once.
pub(super) const MOST_OF_A_TAG: usize = 1024;

/// Part numbers go up to this.
pub(super) const MOST: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u32, etag: &str, more: &str) -> String {
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag><Size>5</Size>{more}</Part>"
        )
    }

    fn page(parts: &str, end: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<ListPartsResult><Key>k</Key>{end}{parts}</ListPartsResult>"
        )
    }

    #[test]
    fn pages_of_parts_are_read_until_none_goes_on() {
        let mut list = PartList::default();
        let mut take = |parts: &str, end: &str| list.take(page(parts, end).as_bytes()).unwrap();
        let end = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>";
        let crc = "<HashCrc64ecma>18446744073709551615</HashCrc64ecma>";
        let first = part(1, "&quot;A&quot;", crc) + &part(2, "B", "");
        assert_eq!(take(&first, end), More::Yes);
        // It does not go on behind what was listed: this server never ends.
        assert_eq!(take(&part(2, "C", ""), end), More::No);
        assert_eq!(take(&part(3, "D", ""), ""), More::No);
        assert_eq!(list.marker(), 2);
        let shown = |number| {
            list.get(number)
                .map(|one| (one.etag.clone().unwrap(), one.crc64))
        };
        assert_eq!(shown(1), Some(("\"A\"".to_owned(), Some(u64::MAX))));
        assert_eq!(shown(2), Some(("C".to_owned(), None)));
        assert_eq!(shown(4), None);
    }

    #[test]
    fn what_is_no_list_of_parts() {
        for body in [
            "",
            "<html/>",
            "<ListPartsResult>",
            "{}",
            "<A><ListPartsResult/></A>",
        ] {
            let error = PartList::default().take(body.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ProtocolErrorKind::Parse, "{body}");
        }
        // Numbers that cannot be are passed over.
        let parts = part(0, "a", "") + &part(10_001, "b", "") + "<Part/>";
        let mut list = PartList::default();
        let odd = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>-1</NextPartNumberMarker>";
        assert_eq!(list.take(page(&parts, odd).as_bytes()).unwrap(), More::No);
        assert!(list.parts.is_empty());
        // So are tags that nobody would give.
        let parts = part(1, &"x".repeat(1025), "") + &part(2, &"x".repeat(1024), "");
        let mut list = PartList::default();
        list.take(page(&parts, "").as_bytes()).unwrap();
        assert_eq!(list.parts.keys().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn pages_of_uploads() {
        let page = |uploads: &str, more: &str| {
            format!("<ListMultipartUploadsResult>{more}{uploads}</ListMultipartUploadsResult>")
        };
        let one = "<Upload><Key>a%20%2B</Key><UploadId>U1</UploadId><Initiated>2026-01-31T12:34:56.000Z</Initiated></Upload>";
        let more = "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
            <NextKeyMarker>a%20%2B</NextKeyMarker><NextUploadIdMarker>U1</NextUploadIdMarker>";
        let mut list = UploadList::default();
        let mut take = |uploads: &str, more: &str| {
            let (found, more) = list.take(page(uploads, more).as_bytes()).unwrap();
            let shown = found.into_iter().map(|one| {
                let id = one.upload.as_str().to_owned();
                (one.key, id, one.begun_at.is_some())
            });
            (shown.collect::<Vec<_>>(), more)
        };
        let shown = |key: &str, id: &str, is_timed| vec![(key.to_owned(), id.to_owned(), is_timed)];
        assert_eq!(take(one, more), (shown("a +", "U1", true), More::Yes));
        // The same page again.
        assert_eq!(take("<Upload/>", more), (vec![], More::No));
        let plain = "<Upload><Key>a%20</Key><UploadId>U2</UploadId></Upload>";
        assert_eq!(take(plain, ""), (shown("a%20", "U2", false), More::No));
        assert_eq!(list.marker(), ("a +", "U1"));
        assert!(list.take(b"<ListPartsResult/>").is_err());
    }

    /// Uploads of one key come in any order, and a list that comes back to where it was has no end.
    #[test]
    fn a_list_goes_on_until_it_comes_back() {
        let mut list = UploadList::default();
        let mut check = |key: &str, id: &str, expected: More| {
            let body = format!(
                "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
                 <NextUploadIdMarker>{id}</NextUploadIdMarker></ListMultipartUploadsResult>"
            );
            let (_, more) = list.take(body.as_bytes()).unwrap();
            assert_eq!(more, expected, "{key} {id}");
        };
        check("a", "9", More::Yes);
        check("a", "1", More::Yes);
        check("b", "5", More::Yes);
        check("a", "9", More::No);
        let mut list = UploadList::default();
        let nowhere = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>";
        assert_eq!(list.take(nowhere.as_bytes()).unwrap().1, More::No);
        let long = "x".repeat(1025);
        let upload = format!(
            "<ListMultipartUploadsResult><Upload><Key>a</Key><UploadId>{long}</UploadId></Upload></ListMultipartUploadsResult>"
        );
        assert!(list.take(upload.as_bytes()).unwrap().0.is_empty());
    }
}
