//! Blocks that were put for blobs that do not exist, because nobody has committed them: a machine that lists them.

use std::collections::{HashSet, VecDeque};
use std::time::SystemTime;

use http::{HeaderMap, Method};

use crate::azure::address::Address;
use crate::azure::answers::{Verdict, verdict};
use crate::azure::listing::Blocks;
use crate::azure::{AzureConfig, AzureCredentials};
use crate::{Answer, Exchange, Fault, Ids, ProtocolError, ProtocolErrorKind, Step, Url, xml};

/// Lists what is staged in a container under names of no blob (List Blobs, and Get Block List for each that may be one).
///
/// Ask [`request`](Self::request) for a request, send it, and give its answer to [`answered`](Self::answered), until there is no
/// further request. Blocks that are staged for a blob that exists are not found, and blobs of no bytes are asked about in vain.
/// There is nothing to abort them with: they expire a week after the last one was put.
#[derive(Debug)]
pub struct ListStaged {
    address: Address,
    prefix: String,
    ids: Ids,
    next: Page,
    /// Markers of pages so far.
    seen: HashSet<String>,
    /// Names that may be of no blob, and when they were last written.
    candidates: VecDeque<(String, Option<SystemTime>)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Page {
    /// Behind this marker.
    Behind(String),
    Last,
}

/// Blocks that nobody has committed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Staged {
    /// The name that the blob would have.
    pub blob: String,
    /// How many blocks there are.
    pub blocks: usize,
    /// Bytes in them.
    pub bytes: u64,
    /// When they were put, if the service said so.
    pub written_at: Option<SystemTime>,
}

impl ListStaged {
    /// All of `az://container`, or what begins as in `az://container/prefix`.
    ///
    /// # Errors
    /// As [`Azure::new`](super::Azure::new).
    pub fn new(name: &str, config: &AzureConfig) -> Result<Self, ProtocolError> {
        let rest = name.strip_prefix("az://").unwrap_or_default();
        let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (endpoint, account) = (config.endpoint.as_deref(), config.account.as_deref());
        let some = format!("az://{container}/some");
        Ok(Self {
            address: Address::parse(&some, endpoint, account)?.0,
            prefix: prefix.to_owned(),
            ids: Ids::default(),
            next: Page::Behind(String::new()),
            seen: HashSet::new(),
            candidates: VecDeque::new(),
        })
    }

    /// The next request; `None`: that was all.
    pub fn request(&mut self, credentials: &AzureCredentials, now: SystemTime) -> Option<Exchange> {
        while let Some((blob, _)) = self.candidates.front() {
            // What cannot be in a URL was not staged by way of one.
            let Ok(address) = self.address.of(blob) else {
                self.candidates.pop_front();
                continue;
            };
            let asked = [("comp", "blocklist"), ("blocklisttype", "all")];
            return Some(self.exchange(address.url(), &asked, credentials, now));
        }
        let Page::Behind(marker) = self.next.clone() else {
            return None;
        };
        let mut asked = vec![
            ("restype", "container"),
            ("comp", "list"),
            ("include", "uncommittedblobs"),
        ];
        let prefix = self.prefix.clone();
        let more = [("prefix", prefix.as_str()), ("marker", &marker)];
        asked.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        let url = self.address.container_url();
        Some(self.exchange(&url, &asked, credentials, now))
    }

    fn exchange(
        &mut self,
        url: &Url,
        asked: &[(&str, &str)],
        credentials: &AzureCredentials,
        now: SystemTime,
    ) -> Exchange {
        let get = Method::GET;
        let (url, fields) = credentials.authorize(&get, url, asked, HeaderMap::new(), 0, now);
        let mut exchange = Exchange::new(self.ids.fresh(), Step::Check, get, url).headers(fields);
        exchange.answer_limit = MOST_OF_A_PAGE;
        exchange
    }

    /// Takes the answer to the request that was asked for last, and gives what it tells of.
    ///
    /// # Errors
    /// What the answer means where it is no list. The request can be asked for again.
    pub fn answered(&mut self, answer: &Answer<'_>, now: SystemTime) -> Result<Vec<Staged>, Fault> {
        let said = match verdict(answer, now) {
            Verdict::Taken => None,
            Verdict::Refused(said) | Verdict::Not(said) => Some(said),
        };
        let Some((blob, written_at)) = self.candidates.front().cloned() else {
            return match said {
                Some(said) => Err(said.fault("list of blobs")),
                None => {
                    self.page(answer.body)?;
                    Ok(Vec::new())
                }
            };
        };
        let blocks = match said {
            // It has been committed and deleted, or has expired meanwhile.
            Some(said) if said.is_absent() => Blocks::default(),
            Some(said) => return Err(said.fault("list of blocks")),
            None => Blocks::parse(answer.body)?,
        };
        self.candidates.pop_front();
        let is_staged = blocks.committed.is_empty() && !blocks.uncommitted.is_empty();
        let sizes = blocks.uncommitted.iter().map(|(_, size)| *size);
        let staged = is_staged.then(|| Staged {
            blob,
            blocks: blocks.uncommitted.len(),
            bytes: sizes.fold(0, u64::saturating_add),
            written_at,
        });
        Ok(staged.into_iter().collect())
    }

    fn page(&mut self, body: &[u8]) -> Result<(), ProtocolError> {
        let (mut name, mut len, mut written_at) = (None, None, None);
        let mut marker = String::new();
        let mut found = Vec::new();
        let mut is_one = false;
        let walked = xml::walk(body, |path, text| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path[..] {
                ["EnumerationResults"] => is_one = true,
                ["EnumerationResults", "NextMarker"] => marker = text.to_owned(),
                ["EnumerationResults", "Blobs", "Blob", "Name"] => name = Some(text.to_owned()),
                [
                    "EnumerationResults",
                    "Blobs",
                    "Blob",
                    "Properties",
                    "Content-Length",
                ] => {
                    len = text.parse().ok();
                }
                [
                    "EnumerationResults",
                    "Blobs",
                    "Blob",
                    "Properties",
                    "Last-Modified",
                ] => {
                    written_at = httpdate::parse_http_date(text).ok();
                }
                ["EnumerationResults", "Blobs", "Blob"] => {
                    let (name, len) = (name.take(), len.take());
                    let written_at = written_at.take();
                    // What is not committed has no length.
                    if let Some(name) = name.filter(|_| len.unwrap_or(0) == 0_u64) {
                        found.push((name, written_at));
                    }
                }
                _ => (),
            }
        });
        // A page that begins where one has begun already would be one of a list without end.
        if walked.is_err() || !is_one || !(marker.is_empty() || self.seen.insert(marker.clone())) {
            let what = "the list of blobs cannot be understood";
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what));
        }
        self.next = match marker.is_empty() {
            true => Page::Last,
            false => Page::Behind(marker),
        };
        self.candidates.extend(found);
        Ok(())
    }
}

/// Bytes of a page, at most: 5,000 blobs, or the blocks of one.
const MOST_OF_A_PAGE: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    #[test]
    fn what_is_asked_and_what_is_found() {
        let credentials = AzureCredentials::sas("sig=s").unwrap();
        let config = AzureConfig::default().endpoint("http://h/dev");
        let mut list = ListStaged::new("az://box/a b", &config).unwrap();
        let mut check = |asked: &str, status: u16, body: &str, expected: &str| {
            let now = SystemTime::UNIX_EPOCH;
            let exchange = list.request(&credentials, now).unwrap();
            assert_eq!(
                exchange.url.as_str(),
                format!("http://h/dev/box{asked}&sig=s")
            );
            let (headers, body) = (HeaderMap::new(), Bytes::copy_from_slice(body.as_bytes()));
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::new(status, &headers, &body, &exchange.url);
            let shown = match list.answered(&answer, now) {
                Ok(found) => found
                    .iter()
                    .map(|one| format!("{} {} {}", one.blob, one.blocks, one.bytes))
                    .collect(),
                Err(fault) => format!("{fault:?}"),
            };
            assert_eq!(shown, expected);
            list.request(&credentials, now).is_none()
        };
        let page = |marker: &str, blobs: &str| {
            format!(
                "<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
            )
        };
        let blob = |name: &str, len: &str| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Content-Length>{len}</Content-Length></Properties></Blob>"
            )
        };
        let first = "?restype=container&comp=list&include=uncommittedblobs&prefix=a%20b";
        check(first, 503, "", "Status");
        let blobs = format!(
            "{}{}{}",
            blob("a b/1", "0"),
            blob("a b/../2", "0"),
            blob("a b/3", "7")
        );
        check(first, 200, &page("m", &blobs), "");
        let blocks = "?comp=blocklist&blocklisttype=all";
        let two = "<BlockList><UncommittedBlocks><Block><Name>QQ==</Name><Size>7</Size></Block>\
                   <Block><Name>Qg==</Name><Size>4</Size></Block></UncommittedBlocks></BlockList>";
        check(&format!("/a%20b/1{blocks}"), 200, two, "a b/1 2 11");
        let second = format!("{first}&marker=m");
        check(
            &second,
            200,
            &page("m", ""),
            "Fatal(ProtocolError { kind: Parse, what: \"the list of blobs cannot be understood\", source: None })",
        );
        // Back where it was: this list has no end.
        check(&second, 200, &page("n", ""), "");
        let third = format!("{first}&marker=n");
        check(
            &third,
            200,
            &page("m", ""),
            "Fatal(ProtocolError { kind: Parse, what: \"the list of blobs cannot be understood\", source: None })",
        );
        check(&third, 200, &page("", &blob("a b&amp;", "0")), "");
        assert!(
            check(&format!("/a%20b%26{blocks}"), 404, "", ""),
            "that was all"
        );
    }
}
