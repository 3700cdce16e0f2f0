//! The signer on requests whose signatures the official SDKs publish, and on what cannot be signed.

use std::time::UNIX_EPOCH;

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

/// The cases of `signer/v4_test.go` of alibabacloud-oss-go-sdk-v2, which all SDKs of that generation have.
#[test]
fn cases_of_the_sdks() {
    let query = "?param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2&%7Cparam2&param2";
    let url = Url::parse(&format!(
        "http://examplebucket.oss-cn-hangzhou.aliyuncs.com/{query}"
    ));
    let url = url.unwrap();
    let fields = headers(
        "x-oss-head1: value\nabc: value\nZAbc: value\nXYZ: value\ncontent-type: text/plain",
    );
    let credentials = OssCredentials::new("ak", "sk");
    let resource = Resource::object("bucket", "1234+-/123/1.txt");
    let check = |credentials: &OssCredentials, seconds: u64, names: &[&str], expected: &str| {
        let request = Request::new(&Method::PUT, &url, &fields, resource).additional(names);
        let added = sign(request, credentials, "cn-hangzhou", at(seconds)).unwrap();
        assert_eq!(added["authorization"], expected);
    };
    check(
        &credentials,
        1_702_743_657,
        &[],
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,\
         Signature=e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe",
    );
    let with_token = credentials.clone().security_token("token");
    check(
        &with_token,
        1_702_784_856,
        &[],
        "OSS4-HMAC-SHA256 Credential=ak/20231217/cn-hangzhou/oss/aliyun_v4_request,\
         Signature=b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
    );
    check(
        &credentials,
        1_702_747_512,
        &["abc", "ZAbc"],
        "OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,\
         AdditionalHeaders=abc;zabc,\
         Signature=4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
    );
}

#[test]
fn signed_urls_replace_older_signatures() {
    let url = Url::parse("https://b.h/k?uploads=&x-oss-signature=old&x-oss-date=1").unwrap();
    let none = HeaderMap::new();
    let request = Request::new(&Method::POST, &url, &none, Resource::object("b", "k"));
    let credentials = OssCredentials::new("ak", "s3cret").security_token("t+");
    let life = Duration::from_secs(60);
    let request = request.additional(&["host"]);
    let signed = presign(request, &credentials, "r", at(1_769_862_896), life).unwrap();
    let start = "https://b.h/k?uploads&x-oss-signature-version=OSS4-HMAC-SHA256\
        &x-oss-date=20260131T123456Z&x-oss-expires=60\
        &x-oss-credential=ak%2F20260131%2Fr%2Foss%2Faliyun_v4_request\
        &x-oss-security-token=t%2B&x-oss-additional-headers=host&x-oss-signature=";
    assert!(signed.as_str().starts_with(start), "{signed}");
    assert_eq!(signed.as_str().len(), start.len() + 64);
}

#[test]
fn nothing_secret_is_shown() {
    let credentials = OssCredentials::new("ak", "s3cret").security_token("t0ken");
    let url = Url::parse("https://h/k").unwrap();
    let none = HeaderMap::new();
    let request = Request::new(&Method::GET, &url, &none, Resource::service());
    let added = sign(request, &credentials, "r", at(0)).unwrap();
    let shown = format!("{credentials:?} {added:?}");
    for secret in ["s3cret", "t0ken", "Signature"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn what_cannot_be_signed() {
    let url = Url::parse("https://h/k").unwrap();
    let none = HeaderMap::new();
    let request = Request::new(&Method::GET, &url, &none, Resource::service());
    for life in [0, LONGEST_LIFE + 1] {
        let (key, life) = (OssCredentials::new("ak", "sk"), Duration::from_secs(life));
        let error = presign(request, &key, "r", at(0), life).unwrap_err();
        let expected = "invalid life: a signed URL lives for a second to seven days";
        assert_eq!(error.to_string(), expected);
    }
    let odd = OssCredentials::new("a\nk", "sk");
    let error = sign(request, &odd, "r", at(0)).unwrap_err();
    let expected = "invalid access key id: it cannot be in a header field";
    assert_eq!(error.to_string(), expected);
}
