//! A transfer as a value that outlives its process: what it takes to make the spec again, but for credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use bytehaul_schedule::transfers::Direction;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::manager::error::TransferError;
use crate::manager::transfer::Transfer;
use crate::spec::{DownloadSpec, Overwrite};

/// What a stored task is to do. Whoever runs it makes the spec of it, with the credentials, headers and network
/// settings that are not here.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Recipe {
    /// From a server to a file.
    Download(DownloadRecipe),
    /// From this machine to a server.
    Upload(UploadRecipe),
}

impl Recipe {
    /// Which way the bytes go.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Download(_) => Direction::Download,
            Self::Upload(_) => Direction::Upload,
        }
    }

    /// What makes two tasks the same, as in a [`TransferManager`](crate::TransferManager).
    pub(super) fn key(&self) -> Result<String, TransferError> {
        match self {
            Self::Download(recipe) => {
                let transfer = Transfer::from(recipe.spec()?);
                transfer.validate()?;
                Ok(transfer.key())
            }
            Self::Upload(recipe) => Ok(format!(
                "upload {} {} {}",
                recipe.protocol,
                // What is shown of two targets may be the same.
                crate::upload::job::target_identity(&recipe.target),
                recipe.source.display()
            )),
        }
    }
}

impl From<DownloadRecipe> for Recipe {
    fn from(recipe: DownloadRecipe) -> Self {
        Self::Download(recipe)
    }
}

impl From<UploadRecipe> for Recipe {
    fn from(recipe: UploadRecipe) -> Self {
        Self::Upload(recipe)
    }
}

/// A download to be stored. User name and password of a URL are not; a signature in its query is, because nothing could be
/// fetched without it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DownloadRecipe {
    /// See [`DownloadSpec::url`].
    pub url: String,
    /// URLs of mirrors.
    pub mirrors: Vec<String>,
    /// See [`DownloadSpec::output_path`]; absolute.
    pub output_path: Option<PathBuf>,
    /// See [`DownloadSpec::output_dir`]; absolute.
    pub output_dir: PathBuf,
    /// See [`DownloadSpec::max_connections`].
    pub max_connections: u32,
    /// See [`DownloadSpec::max_retries`].
    pub max_retries: u32,
    /// See [`DownloadSpec::max_download_speed`].
    pub max_download_speed: u64,
    /// See [`DownloadSpec::expected_size`].
    pub expected_size: Option<u64>,
    /// Such as `sha-256=9f86…`.
    pub checksum: Option<String>,
    /// Whether an existing target is replaced.
    pub overwrite: bool,
    /// What else the application wants back when the task runs.
    pub extra: BTreeMap<String, String>,
}

impl Default for DownloadRecipe {
    fn default() -> Self {
        Self::from(&DownloadSpec::new(""))
    }
}

impl DownloadRecipe {
    /// A download of `url` with the defaults of every field.
    pub fn new(url: impl Into<String>) -> Self {
        Self::from(&DownloadSpec::new(url))
    }

    /// The spec, to which credentials, headers and network settings are to be added.
    ///
    /// # Errors
    /// [`TransferError::Download`] when the checksum cannot be read.
    pub fn spec(&self) -> Result<DownloadSpec, TransferError> {
        let mut spec = DownloadSpec::new(&self.url);
        spec.mirrors = self.mirrors.iter().map(|url| url.as_str().into()).collect();
        spec.output_path.clone_from(&self.output_path);
        spec.output_dir.clone_from(&self.output_dir);
        spec.max_connections = self.max_connections;
        spec.max_retries = self.max_retries;
        spec.max_download_speed = self.max_download_speed;
        spec.expected_size = self.expected_size;
        spec.checksum = self.checksum.as_deref().map(str::parse).transpose()?;
        if self.overwrite {
            spec.overwrite = Overwrite::Replace;
        }
        Ok(spec)
    }
}

impl From<&DownloadSpec> for DownloadRecipe {
    /// What of a spec can be stored; nothing of its headers, credentials, network settings and protocol.
    fn from(spec: &DownloadSpec) -> Self {
        Self {
            url: without_password(&spec.url),
            mirrors: spec
                .mirrors
                .iter()
                .map(|m| without_password(&m.url))
                .collect(),
            output_path: spec.output_path.as_deref().map(absolute),
            output_dir: absolute(&spec.output_dir),
            max_connections: spec.max_connections,
            max_retries: spec.max_retries,
            max_download_speed: spec.max_download_speed,
            expected_size: spec.expected_size,
            checksum: spec.checksum.as_ref().map(ToString::to_string),
            overwrite: spec.overwrite == Overwrite::Replace,
            extra: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for DownloadRecipe {
    /// Shows URLs redacted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadRecipe")
            .field("url", &crate::session::shown(&self.url))
            .field("mirrors", &self.mirrors.len())
            .field("output_path", &self.output_path)
            .field("output_dir", &self.output_dir)
            .field("checksum", &self.checksum)
            .finish_non_exhaustive()
    }
}

/// An upload of a file to be stored. The protocol is a name and settings, of which whoever runs the task makes the protocol.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UploadRecipe {
    /// The file; absolute.
    pub source: PathBuf,
    /// Name of the protocol, such as `tus`.
    pub protocol: String,
    /// Where to: a URL without user name and password.
    pub target: String,
    /// See [`UploadSpec::name`](crate::UploadSpec#structfield.name).
    #[serde(default)]
    pub name: Option<String>,
    /// See [`UploadSpec::content_type`](crate::UploadSpec#structfield.content_type).
    #[serde(default)]
    pub content_type: Option<String>,
    /// See [`UploadSpec::metadata`](crate::UploadSpec#structfield.metadata).
    #[serde(default)]
    pub metadata: Vec<(String, String)>,
    /// See [`UploadSpec::part_size`](crate::UploadSpec#structfield.part_size).
    #[serde(default)]
    pub part_size: u64,
    /// See [`UploadSpec::max_connections`](crate::UploadSpec#structfield.max_connections).
    #[serde(default)]
    pub max_connections: u32,
    /// See [`UploadSpec::max_upload_speed`](crate::UploadSpec#structfield.max_upload_speed).
    #[serde(default)]
    pub max_upload_speed: u64,
    /// Settings of the protocol, and what else the application wants back when the task runs.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
}

impl UploadRecipe {
    /// An upload of this file by the protocol of this name.
    pub fn new(
        source: impl AsRef<Path>,
        protocol: impl Into<String>,
        target: impl AsRef<str>,
    ) -> Self {
        Self {
            source: absolute(source.as_ref()),
            protocol: protocol.into(),
            target: without_password(target.as_ref()),
            name: None,
            content_type: None,
            metadata: Vec::new(),
            part_size: 0,
            max_connections: 0,
            max_upload_speed: 0,
            extra: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for UploadRecipe {
    /// Shows the target redacted, and of settings and metadata nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadRecipe")
            .field("source", &self.source)
            .field("protocol", &self.protocol)
            .field("target", &crate::session::shown(&self.target))
            .finish_non_exhaustive()
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn without_password(text: &str) -> String {
    let Ok(mut url) = Url::parse(text.trim()) else {
        return text.to_owned();
    };
    if url.username().is_empty() && url.password().is_none() {
        return text.to_owned();
    }
    // Neither can fail for a URL that has them.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}
