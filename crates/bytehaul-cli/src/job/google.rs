//! Objects of Google Cloud Storage: which one a URL names, and under which token, by the environment.

use std::sync::Arc;

use bytehaul::protocol::{Gcs, GcsToken, UploadProtocol};
use url::Url;

use crate::job::provider::refused;
use crate::usage::UsageError;

/// Whether a URL names one.
pub(super) fn is_object(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("gs"))
}

/// The upload to `gs://BUCKET/OBJECT`.
pub(super) fn object(
    object: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Gcs, UsageError> {
    let Some(token) = TOKENS.iter().find_map(|name| given(variable, name)) else {
        let [first, second] = TOKENS;
        return Err(
            UsageError::new(format!("there is no token ({first} or {second})"))
                .hint("'gcloud auth print-access-token' prints one"),
        );
    };
    at_endpoint(object, &token, variable)
}

/// The upload by a URL that was signed for opening a session.
pub(super) fn signed(url: Url) -> Result<Gcs, UsageError> {
    Gcs::signed(url).map_err(refused)
}

/// The protocol of a record by its target, for discarding what it has staged: that takes no token, but the session's URL, which is
/// in the record. `None`: it is of another endpoint than the present one.
pub(super) fn of_target(
    target: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<Arc<dyn UploadProtocol>> {
    let object = match target.strip_prefix("gs+") {
        Some(url) => {
            let endpoint = endpoint(variable)?;
            let rest = url.strip_prefix(endpoint.as_str().trim_end_matches('/'))?;
            format!("gs:/{rest}")
        }
        None if is_object(target) => target.to_owned(),
        None => return Some(Arc::new(Gcs::signed(Url::parse(target).ok()?).ok()?)),
    };
    let to = at_endpoint(&object, "none", variable).ok()?;
    (to.target() == target).then(|| Arc::new(to) as Arc<dyn UploadProtocol>)
}

fn at_endpoint(
    object: &str,
    token: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Gcs, UsageError> {
    let to = Gcs::new(object, GcsToken::new(token)).map_err(refused)?;
    let Some(text) = given(variable, ENDPOINT) else {
        return Ok(to);
    };
    let Some(endpoint) = endpoint(variable) else {
        let shown = text.escape_debug();
        return Err(UsageError::new(format!("{ENDPOINT} is no URL: '{shown}'")));
    };
    to.endpoint(endpoint).map_err(refused)
}

/// Another endpoint than Google's; as its own libraries have it, the scheme may be left out.
fn endpoint(variable: &dyn Fn(&str) -> Option<String>) -> Option<Url> {
    let text = given(variable, ENDPOINT)?;
    match text.contains("://") {
        true => Url::parse(&text).ok(),
        false => Url::parse(&format!("http://{text}")).ok(),
    }
}

fn given(variable: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    let value = variable(name)?.trim().to_owned();
    (!value.is_empty()).then_some(value)
}

const TOKENS: [&str; 2] = ["GOOGLE_OAUTH_ACCESS_TOKEN", "CLOUDSDK_AUTH_ACCESS_TOKEN"];
const ENDPOINT: &str = "STORAGE_EMULATOR_HOST";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_of_objects_again() {
        let check = |endpoint: Option<&'static str>, name: &str| {
            let variable = |wanted: &str| match wanted {
                "CLOUDSDK_AUTH_ACCESS_TOKEN" => Some("t0ken".to_owned()),
                "STORAGE_EMULATOR_HOST" => endpoint.map(str::to_owned),
                _ => None,
            };
            let to = object(&format!("gs://b/{name}"), &variable).unwrap();
            assert!(!format!("{to:?}").contains("t0ken"));
            let again = of_target(&to.target(), &variable).unwrap();
            assert_eq!(again.target(), to.target());
        };
        for name in ["k", "a b/c?d#e%20+ü", "x//y"] {
            check(None, name);
            check(Some("127.0.0.1:9023"), name);
            check(Some("http://h.test/deep/"), name);
        }
        let none = |_: &str| None;
        assert!(of_target("gs+http://127.0.0.1:9023/b/k", &none).is_none());
        let signed = "https://storage.googleapis.com/b/k";
        assert_eq!(of_target(signed, &none).unwrap().target(), signed);
        let missing = object("gs://b/k", &none).unwrap_err().to_string();
        assert!(missing.contains("GOOGLE_OAUTH_ACCESS_TOKEN"), "{missing}");
    }
}
