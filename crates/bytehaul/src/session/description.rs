//! What answers say of the file beyond the caller's word, for all attempts: the digest that binds named mirrors, and the Metalink document, which is fetched beside the transfer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytehaul_integrity::{Digest, Expected};
use bytehaul_transport::SafeUrl;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout, timeout_at};
use url::Url;

use crate::identity::Identity;
use crate::metalink::{self, Described, Description, Metalink, MetalinkUrl};
use crate::session::carry::{Carried, Carrier};
use crate::session::pieces::Pieces;
use crate::session::probe::Probe;
use crate::session::source::Source;
use crate::spec::FollowMetalink;

/// What was learned of the version that is downloaded now.
#[derive(Debug, Default)]
pub(crate) struct Learned(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// What the file has to hash to, where the caller does not say.
    digest: Option<Digest>,
    /// The same by the word of the object's provider, which counts last.
    declared: Option<Expected>,
    pieces: Option<Arc<Pieces>>,
    /// The document that was asked for.
    document: Option<Url>,
}

/// A document has been read; sources and a digest that it names are in the books.
#[derive(Debug)]
pub(crate) struct News {
    /// Hashes of pieces, when there were none before.
    pub(crate) pieces: Option<Arc<Pieces>>,
}

impl Learned {
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.book().digest
    }

    pub(crate) fn pieces(&self) -> Option<Arc<Pieces>> {
        self.book().pieces.clone()
    }

    pub(crate) fn declared(&self) -> Option<Expected> {
        self.book().declared
    }

    pub(crate) fn set_declared(&self, expected: Option<Expected>) {
        self.book().declared = expected;
    }

    /// The first word counts: whatever comes later has to agree with it, or the file does not match in the end.
    pub(crate) fn set_digest(&self, digest: Option<Digest>) {
        let mut book = self.book();
        book.digest = book.digest.or(digest);
    }

    /// What was said of a version that is gone.
    pub(crate) fn forget(&self) {
        *self.book() = Book::default();
    }

    fn set_pieces(&self, pieces: &Arc<Pieces>) {
        self.book().pieces = Some(Arc::clone(pieces));
    }

    /// Whether this document has not been asked for yet. It counts as asked for from now on.
    fn is_news(&self, document: &Url) -> bool {
        let mut book = self.book();
        let is_news = book.document.as_ref() != Some(document);
        book.document = Some(document.clone());
        is_news
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier {
    /// Takes in the mirrors that an answer names, and the digest that binds them to the file. Where an earlier run has left
    /// everything, nobody knows any more where it came from, so the digest that it knew counts.
    pub(crate) fn learn(&self, probe: Option<&Probe>, identity: &Identity) {
        if self.job.follow_metalink == FollowMetalink::Off {
            return;
        }
        match probe {
            Some(probe) if probe.named.mirrors.is_empty() => (),
            Some(probe) => {
                self.learned.set_digest(probe.named.digest);
                self.join(&probe.named.mirrors);
            }
            None => self.learned.set_digest(metalink::strong(&identity.digests)),
        }
    }

    /// Takes in mirrors that a server named, if they were not known, and may be used for the URL that was given.
    fn join(&self, mirrors: &[MetalinkUrl]) {
        let secure = self.job.url.scheme() == "https";
        for MetalinkUrl { url, .. } in mirrors {
            if !secure || url.scheme() == "https" {
                let source = Source::named(&self.access, &self.job, url.clone());
                self.roster.add_named(Arc::new(source));
            }
        }
    }

    /// What the file has to hash to: what the caller says, or else what servers said that was learned.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.job.digest.or_else(|| self.learned.digest())
    }

    pub(super) fn pieces(&self) -> Option<Arc<Pieces>> {
        self.pieces.clone().or_else(|| self.learned.pieces())
    }
}

/// Runs a transfer with the reading of a document beside it, which holds up a transfer that is short, and for no more
/// than a moment.
pub(crate) async fn beside<E>(
    carry: impl Future<Output = Result<Carried, E>>,
    reading: impl Future<Output = ()>,
) -> Result<Carried, E> {
    let latest = Instant::now() + MOMENT;
    tokio::pin!(carry, reading);
    let mut is_reading = true;
    let carried = loop {
        tokio::select! {
            biased;
            carried = &mut carry => break carried,
            () = &mut reading, if is_reading => is_reading = false,
        }
    };
    if is_reading && matches!(carried, Ok(Carried::Complete { .. })) {
        // What comes too late does not count.
        let _ = timeout_at(latest, reading).await;
    }
    carried
}

/// Fetches the document and takes in what it says of the file, unless that was done before. Whatever is wrong with it is
/// no trouble for the transfer.
pub(crate) async fn read(
    carrier: &Carrier,
    description: Option<Description>,
    identity: &Identity,
    tell: UnboundedSender<News>,
) {
    let Some(description) = description.filter(|it| carrier.learned.is_news(&it.url)) else {
        return;
    };
    let url = SafeUrl::from(&description.url);
    let known = carrier.job.digest.iter().chain(&identity.digests);
    let known = known.copied().collect();
    let read = timeout(LONGEST, fetch(carrier, description, identity.len, known)).await;
    let described = read.unwrap_or_else(|_| Err(format!("not there after {LONGEST:?}")));
    match described {
        Ok(described) => {
            bytehaul_log::debug!(
                %url,
                mirrors = described.mirrors.len(),
                pieces = described.pieces.is_some(),
                "a Metalink document describes the file"
            );
            let pieces = take_in(carrier, described);
            // A transfer that has ended looks for itself.
            let _ = tell.send(News { pieces });
        }
        Err(what) => bytehaul_log::debug!(%url, what, "a Metalink document is not used"),
    }
}

async fn fetch(
    carrier: &Carrier,
    description: Description,
    len: Option<u64>,
    known: Vec<Digest>,
) -> Result<Described, String> {
    let document = carrier.source().document(&description.url, LARGEST).await?;
    carrier.toll().pay(document.len()).await;
    super::blocking(move || {
        let document = Metalink::parse(&document).map_err(|error| error.to_string())?;
        metalink::described(&document, &description.about, len, &known).map_err(str::to_owned)
    })
    .await
}

fn take_in(carrier: &Carrier, described: Described) -> Option<Arc<Pieces>> {
    carrier.learned.set_digest(described.digest);
    carrier.join(&described.mirrors);
    let hashes = described.pieces.filter(|_| carrier.job.pieces.is_none())?;
    let pieces = Arc::new(Pieces::new(carrier.job.safe_url.clone(), hashes));
    carrier.learned.set_pieces(&pieces);
    Some(pieces)
}

/// The largest document that is read, in bytes.
const LARGEST: usize = 1024 * 1024;
const LONGEST: Duration = Duration::from_secs(10);
/// A file that is there sooner than this may have to wait for its description.
const MOMENT: Duration = Duration::from_secs(1);
