//! Downloads of a blob: each range asked for with a request of its own signature.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::RANGE;
use http::{HeaderMap, HeaderValue, Method};

use crate::azure::{Azure, AzureCredentials, NAME};
use crate::{
    BoxError, Credentials, DownloadProtocol, ProtocolError, ProtocolErrorKind, RangeRequest,
    Refreshing, Wanted,
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

impl DownloadProtocol for AzureDownload {
    fn name(&self) -> &str {
        NAME
    }

    /// The URL, without the SAS.
    fn target(&self) -> String {
        self.azure.url().to_string()
    }

    fn request(&self, wanted: &Wanted, now: SystemTime) -> Result<RangeRequest, ProtocolError> {
        let Some(credentials) = &self.credentials else {
            let what = "nobody was asked for credentials yet";
            return Err(ProtocolError::new(ProtocolErrorKind::Refresh, what));
        };
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
