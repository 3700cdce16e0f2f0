//! `presign`: signed URLs and plans, for those who have no credentials.

use std::io::Write;
use std::time::{Duration, SystemTime};

use bytehaul::protocol::{Azure, AzureConfig, Object, Oss, S3, UploadPlan, oss, s3};
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

/// Signs, and writes the URL or the plan to stdout.
pub(crate) async fn run(signing: Signing, mut signals: Signals) -> Exit {
    let object = signing.object.clone();
    let signed = tokio::select! {
        signed = signed(signing) => signed,
        () = signals.asked() => {
            to_stderr("bytehaul: interrupted: nothing was signed");
            return Exit::Interrupted;
        }
    };
    match signed {
        Ok(text) => {
            // A reader that has gone away is no failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            Exit::Complete
        }
        Err(failed) => failed.tell(&object),
    }
}

async fn signed(signing: Signing) -> Result<String, Failed> {
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
            return plan(&uploader, store, &object, (size, part), life).await;
        }
    };
    Ok(String::from(url))
}

async fn plan(
    uploader: &Uploader,
    store: Store,
    object: &str,
    (size, part): (u64, Option<u64>),
    life: Duration,
) -> Result<String, Failed> {
    let now = SystemTime::now();
    let mut of = Object::new(object, Some(size));
    of.part_size = part;
    let plan: UploadPlan = match store {
        Store::S3(config) => {
            let keys = config.credential_source().get().await?;
            let s3 = S3::new(object, config)?;
            let begun = uploader
                .exchange(&s3.create_request(&of, &keys, now)?)
                .await?;
            s3.plan(&S3::created(&begun.answer())?, &of, &keys, now, life)?
        }
        Store::Oss(config) => {
            let keys = config.credential_source().get().await?;
            let oss = Oss::new(object, config)?;
            let begun = uploader
                .exchange(&oss.create_request(&of, &keys, now)?)
                .await?;
            oss.plan(&Oss::created(&begun.answer())?, &of, &keys, now, life)?
        }
        Store::Azure(config) => {
            let config = part.into_iter().fold(config, AzureConfig::part_size);
            Azure::new(object, config)?.plan(size, life, now)?
        }
    };
    Ok(serde_json::to_string_pretty(&plan).expect("a plan is JSON"))
}
