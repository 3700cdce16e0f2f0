//! Which exit status each kind of failure gets.

use std::process::ExitCode;

use bytehaul::ErrorKind;

/// The exit statuses of the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Every file is complete and verified.
    Complete,
    /// Anything that no other status says.
    Other,
    /// The arguments are wrong; nothing was tried.
    Usage,
    /// The network: name not found, refused, TLS not trusted, timed out, retries exhausted.
    Network,
    /// The server's answer: 403, 404 and the like.
    Server,
    /// The bytes are wrong.
    Integrity,
    /// This machine: disk full, permission, target exists.
    Local,
    /// The remote file changed and the transfer could not be started over.
    RemoteChanged,
    /// A signal; the partial is kept.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::Network => 3,
            Self::Server => 4,
            Self::Integrity => 5,
            Self::Local => 6,
            Self::RemoteChanged => 7,
            Self::Interrupted => 130,
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Parameter => Self::Usage,
            ErrorKind::Network => Self::Network,
            ErrorKind::Server => Self::Server,
            ErrorKind::Integrity => Self::Integrity,
            ErrorKind::Local => Self::Local,
            ErrorKind::RemoteChanged => Self::RemoteChanged,
            ErrorKind::Stopped => Self::Interrupted,
            // `Internal`, and kinds that a later library may add.
            _ => Self::Other,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        let check =
            |kind: ErrorKind, code: u8| assert_eq!(Exit::from(kind).code(), code, "{kind:?}");
        check(ErrorKind::Internal, 1);
        check(ErrorKind::Parameter, 2);
        check(ErrorKind::Network, 3);
        check(ErrorKind::Server, 4);
        check(ErrorKind::Integrity, 5);
        check(ErrorKind::Local, 6);
        check(ErrorKind::RemoteChanged, 7);
        check(ErrorKind::Stopped, 130);
        assert_eq!(Exit::Complete.code(), 0);
    }
}
