//! What can be enqueued, and what makes two tasks the same.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytehaul_schedule::transfers::{Direction, Priority};
use bytehaul_transport::SafeUrl;
use url::Url;

use crate::manager::error::TransferError;
use crate::manager::event::TransferEvent;
use crate::spec::DownloadSpec;
use crate::upload::{UploadSource, UploadSpec};

/// A download or an upload, for a [`TransferManager`](crate::TransferManager).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transfer {
    /// From a server to a file.
    Download(Box<DownloadSpec>),
    /// From this machine to a server.
    Upload(Box<UploadSpec>),
}

impl From<DownloadSpec> for Transfer {
    fn from(spec: DownloadSpec) -> Self {
        Self::Download(Box::new(spec))
    }
}

impl From<UploadSpec> for Transfer {
    fn from(spec: UploadSpec) -> Self {
        Self::Upload(Box::new(spec))
    }
}

impl Transfer {
    /// Which way the bytes go.
    pub fn direction(&self) -> Direction {
        match self {
            Self::Download(_) => Direction::Download,
            Self::Upload(_) => Direction::Upload,
        }
    }

    /// Checks every field without sending or opening anything.
    ///
    /// # Errors
    /// What [`DownloadSpec::validate`] or [`UploadSpec::validate`] says.
    pub fn validate(&self) -> Result<(), TransferError> {
        match self {
            Self::Download(spec) => spec.validate()?,
            Self::Upload(spec) => spec.validate()?,
        }
        Ok(())
    }

    /// What makes two tasks the same: direction, source and target, without credentials and signatures.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Download(spec) => {
                let url = Url::parse(spec.url.trim());
                let url = url.map(|url| SafeUrl::from(&url).identity());
                let url = url.unwrap_or_else(|_| crate::session::shown(&spec.url));
                format!("download {url} {}", place(spec))
            }
            Self::Upload(spec) => format!("upload {}", spec.identity()),
        }
    }

    /// Where the bytes come from, and where they go, for people.
    pub(super) fn shown(&self) -> (String, String) {
        match self {
            Self::Download(spec) => (crate::session::shown(&spec.url), place(spec)),
            Self::Upload(spec) => {
                let source = match &spec.source {
                    UploadSource::File(path) => absolute(path),
                    UploadSource::Bytes(_) | UploadSource::Reader(_) => {
                        spec.name.clone().unwrap_or_default()
                    }
                };
                (source, crate::session::shown(&spec.protocol.target()))
            }
        }
    }
}

/// The file, or the directory of an automatic name.
fn place(spec: &DownloadSpec) -> String {
    match &spec.output_path {
        Some(path) => absolute(path),
        None => format!("{}/", absolute(&spec.output_dir).trim_end_matches('/')),
    }
}

/// Without a look at the disk.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    let path = absolute.as_deref().unwrap_or(path);
    path.display().to_string()
}

/// How a task is to be taken up. Everything has a default.
#[derive(Clone, Default)]
#[must_use]
pub struct TaskOptions {
    pub(super) priority: Priority,
    pub(super) beginning: Beginning,
    pub(super) label: Option<String>,
    pub(super) listeners: Vec<Listener>,
}

/// Called with each event.
pub(super) type Listener = Arc<dyn Fn(&TransferEvent) + Send + Sync>;

/// What a new task does first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Beginning {
    #[default]
    Queued,
    Paused,
}

impl TaskOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much the task is wished for: the highest starts first, among equals the one that has waited longest. Default 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Priority(priority);
        self
    }

    /// It does nothing until it is resumed. Default: it waits for a slot.
    pub fn paused(mut self) -> Self {
        self.beginning = Beginning::Paused;
        self
    }

    /// What the application calls the task: carried in each of its events, with no meaning here. Default: nothing.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Called with each event of the task, from the very first to the terminal one; see
    /// [`TransferManager::on_event`](crate::TransferManager::on_event) for how.
    pub fn on_event(mut self, listener: impl Fn(&TransferEvent) + Send + Sync + 'static) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }
}

impl fmt::Debug for TaskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskOptions")
            .field("priority", &self.priority)
            .field("beginning", &self.beginning)
            .field("label", &self.label)
            .field("listeners", &self.listeners.len())
            .finish()
    }
}
