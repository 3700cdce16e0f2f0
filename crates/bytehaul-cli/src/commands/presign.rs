//! `presign`: signed URLs and plans, for those who have no credentials.

use std::cell::Cell;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use bytehaul::protocol::http::Method;
use bytehaul::protocol::{
    Azure, AzureConfig, Exchange, ExchangeId, Object, Oss, S3, Step, UploadPlan, oss, s3,
};
use bytehaul::{Uploader, UploaderBuilder};

use crate::args::{PresignArgs, SignedMethod};
use crate::commands::asked::Failed;
use crate::exit::Exit;
use crate::job::provider::{self, Bucket, Provider, Store};
use crate::network;
use crate::output::to_stderr;
use crate::signals::Signals;
use crate::usage::UsageError;

/// What is to be signed.
#[derive(Debug)]
pub(crate) struct Signing {
    uploader: UploaderBuilder,
    store: Store,
    object: String,
    what: What,
    life: Duration,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Url(SignedMethod),
    /// Bytes of the object and of a part.
    Plan(u64, Option<u64>),
}

/// Turns the arguments into what is to be signed. `variable` reads the environment.
pub(crate) fn resolve(
    args: &PresignArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Signing, UsageError> {
    let Some(provider) = Provider::of_url(&args.url) else {
        return Err(
            UsageError::new("the URL is that of no provider whose credentials could sign")
                .hint("write it as s3://BUCKET/KEY, az://CONTAINER/BLOB or oss://BUCKET/KEY"),
        );
    };
    let bucket = match args.virtual_host {
        true => Bucket::InHost,
        false => Bucket::Usual,
    };
    Ok(Signing {
        uploader: Uploader::builder().network(network::settings(&args.network)?),
        object: provider::object(&args.url, None)?,
        store: Store::new(provider, bucket, &variable)?,
        what: match args.size {
            Some(size) => What::Plan(size.0, args.part_size.map(|size| size.0)),
            None => What::Url(args.method),
        },
        life: args.expires.0,
    })
}

/// What was signed.
struct Signed {
    text: String,
    /// The request that discards the upload which was begun for it, and who sends it.
    discard: Option<(Uploader, Exchange)>,
}

/// Signs, and writes the URL or the plan to stdout.
pub(crate) async fn run(signing: Signing, mut signals: Signals) -> Exit {
    let object = signing.object.clone();
    let has_begun = Cell::new(false);
    let signed = tokio::select! {
        signed = signed(signing, &has_begun) => signed,
        () = signals.asked() => {
            to_stderr("bytehaul: interrupted: nothing was signed");
            if has_begun.get() {
                to_stderr("hint: an upload may have been begun, which bytehaul uploads list --provider shows");
            }
            return Exit::Interrupted;
        }
    };
    let Signed { text, discard } = match signed {
        Ok(signed) => signed,
        Err(failed) => return failed.tell(&object),
    };
    match written(&text) {
        Ok(()) => Exit::Complete,
        // A reader that has gone away is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Complete,
        Err(error) => {
            to_stderr(format_args!(
                "bytehaul: {}: write to stdout: {error}",
                object.escape_debug()
            ));
            if let Some((uploader, exchange)) = discard {
                discarded(&uploader, &exchange).await;
            }
            Exit::Local
        }
    }
}

fn written(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Nobody has the plan, so nobody could go on with its upload.
async fn discarded(uploader: &Uploader, exchange: &Exchange) {
    let reply = uploader.exchange(exchange).await;
    if !reply.is_ok_and(|reply| reply.status.is_success()) {
        to_stderr(
            "hint: the upload that was begun is still open, bytehaul uploads list --provider shows it",
        );
    }
}

async fn signed(signing: Signing, has_begun: &Cell<bool>) -> Result<Signed, Failed> {
    let Signing {
        uploader,
        store,
        object,
        what,
        life,
    } = signing;
    let now = SystemTime::now();
    let uploader = uploader.build()?;
    let url = match (store, what) {
        (Store::S3(config), What::Url(method)) => {
            let keys = config.credential_source().get().await?;
            let operation = match method {
                SignedMethod::Get => s3::Operation::Get,
                SignedMethod::Put => s3::Operation::Put,
            };
            S3::new(&object, config)?.presign(&operation, &keys, now, life)?
        }
        (Store::Oss(config), What::Url(method)) => {
            let keys = config.credential_source().get().await?;
            let operation = match method {
                SignedMethod::Get => oss::Operation::Get,
                SignedMethod::Put => oss::Operation::Put,
            };
            Oss::new(&object, config)?.presign(&operation, &keys, now, life)?
        }
        (Store::Azure(config), What::Url(method)) => {
            let permissions = match method {
                SignedMethod::Get => "r",
                SignedMethod::Put => "cw",
            };
            Azure::new(&object, config)?.presign(permissions, life, now)?
        }
        (store, What::Plan(size, part)) => {
            let plan = plan(&uploader, store, &object, (size, part), (life, has_begun)).await?;
            let abort = plan.abort_request.as_ref();
            let abort = abort.and_then(|request| request.url.parse().ok());
            let abort =
                abort.map(|url| Exchange::new(ExchangeId(0), Step::Abort, Method::DELETE, url));
            return Ok(Signed {
                text: serde_json::to_string_pretty(&plan).expect("a plan is JSON"),
                discard: abort.map(|exchange| (uploader, exchange)),
            });
        }
    };
    Ok(Signed {
        text: String::from(url),
        discard: None,
    })
}

async fn plan(
    uploader: &Uploader,
    store: Store,
    object: &str,
    (size, part): (u64, Option<u64>),
    (life, has_begun): (Duration, &Cell<bool>),
) -> Result<UploadPlan, Failed> {
    let now = SystemTime::now();
    let mut of = Object::new(object, Some(size));
    of.part_size = part;
    Ok(match store {
        Store::S3(config) => {
            let keys = config.credential_source().get().await?;
            let s3 = S3::new(object, config)?;
            let create = s3.create_request(&of, &keys, now)?;
            has_begun.set(true);
            let begun = uploader.exchange(&create).await?;
            s3.plan(&S3::created(&begun.answer())?, &of, &keys, now, life)?
        }
        Store::Oss(config) => {
            let keys = config.credential_source().get().await?;
            let oss = Oss::new(object, config)?;
            let create = oss.create_request(&of, &keys, now)?;
            has_begun.set(true);
            let begun = uploader.exchange(&create).await?;
            oss.plan(&Oss::created(&begun.answer())?, &of, &keys, now, life)?
        }
        Store::Azure(config) => {
            let config = part.into_iter().fold(config, AzureConfig::part_size);
            Azure::new(object, config)?.plan(size, life, now)?
        }
    })
}
