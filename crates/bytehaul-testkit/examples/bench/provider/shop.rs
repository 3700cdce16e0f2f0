//! The servers that speak as providers do, and what each kind of program has to be told to use them.

use std::process::{Command, Stdio};
use std::time::Duration;

use bytehaul_testkit::uploads::{Azurite, OssServer, S3Server, Sas};
use clap::ValueEnum;
use serde_json::json;

use crate::files::digest;
use crate::upload::NOT_INSTALLED;

/// Whose objects are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// SeaweedFS.
    S3,
    /// Azurite.
    Azure,
    /// The test kit's own server of Aliyun OSS.
    Oss,
}

/// A server that runs while this lives.
#[derive(Debug)]
pub(crate) enum Shop {
    S3(Box<S3Server>),
    Azure(Box<Azurite>),
    Oss(Box<OssServer>),
}

/// What signs requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub(crate) access: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) bucket: &'static str,
}

impl Provider {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "SeaweedFS (S3)",
            Self::Azure => "Azurite (Azure Blob)",
            Self::Oss => "the OSS server of the test kit",
        }
    }

    pub(crate) fn open(self) -> Result<Shop, String> {
        match self {
            Self::S3 => {
                let server = Box::new(S3Server::start().ok_or(NOT_INSTALLED)?);
                // The first object makes the store allocate its volumes.
                server.put("first", &[0; 1 << 20]);
                Ok(Shop::S3(server))
            }
            Self::Azure => Ok(Shop::Azure(Box::new(
                Azurite::start().ok_or(NOT_INSTALLED)?,
            ))),
            Self::Oss => Ok(Shop::Oss(Box::new(
                OssServer::start().ok_or(NOT_INSTALLED)?,
            ))),
        }
    }

    pub(crate) fn keys(self) -> Keys {
        let (access, secret, bucket) = match self {
            Self::S3 => (S3Server::ACCESS_KEY, S3Server::SECRET_KEY, S3Server::BUCKET),
            Self::Azure => (Azurite::ACCOUNT, Azurite::KEY, Azurite::CONTAINER),
            Self::Oss => (
                OssServer::ACCESS_KEY,
                OssServer::SECRET_KEY,
                OssServer::BUCKET,
            ),
        };
        Keys {
            access,
            secret,
            bucket,
        }
    }
}

impl Shop {
    /// Past the gate, which would be measured too.
    pub(crate) fn endpoint(&self) -> String {
        match self {
            Self::S3(server) => server.direct_url(),
            Self::Azure(server) => {
                let container = server.direct_url("");
                let end = format!("/{}/", Azurite::CONTAINER);
                container.trim_end_matches(&end).to_owned()
            }
            Self::Oss(server) => server.direct_url(),
        }
    }

    /// SHA-256 of an object, in hex. It is not read into memory: what this process once had would count as that of each
    /// program that it starts.
    pub(crate) fn digest(&self, key: &str) -> Result<String, String> {
        let life = Duration::from_secs(3600);
        let url = match self {
            Self::S3(server) => server.presign("get_object", json!({ "Key": key }), life),
            Self::Azure(server) => {
                let sas = server.sas(key, Sas::new("r"));
                format!("{}?{sas}", server.direct_url(key))
            }
            Self::Oss(server) => server.presign("GetObject", json!({ "key": key }), life),
        };
        let mut curl = Command::new("curl")
            .args(["-sSf", "--noproxy", "*"])
            .arg(url)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("curl: {error}"))?;
        let body = curl.stdout.take().ok_or("curl has no output")?;
        let found = digest(body).map_err(|error| error.to_string())?;
        let ended = curl.wait().map_err(|error| format!("curl: {error}"))?;
        match ended.success() {
            true => Ok(found),
            false => Err("there is no object".into()),
        }
    }
}
