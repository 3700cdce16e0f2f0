//! The request for the Metalink document that an answer points to, which must not hold the download up for long.

use std::time::Duration;

use crate::metalink;
use crate::session::carry::Carrier;
use crate::session::probe::Probe;
use crate::spec::FollowMetalink;

/// Adds what the document says to what the answer itself names, where the caller wants it. One that cannot be had, or
/// does not fit the answer, changes nothing.
pub(crate) async fn describe(carrier: &Carrier, probe: &mut Probe) {
    if carrier.job.follow_metalink != FollowMetalink::HeadersAndDescription {
        return;
    }
    let Some(url) = probe.named.description.clone() else {
        return;
    };
    let (source, asked) = (carrier.named(&url), carrier.source());
    let reads = async {
        let document = source.document(MOST_BYTES).await?;
        metalink::described(&document, &url, asked.url(), &probe.identity)
    };
    let described = match tokio::time::timeout(PATIENCE, reads).await {
        Ok(described) => described,
        Err(_) => Err(format!("it takes more than {PATIENCE:?}")),
    };
    match described {
        Ok(named) => probe.named.add(named),
        Err(reason) => {
            bytehaul_log::warn!(url = %source.safe_url(), reason, "the description of the file is not used");
        }
    }
}

const MOST_BYTES: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);
