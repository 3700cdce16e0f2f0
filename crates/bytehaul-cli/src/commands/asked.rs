//! Why a question to a provider that is no upload has no answer, and how that is told.

use std::error::Error;

use bytehaul::UploadError;
use bytehaul::protocol::http::StatusCode;
use bytehaul::protocol::{BoxError, Fault, ProtocolError, ProtocolErrorKind};

use crate::exit::Exit;
use crate::failure;
use crate::output::to_stderr;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    Network(UploadError),
    Protocol(ProtocolError),
    /// Nobody gave credentials.
    Access(BoxError),
    /// The provider could not answer, over and over.
    Unready(String),
}

impl Failed {
    /// What an answer means that is none to the question.
    pub(crate) fn of_answer(fault: Fault, status: StatusCode) -> Self {
        match fault {
            Fault::Fatal(error) => Self::Protocol(error),
            Fault::Again(what) | Fault::Now(what) => Self::Unready(what),
            _ => Self::Unready(format!("the server answered {status}")),
        }
    }

    /// Tells of it on stderr, and says the exit status.
    pub(crate) fn tell(&self, of: &str) -> Exit {
        let (error, exit): (&dyn Error, Exit) = match self {
            Self::Network(error) => (error, error.kind().into()),
            Self::Protocol(error) => (error, exit(error.kind())),
            Self::Access(error) => (&**error, Exit::Server),
            Self::Unready(what) => {
                to_stderr(format_args!(
                    "bytehaul: {}: {}",
                    of.escape_debug(),
                    failure::one_line(what)
                ));
                return Exit::Network;
            }
        };
        to_stderr(format_args!(
            "bytehaul: {}: {}",
            of.escape_debug(),
            failure::chain(error)
        ));
        if exit == Exit::Server {
            to_stderr(format_args!("hint: {}", failure::PROVIDER));
        }
        exit
    }
}

fn exit(kind: ProtocolErrorKind) -> Exit {
    match kind {
        ProtocolErrorKind::Parameter | ProtocolErrorKind::Length => Exit::Usage,
        ProtocolErrorKind::Status(status) if status.is_server_error() => Exit::Network,
        _ => Exit::Server,
    }
}

impl From<UploadError> for Failed {
    fn from(error: UploadError) -> Self {
        Self::Network(error)
    }
}

impl From<ProtocolError> for Failed {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<BoxError> for Failed {
    fn from(error: BoxError) -> Self {
        Self::Access(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_says_it_all_is_named() {
        for (status, expected) in [(429, "429 Too Many"), (503, "503 Service Unavailable")] {
            let status = StatusCode::from_u16(status).unwrap();
            let Failed::Unready(what) = Failed::of_answer(Fault::Status, status) else {
                panic!("{status} passes");
            };
            assert!(what.contains(expected), "{what}");
        }
    }
}
