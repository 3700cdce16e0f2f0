//! A plan whose every rule holds, turned into requests.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

use crate::presigned::expiry;
use crate::presigned::plan::{BodyFormat, PlanPart, PlanRequest, UploadPlan};
use crate::{Exchange, ExchangeId, Payload, ProtocolError, ProtocolErrorKind, Step};

/// A checked plan.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) upload_id: Option<String>,
    pub(super) total: u64,
    pub(super) chunk: u64,
    /// Ascending by offset.
    pub(super) parts: Vec<Part>,
    pub(super) complete: Option<Completion>,
    pub(super) abort: Option<Signed>,
    pub(super) head: Option<Signed>,
    pub(super) refresh_before: Duration,
}

#[derive(Clone)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) range: Range<u64>,
    pub(super) id: Option<String>,
    pub(super) request: Signed,
}

#[derive(Clone)]
pub(super) struct Completion {
    pub(super) request: Signed,
    pub(super) body: Option<Bytes>,
    pub(super) format: BodyFormat,
}

/// A request that is signed already.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) expires_at: Option<SystemTime>,
}

impl Checked {
    pub(super) fn new(plan: &UploadPlan) -> Result<Self, ProtocolError> {
        let mut parts = plan
            .parts
            .iter()
            .map(Part::new)
            .collect::<Result<Vec<_>, _>>()?;
        unique(plan)?;
        parts.sort_by_key(|part| (part.range.start, part.range.end));
        covered(&parts, plan.total_size)?;
        if parts.is_empty() && plan.complete_request.is_none() {
            return Err(refuse("no parts and no completion: nothing would be sent"));
        }
        let signed = |name: &str, method: &str, request: &Option<PlanRequest>| {
            let signed = |request| Signed::of(name, method, request);
            request.as_ref().map(signed).transpose()
        };
        let complete = signed("complete_request", "POST", &plan.complete_request)?;
        let completion = |(request, written): (Signed, &PlanRequest)| Completion {
            request,
            body: written.body.clone().map(Bytes::from),
            format: written.body_format,
        };
        Ok(Self {
            upload_id: plan.upload_id.clone(),
            total: plan.total_size,
            chunk: plan.chunk_size,
            parts,
            complete: complete.zip(plan.complete_request.as_ref()).map(completion),
            abort: signed("abort_request", "DELETE", &plan.abort_request)?,
            head: signed("head_request", "HEAD", &plan.head_request)?,
            refresh_before: Duration::from_secs(plan.refresh_before),
        })
    }

    /// The same upload with the URLs of a newer plan; a request beside the parts that it leaves out stays as it was.
    pub(super) fn renewed(&self, newer: &UploadPlan) -> Result<Self, ProtocolError> {
        let mut newer = Self::new(newer).map_err(|error| {
            let what = format!("the renewed plan cannot be used: {error}");
            ProtocolError::new(ProtocolErrorKind::Refresh, what)
        })?;
        if let Some(what) = self.difference(&newer) {
            let what = format!("the renewed plan is of another upload: {what}");
            return Err(ProtocolError::new(ProtocolErrorKind::Refresh, what));
        }
        newer.upload_id = newer.upload_id.or_else(|| self.upload_id.clone());
        newer.chunk = self.chunk;
        newer.complete = newer.complete.or_else(|| self.complete.clone());
        newer.abort = newer.abort.or_else(|| self.abort.clone());
        newer.head = newer.head.or_else(|| self.head.clone());
        Ok(newer)
    }

    fn difference(&self, newer: &Self) -> Option<String> {
        if newer.upload_id.is_some() && newer.upload_id != self.upload_id {
            return Some("its upload id differs".into());
        }
        if newer.total != self.total {
            return Some(format!("{} bytes instead of {}", newer.total, self.total));
        }
        if newer.parts.len() != self.parts.len() {
            let (newer, older) = (newer.parts.len(), self.parts.len());
            return Some(format!("{newer} parts instead of {older}"));
        }
        let stays = |(old, new): &(&Part, &Part)| {
            old.number == new.number && old.range == new.range && old.id == new.id
        };
        let mut pairs = self.parts.iter().zip(&newer.parts);
        let (old, _) = pairs.find(|pair| !stays(pair))?;
        Some(format!(
            "part {} has another number, offset, size or id",
            old.number
        ))
    }

    /// What receipts of an earlier run have to have in common with this plan: the session, and each part's number, place and id.
    pub(super) fn fingerprint(&self) -> String {
        let mut text = format!("{:?} {}", self.upload_id, self.total);
        for part in &self.parts {
            let Range { start, end } = part.range;
            text.push_str(&format!(" {} {start} {end} {:?}", part.number, part.id));
        }
        let hash = bytehaul_integrity::Hasher::digest(crate::Algorithm::Sha256, text.as_bytes());
        hash.hex()
    }
}

impl Part {
    fn new(part: &PlanPart) -> Result<Self, ProtocolError> {
        let place = format!("part {}", part.part_number);
        let request = Signed::new(
            &place,
            &part.method,
            &part.url,
            &part.headers,
            part.expires_at,
        )?;
        let end = part.offset.checked_add(part.size);
        let end = end.ok_or_else(|| refuse(format!("{place} ends beyond all numbers")))?;
        Ok(Self {
            number: part.part_number,
            range: part.offset..end,
            id: part.provider_part_id.clone(),
            request,
        })
    }
}

impl Signed {
    pub(super) fn of(
        place: &str,
        method: &str,
        request: &PlanRequest,
    ) -> Result<Self, ProtocolError> {
        let method = request.method.as_deref().unwrap_or(method);
        Self::new(
            place,
            method,
            &request.url,
            &request.headers,
            request.expires_at,
        )
    }

    pub(super) fn new(
        place: &str,
        method: &str,
        url: &str,
        fields: &BTreeMap<String, String>,
        expires_at: Option<SystemTime>,
    ) -> Result<Self, ProtocolError> {
        let method = Method::from_bytes(method.trim().as_bytes())
            .map_err(|_| refuse(format!("the method of {place} is none")))?;
        let url = parse_url(place, url)?;
        Ok(Self {
            method,
            headers: parse_fields(place, fields)?,
            expires_at: expires_at.or_else(|| expiry::of_url(&url)),
            url,
        })
    }

    pub(super) fn exchange(&self, id: ExchangeId, step: Step, payload: Payload) -> Exchange {
        Exchange::new(id, step, self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .payload(payload)
    }
}

pub(super) fn parse_url(place: &str, text: &str) -> Result<Url, ProtocolError> {
    // Nothing of the text is repeated: it may be a secret.
    let url = Url::parse(text.trim())
        .map_err(|reason| refuse(format!("the URL of {place} is none: {reason}")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(refuse(format!("the URL of {place} is not http or https"))),
    }
}

pub(super) fn parse_fields(
    place: &str,
    fields: &BTreeMap<String, String>,
) -> Result<HeaderMap, ProtocolError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
            let name: String = name.chars().take(64).collect();
            refuse(format!("{place} has a field {name:?}, which is no name"))
        })?;
        match name.as_str() {
            // Signers name them among the signed ones; they follow from the URL and the body.
            "host" | "content-length" => continue,
            ours if FRAMING.contains(&ours) => {
                return Err(refuse(format!(
                    "{place} has a field {ours}, which is the transfer's own"
                )));
            }
            _ => (),
        }
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| {
            refuse(format!(
                "the value of {name} of {place} has characters that cannot be sent"
            ))
        })?;
        value.set_sensitive(true);
        if headers.insert(&name, value).is_some() {
            return Err(refuse(format!("{place} has the field {name} twice")));
        }
    }
    Ok(headers)
}

/// Fields that decide how a message is framed, or that are for others than the server.
const FRAMING: [&str; 11] = [
    "accept-encoding",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn unique(plan: &UploadPlan) -> Result<(), ProtocolError> {
    let (mut numbers, mut ids) = (HashSet::new(), HashSet::new());
    for part in &plan.parts {
        let number = part.part_number;
        if !numbers.insert(number) {
            return Err(refuse(format!("part {number} stands there twice")));
        }
        if let Some(id) = &part.provider_part_id
            && !ids.insert(id)
        {
            return Err(refuse(format!("part {number} has the id of another part")));
        }
    }
    Ok(())
}

/// Whether the parts, ascending, are the whole object.
fn covered(parts: &[Part], total: u64) -> Result<(), ProtocolError> {
    if parts.is_empty() && total > 0 {
        return Err(refuse(format!("no parts for an object of {total} bytes")));
    }
    let alone = parts.len() == 1 && total == 0;
    let mut before: Option<&Part> = None;
    for part in parts {
        let (number, range) = (part.number, &part.range);
        if range.is_empty() && !(alone && range.start == 0) {
            return Err(refuse(format!("part {number} has no bytes")));
        }
        if range.end > total {
            let end = range.end;
            return Err(refuse(format!(
                "part {number} ends at {end}, outside of an object of {total} bytes"
            )));
        }
        if let Some(other) = before.filter(|other| other.range.start == range.start) {
            return Err(refuse(format!(
                "parts {} and {number} have the same offset {}",
                other.number, range.start
            )));
        }
        let reached = before.map_or(0, |other| other.range.end);
        if let Some(other) = before.filter(|_| range.start < reached) {
            return Err(refuse(format!(
                "parts {} and {number} overlap at {}",
                other.number, range.start
            )));
        }
        if range.start > reached {
            return Err(refuse(format!(
                "no part has the bytes {reached}-{} before part {number}",
                range.start - 1
            )));
        }
        before = Some(part);
    }
    match before {
        Some(last) if last.range.end < total => Err(refuse(format!(
            "no part has the bytes from {} to the end at {total}",
            last.range.end
        ))),
        Some(_) | None => Ok(()),
    }
}

fn refuse(reason: impl Display) -> ProtocolError {
    ProtocolError::parameter("plan", reason)
}
