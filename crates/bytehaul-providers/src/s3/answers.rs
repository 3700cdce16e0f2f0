//! What an answer of S3 means, whatever it was asked: its status, the code in its body, and the fields that say more.

use std::fmt;
use std::time::SystemTime;

use http::StatusCode;

use crate::{Answer, Fault, ProtocolError, ProtocolErrorKind, clock, said, xml};

/// What an answer says of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    /// The credentials have expired, or do not open this.
    Refused(Said),
    /// The bucket is in this region.
    Elsewhere(String, Said),
    /// There is no such upload, or there is one no longer.
    Gone(Said),
    /// Other bytes came than were meant.
    Corrupt(Said),
    /// Another try may be answered otherwise.
    Passing(Said),
    /// Any other one would be answered the same.
    Final(Said),
}

/// A status and the code of the error body, which is all that is shown of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) code: Option<String>,
    /// What the server's clock says, where ours is wrong.
    skew: Option<String>,
    /// Where the bucket is said to be, where that is not followed.
    region: Option<String>,
}

pub(super) fn verdict(answer: &Answer<'_>, now: SystemTime) -> Verdict {
    let status = answer.status;
    // S3 begins to answer a completion before it knows how it ends: 200 with an error in the body.
    let code = said::error_code(answer.body);
    let mut said = Said {
        status,
        code,
        skew: None,
        region: None,
    };
    let code = said.code.clone().unwrap_or_default();
    if status.is_success() && said.code.is_none() {
        return Verdict::Taken;
    }
    if SKEWED.contains(&&*code) {
        let theirs = answer.header("date").unwrap_or("not in the answer");
        let theirs: String = theirs
            .chars()
            .filter(|c| !c.is_control())
            .take(40)
            .collect();
        let ours = httpdate::fmt_http_date(clock::within_reason(now));
        said.skew = Some(format!("the server's says {theirs}, this one {ours}"));
        return Verdict::Final(said);
    }
    if let Some(region) = elsewhere(answer, &code) {
        return Verdict::Elsewhere(region, said);
    }
    if code == "NoSuchUpload" {
        Verdict::Gone(said)
    } else if CORRUPT.contains(&&*code) {
        Verdict::Corrupt(said)
    } else if said::is_passing(&code) || PASSING.contains(&&*code) || is_passing(status) {
        Verdict::Passing(said)
    } else if matches!(status.as_u16(), 401 | 403) || EXPIRED.contains(&&*code) {
        Verdict::Refused(said)
    } else {
        Verdict::Final(said)
    }
}

impl Said {
    /// The fault of a request that is not taken and that neither credentials nor another region would help.
    pub(super) fn fault(&self, place: &str) -> Fault {
        if let Some(skew) = &self.skew {
            let what = format!("{place}: {self}: a clock is wrong: {skew}");
            return ProtocolError::new(ProtocolErrorKind::Status(self.status), what).into();
        }
        if let Some(region) = &self.region {
            let what = format!("the bucket is in {region}: {self}");
            return ProtocolError::new(ProtocolErrorKind::Status(self.status), what).into();
        }
        if is_passing(self.status) {
            return Fault::Status;
        }
        let code = self.code.as_deref().unwrap_or_default();
        if said::is_passing(code) || PASSING.contains(&code) || CORRUPT.contains(&code) {
            return Fault::Again(format!("{place}: {self}"));
        }
        let kind = match self.status {
            StatusCode::PRECONDITION_FAILED => ProtocolErrorKind::Changed,
            status => ProtocolErrorKind::Status(status),
        };
        ProtocolError::new(kind, format!("{place}: {self}")).into()
    }

    /// The same of a bucket that is said to be in a region where it is not looked for.
    pub(super) fn in_region(self, region: &str) -> Self {
        let region = Some(shown(region));
        Self { region, ..self }
    }

    /// Whether it may refuse credentials without a word: HEAD has no body to say what is wrong with them.
    pub(super) fn is_mute(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST && self.code.is_none()
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        match &self.code {
            Some(code) => write!(f, ", {code}"),
            None => Ok(()),
        }
    }
}

/// A region as it is shown: as a word, whatever a server calls one.
pub(super) fn shown(region: &str) -> String {
    let graphic = region.chars().filter(char::is_ascii_graphic);
    graphic.take(40).collect()
}

/// The region that the bucket is in, if the answer says that it is not where it was asked for.
fn elsewhere(answer: &Answer<'_>, code: &str) -> Option<String> {
    let moved = matches!(answer.status.as_u16(), 301 | 307)
        || ["AuthorizationHeaderMalformed", "PermanentRedirect"].contains(&code)
        // The answer to HEAD has no body.
        || (answer.status == StatusCode::BAD_REQUEST && answer.body.is_empty());
    if !moved {
        return None;
    }
    let field = answer.header("x-amz-bucket-region").map(str::to_owned);
    field.or_else(|| xml::at(answer.body, &["Error", "Region"]))
}

/// Statuses that the driver tries again.
fn is_passing(status: StatusCode) -> bool {
    let is_unknown = status == StatusCode::NOT_IMPLEMENTED;
    matches!(status.as_u16(), 408 | 425 | 429) || (status.is_server_error() && !is_unknown)
}

const SKEWED: [&str; 1] = ["RequestTimeTooSkewed"];
/// What says the same as 403 with another status.
const EXPIRED: [&str; 4] = [
    "ExpiredToken",
    "InvalidToken",
    "RequestExpired",
    "TokenRefreshRequired",
];
const CORRUPT: [&str; 5] = [
    "BadDigest",
    "IncompleteBody",
    "InvalidDigest",
    "XAmzContentChecksumMismatch",
    "XAmzContentSHA256Mismatch",
];
/// More of what passes. A conflict of conditional requests is decided when the other one has ended.
const PASSING: [&str; 2] = ["ConditionalRequestConflict", "RequestTimeTooFast"];

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use http::HeaderMap;
    use url::Url;

    use super::*;

    fn read(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        let url = Url::parse("http://h/k").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer::new(status, &headers, &body, &url);
        let now = UNIX_EPOCH + Duration::from_secs(1_769_862_896);
        let shown = |said: Said| match said.fault("part 1") {
            Fault::Status => "status".to_owned(),
            Fault::Again(what) | Fault::Now(what) => format!("again {what}"),
            Fault::Fatal(error) => format!("{:?} {error}", error.kind()),
        };
        match verdict(&answer, now) {
            Verdict::Taken => "taken".to_owned(),
            Verdict::Refused(_) => "refused".to_owned(),
            Verdict::Elsewhere(region, _) => format!("in {region}"),
            Verdict::Gone(_) => "gone".to_owned(),
            Verdict::Corrupt(said) => format!("corrupt: {}", shown(said)),
            Verdict::Passing(said) => format!("passing: {}", shown(said)),
            Verdict::Final(said) => format!("final: {}", shown(said)),
        }
    }

    #[test]
    fn verdicts() {
        let check = |status, fields: &[_], code: &str, expected: &str| {
            let body = match code {
                "" => String::new(),
                code => {
                    format!("<Error><Code>{code}</Code><Message>http://h/?secret</Message></Error>")
                }
            };
            assert_eq!(read(status, fields, &body), expected, "{status} {code}");
        };
        check(200, &[], "", "taken");
        check(204, &[], "", "taken");
        check(
            200,
            &[],
            "InternalError",
            "passing: again part 1: status 200, InternalError",
        );
        check(
            200,
            &[],
            "Odd",
            "final: Status(200) part 1: status 200, Odd",
        );
        check(503, &[], "SlowDown", "passing: status");
        check(
            400,
            &[],
            "RequestTimeout",
            "passing: again part 1: status 400, RequestTimeout",
        );
        check(403, &[], "", "refused");
        check(403, &[], "SignatureDoesNotMatch", "refused");
        check(400, &[], "ExpiredToken", "refused");
        check(404, &[], "NoSuchUpload", "gone");
        check(
            404,
            &[],
            "NoSuchBucket",
            "final: Status(404) part 1: status 404, NoSuchBucket",
        );
        check(
            400,
            &[],
            "BadDigest",
            "corrupt: again part 1: status 400, BadDigest",
        );
        check(
            412,
            &[],
            "PreconditionFailed",
            "final: Changed part 1: status 412, PreconditionFailed",
        );
        check(
            403,
            &[("date", "Sat, 31 Jan 2026 14:00:00 GMT")],
            "RequestTimeTooSkewed",
            "final: Status(403) part 1: status 403, RequestTimeTooSkewed: a clock is wrong: the server's \
             says Sat, 31 Jan 2026 14:00:00 GMT, this one Sat, 31 Jan 2026 12:34:56 GMT",
        );
        let region = [("x-amz-bucket-region", "eu-west-1")];
        check(301, &region, "PermanentRedirect", "in eu-west-1");
        check(301, &region, "", "in eu-west-1");
        check(400, &region, "", "in eu-west-1");
        check(
            400,
            &region,
            "InvalidPart",
            "final: Status(400) part 1: status 400, InvalidPart",
        );
        check(403, &region, "AccessDenied", "refused");
        check(
            301,
            &[],
            "PermanentRedirect",
            "final: Status(301) part 1: status 301, PermanentRedirect",
        );
        let body =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>garage</Region></Error>";
        assert_eq!(read(400, &[], body), "in garage");
    }
}
