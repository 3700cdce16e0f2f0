//! Which protocol an upload is to speak, with which of its options, and which options are another protocol's.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytehaul::protocol::{
    Algorithm, Form, Presigned, Put, Tus, TusDraft, UploadPlan, UploadProtocol,
};
use bytehaul::{Checkpoint, SafeUrl};
use http::Method;
use url::Url;

use crate::args::{ContentDigest, Protocol, PutArgs, TusChecksum};
use crate::job::provider::{self, Bucket, Existing, Provider, Store};
use crate::job::{google, http_url};
use crate::refresh;
use crate::usage::UsageError;

/// The protocol that the arguments ask for.
pub(super) fn of(
    args: &PutArgs,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn UploadProtocol>, UsageError> {
    let (protocol, url) = match place(args)? {
        Place::Object(provider, object) => {
            own_options(args, provider.protocol())?;
            return provided(args, provider, &object, variable);
        }
        Place::Google(object) => {
            own_options(args, Protocol::Gcs)?;
            let to = google::object(&object, variable)?;
            return Ok(Arc::new(to.if_absent(args.no_overwrite)));
        }
        Place::Url(protocol, url) => (protocol, url),
    };
    own_options(args, protocol)?;
    Ok(match protocol {
        Protocol::Form => Arc::new(form(args, url.as_str())?),
        Protocol::Put => Arc::new(put(args, url.as_str())?),
        Protocol::Tus => Arc::new(tus(args, url)),
        Protocol::TusDraft => Arc::new(TusDraft::new(url)),
        Protocol::Presigned => Arc::new(presigned(args)?),
        Protocol::Gcs => Arc::new(google::signed(url)?),
        Protocol::S3 | Protocol::Azure | Protocol::Oss => {
            return Err(UsageError::new(format!(
                "{} uploads do not go to the URL of a server",
                protocol.word()
            )));
        }
    })
}

/// Where an upload goes.
enum Place {
    Url(Protocol, Url),
    /// An object, by the scheme of its provider, or a blob by the URL that it has.
    Object(Provider, String),
    /// An object of Google, which is uploaded to and nothing else.
    Google(String),
}

fn provided(
    args: &PutArgs,
    provider: Provider,
    object: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn UploadProtocol>, UsageError> {
    let bucket = match args.virtual_host {
        true => Bucket::InHost,
        false => Bucket::Usual,
    };
    let existing = match args.no_overwrite {
        true => Existing::Refuse,
        false => Existing::Replace,
    };
    let store = Store::new(provider, bucket, variable)?;
    store.upload(object, existing).map_err(provider::refused)
}

/// The name that an object gets where its URL only says where to.
fn own_name(args: &PutArgs) -> Option<&str> {
    let of_file = || {
        let name = args.file.file_name().filter(|name| *name != "-")?;
        name.to_str()
    };
    args.name.as_deref().or_else(of_file)
}

/// The protocol of a record, as far as discarding needs it; `None`: it is not known, or needs a plan.
pub(crate) fn of_record(
    checkpoint: &Checkpoint,
    plan: Option<&UploadPlan>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Arc<dyn UploadProtocol>>, UsageError> {
    match Provider::named(&checkpoint.protocol) {
        Some(provider) => provider::of_target(provider, &checkpoint.target, variable),
        None if checkpoint.protocol == Protocol::Gcs.word() => {
            Ok(google::of_target(&checkpoint.target, variable))
        }
        None => Ok(of_url(checkpoint, plan)),
    }
}

fn of_url(checkpoint: &Checkpoint, plan: Option<&UploadPlan>) -> Option<Arc<dyn UploadProtocol>> {
    let url = || Url::parse(&checkpoint.target).ok();
    Some(match checkpoint.protocol.as_str() {
        "form" => Arc::new(Form::new(&checkpoint.target)),
        "put" => Arc::new(Put::new(&checkpoint.target).resumable(true)),
        "tus" => Arc::new(Tus::new(url()?)),
        "tus-draft" => Arc::new(TusDraft::new(url()?)),
        "presigned" => Arc::new(Presigned::new(plan?.clone())),
        _ => return None,
    })
}

/// Reads a plan from a file, or from stdin when it is `-`.
pub(crate) fn read_plan(file: &Path) -> Result<UploadPlan, UsageError> {
    let stdin = file == Path::new("-");
    let name = if stdin {
        "stdin".into()
    } else {
        file.display().to_string()
    };
    let bytes = if stdin {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    let bytes =
        bytes.map_err(|error| UsageError::new(format!("read the plan from {name}: {error}")))?;
    // What the parser says of a wrong value repeats it, and it may be a signature.
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        UsageError::new(format!(
            "{name} is not a plan: line {line}, column {column} is not as it should be"
        ))
        .hint("docs/cli.md shows what is in a plan")
    })
}

/// Protocol and URL, or the object; the URL of a plan is for nobody.
fn place(args: &PutArgs) -> Result<Place, UsageError> {
    let asked = args.protocol;
    if args.plan.is_some() {
        return match asked {
            None | Some(Protocol::Presigned) => Ok(Place::Url(Protocol::Presigned, nowhere())),
            Some(other) => Err(UsageError::new(format!(
                "--plan is for presigned uploads, and --protocol asks for {}",
                other.word()
            ))),
        };
    }
    if asked == Some(Protocol::Presigned) {
        return Err(
            UsageError::new("presigned uploads need a plan").hint("name its file with --plan")
        );
    }
    let text = args.url.as_deref().unwrap_or_default();
    let by_tus = text
        .strip_prefix("tus+")
        .filter(|rest| rest.contains("://"));
    if let Some(rest) = by_tus {
        let protocol = asked.unwrap_or(Protocol::Tus);
        if !matches!(protocol, Protocol::Tus | Protocol::TusDraft) {
            return Err(UsageError::new(format!(
                "the scheme of the URL is that of tus, and --protocol asks for {}",
                protocol.word()
            )));
        }
        return Ok(Place::Url(protocol, http_url(rest)?));
    }
    if let Some(provider) = Provider::of_url(text) {
        return match asked {
            Some(asked) if asked != provider.protocol() => Err(UsageError::new(format!(
                "the scheme of the URL is that of {}, and --protocol asks for {}",
                provider.protocol().word(),
                asked.word()
            ))),
            _ => {
                let object = provider::object(text, own_name(args))?;
                Ok(Place::Object(provider, object))
            }
        };
    }
    if google::is_object(text) {
        return match asked {
            Some(asked) if asked != Protocol::Gcs => Err(UsageError::new(format!(
                "the scheme of the URL is that of gcs, and --protocol asks for {}",
                asked.word()
            ))),
            _ => Ok(Place::Google(provider::object(text, own_name(args))?)),
        };
    }
    match asked {
        Some(Protocol::Azure) => {
            http_url(text)?;
            Ok(Place::Object(Provider::Azure, text.to_owned()))
        }
        Some(protocol @ (Protocol::S3 | Protocol::Oss)) => {
            let form = match protocol {
                Protocol::S3 => Provider::S3.form(),
                _ => Provider::Oss.form(),
            };
            let what = format!("{} uploads go to {form}", protocol.word());
            Err(UsageError::new(what)
                .hint("the endpoint is named by the environment, see docs/cli.md"))
        }
        asked => Ok(Place::Url(asked.unwrap_or(Protocol::Form), http_url(text)?)),
    }
}

fn nowhere() -> Url {
    Url::parse("http://plan.invalid/").expect("a constant URL")
}

/// Refuses what would have no effect: an option of another protocol.
fn own_options(args: &PutArgs, protocol: Protocol) -> Result<(), UsageError> {
    use Protocol::{Azure, Form, Gcs, Oss, Put, S3, Tus, TusDraft};
    let given: [(&str, bool, &[Protocol]); 13] = [
        (
            "--part-size",
            args.part_size.is_some(),
            &[Form, Put, Tus, TusDraft, S3, Azure, Oss, Gcs],
        ),
        (
            "--content-type",
            args.content_type.is_some(),
            &[Form, Put, Tus, TusDraft, S3, Azure, Oss, Gcs],
        ),
        (
            "--header",
            !args.network.header.is_empty(),
            &[Form, Put, Tus, TusDraft],
        ),
        (
            "--metadata",
            !args.metadata.is_empty(),
            &[Tus, S3, Azure, Oss, Gcs],
        ),
        ("--method", args.method.is_some(), &[Form, Put]),
        ("--category", args.category.is_some(), &[Form]),
        (
            "--no-overwrite",
            args.no_overwrite,
            &[Put, S3, Azure, Oss, Gcs],
        ),
        ("--content-digest", args.content_digest.is_some(), &[Put]),
        ("--put-ranges", args.put_ranges, &[Put]),
        ("--tus-checksum", args.tus_checksum.is_some(), &[Tus]),
        ("--tus-concat", args.tus_concat, &[Tus]),
        ("--virtual-host", args.virtual_host, &[S3]),
        (
            "--refresh-command",
            args.refresh_command.is_some(),
            &[Form, Put, Tus, TusDraft, Protocol::Presigned],
        ),
    ];
    for (option, is_given, theirs) in given {
        if is_given && !theirs.contains(&protocol) {
            let words: Vec<_> = theirs.iter().map(|protocol| protocol.word()).collect();
            let what = format!("{option} has no meaning for {} uploads", protocol.word());
            return Err(UsageError::new(what).hint(format!("it is for {}", words.join(", "))));
        }
    }
    if protocol == Put && args.part_size.is_some() && !args.put_ranges {
        return Err(UsageError::new(
            "put sends the whole body at once, so --part-size has no meaning",
        )
        .hint("--put-ranges sends parts to servers that take them"));
    }
    Ok(())
}

fn form(args: &PutArgs, url: &str) -> Result<Form, UsageError> {
    let mut form = Form::new(url);
    if let Some(text) = &args.method {
        form = form.method(method(text)?);
    }
    if let Some(category) = &args.category {
        form = form.category(category);
    }
    if let Some(content_type) = &args.content_type {
        form = form.content_type(content_type);
    }
    Ok(form)
}

fn put(args: &PutArgs, url: &str) -> Result<Put, UsageError> {
    let mut put = Put::new(url).resumable(args.put_ranges);
    if let Some(text) = &args.method {
        put = put.method(method(text)?);
    }
    if args.no_overwrite {
        put = put.if_none_match_any();
    }
    Ok(match args.content_digest {
        None => put,
        Some(ContentDigest::Md5) => put.content_md5(true),
        Some(ContentDigest::Sha256) => put.content_digest(Algorithm::Sha256),
        Some(ContentDigest::Sha512) => put.content_digest(Algorithm::Sha512),
    })
}

fn tus(args: &PutArgs, url: Url) -> Tus {
    let tus = Tus::new(url).concatenation(args.tus_concat);
    let algorithm = args.tus_checksum.map(|checksum| match checksum {
        TusChecksum::Sha1 => Algorithm::Sha1,
        TusChecksum::Sha256 => Algorithm::Sha256,
        TusChecksum::Sha512 => Algorithm::Sha512,
        TusChecksum::Md5 => Algorithm::Md5,
    });
    algorithm.into_iter().fold(tus, Tus::checksum)
}

fn presigned(args: &PutArgs) -> Result<Presigned, UsageError> {
    let file = args.plan.as_deref().unwrap_or(Path::new("-"));
    if file == Path::new("-") && args.file == Path::new("-") {
        return Err(UsageError::new(
            "the plan and the file cannot both be on stdin",
        ));
    }
    let protocol = Presigned::new(read_plan(file)?);
    let Some(program) = args.refresh_command.clone() else {
        return Ok(protocol);
    };
    let shown = shown(&protocol);
    Ok(protocol.refresher(move || {
        let (program, shown) = (program.clone(), shown.clone());
        async move { refresh::plan(&program, &shown).await }
    }))
}

/// Where an upload goes, as it may be shown.
pub(super) fn shown(protocol: &dyn UploadProtocol) -> String {
    let target = protocol.target();
    match Url::parse(&target) {
        Ok(url) => SafeUrl::from(url).to_string(),
        Err(_) => super::presentable(&target),
    }
}

fn method(text: &str) -> Result<Method, UsageError> {
    Method::from_bytes(text.as_bytes())
        .map_err(|_| UsageError::new(format!("'{}' is not a method", text.escape_debug())))
}
