//! Which file a download goes to, and the claim on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytehaul_storage::{Claim, Conflict, Layout, claim_unless};
use bytehaul_transport::file_name::{name_from_url, sanitize};
use bytehaul_transport::headers::content_disposition_filename;
use http::HeaderMap;
use url::Url;

use crate::error::DownloadError;
use crate::session::Session;
use crate::session::job::Resume;
use crate::spec::Overwrite;

/// Locks the target and looks at what an earlier run left there.
pub(crate) async fn claim(
    session: &Session,
    path: &Path,
    overwrite: Overwrite,
    resume: Resume,
) -> Result<Claim, DownloadError> {
    let path = path.to_path_buf();
    let conflict = match overwrite {
        Overwrite::Refuse => Conflict::Refuse,
        Overwrite::Replace => Conflict::Overwrite,
    };
    let stop = StopOnDrop::default();
    let stopped = Arc::clone(&stop.0);
    let resume = match resume {
        Resume::Never => bytehaul_storage::Resume::Ignore,
        Resume::Proven | Resume::Trusting => bytehaul_storage::Resume::Continue,
    };
    let claimed = session
        .blocking(move || claim_unless(&path, conflict, resume, &stopped))
        .await;
    Ok(claimed?)
}

/// The name that a download will probably get, if an earlier run left something under it. The server may still
/// name another.
pub(crate) fn likely(directory: &Path, url: &Url) -> Option<PathBuf> {
    let path = directory.join(url_name(url));
    Layout::beside(&path)
        .is_ok_and(|layout| layout.control.exists())
        .then_some(path)
}

/// The automatic name: what the server says, then the URL's last segment, then `download`.
pub(crate) fn automatic(directory: &Path, url: &Url, headers: &HeaderMap) -> PathBuf {
    let named = content_disposition_filename(headers).and_then(|name| sanitize(&name));
    directory.join(named.unwrap_or_else(|| url_name(url)))
}

fn url_name(url: &Url) -> String {
    name_from_url(url).unwrap_or_else(|| "download".to_owned())
}

/// Ends the check of what an earlier run left when nobody waits for it any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
