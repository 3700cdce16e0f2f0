//! What an answer of OSS means, whatever it was asked: its status, the code of the error, and the fields that say more.

use std::fmt;
use std::time::SystemTime;

use bytehaul_integrity::Crc;
use data_encoding::BASE64;
use http::StatusCode;

use crate::{Answer, Digest, Fault, ProtocolError, ProtocolErrorKind, clock, said, xml};

/// What an answer says of its request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    /// The credentials have expired, or do not open this.
    Refused(Said),
    /// The bucket is behind this endpoint.
    Elsewhere(String, Said),
    /// There is no such upload, or there is one no longer.
    Gone(Said),
    /// Another try may be answered otherwise.
    Passing(Said),
    /// Any other one would be answered the same.
    Final(Said),
}

/// A status and the code of the error, which is all that is shown of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) code: Option<String>,
    /// What is wrong, where a code would not tell.
    hint: Option<String>,
}

pub(super) fn verdict(answer: &Answer<'_>, now: SystemTime) -> Verdict {
    let status = answer.status;
    let hidden = in_field(answer);
    let body: &[u8] = hidden.as_deref().unwrap_or(answer.body);
    let code = said::error_code(body);
    let mut said = Said {
        status,
        code,
        hint: None,
    };
    if status.is_success() && said.code.is_none() {
        return Verdict::Taken;
    }
    if said.is("RequestTimeTooSkewed") {
        let theirs = answer.header("date").unwrap_or("not in the answer");
        let theirs: String = theirs
            .chars()
            .filter(|c| !c.is_control())
            .take(40)
            .collect();
        let ours = httpdate::fmt_http_date(clock::within_reason(now));
        said.hint = Some(format!(
            "a clock is wrong: the server's says {theirs}, this one {ours}"
        ));
        return Verdict::Final(said);
    }
    if answer.header("x-oss-ec") == Some(WRONG_REGION) {
        said.hint = Some("the region is not that of the endpoint".to_owned());
        return Verdict::Final(said);
    }
    // The same code as for a lack of rights, but then it names an endpoint.
    if let Some(endpoint) = xml::at(body, &["Error", "Endpoint"]) {
        return Verdict::Elsewhere(endpoint, said);
    }
    let code = said.code.as_deref().unwrap_or_default();
    if code == "NoSuchUpload" {
        Verdict::Gone(said)
    } else if said::is_passing(code) || is_passing(status) {
        Verdict::Passing(said)
    } else if matches!(status.as_u16(), 401 | 403) {
        Verdict::Refused(said)
    } else {
        Verdict::Final(said)
    }
}

impl Said {
    /// The fault of a request that is not taken and that neither credentials nor another endpoint would help.
    pub(super) fn fault(&self, place: &str) -> Fault {
        if let Some(hint) = &self.hint {
            let what = format!("{place}: {self}: {hint}");
            return ProtocolError::new(ProtocolErrorKind::Status(self.status), what).into();
        }
        if is_passing(self.status) {
            return Fault::Status;
        }
        if self.code.as_deref().is_some_and(said::is_passing) {
            return Fault::Again(format!("{place}: {self}"));
        }
        ProtocolError::new(self.kind(), format!("{place}: {self}")).into()
    }

    fn kind(&self) -> ProtocolErrorKind {
        match self.exists_already() || self.status == StatusCode::PRECONDITION_FAILED {
            true => ProtocolErrorKind::Changed,
            false => ProtocolErrorKind::Status(self.status),
        }
    }

    /// The object is there although it must not be replaced.
    pub(super) fn exists_already(&self) -> bool {
        self.is("FileAlreadyExists")
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(super) fn is_absent(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
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

/// The CRC-64 that the server has of what the answer speaks of: a part, or the object.
pub(super) fn crc64(answer: &Answer<'_>) -> Option<u64> {
    let text = answer.header("x-oss-hash-crc64ecma")?;
    Digest::parse_decimal(Crc::Crc64, text).ok()?.crc()
}

/// The error of an answer to `HEAD`, which has no body.
fn in_field(answer: &Answer<'_>) -> Option<Vec<u8>> {
    if answer.status.is_success() || !answer.body.is_empty() {
        return None;
    }
    BASE64
        .decode(answer.header("x-oss-err")?.trim().as_bytes())
        .ok()
}

/// Statuses that the driver tries again.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

/// The same code as for a dozen other things ([0002-00000226](https://help.aliyun.com/zh/oss/support/0002-00000226)).
const WRONG_REGION: &str = "0002-00000226";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bytes::Bytes;
    use http::HeaderMap;
    use url::Url;

    use super::*;

    fn read(status: u16, fields: &[(&'static str, &str)], body: &str) -> String {
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
            Verdict::Refused(said) => format!("refused: {}", shown(said)),
            Verdict::Elsewhere(endpoint, _) => format!("at {endpoint}"),
            Verdict::Gone(said) => format!("gone: {}", shown(said)),
            Verdict::Passing(said) => format!("passing: {}", shown(said)),
            Verdict::Final(said) => format!("final: {}", shown(said)),
        }
    }

    fn error(code: &str, more: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>http://h/?s3cret</Message>{more}</Error>"
        )
    }

    #[test]
    fn verdicts() {
        let check = |status, code: &str, expected: &str| {
            let body = match code {
                "" => String::new(),
                code => error(code, ""),
            };
            assert_eq!(read(status, &[], &body), expected, "{status} {code}");
        };
        check(200, "", "taken");
        check(204, "", "taken");
        check(
            200,
            "InternalError",
            "passing: again part 1: status 200, InternalError",
        );
        check(200, "Odd", "final: Status(200) part 1: status 200, Odd");
        check(503, "ServiceUnavailable", "passing: status");
        check(429, "", "passing: status");
        check(
            400,
            "RequestTimeout",
            "passing: again part 1: status 400, RequestTimeout",
        );
        check(403, "", "refused: Status(403) part 1: status 403");
        check(
            403,
            "SignatureDoesNotMatch",
            "refused: Status(403) part 1: status 403, SignatureDoesNotMatch",
        );
        check(
            404,
            "NoSuchUpload",
            "gone: Status(404) part 1: status 404, NoSuchUpload",
        );
        check(
            404,
            "NoSuchBucket",
            "final: Status(404) part 1: status 404, NoSuchBucket",
        );
        check(
            409,
            "FileAlreadyExists",
            "final: Changed part 1: status 409, FileAlreadyExists",
        );
        check(301, "", "final: Status(301) part 1: status 301");
    }

    #[test]
    fn more_than_a_code() {
        let moved = error(
            "AccessDenied",
            "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>",
        );
        assert_eq!(read(403, &[], &moved), "at oss-cn-beijing.aliyuncs.com");
        let argument = error("InvalidArgument", "");
        assert_eq!(
            read(400, &[("x-oss-ec", WRONG_REGION)], &argument),
            "final: Status(400) part 1: status 400, InvalidArgument: the region is not that of the endpoint"
        );
        let skewed = error("RequestTimeTooSkewed", "");
        assert_eq!(
            read(403, &[("date", "Sat, 31 Jan 2026 14:00:00 GMT")], &skewed),
            "final: Status(403) part 1: status 403, RequestTimeTooSkewed: a clock is wrong: the server's \
             says Sat, 31 Jan 2026 14:00:00 GMT, this one Sat, 31 Jan 2026 12:34:56 GMT"
        );
    }

    #[test]
    fn answers_to_head_hide_their_error() {
        let hidden = BASE64.encode(error("NoSuchKey", "").as_bytes());
        let expected = "final: Status(404) part 1: status 404, NoSuchKey";
        assert_eq!(read(404, &[("x-oss-err", &hidden)], ""), expected);
        let hidden = BASE64.encode(error("NoSuchUpload", "").as_bytes());
        assert_eq!(read(200, &[("x-oss-err", &hidden)], ""), "taken");
        for odd in ["", "!", "AAAA", "PEVycm9y"] {
            let expected = "final: Status(404) part 1: status 404";
            assert_eq!(read(404, &[("x-oss-err", odd)], ""), expected, "{odd}");
        }
    }
}
