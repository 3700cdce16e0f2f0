//! Arguments as tasks that outlive the process, and tasks as arguments again.

use std::path::{Path, PathBuf};

use bytehaul::{DownloadRecipe, Recipe, StoredTask, Transfer, TransferError, UploadRecipe};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::args::{DisplayArgs, GetArgs, NetworkArgs, PutArgs};
use crate::input;
use crate::job::provider::Provider;
use crate::job::{http_url, put, resolve};
use crate::usage::UsageError;

/// A task for each download.
pub(crate) fn downloads(mut args: GetArgs) -> Result<Vec<Recipe>, UsageError> {
    no_settings(&args.network, args.display)?;
    for (option, is_given) in [
        ("--metalink", !args.metalink.is_empty()),
        ("--output -", args.output.as_deref() == Some(Path::new("-"))),
    ] {
        if is_given {
            return Err(UsageError::new(format!(
                "{option} has no meaning in a queue"
            )));
        }
    }
    let mut urls = std::mem::take(&mut args.urls);
    if let Some(file) = args.input_file.take() {
        urls.extend(input::read(&file)?);
    }
    args.dir = absolute(&args.dir);
    args.output = args
        .output
        .as_deref()
        .map(|path| match args.dir.join(path) {
            path if path.is_absolute() => path,
            path => absolute(&path),
        });
    let mirrors = std::mem::take(&mut args.mirror);
    let kept = kept(&args)?;
    // All the checks of a download that is run at once, with the same words.
    let mut whole = args;
    whole.urls.clone_from(&urls);
    whole.mirror.clone_from(&mirrors);
    let plan = resolve(whole, crate::variable)?;
    let is_object = |url: &&String| Provider::of_url(url).is_some();
    for url in urls.iter().filter(|url| !is_object(url)).chain(&mirrors) {
        no_password(&http_url(url)?)?;
    }
    Ok(plan
        .jobs
        .iter()
        .zip(&urls)
        .map(|(job, url)| {
            let mut recipe = DownloadRecipe::from(&job.spec);
            if is_object(&url) {
                recipe.extra.insert(OBJECT.to_owned(), url.clone());
            }
            recipe.extra.insert(ARGUMENTS.to_owned(), kept.clone());
            recipe.into()
        })
        .collect())
}

/// The task of an upload.
pub(crate) fn upload(mut args: PutArgs) -> Result<Recipe, UsageError> {
    no_settings(&args.network, args.display)?;
    if args.file == Path::new("-") || args.plan.as_deref() == Some(Path::new("-")) {
        return Err(UsageError::new("a queue cannot wait for stdin"));
    }
    args.file = absolute(&args.file);
    args.plan = args.plan.as_deref().map(absolute);
    args.state_dir = args.state_dir.as_deref().map(absolute);
    let (file, url) = (args.file.clone(), args.url.clone());
    let stored = kept(&args)?;
    let plan = put::resolve(args, crate::variable)?;
    let target = plan.spec.protocol.target();
    if let Ok(url) = Url::parse(&target) {
        no_password(&url)?;
    }
    // A plan is read again when the task is run: it may be a newer one by then.
    let target = url.unwrap_or(target);
    let mut recipe = UploadRecipe::new(file, plan.spec.protocol.name(), target);
    recipe.extra.insert(ARGUMENTS.to_owned(), stored);
    Ok(recipe.into())
}

/// The transfer of a task, with the settings of the network and the credentials of whoever runs it.
pub(crate) fn transfer(
    task: &StoredTask,
    network: &NetworkArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Transfer, TransferError> {
    let refused = |error: UsageError| TransferError::parameter("task", error.to_string());
    match &task.recipe {
        Recipe::Download(recipe) => {
            let mut args: GetArgs = given(recipe.extra.get(ARGUMENTS))?;
            args.urls = vec![recipe.extra.get(OBJECT).unwrap_or(&recipe.url).clone()];
            args.mirror.clone_from(&recipe.mirrors);
            args.network = network.clone();
            let rate = args.transfer.limit_rate.map_or(0, |rate| rate.0);
            let mut plan = resolve(args, variable).map_err(refused)?;
            let spec = plan.jobs.remove(0).spec;
            Ok(spec.max_download_speed(rate).into())
        }
        Recipe::Upload(recipe) => {
            let mut args: PutArgs = given(recipe.extra.get(ARGUMENTS))?;
            args.network = network.clone();
            let rate = args.transfer.limit_rate.map_or(0, |rate| rate.0);
            let plan = put::resolve(args, variable).map_err(refused)?;
            Ok(plan.spec.max_upload_speed(rate).into())
        }
        // What a later library may store.
        _ => Err(TransferError::parameter("task", "it is of no known kind")),
    }
}

/// Credentials and the like are not stored: whoever runs the queue gives them.
fn no_settings(network: &NetworkArgs, display: DisplayArgs) -> Result<(), UsageError> {
    if *network == NetworkArgs::default() && display == DisplayArgs::default() {
        return Ok(());
    }
    Err(
        UsageError::new("options of the network and the output are not kept in a queue")
            .hint("give them to 'bytehaul queue run'"),
    )
}

fn no_password(url: &Url) -> Result<(), UsageError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(());
    }
    Err(
        UsageError::new("user name and password of a URL are not kept in a queue")
            .hint("put them into .netrc, which 'bytehaul queue run' reads"),
    )
}

fn kept(args: &impl Serialize) -> Result<String, UsageError> {
    serde_json::to_string(args)
        .map_err(|error| UsageError::new(format!("the task cannot be kept: {error}")))
}

fn given<T: DeserializeOwned>(kept: Option<&String>) -> Result<T, TransferError> {
    let parsed = kept.map(|text| serde_json::from_str(text));
    match parsed {
        Some(Ok(args)) => Ok(args),
        // What is wrong would be told with a value, which may be a signature.
        Some(Err(_)) | None => Err(TransferError::parameter(
            "task",
            "it was not added by this command, or by another version of it",
        )),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Where the options of a task are kept.
const ARGUMENTS: &str = "arguments";

/// Where the URL of an object of a provider is kept, which says whose credentials it takes.
const OBJECT: &str = "object";
