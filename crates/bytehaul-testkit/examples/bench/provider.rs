//! The comparison of providers: one large object up and down with credentials, by `bytehaul`, the official SDKs and rclone.

mod contender;
mod shop;

use std::path::PathBuf;
use std::time::Duration;

use bytehaul_testkit::process::Process;
use clap::{Args, ValueEnum};

use self::contender::Contender;
use self::shop::{Provider, Shop};
use crate::files::sha256;
use crate::round::{Run, Runs, last_line};
use crate::upload::{self, Source, made_empty, table};

/// Moves a large object by each program in turn.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Whose; repeatable. Default: all.
    #[arg(long, value_enum)]
    provider: Vec<Provider>,
    /// Which way; repeatable. Default: both.
    #[arg(long, value_enum)]
    way: Vec<Way>,
    /// Rounds that count, after one that does not.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Size of the object: bytes, or with K, M or G.
    #[arg(long, default_value = "1G", value_parser = upload::size)]
    size: u64,
    /// Where the source and the copies go. Default: `bench` in the target directory. The servers keep what they get in the
    /// system's directory for temporary files (`TMPDIR`).
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only these programs, by the start of their names; repeatable. Default: all that are installed.
    #[arg(long)]
    only: Vec<String>,
}

/// Which way an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// To the provider.
    Up,
    /// From the provider.
    Down,
}

/// One transfer.
#[derive(Debug)]
pub(crate) struct Job {
    provider: Provider,
    way: Way,
    key: String,
    /// What is uploaded, or where it goes.
    file: PathBuf,
    /// A directory of its own, empty before.
    scratch: PathBuf,
}

impl Job {
    fn provider_word(&self) -> &'static str {
        match self.provider {
            Provider::S3 => "s3",
            Provider::Azure => "azure",
            Provider::Oss => "oss",
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    let source = Source::prepare(arguments.dir.as_deref(), arguments.size)?;
    let providers = match arguments.provider.is_empty() {
        true => Provider::value_variants(),
        false => &arguments.provider,
    };
    let ways = match arguments.way.is_empty() {
        true => Way::value_variants(),
        false => &arguments.way,
    };
    for provider in providers {
        for way in ways {
            compare(arguments, &source, *provider, *way)?;
        }
    }
    Ok(())
}

fn compare(
    arguments: &Arguments,
    source: &Source,
    provider: Provider,
    way: Way,
) -> Result<(), String> {
    let (mut contenders, missing) = contender::installed(provider, way)?;
    if !arguments.only.is_empty() {
        let is_wanted = |one: &Contender| {
            let mut wanted = arguments.only.iter();
            wanted.any(|name| one.name(provider).starts_with(name.as_str()))
        };
        contenders.retain(is_wanted);
    }
    let direction = match way {
        Way::Up => "to",
        Way::Down => "from",
    };
    let (size, name) = (source.len >> 20, provider.name());
    println!("\n## {size} MiB {direction} {name}, {AT_ONCE} parts of 8 MiB at once\n");
    if !missing.is_empty() {
        println!("Not installed, left out: {}.\n", missing.join(", "));
    }
    let runs = rounds(&contenders, source, provider, way, arguments.rounds)?;
    print!("{}", table::of(&runs));
    Ok(())
}

/// Runs every contender `rounds` times in changing order, after a round that is not counted; each object is compared.
fn rounds(
    contenders: &[Contender],
    source: &Source,
    provider: Provider,
    way: Way,
    rounds: usize,
) -> Result<Vec<Runs>, String> {
    let none = |one: &Contender| Runs {
        name: one.name(provider).to_owned(),
        runs: Ok(Vec::new()),
    };
    let mut all: Vec<Runs> = contenders.iter().map(none).collect();
    // What is downloaded is there once for all. Uploads find a server without any objects: not all give back the room of
    // what was deleted.
    let full = match way {
        Way::Up => None,
        Way::Down => Some(stocked(source, provider)?),
    };
    for round in 0..=rounds {
        for turn in 0..contenders.len() {
            let index = (turn + round) % contenders.len();
            let Ok(runs) = &mut all[index].runs else {
                continue;
            };
            let outcome = match &full {
                Some(shop) => download(contenders[index], source, shop, provider),
                None => upload(contenders[index], source, provider),
            };
            match outcome {
                Ok(run) if round > 0 => runs.push(run),
                Ok(_) => (),
                Err(failure) => all[index].runs = Err(failure),
            }
        }
    }
    Ok(all)
}

/// A server with the object, put there by the official SDK.
fn stocked(source: &Source, provider: Provider) -> Result<Shop, String> {
    let shop = provider.open()?;
    let job = job(source, provider, Way::Up)?;
    execute(Contender::Sdk, source, &shop, &job)?;
    if shop.digest(&job.key)? != source.digest {
        return Err("the SDK stored other bytes".into());
    }
    Ok(shop)
}

fn upload(contender: Contender, source: &Source, provider: Provider) -> Result<Run, String> {
    let shop = provider.open()?;
    let job = job(source, provider, Way::Up)?;
    source.warm()?;
    rustix::fs::sync();
    let run = execute(contender, source, &shop, &job)?;
    match shop.digest(&job.key)? == source.digest {
        true => Ok(run),
        false => Err("the object has other bytes".into()),
    }
}

fn download(
    contender: Contender,
    source: &Source,
    shop: &Shop,
    provider: Provider,
) -> Result<Run, String> {
    let job = job(source, provider, Way::Down)?;
    rustix::fs::sync();
    let run = execute(contender, source, shop, &job)?;
    let digest = sha256(&job.file);
    made_empty(&job.scratch)?;
    match digest? == source.digest {
        true => Ok(run),
        false => Err("the file has other bytes".into()),
    }
}

fn job(source: &Source, provider: Provider, way: Way) -> Result<Job, String> {
    let scratch = source.scratch.path().join("run");
    made_empty(&scratch)?;
    let file = match way {
        Way::Up => source.file.clone(),
        Way::Down => scratch.join("copy.bin"),
    };
    Ok(Job {
        provider,
        way,
        key: "object.bin".to_owned(),
        file,
        scratch,
    })
}

fn execute(contender: Contender, source: &Source, shop: &Shop, job: &Job) -> Result<Run, String> {
    let command = contender.command(source, shop, job)?;
    let finished = Process::new(command)
        .timeout(TIMEOUT)
        .run()
        .map_err(|error| error.to_string())?;
    if !finished.success() {
        let said = finished.err();
        return Err(format!("{}: {}", finished.status, last_line(&said)));
    }
    Ok(Run {
        wall: finished.wall,
        usage: finished.usage,
    })
}

/// For all programs alike, where they can be told.
const AT_ONCE: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(600);
