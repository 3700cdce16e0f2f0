//! What a server says of the region, where that is not what is wrong.

use super::{after_sending, earlier_complete, script};
use crate::CredentialSource;
use crate::s3::S3Credentials;

/// HEAD has no body to say why: with the region that is in use already, 400 is how an expired token is refused.
#[test]
fn a_look_that_is_refused_in_the_right_region() {
    let here = "400 [x-amz-bucket-region: us-east-1]";
    for refused in [here, "400"] {
        let renewed = S3Credentials::new("AK", "s3cret");
        let provider = move || std::future::ready(Ok(renewed.clone()));
        let complete = earlier_complete();
        script(&[
            ("HEAD", refused),
            ("HEAD", "200 [content-length: 10][etag: \"e\"]"),
        ])
        .config(|mut config| {
            config.credentials = CredentialSource::provider(provider);
            config
        })
        .left(complete)
        .ends("done \"e\"");
    }
    // Once.
    let lost = [
        ("POST uploadId=U", "lost"),
        ("POST uploadId=U", "404 !NoSuchUpload"),
        ("HEAD", here),
    ];
    after_sending(&lost).ends(
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, the next one was \
         status 404, NoSuchUpload, and asking for the object: status 400",
    );
}

/// After a lost completion nothing is a plain failure, not even a bucket that is said to be in a region where it is not.
#[test]
fn a_lost_completion_and_a_bucket_that_moves_about() {
    let moved = "301 [x-amz-bucket-region: eu-west-1] !PermanentRedirect";
    let again = "301 [x-amz-bucket-region: us-east-1] !PermanentRedirect";
    after_sending(&[
        ("POST uploadId=U", "lost"),
        ("POST uploadId=U", moved),
        ("bucket.s3.eu-west-1.amazonaws.com POST uploadId=U", again),
        ("bucket.s3.eu-west-1.amazonaws.com HEAD", "403"),
    ])
    .ends(
        "Indeterminate: it cannot be known whether the object was made: an answer was lost, the next one was \
         status 301, PermanentRedirect, and asking for the object: status 403",
    );
}
