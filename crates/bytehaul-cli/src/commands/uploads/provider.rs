//! `uploads … --provider`: what a provider has of uploads that nobody has completed, on whatever machine they were begun.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytehaul::protocol::{
    AzureCredentials, Exchange, OssCredentials, ProtocolError, ProtocolErrorKind, S3Credentials,
    azure, oss, s3,
};
use bytehaul::{Reply, Uploader, UploaderBuilder};
use serde::Serialize;

use crate::args::NetworkArgs;
use crate::commands::asked::Failed;
use crate::exit::Exit;
use crate::job::provider::{Bucket, Provider, Store};
use crate::network;
use crate::output::human::{Bytes, Time, count};
use crate::output::to_stderr;
use crate::signals::Signals;
use crate::usage::UsageError;

/// What is asked of a provider.
#[derive(Debug)]
pub(crate) struct Asking {
    uploader: UploaderBuilder,
    store: Store,
    place: String,
    which: Which,
    deed: Deed,
    json: bool,
}

/// Which of the uploads.
#[derive(Debug)]
pub(crate) enum Which {
    All,
    OlderThan(Duration),
    Named(Vec<String>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    List,
    Abort,
}

/// Turns the arguments into what is to be asked. `variable` reads the environment.
pub(crate) fn resolve(
    url: &str,
    which: Which,
    deed: Deed,
    (network, json): (&NetworkArgs, bool),
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Asking, UsageError> {
    let Some(provider) = Provider::of_url(url) else {
        return Err(UsageError::new("--provider names no provider")
            .hint("write it as s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or oss://BUCKET/PREFIX"));
    };
    if provider == Provider::Azure && deed == Deed::Abort {
        return Err(UsageError::new(
            "Azure has no way to discard blocks that nobody has committed",
        )
        .hint("they expire by themselves, a week after the last one was put"));
    }
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    Ok(Asking {
        uploader: Uploader::builder().network(network::settings(network)?),
        store: Store::new(provider, Bucket::Usual, &variable)?,
        place: format!("{}://{rest}", provider.scheme()),
        which,
        deed,
        json,
    })
}

/// Asks, and tells on stdout what there is, or what was discarded.
pub(crate) async fn run(asking: Asking, mut signals: Signals) -> Exit {
    let place = asking.place.clone();
    tokio::select! {
        ended = carried_out(asking) => match ended {
            Ok(exit) => exit,
            Err(failed) => failed.tell(&place),
        },
        () = signals.asked() => {
            to_stderr("bytehaul: interrupted: what was told is done, run the same command again for the rest");
            Exit::Interrupted
        }
    }
}

async fn carried_out(asking: Asking) -> Result<Exit, Failed> {
    let Asking {
        uploader,
        store,
        place,
        which,
        deed,
        json,
    } = asking;
    let uploader = uploader.build()?;
    let mut list = List::new(store, &place).await?;
    let (mut found, mut exit) = (0, Exit::Complete);
    // All of the list before anything is discarded: pages go on from where others end.
    let (mut all, mut pages) = (Vec::new(), 0);
    while let Some(page) = list.request()? {
        pages += 1;
        if pages > MOST_PAGES || all.len() > MOST_UPLOADS {
            let what = "its list of uploads has no end";
            return Err(ProtocolError::new(ProtocolErrorKind::Parse, what).into());
        }
        let reply = uploader.exchange(&page).await?;
        all.extend(list.answered(&reply)?);
    }
    let now = SystemTime::now();
    for upload in all.iter().filter(|upload| which.has(upload, now)) {
        found += 1;
        if deed == Deed::Abort {
            // One that cannot be discarded, such as for a key that fits in no URL, keeps none of the others.
            let discarded = match list.abort(upload) {
                Ok(exchange) => discarded(&uploader.exchange(&exchange).await?),
                Err(error) => Err(error),
            };
            if let Err(error) = discarded {
                let failed = Failed::from(error).tell(upload.key());
                exit = if exit == Exit::Complete { failed } else { exit };
                continue;
            }
        }
        tell(upload, deed, json, now);
    }
    if found == 0 && !json {
        to_stderr("there are no such uploads");
    }
    Ok(exit)
}

/// A page has up to a thousand, and nobody has forgotten more than a million.
const MOST_PAGES: u32 = 10_000;
const MOST_UPLOADS: usize = 1_000_000;

/// Whether the upload is gone. Of what is not found it has to be the upload, and not the bucket.
fn discarded(reply: &Reply) -> Result<(), ProtocolError> {
    let gone = b"<Code>NoSuchUpload</Code>";
    let is_gone =
        reply.status.as_u16() == 404 && reply.body.windows(gone.len()).any(|part| part == gone);
    if reply.status.is_success() || is_gone {
        return Ok(());
    }
    let what = format!("the discard was answered by {}", reply.status);
    let kind = ProtocolErrorKind::Status(reply.status);
    Err(ProtocolError::new(kind, what))
}

impl Which {
    fn has(&self, upload: &Found, now: SystemTime) -> bool {
        match self {
            Self::All => true,
            Self::OlderThan(least) => upload.age(now).is_some_and(|age| age >= *least),
            Self::Named(ids) => upload
                .id()
                .is_some_and(|id| ids.iter().any(|one| one == id)),
        }
    }
}

/// The machine that lists, and what it is let in with.
enum List {
    S3(s3::ListUploads, Arc<S3Credentials>),
    Azure(azure::ListStaged, Arc<AzureCredentials>),
    Oss(oss::ListUploads, Arc<OssCredentials>),
}

enum Found {
    S3(s3::OpenUpload),
    Azure(azure::Staged),
    Oss(oss::OpenUpload),
}

impl List {
    async fn new(store: Store, place: &str) -> Result<Self, Failed> {
        Ok(match store {
            Store::S3(config) => {
                let keys = config.credential_source().get().await?;
                Self::S3(s3::ListUploads::new(place, &config)?, keys)
            }
            Store::Oss(config) => {
                let keys = config.credential_source().get().await?;
                Self::Oss(oss::ListUploads::new(place, &config)?, keys)
            }
            Store::Azure(config) => {
                let Some(source) = config.credential_source() else {
                    let reason = "none are there (AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_CONNECTION_STRING)";
                    return Err(ProtocolError::parameter("credentials", reason).into());
                };
                let keys = source.get().await?;
                Self::Azure(azure::ListStaged::new(place, &config)?, keys)
            }
        })
    }

    fn request(&mut self) -> Result<Option<Exchange>, ProtocolError> {
        let now = SystemTime::now();
        match self {
            Self::S3(list, keys) => list.request(keys, now),
            Self::Azure(list, keys) => Ok(list.request(keys, now)),
            Self::Oss(list, keys) => list.request(keys, now),
        }
    }

    fn answered(&mut self, reply: &Reply) -> Result<Vec<Found>, Failed> {
        let (answer, now) = (reply.answer(), SystemTime::now());
        let failed = |fault| Failed::of_answer(fault, reply.status);
        Ok(match self {
            Self::S3(list, _) => list
                .answered(&answer, now)
                .map_err(failed)?
                .into_iter()
                .map(Found::S3)
                .collect(),
            Self::Azure(list, _) => {
                let found = list.answered(&answer, now).map_err(failed)?;
                found.into_iter().map(Found::Azure).collect()
            }
            Self::Oss(list, _) => {
                let found = list.answered(&answer, now).map_err(failed)?;
                found.into_iter().map(Found::Oss).collect()
            }
        })
    }

    fn abort(&mut self, upload: &Found) -> Result<Exchange, ProtocolError> {
        let now = SystemTime::now();
        match (self, upload) {
            (Self::S3(list, keys), Found::S3(upload)) => list.abort(upload, keys, now),
            (Self::Oss(list, keys), Found::Oss(upload)) => list.abort(upload, keys, now),
            _ => Err(ProtocolError::parameter("upload", "it cannot be discarded")),
        }
    }
}

impl Found {
    fn key(&self) -> &str {
        match self {
            Self::S3(upload) => &upload.key,
            Self::Azure(staged) => &staged.blob,
            Self::Oss(upload) => &upload.key,
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::S3(upload) => Some(upload.upload.as_str()),
            Self::Azure(_) => None,
            Self::Oss(upload) => Some(upload.upload.as_str()),
        }
    }

    fn begun_at(&self) -> Option<SystemTime> {
        match self {
            Self::S3(upload) => upload.begun_at,
            Self::Azure(staged) => staged.written_at,
            Self::Oss(upload) => upload.begun_at,
        }
    }

    /// Blocks, and bytes in them.
    fn staged(&self) -> Option<(usize, u64)> {
        match self {
            Self::Azure(staged) => Some((staged.blocks, staged.bytes)),
            Self::S3(_) | Self::Oss(_) => None,
        }
    }

    fn age(&self, now: SystemTime) -> Option<Duration> {
        let at = self.begun_at()?;
        Some(now.duration_since(at).unwrap_or_default())
    }
}

/// One upload of `--json`, as `docs/cli.md` has it.
#[derive(Serialize, Debug)]
struct Line<'a> {
    event: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

fn tell(upload: &Found, deed: Deed, json: bool, now: SystemTime) {
    let line = match json {
        true => {
            let seconds =
                |at: SystemTime| at.duration_since(UNIX_EPOCH).ok().map(|at| at.as_secs());
            let line = Line {
                event: match deed {
                    Deed::List => "open",
                    Deed::Abort => "aborted",
                },
                key: upload.key(),
                id: upload.id(),
                begun_at: upload.begun_at().and_then(seconds),
                blocks: upload.staged().map(|(blocks, _)| blocks),
                bytes: upload.staged().map(|(_, bytes)| bytes),
            };
            serde_json::to_string(&line).expect("strings and numbers are JSON")
        }
        false => {
            let age = upload
                .age(now)
                .map_or_else(String::new, |age| format!("  {} ago", Time(age)));
            let what = match (upload.id(), upload.staged()) {
                (_, Some((blocks, bytes))) => {
                    let blocks =
                        count(u64::try_from(blocks).unwrap_or(u64::MAX), "block", "blocks");
                    format!("{blocks} of {}", Bytes(bytes))
                }
                (id, None) => id.unwrap_or_default().to_owned(),
            };
            let done = match deed {
                Deed::List => "",
                Deed::Abort => "discarded  ",
            };
            // Keys may hold anything, and a terminal obeys some of it.
            let line = format!("{done}{what}{age}  {}", upload.key());
            line.chars()
                .map(|c| if c.is_control() { '?' } else { c })
                .collect()
        }
    };
    // A reader that has gone away is no failure.
    let _ = writeln!(std::io::stdout(), "{line}");
}
