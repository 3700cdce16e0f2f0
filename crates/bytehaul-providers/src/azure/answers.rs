//! What an answer of the service means.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::StatusCode;

use crate::{Answer, Fault, ProtocolError, ProtocolErrorKind, said};

/// What an answer says of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    /// Whoever asks may not, or may no longer.
    Refused(Said),
    /// Anything else.
    Not(Said),
}

/// A status, the service's word for it, and what a clock that is wrong has to do with it: all that is shown of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    code: Option<String>,
    clock: Option<String>,
}

pub(super) fn verdict(answer: &Answer<'_>, now: SystemTime) -> Verdict {
    let status = answer.status;
    if status.is_success() {
        return Verdict::Taken;
    }
    let is_refused = matches!(status.as_u16(), 401 | 403);
    let named = answer.header("x-ms-error-code").map(word);
    let said = Said {
        status,
        code: named.or_else(|| said::error_code(answer.body)),
        clock: is_refused.then(|| clocks(answer, now)).flatten(),
    };
    match is_refused {
        true => Verdict::Refused(said),
        false => Verdict::Not(said),
    }
}

impl Said {
    pub(super) fn is(&self, codes: &[&str]) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| codes.contains(&code))
    }

    /// Whether there is no such blob, or not even its container.
    pub(super) fn is_absent(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && !self.is(&["ContainerNotFound", "ResourceNotFound"])
    }

    /// Whether a condition says that the blob is there although it must not be.
    pub(super) fn exists_already(&self) -> bool {
        self.status == StatusCode::PRECONDITION_FAILED
            || self.is(&["BlobAlreadyExists", "ConditionNotMet"])
    }

    /// Whether blocks that were to be committed are not there.
    pub(super) fn lacks_blocks(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST && self.is(&["InvalidBlockList"])
    }

    /// Whether the bytes that arrived are not those that were read. Emulators have a word for it that means more than that.
    pub(super) fn are_other_bytes(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
            && self.is(&["Md5Mismatch", "Crc64Mismatch", "InvalidOperation"])
    }

    /// The fault of a request that nobody else's credentials would help.
    pub(super) fn fault(&self, place: &str) -> Fault {
        let status = self.status;
        if matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error() {
            return Fault::Status;
        }
        if self.are_other_bytes() {
            return Fault::Again(format!("{place}: {self}"));
        }
        let kind = match self.exists_already() {
            true => ProtocolErrorKind::Changed,
            false => ProtocolErrorKind::Status(status),
        };
        let hint = match self.is(&["InvalidBlobOrBlock", "InvalidBlockId"]) {
            true => {
                ": another program has staged blocks for this blob whose names have another length; they expire within a week"
            }
            false => "",
        };
        ProtocolError::new(kind, format!("{place}: {self}{hint}")).into()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        for more in [&self.code, &self.clock].into_iter().flatten() {
            write!(f, ", {more}")?;
        }
        Ok(())
    }
}

/// What is shown of a text that should be a word.
fn word(text: &str) -> String {
    let letters = text.chars().take(64);
    letters.filter(char::is_ascii_alphanumeric).collect()
}

/// How far the clocks are apart, if it is so far that signatures are not taken for it.
fn clocks(answer: &Answer<'_>, now: SystemTime) -> Option<String> {
    let date = answer.header("date")?;
    let there = httpdate::parse_http_date(date).ok()?;
    let (apart, how) = match now.duration_since(there) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let minutes = apart.as_secs() / 60;
    let there = httpdate::fmt_http_date(there);
    (apart > MOST_APART)
        .then(|| format!("the clock here is {minutes} minutes {how} the server's ({there})"))
}

/// A request is signed for a quarter of an hour, a SAS to the second.
const MOST_APART: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderName};
    use url::Url;

    use super::*;

    #[test]
    fn answers_and_their_faults() {
        let now = UNIX_EPOCH + Duration::from_secs(1_769_862_896);
        let check = |status: u16, fields: &[(&str, &str)], body: &str, expected: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let name: HeaderName = name.parse().unwrap();
                headers.append(name, value.parse().unwrap());
            }
            let url = Url::parse("http://h/").unwrap();
            let body = Bytes::copy_from_slice(body.as_bytes());
            let status = StatusCode::from_u16(status).unwrap();
            let shown = match verdict(&Answer::new(status, &headers, &body, &url), now) {
                Verdict::Taken => "taken".to_owned(),
                Verdict::Refused(said) => format!("refused: {said}"),
                Verdict::Not(said) => match said.fault("block 1") {
                    Fault::Fatal(error) => format!("{:?} {error}", error.kind()),
                    Fault::Again(what) => format!("again {what}"),
                    other => format!("{other:?}"),
                },
            };
            assert_eq!(shown, expected);
        };
        let code = |code: &'static str| [("x-ms-error-code", code)];
        check(201, &[], "", "taken");
        check(503, &code("ServerBusy"), "", "Status");
        check(
            500,
            &[],
            "<Error><Code>InternalError</Code></Error>",
            "Status",
        );
        check(429, &[], "", "Status");
        check(
            400,
            &code("Md5Mismatch"),
            "",
            "again block 1: status 400, Md5Mismatch",
        );
        check(
            404,
            &[],
            "<?xml version=\"1.0\"?><Error><Code>ContainerNotFound</Code><Message>s3cret</Message></Error>",
            "Status(404) block 1: status 404, ContainerNotFound",
        );
        check(
            409,
            &code("BlobAlreadyExists"),
            "",
            "Changed block 1: status 409, BlobAlreadyExists",
        );
        check(412, &[], "", "Changed block 1: status 412");
        check(403, &code("A b?sig=s"), "", "refused: status 403, Absigs");
        let late = ("date", "Sat, 31 Jan 2026 13:36:56 GMT");
        check(
            403,
            &[("x-ms-error-code", "AuthenticationFailed"), late],
            "",
            "refused: status 403, AuthenticationFailed, the clock here is 62 minutes behind the server's (Sat, 31 Jan 2026 13:36:56 GMT)",
        );
        check(
            403,
            &[("date", "Sat, 31 Jan 2026 12:34:00 GMT")],
            "",
            "refused: status 403",
        );
        check(403, &[("date", "never")], "", "refused: status 403");
        check(
            401,
            &[("date", "Fri, 30 Jan 2026 12:34:56 GMT")],
            "",
            "refused: status 401, the clock here is 1440 minutes ahead of the server's (Sat, 31 Jan 2026 12:34:56 GMT)"
                .replace("(Sat, 31", "(Fri, 30").as_str(),
        );
    }
}
