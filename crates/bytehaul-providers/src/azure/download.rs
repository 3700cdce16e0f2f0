//! Downloads of a blob: each range asked for with a request of its own signature.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::RANGE;
use http::{HeaderMap, HeaderValue, Method};

use crate::azure::{Azure, AzureCredentials, NAME};
use crate::{
    Algorithm, BoxError, Credentials, Digest, DownloadProtocol, Proof, ProtocolError,
    ProtocolErrorKind, RangeRequest, Refreshing, Told, Wanted,
};

/// A blob to download from, with the credentials that are used until others are needed.
#[derive(Clone, Debug)]
pub struct AzureDownload {
    azure: Azure,
    /// `None`: nobody was asked for them yet.
    credentials: Option<Arc<AzureCredentials>>,
}

impl Azure {
    /// The download of this blob. Credentials of a provider are asked for before the first request.
    pub fn download(&self) -> AzureDownload {
        let given = self.setup.credentials.given().cloned();
        AzureDownload {
            azure: self.clone(),
            credentials: given.map(Arc::new),
        }
    }
}

impl AzureDownload {
    fn credentials(&self) -> Result<&AzureCredentials, ProtocolError> {
        let what = "nobody was asked for credentials yet";
        let none = || ProtocolError::new(ProtocolErrorKind::Refresh, what);
        self.credentials.as_deref().ok_or_else(none)
    }
}

impl DownloadProtocol for AzureDownload {
    fn name(&self) -> &str {
        NAME
    }

    /// The URL, without the SAS.
    fn target(&self) -> String {
        self.azure.url().to_string()
    }

    fn request(&self, wanted: &Wanted, now: SystemTime) -> Result<RangeRequest, ProtocolError> {
        let credentials = self.credentials()?;
        let mut fields = HeaderMap::new();
        // It is signed here and set by the driver.
        if let Some(range) = range(wanted) {
            fields.insert(RANGE, range);
        }
        let (url, mut fields) =
            credentials.authorize(&Method::GET, self.azure.url(), &[], fields, 0, now);
        fields.remove(RANGE);
        Ok(RangeRequest::new(url, fields))
    }

    /// The MD5 that whoever wrote the blob has stored with it, if somebody has.
    fn proof(&self, told: &[Told], now: SystemTime) -> Result<Proof, ProtocolError> {
        if told.is_empty() {
            let (method, none) = (&Method::HEAD, HeaderMap::new());
            let credentials = self.credentials()?;
            let (url, fields) = credentials.authorize(method, self.azure.url(), &[], none, 0, now);
            return Ok(Proof::Ask(RangeRequest::new(url, fields)));
        }
        // That of other blobs stays when they are written to.
        let of_blocks = |told: &&Told| told.field("x-ms-blob-type") == Some("BlockBlob");
        let stored = told.iter().filter(of_blocks).find_map(|told| {
            // With a range, Content-MD5 is that of the range.
            let of_whole = told.field("x-ms-blob-content-md5");
            let of_whole = of_whole.and_then(|md5| Digest::parse_base64(Algorithm::Md5, md5).ok());
            of_whole.or_else(|| told.declared())
        });
        Ok(stored.map_or(Proof::Nothing, |digest| Proof::Known(digest.into())))
    }

    fn expires_at(&self) -> Option<SystemTime> {
        match &self.credentials {
            Some(credentials) => credentials.expires_at(),
            None => Some(UNIX_EPOCH),
        }
    }

    fn refresh(&self) -> Option<Refreshing<'_>> {
        let source = &self.azure.setup.credentials;
        if !source.can_renew() {
            return None;
        }
        Some(Box::pin(async move {
            let credentials = source.get().await?;
            let newer: Arc<dyn DownloadProtocol> = Arc::new(Self {
                azure: self.azure.clone(),
                credentials: Some(credentials),
            });
            Ok::<_, BoxError>(newer)
        }))
    }
}

/// The field as drivers write it.
fn range(wanted: &Wanted) -> Option<HeaderValue> {
    let text = match wanted {
        Wanted::Whole => return None,
        Wanted::From(start) => format!("bytes={start}-"),
        Wanted::Span(span) => format!("bytes={}-{}", span.start, span.end.saturating_sub(1)),
    };
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use http::header::AUTHORIZATION;

    use super::*;
    use crate::CredentialSource;
    use crate::azure::AzureConfig;

    fn sas(name: u32) -> AzureCredentials {
        AzureCredentials::sas(format!("se=2026-01-31T12:34:56Z&sig={name}")).unwrap()
    }

    fn download(credentials: impl Into<CredentialSource<AzureCredentials>>) -> AzureDownload {
        let config = AzureConfig::new(credentials).endpoint("http://h/dev");
        Azure::new("az://box/f", config).unwrap().download()
    }

    fn asked(by: &dyn DownloadProtocol) -> String {
        match by.request(&Wanted::Span(3..7), UNIX_EPOCH) {
            Ok(request) => request.url.into(),
            Err(error) => format!("{:?}", error.kind()),
        }
    }

    #[test]
    fn the_range_is_signed_and_left_to_the_driver() {
        let key = AzureCredentials::shared_key("dev", "c2VjcmV0").unwrap();
        let by_key = download(key);
        let signed = |wanted: &Wanted| {
            let request = by_key.request(wanted, UNIX_EPOCH).unwrap();
            assert!(!request.headers.contains_key(RANGE));
            assert_eq!(request.url.as_str(), "http://h/dev/box/f");
            request.headers[AUTHORIZATION].clone()
        };
        let whole = signed(&Wanted::Whole);
        assert_ne!(whole, signed(&Wanted::From(0)));
        assert_ne!(signed(&Wanted::Span(0..1)), signed(&Wanted::Span(0..2)));
        assert_eq!(whole, signed(&Wanted::Whole));
        assert_eq!(by_key.expires_at(), None);
        assert!(by_key.refresh().is_none());
    }

    #[test]
    fn the_stored_md5_is_what_it_has_to_hash_to() {
        let by_sas = download(sas(1));
        let proof = |told: &[Told]| match by_sas.proof(told, UNIX_EPOCH).unwrap() {
            Proof::Known(expected) => expected.to_string(),
            Proof::Ask(question) => format!("asks {}", question.url.path()),
            Proof::Nothing => "nothing".to_owned(),
        };
        let fields = |fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            fields.collect::<HeaderMap>()
        };
        let (ok, partial) = (http::StatusCode::OK, http::StatusCode::PARTIAL_CONTENT);
        let md5 = "kAFQmDzST7DWlj99KOF/cg==";
        let known = "md5=900150983cd24fb0d6963f7d28e17f72";
        assert_eq!(proof(&[]), "asks /dev/box/f");
        let kind = ("x-ms-blob-type", "BlockBlob");
        let page = fields(&[("content-md5", md5), ("x-ms-blob-type", "PageBlob")]);
        assert_eq!(proof(&[Told::of_range(ok, page)]), "nothing");
        let whole = fields(&[("content-md5", md5), kind]);
        assert_eq!(proof(&[Told::of_range(ok, whole.clone())]), known);
        assert_eq!(proof(&[Told::of_question(ok, whole.clone())]), known);
        // That of a range.
        assert_eq!(proof(&[Told::of_range(partial, whole)]), "nothing");
        let range = fields(&[
            ("content-md5", "AAAA"),
            ("x-ms-blob-content-md5", md5),
            kind,
        ]);
        assert_eq!(proof(&[Told::of_range(partial, range)]), known);
        assert_eq!(
            proof(&[Told::of_range(partial, HeaderMap::new())]),
            "nothing"
        );
    }

    #[test]
    fn credentials_are_asked_for_before_the_first_request_and_again() {
        let count = Mutex::new(0);
        let given = download(CredentialSource::provider(move || {
            let mut count = count.lock().unwrap();
            *count += 1;
            std::future::ready(Ok(sas(*count)))
        }));
        let renewed = |by: &dyn DownloadProtocol| {
            let mut running = by.refresh().unwrap();
            match running
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            {
                Poll::Ready(given) => given.unwrap(),
                Poll::Pending => panic!("it waits"),
            }
        };
        assert_eq!(given.expires_at(), Some(UNIX_EPOCH));
        assert_eq!(asked(&given), "Refresh");
        let first = renewed(&given);
        assert!(asked(&*first).ends_with("&sig=1"));
        assert!(first.expires_at() > Some(UNIX_EPOCH));
        assert!(asked(&*renewed(&*first)).ends_with("&sig=2"));
        assert_eq!(first.target(), given.target());
    }
}
