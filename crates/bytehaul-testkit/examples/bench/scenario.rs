//! The scenarios: what is served by whom, which programs compete, and the ideal where there is one.

use std::time::Duration;

use bytehaul_testkit::nginx::Nginx;
use bytehaul_testkit::{Behaviour, Effect, Object, Server, When};
use clap::ValueEnum;

use crate::contender::Contender;
use crate::files::{Files, LARGE};

/// A question that the comparison answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The large file from nginx over one connection.
    One,
    /// The large file from nginx over eight connections.
    Eight,
    /// The large file with its SHA-256 verified.
    Sha256,
    /// 500 files of 64 KiB.
    #[value(name = "small-500")]
    Small500,
    /// 2,000 files of 64 KiB.
    #[value(name = "small-2000")]
    Small2000,
    /// 128 MiB, 4 MiB/s for each connection.
    Capped,
    /// The same with one connection in four ten times slower.
    Straggler,
    /// The same with one connection in four stalling for good.
    Stalled,
    /// 128 MiB, 8 MiB/s for each connection, every answer reset after 1 to 7 MiB.
    Resets,
    /// The capped one with 50 ms before each answer.
    Latency,
    /// How long the command takes to say its version.
    Startup,
}

/// A scenario that is set up: while it lives, its server runs.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) title: String,
    pub(crate) url: String,
    pub(crate) work: Work,
    /// The best possible wall time, where the path decides it.
    pub(crate) ideal: Option<Duration>,
    _server: Option<Running>,
}

/// What has to be there afterwards.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Whole(Object),
    Small {
        list: std::path::PathBuf,
        count: usize,
    },
    Nothing,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held to keep the server running, never read")]
enum Running {
    Nginx(Nginx),
    Scripted(Server),
}

impl Scenario {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    pub(crate) fn contenders(self) -> Vec<Contender> {
        use Contender::{
            Aria2, Bytehaul, Curl, CurlSha256, Limit, LimitLargeBuffer, LimitSha256, LimitSync,
        };
        match self {
            Self::One => vec![
                Limit(1),
                LimitLargeBuffer,
                LimitSync(1),
                Bytehaul(1),
                Curl,
                Aria2(1),
            ],
            Self::Eight => vec![Limit(8), LimitSync(8), Bytehaul(8), Curl, Aria2(8)],
            Self::Sha256 => vec![
                LimitSha256,
                Contender::BytehaulSha256(1),
                Contender::BytehaulSha256(8),
                CurlSha256,
                Contender::Aria2Sha256(8),
            ],
            Self::Small500 | Self::Small2000 => {
                vec![
                    Contender::LimitList,
                    Contender::BytehaulList,
                    Contender::CurlList,
                    Contender::Aria2List,
                ]
            }
            Self::Capped | Self::Straggler | Self::Stalled | Self::Resets | Self::Latency => {
                vec![Contender::BytehaulAuto, Bytehaul(8), Aria2(8)]
            }
            Self::Startup => vec![Contender::CurlVersion, Contender::BytehaulVersion],
        }
    }

    pub(crate) fn stage(self, files: &Files) -> Result<Stage, String> {
        let mebibytes = files.large.len() >> 20;
        match self {
            Self::One => large(files, format!("{mebibytes} MiB from nginx, one connection")),
            Self::Eight => large(
                files,
                format!("{mebibytes} MiB from nginx, eight connections"),
            ),
            Self::Sha256 => large(
                files,
                format!("{mebibytes} MiB from nginx, SHA-256 verified"),
            ),
            Self::Small500 => small(files, 500),
            Self::Small2000 => small(files, 2000),
            Self::Capped => Ok(emulated(
                "4 MiB/s for each connection",
                capped(),
                Some(IDEAL_CAPPED),
            )),
            Self::Straggler => {
                let slow = capped().when(ONE_IN_FOUR, Effect::Rate(CAP / 10));
                Ok(emulated(
                    "one connection in four ten times slower",
                    slow,
                    Some(IDEAL_STRAGGLER),
                ))
            }
            Self::Stalled => {
                let stalls = capped().when(ONE_IN_FOUR, Effect::StallAfter(1 << 20));
                Ok(emulated(
                    "one connection in four stalls",
                    stalls,
                    Some(IDEAL_STALLED),
                ))
            }
            Self::Resets => {
                let resets = Behaviour::new()
                    .rate(2 * CAP)
                    .always(Effect::ResetWithin(1 << 20..7 << 20));
                Ok(emulated(
                    "8 MiB/s for each connection, resets at random bytes",
                    resets,
                    Some(IDEAL_RESETS),
                ))
            }
            Self::Latency => {
                let late = capped().latency(Duration::from_millis(50));
                Ok(emulated(
                    "50 ms before each answer",
                    late,
                    Some(IDEAL_CAPPED),
                ))
            }
            Self::Startup => Ok(Stage {
                title: "start-up: --version".to_owned(),
                url: String::new(),
                work: Work::Nothing,
                ideal: None,
                _server: None,
            }),
        }
    }
}

fn large(files: &Files, title: String) -> Result<Stage, String> {
    let nginx = nginx(files)?;
    let url = nginx.url(&format!("/files/{LARGE}"));
    let work = Work::Whole(files.large.clone());
    Ok(Stage {
        title,
        url,
        work,
        ideal: None,
        _server: Some(Running::Nginx(nginx)),
    })
}

fn small(files: &Files, count: usize) -> Result<Stage, String> {
    let nginx = nginx(files)?;
    let list = files.list(&nginx.url("/files/"), count)?;
    let title = format!("{count} files of 64 KiB from nginx");
    let work = Work::Small { list, count };
    Ok(Stage {
        title,
        url: String::new(),
        work,
        ideal: None,
        _server: Some(Running::Nginx(nginx)),
    })
}

fn nginx(files: &Files) -> Result<Nginx, String> {
    Nginx::start(&files.served).ok_or_else(|| "nginx is not installed".to_owned())
}

fn emulated(title: &str, behaviour: Behaviour, ideal: Option<Duration>) -> Stage {
    let server = Server::spawn_thread();
    let object = Object::random(1, EMULATED_LEN);
    server.serve(format!("/{LARGE}"), object.clone().behaviour(behaviour));
    Stage {
        title: format!("128 MiB, {title}"),
        url: server.url(&format!("/{LARGE}")),
        work: Work::Whole(object),
        ideal,
        _server: Some(Running::Scripted(server)),
    }
}

fn capped() -> Behaviour {
    Behaviour::new().rate(CAP)
}

const ONE_IN_FOUR: When = When::Connections { every: 4, index: 1 };
const CAP: u64 = 4 << 20;
const EMULATED_LEN: u64 = 128 << 20;
/// 128 MiB over eight connections of 4 MiB/s.
const IDEAL_CAPPED: Duration = Duration::from_millis(4000);
/// Six connections of 4 MiB/s and two of 0.4 MiB/s.
const IDEAL_STRAGGLER: Duration = Duration::from_millis(5161);
/// Six connections of 4 MiB/s, and two that gave 1 MiB each.
const IDEAL_STALLED: Duration = Duration::from_millis(5250);
/// 128 MiB over eight connections of 8 MiB/s, when resets cost nothing.
const IDEAL_RESETS: Duration = Duration::from_millis(2000);
